"""Replayed fills: checks of journal entries, their matching with orders, and bit-identical repetition of runs."""

from __future__ import annotations

from types import SimpleNamespace

import backtrader as bt
import numpy as np
import pandas as pd
import pytest
from backtrader.order import Order

import rnn_strategies as rs
from backtests.broker.fill_sources import UNFILLED, Ending, Fill, FillSource, split_commission
from backtests.feeds.session_clock import day_numbers
from backtests.journal.fill_journal import FillJournal
from signals.common.errors import CheckFailedError, InputError

DAY = "2015-01-05"
NEXT = "2015-01-06"


def number(day):
    return float(day_numbers(np.array([day], dtype="datetime64[D]"))[0])


def entries(*rows):
    """Frame from (date, ticker, amount, price, commission, {more columns})."""
    table = []
    for date, ticker, amount, price, commission, *more in rows:
        fixed = {"date": date, "ticker": ticker, "amount": amount, "price": price, "commission": commission}
        table.append(fixed | (more[0] if more else {}))
    return pd.DataFrame(table)


class Asked:
    """An order as far as a journal looks at it."""

    count = 0

    def __init__(self, ticker, size, *, kind=Order.Market, price=None, limit=None):
        Asked.count += 1
        self.ref = Asked.count
        self.data = SimpleNamespace(_name=ticker)
        self.size, self.exectype = float(size), kind
        self.executed = SimpleNamespace(remsize=float(size))
        self.created = SimpleNamespace(price=price, pricelimit=limit)

    def isbuy(self):
        return self.size > 0


def give(journal, order, day=DAY):
    journal.given(order, number(day))
    return order


# -- checks of entries -----------------------------------------------------------------------------------------------


GOOD = entries((DAY, "A", 100.0, 10.0, 1.0), (NEXT, "A", -100.0, 11.0, 0.5))


def test_a_journal_keeps_its_fills_in_the_order_of_sessions_and_sequence(tmp_path):
    shuffled = GOOD.assign(sequence=[7, 0]).iloc[::-1]
    journal = FillJournal.from_frame(shuffled)
    assert len(journal) == 2
    assert repr(journal) == "FillJournal(2 fills of 1 ticker, 2015-01-05 to 2015-01-06)"
    assert journal.frame["amount"].tolist() == [100.0, -100.0]
    journal.write(tmp_path / "journal.parquet")
    again = FillJournal.read(tmp_path / "journal.parquet")
    pd.testing.assert_frame_equal(again.frame, journal.frame)
    again.write(tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "journal.parquet").read_bytes()
    assert isinstance(journal, FillSource)


@pytest.mark.parametrize(
    "index", [pd.DatetimeIndex([DAY, NEXT]), pd.DatetimeIndex([DAY, NEXT], tz="UTC"), pd.Index([DAY, NEXT])]
)
def test_dates_may_be_the_index_and_have_the_time_zone_of_transactions(index):
    frame = GOOD.drop(columns="date").set_index(index.rename("date"))
    pd.testing.assert_frame_equal(FillJournal.from_frame(frame).frame, FillJournal.from_frame(GOOD).frame)


