"""The equal-weight universe against a few lines of pandas: gaps, missing bars, listings, delistings, one name or many.

And accounts that are closed before the end, of seeds and of universes: they end there, and no zeros follow.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from backtests.engine import equal_weight_returns
from reports.metrics.performance import ruin_date
from reports.significance.seed_dispersion import closed_accounts
from rnn_strategies.runs.backtest_variants import seed_returns

NAN = float("nan")
FREE = {"cash": 1e5, "commission": 0.0, "slippage": 0.0}


def by_hand(prices, scores, *, commission=0.0, slippage=0.0, buffer=0.02, delist_after_sessions=5, haircut=0.0, **_):
    """Returns of holding all scored names in equal parts: orders at the next open, expired without a bar there."""
    opens, closes = (prices.frame[name].unstack("ticker") for name in ("open", "close"))
    every = pd.DatetimeIndex(prices.panel().dates.astype("datetime64[ns]"))
    opens, closes = opens.reindex(every), closes.reindex(every)
    last, scored = closes.ffill(), scores.unstack("ticker").reindex(columns=closes.columns)
    names = scored.columns[scored.notna().any()]
    opens, closes, last, scored = (frame[names] for frame in (opens, closes, last, scored))
    cash, shares, order = 1.0, pd.Series(0.0, names), pd.Series(0.0, names)
    quiet, values = pd.Series(0, names), []
    for day in every[every >= scored.index[0]]:
        order = order.where(opens.loc[day].notna(), 0.0)
        price = opens.loc[day].fillna(0.0) * (1 + np.sign(order) * slippage)
        sold, bought = order.clip(upper=0.0), order.clip(lower=0.0)
        cash -= (sold * price).sum() + commission * (sold * price).abs().sum()
        needed = (bought * price).sum() * (1 + commission)
        scale = 1.0 if needed <= cash * (1 + 1e-12) else cash * (1 - buffer) / needed
        cash -= needed * scale
        shares = shares + sold + bought * scale
        quiet = (quiet + 1).where(closes.loc[day].isna(), 0)
        dead = (quiet >= delist_after_sessions) & (shares.abs() > 1e-12)
        cash += (shares * last.loc[day] * (1 - haircut) * (1 - commission))[dead].sum()
        shares = shares.mask(dead, 0.0)
        worth = (shares * last.loc[day]).fillna(0.0)
        values.append(cash + worth.sum())
        order = pd.Series(0.0, names)
        if day in scored.index:
            trades, base = closes.loc[day].notna(), values[-1] * (1 - buffer)
            chosen = trades & scored.loc[day].notna()
            free = max(1.0 - worth[~trades].sum() / base, 0.0)
            wanted = (chosen * free / max(chosen.sum(), 1) * base / closes.loc[day]).fillna(0.0)
            order = (wanted - shares).where(trades, 0.0)
    value = pd.Series(values, every[every >= scored.index[0]])
    return value / value.shift(1, fill_value=1.0) - 1.0


def scores_of(prices, *, every=5, share=1.0, seed=1):
    index = prices.frame.index
    dates = index.get_level_values("date")
    chosen = index[dates.isin(dates.unique()[2::every])]
    kept = np.random.default_rng(seed).random(len(chosen)) < share
    return pd.Series(1.0, index=chosen[kept], name="score")


def walk(n, seed=0, *, gap=0.0, volatility=0.02):
    """Closes, and opens that lie `gap` above the close before."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(0, volatility, n)))
    return np.r_[close[0], close[:-1] * (1 + gap)], close


@pytest.fixture
def market(make_prices):
    """Prices of names with a gap every night; `missing` drops bars by name."""

    def make(n_names, *, gap=0.0, missing=None, n=50):
        walks = {f"N{k:02d}": walk(n, k, gap=gap) for k in range(n_names)}
        for name, rows in (missing or {}).items():
            for prices in walks[name]:
                prices[rows] = NAN
        opens, closes = ({name: pair[k] for name, pair in walks.items()} for k in (0, 1))
        return make_prices(opens, closes)

    return make


