"""Result of a backtest: returns, positions, fills, orders and cash flows, with checks of the accounting identity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from backtests.common.share_tolerances import HALF_SHARE, SHARE_TOLERANCE
from backtests.gains import gains_by_ticker, unexplained
from signals.common.errors import CheckFailedError
from signals.common.storage import read_parquet, write_parquet
from signals.common.summary_card import Card

__all__ = [
    "FLOW_COLUMNS",
    "OPENED_AT_FIRST_CLOSE",
    "ORDER_COLUMNS",
    "TRANSACTION_COLUMNS",
    "BacktestResult",
    "flows_frame",
]

# Key in `returns.attrs`: True when the account held nothing before its first close.
OPENED_AT_FIRST_CLOSE = "opened_at_first_close"

ORDER_COLUMNS = (
    "order_id",
    "submitted",
    "executed",
    "ticker",
    "side",
    "type",
    "size",
    "filled",
    "price",
    "commission",
    "slippage",
    "status",
    "reason",
)
TRANSACTION_COLUMNS = ("amount", "price", "symbol", "commission")
FLOW_COLUMNS = ("ticker", "kind", "amount", "shares")


def flows_frame(flows: Iterable[tuple[Any, ...]] = ()) -> pd.DataFrame:
    """Table of cash flows other than trades, in the format of `BacktestResult.cash_flows`.

    Parameters
    ----------
    flows : iterable of (date-like, ticker, kind, amount, shares)
        In the order they happened; dates are naive sessions.
    """
    rows = list(flows)
    days, ticker, kind, amount, shares = zip(*rows, strict=True) if rows else ((),) * 5
    columns = {
        "ticker": pd.Series(ticker, dtype="str"),
        "kind": pd.Series(kind, dtype="str"),
        "amount": np.array(amount, dtype=np.float64),
        "shares": np.array(shares, dtype=np.float64),
    }
    index = pd.DatetimeIndex(np.array(days, dtype="datetime64[ns]"), name="date").tz_localize("UTC")
    return pd.DataFrame(columns).set_axis(index).set_axis(pd.Index(list(FLOW_COLUMNS), dtype="str"), axis=1)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BacktestResult:
    """Frozen result of one backtest.

    Parameters
    ----------
    returns : Series
        Simple return of the account per session, after costs; name `returns`, index `date` at UTC midnight. The first
        value is the first close against `initial_cash`. Its `attrs` hold the `calendar` of the sessions, where the
        settings state one, and whether the account was `opened_at_first_close`, that is, traded nothing before it.
    positions : DataFrame
        Account currency at each close: one column per ticker of the backtest, held or not, and `cash` last. Same index.
    transactions : DataFrame
        One row per fill, in order: index `date` (session of the fill, UTC), columns `amount` (shares, negative when
        sold), `price`, `symbol`, `commission` (account currency). pyfolio's format.
    orders : DataFrame
        One row per order, in order of submission; columns `ORDER_COLUMNS`. `submitted` and `executed` are naive
        session dates (NaT when nothing was filled), `size` and `filled` shares above zero, `price` the average fill,
        `commission` and `slippage` account currency, `slippage` = |fill − price before slippage| × shares: before it a
        market order fills at the open, a stop order at its stop or at an open beyond it, a limit order at its limit or
        at a better open. NaN means unknown: the broker has slippage but does not record it, or fills were replayed
        instead of simulated. `status` is one of filled, partial, open, margin, rejected, cancelled, expired,
        liquidated.
    initial_cash : float
        Account value before the first session.
    warnings : tuple of str
        One sentence each, the most serious first.
    stopped : str or None
        Ruin or margin call, as a sentence with date and value.
    settings : dict
        Settings of the run as plain JSON values. `"flows": true` means that `cash_flows` is complete, so that `check`
        reconciles the cash of every session.
    cash_flows : DataFrame
        Cash flows and changes of shares other than trades, in order: index `date` (session,
        UTC midnight), columns `ticker` (empty for the account as a whole), `kind` (borrow fee, cash interest, margin
        interest, dividend, split, cash in lieu), `amount` (change of cash in account currency, negative when paid) and
        `shares` (change of the position by a split, else 0). Flows of a session come before its fills.
    """

    returns: pd.Series
    positions: pd.DataFrame
    transactions: pd.DataFrame
    orders: pd.DataFrame
    initial_cash: float
    warnings: tuple[str, ...] = ()
    stopped: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    cash_flows: pd.DataFrame = field(default_factory=flows_frame)

    def __post_init__(self) -> None:
        returns = self.returns.copy(deep=False)
        if isinstance(calendar := self.settings.get("calendar"), str):
            returns.attrs["calendar"] = calendar
        if len(returns):
            traded = len(self.transactions) > 0 and self.transactions.index[0] == returns.index[0]
            returns.attrs[OPENED_AT_FIRST_CLOSE] = not traded and float(returns.iloc[0]) == 0.0
        object.__setattr__(self, "returns", returns)

    def check(self, tolerance: float = 1e-9) -> None:
        """Check the frames against the accounting identity.

        Positions and cash add up to a value that compounds to the returns; a ticker has a position exactly while its
        fills and splits do not add up to zero (`backtests.common.share_tolerances`); the cash of every session is the
        initial cash less fills and commissions plus cash flows; and gains by ticker, fees and interest add up to the
        change of the account. Without `"flows": true` in the settings, only the cash of the last session is checked,
        and only if the settings hold `"borrow_fees"`.

        Parameters
        ----------
        tolerance : float
            Largest error, relative to the sum of absolute positions of that session.

        Raises
        ------
        CheckFailedError
            With the first date that violates the identity, and the difference.
        """
        index = self.returns.index
        if not index.equals(self.positions.index) or not index.equals(index.unique().sort_values()):
            raise CheckFailedError(
                "expected returns and positions on the same sessions, once each and in order; found different ones"
            )
        if not len(self.positions.columns) or self.positions.columns[-1] != "cash":
            raise CheckFailedError("expected positions whose last column is cash; found none")
        amounts = self.positions.to_numpy(dtype=np.float64)
        returns = self.returns.to_numpy(dtype=np.float64)
        broken = ~(np.isfinite(amounts).all(axis=1) & np.isfinite(returns))
        if broken.any():
            raise CheckFailedError(f"expected finite positions and returns; found others on {_day(index[broken][0])}")
        value = amounts.sum(axis=1)
        before = np.concatenate([[self.initial_cash], value[:-1]])
        gap = np.abs(value - before * (1.0 + returns))
        scale = np.maximum(np.abs(amounts).sum(axis=1), np.abs(before))
        _require_no_gap(
            gap > tolerance * scale, gap, index, "positions to add up to a value that compounds to the returns"
        )
        self._check_holdings(amounts)
        self._check_cash(tolerance)
        self._check_gains(tolerance)

    def gains(self) -> pd.DataFrame:
        """Gain of each ticker in account currency, with dividends and unrealised gains.

        See `backtests.gains.gains_by_ticker` for the columns. Together with the cash flows that belong to no ticker
        (fees and interest) they add up to the change of the account, which `check` verifies.
        """
        return gains_by_ticker(self.positions, self.transactions, self.cash_flows)

    def card(self) -> Card:
        """Summary of the result in a few lines, for a prompt or a notebook."""
        if not len(self.returns):
            return Card("BacktestResult", [("sessions", "none")], self.warnings)
        wealth = np.concatenate([[1.0], (1.0 + self.returns.to_numpy(np.float64)).cumprod()])
        drawdown = float((wealth / np.maximum(np.maximum.accumulate(wealth), 0.0) - 1.0).min())
        final = self.initial_cash * float(wealth[-1])
        status = self.orders["status"].value_counts(sort=False)
        orders = ", ".join(f"{int(n):,} {name}" for name, n in sorted(status.items())) or "none"
        held = int((self.positions.drop(columns="cash") != 0.0).any().sum())
        first, last = self.returns.index[[0, -1]]
        facts = [
            ("period", f"{_day(first)} to {_day(last)}, {len(self.returns):,} sessions"),
            ("account", f"{self.initial_cash:,.0f} to {final:,.0f} ({wealth[-1] - 1.0:+.2%})"),
            ("maximum drawdown", f"{drawdown:.2%}"),
            ("tickers", f"{len(self.positions.columns) - 1:,}, of which {held:,} held"),
            ("orders", orders),
            ("fills", f"{len(self.transactions):,}"),
        ]
        if len(self.cash_flows):
            facts.append(("cash flows", _flow_summary(self.cash_flows)))
        decides = self.settings.get("allocation") or self.settings.get("strategy")
        title = "BacktestResult" + (f" of {decides}" if decides else "")
        return Card(title + (" (simulated prices)" if self.settings.get("simulated") else ""), facts, self.warnings)

    def __repr__(self) -> str:
        return self.card().text()

    def _repr_html_(self) -> str:
        return self.card().html()

    def _check_holdings(self, amounts: np.ndarray) -> None:
        """Check that each ticker has a position exactly while its fills and splits do not add up to zero."""
        index, fills = self.returns.index, self.transactions
        row = self._rows_of(fills, "fills")
        column = {ticker: j for j, ticker in enumerate(self.positions.columns[:-1])}
        held = np.zeros((len(index), len(column)), dtype=bool)
        splits = self.cash_flows[self.cash_flows["shares"].to_numpy(np.float64) != 0.0]
        for what, names in (("fill", fills["symbol"]), ("split", splits["ticker"])):
            unknown = [name for name in names.unique() if name not in column]
            if unknown:
                raise CheckFailedError(f"expected a column of positions for every {what}; found none for {unknown[0]}")
        at = np.concatenate([self._rows_of(splits, "cash flows"), row])
        order = np.argsort(at, kind="stable")  # a split comes before the fills of its session
        at = at[order]
        size = np.concatenate([splits["shares"].to_numpy(np.float64), fills["amount"].to_numpy(np.float64)])[order]
        where = pd.concat([splits["ticker"], fills["symbol"]]).map(column).to_numpy(dtype=np.intp)[order]
        for j in np.unique(where):
            of_ticker = where == j
            # the broker adds fills in this order; the same additions give the same floats, so a closed position is 0.0
            shares = np.cumsum(size[of_ticker])
            last = np.searchsorted(at[of_ticker], np.arange(len(index)), side="right") - 1
            left, largest = np.abs(shares), np.maximum.accumulate(np.abs(size[of_ticker]))
            some = (left >= HALF_SHARE) | (left > SHARE_TOLERANCE * largest)
            held[:, j] = (last >= 0) & some[last]
        wrong = held != (amounts[:, :-1] != 0.0)
        if wrong.any():
            t, j = (int(k[0]) for k in np.nonzero(wrong))
            remainder = "some" if held[t, j] else "none"
            raise CheckFailedError(
                f"expected positions to follow from the fills; found {amounts[t, j]:,.2f} of "
                f"{self.positions.columns[j]} on {_day(index[t])} with fills that leave {remainder}"
            )

    def _rows_of(self, frame: pd.DataFrame, what: str) -> np.ndarray:
        """Session of each row, counted from 0."""
        row = self.returns.index.get_indexer(frame.index)
        if (row < 0).any():
            raise CheckFailedError(
                f"expected {what} on sessions of the returns; found one on {_day(frame.index[row < 0][0])}"
            )
        return np.asarray(row)

    def _check_cash(self, tolerance: float) -> None:
        """Check the cash of each session against the initial cash, fills, commissions and cash flows."""
        index, fills, flows = self.returns.index, self.transactions, self.cash_flows
        moved = self._rows_of(flows, "cash flows")
        fees = self.settings.get("borrow_fees")
        known = self.settings.get("flows") is True
        if not len(index) or not (known or fees is not None):
            return
        paid = fills["amount"].to_numpy(np.float64) * fills["price"].to_numpy(np.float64)
        out = np.zeros(len(index))
        scale = np.zeros(len(index))
        row = self._rows_of(fills, "fills")
        np.add.at(out, row, paid + fills["commission"].to_numpy(np.float64))
        np.add.at(scale, row, np.abs(paid))
        if known:
            amount = flows["amount"].to_numpy(np.float64)
            np.add.at(out, moved, -amount)
            np.add.at(scale, moved, np.abs(amount))
        else:
            out[-1] += float(fees or 0.0)
        expected = self.initial_cash - out.cumsum()
        recorded = self.positions["cash"].to_numpy(np.float64)
        gap = np.abs(expected - recorded)
        wrong = ~(gap <= tolerance * (self.initial_cash + scale.cumsum()))
        if not known:
            wrong[:-1] = False
        if wrong.any():
            at = int(np.argmax(wrong))
            raise CheckFailedError(
                f"expected cash of {expected[at]:,.6f} on {_day(index[at])} after all fills, commissions and "
                f"{'cash flows' if known else 'borrow fees'}; found {recorded[at]:,.6f}, {gap[at]:.3g} apart"
            )

    def _check_gains(self, tolerance: float) -> None:
        """Check that gains by ticker, fees and interest add up to the change of the account."""
        if not len(self.returns) or self.settings.get("flows") is not True:
            return
        final = float(self.positions.iloc[-1].sum())
        change = final - self.initial_cash
        gap = abs(unexplained(change, self.positions, self.transactions, self.cash_flows))
        scale = max(self.initial_cash, float(self.positions.iloc[-1].abs().sum()))
        if not gap <= tolerance * scale:
            raise CheckFailedError(
                f"expected gains by ticker, fees and interest to add up to the account's change of {change:,.6f}; "
                f"found them {gap:.3g} apart on {_day(self.returns.index[-1])}"
            )

    def save(self, folder: Path) -> None:
        """Write `returns`, `positions`, `transactions`, `orders` and `cash_flows` as Parquet.

        Equal results give equal bytes.

        `initial_cash`, `warnings`, `stopped` and `settings` are not written: store them separately and pass them to
        `load`.
        """
        folder = Path(folder)
        write_parquet(folder / "returns.parquet", self.returns.to_frame("returns"))
        write_parquet(folder / "positions.parquet", self.positions)
        write_parquet(folder / "transactions.parquet", self.transactions)
        write_parquet(folder / "orders.parquet", self.orders)
        write_parquet(folder / "cash_flows.parquet", self.cash_flows)

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        initial_cash: float,
        warnings: Sequence[str] = (),
        stopped: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> BacktestResult:
        """Read a result that `save` wrote; without a `cash_flows.parquet` there are no cash flows.

        Raises
        ------
        InputError
            When a file is missing or damaged.
        """
        folder = Path(folder)
        positions = read_parquet(folder / "positions.parquet", index=["date"])
        transactions = read_parquet(folder / "transactions.parquet", index=["date"])
        orders = read_parquet(folder / "orders.parquet")
        flows = flows_frame()
        if (folder / "cash_flows.parquet").exists():
            flows = read_parquet(folder / "cash_flows.parquet", index=["date"])
        return cls(
            returns=read_parquet(folder / "returns.parquet", index=["date"])["returns"],
            positions=positions,
            transactions=transactions,
            orders=orders,
            initial_cash=float(initial_cash),
            warnings=tuple(warnings),
            stopped=stopped,
            settings=dict(settings or {}),
            cash_flows=flows,
        )


def _flow_summary(flows: pd.DataFrame) -> str:
    by_kind = flows.groupby("kind")["amount"].agg(["sum", "count"])
    return ", ".join(
        f"{int(row['count']):,} × {kind}" + (f" {row['sum']:+,.2f}" if kind != "split" else "")
        for kind, row in by_kind.iterrows()
    )


def _require_no_gap(broken: np.ndarray, gap: np.ndarray, index: pd.DatetimeIndex, condition: str) -> None:
    if broken.any():
        at = int(np.argmax(broken))
        raise CheckFailedError(f"expected {condition}; found {gap[at]:.3g} apart on {_day(index[at])}")


def _day(stamp: pd.Timestamp) -> str:
    return f"{stamp:%Y-%m-%d}"
