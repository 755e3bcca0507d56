"""Splits and dividends: checks, files, agreement with factors, raw prices, and storage."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from signals.common.errors import InputError
from signals.data.corporate_actions import actions_frame, check_actions, raw_panel, simple_ratio
from signals.data.prices import Prices, check_prices
from signals.reference.security_ids import read_symbol_changes
from signals.sources.action_files import read_actions
from signals.sources.registry import load_prices

DAYS = pd.to_datetime(["2015-01-02", "2015-01-05", "2015-01-06", "2015-01-07", "2015-01-08"])


def actions(*rows):
    index = pd.MultiIndex.from_tuples([(pd.Timestamp(r[0]), r[1]) for r in rows], names=["date", "ticker"])
    return pd.DataFrame({"split": [r[2] for r in rows], "dividend": [r[3] for r in rows]}, index=index, dtype=float)


def adjusted(raw, factor, ticker="A", days=DAYS, volume=1e6):
    """Prices of one ticker from raw closes and factors."""
    close = np.asarray(raw, float) * np.asarray(factor, float)
    frame = pd.DataFrame(
        dict.fromkeys(("open", "high", "low", "close"), close) | {"volume": volume, "adj_factor": factor},
        index=pd.MultiIndex.from_product([days[: len(raw)], [ticker]], names=["date", "ticker"]),
    )
    return frame.astype(float)


SPLIT = adjusted([100.0, 102.0, 51.0, 50.0, 50.5], [0.5, 0.5, 1.0, 1.0, 1.0])


# -- checks -----------------------------------------------------------------------------------------------------------


def test_check_actions_returns_the_canonical_table():
    given = pd.DataFrame(
        {"split": [1.0, np.nan, 0.333333], "dividend": [0.0, 0.25, np.nan]},
        index=pd.MultiIndex.from_tuples([(DAYS[0], "A"), (DAYS[1], "A"), (DAYS[1], "B")], names=["date", "ticker"]),
    )
    found = check_actions(given)
    assert found.to_dict("list") == {"split": [1.0, 1.0 / 3.0], "dividend": [0.25, 0.0]}
    assert list(found.index) == [(DAYS[1], "A"), (DAYS[1], "B")]
    assert len(check_actions(given[["split"]])) == 1
    assert check_actions(given.iloc[:0]).dtypes.tolist() == [np.float64, np.float64]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [("2015-01-05", "A", 0.0, 0.0)],
            "new shares for one old one, above 0; found 0 for A on 2015-01-05",
        ),
        ([("2015-01-05", "A", float("inf"), 0.0)], "found inf for A on 2015-01-05"),
        ([("2015-01-05", "A", 1.0, -0.1)], "a dividend of at least 0; found -0.1 for A on 2015-01-05"),
        ([("2015-01-03", "A", 2.0, 0.0)], "sessions of XNYS; found A on 2015-01-03"),
        ([("2015-01-06", "A", 2.0, 0.0), ("2015-01-05", "A", 2.0, 0.0)], "sorted by date, then ticker"),
        ([("2015-01-05", "A", 2.0, 0.0), ("2015-01-05", "A", 1.0, 0.1)], "found A on 2015-01-05 more than once"),
    ],
)
def test_check_actions_names_the_invalid_row(rows, message):
    with pytest.raises(InputError, match=message) as error:
        check_actions(actions(*rows))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("broken", [pd.DataFrame({"ratio": [2.0]}), pd.DataFrame(), [1.0]])
def test_check_actions_requires_its_columns(broken):
    with pytest.raises(InputError, match=r"expected (the columns split, dividend|actions as a pandas)"):
        check_actions(broken)


def test_text_instead_of_numbers_is_refused():
    with pytest.raises(InputError, match="numbers in column split"):
        check_actions(actions(("2015-01-05", "A", 2.0, 0.0)).astype({"split": object}).replace(2.0, "2:1"))


def test_actions_of_one_day_are_joined_in_order():
    # two for one, then 0.30 per new share: 0.60 per old one
    found = actions_frame([("2015-01-05", "A", 2.0, 0.0), ("2015-01-05", "A", 1.0, 0.3), ("2015-01-05", "B", 1.0, 0.0)])
    assert found.loc[(DAYS[1], "A")].tolist() == [2.0, 0.6]
    assert len(found) == 1


@pytest.mark.parametrize(
    ("given", "meant"), [(1 / 0.142857, 7.0), (1 / 0.0714286 * 0.142857, 2.0), (1.05, 1.05), (10.492552, 10.492552)]
)
def test_rounded_ratios_become_simple_fractions(given, meant):
    assert simple_ratio(given) == meant


# -- prices -----------------------------------------------------------------------------------------------------------


def test_prices_keep_actions_of_their_tickers_and_dates():
    given = actions(
        ("2014-12-31", "A", 1.0, 0.5), ("2015-01-06", "A", 2.0, 0.0), ("2015-01-06", "Z", 3.0, 0.0),
        ("2015-01-09", "A", 1.0, 0.5),
    )  # fmt: skip
    prices = check_prices(SPLIT, actions=given)
    assert list(prices.actions.index) == [(DAYS[2], "A")]
    assert prices.warnings == ()
    assert "splits and dividends" in repr(prices)
    assert prices.panel().actions is prices.actions
    assert len(prices.until("2015-01-05").actions) == 0
    assert len(prices.panel().until("2015-01-05").actions) == 0
    assert len(prices.panel().until("2015-01-06").actions) == 1
    assert check_prices(SPLIT).actions is None


def test_selection_of_a_panel_keeps_its_actions():
    frame = pd.concat([SPLIT, adjusted([10.0, 10.0, 10.0], [1.0, 1.0, 1.0], "B")]).sort_index()
    prices = check_prices(frame, actions=actions(("2015-01-06", "A", 2.0, 0.0)))
    assert len(prices.panel().select(["B"]).actions) == 0
    assert len(prices.panel().select(["A"]).actions) == 1


def test_a_split_that_factors_leave_out_is_refused():
    flat = adjusted([50.0, 51.0, 51.0, 50.0, 50.5], [1.0] * 5)
    with pytest.raises(
        InputError, match=r"one of 2 for 1 for A on 2015-01-06 and a factor that changes by 1, not 0\.5"
    ):
        check_prices(flat, actions=actions(("2015-01-06", "A", 2.0, 0.0)))


def test_smaller_differences_give_a_warning():
    dividend = adjusted([100.0, 100.0, 99.0, 99.0, 99.0], [0.99, 0.99, 1.0, 1.0, 1.0])
    assert check_prices(dividend, actions=actions(("2015-01-06", "A", 1.0, 1.0))).warnings == ()
    (note,) = check_prices(dividend, actions=actions(("2015-01-06", "A", 1.0, 3.0))).warnings
    assert "do not explain adj_factor on 1 of 5 bars" in note
    assert "A on 2015-01-06, where it changes by 0.99 and actions by 0.97" in note
    (note,) = check_prices(dividend, actions=actions(("2015-01-05", "A", 1.0, 1.0))).warnings
    assert "on 2 of 5 bars" in note


def test_several_actions_between_two_bars_agree_with_one_change_of_the_factor():
    # 100, then 1.00 paid, 2 for 1, and 0.50 per new share: (99 / 2 - 0.5) / 100 = 0.49, no bar on the days themselves
    frame = adjusted([100.0, 49.0], [0.49, 1.0], days=DAYS[[0, 4]])
    given = actions(("2015-01-05", "A", 1.0, 1.0), ("2015-01-06", "A", 2.0, 0.0), ("2015-01-07", "A", 1.0, 0.5))
    assert check_prices(frame, actions=given).warnings == ()


def test_prices_and_actions_are_kept_together(tmp_path):
    gap = SPLIT.drop(index=(DAYS[2], "A"))
    given = actions(("2015-01-06", "A", 2.0, 0.0), ("2015-01-08", "A", 1.0, 0.01))
    prices = check_prices(gap, actions=given)
    prices.save(tmp_path / "a.parquet")
    meta = json.loads(json.dumps(prices.meta()))
    assert meta["actions"] == 2
    again = Prices.load(tmp_path / "a.parquet", meta)
    pd.testing.assert_frame_equal(again.frame, prices.frame, check_exact=True)
    pd.testing.assert_frame_equal(again.actions, prices.actions, check_exact=True)
    again.save(tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    with pytest.raises(InputError, match=r"expected 3 splits and dividends in .*; found 2"):
        Prices.load(tmp_path / "a.parquet", meta | {"actions": 3})
    with pytest.raises(InputError, match="expected the columns"):
        Prices.load(tmp_path / "a.parquet", {k: v for k, v in meta.items() if k != "actions"})


def test_prices_without_actions_keep_their_bytes(tmp_path):
    known = check_prices(SPLIT, actions=actions_frame(()))
    unknown = check_prices(SPLIT)
    known.save(tmp_path / "known")
    unknown.save(tmp_path / "unknown")
    assert (tmp_path / "known").read_bytes() == (tmp_path / "unknown").read_bytes()
    assert len(Prices.load(tmp_path / "known", known.meta()).actions) == 0
    assert Prices.load(tmp_path / "known", unknown.meta()).actions is None
    assert "actions" not in unknown.meta()


def test_actions_follow_a_change_of_ticker():
    frame = pd.concat([SPLIT.iloc[:2], adjusted([51.0, 50.0, 50.5], [1.0] * 3, "NEW", DAYS[2:])]).sort_index()
    table = pd.DataFrame(
        {"id": ["one", "one"], "ticker": ["A", "NEW"], "start": ["", "2015-01-06"], "end": ["2015-01-06", ""]}
    )
    given = actions(("2015-01-05", "A", 1.0, 0.1), ("2015-01-06", "NEW", 2.0, 0.0), ("2015-01-07", "A", 1.0, 9.0))
    prices = read_symbol_changes(table).apply(check_prices(frame, actions=given))
    assert prices.actions.reset_index().to_numpy().tolist() == [
        [DAYS[1], "one", 1.0, 0.1], [DAYS[2], "one", 2.0, 0.0],
    ]  # fmt: skip


# -- raw prices -------------------------------------------------------------------------------------------------------


def test_raw_prices_equal_the_numbers_of_the_file():
    rng = np.random.default_rng(5)
    raw = np.round(np.exp(rng.uniform(-4, 12, 5000)) + 0.01, 4)
    factor = rng.uniform(1e-3, 1.0, 5000)
    days = pd.to_datetime(load_days(5000))
    panel = check_prices(adjusted(raw, factor, days=days), actions=actions_frame(())).panel()
    found = raw_panel(panel)
    assert (found.close[~np.isnan(found.close)] == raw).all()
    assert (found.adj_factor == 1.0).all()
    assert found.volume is panel.volume
    assert not found.close.flags.writeable
    assert raw_panel(found) is found


def load_days(n):
    from signals.calendar import sessions

    return sessions("1998-01-02", "2019-12-31")[:n]


def test_raw_prices_have_to_be_known():
    with pytest.raises(InputError, match="raw prices are known; found adjusted ones alone"):
        raw_panel(check_prices(SPLIT.drop(columns="adj_factor"), actions=actions_frame(())).panel())
    with pytest.raises(
        InputError, match=r"whose splits and dividends are known; found none; give prices\.factor_files"
    ):
        raw_panel(check_prices(SPLIT).panel())


def test_close_only_prices_stay_one_array():
    frame = SPLIT[["close", "volume", "adj_factor"]]
    panel = raw_panel(check_prices(frame, close_only=True, actions=actions(("2015-01-06", "A", 2.0, 0.0))).panel())
    assert panel.open is panel.close
    assert panel.close[:, 0].tolist() == [100.0, 102.0, 51.0, 50.0, 50.5]


# -- files ------------------------------------------------------------------------------------------------------------


def test_a_file_of_actions(tmp_path):
    (tmp_path / "a.csv").write_text("Ex Date,Symbol,Dividends\n2015-01-06,NA,0.5\n2015-01-05,A,\n")
    found = read_actions(tmp_path / "a.csv")
    assert found.index.tolist() == [(DAYS[1], "A"), (DAYS[2], "NA")]
    assert check_actions(found).to_dict("list") == {"split": [1.0], "dividend": [0.5]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("date,ticker\n2015-01-05,A\n", "expected the columns date,ticker,split,dividend in a.csv"),
        ("date,ticker,split\n,A,2\n", "expected an ex-date in every row of a.csv; found none in row 1"),
        ("date,ticker,split\n2015-01-05,A,2:1\n", "a number as split in row 1 of a.csv; found '?2:1"),
        ("date,ticker,split,Splits\n2015-01-05,A,2,2\n", "one column for split"),
        ("date,ticker,split\n2015-01-05,,2\n", "expected a ticker in every row"),
    ],
)
def test_invalid_files_of_actions_are_refused(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_actions(tmp_path / "a.csv")
    assert "\n" not in str(error.value)


@pytest.fixture
def raw_file(tmp_path):
    closes = [100.0, 102.0, 50.49, 50.0, 50.5]
    rows = "".join(f"{day:%Y-%m-%d},{c},{c},{c},{c},1000\n" for day, c in zip(DAYS, closes, strict=True))
    (tmp_path / "A.csv").write_text("date,open,high,low,close,volume\n" + rows)
    (tmp_path / "actions.txt").write_text("date,ticker,split,dividend\n2015-01-06,A,2,1.02\n2015-01-08,A,,0.5\n")
    return tmp_path / "A.csv"


def test_raw_closes_are_adjusted_by_actions(raw_file):
    prices = load_prices(source="files", path=raw_file, corporate_actions=raw_file.parent / "actions.txt")
    # 2015-01-06: (102 - 1.02) / 2 / 102 = 0.495; 2015-01-08: 49.5 / 50 = 0.99; the first row is the anchor
    factor = prices.frame["adj_factor"].to_numpy()
    np.testing.assert_allclose(factor, [1.0, 1.0, 1 / 0.495, 1 / 0.495, 1 / 0.495 / 0.99], rtol=1e-12)
    # total return: 102 / 100, then 50.49 × 2 + 1.02 for 102 (reinvested at 100.98), then 50 / 50.49, then 50.5 / 49.5
    wanted = [1.02, 1.0, 50 / 50.49, 50.5 / 49.5]
    found = prices.frame["close"].pct_change().add(1).to_numpy()[1:]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert prices.raw_known
    assert prices.actions.to_dict("list") == {"split": [2.0, 1.0], "dividend": [1.02, 0.5]}
    assert raw_panel(prices.panel()).close[:, 0].tolist() == [100.0, 102.0, 50.49, 50.0, 50.5]
    assert "actions/actions.txt" in prices.files
    assert any("adjusted by the splits and dividends in prices.corporate_actions" in note for note in prices.warnings)


def test_adjusted_closes_are_not_adjusted_again(raw_file):
    text = raw_file.read_text().replace("100.0,", "49.5,").replace("102.0,", "50.5,")
    raw_file.write_text(text)
    with pytest.raises(InputError, match=r"found 50\.5 and then 50\.49 for A on 2015-01-06, across a split of 2 for 1"):
        load_prices(source="files", path=raw_file, corporate_actions=raw_file.parent / "actions.txt")


def test_a_dividend_beyond_the_price_is_refused(raw_file):
    (raw_file.parent / "actions.txt").write_text("date,ticker,dividend\n2015-01-06,A,102\n")
    with pytest.raises(InputError, match="expected dividends below the close before; found more than 102 for A"):
        load_prices(source="files", path=raw_file, corporate_actions=raw_file.parent / "actions.txt")


def test_a_missing_file_of_actions_is_named(raw_file):
    with pytest.raises(
        InputError, match=r"splits and dividends at .*none\.csv; found none; correct prices\.corporate_actions"
    ):
        load_prices(source="files", path=raw_file, corporate_actions=raw_file.parent / "none.csv")


def test_factor_files_give_their_splits_and_dividends(tmp_path, raw_file):
    (tmp_path / "factors").mkdir()
    # 1 % of 102 paid and two for one; then 0.5 of 50; the last line is for ever
    (tmp_path / "factors" / "A.csv").write_text("20150105,0.9801,0.5,102\n20150107,0.99,1,50\n20501231,1,1,0\n")
    prices = load_prices(source="files", path=raw_file, factor_files=tmp_path / "factors")
    assert prices.actions.index.tolist() == [(DAYS[2], "A"), (DAYS[4], "A")]
    np.testing.assert_allclose(prices.actions["dividend"], [1.02, 0.5], rtol=1e-9)
    assert prices.actions["split"].tolist() == [2.0, 1.0]


def test_factors_that_no_dividend_explains_leave_actions_unknown(tmp_path, raw_file):
    (tmp_path / "factors").mkdir()
    (tmp_path / "factors" / "A.csv").write_text("20150105,1.2,0.5,102\n20501231,1,1,0\n")
    prices = load_prices(source="files", path=raw_file, factor_files=tmp_path / "factors")
    assert prices.actions is None
    assert any(
        note.startswith("splits and dividends are not known: expected price factors") for note in prices.warnings
    )


def test_real_factor_files(shared_data):
    folder = shared_data / "corporate-actions-sample"
    prices = load_prices(source="files", path=folder, file_names="{ticker}_daily_raw", factor_files=folder)
    splits = prices.actions[prices.actions["split"] != 1.0]["split"]
    assert splits.xs("aapl", level="ticker").to_dict() == {
        pd.Timestamp("2000-06-21"): 2.0, pd.Timestamp("2005-02-28"): 2.0, pd.Timestamp("2014-06-09"): 7.0,
    }  # fmt: skip
    assert splits.xs("aig", level="ticker").loc["2009-07-01"] == 0.05
    # Apple paid 2.65 per share in August 2012, the first dividend since 1995; factors have seven digits
    apple = prices.actions["dividend"].xs("aapl", level="ticker")
    assert apple.loc["2012-08-09"] == pytest.approx(2.65, abs=0.05)
    assert not any("do not explain" in note for note in prices.warnings)
    assert any(
        "2 splits are not simple ratios of shares (first: 1.49894 for 1 of aig" in note for note in prices.warnings
    )
    raw = raw_panel(prices.panel())
    for column, ticker in enumerate(raw.tickers):
        delivered = pd.read_csv(folder / f"{ticker}_daily_raw.csv.gz")
        traded = ~np.isnan(raw.close[:, column])
        for name in ("open", "high", "low", "close"):
            assert (getattr(raw, name)[traded, column] == delivered[name].to_numpy()).all()
