"""Results, signals and fold files become statistics, figures and one HTML tear sheet.

Light to import: every name is loaded from its module when it is first used (PEP 562).
"""

from __future__ import annotations

from signals.lazy import lazy_names

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "compute_metrics": "reports.statistics",
        "deflated_sharpe_ratio": "reports.luck",
        "min_track_record_length": "reports.luck",
        "probabilistic_sharpe_ratio": "reports.luck",
        "probability_of_backtest_overfitting": "reports.overfitting",
        "reality_check": "reports.bootstrap",
        "tear_sheet": "reports.tear_sheet",
        "write_metrics": "reports.tear_sheet",
        "write_report": "reports.tear_sheet",
    },
)