def test_an_empty_journal_is_one():
    journal = FillJournal.from_frame(GOOD.iloc[:0])
    assert len(journal) == 0
    assert repr(journal) == "FillJournal(no fills)"
    assert journal.fills_of(Asked("A", 10), number(DAY)) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"amount": [0.0, 1.0]}, "amount: signed shares"),
        ({"amount": [np.nan, 1.0]}, "amount: signed shares.*found nan of A on 2015-01-05"),
        ({"price": [-1.0, 1.0]}, "price: a price above 0; found -1.0 of A"),
        ({"price": [np.inf, 1.0]}, "price: a price above 0"),
        ({"price": ["x", 1.0]}, "price: numbers"),
        ({"commission": [1.0, -0.1]}, "commission: an amount.*found -0.1 of A on 2015-01-06"),
        ({"ticker": ["A", ""]}, "ticker: text; found ''"),
        ({"ticker": [3, "A"]}, "ticker: text; found 3"),
        ({"date": ["never", NEXT]}, "date: dates"),
        ({"date": [20150105, 20150106]}, "date: dates; found numbers"),
        ({"date": [None, NEXT]}, "date: session dates at midnight; found no date in row 1"),
        ({"date": [DAY, "2015-01-06 16:00"]}, "found a time of day in row 2"),
        ({"date": [DAY, DAY], "sequence": [1, 1]}, "sequence: once a session"),
        ({"sequence": [0.5, 1]}, "sequence: a whole number"),
        ({"given": [NEXT, NEXT], "number": [1, 1]}, "given: no later than the fill"),
        ({"given": [DAY, DAY]}, "number: 1 or more where given is known"),
        ({"number": [1, 1]}, "number: 1 or more where given is known"),
        ({"status": ["", "lost"], "amount": [1.0, 0.0]}, "status: one of margin.*found 'lost'"),
        ({"status": ["", "expired"], "amount": [1.0, 0.0]}, "given: known in rows with a status"),
        ({"status": ["", "expired"]}, "amount: signed shares, 0 only in rows with a status"),
        ({"shares": [1, 2]}, "columns among date.*found 'shares'"),
        ({"amount": [True, False]}, "amount: numbers; found true and false"),
    ],
)
def test_invalid_entries_are_refused_in_one_line(change, message):
    with pytest.raises(InputError, match=message) as refused:
        FillJournal.from_frame(GOOD.assign(**change))
    assert "\n" not in str(refused.value)


def test_the_door_names_missing_columns_and_damaged_files(tmp_path):
    with pytest.raises(InputError, match="missing commission"):
        FillJournal.from_frame(GOOD.drop(columns="commission"))
    with pytest.raises(InputError, match="expected a DataFrame of fills; found dict"):
        FillJournal.from_frame({})
    with pytest.raises(InputError, match=r"none\.parquet"):
        FillJournal.read(tmp_path / "none.parquet")
    GOOD.assign(price=-1.0).to_parquet(tmp_path / "bad.parquet")
    with pytest.raises(InputError, match=r"price above 0.*\(in .*bad.parquet\)"):
        FillJournal.read(tmp_path / "bad.parquet")
    with pytest.raises(InputError, match="simulate_after as a date; found 'soon'"):
        FillJournal.from_frame(GOOD, simulate_after="soon")
    two = entries(*[(DAY, "A", 0.0, np.nan, 0.0, {"given": DAY, "number": 1, "status": "expired"})] * 2)
    with pytest.raises(InputError, match="one ending for an order"):
        FillJournal.from_frame(two)


# -- whom an entry belongs to ----------------------------------------------------------------------------------------


def test_fills_go_to_the_order_once_each():
    journal = FillJournal.from_frame(entries((DAY, "A", 40.0, 10.0, 1.0), (DAY, "A", 60.0, 10.5, 2.0)))
    order = give(journal, Asked("A", 100))
    assert journal.expects(order, number(DAY))
    assert journal.fills_of(order, number(DAY)) == [Fill(40.0, 10.0, 1.0), Fill(60.0, 10.5, 2.0)]
    assert journal.fills_of(order, number(DAY)) == []
    assert not journal.expects(order, number(DAY))
    assert journal.left_over(number(DAY)) == []
    journal.begin()  # a second run of the same Cerebro
    assert len(journal.fills_of(give(journal, Asked("A", 100)), number(DAY))) == 2


