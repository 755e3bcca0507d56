"""How series are forecast: how far ahead, what the network says, on what scale."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from itertools import pairwise

from signals.common.errors import InputError
from signals.trainers.base import TrainingSettings

__all__ = ["INPUTS", "METRICS", "REPORTING", "SCALES", "SERIES_TRAINING", "TARGETS", "UNITS", "ForecastSettings"]

TARGETS = ("level", "change")
SCALES = ("standard", "minmax", "none")
INPUTS = ("level", "change")
UNITS = ("series", "minmax")
METRICS = ("rmse", "mae")
REPORTING = ("error_units", "metric", "reference_baseline")  # what changes no network

LONGEST_HORIZON = 260

# A few hundred rows are a handful of updates a pass: what a panel learns in five passes takes series hundreds.
SERIES_TRAINING = TrainingSettings(batch_size=32, epochs=200, patience=20)


@dataclass(frozen=True, slots=True)
class ForecastSettings:
    """What is forecast of a table of series, and what a network sees of it.

    Parameters
    ----------
    target : {"level", "change"}
        What the network says: the value itself, or its change since the origin, which is then added to the last value
        (the residual variant: a network that says nothing forecasts like persistence).
    horizon : int
        Periods ahead, each forecast at every origin.
    quantiles : tuple of float
        Levels, ascending and an odd number of them, the middle one being the forecast; the network is then trained by
        the pinball loss, and says all of them. None by default: one number.
    inputs : tuple of {"level", "change"}
        What the network sees of every series at each step: its value, its change since the step before, or both.
    scale : {"standard", "minmax", "none"}
        How values and changes are brought to one scale: to mean 0 and standard deviation 1, or to [0, 1], of the rows
        that training looks at; later rows may lie outside. Nothing is clipped.
    series : tuple of str
        Those that are forecast; all by default. The others are only looked at.
    error_units : {"series", "minmax"}
        Unit that errors are reported in: that of the series, or shares of the range each series has over all its rows,
        as the literature does.
    metric : {"rmse", "mae"}
        Error that models are compared by.
    reference_baseline : str
        The baseline that models are compared with: persistence of values, the mean of returns, whose persistence nobody
        would use. Where it is not persistence, the series are taken for changes themselves: their sign is the direction
        that counts. Units, metric and reference change no network.
    """

    target: str = "level"
    horizon: int = 1
    quantiles: tuple[float, ...] = ()
    inputs: tuple[str, ...] = ("level",)
    scale: str = "standard"
    series: tuple[str, ...] = ()
    error_units: str = "series"
    metric: str = "rmse"
    reference_baseline: str = "persistence"

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("target", self.target, TARGETS),
            ("scale", self.scale, SCALES),
            ("error_units", self.error_units, UNITS),
            ("metric", self.metric, METRICS),
            *(("inputs", one, INPUTS) for one in self.inputs),
        ):
            if value not in allowed:
                close = difflib.get_close_matches(str(value), allowed, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise InputError(f"expected forecast.{name} to be one of {', '.join(allowed)}; found {value!r}{hint}")
        if len(set(self.series)) != len(self.series):
            raise InputError(f"expected each of forecast.series once; found {', '.join(self.series)}; drop one")
        if not self.inputs or len(set(self.inputs)) != len(self.inputs):
            raise InputError(f"expected forecast.inputs like ['level', 'change'], each once; found {list(self.inputs)}")
        if not isinstance(self.horizon, int) or not 1 <= self.horizon <= LONGEST_HORIZON:
            raise InputError(f"expected forecast.horizon from 1 to {LONGEST_HORIZON} periods; found {self.horizon}")
        levels = self.quantiles
        inside = all(0 < level < 1 for level in levels) and all(a < b for a, b in pairwise(levels))
        if levels and (not inside or len(levels) % 2 == 0):
            raise InputError(
                "expected forecast.quantiles as an odd number of ascending levels between 0 and 1, like "
                f"[0.1, 0.5, 0.9]; found {list(levels)}"
            )

    @property
    def context(self) -> int:
        """Rows beside a window's own that its inputs look at."""
        return int("change" in self.inputs)
