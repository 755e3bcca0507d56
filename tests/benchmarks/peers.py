"""Benchmarks of other engines on the same job and data: their costs, and the differences of their results.

Each lives in an environment of its own, see `environments`; one that is not there is reported with its reason.
`peer_jobs/` holds the same job written for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.environments import JOBS, install, python_of, why_not
from tests.benchmarks.figures import Figure, Figures
from tests.benchmarks.market import Market, simulate
from tests.benchmarks.measure import ROOT, fresh_process
from tests.benchmarks.peer_jobs.job import CASH, SLIPPAGE
from tests.benchmarks.replica import replicate

__all__ = ["PEERS", "Comparison", "Peer", "bench", "compare"]

SIZE = (500, 2520)

Fills = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Peer:
    """Known differences of a peer, in words and as switches of the replica that then computes its fills."""

    differs: str
    switches: Mapping[str, str]


PEERS = {
    "vectorbt": Peer(
        "whole shares are made of the change and not of the position, so it sells a share less now and then. One call "
        "over arrays: no strategy code, no order events",
        {"rounds": "change"},
    ),
    "bt": Peer(
        "one price per session, decided and filled at once: sized at the open it fills at, not at the close before; "
        "commission and spread come out of the amount to be moved; its own value is that at the last open",
        {"sized_at": "open", "rounds": "outlay"},
    ),
    "pybroker": Peer("not in any fill; it counts money in decimals, hence the last digits of the value", {}),
    "zipline": Peer(
        "daily bars fill at the close of the next session, never at the open; whole shares are made of the change, and "
        "one within 0.0001 of the next counts as that",
        {"filled_at": "close", "rounds": "change"},
    ),
}


@dataclass(frozen=True)
class Comparison:
    """Comparison of the fills of a peer with ours.

    Parameters
    ----------
    shared : float
        Share of our fills (session and ticker) it has too.
    equal : float
        Of the shared ones, the share with the same number of shares.
    shares_apart, price_apart : float
        Of the shared ones: median relative difference of the number of shares, and of the price.
    at_open, at_close : bool
        Whether every fill is at the open, or the close, of its session with our slippage.
    fractional : bool
        Whether parts of a share were traded.
    lowest_cash : float
        Least cash at the end of a session, from its own fills.
    value : float
        Of the account at the last close, from its own fills.
    """

    shared: float
    equal: float
    shares_apart: float
    price_apart: float
    at_open: bool
    at_close: bool
    fractional: bool
    lowest_cash: float
    value: float

    @property
    def same(self) -> float:
        """Fraction of our fills that the peer has with the same number of shares."""
        return self.shared * self.equal

    def text(self) -> str:
        """Describe the comparison in one line."""
        price = "open" if self.at_open else "close" if self.at_close else "neither open nor close"
        return (
            f"{self.shared:.2%} of our fills, {self.equal:.2%} of them the same size (median {self.shares_apart:.2g} "
            f"apart); filled at the {price}; {'parts of shares' if self.fractional else 'whole shares'}; lowest cash "
            f"{self.lowest_cash:,.0f}; worth {self.value:,.2f} at the last close"
        )


def compare(market: Market, theirs: Fills, ours: Fills) -> Comparison:
    """Compare the fills of a peer with ours, without the peer's own report."""
    width = len(market.tickers)
    key, our_key = (fills["session"] * width + fills["ticker"] for fills in (theirs, ours))
    _, mine, other = np.intersect1d(key, our_key, return_indices=True)
    shares, price = theirs["shares"], theirs["price"]
    slipped = 1.0 + SLIPPAGE * np.sign(shares)
    cell = theirs["session"], theirs["ticker"]
    moved = np.zeros(len(market.dates))
    np.add.at(moved, theirs["session"], -shares * price - theirs["commission"])
    balance = CASH + np.cumsum(moved)
    held = np.bincount(theirs["ticker"], shares, minlength=width)
    return Comparison(
        shared=len(mine) / max(len(np.unique(our_key)), 1),
        equal=float(np.mean(shares[mine] == ours["shares"][other])) if len(mine) else 0.0,
        shares_apart=float(np.median(np.abs(shares[mine] / ours["shares"][other] - 1.0))) if len(mine) else 0.0,
        price_apart=float(np.median(np.abs(price[mine] / ours["price"][other] - 1.0))) if len(mine) else 0.0,
        at_open=bool(np.allclose(price, market.open[cell] * slipped, rtol=1e-9, atol=0.0)),
        at_close=bool(np.allclose(price, market.close[cell] * slipped, rtol=1e-9, atol=0.0)),
        fractional=bool(np.any(shares != np.round(shares))),
        lowest_cash=float(balance.min()),
        value=float(balance[-1] + held @ market.close[-1]),
    )


