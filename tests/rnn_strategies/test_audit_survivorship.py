"""Audit check `survivorship`: universes chosen in hindsight fail, and others pass."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from rnn_strategies.audit.check_result import Status
from rnn_strategies.audit.survivorship import _at_least, _none_of, survivorship
from signals.calendar import decision_dates
from signals.dataset.folds import retraining_dates
from signals.dataset.universe import universe_schedule
from signals.reference.membership import read_membership
from signals.reference.sectors import read_sectors


@pytest.fixture
def worlds(support):
    import audit_worlds

    return audit_worlds


@pytest.fixture(scope="module")
def every():
    """Sixty tickers that all live through seven years."""
    return rs.load_prices(
        source="simulated",
        seed=2,
        n_tickers=60,
        start="2010-01-01",
        end="2016-12-31",
        delisting_fraction=0.0,
        listing_fraction=0.0,
    )


ENDED = {f"SIM{i:03d}": ("2010-01-01", f"{2011 + i % 5}-0{1 + i % 9}-15") for i in range(0, 60, 6)}
LISTED = {f"SIM{i:03d}": (f"{2011 + i % 4}-03-15", "2099-01-01") for i in range(1, 60, 12)}


@pytest.fixture
def prices(worlds, every):
    """Ten of them end and five are listed late."""
    return worlds.lived(every, ENDED | LISTED)


def audited(prices, *, start="2013-01-04", membership=None, filters=None, **more):
    filters = filters or rs.UniverseFilters()
    dates = decision_dates(prices.first, prices.last, "weekly")
    days = retraining_dates(dates, rs.WalkForward(test_start=start))
    drawn = {str(d): len(m) for d, m in universe_schedule(prices.panel(), days, filters, membership)}
    return survivorship(prices, universe_sizes=drawn, filters=filters, membership=membership, **more)


def members(prices, names, *, end=""):
    last = prices.frame.reset_index().groupby("ticker", observed=True)["date"].max()
    ends = [end if last[n] == last.max() else f"{last[n] + pd.Timedelta(days=1):%Y-%m-%d}" for n in names]
    return read_membership(pd.DataFrame({"ticker": names, "start": "2010-01-04", "end": ends}))


def only(prices, worlds, names):
    frame = prices.frame[prices.frame.index.get_level_values("ticker").isin(names)]
    return worlds.rebuilt(prices, frame)


def survivors(prices, worlds):
    return sorted(set(prices.tickers) - set(worlds.ends(prices).index))


# -- simulated


@pytest.mark.parametrize("seed", [1, 4, 7])
def test_simulated_prices_with_deaths_pass(seed):
    prices = rs.load_prices(source="simulated", seed=seed, n_tickers=60, start="2010-01-01", end="2016-12-31")
    assert audited(prices).status is Status.PASSED


def test_prices_with_deaths_pass_and_count_them(prices):
    verdict = audited(prices)
    assert verdict.status is Status.PASSED, verdict.finding
    evidence = dict(verdict.evidence)
    assert evidence["tickers that end"].startswith("10 of 60 in 7.0 years")
    assert evidence["draws of the universe repeated"] == "7 of 7"
    assert len(verdict.table) == 7


def test_file_of_survivors_fails(worlds, prices):
    verdict = audited(only(prices, worlds, survivors(prices, worlds)))
    assert verdict.status is Status.FAILED
    assert "all 50 tickers trade to the end of the file on 2016-12-30" in verdict.finding.lower()
    assert "left out" in verdict.finding
    assert any("%" in value for name, value in verdict.evidence if name == "size of the effect")
    assert any("size of the bias" in line for line in verdict.unproved)


def test_a_few_survivors_over_a_short_time_are_only_noted(worlds, every):
    short = every.until("2012-06-29")
    verdict = audited(only(short, worlds, short.tickers[:30]), start="2011-06-01")
    assert verdict.status is Status.NOTED
    chance = math.exp(-0.03 * 30 * 2.48)
    assert f"{chance:.1g}" in verdict.finding
    twelve = only(short, worlds, short.tickers[:12])
    assert audited(twelve, start="2011-06-01").status is Status.PASSED  # too few tickers for the test


def test_a_list_of_survivors_fails_and_its_effect_is_measured(worlds, prices):
    filters = rs.UniverseFilters(include=tuple(survivors(prices, worlds)))
    verdict = audited(prices, filters=filters)
    assert verdict.status is Status.FAILED
    assert "the include list names 50 tickers that all trade until 2016-12-30, while 10 of the 10 others" in (
        verdict.finding[0].lower() + verdict.finding[1:]
    )
    effect = dict(verdict.evidence)["size of the effect of the include list"]
    assert "a year without any model" in effect


def test_effect_equals_the_losses_of_ended_tickers(worlds, every):
    # ten names lose a fifth of their price every month of the year before they end
    frame = every.frame.copy()
    dates, names = frame.index.get_level_values("date"), frame.index.get_level_values("ticker")
    for name, (_, last) in ENDED.items():
        months = np.clip((pd.Timestamp(last) - dates).days.to_numpy() / 30.0, 0, 12)
        fall = np.where((names == name) & (dates <= last), 0.8 ** (12 - months), 1.0)
        for column in worlds.QUOTES:
            frame[column] *= fall
    prices = worlds.lived(worlds.rebuilt(every, frame), ENDED)
    verdict = audited(prices, filters=rs.UniverseFilters(include=tuple(survivors(prices, worlds))))
    effect = dict(verdict.evidence)["size of the effect of the include list"]
    gained = float(effect.split("difference of ")[1].split("%")[0])
    assert 2.0 < gained < 8.0  # 120 ticker-months of a fifth among some 4,500, 12 months a year


@pytest.mark.parametrize(("count", "status"), [(2, Status.NOTED), (12, Status.NOTED), (20, Status.FAILED)])
def test_short_lists_are_only_noted(worlds, prices, count, status):
    names = survivors(prices, worlds)[:count]
    assert audited(prices, filters=rs.UniverseFilters(include=tuple(names))).status is status


def test_a_list_that_holds_names_that_ended_is_noted(worlds, prices):
    verdict = audited(prices, filters=rs.UniverseFilters(include=prices.tickers[:40]))
    assert verdict.status is Status.NOTED
    assert "of which end" in verdict.finding


def test_an_index_with_leavers_passes(prices):
    verdict = audited(prices, membership=members(prices, [t for t in prices.tickers if t not in LISTED]))
    assert verdict.status is Status.PASSED, verdict.finding
    assert dict(verdict.evidence)["index members that leave"] == "10 of 55 in 7.0 years"


def test_index_without_leavers_fails(worlds, prices):
    names = [t for t in survivors(prices, worlds) if t not in LISTED]
    verdict = audited(prices, membership=members(prices, names))
    assert verdict.status is Status.FAILED
    assert "no member ever leaves the index: its 45 members from 2010-01-04" in verdict.finding
    assert "all joined on one day" in verdict.finding


def test_an_index_whose_leavers_have_no_prices_fails(worlds, prices):
    everybody = members(prices, [t for t in prices.tickers if t not in LISTED])
    without = only(prices, worlds, survivors(prices, worlds))
    verdict = audited(without, membership=everybody)
    assert verdict.status is Status.FAILED
    assert "of 10 members that left 10 have no prices (SIM000, SIM006" in verdict.finding
    assert dict(verdict.evidence)["members with prices"] == "0% of those that left, 100% of those that stayed"


def test_prices_that_lack_members_at_random_are_noted(worlds, prices):
    everybody = members(prices, [t for t in prices.tickers if t not in LISTED])
    kept = [t for i, t in enumerate(prices.tickers) if i % 10 != 3]
    verdict = audited(only(prices, worlds, kept), membership=everybody)
    assert verdict.status is Status.NOTED
    assert "prices are missing for index members" in verdict.finding.lower()


def test_sectors_without_dates_are_noted(prices):
    table = pd.DataFrame({"ticker": prices.tickers, "sector": "all"})
    verdict = audited(prices, sectors=read_sectors(table))
    assert verdict.status is Status.NOTED
    assert "sectors are those of the day on which their file was written" in verdict.finding.lower()
    dated = table.assign(start="2010-01-04", end="")
    assert audited(prices, sectors=read_sectors(dated)).status is Status.PASSED


def test_a_universe_larger_than_could_be_known_fails(prices):
    drawn = {"2011-01-07": 60, "2013-01-04": len(prices.tickers)}
    verdict = survivorship(prices, universe_sizes=drawn, filters=rs.UniverseFilters())
    assert verdict.status is Status.FAILED
    known = len(prices.until("2011-01-07").tickers)
    assert f"60 on 2011-01-07 where {known:,} were known" in verdict.finding


def test_scores_before_a_first_bar_fail(prices):
    late = next(iter(LISTED))
    index = pd.MultiIndex.from_tuples(
        [
            (pd.Timestamp("2010-06-04"), late),
            (pd.Timestamp("2014-06-06"), late),
            (pd.Timestamp("2014-06-06"), "SIM002"),
        ],
        names=["date", "ticker"],
    )
    verdict = audited(prices, signals=pd.DataFrame({"score": 1.0}, index=index))
    assert verdict.status is Status.FAILED
    assert f"1 scores are of tickers that had not traded yet, the first of {late} on 2010-06-04" in verdict.finding
    assert audited(prices, signals=pd.DataFrame({"score": 1.0}, index=index[1:])).status is Status.PASSED


def test_chances_are_hypergeometric():
    from scipy.stats import hypergeom

    assert _none_of(60, 10, 20) == pytest.approx(hypergeom.pmf(0, 60, 10, 20), rel=1e-9)
    assert _none_of(60, 10, 51) == 0.0
    assert _at_least(60, 10, 20, 7) == pytest.approx(sum(hypergeom.pmf(k, 60, 10, 20) for k in range(7, 11)), rel=1e-9)


# -- real


def test_the_real_weekly_preset_fails(shared_data):
    path = shared_data / "us-stocks-daily" / "ohlcv_top600.parquet"
    prices = rs.load_prices(source="files", path=path, on_bad="repair")
    verdict = audited(
        prices, start="2011-01-01", filters=rs.UniverseFilters(min_price=1.0, min_history=252, max_tickers=500)
    )
    assert verdict.status is Status.FAILED
    assert "600 tickers trade to the end of the file on 2017-11-10" in verdict.finding
    assert dict(verdict.evidence)["tickers that begin with the file"] == "600 of 600"


@pytest.fixture(scope="module")
def delisted(shared_data):
    return rs.load_prices(
        source="files",
        path=shared_data / "us-stocks-with-delisted" / "daily.parquet",
        return_column="ret",
        on_bad="repair",
    )


def test_real_stocks_with_delistings_pass(delisted):
    verdict = audited(delisted, start="2016-03-04")
    assert verdict.status is Status.PASSED
    assert dict(verdict.evidence)["tickers that end"].startswith("508 of 1,093")


def test_real_survivors_chosen_by_a_list_fail_and_the_effect_is_measured(worlds, delisted):
    ended = worlds.ends(delisted)
    alive = sorted(set(delisted.tickers) - set(ended.index))
    verdict = audited(delisted, start="2016-03-04", filters=rs.UniverseFilters(include=tuple(alive)))
    assert verdict.status is Status.FAILED
    print(dict(verdict.evidence)["size of the effect of the include list"])
    few = audited(delisted, start="2016-03-04", filters=rs.UniverseFilters(include=tuple(alive[:15])))
    assert few.status is Status.FAILED  # 15 of which none ended, where half of all did
    mixed = rs.UniverseFilters(include=(*alive[:9], *ended.index[:9]))
    assert audited(delisted, start="2016-03-04", filters=mixed).status is Status.NOTED
