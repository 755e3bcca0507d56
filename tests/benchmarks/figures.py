"""Figures of the benchmarks: a number with its agreed name and a description."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Figure", "Figures", "table"]


@dataclass(frozen=True)
class Figure:
    """One number of the table; units are in the name (`_s` seconds, `_mb` 10^6 bytes) and repeated in `what`."""

    value: float
    what: str


Figures = dict[str, Figure]


def table(figures: Figures) -> str:
    """Format the figures as aligned text."""
    width = max(map(len, figures))
    return "\n".join(f"{name:<{width}} {_shown(f.value):>12}  {f.what}" for name, f in figures.items())


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:,.4g}"
