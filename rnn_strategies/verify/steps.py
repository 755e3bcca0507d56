"""Verifying one run, step by step: the stages again, and what can be said where they cannot be."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from reports.report import write_metrics
from rnn_strategies.config.panel_config import Config
from rnn_strategies.pipelines.imported_run import IMPORTED_FILES
from rnn_strategies.pipelines.panel_run import QUANTILES, Run
from rnn_strategies.runs.manifest import SCHEMA, STAGES
from rnn_strategies.verify.consistency import check_account, check_imported, check_scores
from rnn_strategies.verify.file_differences import json_differences, value_text
from rnn_strategies.verify.folder import NOT_OF_A_STAGE, Folder, stale
from rnn_strategies.verify.inputs import Inputs, beside_is_there, read_inputs
from rnn_strategies.verify.ledger import check_ledger, check_trial, ledger_at_hand
from rnn_strategies.verify.replay import ImportedReplay, Replay, replay_of
from rnn_strategies.verify.table_schemas import check_tables
from rnn_strategies.verify.task_results import DisagreementError, MissingNetworkError
from signals.common.errors import InputError, RnnStrategiesError
from signals.common.progress_events import ProgressEvent
from signals.common.storage import read_parquet
from signals.models.custom import CustomModel

__all__ = ["Verification"]


class Verification(Folder):
    """One run being verified; parameters and attributes are those of `Folder`."""

    def go(self) -> None:
        """Do everything."""
        if not self.read_manifest():
            return
        config = self.read_config()
        self.check_names()
        self.on_progress(ProgressEvent("verify", f"reading what {self.folder} was made from"))
        inputs = read_inputs(self.folder, config, self.claims, self.home, self.scratch)
        self.find_all(inputs.findings)
        self.warnings += inputs.warnings
        suspect = None if config is None else check_trial(config, self.claims, ledger_at_hand())
        if suspect is not None:
            self.find(*suspect)
        if config is None or suspect is not None or inputs.prices is None or not self._again(config, inputs):
            self._hold_together(config)
        self._hold_to_ledger()

    # -- the stages again ---------------------------------------------------------------------------------------------

    def _again(self, config: Config, inputs: Inputs) -> bool:
        """Make everything again and compare; False where that could not be done to the end."""
        assert inputs.prices is not None  # noqa: S101 - asked for by the caller
        run = replay_of(
            self.folder,
            config,
            self.claims,
            home=self.home,
            scratch=self.scratch,
            prices=inputs.prices,
            benchmark=inputs.benchmark,
        )
        if not self._signals_again(run):
            return False
        self.on_progress(ProgressEvent("verify", "trading again"))
        try:
            run.make_backtest()
        except DisagreementError as error:
            self.find(error.file, str(error))
            return False
        except RnnStrategiesError as error:  # a strategy of one's own that is not here
            self.warnings.append(f"the backtest could not be repeated: {error}")
            return False
        self.compare(run.backtest_files)
        run.finish_backtest()
        self.compare(["manifest.json", "config.toml"])
        self.on_progress(ProgressEvent("verify", "drawing again"))
        run.draw_report()
        self.compare_report()
        return True

    def _signals_again(self, run: Replay) -> bool:
        self.on_progress(ProgressEvent("verify", "scoring again"))
        absent = beside_is_there(run.config, self.claims)
        if absent is not None:
            run.beside_kept = False
            self.warnings.append(f"{absent}: the scores were taken as they are")
        elif self._score(run):
            self.compare(run.signal_files)
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
                    self.warnings.append("the file the scores were imported from has gone: they were taken as they are")
                    self.find_changed(["signals.parquet"])
            elif isinstance(run.config.model, CustomModel):
                run.networks_kept = False
                self.warnings.append("models of one's own are not kept: the scores of each seed were taken as they are")
            try:
                if run.networks_kept:
                    run.make_signals()
                    return True
            except MissingNetworkError:
                run.networks_kept = False
                self.warnings.append(
                    f"not all networks are kept in {self.home.artifacts}: scores of each seed were taken as they are"
                )
            taken = ("seed_scores.parquet", "folds.parquet", "history.parquet", QUANTILES)
            self.find_changed(file for file in run.signal_files if file in taken)
            if self.findings.keys() & {*run.signal_files}:
                return False
            run.make_signals()
        except DisagreementError as error:
            self.find(error.file, str(error))
            return False
        except RnnStrategiesError as error:  # a trainer or a feature of one's own that is not here
            self.warnings.append(f"the scores could not be computed again: {error}")
            return False
        return True

    def _were_traded(self, run: Replay) -> bool:
        """Whether the scores are those that the backtest says it traded; those that networks give need no witness."""
        if (run.networks_kept and not isinstance(run, ImportedReplay)) or run.is_key("backtest"):
            return True
        strategy = run.config.tables["strategy"]
        if any(":" in strategy[name] for name in ("kind", "allocation")):
            self.find("manifest.json", stale("backtest"))  # code of one's own may have been edited
            return True
        self.find(
            "signals.parquet",
            "is not the file that was traded: the key of the backtest in manifest.json was made with another",
        )
        return False

    # -- without the inputs ------------------------------------------------------------------------------------------

    def _check_signals(self) -> bool:
        """Hold the signal files to their hashes and to each other; whether anything is wrong with them."""
        files = self.signal_files
        self.find_changed(files)
        if not self.findings.keys() & {*files}:
            self.find_all(check_tables(self.folder, files))
        if not self.findings.keys() & {*files}:
            imported = self.signal_files == IMPORTED_FILES
            self.find_all(check_imported(self.folder) if imported else check_scores(self.folder))
        return bool(self.findings.keys() & {*files})

    def _hold_together(self, config: Config | None) -> None:
        """Hold what could not be made again to its hashes and to each other, then metrics and report to it."""
        files = [file for file in self.files if file not in self.signal_files]
        self._check_signals()
        self.find_changed(files)
        if not self.findings.keys() & {*files}:
            self.find_all(check_tables(self.folder, files))
        if not self.findings.keys() & {*files}:
            self.find_all(check_account(self.folder, self.claims))
        self._check_facts(config)
        if self.findings or config is None:
            self.warnings.append("metrics and report were not computed again from files that are not what they were")
            return
        for path in self.folder.iterdir():
            if path.name in (*self.files, *NOT_OF_A_STAGE):
                shutil.copyfile(path, self.scratch / path.name)
        self._check_keys(config)
        write_metrics(self.scratch)
        self.compare(["metrics.json"])
        shutil.copyfile(self.folder / "metrics.json", self.scratch / "metrics.json")
        Run(self.scratch, config, self.home).draw_report()
        self.compare_report()

    def _check_facts(self, config: Config | None) -> None:
        """Hold what the manifest repeats to what it repeats."""
        claims, stages = self.claims, self.claims["stages"]
        seeds = [] if self.signal_files == IMPORTED_FILES else _seeds_of(self.folder / "seed_scores.parquet")
        facts: dict[str, Any] = {
            "seeds": seeds,
            "schema": SCHEMA,
            "outputs": {file: digest for stage in stages.values() for file, digest in stage["outputs"].items()},
        }
        prices = claims.get("inputs", {}).get("prices", {}).get("meta")
        if isinstance(prices, dict):
            facts["simulated"] = prices.get("simulated")
        if config is not None and "config.toml" not in self.findings:
            facts |= {
                "name": config.name,
                "config_hash": config.hash,
                "risk_free_rate": config.report["risk_free_rate"],
            }
        for name, value in facts.items():
            for place, stated, known in json_differences(claims.get(name), value, place=name):
                self.find("manifest.json", f"{place} is {value_text(stated)}; by the rest it is {value_text(known)}")

    def _check_keys(self, config: Config) -> None:
        """Hold the keys of the stages, which need no prices but their hashes."""
        run = replay_of(self.folder, config, self.claims, home=self.home, scratch=self.scratch)
        run.beside_kept = beside_is_there(config, self.claims) is None
        for stage in STAGES:
            if not run.is_key(stage):
                self.find("manifest.json", stale(stage))

    def _hold_to_ledger(self) -> None:
        """Compare with the trial ledger, where it knows this folder; a run verifies without it."""
        for file, text in check_ledger(self.folder, self.claims, ledger_at_hand()):
            if file is None:
                self.warnings.append(text)
            else:
                self.find(file, text)


def _seeds_of(path: Path) -> list[int]:
    try:
        return sorted({int(seed) for seed in read_parquet(path)["seed"]})
    except (InputError, KeyError, TypeError, ValueError):
        return []
