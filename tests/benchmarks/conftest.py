"""Benchmarks are run by `make bench`; only the test that they still work is collected."""

from __future__ import annotations

collect_ignore_glob = ["[!t]*", "training*"]
