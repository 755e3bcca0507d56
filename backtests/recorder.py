"""backtrader analyzer that records fills, orders and positions of a run as a `BacktestResult`."""

from __future__ import annotations

from typing import Any, NamedTuple

import backtrader as bt
import numpy as np
import pandas as pd
from backtrader.order import Order
from numpy.typing import NDArray

from backtests.broker.broker import Broker
from backtests.broker.corporate_actions import SPLIT_WORDS
from backtests.broker.orders import BY_STRATEGY, info_of
from backtests.common.broker_rules import RULES
from backtests.common.share_tolerances import is_remainder
from backtests.feeds.panel_feeds import PanelFeed
from backtests.feeds.session_clock import day_of, days_of
from backtests.result import ORDER_COLUMNS, TRANSACTION_COLUMNS, BacktestResult, flows_frame
from signals.common.errors import InputError
from signals.data.price_index import RESERVED

__all__ = ["AccountRecorder"]

# Unfilled value above which a warning is given, as a fraction of the traded value.
NOTABLE = 0.01

_FINAL = {
    Order.Completed: ("filled", ""),
    Order.Canceled: ("cancelled", "cancelled"),
    Order.Expired: ("expired", "its validity ended"),
    Order.Margin: ("margin", "not enough cash"),
    Order.Rejected: ("rejected", "rejected by the broker"),
}


# Methods of backtrader's broker that set the price of a fill; a broker that overrides one may have slippage.
_FILLING = ("_execute", "_slip_down", "_slip_up", "_try_exec", "_try_exec_close", "_try_exec_limit", "_try_exec_stop",
            "_try_exec_stoplimit", "next")  # fmt: skip


class _Entry(NamedTuple):
    """Final record of one order with the columns of the order frame; days are backtrader day numbers."""

    submitted: float
    executed: float
    ticker: str
    side: str
    type: str
    size: float
    filled: float
    price: float
    commission: float
    slippage: float
    status: str
    reason: str
    reference: float
    follows: bool


class _OpenOrder:
    """Record of one order that can still change."""

    __slots__ = (
        "commission",
        "executed",
        "filled",
        "follows",
        "price",
        "reason",
        "reference",
        "side",
        "size",
        "slippage",
        "status",
        "submitted",
        "ticker",
        "type",
    )

    def __init__(self, order: Any) -> None:
        info = info_of(order)
        self.submitted = float(info.get("broker_session", order.created.dt))
        self.executed = float("nan")
        self.ticker: str = order.data._name
        self.side = "buy" if order.isbuy() else "sell"
        self.type = "liquidation" if "broker_liquidation" in info else _order_type(order)
        self.size = float(abs(order.size))
        self.filled = 0.0
        self.price = float("nan")
        self.commission = self.slippage = 0.0
        self.reference = float(order.created.price)
        self.status, self.reason = "open", ""
        self.follows = False  # whether it ended because another order did

    def end(self, order: Any) -> None:
        """Record the final status of the order and its reason."""
        self.status, self.reason = _FINAL[order.status]
        self.resize(order)
        info = info_of(order)
        if "broker_reason" in info:
            self.reason = str(info["broker_reason"])
        elif order.status == Order.Rejected and order.parent is not None:  # a broker without reasons
            self.reason, self.follows = "its parent order had ended", True
        self.follows = self.follows or "broker_follows" in info
        if self.type == "liquidation":
            self.status = "liquidated"
        elif self.filled and self.status != "filled":
            self.status = "partial"

    def resize(self, order: Any) -> None:
        """Record a changed size: after a split, or of a bracket leg after a partial fill of its parent."""
        if abs(order.size) != self.size:
            self.size = float(abs(order.size))
            self.reference /= float(info_of(order).get("broker_split", 1.0))

    def entry(self) -> _Entry:
        """Return the columns of the order frame without `order_id`, and the reference price of the order."""
        return _Entry(
            self.submitted,
            self.executed,
            self.ticker,
            self.side,
            self.type,
            self.size,
            self.filled,
            self.price,
            self.commission,
            self.slippage,
            self.status,
            self.reason,
            self.reference,
            self.follows,
        )


