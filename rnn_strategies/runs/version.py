"""Version of this package, which every run folder states."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
