"""Benchmarks are run by `make bench`; pytest collects only the tests of the benchmarks themselves."""

from __future__ import annotations

collect_ignore_glob = ["[!t]*", "training*"]