class AccountRecorder(bt.Analyzer):
    """Records fills, orders and positions of a run; `result()` returns them as a checked `BacktestResult`.

    Works with `Broker` and with backtrader's own broker, in any Cerebro with one strategy::

        cerebro.addanalyzer(rs.AccountRecorder)
        strategy = cerebro.run()[0]
        strategy.analyzers.accountrecorder.result()

    The cost per session depends only on the number of holdings. Unlike backtrader's `Transactions` analyzer, several
    fills of one asset in one bar are separate rows; unlike `PyFolio.get_pf_items`, positions have all feeds.
    """

    outcomes_only = True  # no notifications of open orders needed: `stop` reads the orders that are left

    def start(self) -> None:
        """Check that the run can be recorded.

        Raises
        ------
        InputError
            For feeds without a name or with the same one, bars shorter than a day, futures, or several strategies.
        """
        names = [data._name for data in self.datas]
        if not all(names) or len(set(names)) < len(names):
            repeated = next((name for name in names if not name or names.count(name) > 1), "")
            raise InputError(
                f"expected every feed to have its own name; found {repeated!r}, missing or repeated; give it with "
                "adddata(feed, name=...)"
            )
        if any(data._timeframe < bt.TimeFrame.Days for data in self.datas):
            raise InputError("expected bars of a day or longer; found shorter ones; resample them to days first")
        if len(self.strategy.cerebro.runningstrats) > 1:
            raise InputError(
                "expected one strategy in the Cerebro, because the account is shared; found several; run each alone"
            )
        if reserved := [name for name in RESERVED if name in names]:
            raise InputError(
                f"expected feeds named like tickers; found one named {reserved[0]!r}, which is a reserved column; "
                "give it another name with adddata(feed, name=...)"
            )
        broker = self._broker = self.strategy.broker
        schemes = [broker.getcommissioninfo(data) for data in self.datas]
        if not all(scheme.stocklike for scheme in schemes):
            raise InputError("expected stocks or funds; found a feed with margin (futures); remove it")
        # with leverage, or shorts booked as a cost, cash is account value less positions, not the broker's cash
        self._cash_is_cash = getattr(broker.p, "shortcash", False) and all(s.p.leverage == 1.0 for s in schemes)
        self._may_have_remainders = "clear_share_remainders" not in getattr(broker, "rules", ())
        self._largest: dict[str, float] = {}  # fill of each ticker, in shares
        self._names = names
        self._initial = float(broker.startingcash)
        self._days: list[float] = []
        self._values: list[float] = []
        self._cash: list[float] = []
        self._held: list[list[tuple[int, float]]] = []
        self._open: dict[int, _OpenOrder] = {}
        self._done: dict[int, tuple[Any, ...]] = {}
        self._fills: list[tuple[float, float, float, str, float]] = []

    def notify_order(self, order: Any) -> None:
        """Record new fills and the final status of an order."""
        if order.status == Order.Accepted or order.ref in self._done:
            return
        row = self._open.get(order.ref)
        if row is None:
            row = self._open[order.ref] = _OpenOrder(order)
        if order.executed.size:
            self._book_fills(order, row)
        if order.status in _FINAL:
            row.end(order)
            # the garbage collector does not track plain tuples of numbers and text
            self._done[order.ref] = tuple(self._open.pop(order.ref).entry())

    def _book_fills(self, order: Any, row: _OpenOrder) -> None:
        today = self.strategy.lines.datetime[0]
        for bit in order.executed.iterpending():
            if self._may_have_remainders:
                self._largest[row.ticker] = max(self._largest.get(row.ticker, 0.0), abs(float(bit.size)))
            self._fills.append((today, float(bit.size), float(bit.price), row.ticker, float(bit.comm)))
            row.filled += abs(float(bit.size))
            row.commission += float(bit.comm)
            row.slippage += self._slippage(order, bit, row.type)
            row.executed = today
            row.price = float(order.executed.price)

    def _slippage(self, order: Any, bit: Any, kind: str) -> float:
        """Slippage of one fill in account currency; NaN where the broker does not record the price before slippage."""
        if kind == "liquidation":
            return 0.0
        if kind == "historical":  # a replayed fill
            return float("nan")
        if kind == "market":
            at_close = getattr(self._broker.p, "coc", False) and order.info.get("coc", True)
            before = order.created.pclose if at_close else order.data.open[0]
        else:
            before = getattr(bit, "unslipped", None)
            if before is None:
                before = bit.price if self._fills_without_slippage() else float("nan")
        return float(abs(float(bit.price) - before) * abs(float(bit.size)))

    def _fills_without_slippage(self) -> bool:
        """Whether the broker fills like backtrader's own, with no slippage set."""
        broker, stock = self._broker, bt.brokers.BackBroker
        if isinstance(broker, Broker) or not isinstance(broker, stock):
            return False
        overridden = any(getattr(type(broker), name) is not getattr(stock, name) for name in _FILLING)
        return not (overridden or broker.p.slip_perc or broker.p.slip_fixed)

    def next(self) -> None:
        """Record the account at this close."""
        broker = self._broker
        today = self.strategy.lines.datetime[0]
        value = float(broker.getvalue())
        if isinstance(broker, Broker):
            worths = broker.worths()
            if self._may_have_remainders:
                worths = [held for held in worths if not self._is_remainder(held[0])]
        else:
            worths = []
            for j, data in enumerate(self.datas):
                size = broker.getposition(data).size
                if size and not self._is_remainder(j):
                    worths.append((j, float(size * data.close[0])))
        if self._days and int(self._days[-1]) == int(today):
            # a weekly bar resampled from daily ones can arrive after them, on the same day
            for series in (self._days, self._values, self._cash, self._held):
                series.pop()
        self._days.append(today)
        self._values.append(value)
        self._held.append(worths)
        cash = float(broker.getcash()) if self._cash_is_cash else value - sum(worth for _, worth in worths)
        self._cash.append(cash)

    def _is_remainder(self, j: int) -> bool:
        """Whether a position is a rounding remainder of the fills of its feed (`share_tolerances`)."""
        size = self._broker.getposition(self.datas[j]).size
        return is_remainder(size, of=self._largest.get(self._names[j], 0.0))

    def stop(self) -> None:
        """Record orders that are open after the last bar, and the settings and warnings of the run."""
        for order in [*self.strategy._orderspending, *getattr(self._broker, "notifs", ())]:
            self.notify_order(order)
        brackets = getattr(self._broker, "_pchildren", {}).values()
        untransmitted = [order for bracket in brackets for order in bracket if order.status == Order.Created]
        for order in [*getattr(self._broker, "submitted", ()), *getattr(self._broker, "pending", ()), *untransmitted]:
            if order.ref not in self._open and order.ref not in self._done:
                self._open[order.ref] = _OpenOrder(order)
            if order.ref in self._open:
                self._open[order.ref].resize(order)
            if order.status == Order.Created:
                self._open[order.ref].reason = "not sent: transmit was False"
        # strategy and broker are not stored, because `optstrategy` sends analyzers between processes
        self._settings: dict[str, Any] = {"strategy": type(self.strategy).__name__}
        self._flows: list[tuple[float, str, str, float, float]] = []
        if isinstance(self._broker, Broker):
            if self._broker.settings is not None:
                self._settings["broker"] = self._broker.settings.describe()
            if compat := sorted(set(RULES) - self._broker.rules):
                self._settings["compat"] = compat
            if self._broker.books_known:
                self._settings |= {"borrow_fees": self._broker.borrow_fees, "flows": True}
            if self._broker.both_reached:
                self._settings["both_reached"] = self._broker.both_reached
            self._flows = self._broker.flows
        if any(isinstance(data, PanelFeed) and data.market.simulated for data in self.datas):
            self._settings["simulated"] = True
        calendars = {_calendar_of(data) for data in self.datas}
        if len(calendars) == 1 and None not in calendars:
            self._settings["calendar"] = calendars.pop()
        self._stopped: str | None = getattr(self._broker, "stopped", None)
        warnings = getattr(self.strategy, "warnings", None)
        self._strategy_warnings = list(warnings()) if callable(warnings) else []
        if changes := getattr(self._broker, "changes", ()):
            calls = "; ".join(changes)
            self._strategy_warnings.append(
                f"Costs were also set in the script; the settings do not contain them: {calls}."
            )
        self._broker = None

    def result(self) -> BacktestResult:
        """Return the result of the run.

        Raises
        ------
        CheckFailedError
            When the result violates the accounting identity.
        InputError
            When there was no session, or the account value was 0 at a close before the last.
        """
        if not self._days:
            raise InputError("expected at least one session; found none; run the Cerebro first, on feeds with bars")
        index = _stamps(self._days, utc=True)
        values = np.array(self._values)
        if (values[:-1] == 0.0).any():
            day = day_of(self._days[int(np.argmin(values != 0.0))])
            raise InputError(
                f"expected an account value other than zero at every close; found 0.00 on {day}, after which returns "
                "are undefined; stop the run there, as rs.Broker(settings) does"
            )
        returns = values / np.concatenate([[self._initial], values[:-1]]) - 1.0
        amounts = np.zeros((len(index), len(self._names) + 1))
        for t, worths in enumerate(self._held):
            for j, worth in worths:
                amounts[t, j] = worth
        amounts[:, -1] = self._cash
        orders = self._orders()
        transactions = self._transactions()
        result = BacktestResult(
            returns=pd.Series(returns, index=index, name="returns"),
            positions=pd.DataFrame(amounts, index=index, columns=pd.Index([*self._names, "cash"], dtype="str")),
            transactions=transactions,
            orders=orders,
            initial_cash=self._initial,
            warnings=tuple(self._warnings(transactions)),
            stopped=self._stopped,
            settings=dict(self._settings),
            cash_flows=flows_frame((day_of(flow[0]), *flow[1:]) for flow in self._flows),
        )
        result.check()
        return result

    def _transactions(self) -> pd.DataFrame:
        days, amount, price, symbol, commission = zip(*self._fills, strict=True) if self._fills else ((),) * 5
        columns = {
            "amount": np.array(amount, dtype=np.float64),
            "price": np.array(price, dtype=np.float64),
            "symbol": pd.Index(symbol, dtype="str"),
            "commission": np.array(commission, dtype=np.float64),
        }
        frame = pd.DataFrame(columns, index=_stamps(days, utc=True))
        return frame.set_axis(pd.Index(list(TRANSACTION_COLUMNS), dtype="str"), axis=1)

    def _entries(self) -> list[_Entry]:
        """All orders in order of submission, which is that of `order.ref`."""
        entries = self._done | {ref: tuple(row.entry()) for ref, row in self._open.items()}
        return [_Entry(*entries[ref]) for ref in sorted(entries)]

    def _orders(self) -> pd.DataFrame:
        rows = self._entries()
        columns: dict[str, Any] = {"order_id": np.arange(1, len(rows) + 1, dtype=np.int64)}
        for name in ORDER_COLUMNS[1:]:
            values = [getattr(row, name) for row in rows]
            if name in ("submitted", "executed"):
                columns[name] = _stamps(values, utc=False)
            elif name in ("ticker", "side", "type", "status", "reason"):
                columns[name] = pd.Series(values, dtype="str")
            else:
                columns[name] = np.array(values, dtype=np.float64)
        return pd.DataFrame(columns).set_axis(pd.Index(list(ORDER_COLUMNS), dtype="str"), axis=1)

    def _warnings(self, transactions: pd.DataFrame) -> list[str]:
        warnings = [self._stopped] if self._stopped else []
        traded = float((transactions["amount"] * transactions["price"]).abs().sum())
        rows = self._entries()
        # orders that ended with a linked order are counted once; cancellations by the strategy are not failures
        failed = [row for row in rows if not row.follows and row.reason not in (BY_STRATEGY, "cancelled")]
        rejected = [row for row in failed if row.status in ("margin", "rejected")]
        expired = [row for row in failed if row.status in ("expired", "partial")]
        warnings += _unfilled_warnings(rejected, traded, "were rejected")
        warnings += _unfilled_warnings(expired, traded, "could not be filled on their session")
        warnings += _ended_by_splits(rows)
        if bars := self._settings.get("both_reached"):
            many, first = ("bars", "in each") if bars > 1 else ("bar", "in it")
            warnings.append(
                f"{bars:,} {many} reached both a stop and a limit order of one bracket or OCO group after the open: "
                f"{first} the stop was filled first."
            )
        return warnings + self._strategy_warnings


