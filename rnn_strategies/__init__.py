"""rnn-strategies: recurrent networks trained walk-forward, backtested in backtrader, evaluated with pyfolio.

`import rnn_strategies as rs` gives the public names of all four packages; a module is loaded when one of its names is
first used.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def _check_package_origins() -> None:
    """Check that `signals`, `backtests` and `reports` are those of this project: the names are not unique to it."""
    parent = Path(__file__).resolve().parent.parent
    for package in ("signals", "backtests", "reports"):
        spec = find_spec(package)
        init_file = Path(spec.origin).resolve() if spec and spec.origin else None
        # a distribution that is installed later can overwrite our `__init__.py` in the same folder
        if (
            init_file is None
            or init_file.parent != parent / package
            or "signals.common.lazy_names" not in init_file.read_text(encoding="utf-8")
        ):
            raise ImportError(
                f"expected the package {package!r} of rnn-strategies at {parent / package}; found "
                f"{init_file or 'none'}, which belongs to another distribution or folder; install rnn-strategies into "
                "a virtual environment of its own, or rename that folder"
            )


_check_package_origins()

# imported after the check, which makes sure that these are our own packages
from rnn_strategies.runs.version import __version__ as __version__  # noqa: E402
from signals.common.lazy_names import lazy_names  # noqa: E402

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AccountRecorder": "backtests.recorder",
        "Allocation": "backtests.allocations",
        "Audit": "rnn_strategies.audit.audit",
        "BacktestResult": "backtests.result",
        "Broker": "backtests.broker.broker",
        "BrokerSettings": "backtests.broker.settings",
        "Config": "rnn_strategies.config.panel_config",
        "CustomModel": "signals.models.custom",
        "EncoderDecoderSettings": "signals.models.encoder_decoder_settings",
        "EqualWeight": "backtests.allocations",
        "EqualWeightSizer": "backtests.sizers",
        "FEATURES": "signals.features",
        "FeatureContext": "signals.features",
        "FilesSource": "signals.sources.files",
        "Fill": "backtests.broker.fill_sources",
        "FillJournal": "backtests.journal.fill_journal",
        "FillSource": "backtests.broker.fill_sources",
        "ForecastConfig": "rnn_strategies.config.forecast_config",
        "ForecastRun": "rnn_strategies.pipelines.forecast_run",
        "ForecastSettings": "signals.forecasting.settings",
        "InputError": "signals.common.errors",
        "LABELS": "signals.dataset.labels",
        "LabelSettings": "signals.dataset.labels",
        "LongShortQuantile": "backtests.allocations",
        "PricePanel": "signals.data.prices",
        "Prices": "signals.data.prices",
        "RecurrentSettings": "signals.models.recurrent_settings",
        "ReferenceData": "signals.dataset.dataset",
        "Run": "rnn_strategies.pipelines.panel_run",
        "SavedKerasModel": "signals.models.saved_keras",
        "ScoreWeighted": "backtests.allocations",
        "SeriesTable": "signals.forecasting.series_table",
        "SignalIndicator": "backtests.indicators",
        "SignalStrategy": "backtests.strategy",
        "SimulatedSource": "signals.sources.simulated",
        "Threshold": "backtests.allocations",
        "TopK": "backtests.allocations",
        "TrainingSettings": "signals.trainers.base",
        "UniverseFilters": "signals.dataset.universe",
        "WalkForward": "signals.dataset.folds",
        "YahooSource": "signals.sources.yahoo.source",
        "add_prices": "backtests.feeds.panel_feeds",
        "audit_run": "rnn_strategies.audit.audit",
        "check_features": "signals.features",
        "check_prices": "signals.data.prices",
        "check_signals": "signals.scores.signal_frame",
        "compute_features": "signals.features",
        "compute_forecasts": "signals.forecasting.series_walk_forward",
        "compute_metrics": "reports.metrics.performance",
        "compute_signals": "signals.walk_forward.panel_walk_forward",
        "deflated_sharpe_ratio": "reports.significance.sharpe_ratio",
        "equal_weight_returns": "backtests.engine",
        "export_scores": "rnn_strategies.pipelines.score_import",
        "forecast": "rnn_strategies.pipelines.forecast_run",
        "import_scores": "rnn_strategies.pipelines.score_import",
        "load_config": "rnn_strategies.config.panel_config",
        "load_forecast_config": "rnn_strategies.config.forecast_config",
        "load_prices": "signals.sources.registry",
        "make_allocation": "backtests.allocations",
        "min_track_record_length": "reports.significance.sharpe_ratio",
        "probabilistic_sharpe_ratio": "reports.significance.sharpe_ratio",
        "probability_of_backtest_overfitting": "reports.significance.overfitting",
        "read_macro": "signals.reference.macro_series",
        "read_membership": "signals.reference.membership",
        "read_scores": "signals.scores.score_files",
        "read_sectors": "signals.reference.sectors",
        "read_series": "signals.forecasting.series_table",
        "read_symbol_changes": "signals.reference.security_ids",
        "reality_check": "reports.significance.bootstrap",
        "reproduce_systems": "rnn_strategies.reproduce.systems",
        "run": "rnn_strategies.pipelines.run_config",
        "run_backtest": "backtests.engine",
        "show_progress": "rnn_strategies.runs.progress_display",
        "simulated_series": "signals.forecasting.simulated_series",
        "tear_sheet": "reports.report",
        "verify_run": "rnn_strategies.verify.verify",
        "write_scores": "signals.scores.score_files",
    },
)
