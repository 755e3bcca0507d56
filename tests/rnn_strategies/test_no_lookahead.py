"""No look-ahead: results up to a date are bit-identical when later inputs are replaced or removed.

The whole pipeline runs: universe, features, labels, folds, scaler, vocabulary, training, scores, orders, account.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from signals.trainers.compiled import CompiledTrainer
from signals.trainers.keras_trainer import KerasTrainer
from signals.walk_forward.panel_walk_forward import compute_signals

BROKER = {"cash": 1e6, "commission": 0.001, "slippage": 0.0005}


def poisoned(prices: rs.Prices, day: str, *, seed: int) -> rs.Prices:
    """Other valid prices after `day`: rescaled ×0.01 to ×100, a tenth of the tickers gone, new ones listed."""
    rng = np.random.default_rng(seed)
    frame = prices.frame.reset_index()
    past, future = frame[frame["date"] <= day], frame[frame["date"] > day].copy()
    factor = np.exp(rng.uniform(np.log(0.01), np.log(100), len(future)))
    for column in ("open", "high", "low", "close"):
        future[column] *= factor
    future["volume"] = rng.permutation(future["volume"].to_numpy())
    future["adj_factor"] *= np.exp(rng.normal(0, 0.5, len(future)))
    tickers = frame["ticker"].unique()
    gone = rng.choice(tickers, max(len(tickers) // 10, 1), replace=False)
    listed = future[future["ticker"].isin(tickers[:3])].copy()
    listed["ticker"] = "0NEW" + listed["ticker"]  # sorts before every other name: column numbers move
    future = pd.concat([future[~future["ticker"].isin(gone)], listed])
    frame = pd.concat([past, future]).sort_values(["date", "ticker"]).set_index(["date", "ticker"])
    return rs.check_prices(frame, calendar=prices.calendar, raw_known=prices.raw_known)


def everything(prices, trainer, artifacts, allocation, walk_forward, universe, model, training):
    signals = compute_signals(
        prices,
        walk_forward=walk_forward,
        universe=universe,
        labels=rs.LabelSettings(),
        model=model,
        training=training,
        seeds=[0, 1],
        artifacts=artifacts,
        trainer=trainer,
    )
    result = rs.run_backtest(
        prices, signals.signals, allocation=allocation, broker=rs.BrokerSettings(**BROKER, borrow_rate=0.01)
    )
    return signals, result


def same_until(day, whole, other):
    """Compare every score, order and account value up to and including `day`."""
    (signals, result), (signals_b, result_b) = whole, other
    a, b = (s.signals[s.signals.index.get_level_values("date") <= day] for s in (signals, signals_b))
    assert len(a)
    pd.testing.assert_frame_equal(a, b, check_exact=True)
    seeds, seeds_b = (s.seed_scores[s.seed_scores["date"] <= day].reset_index(drop=True) for s in (signals, signals_b))
    pd.testing.assert_frame_equal(seeds, seeds_b, check_exact=True)
    a, b = (s.labels[s.labels["label_end"] <= day] for s in (signals, signals_b))
    pd.testing.assert_frame_equal(a, b, check_exact=True)

    utc = pd.Timestamp(day, tz="UTC")
    assert result.returns[:utc].to_numpy().tobytes() == result_b.returns[:utc].to_numpy().tobytes()
    held, held_b = result.positions[:utc], result_b.positions[:utc]
    names = [name for name in held.columns if name in held_b.columns]
    assert held[names].to_numpy().tobytes() == held_b[names].to_numpy().tobytes()
    for rest in (held.drop(columns=names), held_b.drop(columns=names)):
        assert (rest == 0.0).all(axis=None)
    pd.testing.assert_frame_equal(result.transactions[:utc], result_b.transactions[:utc], check_exact=True)
    asked, asked_b = (r.orders[r.orders["submitted"] <= day] for r in (result, result_b))
    decided = ["submitted", "ticker", "side", "type", "size"]
    pd.testing.assert_frame_equal(
        asked[decided].reset_index(drop=True), asked_b[decided].reset_index(drop=True), check_exact=True
    )
    done, done_b = (r.orders[r.orders["executed"] <= day].drop(columns="order_id") for r in (result, result_b))
    assert len(done)
    pd.testing.assert_frame_equal(done.reset_index(drop=True), done_b.reset_index(drop=True), check_exact=True)


SMALL = {
    "walk_forward": rs.WalkForward(test_start="2014-01-01", validation="13W", test="26W"),
    "universe": rs.UniverseFilters(min_price=1.0, min_history=60, max_tickers=30),
    "model": rs.RecurrentSettings(lookback=8, units=(4, 3), ticker_embedding_dim=2, dense_units=4),
    "training": rs.TrainingSettings(batch_size=512, epochs=1),
}

# mid-week, month end, the first day of a fold's test slice, its eve, a decision date, the very first decision
DAYS = ["2014-03-12", "2014-04-30", "2014-07-03", "2014-07-02", "2014-10-17", "2014-01-10"]


@pytest.fixture(scope="module")
def simulated():
    return rs.load_prices(
        source="simulated",
        seed=11,
        n_tickers=40,
        start="2012-01-01",
        end="2015-03-31",
        listing_fraction=0.3,
        delisting_fraction=0.3,
    )


@pytest.fixture(scope="module")
def whole_simulated(simulated, tmp_path_factory):
    from importlib.util import module_from_spec, spec_from_file_location
    from pathlib import Path

    spec = spec_from_file_location("linear_trainer", Path(__file__).parents[1] / "support" / "linear_trainer.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    allocation = rs.LongShortQuantile(quantile=0.2)
    folder = tmp_path_factory.mktemp("artifacts")
    return everything(simulated, module.LinearTrainer(), folder, allocation, **SMALL)


@pytest.mark.parametrize("day", DAYS)
@pytest.mark.parametrize("future", ["poisoned", "cut"])
def test_simulated_prices(simulated, whole_simulated, linear_trainer, tmp_path, day, future):
    other = poisoned(simulated, day, seed=len(day)) if future == "poisoned" else simulated.until(day)
    run = everything(other, linear_trainer, tmp_path, rs.LongShortQuantile(quantile=0.2), **SMALL)
    same_until(day, whole_simulated, run)


def test_the_comparison_can_fail(simulated, whole_simulated, linear_trainer, tmp_path):
    """Poison from a day earlier than the one compared: the test above must notice."""
    run = everything(
        poisoned(simulated, "2014-04-25", seed=1), linear_trainer, tmp_path, rs.LongShortQuantile(quantile=0.2), **SMALL
    )
    with pytest.raises(AssertionError):
        same_until("2014-05-09", whole_simulated, run)


@pytest.mark.parametrize("name", ["keras", "compiled", "compiled, two threads"])
def test_with_a_network(simulated, tmp_path, name):
    trainer = {
        "keras": KerasTrainer(), "compiled": CompiledTrainer(), "compiled, two threads": CompiledTrainer(threads=2)
    }[name]  # fmt: skip
    options = (trainer, tmp_path / "a", rs.TopK(k=8))
    whole = everything(simulated, *options, **SMALL)
    for day, other in (
        ("2014-07-23", poisoned(simulated, "2014-07-23", seed=5)),
        ("2014-12-31", simulated.until("2014-12-31")),
    ):
        # another folder: nothing may be taken over from the first run
        same_until(day, whole, everything(other, trainer, tmp_path / day, rs.TopK(k=8), **SMALL))


@pytest.fixture(scope="module")
def real(shared_data):
    """Sixty of the most traded stocks and sixty that died, raw prices and total returns."""
    import pyarrow.parquet as pq

    names = pq.read_table(shared_data / "us-stocks-daily" / "ohlcv_top600.parquet", columns=["ticker"])
    chosen = sorted(set(names["ticker"].to_pylist()))[::10]
    return rs.load_prices(
        source="files",
        path=shared_data / "us-stocks-daily" / "ohlcv_top600.parquet",
        on_bad="repair",
        tickers=chosen,
        start="2009-01-01",
        end="2013-12-31",
    )


REAL = {**SMALL, "walk_forward": rs.WalkForward(test_start="2011-01-01", validation="26W", test="1Y")}


@pytest.mark.parametrize("day", ["2012-08-15", "2011-12-30"])
def test_real_prices(real, linear_trainer, tmp_path, day):
    options = (linear_trainer, tmp_path, rs.TopK(k=10))
    whole = everything(real, *options, **REAL)
    same_until(day, whole, everything(poisoned(real, day, seed=2), *options, **REAL))
    same_until(day, whole, everything(real.until(day), *options, **REAL))


def test_real_prices_of_stocks_that_died(shared_data, linear_trainer, tmp_path):
    prices = rs.load_prices(
        source="files",
        path=shared_data / "us-stocks-with-delisted" / "daily.parquet",
        return_column="ret",
        on_bad="repair",
    )
    settings = {
        **SMALL,
        "walk_forward": rs.WalkForward(test_start="2016-01-01", validation="8W", test="26W"),
        "universe": rs.UniverseFilters(min_price=1.0, min_history=40, max_tickers=200),
    }
    options = (linear_trainer, tmp_path, rs.TopK(k=20))
    whole = everything(prices, *options, **settings)
    assert (whole[1].orders["status"] == "liquidated").any()
    for day in ("2016-05-18", "2016-07-01"):
        same_until(day, whole, everything(prices.until(day), *options, **settings))
        same_until(day, whole, everything(poisoned(prices, day, seed=3), *options, **settings))
