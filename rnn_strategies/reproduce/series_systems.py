"""The published systems that forecast series: what was published, and which presets stand for it here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["SERIES_SYSTEMS", "SeriesProblem", "SeriesSystem"]

INDEX_FILE = "sp500-index/sp500_close_1990_2019.csv.gz"
MACRO_FILE = "us-macro-monthly/sentiment_ip_1978_2019.csv"

Networks = Mapping[str, tuple[str, tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class SeriesProblem:
    """One forecast problem, with the networks that are held against each other on the same origins.

    Parameters
    ----------
    caption : str
        What is forecast.
    networks : mapping of str to (str, tuple of str)
        Label, and the preset and `--set` overrides behind it.
    """

    caption: str
    networks: Networks


@dataclass(frozen=True, slots=True)
class SeriesSystem:
    """One published system.

    Parameters
    ----------
    title, architecture, parameters, published, differs : str
        What it is, what was published, and how that protocol differs from ours.
    problems : tuple of SeriesProblem
        What is forecast here, the published problem first.
    notes : tuple of str
        What a reader must know.
    error : float, optional
        The published error, in the units of the first problem.
    file : str, optional
        What it reads, below the data folder; None for simulated series.
    """

    title: str
    architecture: str
    parameters: str
    published: str
    differs: str
    problems: tuple[SeriesProblem, ...]
    notes: tuple[str, ...] = ()
    error: float | None = None
    file: str | None = None


_SECOND_EDITION = ("model.units=[10]",)
_TO_2019 = ("series.start=2011-02-23", "series.end=2019-12-31", "walk_forward.test_start=2019-01-01")

_UNIVARIATE_NOTES = (
    "A level is nearly its own last value: an RMSE or a correlation of levels near that of persistence, which knows "
    "nothing else, is no forecast. Look at the correlation of changes, and of returns at their own, both under IC.",
    "The range that errors are divided by is that of all rows, test year included, as published; no network sees it.",
)
_PERSISTENCE = {
    2018: "Both published figures are those of persistence, to the digit.",
    2019: "The published error is that of persistence within 2 %, and the published correlation lies below that of "
    "persistence.",
}


def _univariate(
    year: int, error: float, published: str, overrides: tuple[str, ...], network: tuple[str, ...] = ()
) -> SeriesSystem:
    units, parameters = (10, "491") if network else (20, "1,781")
    other = "" if not network else "; the residual and the return network are those of 2018, LSTM 20"
    return SeriesSystem(
        title=f"univariate regression, S&P 500 by day, test {year}",
        architecture=f"63 closes -> LSTM {units} -> 1{other}",
        parameters=f"{parameters} published and ours",
        published=published,
        differs="min-max scaled over all years, test year included; the epoch chosen on the test year; "
        "errors on that scale, without a naive forecast beside",
        problems=(
            SeriesProblem(
                f"close of {year}",
                {
                    "published network": ("published-univariate", (*overrides, *network)),
                    "residual network": ("improved-univariate", overrides),
                },
            ),
            SeriesProblem(f"return of {year}", {"return network": ("improved-univariate-return", overrides)}),
        ),
        notes=(_PERSISTENCE[year], *_UNIVARIATE_NOTES),
        error=error,
        file=INDEX_FILE,
    )


SERIES_SYSTEMS: dict[str, SeriesSystem] = {
    "univariate-2018": _univariate(
        2018, 0.0150, "RMSE 0.0150 of the range, IC 0.9585 (of levels); RMSprop, MSE, batch 20, 136 of 500 epochs", ()
    ),
    "univariate-2019": _univariate(
        2019,
        0.0103,
        "second edition, LSTM 10: RMSE 0.0103 of the range, IC 0.9817 (of levels), on 2011-02-23 to 2019",
        _TO_2019,
        _SECOND_EDITION,
    ),
    "multivariate": SeriesSystem(
        title="multivariate regression, consumer sentiment and industrial production by month",
        architecture="24 months x 2 -> LSTM 12 -> LSTM 6 -> dense 10 -> 2, dropout and recurrent dropout 0.2",
        parameters="1,268 published and ours; more with the highway",
        published="MAE 1.71 over both series (second edition 0.0353 on scaled), beside a VAR's 1.91, whose forecasts "
        "are not of the same horizon; RMSprop, MAE, batch 20, 25 of 50 epochs",
        differs="the epoch chosen on the 24 test months",
        problems=(
            SeriesProblem(
                "annual changes, six blocks of 24 months",
                {"published network": ("published-multivariate", ()), "highway network": ("improved-multivariate", ())},
            ),
        ),
        notes=(
            "MAE: mean of the errors of sentiment, in points, and of production, in log points, a hundredth of the "
            "other: half of sentiment's error, as published.",
            "Annual differences carry an echo twelve months later, which a line on 13 lags can use.",
            "One block of 24 months fools easily: read the blocks side by side.",
        ),
        error=1.71,
        file=MACRO_FILE,
    ),
    "seasonal": SeriesSystem(
        title="encoder-decoder with attention on simulated seasonal series, several months ahead",
        architecture="encoder, decoder with attention over the steps ahead",
        parameters="in the table",
        published="none: a check on simulated series that it should win",
        differs="none",
        problems=(SeriesProblem("simulated seasonal series", {"encoder-decoder": ("seasonal", ())}),),
        notes=("SIMULATED series: this shows that the network works, not that it earns anything.",),
    ),
}
