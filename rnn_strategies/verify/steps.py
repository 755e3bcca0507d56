"""Verifying one run, step by step: what the folder says, the stages again, and what can be said without them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from reports.tear_sheet import write_metrics
from rnn_strategies.config import Config, load_config
from rnn_strategies.home import Home
from rnn_strategies.imported import ImportedRun
from rnn_strategies.manifest import SCHEMA, STAGES, Manifest, versions
from rnn_strategies.pipeline import BACKTEST_FILES, SIGNAL_FILES, Run
from rnn_strategies.verify.consistency import check_account, check_imported, check_scores
from rnn_strategies.verify.difference import first_difference, json_differences, strange_stamp, value_text
from rnn_strategies.verify.inputs import Inputs, beside_is_there, read_inputs
from rnn_strategies.verify.ledger import check_ledger, check_trial
from rnn_strategies.verify.outcomes import DisagreementError, MissingNetworkError
from rnn_strategies.verify.replay import ImportedReplay, Replay, replay_of
from rnn_strategies.verify.schema import check_tables
from signals.errors import InputError, RnnStrategiesError
from signals.events import Event, Listener
from signals.models.own import OwnModel
from signals.storage import read_parquet, sha256_file

__all__ = ["Verification"]

OF_SEVERAL_SEEDS = "seed_returns.parquet"
NOT_OF_A_STAGE = ("config.toml", "manifest.json", "timings.json", "report.html")
ORDER = ("config.toml", "manifest.json", *SIGNAL_FILES, *BACKTEST_FILES, OF_SEVERAL_SEEDS, "report.html")

# Of numbers that another version of a library computed.
ROUNDING = 1e-9


class Verification:
    """One run being verified.

    Parameters
    ----------
    folder : Path
        The run.
    home : Home
        Where networks, inputs and trials are kept.
    scratch : Path
        Empty folder to write to.
    listener : callable
        Told of progress.

    Attributes
    ----------
    findings : dict of str to str
        By file, the first thing that is wrong with it.
    remarks : list of str
        What could not be recomputed.
    seen : set of str
        Files that were looked at.
    """

    def __init__(self, folder: Path, home: Home, scratch: Path, listener: Listener) -> None:
        self.folder, self.home, self.scratch, self.listener = folder, home, scratch, listener
        self.findings: dict[str, str] = {}
        self.remarks: list[str] = []
        self.seen: set[str] = set()
        self._claims: dict[str, Any] = {}
        self._tolerance: float | None = None

    def in_order(self) -> list[tuple[str, str]]:
        """Give the findings in the order in which the files are made."""
        place = {name: i for i, name in enumerate(ORDER)}
        return sorted(self.findings.items(), key=lambda one: (place.get(one[0], len(ORDER)), one[0]))

    def go(self) -> None:
        """Do everything."""
        if not self._read_manifest():
            return
        config = self._read_config()
        self._check_names()
        self.listener(Event("verify", f"reading what {self.folder} was made from"))
        inputs = read_inputs(self.folder, config, self._claims, self.home, self.scratch)
        self._find_all(inputs.findings)
        self.remarks += inputs.remarks
        suspect = None if config is None else check_trial(config, self._claims, self.home)
        if suspect is not None:
            self._find(*suspect)
        if config is None or suspect is not None or inputs.prices is None or not self._again(config, inputs):
            self._hold_together(config)
        self._hold_to_ledger()

    def _find(self, file: str, text: str) -> None:
        self.findings.setdefault(file, text)

    def _find_all(self, found: Iterable[tuple[str, str]]) -> None:
        for file, text in found:
            self._find(file, text)

    # -- what the folder says about itself ----------------------------------------------------------------------------

    def _read_manifest(self) -> bool:
        self.seen.add("manifest.json")
        if not (self.folder / "manifest.json").is_file():
            self._find("manifest.json", "is missing: this is no run folder, or no finished one")
            return False
        try:
            self._claims = Manifest(self.folder).data
        except InputError as error:
            self._find("manifest.json", f"cannot be read: {error}")
            return False
        undone = [stage for stage in STAGES if stage not in self._claims.get("stages", {})]
        if undone:
            self._find(
                "manifest.json", f"says that {undone[0]} was not finished; finish the run with `rnn-strategies run`"
            )
            return False
        differ = list(json_differences(self._claims.get("versions"), versions()))
        if differ:
            self._tolerance = ROUNDING
            name, there, here = differ[0]
            self.remarks.append(
                f"made with {name or 'versions'} {value_text(there)}, here it is {value_text(here)}: figures were "
                "compared to nine digits, pictures not at all"
            )
        return True

    def _read_config(self) -> Config | None:
        self.seen.add("config.toml")
        path = self.folder / "config.toml"
        try:
            config = load_config(path)
            as_written = config.to_toml() == path.read_text(encoding="utf-8")
        except (InputError, UnicodeDecodeError) as error:
            self._find("config.toml", f"cannot be read: {error}")
            return None
        imported = "scores" in self._claims.get("inputs", {})
        if imported != (config.signals is not None):
            self._find("config.toml", "is not that of this run: the one has imported scores, the other has not")
            return None
        if not as_written:
            self._find("config.toml", "is not as a run writes it: it was changed afterwards")
        return config

    @property
    def _signal_files(self) -> tuple[str, ...]:
        return ImportedRun.signal_files if "scores" in self._claims.get("inputs", {}) else SIGNAL_FILES

    @property
    def _files(self) -> tuple[str, ...]:
        """Files that the stages of this run leave behind."""
        seeds = self._claims.get("seeds")
        several = (OF_SEVERAL_SEEDS,) if isinstance(seeds, list) and len(seeds) > 1 else ()
        return (*self._signal_files, *BACKTEST_FILES, *several)

    def _check_names(self) -> None:
        """Look for files that are missing and for those that do not belong."""
        self.seen.update(self._files)
        for file in self._files:
            if not (self.folder / file).is_file():
                self._find(file, "is missing")
        shown = {*SIGNAL_FILES, *BACKTEST_FILES, OF_SEVERAL_SEEDS} - {*self._files}
        for path in sorted(self.folder.iterdir()):
            if path.name in shown:
                self._find(path.name, "does not belong to this run, yet its report would show it")
            elif path.name not in (*self._files, *NOT_OF_A_STAGE):
                self.remarks.append(f"{path.name} does not belong to the run and was not looked at")
        if not (self.folder / "timings.json").is_file():
            self.remarks.append("timings.json is missing; no figure depends on it")

    def _find_changed(self, files: Iterable[str]) -> None:
        """Note files that are not those whose hashes the manifest has."""
        for file in files:
            stated = [stage["outputs"].get(file) for stage in self._claims["stages"].values()]
            path = self.folder / file
            if path.is_file() and sha256_file(path) not in stated:
                self._find(file, "was changed after the run: its SHA-256 is not the one in manifest.json")

    # -- the stages again ---------------------------------------------------------------------------------------------

    def _again(self, config: Config, inputs: Inputs) -> bool:
        """Make everything again and compare; False where that could not be done to the end."""
        assert inputs.prices is not None  # noqa: S101 - asked for by the caller
        run = replay_of(
            self.folder,
            config,
            self._claims,
            home=self.home,
            scratch=self.scratch,
            prices=inputs.prices,
            benchmark=inputs.benchmark,
        )
        if not self._signals_again(run):
            return False
        self.listener(Event("verify", "trading again"))
        try:
            run.make_backtest()
        except DisagreementError as error:
            self._find(error.file, str(error))
            return False
        except RnnStrategiesError as error:  # a strategy of one's own that is not here
            self.remarks.append(f"the backtest could not be repeated: {error}")
            return False
        self._compare(run.backtest_files)
        run.finish_backtest()
        self._compare(["manifest.json", "config.toml"])
        self.listener(Event("verify", "drawing again"))
        run.draw()
        self._compare_report()
        return True

    def _signals_again(self, run: Replay) -> bool:
        self.listener(Event("verify", "scoring again"))
        absent = beside_is_there(run.config, self._claims)
        if absent is not None:
            run.beside_kept = False
            self.remarks.append(f"{absent}: the scores were taken as they are")
        elif self._score(run):
            self._compare(run.signal_files)
            run.finish_signals()
            return self._were_traded(run)
        if self._check_signals():
            return False
        run.take_signals()
        run.finish_signals()
        return self._were_traded(run)

    def _score(self, run: Replay) -> bool:
        """Make the signal files from networks, or from the scores of each seed; False when neither is possible."""
        try:
            if isinstance(run, ImportedReplay):
                if not run.file_is_there:
                    self.remarks.append("the file the scores were imported from has gone: they were taken as they are")
                    self._find_changed(["signals.parquet"])
            elif isinstance(run.config.model, OwnModel):
                run.networks_kept = False
                self.remarks.append("models of one's own are not kept: the scores of each seed were taken as they are")
            try:
                if run.networks_kept:
                    run.make_signals()
                    return True
            except MissingNetworkError:
                run.networks_kept = False
                self.remarks.append(
                    f"not all networks are kept in {self.home.artifacts}: scores of each seed were taken as they are"
                )
            self._find_changed(["seed_scores.parquet", "folds.parquet", "history.parquet"])
            if self.findings.keys() & {*run.signal_files}:
                return False
            run.make_signals()
        except DisagreementError as error:
            self._find(error.file, str(error))
            return False
        except RnnStrategiesError as error:  # a trainer or a feature of one's own that is not here
            self.remarks.append(f"the scores could not be computed again: {error}")
            return False
        return True

    def _were_traded(self, run: Replay) -> bool:
        """Whether the scores are those that the backtest says it traded."""
        if (run.networks_kept and not isinstance(run, ImportedReplay)) or run.is_traded:
            return True  # scores that networks give need no other witness
        self._find(
            "signals.parquet",
            "is not the file that was traded: the key of the backtest in manifest.json was made with another",
        )
        return False

    def _compare(self, files: Sequence[str]) -> None:
        for file in files:
            self.seen.add(file)
            text = first_difference(self.folder / file, self.scratch / file, tolerance=self._tolerance)
            if text is not None:
                self._find(file, _plainly(text))
            elif self._tolerance is not None:  # what follows must be computed from the same bits
                shutil.copyfile(self.folder / file, self.scratch / file)
                if file not in NOT_OF_A_STAGE:
                    self._find_changed([file])

    def _compare_report(self) -> None:
        report = self.folder / "report.html"
        if not report.is_file():
            self._find(report.name, "is missing; write it with `rnn-strategies report`")
            return
        self._compare([report.name])
        if text := strange_stamp(report):
            self._find(report.name, text)

    # -- without the inputs ------------------------------------------------------------------------------------------

    def _check_signals(self) -> bool:
        """Hold the signal files to their hashes and to each other; whether anything is wrong with them."""
        files = self._signal_files
        self._find_changed(files)
        if not self.findings.keys() & {*files}:
            self._find_all(check_tables(self.folder, files))
        if not self.findings.keys() & {*files}:
            imported = self._signal_files == ImportedRun.signal_files
            self._find_all(check_imported(self.folder) if imported else check_scores(self.folder))
        return bool(self.findings.keys() & {*files})

    def _hold_together(self, config: Config | None) -> None:
        """Hold what could not be made again to its hashes and to each other, then metrics and report to it."""
        files = [file for file in self._files if file not in self._signal_files]
        self._check_signals()
        self._find_changed(files)
        if not self.findings.keys() & {*files}:
            self._find_all(check_tables(self.folder, files))
        if not self.findings.keys() & {*files}:
            self._find_all(check_account(self.folder, self._claims))
        self._check_facts(config)
        if self.findings or config is None:
            self.remarks.append("metrics and report were not computed again from files that are not what they were")
            return
        for path in self.folder.iterdir():
            if path.name in (*self._files, *NOT_OF_A_STAGE):
                shutil.copyfile(path, self.scratch / path.name)
        self._check_keys(config)
        write_metrics(self.scratch)
        self._compare(["metrics.json"])
        shutil.copyfile(self.folder / "metrics.json", self.scratch / "metrics.json")
        Run(self.scratch, config, self.home).write_report()
        self._compare_report()

    def _check_facts(self, config: Config | None) -> None:
        """Hold what the manifest repeats to what it repeats."""
        claims, stages = self._claims, self._claims["stages"]
        seeds = _seeds_of(self.folder / "seed_scores.parquet") if self._signal_files == SIGNAL_FILES else []
        facts: dict[str, Any] = {
            "seeds": seeds,
            "schema": SCHEMA,
            "outputs": {file: digest for stage in stages.values() for file, digest in stage["outputs"].items()},
        }
        prices = claims.get("inputs", {}).get("prices", {}).get("meta")
        if isinstance(prices, dict):
            facts["simulated"] = prices.get("simulated")
        if config is not None and "config.toml" not in self.findings:
            facts |= {"name": config.name, "config_hash": config.hash, "risk_free": config.report["risk_free"]}
        for name, value in facts.items():
            for place, stated, known in json_differences(claims.get(name), value, place=name):
                self._find("manifest.json", f"{place} is {value_text(stated)}; by the rest it is {value_text(known)}")

    def _check_keys(self, config: Config) -> None:
        """Hold the keys of the stages, which need no prices but their hashes."""
        run = replay_of(self.folder, config, self._claims, home=self.home, scratch=self.scratch)
        if beside_is_there(config, self._claims) is None and not run.is_scored:
            self._find("manifest.json", _stale("signals"))
        if not run.is_traded:
            self._find("manifest.json", _stale("backtest"))

    def _hold_to_ledger(self) -> None:
        prices = self._claims.get("inputs", {}).get("prices", {})
        here = isinstance(prices.get("sha256"), str) and self.home.inputs.get(prices["sha256"]) is not None
        for file, text in check_ledger(self.folder, self._claims, self.home, here=here):
            if file is None:
                self.remarks.append(text)
            else:
                self._find(file, text)


def _plainly(text: str) -> str:
    """Say what a key that differs means."""
    stage = re.match(r"stages\.(\w+)\.key is ", text)
    return text if stage is None else _stale(stage.group(1))


def _stale(stage: str) -> str:
    return (
        f"the key of {stage} is not what settings, inputs, versions and code of one's own make it: one of them was "
        "changed after the run"
    )


def _seeds_of(path: Path) -> list[int]:
    try:
        return sorted({int(seed) for seed in read_parquet(path)["seed"]})
    except (InputError, KeyError, TypeError, ValueError):
        return []
