"""The trial ledger beside a run: whether it was counted, and whether its family was at least as large as it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rnn_strategies.config import Config
from rnn_strategies.family import returns_of
from rnn_strategies.home import Home
from rnn_strategies.manifest import Manifest, key_of
from rnn_strategies.trials import Trial, read_trials
from signals.errors import InputError
from signals.models.external import KerasModel
from signals.storage import read_json, read_parquet

__all__ = ["check_ledger", "check_trial", "returns_as_then"]

# A Sharpe ratio computed by another version of a library.
ROUNDING = 1e-9


def _trial_id(config: Config, claims: Mapping[str, Any]) -> str:
    """Identity of the trial that a configuration and the inputs of a manifest make."""
    inputs = claims["inputs"]
    if config.signals is not None:
        beside: Any = inputs["scores"]["sha256"]
        meta = inputs["scores"]["meta"]
        if not all(isinstance(said, str) for said in (meta["file"], *meta["notes"])):
            raise TypeError
    else:
        beside = [claims["files"], config.model.digest() if isinstance(config.model, KerasModel) else None]
    return key_of(config.identity, inputs["prices"]["sha256"], beside)[:16]


def check_trial(config: Config, claims: Mapping[str, Any], home: Home) -> tuple[str, str] | None:
    """Find out whether configuration, manifest and ledger speak of one trial.

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
    counted = read_trials(home)
    if stated not in counted:
        if made in counted:
            return None
        return (
            "config.toml",
            f"together with the inputs that manifest.json names it makes the trial {made}; manifest.json says {stated}",
        )
    if counted[stated].config != config.hash:
        return "config.toml", f"its settings are not those of trial {stated} in {home.trials}"
    return "manifest.json", f"inputs are not those of trial {stated}: with them it would be {made}"


def check_ledger(
    folder: Path, claims: Mapping[str, Any], home: Home, *, here: bool
) -> Iterator[tuple[str | None, str]]:
    """Hold a run to the ledger.

    Parameters
    ----------
    folder : Path
        The run.
    claims : mapping
        Its manifest.
    home : Home
        Where the ledger is.
    here : bool
        Whether the inputs of the run are kept in this home too, so that its trial has to be.

    Yields
    ------
    tuple of (str or None, str)
        File and finding; without a file it is a remark.
    """
    stated = _stated(claims)
    trials = read_trials(home)
    name = str(stated.get("id"))
    if name not in trials:
        if here and trials:
            yield "manifest.json", f"trial.id is {name}, which {home.trials} has never counted"
        else:
            yield None, f"there is no ledger of trials at {home.trials}: how many were tried was taken as it is"
        return
    own = trials[name]
    family = [one for one in trials.values() if one.family == own.family]
    begun = family.index(own) + 1
    started = stated.get("started")
    if isinstance(started, int) and started < begun:
        yield "manifest.json", f"trial.started is {started}; {home.trials} had counted {begun} when the run began"
    yield from _check_sharpe(folder, own, home)
    yield from _check_others(folder, claims, own, trials, home)


def _stated(claims: Mapping[str, Any]) -> dict[str, Any]:
    stated = claims.get("trial")
    return stated if isinstance(stated, dict) else {}


def _check_sharpe(folder: Path, own: Trial, home: Home) -> Iterator[tuple[str | None, str]]:
    if own.status != "done" or own.returns is None or own.sharpe is None:
        return
    if (home.root.parent / own.returns).resolve().parent != folder.resolve():
        return
    try:
        found = read_json(folder / "metrics.json").get("sharpe_ratio")
    except (InputError, AttributeError):
        return  # said where the file is compared
    if not isinstance(found, float) or abs(found - own.sharpe) > ROUNDING * max(abs(own.sharpe), 1.0):
        yield "metrics.json", f"sharpe_ratio is {found}; {home.trials} recorded {own.sharpe} when the run ended"


def _check_others(
    folder: Path, claims: Mapping[str, Any], own: Trial, trials: Mapping[str, Trial], home: Home
) -> Iterator[tuple[str | None, str]]:
    """Compare the returns of other trials with their own folders, as long as those hold what they held."""
    try:
        table = read_parquet(folder / "trials.parquet", index=["trial"])
        others = [name for name in table.index.unique() if name != own.id]
        unknown = 0
        for name in others:
            if name not in trials:
                yield "trials.parquet", f"holds returns of trial {name}, which {home.trials} has never counted"
                return
            returns = returns_as_then(trials[name], claims, home)
            if returns is None:
                unknown += 1
                continue
            mine = table.loc[[name], "returns"].to_numpy(dtype=np.float64)
            if len(mine) != len(returns) or not np.allclose(mine, returns.to_numpy(), rtol=0, atol=ROUNDING):
                yield "trials.parquet", f"the returns of trial {name} are not those in {trials[name].returns}"
                return
    except (InputError, KeyError, TypeError, ValueError):
        return  # said where the file is compared
    if unknown:
        yield (
            None,
            f"returns of {unknown} of {len(others)} other trials were taken as they are: their folders have gone",
        )


def returns_as_then(trial: Trial, claims: Mapping[str, Any], home: Home) -> pd.Series | None:
    """Give the returns of another trial from its own folder, if that still holds what it held for this run."""
    returns = returns_of(home, trial)
    if returns is None or trial.returns is None:
        return None
    manifest = Manifest((home.root.parent / trial.returns).parent)
    if not manifest.is_done("backtest") or manifest.data.get("versions") != claims.get("versions"):
        return None
    return returns
