from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signals.calendar import sessions
from signals.common.errors import InputError
from signals.data.prices import PRICE_COLUMNS, Prices, check_prices


def refused(frame, **options):
    with pytest.raises(InputError) as caught:
        check_prices(frame, **options)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("expected ")
    assert "; found " in line
    return line


def put(frame, date, ticker, column, value):
    frame.loc[(pd.Timestamp(date), ticker), column] = value
    return frame


def test_valid_prices_are_unchanged(make_bars):
    frame = make_bars()
    before = frame.copy()
    prices = check_prices(frame, source="mine", warnings=["a"], files={"x.csv": "00"})
    pd.testing.assert_frame_equal(prices.frame, before, check_exact=True)
    pd.testing.assert_frame_equal(frame, before, check_exact=True)
    assert list(prices.frame.columns) == list(PRICE_COLUMNS)
    assert (prices.raw_known, prices.volume_known, prices.close_only, prices.simulated) == (True, True, False, False)
    assert prices.warnings == ("a",)
    assert prices.tickers == ("AAA", "BBB")
    assert (str(prices.first), str(prices.last)) == ("2010-01-04", "2010-01-15")
    assert str(prices.frame.index.levels[0].dtype) == "datetime64[ns]"
    assert prices.frame.index.levels[1].dtype == object


def test_check_prices_copies_the_frame(make_bars):
    frame = make_bars()
    prices = check_prices(frame)
    frame.iloc[0, 3] = 1.0
    assert prices.frame.iloc[0, 3] != 1.0


def test_other_dtypes_become_canonical(make_bars):
    frame = make_bars()
    frame["volume"] = frame["volume"].astype("int64")
    frame["close"] = frame["close"].astype("Float64")
    dates = frame.index.get_level_values(0).astype("datetime64[us]")
    frame.index = pd.MultiIndex.from_arrays(
        [dates, frame.index.get_level_values(1).astype("category")], names=["date", "ticker"]
    )
    prices = check_prices(frame)
    assert set(map(str, prices.frame.dtypes)) == {"float64"}
    assert str(prices.frame.index.levels[0].dtype) == "datetime64[ns]"
    assert prices.frame.index.levels[1].dtype == object


def test_factor_and_volume_may_be_unknown(make_bars):
    prices = check_prices(make_bars().drop(columns=["adj_factor", "volume"]), volume_known=False)
    assert not prices.raw_known
    assert not prices.volume_known
    assert (prices.frame["adj_factor"] == 1).all()
    assert (prices.frame["volume"] == 0).all()
    assert check_prices(make_bars(), raw_known=False).raw_known is False


def test_closes_only(make_bars):
    prices = check_prices(make_bars()[["close"]], close_only=True, volume_known=False)
    for name in ("open", "high", "low"):
        assert (prices.frame[name] == prices.frame["close"]).all()
    panel = prices.panel()
    assert panel.open is panel.close
    cut = panel.until("2010-01-06")
    assert cut.open is cut.close
    assert cut.close_only


