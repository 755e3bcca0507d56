"""Features by decision date: a built-in causal set, macro series, and functions of the user's own.

Every value at decision date *t* is known at the close of *t*. `FEATURES` lists the built-in ones; a feature is named by
a text such as `"volatility(21)"` or `"return minus market"`, see `signals.features.expressions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from signals.common.lazy_names import lazy_names

if TYPE_CHECKING:  # lazily loaded names carry no types otherwise
    from signals.features.bars import last_bar, period_returns
    from signals.features.catalogue import FEATURES
    from signals.features.compute import compute_features
    from signals.features.context import FeatureContext, Features
    from signals.features.expressions import check_features
    from signals.features.feature import Feature

__all__ = [  # noqa: PLE0604, F822, RUF100 - the names `lazy_names` makes
    "FEATURES",
    "Feature",
    "FeatureContext",
    "Features",
    "check_features",
    "compute_features",
    "last_bar",
    "period_returns",
]

_, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "FEATURES": "signals.features.catalogue",
        "Feature": "signals.features.feature",
        "FeatureContext": "signals.features.context",
        "Features": "signals.features.context",
        "check_features": "signals.features.expressions",
        "compute_features": "signals.features.compute",
        "last_bar": "signals.features.bars",
        "period_returns": "signals.features.bars",
    },
)
