"""Benchmarks run and compare equal results; speed is not asserted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_market_has_exactly_the_holes_asked_for(missing: float) -> None:
    from tests.benchmarks.market import simulate

    market = simulate(30, 120, missing=missing)
    assert market.missing == pytest.approx(missing, abs=1e-12)
    assert np.isnan(market.scores).sum() == np.isnan(market.close[market.decisions]).sum()
    prices = market.prices()
    assert len(prices.frame) == (~np.isnan(market.close)).sum() == sum(map(len, market.frames().values()))


def test_market_survives_its_file(tmp_path: Path) -> None:
    from tests.benchmarks.market import Market, simulate

    market = simulate(5, 40, missing=0.3)
    market.save(tmp_path / "market.npz")
    again = Market.load(tmp_path / "market.npz")
    assert all(
        np.array_equal(getattr(market, name), getattr(again, name), equal_nan=name not in ("dates", "tickers"))
        for name in ("dates", "tickers", "open", "volume", "decisions", "scores")
    )


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_legs_do_the_same_job(missing: float) -> None:
    from tests.benchmarks.backtests import versus
    from tests.benchmarks.market import simulate

    taken = versus(simulate(20, 100, missing=missing), 5, repetitions=1)
    naive, default = taken["naive"].result, taken["default"].result
    assert taken["compat"].result == naive  # bit for bit
    assert len(naive.fills) > 50
    assert default.value == pytest.approx(naive.value, rel=0.01 if not missing else 0.2)
    assert all(leg.seconds > 0.0 for leg in taken.values())


def test_legs_take_turns_and_long_ones_run_once() -> None:
    from tests.benchmarks.measure import interleaved

    ran: list[str] = []
    legs = {name: (lambda name=name: ran.append(name) or name) for name in ("long", "short")}
    taken = interleaved(legs, 3, once=("long",))
    assert ran == ["long", "short", "short", "short"]
    assert {name: leg.result for name, leg in taken.items()} == {"long": "long", "short": "short"}


def test_fresh_process_answers_or_says_why_not() -> None:
    from tests.benchmarks.measure import fresh_process

    assert fresh_process(["-c", "print('noise'); print('{\"a\": 1}')"]) == {"a": 1}
    with pytest.raises(RuntimeError, match="no module"):
        fresh_process(["-c", "raise SystemExit('no module')"])


def test_engines_that_disagree_are_not_compared() -> None:
    from tests.benchmarks.backtests import _refuse_difference
    from tests.benchmarks.naive import Account

    fill = (None, "T0000", 10.0, 5.0, 0.0)
    with pytest.raises(SystemExit, match=r"first apart: .*T0000"):
        _refuse_difference(Account(100.0, (fill,)), Account(100.0, ((None, "T0000", 11.0, 5.0, 0.0),)))
    with pytest.raises(SystemExit):
        _refuse_difference(Account(100.0, (fill,)), Account(np.nextafter(100.0, 101.0), (fill,)))


def test_comparison_with_a_peer_by_hand() -> None:
    from tests.benchmarks.market import simulate
    from tests.benchmarks.peer_jobs.job import CASH, SLIPPAGE
    from tests.benchmarks.peers import compare

    market = simulate(3, 20)
    session, ticker, shares = np.array([2, 2, 9]), np.array([0, 1, 0]), np.array([10.0, 20.0, -10.0])
    price = market.open[session, ticker] * (1.0 + SLIPPAGE * np.sign(shares))
    fills = {"session": session, "ticker": ticker, "shares": shares, "price": price, "commission": np.full(3, 1.0)}
    ours = {**fills, "shares": np.array([10.0, 21.0, -10.0])}
    found = compare(market, fills, ours)
    cash = CASH - 10 * price[0] - 20 * price[1] + 10 * price[2] - 3.0
    assert (found.shared, found.equal, found.at_open, found.at_close, found.fractional) == (
        1.0,
        2 / 3,
        True,
        False,
        False,
    )
    assert found.value == pytest.approx(cash + 20 * market.close[-1, 1], rel=1e-12)
    assert found.lowest_cash == pytest.approx(CASH - 10 * price[0] - 20 * price[1] - 2.0, rel=1e-12)


def test_replica_makes_the_fills_of_run_backtest() -> None:
    from tests.benchmarks.backtests import Job
    from tests.benchmarks.market import simulate
    from tests.benchmarks.replica import replicate

    market = simulate(12, 60)
    replica = replicate(market, places=4)
    rows = zip(*(replica[name].tolist() for name in ("session", "ticker", "shares", "price")), strict=True)
    expected = {(market.dates[s].item(), str(market.tickers[t]), shares, price) for s, t, shares, price in rows}
    made = {fill[:4] for fill in Job(market, 4).default().fills}
    assert {fill[:3] for fill in made} == {fill[:3] for fill in expected}
    assert sorted(fill[3] for fill in made) == pytest.approx(sorted(fill[3] for fill in expected), rel=1e-14)
    for switches in ({"filled_at": "close"}, {"sized_at": "open"}, {"rounds": "change"}, {"rounds": "outlay"}):
        other = replicate(market, places=4, **switches)
        assert len(other["shares"]) != len(replica["shares"]) or (other["shares"] != replica["shares"]).any()


def test_absent_peers_are_reported_with_their_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.benchmarks import environments, peers

    monkeypatch.setattr(peers, "ROOT", tmp_path)
    monkeypatch.setattr(environments, "HOME", tmp_path / "peers")
    monkeypatch.setattr(peers, "SIZE", (60, 30))
    (tmp_path / "peers").mkdir()
    (tmp_path / "peers" / "bt.failed").write_text("ERROR: no wheel\n")
    figures = peers.bench()
    output = capsys.readouterr().out
    assert "bt: not here: ERROR: no wheel" in output
    assert "vectorbt: not here: `make bench-peers` installs it" in output
    assert set(figures) == {"peers.ours_warm_s", "peers.ours_cold_s"}


def test_peers_are_pinned() -> None:
    from tests.benchmarks.environments import JOBS
    from tests.benchmarks.peers import PEERS

    for name in (*PEERS, "torch"):
        lines = (JOBS / f"requirements-{name}.txt").read_text().splitlines()
        assert all("==" in line for line in lines if not line.startswith("#"))
        assert (JOBS / f"with_{name}.py").exists()


def test_command_writes_a_flat_object(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from tests.benchmarks import backtests, run
    from tests.benchmarks.figures import Figure

    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(backtests, "bench", lambda small: {"backtest.some_s": Figure(1.5, "words")})
    monkeypatch.setattr(run, "ONE_THREAD", {})
    run.main(["backtests", "--small"])
    run.main(["backtests"])
    assert json.loads((tmp_path / "build" / "bench.json").read_text()) == {"backtest.some_s": 1.5}
    with pytest.raises(SystemExit):
        run.main(["nothing"])


def test_job_is_replaceable() -> None:
    from tests.benchmarks.backtests import Job
    from tests.benchmarks.market import simulate

    job = Job(simulate(4, 30), 2)
    assert replace(job, places=1).default().fills != job.default().fills