def test_without_numbers_ticker_side_size_session_and_limit_decide():
    row = entries((DAY, "A", 100.0, 10.0, 0.0))
    strangers = [
        Asked("B", 100),
        Asked("A", -100),
        Asked("A", 99),
        Asked("A", 100, kind=Order.Limit, price=9.99),
        Asked("A", 100, kind=Order.StopLimit, price=11.0, limit=9.0),
    ]
    journal = FillJournal.from_frame(row)
    for order in strangers:
        assert journal.fills_of(give(journal, order), number(DAY)) == []
    mine = give(journal, Asked("A", 100, kind=Order.Limit, price=10.0))
    assert journal.fills_of(mine, number(NEXT)) == []
    assert journal.fills_of(mine, number(DAY)) == [Fill(100.0, 10.0, 0.0)]

    sold = FillJournal.from_frame(entries((DAY, "A", -5.0, 10.0, 0.0)))
    assert sold.fills_of(give(sold, Asked("A", -5, kind=Order.Limit, price=10.5)), number(DAY)) == []
    assert sold.fills_of(give(sold, Asked("A", -5, kind=Order.Stop, price=12.0)), number(DAY)) == [Fill(-5, 10, 0)]


def test_with_numbers_only_that_order_is_meant():
    known = {"given": DAY, "number": 2}
    journal = FillJournal.from_frame(entries((NEXT, "A", 100.0, 10.0, 0.0, known)))
    first, second = (give(journal, Asked("A", 100)) for _ in range(2))
    other = give(journal, Asked("B", 100))
    assert [journal.expects(order, number(DAY)) for order in (first, second, other)] == [False, True, False]
    assert journal.fills_of(first, number(NEXT)) == []
    assert journal.fills_of(second, number(NEXT)) == [Fill(100.0, 10.0, 0.0)]


@pytest.mark.parametrize("size", [99.0, -100.0])
def test_more_than_the_order_is_an_error_when_the_order_is_known(size):
    journal = FillJournal.from_frame(entries((NEXT, "A", 100.0, 10.0, 0.0, {"given": DAY, "number": 1})))
    order = give(journal, Asked("A", size))
    with pytest.raises(CheckFailedError, match=r"given on 2015-01-05; found \+100 in the journal"):
        journal.fills_of(order, number(NEXT))


def test_what_no_order_asked_for_is_a_complaint_told_once():
    journal = FillJournal.from_frame(GOOD)
    assert journal.left_over(number("2015-01-02")) == []
    (warning,) = journal.left_over(number(DAY))
    assert "found none for +100 A at 10 on 2015-01-05" in warning
    (warning,) = journal.left_over(number(NEXT))
    assert "-100 A at 11 on 2015-01-06" in warning
    assert journal.left_over(number(NEXT)) == []


def test_rounding_leaves_no_rest():
    journal = FillJournal.from_frame(entries((DAY, "A", 0.1, 10.0, 0.0), (DAY, "A", 0.2, 10.0, 0.0)))
    order = give(journal, Asked("A", 0.3))
    assert 0.3 - 0.1 - 0.2 != 0.0
    fills = journal.fills_of(order, number(DAY))
    rest = 0.3
    for fill in fills:
        rest -= fill.size
    assert rest == 0.0


def test_endings_say_how_an_order_ended():
    how = {"given": DAY, "number": 1, "status": "rejected", "reason": "not shortable today"}
    journal = FillJournal.from_frame(entries((NEXT, "A", 0.0, np.nan, 0.0, how)))
    order, other = give(journal, Asked("A", -10)), give(journal, Asked("A", -10))
    assert not journal.expects(order, number(DAY))
    assert journal.ending_of(order, number(DAY)) is None
    assert journal.ending_of(order, number(NEXT)) == Ending(Order.Rejected, "not shortable today")
    assert journal.ending_of(other, number(NEXT)) is None


def test_after_its_last_session_the_broker_simulates_again():
    journal = FillJournal.from_frame(GOOD, simulate_after=DAY)
    order = give(journal, Asked("A", 100))
    assert journal.fills_of(order, number(DAY)) == [Fill(100.0, 10.0, 1.0)]
    assert journal.fills_of(order, number(NEXT)) is None
    assert journal.left_over(number(NEXT)) == []
    assert journal.fills_of(Asked("A", 1, kind=Order.Historical), number(DAY)) is None


