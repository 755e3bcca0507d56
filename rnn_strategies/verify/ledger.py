"""Comparison of a run with the trial ledger, where the ledger has a record of its folder.

The ledger is optional: the returns of other trials are in `trials.parquet`, and their number is in the manifest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnn_strategies.config.panel_config import Config
from rnn_strategies.runs.manifest import key_of
from rnn_strategies.trials.comparable_trials import relatives_of
from rnn_strategies.trials.registered_run import TRIALS
from rnn_strategies.trials.trial_ledger import Trial, TrialLedger, default_ledger
from signals.common.errors import InputError
from signals.common.storage import read_json, read_parquet
from signals.models.saved_keras import SavedKerasModel

__all__ = ["check_ledger", "check_trial", "ledger_at_hand"]

# Tolerance for a Sharpe ratio computed by another version of a library.
ROUNDING = 1e-9


def _trial_id(config: Config, claims: Mapping[str, Any]) -> str:
    """Id of the trial with a configuration and the inputs of a manifest."""
    inputs = claims["inputs"]
    if config.signals is not None:
        other_inputs: Any = inputs["scores"]["sha256"]
        meta = inputs["scores"]["meta"]
        if not all(isinstance(text, str) for text in (meta["file"], *meta["warnings"])):
            raise TypeError
    else:
        other_inputs = [claims["files"], config.model.digest() if isinstance(config.model, SavedKerasModel) else None]
    return key_of(config.identity, inputs["prices"]["sha256"], other_inputs)[:16]


def ledger_at_hand() -> TrialLedger | None:
    """Return the user's trial ledger; None when it has no trials or cannot be read."""
    try:
        ledger = default_ledger()
        return ledger if ledger.trials() else None
    except InputError:
        return None


def check_trial(config: Config, claims: Mapping[str, Any], ledger: TrialLedger | None) -> tuple[str, str] | None:
    """Check that configuration, manifest and ledger (if there is one) describe the same trial.

    Returns
    -------
    tuple of (str, str) or None
        The file that differs and the reason; None when they agree, or when only facts of the manifest about the trial
        are wrong, which the comparison of the manifest shows.
    """
    stated = str(_stated(claims).get("id"))
    same_settings = claims.get("config_hash") == config.hash
    try:
        derived: str | None = _trial_id(config, claims)
    except (KeyError, TypeError):
        return "manifest.json", "does not name the inputs of the run"
    except (InputError, OSError):
        derived = None  # the file of the saved network is missing
    if derived == stated or (derived is None and same_settings):
        return None
    if not same_settings:
        return (
            "config.toml",
            f"its settings are not those of the run: their hash is {config.hash}, and that of the run "
            f"{claims.get('config_hash')}",
        )
    recorded = {} if ledger is None else ledger.trials()
    if ledger is None or stated not in recorded:
        if derived in recorded:
            return None
        return (
            "config.toml",
            f"with the inputs that manifest.json names it is the trial {derived}; manifest.json states {stated}",
        )
    if recorded[stated].config != config.hash:
        return "config.toml", f"its settings are not those of trial {stated} in {ledger.path}"
    return "manifest.json", f"inputs are not those of trial {stated}: with them it would be trial {derived}"


def check_ledger(
    folder: Path, claims: Mapping[str, Any], ledger: TrialLedger | None
) -> Iterator[tuple[str | None, str]]:
    """Compare the trial count, Sharpe ratio and other trials' returns of a run folder with the user's trial ledger.

    Parameters
    ----------
    folder : Path
        The run folder.
    claims : mapping
        Manifest of the run.
    ledger : TrialLedger or None
        The user's ledger, if there is one.

    Yields
    ------
    tuple of (str or None, str)
        File and finding; None and a warning.
    """
    stated = _stated(claims)
    own = None if ledger is None else ledger.trials().get(str(stated.get("id")))
    if ledger is None or own is None or own.folder is None or Path(own.folder).resolve() != folder.resolve():
        yield (
            None,
            f"the trial ledger has no record of this folder: the number of trials and {TRIALS} were not checked",
        )
        return
    recorded = list(relatives_of(ledger, own).family).index(own.id) + 1
    started = stated.get("started")
    if isinstance(started, int) and started < recorded:
        yield "manifest.json", f"trial.started is {started}; {ledger.path} had {recorded} when the run was started"
    yield from _check_sharpe(folder, own, ledger)
    yield from _check_others(folder, own, ledger)


def _stated(claims: Mapping[str, Any]) -> dict[str, Any]:
    stated = claims.get("trial")
    return stated if isinstance(stated, dict) else {}


def _check_sharpe(folder: Path, own: Trial, ledger: TrialLedger) -> Iterator[tuple[str | None, str]]:
    if own.status != "done" or own.sharpe is None:
        return
    try:
        sharpe = read_json(folder / "metrics.json").get("sharpe_ratio")
    except (InputError, AttributeError):
        return  # reported by the comparison of the file
    if not isinstance(sharpe, float) or abs(sharpe - own.sharpe) > ROUNDING * max(abs(own.sharpe), 1.0):
        yield "metrics.json", f"sharpe_ratio is {sharpe}; {ledger.path} recorded {own.sharpe} when the run ended"


def _check_others(folder: Path, own: Trial, ledger: TrialLedger) -> Iterator[tuple[str | None, str]]:
    """Compare the returns of other trials with all that the ledger recorded for them."""
    try:
        table = read_parquet(folder / TRIALS, index=["trial"])
        others = [name for name in table.index.unique() if name != own.id]
        unknown = 0
        for name in others:
            mine = table.loc[[name], "returns"].to_numpy(dtype=np.float64)
            recorded = [returns.to_numpy(dtype=np.float64) for returns in ledger.recorded_returns(str(name))]
            if not recorded:
                unknown += 1
            elif not any(
                len(returns) == len(mine) and np.allclose(mine, returns, rtol=0, atol=ROUNDING) for returns in recorded
            ):
                yield TRIALS, f"the returns of trial {name} are not those that {ledger.path} recorded"
                return
    except (InputError, KeyError, TypeError, ValueError):
        return  # reported by the comparison of the file
    if unknown:
        yield None, f"returns of {unknown} of {len(others)} other trials were not checked: the ledger has none"
