"""Settings of series forecasts: horizon, target, inputs and scaling."""

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
REPORTING = ("error_units", "metric", "reference_baseline")  # settings that do not affect the networks

LONGEST_HORIZON = 260

# With a few hundred rows an epoch has few updates: series need hundreds of epochs where a panel needs five.
SERIES_TRAINING = TrainingSettings(batch_size=32, epochs=200, patience=20)


@dataclass(frozen=True, slots=True)
class ForecastSettings:
    """Target, inputs and scaling of forecasts of a table of series.

    Parameters
    ----------
    target : {"level", "change"}
        Output of the network: the value itself, or its change since the origin, which is then added to the last value
        (the residual variant: an output of zero equals persistence).
    horizon : int
        Number of periods ahead, all of which are forecast at every origin.
    quantiles : tuple of float
        Quantile levels, an odd number of them in ascending order; the middle quantile is the point forecast. The
        network is then trained with the pinball loss and predicts all quantiles. Empty by default, for point forecasts
        only.
    inputs : tuple of {"level", "change"}
        Inputs of the network from every series at each step: its value, its change since the previous step, or both.
    scale : {"standard", "minmax", "none"}
        Scaling of values and changes: to mean 0 and standard deviation 1, to [0, 1], or none, fitted on the rows that
        training uses; later rows may lie outside. Values are not clipped.
    series : tuple of str
        Names of the series that are forecast; all by default. The others are inputs only.
    error_units : {"series", "minmax"}
        Unit of the reported errors: that of the series, or fractions of the range of each series over all its rows, as
        in much of the literature.
    metric : {"rmse", "mae"}
        Error with which models are compared.
    reference_baseline : str
        Baseline with which models are compared, usually `"persistence"` for values and `"mean"` for returns. When it is
        not persistence, the series are taken to be changes such as returns, whose sign is the direction. Units, metric
        and reference do not affect the networks.
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
            *(("inputs", value, INPUTS) for value in self.inputs),
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
        """Number of rows before a window that its inputs need."""
        return int("change" in self.inputs)
