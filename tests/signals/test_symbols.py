from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from signals.calendar import sessions
from signals.common.errors import InputError
from signals.data.prices import PRICE_COLUMNS, check_prices
from signals.dataset.universe import UniverseFilters, universe_at
from signals.reference.membership import read_membership
from signals.reference.security_ids import read_symbol_changes

QUOTES = ["open", "high", "low", "close"]
DAYS = sessions("2010-01-04", "2010-02-16")  # 30 of them
CHANGE = str(DAYS[12])


def bars_of(spans, *, factor=None, seed=0):
    """Bars of some tickers from one session until before another: random walks, adjusted = raw × factor."""
    rng = np.random.default_rng(seed)
    pieces = []
    for ticker, first, last in spans:
        days = DAYS[first:last]
        raw = 20 * np.exp(np.cumsum(rng.normal(0, 0.02, len(days))))
        scale = 1.0 if factor is None else factor[ticker]
        pieces.append(
            pd.DataFrame(
                dict.fromkeys(QUOTES, raw * scale) | {"volume": 1e6, "adj_factor": scale},
                index=pd.MultiIndex.from_product(
                    [pd.DatetimeIndex(days.astype("datetime64[ns]")), [ticker]], names=["date", "ticker"]
                ),
            )
        )
    return pd.concat(pieces).sort_index()


def table(*rows, **options):
    return read_symbol_changes(pd.DataFrame(rows, columns=["id", "ticker", "start", "end"]), **options)


RENAMED = [("FB", 0, 12), ("META", 12, 30), ("OLD", 0, 8), ("KO", 0, 30)]
FACEBOOK = [("facebook", "FB", "2010-01-01", CHANGE), ("facebook", "META", CHANGE, "")]


def test_a_change_of_ticker_is_one_history():
    prices = check_prices(bars_of(RENAMED))
    got = table(*FACEBOOK).apply(prices)
    assert got.tickers == ("KO", "OLD", "facebook")
    assert len(got.frame) == len(prices.frame)
    expected = pd.concat([prices.frame.xs("FB", level=1), prices.frame.xs("META", level=1)])
    pd.testing.assert_frame_equal(got.frame.xs("facebook", level=1), expected, check_exact=True, check_freq=False)
    pd.testing.assert_frame_equal(
        got.frame.xs("KO", level=1), prices.frame.xs("KO", level=1), check_exact=True, check_freq=False
    )
    panel = got.panel()
    assert panel.traded[:, panel.tickers.index("facebook")].all()
    assert got.frame.index.is_monotonic_increasing
    assert not got.frame["close"].to_numpy().flags.writeable
    # universe, members and prices now speak of ids
    members = read_membership(pd.DataFrame({"ticker": ["facebook", "KO"], "start": ["2010-01-04", "2010-02-01"]}))
    assert universe_at(panel, CHANGE, UniverseFilters(min_history=12), members) == ("facebook",)


def test_a_reused_ticker_is_two_histories():
    prices = check_prices(bars_of([("X", 0, 10), ("Y", 0, 30)]))
    reused = check_prices(pd.concat([prices.frame, bars_of([("X", 20, 30)], seed=1)]).sort_index())
    got = table(("steel", "X", "", str(DAYS[15])), ("crypto", "X", str(DAYS[15]), "")).apply(reused)
    assert got.tickers == ("Y", "crypto", "steel")
    assert len(got.frame.xs("steel", level=1)) == 10
    assert len(got.frame.xs("crypto", level=1)) == 10
    assert universe_at(got.panel(), DAYS[-1], UniverseFilters()) == ("Y", "crypto")
    # the new one has no history yet, although its ticker has
    assert universe_at(got.panel(), DAYS[25], UniverseFilters(min_history=6)) == ("Y",)


def test_prices_are_linked_where_the_ticker_changes():
    factor = {"FB": 0.5, "META": 0.25, "OLD": 1.0, "KO": 3.0}
    prices = check_prices(bars_of(RENAMED, factor=factor))
    got = table(*FACEBOOK).apply(prices)
    mine = got.frame.xs("facebook", level=1)
    raw = mine["close"] / mine["adj_factor"]
    expected = pd.concat([prices.frame.xs("FB", level=1), prices.frame.xs("META", level=1)])
    np.testing.assert_allclose(raw, expected["close"] / expected["adj_factor"], rtol=1e-14)
    np.testing.assert_allclose(mine["close"].pct_change()[1:], raw.pct_change()[1:], rtol=1e-12, atol=1e-14)
    # what was known before the change keeps its bits
    np.testing.assert_array_equal(mine["close"][:12], expected["close"][:12])
    assert any("1 change of ticker linked" in note for note in got.warnings)
    assert (got.frame["high"] >= got.frame["close"]).all()
    apart = table(*FACEBOOK, link=False).apply(prices).frame.xs("facebook", level=1)
    np.testing.assert_array_equal(apart["close"], expected["close"])


