"""The trial ledger beside a run: where it knows the folder, the run must state what the ledger recorded.

A run verifies without a ledger: the returns of other trials are in `trials.parquet`, their number is in the manifest.
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

# A Sharpe ratio computed by another version of a library.
ROUNDING = 1e-9


def _trial_id(config: Config, claims: Mapping[str, Any]) -> str:
    """Identity of the trial that a configuration and the inputs of a manifest make."""
    inputs = claims["inputs"]
    if config.signals is not None:
        beside: Any = inputs["scores"]["sha256"]
        meta = inputs["scores"]["meta"]
        if not all(isinstance(said, str) for said in (meta["file"], *meta["warnings"])):
            raise TypeError
    else:
        beside = [claims["files"], config.model.digest() if isinstance(config.model, SavedKerasModel) else None]
    return key_of(config.identity, inputs["prices"]["sha256"], beside)[:16]


def ledger_at_hand() -> TrialLedger | None:
    """Give the user's trial ledger if there is one that can be read."""
    try:
        ledger = default_ledger()
        return ledger if ledger.trials() else None
    except InputError:
        return None


def check_trial(config: Config, claims: Mapping[str, Any], ledger: TrialLedger | None) -> tuple[str, str] | None:
    """Find out whether configuration, manifest and ledger, if there is one, speak of one trial.

    Returns
    -------
    tuple of (str, str) or None
        The file that does not fit and why; None when they do, or only the manifest's own summary is wrong, which
        comparing it will show.
    """
    stated = str(_stated(claims).get("id"))
    same_settings = claims.get("config_hash") == config.hash
    try:
        made: str | None = _trial_id(config, claims)
    except (KeyError, TypeError):
        return "manifest.json", "does not say what the run was made from"
    except (InputError, OSError):
        made = None  # the network that came trained has gone
    if made == stated or (made is None and same_settings):
        return None
    if not same_settings:
        return (
            "config.toml",
            f"its settings are not those of the run: their hash is {config.hash}, and that of the run "
            f"{claims.get('config_hash')}",
        )
    counted = {} if ledger is None else ledger.trials()
    if ledger is None or stated not in counted:
        if made in counted:
            return None
        return (
            "config.toml",
            f"together with the inputs that manifest.json names it makes the trial {made}; manifest.json says {stated}",
        )
    if counted[stated].config != config.hash:
        return "config.toml", f"its settings are not those of trial {stated} in {ledger.path}"
    return "manifest.json", f"inputs are not those of trial {stated}: with them it would be {made}"


def check_ledger(
    folder: Path, claims: Mapping[str, Any], ledger: TrialLedger | None
) -> Iterator[tuple[str | None, str]]:
    """Compare what a run states about trials with the ledger in which it was counted.

    Parameters
    ----------
    folder : Path
        The run.
    claims : mapping
        Its manifest.
    ledger : TrialLedger or None
        The user's ledger, if there is one.

    Yields
    ------
    tuple of (str or None, str)
        File and finding; without a file it is a remark.
    """
    stated = _stated(claims)
    own = None if ledger is None else ledger.trials().get(str(stated.get("id")))
    if ledger is None or own is None or own.folder is None or Path(own.folder).resolve() != folder.resolve():
        yield (
            None,
            f"the trial ledger has no record of this folder: the number of trials and {TRIALS} were taken as they are",
        )
        return
    begun = list(relatives_of(ledger, own).family).index(own.id) + 1
    started = stated.get("started")
    if isinstance(started, int) and started < begun:
        yield "manifest.json", f"trial.started is {started}; {ledger.path} had counted {begun} when the run began"
    yield from _check_sharpe(folder, own, ledger)
    yield from _check_others(folder, own, ledger)


def _stated(claims: Mapping[str, Any]) -> dict[str, Any]:
    stated = claims.get("trial")
    return stated if isinstance(stated, dict) else {}


def _check_sharpe(folder: Path, own: Trial, ledger: TrialLedger) -> Iterator[tuple[str | None, str]]:
    if own.status != "done" or own.sharpe is None:
        return
    try:
        found = read_json(folder / "metrics.json").get("sharpe_ratio")
    except (InputError, AttributeError):
        return  # said where the file is compared
    if not isinstance(found, float) or abs(found - own.sharpe) > ROUNDING * max(abs(own.sharpe), 1.0):
        yield "metrics.json", f"sharpe_ratio is {found}; {ledger.path} recorded {own.sharpe} when the run ended"


def _check_others(folder: Path, own: Trial, ledger: TrialLedger) -> Iterator[tuple[str | None, str]]:
    """Compare the returns of other trials with any that the ledger ever recorded for them."""
    try:
        table = read_parquet(folder / TRIALS, index=["trial"])
        others = [name for name in table.index.unique() if name != own.id]
        unknown = 0
        for name in others:
            mine = table.loc[[name], "returns"].to_numpy(dtype=np.float64)
            recorded = [returns.to_numpy(dtype=np.float64) for returns in ledger.recorded_returns(str(name))]
            if not recorded:
                unknown += 1
            elif not any(len(one) == len(mine) and np.allclose(mine, one, rtol=0, atol=ROUNDING) for one in recorded):
                yield TRIALS, f"the returns of trial {name} are not those that {ledger.path} recorded"
                return
    except (InputError, KeyError, TypeError, ValueError):
        return  # said where the file is compared
    if unknown:
        yield None, f"returns of {unknown} of {len(others)} other trials were taken as they are: the ledger has none"
