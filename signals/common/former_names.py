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

# Features, and what follows one: their suffixes.
FEATURES: Mapping[str, str] = {
    "channel": "stochastic_k",
    "distance_to_average": "sma_distance",
    "illiquidity": "log_amihud",
    "intraday": "intraday_return",
    "overnight": "overnight_return",
    "range": "relative_true_range",
    "relative_strength": "cutler_rsi",
    "volume_change": "relative_volume",
    "vs market": "minus market",
    "vs sector": "minus sector",
}

PRESETS: Mapping[str, str] = {
    "honest-multivariate": "improved-multivariate",
    "honest-stacked": "improved-stacked",
    "honest-univariate": "improved-univariate",
    "honest-univariate-return": "improved-univariate-return",
}

COMMAND_LINE_OPTIONS: Mapping[str, str] = {
    "--days": "--cutoffs",
    "--outside": "--on-uncovered",
    "--retrain-revised": "--accept-revisions",
    "--save": "--json",
}

# Checks of the audit.
CHECKS: Mapping[str, str] = {
    "dead-names": "delisted-names",
    "explained": "baseline-attribution",
    "folds": "fold-checks",
}

# Rules of the broker.
RULES: Mapping[str, str] = {
    "bar_barrier": "match_later_bars_only",
    "bracket_legs": "bracket_legs_follow_parent",
    "cancellations": "cancel_unchecked_orders",
    "delistings": "cash_out_delisted_holdings",
    "deposits": "refuse_deposits",
    "entry_bar": "bracket_legs_on_entry_bar",
    "interest_apart": "interest_separate_from_commission",
    "last_price": "keep_last_price_over_nan_bars",
    "orders_let_go": "release_finished_orders",
    "past_only": "nan_before_first_bar",
    "reductions": "never_refuse_reductions",
    "refused_orders": "ignore_refused_orders_in_cash_check",
    "ruin": "close_ruined_account",
    "share_remainders": "clear_share_remainders",
    "short_sales": "require_borrow_rate_for_shorts",
    "sizes": "reject_non_finite_sizes",
    "stop_first": "stop_orders_before_limit_orders",
    "value_of_some": "value_of_given_feeds",
}

PYTHON_NAMES: Mapping[str, str] = {
    "Beside": "ReferenceData",
    "Event": "ProgressEvent",
    "Journal": "FillJournal",
    "KerasModel": "SavedKerasModel",
    "Ledger": "AccountRecorder",
    "ModelSettings": "RecurrentSettings",
    "OwnModel": "CustomModel",
    "equal_weight_universe": "equal_weight_returns",
    "read_symbols": "read_symbol_changes",
}


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
