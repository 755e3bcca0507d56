"""Statistics, figures and an HTML tear sheet from results, signals and fold files.

Light to import: every name is loaded from its module when it is first used (PEP 562).
"""

from __future__ import annotations

from signals.common.lazy_names import lazy_names

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "compute_metrics": "reports.metrics.performance",
        "deflated_sharpe_ratio": "reports.significance.sharpe_ratio",
        "min_track_record_length": "reports.significance.sharpe_ratio",
        "probabilistic_sharpe_ratio": "reports.significance.sharpe_ratio",
        "probability_of_backtest_overfitting": "reports.significance.overfitting",
        "reality_check": "reports.significance.bootstrap",
        "tear_sheet": "reports.report",
        "write_metrics": "reports.report",
        "write_report": "reports.report",
    },
)
