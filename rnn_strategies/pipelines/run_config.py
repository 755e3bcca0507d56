"""Opening and running a configuration: the run folder of its kind, and all stages."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rnn_strategies.config.panel_config import Config, load_config
from rnn_strategies.pipelines.panel_run import Run
from rnn_strategies.runs.manifest import Manifest
from rnn_strategies.runs.progress_display import in_notebook, show_progress
from rnn_strategies.runs.workspace import Home, default_home
from signals.common.errors import InputError
from signals.common.progress_events import ProgressCallback, ignore_progress

__all__ = ["open_run", "run"]


def run(
    config: Config | Path | str,
    *,
    out: Path | str | None = None,
    overrides: Sequence[str] = (),
    jobs: int | None = None,
    home: Home | None = None,
    on_progress: ProgressCallback | None = None,
    accept_revisions: bool = False,
) -> Run:
    """Run all stages of a configuration: signals, backtest and report. Finished stages are not computed again.

    Parameters
    ----------
    config : Config, or path of a TOML file or run folder
        The configuration.
    out : Path, optional
        Run folder; `runs/<name>` by default.
    overrides : sequence of str
        Settings as `"table.key=value"`, which replace those of the file.
    jobs : int, optional
        Number of training processes; one per core by default. Results do not depend on it.
    home : Home, optional
        Folder of stored networks and inputs; `.rnn-strategies` by default.
    on_progress : callable, optional
        Called with every `ProgressEvent`. By default a notebook shows a progress bar, and a script shows nothing.
    accept_revisions : bool
        Whether bars that Yahoo has revised since they were downloaded replace the stored ones. By default the stored
        bars are kept, the revisions are reported as warnings, and networks are not retrained.

    Returns
    -------
    Run
        The finished run folder.

    Raises
    ------
    InputError
        For faults in the configuration or the data. Finished work is kept.
    """
    opened = open_run(
        config,
        out=out,
        overrides=overrides,
        jobs=jobs,
        home=home,
        on_progress=on_progress,
        accept_revisions=accept_revisions,
    )
    with opened.locked():
        opened.all_stages()
    return opened


def open_run(
    target: Config | Path | str,
    *,
    out: Path | str | None = None,
    overrides: Sequence[str] = (),
    jobs: int | None = None,
    home: Home | None = None,
    on_progress: ProgressCallback | None = None,
    accept_revisions: bool = False,
) -> Run:
    """Return the run folder of a configuration, or an existing one by its path; nothing is computed or written.

    Parameters are those of `run`.

    Raises
    ------
    InputError
        When the folder holds a run of another configuration.
    """
    is_folder = not isinstance(target, Config) and Path(target).is_dir()
    if isinstance(target, Config):
        config, folder = target, Path(out) if out else Path("runs") / target.name
    elif is_folder:
        if out or overrides:
            raise InputError(
                f"expected a configuration file together with --out or --set; found the run folder {target}; "
                f"use {Path(target) / 'config.toml'} and another --out"
            )
        config, folder = load_config(Path(target) / "config.toml"), Path(target)
    else:
        config = load_config(target, overrides)
        folder = Path(out) if out else Path("runs") / config.name
    recorded_hash = Manifest(folder).data.get("config_hash")
    if recorded_hash is not None and recorded_hash != config.hash:
        if is_folder:
            raise InputError(
                f"expected {folder / 'config.toml'} as the run wrote it; found it edited; pass a copy of it with "
                "another --out"
            )
        raise InputError(
            f"expected {folder} to be empty or to hold this configuration; found a run of another one; "
            "choose another --out or name, or delete the folder"
        )
    kind: type[Run] = Run
    if config.signals is not None:
        from rnn_strategies.pipelines.imported_run import ImportedRun

        kind = ImportedRun
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    on_progress = on_progress or (show_progress() if in_notebook() else ignore_progress)
    return kind(folder, config, home or default_home(), jobs or cores, on_progress, accept_revisions)
