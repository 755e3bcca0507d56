"""`make rates`: comparison of batch sizes, learning rates and numbers of epochs, from which the defaults are chosen.

Every fit learns from training rows; the first half of a validation slice chooses its epoch, the second half, a date
later, judges it. Test rows are never looked at, and the real rows all end before the first test date of any preset, so
that no published figure has been chosen by its own outcome. Cells are compared in pairs: same rows, same seed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tests.benchmarks.measure import ONE_THREAD, ROOT

if TYPE_CHECKING:
    from signals.dataset.windows import Samples
    from signals.trainers.base import Trainer

__all__ = ["Cell", "Fit", "Slices", "compare", "halves", "main", "table"]

STOPPING = 26  # dates of the validation slice that select the epoch, as in the presets
REAL_END = "2010-12-31"


@dataclass(frozen=True, order=True)
class Cell:
    """Settings that are compared."""

    trainer: str
    batch_size: int
    learning_rate: float
    epochs: int = 5


PUBLISHED = (32, 0.001, 5)
GRID = {
    32: (0.0005, 0.001, 0.002),
    256: (0.001, 0.0025, 0.005),
    1024: (0.0025, 0.005, 0.01),
    4096: (0.01, 0.02),
}
OTHER_EPOCHS = ((1024, 0.005, 2), (1024, 0.005, 12), (1024, 0.0025, 12))
KERAS = (1024, 0.005, 5)


@dataclass(frozen=True)
class Slices:
    """Rows of one fold: for training, for the selection of the epoch, and for the evaluation."""

    market: str
    fold: int
    categories: int
    training: Samples
    stopping: Samples
    judging: Samples


@dataclass(frozen=True)
class Fit:
    """Result of one fit: per-date AUC and log loss of the evaluation rows, best epoch, CPU seconds per epoch."""

    market: str
    fold: int
    seed: int
    cell: Cell
    auc: float
    loss: float
    kept: int
    seconds_per_million: float


def cells(trainer: str, *, keras: bool) -> list[Cell]:
    """The grid, the published settings first."""
    chosen = [(batch, rate, 5) for batch, rates in GRID.items() for rate in rates] + list(OTHER_EPOCHS)
    chosen.sort(key=lambda one: one != PUBLISHED)
    return [Cell(trainer, *one) for one in chosen] + ([Cell("keras", *KERAS)] if keras else [])


def halves(market: str, fold: int, categories: int, training: Samples, validation: Samples) -> Slices:
    """Split a validation slice: `STOPPING` dates, one date purged because its label ends in the next part, the rest."""
    end = validation.windows.end
    dates = np.unique(end)
    if len(dates) < STOPPING + 2:
        raise ValueError(f"expected more than {STOPPING + 1} validation dates; found {len(dates)}; take a longer slice")
    first, last = end < dates[STOPPING], end > dates[STOPPING]
    return Slices(market, fold, categories, training, _some(validation, first), _some(validation, last))


def _some(samples: Samples, wanted: np.ndarray) -> Samples:
    windows = replace(samples.windows, ticker=samples.windows.ticker[wanted], end=samples.windows.end[wanted])
    return replace(
        samples,
        windows=windows,
        category=samples.category[wanted],
        month=samples.month[wanted],
        label=samples.label[wanted],
    )


def simulated(folds: int, tickers: int) -> Iterator[Slices]:
    """Folds of a market with a planted pattern, with which the per-date AUC can reach about 0.56."""
    import rnn_strategies as rs

    prices = rs.load_prices(source="simulated", seed=606, n_tickers=tickers, start="2007-01-01")
    yield from _folds("simulated", prices, folds, {"test_start": "2012-01-01", "test": "1Y"}, "open_to_open")


def real(folds: int, data: Path) -> Iterator[Slices]:
    """Folds of real closes from before the first test date of the presets."""
    import rnn_strategies as rs

    path = data / "us-stocks-daily" / "close_all.parquet"
    prices = rs.load_prices(source="files", path=path, end=REAL_END, on_bad="repair")
    yield from _folds("real", prices, folds, {"test_start": "2010-01-01", "test": "26W"}, "close_to_close")


def _folds(market: str, prices: object, folds: int, cut: dict[str, str], measured: str) -> Iterator[Slices]:
    import rnn_strategies as rs
    from signals.walk_forward.panel_walk_forward import prepare

    prepared = prepare(
        prices,  # type: ignore[arg-type]
        walk_forward=rs.WalkForward(validation="1Y", **cut),
        universe=rs.UniverseFilters(min_price=1.0, min_history=252),
        labels=rs.LabelSettings(kind="above_median", price_basis=measured),
        model=rs.RecurrentSettings(),
    )
    spread = np.unique(np.linspace(0, len(prepared.folds) - 1, folds).round().astype(int))
    for fold in (prepared.folds[i] for i in spread):
        yield halves(market, fold.fold.number, len(fold.tickers) + 1, fold.training, fold.validation)


def fit_one(slices: Slices, cell: Cell, seed: int) -> Fit:
    """Train one network and evaluate it."""
    from signals.evaluation.cross_section_metrics import auc_by_date
    from signals.models.network import Network
    from signals.models.recurrent_settings import RecurrentSettings
    from signals.trainers.base import FitTask, TrainingSettings
    from signals.trainers.training_loop import mean_loss

    trainer = _trainer(cell.trainer)
    network = Network(RecurrentSettings(), slices.categories)
    settings = TrainingSettings(batch_size=cell.batch_size, learning_rate=cell.learning_rate, epochs=cell.epochs)
    began = time.process_time()
    fitted = next(iter(trainer.fit([FitTask(network, slices.training, slices.stopping, settings, seed)])))
    seconds = time.process_time() - began
    output = trainer.predict(network, fitted.weights, slices.judging)
    windows, label = slices.judging.windows, slices.judging.label
    index = pd.MultiIndex.from_arrays([windows.end, windows.ticker], names=["date", "ticker"])
    auc = auc_by_date(pd.Series(output[:, 0].astype(float), index), pd.Series(label.astype(float), index)).mean()
    loss = mean_loss(output, label, network.target)
    passed = len(slices.training) * len(fitted.history) / 1e6
    return Fit(slices.market, slices.fold, seed, cell, float(auc), loss, fitted.epochs, seconds / passed)


def _trainer(name: str) -> Trainer:
    from signals.execution.trainer_choice import choose_trainer
    from signals.models.recurrent_settings import RecurrentSettings
    from signals.trainers.base import TrainingSettings

    return choose_trainer(TrainingSettings(trainer=name), RecurrentSettings()).trainer


def compare(fits: Sequence[Fit]) -> pd.DataFrame:
    """Mean and paired difference from the settings of the first fit, the published ones, by market and cell.

    Returns
    -------
    DataFrame indexed by (market, cell)
        `auc`; `auc_gain` over the published settings and its standard error `auc_error` over pairs of the same fold and
        seed; `loss_gain`, `loss_error` likewise, in thousandths, positive is better; `kept`; `seconds` of CPU per
        million training rows; `pairs`.
    """
    rows = {}
    for market, mine in itertools.groupby(sorted(fits, key=lambda fit: fit.market), lambda fit: fit.market):
        own = list(mine)
        base = {(f.fold, f.seed): f for f in own if f.cell == fits[0].cell}
        for cell in dict.fromkeys(fit.cell for fit in own):
            pairs = [(f, base[f.fold, f.seed]) for f in own if f.cell == cell and (f.fold, f.seed) in base]
            auc = np.array([f.auc - b.auc for f, b in pairs])
            loss = np.array([1e3 * (b.loss - f.loss) for f, b in pairs])
            error = np.sqrt(max(len(pairs) - 1, 1) * len(pairs))
            rows[market, cell] = {
                "auc": np.mean([f.auc for f, _ in pairs]),
                "auc_gain": auc.mean(),
                "auc_error": np.sqrt(np.sum((auc - auc.mean()) ** 2)) / error,
                "loss_gain": loss.mean(),
                "loss_error": np.sqrt(np.sum((loss - loss.mean()) ** 2)) / error,
                "kept": np.mean([f.kept for f, _ in pairs]),
                "seconds": np.median([f.seconds_per_million for f, _ in pairs]),
                "pairs": len(pairs),
            }
    return pd.DataFrame.from_dict(rows, orient="index")


def table(compared: pd.DataFrame) -> str:
    """Format the comparison as a Markdown table."""
    lines = [
        "| market | trainer | batch | rate | epochs | kept | AUC | gain in AUC | gain in loss, ‰ | s / million rows |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for (market, cell), row in compared.iterrows():
        gain = f"{row['auc_gain']:+.4f} ± {row['auc_error']:.4f} | {row['loss_gain']:+.2f} ± {row['loss_error']:.2f}"
        if (cell.batch_size, cell.learning_rate, cell.epochs) == PUBLISHED:
            gain = "– | –"
        lines.append(
            f"| {market} | {cell.trainer} | {cell.batch_size} | {cell.learning_rate:g} | {cell.epochs} "
            f"| {row['kept']:.1f} | {row['auc']:.4f} | {gain} | {row['seconds']:.1f} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit every cell on every market, print the table, and write build/rates.json."""
    parser = argparse.ArgumentParser(prog="make rates", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the real prices; without it, the simulated market only")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--tickers", type=int, default=500, help="of the simulated market")
    parser.add_argument("--jobs", type=int, default=1, help="processes, one thread each")
    parser.add_argument("--trainer", default="compiled", help="of the whole grid")
    parser.add_argument(
        "--keras", action="store_true", help="the default settings with Keras too, on the simulated market"
    )
    chosen = parser.parse_args(arguments)
    os.environ.update(ONE_THREAD)
    from joblib import Parallel, delayed

    _trainer(chosen.trainer)  # compiled once, before the processes use it
    slices = list(simulated(chosen.folds, chosen.tickers))
    if chosen.data is not None:
        slices += real(chosen.folds, chosen.data)
    for one in slices:
        rows = " / ".join(f"{len(part):,}" for part in (one.training, one.stopping, one.judging))
        print(f"{one.market}, fold {one.fold + 1}: {rows} rows to learn / stop / judge", file=sys.stderr)
    work = [
        (one, cell, seed)
        for cell in cells(chosen.trainer, keras=chosen.keras)
        for one in slices
        if one.market == "simulated" or cell.trainer == chosen.trainer
        for seed in range(chosen.seeds)
    ]
    fits: list[Fit] = []
    target = ROOT / "build" / "rates.json"
    target.parent.mkdir(exist_ok=True)
    for fit in Parallel(n_jobs=chosen.jobs, return_as="generator")(delayed(fit_one)(*one) for one in work):
        fits.append(fit)
        print(f"{len(fits)} of {len(work)}: {fit}", file=sys.stderr)
        target.write_text(json.dumps([asdict(fit) for fit in fits], indent=1) + "\n")
    print(table(compare(fits)))
    print(target.relative_to(ROOT))


if __name__ == "__main__":
    main()
