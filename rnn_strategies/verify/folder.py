"""Run folder under verification: its manifest and configuration, findings, and the comparison of files."""

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

# Relative tolerance for numbers computed by another version of a library.
ROUNDING = 1e-9


class Folder:
    """Run folder under verification.

    Parameters
    ----------
    folder : Path
        The run folder.
    home : Home
        Folder of stored networks and inputs.
    scratch : Path
        Empty temporary folder.
    on_progress : callable
        Called with every `ProgressEvent`.

    Attributes
    ----------
    findings : dict of str to str
        First finding of each file.
    warnings : list of str
        Results that could not be recomputed.
    seen : set of str
        Files that were checked.
    """

    def __init__(self, folder: Path, home: Home, scratch: Path, on_progress: ProgressCallback) -> None:
        self.folder, self.home, self.scratch, self.on_progress = folder, home, scratch, on_progress
        self.findings: dict[str, str] = {}
        self.warnings: list[str] = []
        self.seen: set[str] = set()
        self.claims: dict[str, Any] = {}
        self.tolerance: float | None = None

    def in_order(self) -> list[tuple[str, str]]:
        """Return the findings in the order in which the files are written."""
        place = {name: i for i, name in enumerate(ORDER)}
        return sorted(self.findings.items(), key=lambda finding: (place.get(finding[0], len(ORDER)), finding[0]))

    def find(self, file: str, text: str) -> None:
        """Record a finding about a file, unless it has one."""
        self.findings.setdefault(file, text)

    def find_all(self, findings: Iterable[tuple[str, str]]) -> None:
        """Record several findings, as `find` does."""
        for file, text in findings:
            self.find(file, text)

    # -- manifest and configuration -----------------------------------------------------------------------------------

    def read_manifest(self) -> bool:
        """Read the manifest; False when it is not that of a finished run."""
        self.seen.add("manifest.json")
        if not (self.folder / "manifest.json").is_file():
            self.find("manifest.json", "is missing: this is not a run folder, or the run is not finished")
            return False
        try:
            self.claims = Manifest(self.folder).data
        except InputError as error:
            self.find("manifest.json", f"cannot be read: {error}")
            return False
        unfinished = [stage for stage in STAGES if stage not in self.claims.get("stages", {})]
        if unfinished:
            self.find(
                "manifest.json",
                f"has no finished stage {unfinished[0]}; finish the run with `rnn-strategies run`",
            )
            return False
        differ = list(json_differences(self.claims.get("versions"), versions()))
        if differ:
            self.tolerance = ROUNDING
            name, there, here = differ[0]
            self.warnings.append(
                f"computed with {name or 'versions'} {value_text(there)}, installed is {value_text(here)}: figures "
                "were compared to nine digits, charts not at all"
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
            self.find("config.toml", "is not that of this run: one has imported scores, the other has not")
            return None
        if not as_written:
            self.find("config.toml", "is not as a run writes it: it was changed after the run")
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
        """Names of the files that the stages of this run write."""
        seeds = self.claims.get("seeds")
        several = (OF_SEVERAL_SEEDS,) if isinstance(seeds, list) and len(seeds) > 1 else ()
        return (*self.signal_files, *BACKTEST_FILES, *several)

    def check_names(self) -> None:
        """Find missing files and files that do not belong to the run."""
        self.seen.update(self.files)
        for file in self.files:
            if not (self.folder / file).is_file():
                self.find(file, "is missing")
        shown = {*SIGNAL_FILES, *BACKTEST_FILES, OF_SEVERAL_SEEDS} - {*self.files}
        for path in sorted(self.folder.iterdir()):
            if path.name in shown:
                self.find(path.name, "does not belong to this run, but its report would show it")
            elif path.name not in (*self.files, *NOT_OF_A_STAGE):
                self.warnings.append(f"{path.name} does not belong to the run and was not checked")
        if not (self.folder / "timings.json").is_file():
            self.warnings.append("timings.json is missing; no figure depends on it")

    def find_changed(self, files: Iterable[str]) -> None:
        """Record a finding for every file whose hash is not in the manifest."""
        for file in files:
            stated = [stage["outputs"].get(file) for stage in self.claims["stages"].values()]
            path = self.folder / file
            if path.is_file() and sha256_file(path) not in stated:
                self.find(file, "was changed after the run: its SHA-256 is not the one in manifest.json")

    # -- comparing ---------------------------------------------------------------------------------------------------

    def compare(self, files: Sequence[str]) -> None:
        """Compare files with the recomputed ones in the temporary folder."""
        for file in files:
            self.seen.add(file)
            text = first_difference(self.folder / file, self.scratch / file, tolerance=self.tolerance)
            if text is not None:
                self.find(file, _explain_key(text))
            elif self.tolerance is not None:  # later stages must be computed from the same bytes
                shutil.copyfile(self.folder / file, self.scratch / file)
                if file not in NOT_OF_A_STAGE:
                    self.find_changed([file])

    def compare_report(self) -> None:
        """Compare the report, without its line of date and durations."""
        report = self.folder / "report.html"
        if not report.is_file():
            self.find(report.name, "is missing; write it with `rnn-strategies report`")
            return
        self.compare([report.name])
        if text := strange_stamp(report):
            self.find(report.name, text)


def _explain_key(text: str) -> str:
    """Replace a difference of a stage's key by its explanation."""
    stage = re.match(r"stages\.(\w+)\.key is ", text)
    return text if stage is None else stale(stage.group(1))


def stale(stage: str) -> str:
    """Return the finding that the key of a stage in the manifest differs from the recomputed one."""
    return (
        f"the key of the stage {stage} does not match settings, inputs, versions and custom code: one of them was "
        "changed after the run"
    )