@pytest.mark.parametrize("column", PRICE_COLUMNS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_missing_and_infinite_values(make_bars, column, value):
    line = refused(put(make_bars(), "2010-01-06", "BBB", column, value))
    assert f"expected a number as {column}; found {column} = {value:g} for BBB on 2010-01-06 (1 row)" in line
    assert 'on_bad = "repair"' in line


@pytest.mark.parametrize("column", PRICE_COLUMNS)
@pytest.mark.parametrize("value", [1e19, 1e-19, 1.7e308, 5e-324])
def test_numbers_beyond_any_price(make_bars, column, value):
    frame = put(make_bars(), "2010-01-06", "BBB", column, value)
    if column == "volume" and value < 1:
        assert len(check_prices(frame).frame) == 20
        return
    least = "0" if column == "volume" else "1e-18"
    assert f"expected {column} between {least} and 1e+18; found {column} = {value:.10g} for BBB" in refused(frame)
    assert len(check_prices(frame, on_bad="repair").frame) == 19


@pytest.mark.parametrize("column", ["open", "high", "low", "close", "adj_factor"])
@pytest.mark.parametrize("value", [0.0, -3.5])
def test_prices_not_above_zero(make_bars, column, value):
    frame = put(make_bars(), "2010-01-06", "BBB", column, value)
    line = refused(put(frame, "2010-01-12", "AAA", column, value))
    assert f"expected {column} above 0; found {column} = {value:g} for BBB on 2010-01-06 (2 rows)" in line


def test_negative_volume_is_refused_and_zero_volume_kept(make_bars):
    frame = put(make_bars(), "2010-01-06", "BBB", "volume", 0.0)
    assert len(check_prices(frame).frame) == len(frame)
    assert len(check_prices(frame, on_bad="repair").frame) == len(frame)
    line = refused(put(frame, "2010-01-06", "BBB", "volume", -1.0))
    assert "expected volume of at least 0; found volume = -1 for BBB on 2010-01-06" in line


@pytest.mark.parametrize(("column", "factor", "relation"), [("high", 0.5, "at least"), ("low", 2.0, "at most")])
def test_high_below_low_above(make_bars, column, factor, relation):
    frame = make_bars()
    wrong = frame.loc[(pd.Timestamp("2010-01-06"), "BBB"), "close"] * factor
    frame = put(frame, "2010-01-06", "BBB", column, wrong)
    line = refused(frame)
    assert f"expected {column} {relation} open and close; found {column} = {wrong:.10g} and" in line
    assert "for BBB on 2010-01-06 (1 row)" in line
    assert f'set on_bad = "repair" to widen {column}' in line
    prices = check_prices(frame, on_bad="repair")
    row = prices.frame.loc[(pd.Timestamp("2010-01-06"), "BBB")]
    assert row["low"] <= min(row["open"], row["close"])
    assert max(row["open"], row["close"]) <= row["high"]
    assert len(prices.warnings) == 1
    assert prices.warnings[0].startswith(f"1 row with {column} widened to contain open and close (first: {column} = ")
    untouched = prices.frame.drop(index=(pd.Timestamp("2010-01-06"), "BBB"))
    pd.testing.assert_frame_equal(untouched, make_bars().drop(index=(pd.Timestamp("2010-01-06"), "BBB")))


def test_rounding_is_widened_with_a_warning(make_bars):
    frame = make_bars()
    row = frame.loc[(pd.Timestamp("2010-01-06"), "BBB")]
    top = max(row["open"], row["close"])
    prices = check_prices(put(frame, "2010-01-06", "BBB", "high", top * (1 - 5e-7)))
    assert prices.frame.loc[(pd.Timestamp("2010-01-06"), "BBB"), "high"] == top
    assert prices.warnings == ("1 row with high widened within rounding (1e-6 of the price)",)
    refused(put(frame, "2010-01-06", "BBB", "high", top * (1 - 5e-6)))


def test_widening_goes_no_further_than_open_and_close(make_bars):
    frame = make_bars()
    bar = (pd.Timestamp("2010-01-06"), "BBB")
    frame.loc[bar, ["open", "high", "low", "close"]] = [10.0, 9.0, 9.5, 10.0]
    fixed = check_prices(frame, on_bad="repair").frame.loc[bar]
    assert fixed[["open", "high", "low", "close"]].tolist() == [10.0, 10.0, 9.5, 10.0]


def test_repair_drops_bad_rows_with_a_warning(make_bars):
    frame = make_bars(days=30)
    frame = put(frame, "2010-01-06", "BBB", "close", np.nan)
    frame = put(frame, "2010-01-07", "AAA", "open", 0.0)
    frame = put(frame, "2010-01-08", "AAA", "low", -1.0)
    frame = put(frame, "2010-01-11", "AAA", "volume", np.nan)
    frame = put(frame, "2010-01-12", "AAA", "adj_factor", 0.0)
    prices = check_prices(frame, on_bad="repair", warnings=["before"])
    assert len(prices.frame) == len(frame) - 5
    assert prices.warnings == (
        "before",
        "1 row dropped: expected open above 0 (first: open = 0 for AAA on 2010-01-07)",
        "1 row dropped: expected low above 0 (first: low = -1 for AAA on 2010-01-08)",
        "1 row dropped: expected a number as close (first: close = nan for BBB on 2010-01-06)",
        "1 row dropped: expected a number as volume (first: volume = nan for AAA on 2010-01-11)",
        "1 row dropped: expected adj_factor above 0 (first: adj_factor = 0 for AAA on 2010-01-12)",
    )
    check_prices(prices.frame)


def test_repair_without_valid_rows_is_refused(make_bars):
    frame = make_bars()
    frame["close"] = np.nan
    line = refused(frame, on_bad="repair")
    assert "found no valid row among 20 rows" in line


def test_bars_on_days_without_session(make_bars):
    frame = make_bars()
    sunday = frame.loc[[pd.Timestamp("2010-01-08")]].rename(
        index={pd.Timestamp("2010-01-08"): pd.Timestamp("2010-01-10")}
    )
    frame = pd.concat([frame, sunday]).sort_index()
    line = refused(frame)
    assert "expected dates that are sessions of XNYS; found a bar for AAA on 2010-01-10 (2 rows)" in line
    prices = check_prices(frame, on_bad="repair")
    assert len(prices.frame) == len(frame) - 2
    assert "2 rows dropped: expected dates that are sessions of XNYS" in prices.warnings[0]


def test_minute_bars(make_bars):
    frame = make_bars()
    frame.index = frame.index.set_levels(frame.index.levels[0] + pd.Timedelta("9h31min"), level=0)
    line = refused(frame, on_bad="repair")
    assert "expected daily bars, labelled by a date; found 2010-01-04 09:31:00 (10 such times)" in line
    assert "aggregate" in line


def test_time_zones_and_texts_as_dates(make_bars):
    frame = make_bars()
    utc = frame.copy()
    utc.index = frame.index.set_levels(frame.index.levels[0].tz_localize("UTC"), level=0)
    assert "expected dates without time zone; found 2010-01-04 00:00:00+00:00" in refused(utc)
    text = frame.copy()
    text.index = frame.index.set_levels(frame.index.levels[0].strftime("%Y-%m-%d"), level=0)
    assert "expected dates as datetime64; found" in refused(text)


def test_missing_labels(make_bars):
    frame = make_bars().reset_index()
    frame.loc[3, "ticker"] = None
    assert "expected a ticker in every row; found 1 row without" in refused(frame.set_index(["date", "ticker"]))
    frame = make_bars().reset_index()
    frame.loc[3, "date"] = pd.NaT
    assert "expected a date in every row; found 1 row without" in refused(frame.set_index(["date", "ticker"]))


@pytest.mark.parametrize("ticker", ["", " AAA", 7, "A\nB", "A\x07"])
def test_invalid_tickers_are_refused(make_bars, ticker):
    frame = make_bars().reset_index()
    frame["ticker"] = frame["ticker"].astype(object).where(frame["ticker"] != "AAA", ticker)
    frame = frame.set_index(["date", "ticker"])
    words = "expected tickers as text without blanks around it or control characters"
    assert f"{words}; found {str(ticker)!r}" in refused(frame)


def test_a_ticker_named_cash(make_bars):
    assert "expected no ticker named 'cash'" in refused(make_bars(tickers=("AAA", "cash")))
    assert check_prices(make_bars(tickers=("AAA", "CASH"))).tickers == ("AAA", "CASH")


def test_duplicates_and_disorder_raise_even_in_repair(make_bars):
    frame = make_bars()
    twice = pd.concat([frame, frame.iloc[[4]]]).sort_index()
    for on_bad in ("raise", "repair"):
        line = refused(twice, on_bad=on_bad)
        assert "expected one row per date and ticker; found AAA on 2010-01-06 more than once (1 row too many)" in line
    shuffled = frame.iloc[[0, 1, 4, 3, 2, *range(5, 20)]]
    for on_bad in ("raise", "repair"):
        line = refused(shuffled, on_bad=on_bad)
        assert "expected rows sorted by date, then ticker; found BBB on 2010-01-05 after AAA on 2010-01-06" in line
    apart = pd.concat([frame, frame.iloc[[4]]])
    assert "more than once" in refused(apart)


@pytest.mark.parametrize("block", [1, 2, 3, 7, 19, 20, 21])
def test_order_is_checked_across_blocks(make_bars, monkeypatch, block):
    monkeypatch.setattr("signals.data.price_index.BLOCK", block)
    frame = make_bars()
    check_prices(frame)
    for place in range(19):
        rows = [*range(place), place + 1, place, *range(place + 2, 20)]
        assert "sorted by date, then ticker" in refused(frame.iloc[rows])
        assert "more than once" in refused(frame.iloc[[*range(place + 1), *range(place, 20)]])


def test_wrong_shapes(make_bars):
    frame = make_bars()
    assert "use set_index" in refused(frame.reset_index())
    assert "use set_index" in refused(frame.swaplevel())
    assert "add close" in refused(frame.drop(columns="close"))
    assert "add volume" in refused(frame.drop(columns="volume"))
    assert "add adj_factor" in refused(frame.drop(columns="adj_factor"), raw_known=True)
    assert "drop or rename the others" in refused(frame.assign(sector=1))
    assert "at least one row" in refused(frame.iloc[:0])
    assert "found list" in refused([1, 2])
    assert "found 'sometimes'" in refused(frame, on_bad="sometimes")
    assert "expected numbers in column close; found '1,5'" in refused(frame.assign(close="1,5"))
    assert "expected numbers in column close; found 'True' (bool)" in refused(frame.assign(close=True))
    assert "unknown" not in refused(frame, calendar="XNYX")


def test_panel(make_bars):
    frame = make_bars(days=8)
    frame = frame.drop(index=[(pd.Timestamp("2010-01-06"), "AAA"), (pd.Timestamp("2010-01-07"), "AAA")])
    frame = frame.drop(index=[(pd.Timestamp("2010-01-07"), "BBB")])
    panel = check_prices(frame).panel()
    # a session without any trade is still a session
    assert panel.dates.tolist() == sessions("2010-01-04", "2010-01-13").tolist()
    assert panel.tickers == ("AAA", "BBB")
    assert panel.traded.tolist() == [[True, True]] * 2 + [[False, True], [False, False]] + [[True, True]] * 4
    for name in PRICE_COLUMNS:
        array = getattr(panel, name)
        assert array.shape == (8, 2)
        assert array.dtype == np.float64
        assert array.flags.c_contiguous
        assert not array.flags.writeable
        for (date, ticker), value in frame[name].items():
            row = panel.dates.tolist().index(date.date())
            assert array[row, panel.tickers.index(ticker)] == value
        assert np.isnan(array).sum() == 3


def test_panel_until_and_select(make_bars):
    frame = make_bars(tickers=("AAA", "BBB", "CCC"), days=8)
    late = [(date, "BBB") for date in frame.index.levels[0][:5]]
    panel = check_prices(frame.drop(index=late)).panel()
    early = panel.until("2010-01-07")
    assert early.tickers == ("AAA", "CCC")
    assert str(early.dates[-1]) == "2010-01-07"
    assert early.close.flags.c_contiguous
    assert panel.until("2010-01-10").dates[-1] == np.datetime64("2010-01-08")
    whole = panel.until("2015-01-01")
    assert whole.tickers == panel.tickers
    assert np.shares_memory(whole.close, panel.close)
    chosen = panel.select(["CCC", "BBB"])
    assert chosen.tickers == ("BBB", "CCC")
    np.testing.assert_array_equal(chosen.open, panel.open[:, 1:])
    assert chosen.open.flags.c_contiguous
    with pytest.raises(InputError, match=r"one of the 3 tickers of the prices; found 'CCD' \(close: CCC\)"):
        panel.select(["CCD"])
    with pytest.raises(InputError, match="expected a date from 2010-01-04 on, where prices begin; found 2010-01-03"):
        panel.until("2010-01-03")
    assert [panel.position(day) for day in ("2010-01-03", "2010-01-04", "2010-01-09", "2030-01-01")] == [-1, 0, 4, 7]


def test_cutting_before_or_after_laying_out_is_the_same(make_bars):
    frame = make_bars(tickers=("AAA", "BBB", "CCC"), days=20)
    late = [(date, "BBB") for date in frame.index.levels[0][:12]]
    prices = check_prices(frame.drop(index=late))
    for day in ("2010-01-12", "2010-01-25"):
        a, b = prices.panel().until(day), prices.until(day).panel()
        assert a.tickers == b.tickers
        assert a.dates.tolist() == b.dates.tolist()
        for name in PRICE_COLUMNS:
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert prices.until("2010-01-12").tickers == ("AAA", "CCC")
    assert prices.until("2010-01-17").last == np.datetime64("2010-01-15")
    with pytest.raises(InputError, match="where prices begin"):
        prices.until("2009-12-31")


def test_save_and_load(make_bars, tmp_path):
    prices = check_prices(make_bars(tickers=("NA", "TRUE", "brk-b")), warnings=["n"], files={"a.csv": "ab"}, source="x")
    prices.save(tmp_path / "a.parquet")
    prices.save(tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    meta = json.loads(json.dumps(prices.meta()))
    again = Prices.load(tmp_path / "a.parquet", meta)
    pd.testing.assert_frame_equal(again.frame, prices.frame, check_exact=True)
    assert again.frame.index.levels[1].dtype == object
    for field in dataclasses.fields(Prices):
        if field.name != "frame":
            assert getattr(again, field.name) == getattr(prices, field.name)
    again.save(tmp_path / "c.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "c.parquet").read_bytes()


def test_load_refuses(make_bars, tmp_path):
    prices = check_prices(make_bars())
    path = tmp_path / "a.parquet"
    with pytest.raises(InputError, match="found none"):
        Prices.load(path, prices.meta())
    prices.save(path)
    with pytest.raises(InputError, match="expected calendar in the description"):
        Prices.load(path, {k: v for k, v in prices.meta().items() if k != "calendar"})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged file"):
        Prices.load(path, prices.meta())
    prices.frame[["open"]].to_parquet(path)
    with pytest.raises(InputError, match=r"write it with Prices\.save"):
        Prices.load(path, prices.meta())


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_rows_survive_the_round_trip(data):
    """Any valid sparse table comes back from the panel row for row."""
    days = sessions("2015-12-21", "2016-01-29")
    tickers = sorted(data.draw(st.sets(st.text("ABCXYZ.-1", min_size=1, max_size=4), min_size=1, max_size=5)))
    cells = data.draw(
        st.sets(st.tuples(st.integers(0, len(days) - 1), st.integers(0, len(tickers) - 1)), min_size=1, max_size=60)
    )
    rows = sorted(cells)
    price = st.floats(1e-4, 1e6)
    values = []
    for _ in rows:
        opened, close = data.draw(price), data.draw(price)
        high = max(opened, close) * data.draw(st.floats(1, 2))
        low = min(opened, close) / data.draw(st.floats(1, 2))
        values.append((opened, high, low, close, data.draw(st.floats(0, 1e12)), data.draw(st.floats(1e-3, 1e3))))
    index = pd.MultiIndex.from_tuples([(pd.Timestamp(days[d]), tickers[t]) for d, t in rows], names=["date", "ticker"])
    frame = pd.DataFrame(values, index=index, columns=list(PRICE_COLUMNS))
    panel = check_prices(frame).panel()
    assert panel.dates.tolist() == [
        day for day in days.tolist() if rows[0][0] <= days.tolist().index(day) <= rows[-1][0]
    ]
    assert panel.traded.sum() == len(rows)
    at, column = np.nonzero(panel.traded)
    back = pd.DataFrame({name: getattr(panel, name)[at, column] for name in PRICE_COLUMNS})
    np.testing.assert_array_equal(back.to_numpy(), frame.to_numpy())
    assert [(panel.dates[d], panel.tickers[t]) for d, t in zip(at, column, strict=True)] == [
        (days[d], tickers[t]) for d, t in rows
    ]


@settings(max_examples=150, deadline=None)
@given(
    row=st.integers(0, 19),
    column=st.sampled_from(PRICE_COLUMNS),
    value=st.one_of(
        st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([0.0, -0.0, 1e-320, 1e308, -1.7e308, 1e18])
    ),
    on_bad=st.sampled_from(["raise", "repair"]),
)
def test_invalid_values_are_refused_or_dropped(row, column, value, on_bad):
    """With any value in one cell, checked prices are valid, or the error is one line."""
    dates = pd.DatetimeIndex(sessions("2010-01-04", "2010-01-15").astype("datetime64[ns]"))
    index = pd.MultiIndex.from_product([dates, pd.Index(["AAA", "BBB"], dtype=object)], names=["date", "ticker"])
    frame = pd.DataFrame(
        {"open": 10.0, "high": 11.0, "low": 9.0, "close": 10.5, "volume": 100.0, "adj_factor": 1.0}, index=index
    )
    frame.iloc[row, PRICE_COLUMNS.index(column)] = value
    try:
        out = check_prices(frame, on_bad=on_bad).frame
    except InputError as error:
        line = str(error)
    else:
        line = ""
    if line:
        assert on_bad == "raise"
        assert "\n" not in line
        assert ("AAA on " in line) or ("BBB on " in line)
        return
    assert np.isfinite(out.to_numpy()).all()
    assert (out[["open", "high", "low", "close", "adj_factor"]] > 0).all(axis=None)
    assert (out["volume"] >= 0).all()
    assert (out["high"] >= out[["open", "close", "low"]].max(axis=1)).all()
    assert (out["low"] <= out[["open", "close", "high"]].min(axis=1)).all()
    assert len(out) >= len(frame) - 1


def test_cards_of_prices_and_panels(make_bars):
    bad = "<script>alert(1)</script>"
    prices = check_prices(make_bars(tickers=("A", "BC", bad, "x" * 99, "Z")), warnings=[f"note {bad}"], simulated=True)
    lines = repr(prices).splitlines()
    assert lines[0] == "Prices (simulated)"
    assert lines[1].split() == ["source", "frame"]
    assert lines[2].split(maxsplit=1) == ["tickers", "5: <script>alert(1)</s…, A, BC, Z, …"]
    assert lines[3].split(maxsplit=1) == ["period", "2010-01-04 to 2010-01-15, bars on 10 sessions of XNYS"]
    assert lines[4].split() == ["bars", "50"]
    assert lines[5].split(maxsplit=1) == ["known", "open, high, low, close; volume; raw prices"]
    assert lines[6] == f"  ! note {bad}"
    assert len(lines) == 7
    panel = prices.panel()
    assert repr(panel).splitlines()[1].split(maxsplit=1) == ["sessions", "10 of XNYS, 2010-01-04 to 2010-01-15"]
    assert "50 (100.0% of all cells)" in repr(panel)
    for shown in (prices._repr_html_(), panel._repr_html_()):
        assert "<script>" not in shown
        assert "&lt;script&gt;" in shown
        assert "2010-01-15" in shown
    closes = check_prices(make_bars()[["close"]], close_only=True, volume_known=False)
    assert "closes only; no volume; no raw prices" in repr(closes)
    assert "closes only; no volume; no raw prices" in repr(closes.panel().until("2010-01-05"))
