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
        found = Path(spec.origin).resolve() if spec and spec.origin else None
        # a distribution installed later may have written its `__init__.py` over ours, at the very same place
        if found is None or found.parent != home / room or "signals.lazy" not in found.read_text(encoding="utf-8"):
            raise ImportError(
                f"expected the package {room!r} of rnn-strategies at {home / room}; found {found or 'none'}, "
                "which belongs to another distribution or folder; install rnn-strategies into a virtual environment "
                "of its own, or rename that folder"
            )


_check_rooms()

from signals.lazy import lazy_names  # noqa: E402 - only now is `signals` known to be ours

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AccountRecorder": "backtests.ledger",
        "Allocation": "backtests.allocations",
        "Audit": "rnn_strategies.audit.audit",
        "BacktestResult": "backtests.result",
        "Broker": "backtests.broker",
        "BrokerSettings": "backtests.settings",
        "Config": "rnn_strategies.config",
        "CustomModel": "signals.models.own",
        "EncoderDecoderSettings": "signals.models.encoder_decoder",
        "EqualWeight": "backtests.allocations",
        "EqualWeightSizer": "backtests.sizers",
        "FEATURES": "signals.features",
        "FeatureContext": "signals.features",
        "FilesSource": "signals.sources.files",
        "Fill": "backtests.fills",
        "FillJournal": "backtests.journal",
        "FillSource": "backtests.fills",
        "ForecastConfig": "rnn_strategies.forecast_config",
        "ForecastRun": "rnn_strategies.forecast_run",
        "ForecastSettings": "signals.series.settings",
        "InputError": "signals.errors",
        "LABELS": "signals.labels",
        "LabelSettings": "signals.labels",
        "LongShortQuantile": "backtests.allocations",
        "PricePanel": "signals.prices",
        "Prices": "signals.prices",
        "RecurrentSettings": "signals.models.recurrent",
        "ReferenceData": "signals.dataset",
        "Run": "rnn_strategies.pipeline",
        "SavedKerasModel": "signals.models.external",
        "ScoreWeighted": "backtests.allocations",
        "SeriesTable": "signals.series.table",
        "SignalIndicator": "backtests.indicators",
        "SignalStrategy": "backtests.strategy",
        "SimulatedSource": "signals.sources.simulated",
        "Threshold": "backtests.allocations",
        "TopK": "backtests.allocations",
        "TrainingSettings": "signals.trainers.seam",
        "UniverseFilters": "signals.universe",
        "WalkForward": "signals.folds",
        "YahooSource": "signals.sources.yahoo",
        "add_prices": "backtests.feeds",
        "audit_run": "rnn_strategies.audit.audit",
        "check_features": "signals.features",
        "check_prices": "signals.prices",
        "check_signals": "signals.frames",
        "compute_features": "signals.features",
        "compute_forecasts": "signals.series.forecasts",
        "compute_metrics": "reports.statistics",
        "compute_signals": "signals.walk_forward",
        "deflated_sharpe_ratio": "reports.luck",
        "equal_weight_returns": "backtests.engine",
        "export_scores": "rnn_strategies.imported",
        "forecast": "rnn_strategies.forecast_run",
        "import_scores": "rnn_strategies.imported",
        "load_config": "rnn_strategies.config",
        "load_forecast_config": "rnn_strategies.forecast_config",
        "load_prices": "signals.sources",
        "make_allocation": "backtests.allocations",
        "min_track_record_length": "reports.luck",
        "probabilistic_sharpe_ratio": "reports.luck",
        "probability_of_backtest_overfitting": "reports.overfitting",
        "read_macro": "signals.macro",
        "read_membership": "signals.membership",
        "read_scores": "signals.score_files",
        "read_sectors": "signals.sectors",
        "read_series": "signals.series.table",
        "read_symbol_changes": "signals.symbols",
        "reality_check": "reports.bootstrap",
        "reproduce_systems": "rnn_strategies.reproduce.systems",
        "run": "rnn_strategies.pipeline",
        "run_backtest": "backtests.engine",
        "show_progress": "rnn_strategies.progress",
        "simulated_series": "signals.series.simulated",
        "tear_sheet": "reports.tear_sheet",
        "verify_run": "rnn_strategies.verify.verify",
        "write_scores": "signals.score_files",
    },
)