MARKETS = {
    "one name": {"n_names": 1},
    "one name, up every night": {"n_names": 1, "gap": 0.05},
    "two names, down every night": {"n_names": 2, "gap": -0.04},
    "many names, up every night": {"n_names": 25, "gap": 0.03},
    "bars missing after decisions": {"n_names": 4, "missing": {"N01": [3, 8], "N02": [8, 9, 10]}},
    "bars missing on decisions": {"n_names": 4, "missing": {"N01": [7, 12], "N02": [6, 7, 8, 12]}},
    "missing and up every night": {"n_names": 5, "gap": 0.04, "missing": {"N01": [3, 7, 8], "N04": [12, 13]}},
    "delisted": {"n_names": 4, "missing": {"N03": slice(20, None)}},
    "delisted when sold": {"n_names": 3, "missing": {"N00": slice(23, None)}},
    "the only name is delisted": {"n_names": 2, "missing": {"N00": slice(20, None), "N01": slice(1, None)}},
    "listed later": {"n_names": 4, "missing": {"N03": slice(0, 21), "N02": slice(0, 10)}},
}
COSTS = {
    "free": {},
    "costs": {"commission": 0.002, "slippage": 0.001},
    "costs above the buffer": {"commission": 0.03, "slippage": 0.02},
}


@pytest.mark.parametrize("costs", COSTS)
@pytest.mark.parametrize("name", MARKETS)
def test_it_earns_what_a_few_lines_say(name, costs, market):
    prices = market(**MARKETS[name])
    scores = scores_of(prices)
    terms = FREE | COSTS[costs] | {"delist_haircut": 0.3 if "delisted" in name else 0.0}
    universe = equal_weight_returns(prices, scores, rs.BrokerSettings(**terms))
    hand = by_hand(
        prices, scores, commission=terms["commission"], slippage=terms["slippage"], haircut=terms["delist_haircut"]
    )
    assert universe.index.tz_localize(None).equals(hand.index)
    np.testing.assert_allclose(universe, hand, rtol=0.0, atol=1e-12)
    assert universe.abs().sum() > 0.05