def test_a_commission_is_split_as_the_scheme_would_or_by_shares():
    assert split_commission(1.7, -10.0, 0.0, (9.0, 9.0)) == (1.7, 0.0)
    assert split_commission(1.7, 0.0, 10.0, (9.0, 9.0)) == (0.0, 1.7)
    assert split_commission(0.1 + 0.2, -1.0, -9.0, (0.1, 0.2)) == (0.1, 0.2)
    assert split_commission(4.0, -30.0, -10.0, (1.0, 1.0)) == (3.0, 1.0)


# -- the broker books the fills of the journal -----------------------------------------------------------------------


def replay(my_cerebro, prices, strategy, broker, journal, **options):
    return my_cerebro(prices, strategy, rs.Broker(broker, fills=journal), **options)


def test_an_order_fills_at_the_journalled_price_size_and_commission(make_prices, settings, my_cerebro, plan, days):
    d = [str(day) for day in days(4)]
    prices = make_prices({"A": [10.0, 10.0, 11.0, 12.0]})
    journal = FillJournal.from_frame(
        entries((d[1], "A", 60.0, 10.25, 3.0), (d[1], "A", 20.0, 10.5, 0.5), (d[3], "A", -80.0, 11.75, 4.0))
    )
    strategy, result = replay(my_cerebro, prices, plan({0: [("A", 100)], 2: [("A", -80)]}), settings(), journal)
    first, second = result.orders.itertuples()
    assert (first.status, first.filled, first.commission, first.reason) == ("partial", 80.0, 3.5, UNFILLED)
    assert first.price == pytest.approx((60 * 10.25 + 20 * 10.5) / 80, rel=1e-15)
    assert (second.status, second.price) == ("filled", 11.75)
    assert result.transactions["amount"].tolist() == [60.0, 20.0, -80.0]
    bought = 1e6 - 60 * 10.25 - 3.0 - 20 * 10.5 - 0.5
    assert result.positions["cash"].tolist() == pytest.approx(
        [1e6, bought, bought, bought + 80 * 11.75 - 4.0], rel=1e-15
    )
    assert result.positions["A"].tolist() == [0.0, 800.0, 880.0, 0.0]
    # one order on its way, its two fills, its end; then the sale
    words = [word for _, word in strategy.heard]
    assert words == ["Submitted", "Accepted", "Partial", "Partial", "Expired", "Submitted", "Accepted", "Completed"]


def test_without_an_entry_a_market_order_expires_and_others_wait(make_prices, settings, my_cerebro, plan, days):
    prices = make_prices({"A": [10.0, 10.0, 11.0, 12.0]})
    limit = {"exectype": bt.Order.Limit, "price": 10.0}
    journal = FillJournal.from_frame(entries((str(days(4)[3]), "A", 50.0, 9.5, 1.0)))
    orders = plan({0: [("A", 100), ("A", 50, limit)]})
    _, result = replay(my_cerebro, prices, orders, settings(), journal)
    market, waiting = result.orders.itertuples()
    assert (market.status, market.reason, market.filled) == ("expired", "no fill in the journal", 0.0)
    # in simulation it would have filled at once; the journal has it three sessions later, below the bar of our prices
    assert (waiting.status, waiting.price) == ("filled", 9.5)
    assert str(waiting.executed.date()) == str(days(4)[3])


def test_what_was_filled_is_not_refused_for_cash_or_a_missing_borrow_rate(
    make_prices, settings, my_cerebro, plan, days
):
    d = [str(day) for day in days(4)]
    prices = make_prices({"A": [10.0] * 4, "S": [5.0] * 4})
    journal = FillJournal.from_frame(entries((d[1], "A", 110.0, 10.0, 0.0), (d[2], "S", -10.0, 5.0, 0.0)))
    orders = plan({0: [("A", 110)], 1: [("S", -10), ("A", 1)]})
    broker = settings(cash=1_000.0, maintenance_margin=0.0)
    _, result = replay(my_cerebro, prices, orders, broker, journal)
    assert result.orders["status"].tolist() == ["filled", "filled", "margin"]
    assert result.positions["cash"].tolist() == [1000.0, -100.0, -50.0, -50.0]
    assert result.positions["S"].iloc[-1] == -50.0


