"""Checks of folds (no training on test data) and of the universe (no dependence on later price adjustments)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rnn_strategies.audit.check_result import Status, Verdict
from rnn_strategies.audit.perturbed_inputs import Inputs
from rnn_strategies.price_checks.adjusted_closes import missing_splits
from rnn_strategies.price_checks.ticker_bars import histories
from signals.data.prices import Prices
from signals.walk_forward.panel_walk_forward import Prepared

__all__ = ["adjustments", "adjustments_of_imported", "folds"]


def folds(prepared: Prepared) -> Verdict:
    """Check every row of every fold: labels of training and validation rows are known before the first test score.

    Returns
    -------
    Verdict
        Failed with the fold and the first row whose label was known too late, or which is a test row too.
    """
    data = prepared.data
    trained = [fold for fold in prepared.folds if len(fold.training)]
    if not trained:
        return Verdict("fold-checks", Status.SKIPPED, "The network is a saved one: there are no folds to check.")
    evidence = []
    for fold in trained:
        cuts = fold.fold
        first_score = data.dates[cuts.test.start]
        for name, rows, latest in (
            ("training", fold.training, data.decisions[cuts.validation.start]),
            ("validation", fold.validation, data.decisions[cuts.test.start]),
            ("training and validation", fold.both, data.decisions[cuts.test.start]),
        ):
            ticker, date = rows.windows.ticker, _dates_of(rows.windows.end, fold.test.windows.end, fold.test_date)
            end = data.labels.end[ticker, date]
            late = end > latest
            if late.any():
                i = int(np.argmax(late))
                return Verdict(
                    "fold-checks",
                    Status.FAILED,
                    f"Fold {cuts.number} is trained with later data: a {name} row of "
                    f"{data.panel.tickers[ticker[i]]} on {data.dates[date[i]]} has a label that was known on "
                    f"{data.panel.dates[end[i]]} only, after {data.panel.dates[latest]}, when the next slice begins; "
                    "purge such rows.",
                    [
                        (
                            "rows known too late",
                            f"{int(late.sum()):,} of {len(late):,} {name} rows of fold {cuts.number}",
                        )
                    ],
                )
            if (date >= cuts.test.start).any():
                return Verdict(
                    "fold-checks",
                    Status.FAILED,
                    f"Fold {cuts.number} uses dates for {name} that it is tested on: up to {data.dates[date.max()]}, "
                    f"while its first score is on {first_score}.",
                )
        if fold.trained_until > first_score:
            return Verdict(
                "fold-checks",
                Status.FAILED,
                f"Fold {cuts.number} states that it was trained until {fold.trained_until}, after its first score on "
                f"{first_score}.",
            )
        evidence.append(
            (
                f"fold {cuts.number}",
                f"{len(fold.training):,} training and {len(fold.validation):,} validation rows, the last label known "
                f"on {fold.trained_until}, first score {first_score}",
            )
        )
    return Verdict(
        "fold-checks",
        Status.PASSED,
        f"In {len(trained)} folds every label used for training, or for the selection of the epoch, was known at the "
        "first score of the fold.",
        evidence,
    )


def _dates_of(end: NDArray[np.int32], test_end: NDArray[np.int32], test_date: NDArray[np.int32]) -> NDArray[np.int64]:
    """Index of the decision date of each window: window ends are offset by the padding of short histories."""
    pad = int(test_end[0]) - int(test_date[0])
    return np.asarray(end.astype(np.int64) - pad)


def adjustments(
    prepared: Prepared,
    inputs: Inputs,
    prepare_other: Callable[[Prices], Prepared],
    *,
    seed: int = 0,
    min_price: bool = False,
) -> Verdict:
    """Rescale whole adjusted histories, as later dividends and splits do; universe and features must not change.

    Returns
    -------
    Verdict
        Failed with the first date and ticker whose membership changed, or the first feature that changed by more than
        rounding. Where raw closes are already adjusted for later splits, see
        `rnn_strategies.price_checks.adjusted_closes`: failed with a filter on price (`min_price`), which then looks
        ahead, and noted without one.
    """
    verdict = _rescaled(prepared, inputs, prepare_other, seed)
    missing = missing_splits(histories(inputs.prices))
    if missing is None or verdict.status is Status.FAILED:
        return verdict
    finding = missing.sentence(raw_known=inputs.prices.raw_known, filtered=min_price)
    return Verdict(
        "adjustments",
        Status.FAILED if min_price else Status.NOTED,
        f"{finding}.",
        [*verdict.evidence, ("splits that show in the closes", str(missing))],
        unproved=verdict.unproved,
    )


def adjustments_of_imported(prices: Prices) -> Verdict:
    """Search the prices of imported scores for closes that are already adjusted for later splits.

    Returns
    -------
    Verdict
        Noted where there are such closes, and skipped otherwise, because rescaled prices cannot change imported scores.
    """
    missing = missing_splits(histories(prices))
    unproved = [
        "Whether the program that computed the scores used filters or features on prices that later splits change."
    ]
    if missing is not None:
        sentence = missing.sentence(raw_known=prices.raw_known, filtered=False)
        finding = f"{sentence}. The scores were imported: audit the program that computed them."
        evidence = [("splits that show in the closes", str(missing))]
        return Verdict("adjustments", Status.NOTED, finding, evidence, unproved=unproved)
    finding = (
        "The scores were imported, so rescaled prices cannot change them: audit the program that computed them. No "
        "closes that are already adjusted for later splits were found."
    )
    return Verdict("adjustments", Status.SKIPPED, finding, unproved=unproved)


def _rescaled(prepared: Prepared, inputs: Inputs, prepare_other: Callable[[Prices], Prepared], seed: int) -> Verdict:
    """Verdict of the comparison of universe and features with those of rescaled adjusted histories."""
    prices = inputs.prices
    if not prices.raw_known:
        return Verdict(
            "adjustments",
            Status.NOTED,
            "Adjustment factors are unknown: filters on price and dollar volume use adjusted prices, which later "
            "splits and dividends have changed; provide raw prices, or use no such filter.",
            unproved=["Whether the universe would have been the same on unadjusted prices cannot be tested."],
        )
    rng = np.random.default_rng(seed)
    factors = dict(zip(prices.tickers, np.exp(rng.normal(0, 1, len(prices.tickers))), strict=True))
    frame = prices.frame.copy()
    scale = frame.index.get_level_values("ticker").map(factors).to_numpy(dtype=np.float64)
    for column in ("open", "high", "low", "close", "adj_factor"):
        frame[column] = frame[column].to_numpy() * scale
    other = prepare_other(replace(prices, frame=frame))
    data, again = prepared.data, other.data
    moved = data.eligible != again.eligible
    if moved.any():
        k, ticker = (int(i) for i in np.argwhere(moved.T)[0])
        return Verdict(
            "adjustments",
            Status.FAILED,
            f"A later split or dividend would have changed the universe: {data.panel.tickers[ticker]} on "
            f"{data.dates[k]} {'is' if data.eligible[ticker, k] else 'is not'} a member, and with its adjusted history "
            f"rescaled it {'is not' if data.eligible[ticker, k] else 'is'} one; a filter uses adjusted prices.",
            [("rows that changed", f"{int(moved.sum()):,} of {int(data.eligible.sum()):,}")],
        )
    for f, name in enumerate(data.features.names):
        a, b = data.features.values[:, :, f], again.features.values[:, :, f]
        spread = float(np.nanstd(a)) or 1.0
        with np.errstate(invalid="ignore"):
            wrong = (np.abs(a - b) > 1e-6 * (np.abs(a) + spread)) | (np.isnan(a) != np.isnan(b))
        if (wrong & data.eligible).any():
            k, ticker = (int(i) for i in np.argwhere((wrong & data.eligible).T)[0])
            return Verdict(
                "adjustments",
                Status.FAILED,
                f"The feature {name!r} depends on how later splits and dividends scaled the past: "
                f"{data.panel.tickers[ticker]} on {data.dates[k]} is {a[ticker, k]:.6g}, and {b[ticker, k]:.6g} with "
                "its adjusted history rescaled; use returns, or raw prices.",
            )
    return Verdict(
        "adjustments",
        Status.PASSED,
        "Universe and features stay the same when the adjusted history of every ticker is rescaled, as later splits "
        "and dividends do.",
        [("tickers rescaled", f"{len(factors):,}, by {min(factors.values()):.3g} to {max(factors.values()):.3g}")],
    )