@pytest.mark.parametrize("seed", range(6))
def test_and_on_rough_markets(seed, random_prices):
    rough = {"gaps": 0.08, "deaths": 0.4, "listings": 0.4, "volatility": 0.05}
    prices = random_prices(12, 90, seed=seed, **rough)
    scores = scores_of(prices, every=4, share=0.8, seed=seed)
    terms = FREE | {"commission": 0.001, "slippage": 0.0005, "delist_haircut": 0.5, "cash_buffer": 0.03}
    universe = equal_weight_returns(prices, scores, rs.BrokerSettings(**terms))
    hand = by_hand(prices, scores, commission=0.001, slippage=0.0005, haircut=0.5, buffer=0.03)
    np.testing.assert_allclose(universe, hand.loc[universe.index[0].tz_localize(None) :], rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("limits", [{"cash": 500.0}, {"max_participation_rate": 1e-6}, {"min_commission": 50.0}])
def test_what_limits_an_account_does_not_limit_it(limits, market):
    prices = market(6, gap=0.02)
    scores = scores_of(prices)
    free = equal_weight_returns(prices, scores, rs.BrokerSettings(**FREE))
    bound = equal_weight_returns(prices, scores, rs.BrokerSettings(**FREE | limits))
    np.testing.assert_allclose(bound, free, rtol=0.0, atol=1e-12)


def test_about_98_percent_are_invested_whatever_happens_overnight(make_prices):
    """The promise of its docstring: everything doubles later, and so does what is invested."""
    for n_names in (1, 3, 40):
        for gap in (0.0, 0.01, 0.03, 0.05, 0.5):
            price = np.r_[100.0, np.full(2, 100.0 * (1 + gap)), np.full(17, 200.0 * (1 + gap))]
            prices = make_prices({f"N{k:02d}": price for k in range(n_names)})
            scores = pd.Series(1.0, index=prices.frame.index[:n_names], name="score")
            earned = (1 + equal_weight_returns(prices, scores, rs.BrokerSettings(**FREE))).prod() - 1
            assert 0.975 <= earned <= 1.0


# -- accounts that are closed -----------------------------------------------------------------------------------------


@pytest.fixture
def crash(make_prices, days):
    """A name that rises tenfold, another that stands still; scores of two seeds, and of both."""
    d = days(30)
    prices = make_prices({"UP": np.r_[np.full(10, 10.0), np.full(20, 100.0)], "B": 20 + np.sin(np.arange(30.0))})
    stamps = pd.DatetimeIndex(d[:25:3].astype("datetime64[ns]"))
    index = pd.MultiIndex.from_product([stamps, ["B", "UP"]], names=["date", "ticker"])
    signals = pd.DataFrame({"score": 0.0, "score_std": 0.0}, index=index)
    ups = index.get_level_values("ticker") == "UP"
    frames = []
    for seed, short in ((0, False), (1, True)):
        score = np.where(ups, -1.0 if short else 0.0, 1.0)
        frames.append(pd.DataFrame({"score": score}, index=index).reset_index().assign(seed=seed))
    return prices, signals, pd.concat(frames, ignore_index=True)


def config(**changes):
    broker = rs.BrokerSettings(**FREE | {"borrow_rate": 0.0} | changes)
    return SimpleNamespace(broker=broker, allocation=rs.Threshold(0.5, short=-0.5), strategy="SignalStrategy")


@pytest.mark.parametrize("kind", ["ruin", "a margin call"])
def test_seeds_end_where_their_accounts_were_closed(kind, crash, make_prices):
    prices, signals, scores = crash
    if kind == "a margin call":  # it rises less: the account is left with something
        closes = {name: prices.frame["close"].xs(name, level="ticker").to_numpy() for name in ("UP", "B")}
        closes["UP"] = np.where(closes["UP"] > 50.0, 24.0, 10.0)
        prices = make_prices(closes)
    alone = seed_returns(config(), prices, signals, scores, [0, 1])
    assert alone["0"].notna().all()
    closed_on = prices.panel().dates[10].astype("datetime64[ns]")
    ended = alone.index[alone["1"].notna()][-1]
    assert ended == pd.Timestamp(closed_on, tz="UTC")
    # nothing after it: no zeros that would make its volatility small and its span long
    assert alone["1"].loc[ended:].iloc[1:].isna().all()
    assert not (alone["1"].loc[:ended].iloc[-1:] == 0.0).any()
    found = closed_accounts(alone, alone.index)
    assert list(found) == ["1"]
    assert found["1"][0] == f"closed by {kind} on {ended:%Y-%m-%d}"
    assert len(found["1"][1]) == len(alone["1"].dropna())
    assert (ruin_date(alone["1"].dropna()) is not None) == (kind == "ruin")


def test_a_run_that_was_closed_ends_there_too(crash):
    prices, _, scores = crash
    own = scores[scores["seed"] == 1].set_index(["date", "ticker"])["score"]
    settings = config()
    result = rs.run_backtest(prices, own, allocation=settings.allocation, broker=settings.broker)
    assert result.stopped.startswith("The account was ruined on")
    assert result.warnings[0] == result.stopped
    assert len(result.returns) == len(result.positions) == 11
    assert result.returns.iloc[-1] <= -1.0


def test_a_universe_that_lost_everything_is_not_continued(make_prices, days):
    """Every name dies at nothing: what is left is the cash buffer, and its returns are those of cash."""
    prices = make_prices({"A": [10.0] * 5 + [NAN] * 15, "B": [20.0] * 5 + [NAN] * 15, "C": [1.0] * 20})
    index = prices.frame.index[prices.frame.index.get_level_values("ticker") != "C"][:2]
    scores = pd.Series(1.0, index=index, name="score")
    universe = equal_weight_returns(prices, scores, rs.BrokerSettings(**FREE | {"delist_haircut": 1.0}))
    assert (1 + universe).prod() == pytest.approx(0.02)
    assert universe.loc[universe != 0.0].tolist() == pytest.approx([-0.98])
    assert closed_accounts(universe.to_frame("universe"), universe.index) == {}