def test_a_fill_that_nobody_asked_for_stops_the_run(make_prices, settings, my_cerebro, plan, days):
    prices = make_prices({"A": [10.0] * 4})
    journal = FillJournal.from_frame(entries((str(days(4)[2]), "A", 100.0, 10.0, 0.0)))
    for orders in ({}, {0: [("A", 100)]}, {1: [("A", -100)]}):
        with pytest.raises(CheckFailedError, match=rf"found none for \+100 A at 10 on {days(4)[2]}"):
            replay(my_cerebro, prices, plan(orders), settings(), journal)


def test_the_account_of_today_is_the_journal_up_to_yesterday(make_prices, settings, my_cerebro, plan, days):
    """Paper trading: nothing is simulated, today's orders are tomorrow's."""
    d = [str(day) for day in days(3)]
    prices = make_prices({"A": [10.0, 10.0, 11.0]})
    journal = FillJournal.from_frame(entries((d[1], "A", 100.0, 10.1, 1.0)))
    orders = plan({0: [("A", 100)], 2: [("A", -100)]})
    _, result = replay(my_cerebro, prices, orders, settings(), journal)
    assert result.orders["status"].tolist() == ["filled", "open"]
    assert result.positions.iloc[-1].tolist() == [1100.0, 1e6 - 1010.0 - 1.0]


def test_orders_end_as_the_journal_says(make_prices, settings, my_cerebro, plan, days):
    d = [str(day) for day in days(4)]
    how = {"given": d[0], "number": 2, "status": "rejected", "reason": "halted at the exchange"}
    journal = FillJournal.from_frame(entries((d[1], "A", 0.0, np.nan, 0.0, how)))
    orders = plan({0: [("A", 100), ("A", 50)]})
    strategy, result = replay(my_cerebro, make_prices({"A": [10.0] * 4}), orders, settings(), journal)
    assert result.orders["status"].tolist() == ["expired", "rejected"]
    assert result.orders["reason"].tolist() == [UNFILLED, "halted at the exchange"]
    assert ("A", "Rejected") in strategy.heard


def test_a_fill_on_a_session_without_a_bar_is_booked(make_prices, settings, my_cerebro, plan, days):
    """Our prices lack a bar, the exchange did not: the position is worth its last close until there is one."""
    d = [str(day) for day in days(5)]
    prices = make_prices({"A": [10.0, 11.0, np.nan, np.nan, 13.0], "B": [5.0] * 5})
    journal = FillJournal.from_frame(entries((d[2], "A", 100.0, 12.0, 1.0)))
    _, result = replay(my_cerebro, prices, plan({1: [("A", 100)]}), settings(), journal)
    assert result.orders["status"].tolist() == ["filled"]
    assert result.positions["A"].tolist() == [0.0, 0.0, 1100.0, 1100.0, 1300.0]
    assert result.positions["cash"].iloc[-1] == 1e6 - 1200.0 - 1.0


def test_only_a_source_of_fills_is_taken(settings):
    for wrong in (GOOD, "journal.parquet", FillJournal):
        with pytest.raises(InputError, match="fills"):
            rs.Broker(settings(), fills=wrong)


# -- a run replayed from its own journal -----------------------------------------------------------------------------


