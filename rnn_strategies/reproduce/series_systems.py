"""Published systems that forecast series: published figures, and the presets that reproduce them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["SERIES_SYSTEMS", "SeriesProblem", "SeriesSystem"]

INDEX_FILE = "sp500-index/sp500_close_1990_2019.csv.gz"
MACRO_FILE = "us-macro-monthly/sentiment_ip_1978_2019.csv"

Networks = Mapping[str, tuple[str, tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class SeriesProblem:
    """One forecast problem, with the networks that are compared on the same origins.

    Parameters
    ----------
    caption : str
        Description of the target.
    networks : mapping of str to (str, tuple of str)
        Label of each network, with its preset and `--set` overrides.
    """

    caption: str
    networks: Networks


@dataclass(frozen=True, slots=True)
class SeriesSystem:
    """One published system that forecasts series.

    Parameters
    ----------
    title, architecture, parameters, published, differs : str
        Description of the system, its published figures, and the differences of the published protocol from ours.
    problems : tuple of SeriesProblem
        Forecast problems, the published one first.
    notes : tuple of str
        Notes of the report.
    error : float, optional
        Published error, in the units of the first problem.
    file : str, optional
        Data file below the data folder; None for simulated series.
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
    "A level nearly equals its last value: an RMSE or a correlation of levels near that of persistence shows no "
    "forecasting skill. Use the correlation of changes, and that of returns, both under IC.",
    "Errors are divided by the range of all rows, test year included, as published; networks do not use this range.",
)
_PERSISTENCE = {
    2018: "Both published figures equal those of persistence in every published digit.",
    2019: "The published error equals that of persistence within 2 %, and the published correlation is lower than that "
    "of persistence.",
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
        differs="min-max scaled over all years, test year included; the epoch selected on the test year; "
        "errors on that scale, without a comparison with a naive forecast",
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
        parameters="1,268 published and ours; more with autoregressive lags",
        published="MAE 1.71 over both series (second edition 0.0353 on scaled series), compared with 1.91 of a VAR, "
        "whose forecasts have another horizon; RMSprop, MAE, batch 20, 25 of 50 epochs",
        differs="the epoch selected on the 24 test months",
        problems=(
            SeriesProblem(
                "annual changes, six blocks of 24 months",
                {
                    "published network": ("published-multivariate", ()),
                    "autoregressive network": ("improved-multivariate", ()),
                },
            ),
        ),
        notes=(
            "MAE: mean of the errors of sentiment, in points, and of production, in log points. Errors of production "
            "are a hundred times smaller, so the MAE is half of the error of sentiment, as published.",
            "Annual differences are correlated with those twelve months later, which a linear model of 13 lags can "
            "use.",
            "Results of a single block of 24 months are uncertain: compare all blocks.",
        ),
        error=1.71,
        file=MACRO_FILE,
    ),
    "seasonal": SeriesSystem(
        title="encoder-decoder with attention on simulated seasonal series, several months ahead",
        architecture="encoder, decoder with attention over the steps ahead",
        parameters="in the table",
        published="none: a check on simulated series, in which it should have the lowest error",
        differs="none",
        problems=(SeriesProblem("simulated seasonal series", {"encoder-decoder": ("seasonal", ())}),),
        notes=("SIMULATED series: they test the implementation and do not show any profit.",),
    ),
}
