"""rnn-strategies: walk-forward recurrent networks, traded in backtrader, judged by pyfolio.

`import rnn_strategies as rs` gives the public names of every room, loaded when first used.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

__version__ = "0.1.0"


def _check_rooms() -> None:
    """Make sure that `signals`, `backtests` and `reports` are ours: other distributions own those names too."""
    home = Path(__file__).resolve().parent.parent
    for room in ("signals", "backtests", "reports"):
        spec = find_spec(room)
        found = Path(spec.origin).resolve().parent if spec and spec.origin else None
        if found != home / room:
            raise ImportError(
                f"expected the package {room!r} of rnn-strategies at {home / room}; found "
                f"{found or 'none'}; another distribution owns that name here: use a virtual environment of its own"
            )


_check_rooms()

from signals.lazy import lazy_names  # noqa: E402 - only now is `signals` known to be ours

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Allocation": "backtests.allocations",
        "Broker": "backtests.broker",
        "BrokerSettings": "backtests.costs",
        "BacktestResult": "backtests.result",
        "Config": "rnn_strategies.config",
        "EqualWeight": "backtests.allocations",
        "FilesSource": "signals.sources.files",
        "InputError": "signals.errors",
        "LabelSettings": "signals.labels",
        "Ledger": "backtests.ledger",
        "LongShortQuantile": "backtests.allocations",
        "ModelSettings": "signals.models.stacked_lstm",
        "PricePanel": "signals.prices",
        "Prices": "signals.prices",
        "Run": "rnn_strategies.pipeline",
        "ScoreWeighted": "backtests.allocations",
        "SignalStrategy": "backtests.strategy",
        "SimulatedSource": "signals.sources.simulated",
        "Threshold": "backtests.allocations",
        "TopK": "backtests.allocations",
        "TrainingSettings": "signals.trainers.seam",
        "UniverseFilters": "signals.universe",
        "WalkForward": "signals.folds",
        "add_prices": "backtests.feeds",
        "check_prices": "signals.prices",
        "check_signals": "signals.frames",
        "compute_metrics": "reports.statistics",
        "compute_signals": "signals.walk_forward",
        "equal_weight_universe": "backtests.engine",
        "load_config": "rnn_strategies.config",
        "load_prices": "signals.sources",
        "make_allocation": "backtests.allocations",
        "run": "rnn_strategies.pipeline",
        "run_backtest": "backtests.engine",
        "tear_sheet": "reports.tear_sheet",
    },
)