@pytest.mark.parametrize("day", [5, 12, 13, 29])
def test_until_before_and_after_apply_is_equal(day):
    factor = {"FB": 0.5, "META": 0.3, "OLD": 1.0, "KO": 3.0}
    prices = check_prices(bars_of(RENAMED, factor=factor))
    rows = [*FACEBOOK, ("a bank", "OLD", "", ""), ("zzz", "ZZZ", "", "")]
    a = table(*rows).apply(prices).until(DAYS[day])
    b = table(*rows).apply(prices.until(DAYS[day]))
    pd.testing.assert_frame_equal(a.frame, b.frame, check_exact=True)


def test_bars_outside_every_spell():
    prices = check_prices(bars_of(RENAMED))
    late = [("facebook", "FB", str(DAYS[3]), CHANGE), ("facebook", "META", CHANGE, "")]
    with pytest.raises(InputError, match=r"one of its spells; found FB on 2010-01-04 in none \(3 rows\)"):
        table(*late).apply(prices)
    got = table(*late, on_uncovered="drop").apply(prices)
    assert len(got.frame) == len(prices.frame) - 3
    assert any("3 rows left out: outside the spells" in note for note in got.warnings)
    with pytest.raises(InputError, match="all others outside"):
        table(("x", "KO", "1990-01-02", "1991-01-02"), on_uncovered="drop").apply(
            check_prices(bars_of([("KO", 0, 30)]))
        )
    with pytest.raises(InputError, match='expected on_uncovered = "raise" or "drop"; found \'keep\''):
        table(*late, on_uncovered="keep")


def test_two_securities_never_become_one():
    prices = check_prices(bars_of([("FB", 0, 12), ("META", 0, 10)]))
    with pytest.raises(
        InputError, match="differ from the other tickers of the prices; found 'META', a ticker that is not in"
    ):
        table(("META", "FB", "", "")).apply(prices)
    # the fund that had the ticker before gets an id of its own
    fund = ("fund", "META", "", str(DAYS[11]))
    got = table(("META", "FB", "", str(DAYS[12])), ("META", "META", str(DAYS[12]), ""), fund).apply(prices)
    assert got.tickers == ("META", "fund")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            [("a", "X", "2010-01-04", ""), ("b", "X", "2011-01-03", "")],
            "found X from 2010-01-04 without end, and again",
        ),
        (
            [("a", "X", "2010-01-04", ""), ("a", "Y", "2011-01-03", "")],
            "one ticker at a time; found 'a' as X without end and as Y from 2011-01-03",
        ),
        ([("a", "X", "2010-01-04", "2010-01-04")], "to end after it starts"),
        ([("", "X", "2010-01-04", "")], "found none in any row; write id"),
    ],
)
def test_malformed_tables(rows, words):
    with pytest.raises(InputError) as caught:
        table(*rows)
    assert words in str(caught.value)


def test_ids_are_text_and_bad_ones_are_refused(tmp_path):
    path = tmp_path / "symbols.csv"
    path.write_text("id,ticker,start,end\n007,FB,,\nTRUE,KO,,\n")
    symbols = read_symbol_changes(path)
    got = symbols.apply(check_prices(bars_of(RENAMED)))
    assert got.tickers == ("007", "META", "OLD", "TRUE")
    assert got.files.keys() == {"symbols.csv"}
    assert repr(symbols) == "SymbolTable(2 ids, 2 tickers, 2 spells)"
    path.write_text("id,ticker,start,end\ncash,FB,,\n")
    with pytest.raises(InputError, match="expected no ticker named 'cash'"):
        read_symbol_changes(path).apply(check_prices(bars_of(RENAMED)))
    nothing = table(("a", "NOT", "", "")).apply(check_prices(bars_of(RENAMED)))
    assert nothing.warnings[-1] == "the symbol table: no ticker of the prices is in it"


def test_closes_only_and_unknown_factors():
    frame = bars_of(RENAMED)[["close"]]
    prices = check_prices(frame, close_only=True, volume_known=False)
    got = table(*FACEBOOK).apply(prices)
    assert got.close_only
    assert not got.raw_known
    panel = got.panel()
    assert panel.open is panel.close
    for name in PRICE_COLUMNS:
        assert got.frame[name].dtype == np.float64


def test_real_tickers_under_ids(shared_data):
    from signals.sources.registry import load_prices

    path = shared_data / "us-etfs-daily" / "ohlcv.parquet"
    prices = load_prices(source="files", path=path, on_bad="repair")
    names = {ticker: f"id-{place:03d}" for place, ticker in enumerate(reversed(prices.tickers))}
    got = table(*[(code, ticker, "", "") for ticker, code in names.items()]).apply(prices)
    expected = prices.frame.rename(index=names, level=1).sort_index()
    np.testing.assert_array_equal(got.frame.to_numpy(), expected.to_numpy())
    assert got.tickers == tuple(sorted(names.values()))
