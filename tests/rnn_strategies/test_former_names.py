"""Former names raise errors with the new names: keys, features, presets, options, checks, rules, Python names."""

from __future__ import annotations

import sys

import pytest

import backtests
import rnn_strategies as rs
import signals
from backtests.common.broker_rules import RULES as CURRENT_RULES
from backtests.common.broker_rules import closed_rules
from rnn_strategies import cli
from rnn_strategies.audit.audit import CHECKS as CURRENT_CHECKS
from rnn_strategies.config.forecast_config import parse_forecast_config
from rnn_strategies.config.panel_config import parse_config
from rnn_strategies.config.presets import FORECAST_PRESETS, preset_text
from rnn_strategies.config.presets import PRESETS as CURRENT_PRESETS
from signals.common.errors import InputError
from signals.common.former_names import (
    CHECKS,
    COMMAND_LINE_OPTIONS,
    CONFIGURATION_KEYS,
    FEATURES,
    PRESETS,
    PYTHON_NAMES,
    RULES,
)

SOURCES = {
    "simulated": {"source": "simulated"},
    "yahoo": {"source": "yahoo", "tickers": ["A"], "start": "2012-01-01"},
    "files": {"source": "files", "path": "prices.csv"},
}
PANEL = {
    "prices": SOURCES["simulated"],
    "walk_forward": {"test_start": "2014-01-01"},
    "strategy": {"allocation": "TopK", "k": 1},
    "broker": {"cash": 1.0, "preset": "retail"},
}
SERIES = {"series": {"path": "series.csv"}, "walk_forward": {"test_start": "2014-01-01"}}
IMPORTED = {name: table for name, table in PANEL.items() if name != "walk_forward"} | {"signals": {"path": "s.csv"}}


def source_of(new):
    """Name a price source that has a setting."""
    from dataclasses import fields

    kinds = {"simulated": rs.SimulatedSource, "yahoo": rs.YahooSource, "files": rs.FilesSource}
    return next(name for name, kind in kinds.items() if new in {field.name for field in fields(kind)})


def cases():
    for table, keys in CONFIGURATION_KEYS.items():
        for old, new in keys.items():
            for name in new:
                yield pytest.param(table, old, name, id=f"{table}.{old}-{name}")


@pytest.mark.parametrize(("table", "old", "new"), list(cases()))
def test_a_former_key_is_refused_with_its_new_name(table, old, new):
    outer, _, inner = table.partition(".")
    of_series = outer in ("series", "forecast")
    tables = {"series": SERIES, "forecast": SERIES, "signals": IMPORTED}.get(outer, PANEL)
    options = {"source": "simulated"} if new in ("n_series", "n_months") else dict(tables.get(outer, {}))
    if outer == "prices":
        options = SOURCES[source_of(new)]
    changed = {**options, inner: {"path": "x.csv", old: "x"}} if inner else {**options, old: "x"}
    parse = parse_forecast_config if of_series else parse_config
    with pytest.raises(InputError, match=rf"found '{old}'; `{old}` is now called `{new}`$"):
        parse({**tables, outer: changed})


@pytest.mark.parametrize(("old", "new"), list(FEATURES.items()))
def test_a_former_feature_is_refused_with_its_new_name(old, new):
    spec = f"return {old}" if old.startswith("vs ") else f"{old}(14)"
    with pytest.raises(InputError, match=f"`{old}` is now called `{new}`$"):
        rs.check_features([spec])
    rs.check_features([f"return {new}" if old.startswith("vs ") else new])


@pytest.mark.parametrize(("old", "new"), list(PRESETS.items()))
def test_a_former_preset_is_refused_with_its_new_name(old, new):
    with pytest.raises(InputError, match=f"`{old}` is now called `{new}`$"):
        preset_text(old, "data")
    assert new in (*CURRENT_PRESETS, *FORECAST_PRESETS)


@pytest.mark.parametrize(("old", "new"), list(RULES.items()))
def test_a_former_rule_of_the_broker_is_refused_with_its_new_name(old, new):
    with pytest.raises(InputError, match=f"`{old}` is now called `{new}`$"):
        closed_rules({old})
    assert new in CURRENT_RULES


@pytest.mark.parametrize(("old", "new"), list(CHECKS.items()))
def test_a_former_check_of_the_audit_is_refused_with_its_new_name(old, new):
    with pytest.raises(InputError, match=f"`{old}` is now called `{new}`$"):
        rs.audit_run("no.toml", only=[old])
    assert new in CURRENT_CHECKS


@pytest.mark.parametrize(("old", "new"), list(PYTHON_NAMES.items()))
def test_a_former_python_name_is_refused_with_its_new_name(old, new):
    owner = backtests if new in backtests.__all__ else signals
    for package in (rs, owner):
        with pytest.raises(AttributeError, match=f"has no attribute '{old}'; `{old}` is now called `{new}`$"):
            getattr(package, old)
    assert new in owner.__all__


@pytest.mark.parametrize(("old", "new"), list(COMMAND_LINE_OPTIONS.items()))
def test_a_former_option_is_refused_with_its_new_name(old, new, monkeypatch, capsys):
    command = {"--days": "audit", "--save": "audit", "--outside": "import", "--retrain-revised": "run"}[old]
    monkeypatch.setattr(sys, "argv", ["rnn-strategies", command, "x", old, "3"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert f"{old}; `{old}` is now called `{new}`" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["rnn-strategies", command, "--help"])
    with pytest.raises(SystemExit):
        cli.main()
    assert new in capsys.readouterr().out


def test_a_former_setting_of_a_source_is_refused_in_python_too():
    with pytest.raises(InputError, match=r"found 'tickers'.*; `tickers` is now called `n_tickers`"):
        rs.load_prices(source="simulated", tickers=3)
    with pytest.raises(InputError, match="`margin_rate` is now called `margin_interest_rate`"):
        rs.BrokerSettings.from_preset("retail", cash=1.0, margin_rate=0.1)
