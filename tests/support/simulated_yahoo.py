"""A Yahoo made of SIMULATED numbers: it answers yfinance's requests the way the chart service does, failures included.

Nothing here was ever downloaded. Shares split and pay dividends; like the real one, this Yahoo adjusts all history for
whatever has happened up to the moment of a request, and lists only the events within the span asked for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from curl_cffi import requests

from signals.calendar import exchange_zone, session_closes, sessions

NOT_FOUND = (
    "404",
    {"chart": {"result": None, "error": {"code": "Not Found", "description": "No data found, symbol may be delisted"}}},
)
OPEN_BEFORE_CLOSE = np.timedelta64(390, "m")


@dataclass
class Share:
    """One company: prices as they were traded, splits (new shares for one old one) and dividends by day."""

    start: str = "2019-01-02"
    end: str = "2021-12-31"
    seed: int = 0
    splits: dict[str, float] = field(default_factory=dict)
    dividends: dict[str, float] = field(default_factory=dict)
    calendar: str = "XNYS"
    currency: str = "USD"
    corrections: dict[str, float] = field(default_factory=dict)  # day -> what Yahoo now multiplies that bar by
    holes: tuple[str, ...] = ()  # days for which Yahoo has no bar

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self.days = sessions(self.start, self.end, self.calendar)
        closes = session_closes(self.days, self.calendar)
        self.opens, self.closes = closes - OPEN_BEFORE_CLOSE, closes
        n = len(self.days)
        held = 100 * np.exp(np.cumsum(rng.normal(0, 0.015, n)))  # value of what one first share has become
        shares = np.ones(n)
        for day, ratio in self.splits.items():
            shares[self.days >= np.datetime64(day)] *= ratio
        self.close = held / shares
        self.open = self.close * np.exp(rng.normal(0, 0.005, n))
        self.high = np.maximum(self.open, self.close) * 1.01
        self.low = np.minimum(self.open, self.close) * 0.99
        self.volume = rng.integers(1_000, 100_000, n).astype(float) * 8

    def later_splits(self, now: np.ndarray) -> np.ndarray:
        product = np.ones(len(self.days))
        for day, ratio in self.splits.items():
            if np.datetime64(day) <= now:
                product[self.days < np.datetime64(day)] *= ratio
        return product

    def dividend_factor(self, now: np.ndarray) -> np.ndarray:
        factor = np.ones(len(self.days))
        for day, amount in self.dividends.items():
            place = int(np.searchsorted(self.days, np.datetime64(day)))
            if np.datetime64(day) <= now and place > 0:
                before = self.close[place - 1] / self.splits.get(day, 1.0)  # in shares of the day
                factor[:place] *= 1 - amount / before
        return factor

    def chart(self, now: np.datetime64, since: int) -> dict[str, Any]:
        """Reply of the chart service at a moment (UTC), for bars from a Unix time on."""
        seconds = self.opens.astype("datetime64[s]").astype(np.int64)
        rows = (seconds >= since) & (self.opens <= now) & ~np.isin(self.days, np.array(self.holes, "datetime64[D]"))
        later, factor = self.later_splits(now), self.dividend_factor(now)
        quotes = {name: getattr(self, name) / later for name in ("open", "high", "low", "close")}
        for day, times in self.corrections.items():
            for quote in quotes.values():
                quote[self.days == np.datetime64(day)] *= times
        volume = self.volume * later
        today = self.closes > now  # a bar that still grows
        quotes["close"] = np.where(today, (quotes["high"] + quotes["low"]) / 2, quotes["close"])
        volume = np.where(today, volume / 3, volume)
        listed = [(d, r) for d, r in self.splits.items() if rows[self.days == np.datetime64(d)].any()]
        paid = [(d, a) for d, a in self.dividends.items() if rows[self.days == np.datetime64(d)].any()]
        moment = {str(day): int(second) for day, second in zip(self.days, seconds, strict=True)}
        traded = seconds[self.opens <= now]
        return {
            "chart": {
                "error": None,
                "result": [
                    {
                        "meta": {
                            "currency": self.currency,
                            "instrumentType": "EQUITY",
                            "exchangeTimezoneName": exchange_zone(self.calendar),
                            "firstTradeDate": int(seconds[0]),
                            "regularMarketTime": int(traded[-1]) if len(traded) else int(seconds[0]),
                            "validRanges": ["1d", "max"],
                            "dataGranularity": "1d",
                            "priceHint": 2,
                        },
                        "timestamp": seconds[rows].tolist(),
                        "indicators": {
                            "quote": [
                                {**{n: q[rows].tolist() for n, q in quotes.items()}, "volume": volume[rows].tolist()}
                            ],
                            "adjclose": [{"adjclose": (quotes["close"] * factor)[rows].tolist()}],
                        },
                        "events": {
                            "splits": {
                                str(moment[d]): {"date": moment[d], "numerator": r, "denominator": 1.0}
                                for d, r in listed
                            },
                            "dividends": {
                                str(moment[d]): {
                                    "date": moment[d],
                                    "amount": a / float(later[self.days == np.datetime64(d)][0]),
                                }
                                for d, a in paid
                            },
                        },
                    }
                ],
            }
        }


class Answer:
    """The little of a response that yfinance looks at."""

    def __init__(self, text: str, status_code: int = 200) -> None:
        self.text, self.status_code = text, status_code
        self.content, self.url, self.cookies = text.encode(), "", {}

    def json(self) -> Any:
        return json.loads(self.text)


class SimulatedYahoo(requests.Session):
    """Session that never touches a network.

    `shares` answer by symbol; `trouble[symbol]` is a list of what comes instead, one per chart request: an exception to
    raise, an `Answer`, a (status, JSON) pair, or a function that spoils the JSON of a good answer.
    """

    def __init__(self, shares: dict[str, Share], now: str = "2021-12-31T23:00") -> None:
        super().__init__()
        self.shares = shares
        self.now = np.datetime64(now, "s")
        self.trouble: dict[str, list[Any]] = {}
        self.asked: list[tuple[str, np.datetime64]] = []
        self.slept: list[float] = []

    def clock(self) -> np.datetime64:
        return self.now

    def get(self, url: str, params: Any = None, **_: Any) -> Any:
        if "/v8/finance/chart/" not in url:
            return Answer("crumb")  # cookies and crumbs
        symbol = url.rpartition("/")[2]
        self.asked.append((symbol, np.datetime64(int(params["period1"]), "s")))
        spoil = self.trouble[symbol].pop(0) if self.trouble.get(symbol) else None
        if isinstance(spoil, Exception):
            raise spoil
        if isinstance(spoil, Answer):
            return spoil
        if isinstance(spoil, tuple) or symbol not in self.shares:
            status, body = spoil if isinstance(spoil, tuple) else NOT_FOUND
            return Answer(json.dumps(body), int(status))
        reply = self.shares[symbol].chart(self.now, int(params["period1"]))
        if spoil is not None:
            spoil(reply["chart"]["result"][0])
        return Answer(json.dumps(reply))

    def post(self, *_: Any, **__: Any) -> Any:
        return Answer("")
