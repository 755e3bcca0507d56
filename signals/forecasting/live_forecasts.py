"""Live forecasts: a table of the forecasts of all models for the periods after the last row."""

from __future__ import annotations

import numpy as np
import pandas as pd

from signals.common.summary_card import markdown_table

__all__ = ["latest_forecasts", "live_markdown"]

# Number of periods that are printed; the file contains all.
SHOWN = 12


def latest_forecasts(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Select the forecasts made at the last row of the table: all of their target periods lie after it.

    Parameters
    ----------
    forecasts : DataFrame
        As `ForecastResult.forecasts`, of any number of models.
    """
    live = forecasts[forecasts["live"]]
    return live[live["date"] == live["date"].max()] if len(live) else live


def live_markdown(forecasts: pd.DataFrame) -> str:
    """Print the forecasts made at the last row: a line for each series and target period, a column for each model.

    For several seeds, a cell shows their mean ± standard deviation (ddof 1); for quantiles, the middle one, with the
    lowest and the highest in parentheses.

    Parameters
    ----------
    forecasts : DataFrame
        As `ForecastResult.forecasts`, of any number of models.

    Returns
    -------
    str
        Markdown; empty when there is no live forecast.
    """
    rows = latest_forecasts(forecasts)
    if not len(rows):
        return ""
    models = list(dict.fromkeys(rows["model"]))
    names = list(dict.fromkeys(rows["series"]))
    steps = sorted(rows["step"].unique().tolist())
    cells = {key: _cell(part) for key, part in rows.groupby(["series", "step", "model"], sort=False)}
    days = rows.drop_duplicates("step").set_index("step")["target_date"]
    lines = [["series", "period", *models]]
    for name in names:
        for step in steps[:SHOWN]:
            lines.append([name, f"{days[step]:%Y-%m-%d}", *(cells[name, step, model] for model in models)])
    origin = f"{rows['date'].iloc[0]:%Y-%m-%d}"
    text = (
        f"Live forecast, made at the end of {origin}; no actual value is known yet, and the figures above do not "
        "include it."
    )
    levels = rows["level"].dropna()
    if len(levels):
        text += f" In parentheses: quantiles {levels.min():g} and {levels.max():g}."
    if len(steps) > SHOWN:
        text += f" The first {SHOWN} of {len(steps)} periods; forecasts.parquet has all of them."
    return f"{text}\n\n{markdown_table(lines, words=2)}"


def _cell(rows: pd.DataFrame) -> str:
    levels = np.sort(rows["level"].dropna().unique())
    if not len(levels):
        values = rows["forecast"].to_numpy()
        spread = f" ± {values.std(ddof=1):.2g}" if len(values) > 1 else ""
        return f"{values.mean():.5g}{spread}"
    means = rows.groupby("level")["forecast"].mean()
    return f"{means[levels[len(levels) // 2]]:.5g} ({means[levels[0]]:.5g} to {means[levels[-1]]:.5g})"
