"""Typical backtrader strategy, and the same decisions as a plain strategy on the feeds of this project."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import backtrader as bt
import pandas as pd

from rnn_strategies import BrokerSettings
from tests.benchmarks.peer_jobs.job import INVESTED

__all__ = ["Account", "NaiveStrategy", "PlainStrategy", "account_of", "naive_cerebro"]

Fill = tuple[dt.date, str, float, float, float]
Refusal = tuple[dt.date, str, float, str]


@dataclass(frozen=True)
class Account:
    """Result of a run.

    Parameters
    ----------
    value : float
        Of the account at the last close.
    fills : tuple
        Every fill in order: day, ticker, shares, price, commission.
    refused : tuple
        Every order that ended without being filled: day, ticker, shares, status.
    """

    value: float
    fills: tuple[Fill, ...]
    refused: tuple[Refusal, ...] = ()


class _Recorded(bt.Strategy):
    """Strategy that records fills and rejected orders; the same for both engines."""

    def __init__(self) -> None:
        self.fills: list[Fill] = []
        self.refused: list[Refusal] = []

    def start(self) -> None:
        # backtrader adds positions up in the order they were first asked for, which analyzers would decide; the last
        # bits of the account's value depend on it
        for data in self.datas:
            self.getposition(data)

    def notify_order(self, order: Any) -> None:
        if order.status in (order.Completed, order.Partial):
            done = order.executed
            self.fills.append((self.datetime.date(), order.data._name, done.size, done.price, done.comm))
        elif order.status not in (order.Submitted, order.Accepted):
            self.refused.append((self.datetime.date(), order.data._name, order.size, order.getstatusname()))

    def rotate(self, scores: Mapping[str, float]) -> None:
        """Sell tickers that are not among the best, then trade each of the best to its weight."""
        chosen = sorted(scores, key=scores.__getitem__, reverse=True)[: self.p.places]
        kept = set(chosen)
        for data in self.datas:
            if data._name not in kept and data._name in scores and self.getposition(data).size:
                self.order_target_percent(data, target=0.0)
        for name in chosen:
            self.order_target_percent(self.getdatabyname(name), target=INVESTED / self.p.places)


class NaiveStrategy(_Recorded):
    """Strategy that looks up scores in a table by date and ticker, for feeds with a bar on the day."""

    params = (("scores", None), ("places", 50))

    def prenext(self) -> None:
        self.next()

    def next(self) -> None:
        day = pd.Timestamp(self.datetime.date())
        if day not in self.p.scores.index:
            return
        today = self.datetime[0]
        self.rotate({d._name: self.p.scores.loc[day, d._name] for d in self.datas if len(d) and d.datetime[0] == today})


class PlainStrategy(_Recorded):
    """The same strategy with scores read from the feeds."""

    params = (("days", frozenset()), ("places", 50))

    def prenext(self) -> None:
        self.next()

    def next(self) -> None:
        if self.datetime.date() not in self.p.days:
            return
        # a feed without a bar today has no score today
        self.rotate({d._name: score for d in self.datas if (score := d.signal[0]) == score})


def naive_cerebro(
    frames: Mapping[str, pd.DataFrame], scores: pd.DataFrame, settings: BrokerSettings, places: int
) -> Any:
    """Return a stock Cerebro with its default observers, and the analyzer that pyfolio needs."""
    cerebro = bt.Cerebro()
    for name, frame in frames.items():
        cerebro.adddata(bt.feeds.PandasData(dataname=frame), name=name)
    cerebro.broker.setcash(settings.cash)
    cerebro.broker.setcommission(commission=settings.commission)
    cerebro.broker.set_slippage_perc(settings.slippage)
    cerebro.addanalyzer(bt.analyzers.PyFolio)
    cerebro.addstrategy(NaiveStrategy, scores=scores, places=places)
    return cerebro


def account_of(cerebro: Any) -> Account:
    """Run a Cerebro whose strategy records its fills."""
    strategy = cerebro.run()[0]
    return Account(cerebro.broker.getvalue(), tuple(strategy.fills), tuple(strategy.refused))
