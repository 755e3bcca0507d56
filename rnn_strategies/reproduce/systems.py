"""Registry of the published systems with their data files, and the function that runs them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from rnn_strategies.reproduce.report import Report, write_report, write_summary
from rnn_strategies.reproduce.series_systems import INDEX_FILE, MACRO_FILE
from rnn_strategies.runs.workspace import Home, default_home
from signals.common.errors import InputError
from signals.common.progress_events import ProgressCallback, ProgressEvent, ignore_progress

__all__ = ["INDEX_FILE", "MACRO_FILE", "STACKED_FILE", "SYSTEMS", "System", "reproduce_systems"]

STACKED_FILE = "us-stocks-daily/close_all.parquet"


@dataclass(frozen=True, slots=True)
class System:
    """One published system.

    Parameters
    ----------
    function : str
        Function that runs the system, as `'module:name'`.
    files : tuple of str
        Data files, below the data folder.
    seeds : int
        Default number of networks per fold.
    """

    function: str
    files: tuple[str, ...]
    seeds: int


_SERIES = "rnn_strategies.reproduce.series:reproduce_series"

SYSTEMS: dict[str, System] = {
    "univariate-2018": System(_SERIES, (INDEX_FILE,), 5),
    "univariate-2019": System(_SERIES, (INDEX_FILE,), 5),
    "multivariate": System(_SERIES, (MACRO_FILE,), 10),
    "stacked": System("rnn_strategies.reproduce.stacked:reproduce_stacked", (STACKED_FILE,), 3),
    "seasonal": System(_SERIES, (), 5),
}


def reproduce_systems(
    data: Path | str | None = None,
    *,
    only: Sequence[str] = (),
    out: Path | str | None = None,
    seeds: int | None = None,
    jobs: int | None = None,
    download: bool = False,
    home: Home | None = None,
    on_progress: ProgressCallback = ignore_progress,
    each: Callable[[Report], None] = lambda report: None,
) -> list[Report]:
    """Run published systems on real data and compare each with its baselines. Finished runs are not computed again.

    Parameters
    ----------
    data : Path, optional
        Folder with the data files; simulated systems need none.
    only : sequence of str
        Names of `SYSTEMS`; all systems by default.
    out : Path, optional
        Folder to which `<system>.md`, `<system>.json`, the run folders, and `summary.md` over all systems in the folder
        are written; `runs/reproduce` by default.
    seeds : int, optional
        Number of networks per fold; the default of each system when not given.
    jobs : int, optional
        Number of training processes; one per core by default. Results do not depend on it.
    download : bool
        Whether missing files are downloaded where they are freely available; False by default.
    home : Home, optional
        Folder of stored networks; `.rnn-strategies` by default.
    on_progress : callable
        Called with every `ProgressEvent`; ignores them by default.
    each : callable
        Called with every finished report.

    Returns
    -------
    list of Report
        Reports in the order of `SYSTEMS`; each is written as soon as it is finished.

    Raises
    ------
    InputError
        For an unknown system or a missing file, before anything is trained.
    ServiceError
        When a file cannot be downloaded.
    """
    chosen = _select_systems(only)
    folder = Path("runs/reproduce" if out is None else out)
    data_folder = _check_data_files(chosen, data, download=download, on_progress=on_progress)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    reports = []
    for done, name in enumerate(chosen):
        system = SYSTEMS[name]
        on_progress(ProgressEvent("reproduce", f"{name} begins", done, len(chosen), float("nan")))
        module, function = system.function.split(":")
        reproduce: Any = getattr(import_module(module), function)
        report: Report = reproduce(
            name,
            data_folder,
            folder,
            seeds=seeds or system.seeds,
            jobs=jobs or cores,
            home=home or default_home(),
            on_progress=on_progress,
            write=lambda report: write_report(report, folder),
        )
        write_report(report, folder)
        write_summary(tuple(SYSTEMS), folder)
        reports.append(report)
        each(report)
    return reports


def _select_systems(only: Sequence[str]) -> list[str]:
    for name in only:
        if name not in SYSTEMS:
            close = difflib.get_close_matches(name, SYSTEMS, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise InputError(f"expected --only to be one of {', '.join(SYSTEMS)}; found {name!r}{hint}")
    return [name for name in SYSTEMS if name in only or not only]


def _check_data_files(
    chosen: Sequence[str], data: Path | str | None, *, download: bool, on_progress: ProgressCallback
) -> Path:
    """Return the data folder after a check that every file exists; missing ones are downloaded with `download`."""
    needed = list(dict.fromkeys(file for name in chosen for file in SYSTEMS[name].files))
    if data is None:
        if needed:
            raise InputError(f"expected --data with the folder of {needed[0]}; found none; add it, or select a "
                             "simulated system with --only")  # fmt: skip
        return Path()
    folder = Path(data).expanduser()
    for file in needed:
        if (folder / file).is_file():
            continue
        if download:
            from rnn_strategies.reproduce.download import download_file

            download_file(file, folder, on_progress=on_progress)
            continue
        systems = ", ".join(name for name in chosen if file in SYSTEMS[name].files)
        raise InputError(
            f"expected {folder / file} for {systems}; found no such file; put it there, download freely available "
            "files with --download, or select other systems with --only"
        )
    return folder