def _calendar_of(data: Any) -> str | None:
    """Exchange calendar of a feed of `add_prices`, or of one resampled from it; None for others."""
    source = getattr(data, "data", data)
    return source.market.panel.calendar if isinstance(source, PanelFeed) else None


def _order_type(order: Any) -> str:
    known = 0 <= order.exectype < len(Order.ExecTypes)
    return str(order.getordername().lower()) if known else "unknown"


def _unfilled_warnings(rows: list[_Entry], traded: float, what: str) -> list[str]:
    """Warning when the value of unfilled orders exceeds `NOTABLE` of the traded value; else empty."""
    # an order for a feed before its first bar has no reference price
    value = sum((row.size - row.filled) * row.reference for row in rows if row.reference == row.reference)
    if not value > NOTABLE * traded:
        return []
    share = f"{100 * value / traded:.1f} % of the traded value" if value < traded else "more than the traded value"
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.status] = counts.get(row.status, 0) + 1
    kinds = ", ".join(f"{count:,} {status}" for status, count in sorted(counts.items()))
    first = rows[0]
    example = f"first {first.side} {first.size:,.10g} {first.ticker} on {day_of(first.submitted)}: {first.reason}"
    return [f"Orders worth {value:,.0f}, {share}, {what} ({kinds}; {example})."]


def _ended_by_splits(rows: list[_Entry]) -> list[str]:
    """Warning on waiting orders that a split cancelled; empty without any."""
    ended = [row for row in rows if row.status in ("cancelled", "partial") and row.reason.startswith(SPLIT_WORDS)]
    if not ended:
        return []
    names = [f"{row.side} {row.type} {row.size:,.10g} {row.ticker} of {day_of(row.submitted)}" for row in ended[:3]]
    more = f" and {len(ended) - 3:,} more" if len(ended) > 3 else ""
    plural = "s were" if len(ended) > 1 else " was"
    return [f"{len(ended):,} waiting order{plural} cancelled by a split: {', '.join(names)}{more} ({ended[0].reason})."]


def _stamps(days: Any, *, utc: bool) -> pd.DatetimeIndex:
    """Dates of backtrader day numbers at midnight, NaT for NaN."""
    numbers = np.asarray(days, dtype=np.float64)
    stamps: NDArray[np.datetime64] = np.full(len(numbers), np.datetime64("NaT", "ns"))
    known = ~np.isnan(numbers)
    stamps[known] = days_of(numbers[known])
    index = pd.DatetimeIndex(stamps, name="date" if utc else None)
    return index.tz_localize("UTC") if utc else index
