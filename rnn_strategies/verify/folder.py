"""A run folder being verified: what it says about itself, what was found, and how files are compared."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rnn_strategies.config.panel_config import Config, load_config
from rnn_strategies.pipelines.imported_run import IMPORTED_FILES
from rnn_strategies.pipelines.panel_run import BACKTEST_FILES, QUANTILES, SIGNAL_FILES
from rnn_strategies.runs.manifest import STAGES, Manifest, versions
from rnn_strategies.runs.workspace import Home
from rnn_strategies.verify.file_differences import first_difference, json_differences, strange_stamp, value_text
from signals.common.errors import InputError
from signals.common.progress_events import ProgressCallback
from signals.common.storage import sha256_file

__all__ = ["NOT_OF_A_STAGE", "Folder", "stale"]

OF_SEVERAL_SEEDS = "seed_returns.parquet"
NOT_OF_A_STAGE = ("config.toml", "manifest.json", "timings.json", "report.html")
ORDER = ("config.toml", "manifest.json", *SIGNAL_FILES, QUANTILES, *BACKTEST_FILES, OF_SEVERAL_SEEDS, "report.html")

# Of numbers that another version of a library computed.
ROUNDING = 1e-9


class Folder:
    """One run folder being verified.

    Parameters
    ----------
    folder : Path
        The run.
    home : Home
        Where networks and inputs are kept.
    scratch : Path
        Empty folder to write to.
    on_progress : callable
        Told of progress.

    Attributes
    ----------
    findings : dict of str to str
        By file, the first thing that is wrong with it.
    warnings : list of str
        What could not be recomputed.
    seen : set of str
        Files that were looked at.
    """

    def __init__(self, folder: Path, home: Home, scratch: Path, on_progress: ProgressCallback) -> None:
        self.folder, self.home, self.scratch, self.on_progress = folder, home, scratch, on_progress
        self.findings: dict[str, str] = {}
        self.warnings: list[str] = []
        self.seen: set[str] = set()
        self.claims: dict[str, Any] = {}
        self.tolerance: float | None = None

    def in_order(self) -> list[tuple[str, str]]:
        """Give the findings in the order in which the files are made."""
        place = {name: i for i, name in enumerate(ORDER)}
        return sorted(self.findings.items(), key=lambda one: (place.get(one[0], len(ORDER)), one[0]))

    def find(self, file: str, text: str) -> None:
        """Note what is wrong with a file; what was noted first stays."""
        self.findings.setdefault(file, text)

    def find_all(self, found: Iterable[tuple[str, str]]) -> None:
        """Note several."""
        for file, text in found:
            self.find(file, text)

    # -- what the folder says about itself ----------------------------------------------------------------------------

    def read_manifest(self) -> bool:
        """Read the manifest; False when it is not that of a finished run."""
        self.seen.add("manifest.json")
        if not (self.folder / "manifest.json").is_file():
            self.find("manifest.json", "is missing: this is no run folder, or no finished one")
            return False
        try:
            self.claims = Manifest(self.folder).data
        except InputError as error:
            self.find("manifest.json", f"cannot be read: {error}")
            return False
        undone = [stage for stage in STAGES if stage not in self.claims.get("stages", {})]
        if undone:
            self.find(
                "manifest.json", f"says that {undone[0]} was not finished; finish the run with `rnn-strategies run`"
            )
            return False
        differ = list(json_differences(self.claims.get("versions"), versions()))
        if differ:
            self.tolerance = ROUNDING
            name, there, here = differ[0]
            self.warnings.append(
                f"made with {name or 'versions'} {value_text(there)}, here it is {value_text(here)}: figures were "
                "compared to nine digits, pictures not at all"
            )
        return True

    def read_config(self) -> Config | None:
        """Read the settings; None when they cannot be those of this run."""
        self.seen.add("config.toml")
        path = self.folder / "config.toml"
        try:
            config = load_config(path)
            as_written = config.to_toml() == path.read_text(encoding="utf-8")
        except (InputError, UnicodeDecodeError) as error:
            self.find("config.toml", f"cannot be read: {error}")
            return None
        imported = "scores" in self.claims.get("inputs", {})
        if imported != (config.signals is not None):
            self.find("config.toml", "is not that of this run: the one has imported scores, the other has not")
            return None
        if not as_written:
            self.find("config.toml", "is not as a run writes it: it was changed afterwards")
        return config

    @property
    def signal_files(self) -> tuple[str, ...]:
        """Files of the signals stage."""
        if "scores" in self.claims.get("inputs", {}):
            return IMPORTED_FILES
        stated = self.claims["stages"]["signals"].get("outputs", {})
        return (*SIGNAL_FILES, *((QUANTILES,) if QUANTILES in stated else ()))

    @property
    def files(self) -> tuple[str, ...]:
        """Files that the stages of this run leave behind."""
        seeds = self.claims.get("seeds")
        several = (OF_SEVERAL_SEEDS,) if isinstance(seeds, list) and len(seeds) > 1 else ()
        return (*self.signal_files, *BACKTEST_FILES, *several)

    def check_names(self) -> None:
        """Look for files that are missing and for those that do not belong."""
        self.seen.update(self.files)
        for file in self.files:
            if not (self.folder / file).is_file():
                self.find(file, "is missing")
        shown = {*SIGNAL_FILES, *BACKTEST_FILES, OF_SEVERAL_SEEDS} - {*self.files}
        for path in sorted(self.folder.iterdir()):
            if path.name in shown:
                self.find(path.name, "does not belong to this run, yet its report would show it")
            elif path.name not in (*self.files, *NOT_OF_A_STAGE):
                self.warnings.append(f"{path.name} does not belong to the run and was not looked at")
        if not (self.folder / "timings.json").is_file():
            self.warnings.append("timings.json is missing; no figure depends on it")

    def find_changed(self, files: Iterable[str]) -> None:
        """Note files that are not those whose hashes the manifest has."""
        for file in files:
            stated = [stage["outputs"].get(file) for stage in self.claims["stages"].values()]
            path = self.folder / file
            if path.is_file() and sha256_file(path) not in stated:
                self.find(file, "was changed after the run: its SHA-256 is not the one in manifest.json")

    # -- comparing ---------------------------------------------------------------------------------------------------

    def compare(self, files: Sequence[str]) -> None:
        """Compare files with those in the scratch folder."""
        for file in files:
            self.seen.add(file)
            text = first_difference(self.folder / file, self.scratch / file, tolerance=self.tolerance)
            if text is not None:
                self.find(file, _plainly(text))
            elif self.tolerance is not None:  # what follows must be computed from the same bits
                shutil.copyfile(self.folder / file, self.scratch / file)
                if file not in NOT_OF_A_STAGE:
                    self.find_changed([file])

    def compare_report(self) -> None:
        """Compare the tear sheet, its volatile line apart."""
        report = self.folder / "report.html"
        if not report.is_file():
            self.find(report.name, "is missing; write it with `rnn-strategies report`")
            return
        self.compare([report.name])
        if text := strange_stamp(report):
            self.find(report.name, text)


def _plainly(text: str) -> str:
    """Say what a key that differs means."""
    stage = re.match(r"stages\.(\w+)\.key is ", text)
    return text if stage is None else stale(stage.group(1))


def stale(stage: str) -> str:
    """Say that the key of a stage is another one than the manifest has."""
    return (
        f"the key of {stage} is not what settings, inputs, versions and code of one's own make it: one of them was "
        "changed after the run"
    )
