"""Former public names and the names that replaced them, for error messages only: no former name is accepted."""

from __future__ import annotations

from collections.abc import Collection, Mapping

__all__ = [
    "CHECKS",
    "COMMAND_LINE_OPTIONS",
    "CONFIGURATION_KEYS",
    "FEATURES",
    "PRESETS",
    "PYTHON_NAMES",
    "RULES",
    "now_called",
    "renamed_key",
]

# By table of the configuration; a key of [prices] has one new name per price source.
CONFIGURATION_KEYS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "prices": {
        "actions": ("corporate_actions",),
        "attempts": ("max_attempts",),
        "delistings": ("delisting_fraction",),
        "factors": ("factor_files",),
        "listings": ("listing_fraction",),
        "minimum_coverage": ("min_coverage",),
        "missing": ("on_missing_ticker", "missing_rate"),
        "pattern": ("signal_strength",),
        "pause": ("request_interval",),
        "sectors": ("n_sectors",),
        "splits": ("split_rate",),
        "tickers": ("n_tickers",),
    },
    "universe": {
        "symbols": ("symbol_changes",),
        "top": ("max_tickers",),
        "window": ("dollar_volume_window",),
        "zero_window": ("zero_return_window",),
    },
    "universe.symbol_changes": {"outside": ("on_uncovered",)},
    "signals": {"outside": ("on_uncovered",)},
    "features.macro": {"lag": ("publication_lag",)},
    "labels": {
        "measured": ("price_basis",),
        "window": ("estimation_window",),
    },
    "model": {
        "clip_quantile": ("winsorize_quantile",),
        "dense": ("dense_units",),
        "embedding": ("ticker_embedding_dim",),
        "embeddings": ("categorical_embeddings",),
        "every_step": ("sequence_loss",),
        "highway": ("autoregressive_lags",),
        "months": ("month_onehot",),
        "skip": ("recurrent_skip_steps",),
        "skip_units": ("recurrent_skip_units",),
        "teacher_forcing": ("teacher_forcing_ratio",),
        "truncate": ("tbptt_steps",),
        "unknown_share": ("unknown_category_rate",),
        "years": ("year_onehot",),
    },
    "training": {
        "clip_norm": ("global_clipnorm",),
        "refit": ("refit_on_validation",),
    },
    "walk_forward": {"start": ("test_start",)},
    "strategy": {
        "missing": ("on_missing_score",),
        "strategy": ("kind",),
    },
    "broker": {
        "cash_rate": ("cash_interest_rate",),
        "commission_minimum": ("min_commission",),
        "delist_after": ("delist_after_sessions",),
        "margin_rate": ("margin_interest_rate",),
        "max_volume_share": ("max_participation_rate",),
        "volatility_slippage": ("volatility_slippage_coef",),
    },
    "forecast": {
        "reference": ("reference_baseline",),
        "units": ("error_units",),
    },
    "series": {
        "months": ("n_months",),
        "periods": ("transform_periods",),
        "release": ("publication_note",),
        "series": ("n_series",),
        "vintage": ("vintage_note",),
    },
    "report": {"risk_free": ("risk_free_rate",)},
}

FEATURES: Mapping[str, str] = {}

PRESETS: Mapping[str, str] = {}

COMMAND_LINE_OPTIONS: Mapping[str, str] = {}

# Checks of the audit.
CHECKS: Mapping[str, str] = {}

# Rules of the broker.
RULES: Mapping[str, str] = {}

PYTHON_NAMES: Mapping[str, str] = {}


def renamed_key(table: str, key: str, known: Collection[str]) -> str:
    """Return "`old` is now called `new`" for a former key of a table of the configuration, or an empty text.

    Parameters
    ----------
    table : str
        Name of the table, `"universe"`; of a table inside another one with a dot, `"features.macro"`.
    key : str
        The key as written.
    known : collection of str
        Keys that the table has; a new name that is not among them is not given.

    >>> renamed_key("universe", "top", ["max_tickers"])
    '`top` is now called `max_tickers`'
    """
    table = "prices" if table == "benchmark" else table  # the options of a price source
    new = next((name for name in CONFIGURATION_KEYS.get(table, {}).get(key, ()) if name in known), None)
    return f"`{key}` is now called `{new}`" if new else ""


def now_called(former: Mapping[str, str], name: str) -> str:
    """Return "`old` is now called `new`" for a name in one of the tables of this module, or an empty text."""
    return f"`{name}` is now called `{former[name]}`" if name in former else ""