def same(first, second):
    """Hold a replay to the run; the slippage of fills of waiting orders is not in a journal, and unknown."""
    for name in ("returns", "positions", "transactions", "orders"):
        one, other = getattr(first, name), getattr(second, name)
        if name == "orders":
            unknown = ~one["type"].isin(["market", "liquidation"]) & (one["filled"] > 0.0)
            one = one.assign(slippage=one["slippage"].mask(unknown & other["slippage"].isna()))
        check = pd.testing.assert_series_equal if name == "returns" else pd.testing.assert_frame_equal
        check(one, other, check_exact=True)
    assert first.stopped == second.stopped


def signal_run(my_cerebro, prices, signals, allocation, broker, fills=None):
    options = {"allocation": allocation}
    return my_cerebro(prices, rs.SignalStrategy, rs.Broker(broker, fills=fills), signals=signals, options=options)[1]


ROUGH = {"gaps": 0.05, "deaths": 0.4, "listings": 0.3}
RUNS = {
    "top k, whole market": (rs.TopK(10), {}, {}),
    "top k, refusals for cash": (rs.TopK(10), ROUGH, {"cash_buffer": 0.0}),
    "long short": (rs.LongShortQuantile(0.2, gross=2.0), ROUGH, {"borrow_rate": 0.03, "cash_buffer": 0.0}),
    "partial fills": (rs.TopK(5), ROUGH, {"max_participation_rate": 0.02, "delist_haircut": 0.3}),
    "short partial fills": (
        rs.LongShortQuantile(0.3, on_missing_score="hold"),
        ROUGH,
        {"borrow_rate": 0.1, "max_participation_rate": 0.01, "fractional": True},
    ),
    "small account": (rs.Threshold(0.5), ROUGH, {"cash": 2_000.0, "min_trade_value": 50.0}),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_replayed_from_its_own_journal_repeats_itself(name, random_prices, random_scores, settings, my_cerebro):
    allocation, rough, changes = RUNS[name]
    prices = random_prices(30, 120, seed=3, **rough)
    signals = random_scores(prices, share=0.9)
    first = signal_run(my_cerebro, prices, signals, allocation, settings(**changes))
    journal = FillJournal.from_result(first)
    assert len(journal) > 50
    liquidations = first.orders["type"] == "liquidation"
    assert len(journal) == len(first.transactions) - liquidations.sum()
    assert liquidations.any() == bool(rough)
    same(first, signal_run(my_cerebro, prices, signals, allocation, settings(**changes), journal))
    # prices of the fills come from the journal: another slippage and commission change nothing
    other = settings(**changes | {"slippage": 0.01}) if "refusals" not in name else settings(**changes)
    again = signal_run(my_cerebro, prices, signals, allocation, other, journal)
    pd.testing.assert_frame_equal(again.positions, first.positions, check_exact=True)


class Mixed(bt.Strategy):
    """Market, limit, stop and bracket orders, some cancelled, several for one ticker at once."""

    params = (("seed", 0),)

    def __init__(self):
        self.heard = []

    def start(self):
        self.rng = np.random.default_rng(self.p.seed)
        self.waiting = []

    def prenext(self):
        self.next()

    def next(self):
        rng = self.rng
        for data in self.datas:
            draw, side, size = rng.random(), rng.random() < 0.5, int(rng.integers(1, 200))
            close = data.close[0] if len(data) else 10.0
            away = float(rng.uniform(-0.03, 0.03))
            give = self.buy if side else self.sell
            if draw < 0.1:
                give(data=data, size=size)
            elif draw < 0.2:
                self.waiting.append(give(data=data, size=size, exectype=bt.Order.Limit, price=close * (1 + away)))
            elif draw < 0.25:
                stop = close * (1 + abs(away) if side else 1 - abs(away))
                give(data=data, size=size, exectype=bt.Order.Stop, price=stop)
            elif draw < 0.28:
                self.buy_bracket(data=data, size=size, price=close, stopprice=close * 0.97, limitprice=close * 1.03)
        if self.waiting and rng.random() < 0.3:
            self.cancel(self.waiting.pop(0))

    def notify_order(self, order):
        self.heard.append(
            (order.data._name, order.getstatusname(), order.executed.size, order.info.get("broker_reason"))
        )


@pytest.mark.parametrize("volume_share", [None, 0.001])
@pytest.mark.parametrize("rough", [{}, ROUGH])
def test_waiting_orders_repeat_themselves_too(volume_share, rough, random_prices, settings, my_cerebro):
    prices = random_prices(6, 120, seed=5, **rough)
    broker = settings(cash=1e7, borrow_rate=0.02, max_participation_rate=volume_share)
    strategy, first = my_cerebro(prices, Mixed, broker)
    types = first.orders["type"].value_counts()
    assert min(types[name] for name in ("market", "limit", "stop")) > 10
    assert (first.orders["status"] == "cancelled").any()
    if volume_share:
        per_order = first.orders["filled"][first.orders["status"] == "filled"]
        assert len(first.transactions) > len(per_order) + 5  # orders with fills on several sessions
    journal = FillJournal.from_result(first)
    again, second = replay(my_cerebro, prices, Mixed, broker, journal)
    same(first, second)
    assert again.heard == strategy.heard


def test_a_finished_run_can_be_replayed_from_its_folder(tmp_path, random_prices, random_scores, settings, my_cerebro):
    prices = random_prices(10, 60, **ROUGH)
    signals = random_scores(prices)
    first = signal_run(my_cerebro, prices, signals, rs.TopK(3), settings())
    first.save(tmp_path)
    loaded = rs.BacktestResult.load(tmp_path, initial_cash=first.initial_cash)
    FillJournal.from_result(loaded).write(tmp_path / "journal.parquet")
    journal = FillJournal.read(tmp_path / "journal.parquet")
    same(first, signal_run(my_cerebro, prices, signals, rs.TopK(3), settings(), journal))


def test_replay_up_to_a_day_and_simulation_after_it_are_the_simulation(
    random_prices, random_scores, settings, my_cerebro
):
    prices = random_prices(10, 60, **ROUGH)
    signals = random_scores(prices)
    first = signal_run(my_cerebro, prices, signals, rs.TopK(3), settings())
    frame = FillJournal.from_result(first).frame
    middle = first.returns.index[30].tz_localize(None)
    half = FillJournal.from_frame(frame[frame["date"] <= middle], simulate_after=middle)
    same(first, signal_run(my_cerebro, prices, signals, rs.TopK(3), settings(), half))


def test_equal_orders_that_fill_bit_by_bit_are_told_apart(make_prices, settings, my_cerebro, plan, days):
    prices = make_prices({"A": [10.0] * 6}, volume=400.0)
    limit = {"exectype": bt.Order.Limit, "price": 10.0}
    orders = plan({0: [("A", 100, limit)] * 3})
    broker = settings(max_participation_rate=0.1)
    _, first = my_cerebro(prices, orders, broker)
    assert first.transactions["amount"].tolist() == [40.0, 40.0, 40.0, 40.0, 40.0, 40.0, 20.0, 20.0, 20.0]
    journal = FillJournal.from_result(first)
    assert journal.frame["number"].tolist() == [1, 2, 3] * 3
    same(first, replay(my_cerebro, prices, orders, broker, journal)[1])


def test_fills_that_belong_to_no_order_are_refused(random_prices, random_scores, settings):
    from dataclasses import replace

    prices = random_prices(4, 40)
    result = rs.run_backtest(prices, random_scores(prices), allocation=rs.TopK(2), broker=settings())
    fills = result.transactions.copy()
    fills.iloc[3, 0] += 1.0
    with pytest.raises(InputError, match=r"expected fills that add up to .* of the order given on"):
        FillJournal.from_result(replace(result, transactions=fills))
    doubled = pd.concat([result.transactions, result.transactions.iloc[-1:]])
    with pytest.raises(InputError, match="expected an order for every fill of the result; found none"):
        FillJournal.from_result(replace(result, transactions=doubled))