def bench(*, small: bool = False) -> Figures:
    """Run the job in every existing environment, in separate processes, and print the differences of the results."""
    tickers, days = (100, 504) if small else SIZE
    folder = ROOT / "build" / "bench"
    path = folder / f"market-{tickers}x{days}.npz"
    market = simulate(tickers, days)
    market.save(path)
    figures: Figures = {}
    report = []
    ours = _run(None, path, folder / "fills-ours.npz")
    our_fills = _read(folder / "fills-ours.npz")
    figures["peers.ours_warm_s"] = Figure(ours["warm_s"], f"{tickers} × {days:,}, weekly top 50: CPU s, second run")
    figures["peers.ours_cold_s"] = Figure(ours["cold_s"], f"with imports; {ours['mb']:,.0f} MB")
    report.append(f"ours: {ours['fills']:,} fills, final value {ours['value']:,.2f}")
    for name, peer in PEERS.items():
        if python_of(name) is None:
            report.append(f"{name}: not here: {why_not(name)}")
            continue
        target = folder / f"fills-{name}.npz"
        try:
            found = _run(name, path, target)
        except RuntimeError as error:
            report.append(f"{name}: failed: {error}")
            continue
        fills = _read(target)
        comparison = compare(market, fills, our_fills)
        explained = compare(market, fills, replicate(market, **peer.switches))
        figures |= {
            f"peers.{name}_warm_s": Figure(found["warm_s"], f"{name} {found['version']}, CPU s, second run"),
            f"peers.{name}_cold_s": Figure(found["cold_s"], "with imports and compilation"),
            f"peers.{name}_mb": Figure(found["mb"], "peak memory"),
            f"peers.{name}_value": Figure(found["value"], f"final value; {found['fills']:,} fills"),
            f"peers.{name}_fills_equal": Figure(comparison.same, "share of our fills it has, alike to the share"),
            f"peers.{name}_explained": Figure(explained.same, "share of its fills that its known differences explain"),
        }
        report.append(
            f"{name} {found['version']}: {found['fills']:,} fills, final value {found['value']:,.2f} "
            f"({found['value'] / ours['value'] - 1.0:+.2%}); {comparison.text()}\n  differs: {peer.differs}. "
            f"With this alone a replica makes {explained.same:.2%} of its fills"
        )
    path.unlink()
    print("\n".join(report))
    return figures


def _run(name: str | None, market: Path, target: Path) -> dict[str, Any]:
    script = JOBS / (f"with_{name}.py" if name else "ours.py")
    python = python_of(name) if name else None
    # the script's own folder comes first on the path of a script; ours also needs the tree
    arguments = [str(script)] if name else ["-c", _WITH_TREE, str(script)]
    return fresh_process([*arguments, str(market), str(target)], python=python)


# `python script.py` puts the script's folder on the path and not the working directory
_WITH_TREE = (
    "import runpy, sys; sys.argv.pop(0); script = sys.argv[0]; sys.path[:0] = [script.rsplit('/', 1)[0]]; "
    "runpy.run_path(script, run_name='__main__')"
)


def _read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


if __name__ == "__main__":
    install([*PEERS, "torch"])  # torch is measured in training
