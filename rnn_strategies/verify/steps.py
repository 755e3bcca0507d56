"""Steps of the verification of a run: recomputation of the stages, and consistency checks where it is impossible."""

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
from rnn_strategies.verify.inputs import StoredInputs, changed_reference_file, read_inputs
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
    """Verification of one run; parameters and attributes are those of `Folder`."""

    def run_checks(self) -> None:
        """Run all checks and collect findings and warnings."""
        if not self.read_manifest():
            return
        config = self.read_config()
        self.check_names()
        self.on_progress(ProgressEvent("verify", f"reading the inputs of {self.folder}"))
        inputs = read_inputs(self.folder, config, self.claims, self.home, self.scratch)
        self.find_all(inputs.findings)
        self.warnings += inputs.warnings
        mismatch = None if config is None else check_trial(config, self.claims, ledger_at_hand())
        if mismatch is not None:
            self.find(*mismatch)
        if config is None or mismatch is not None or inputs.prices is None or not self._recompute(config, inputs):
            self._check_consistency(config)
        self._compare_with_ledger()

    # -- recomputation ------------------------------------------------------------------------------------------------

    def _recompute(self, config: Config, inputs: StoredInputs) -> bool:
        """Recompute all stages and compare; False where that was not possible to the end."""
        assert inputs.prices is not None  # noqa: S101 - checked by the caller
        run = replay_of(
            self.folder,
            config,
            self.claims,
            home=self.home,
            scratch=self.scratch,
            prices=inputs.prices,
            benchmark=inputs.benchmark,
        )
        if not self._recompute_signals(run):
            return False
        self.on_progress(ProgressEvent("verify", "recomputing the backtest"))
        try:
            run.make_backtest()
        except DisagreementError as error:
            self.find(error.file, str(error))
            return False
        except RnnStrategiesError as error:  # a custom strategy that cannot be imported
            self.warnings.append(f"the backtest could not be repeated: {error}")
            return False
        self.compare(run.backtest_files)
        run.finish_backtest()
        self.compare(["manifest.json", "config.toml"])
        self.on_progress(ProgressEvent("verify", "drawing the report again"))
        run.draw_report()
        self.compare_report()
        return True

    def _recompute_signals(self, run: Replay) -> bool:
        self.on_progress(ProgressEvent("verify", "recomputing the scores"))
        changed = changed_reference_file(run.config, self.claims)
        if changed is not None:
            run.reference_files_unchanged = False
            self.warnings.append(f"{changed}: the scores of the run were used without recomputation")
        elif self._make_signals(run):
            self.compare(run.signal_files)
            run.finish_signals()
            return self._are_traded_scores(run)
        if self._check_signals():
            return False
        run.take_signals()
        run.finish_signals()
        return self._are_traded_scores(run)

    def _make_signals(self, run: Replay) -> bool:
        """Compute the signal files from networks, or from the scores of each seed; False when neither is possible."""
        try:
            if isinstance(run, ImportedReplay):
                if not run.file_is_there:
                    self.warnings.append(
                        "the file of imported scores is missing or changed: the scores of the run were used without "
                        "recomputation"
                    )
                    self.find_changed(["signals.parquet"])
            elif isinstance(run.config.model, CustomModel):
                run.networks_kept = False
                self.warnings.append(
                    "custom models are not stored: the scores of each seed were used without recomputation"
                )
            try:
                if run.networks_kept:
                    run.make_signals()
                    return True
            except MissingNetworkError:
                run.networks_kept = False
                self.warnings.append(
                    f"not all networks are stored in {self.home.artifacts}: the scores of each seed were used without "
                    "recomputation"
                )
            taken = ("seed_scores.parquet", "folds.parquet", "history.parquet", QUANTILES)
            self.find_changed(file for file in run.signal_files if file in taken)
            if self.findings.keys() & {*run.signal_files}:
                return False
            run.make_signals()
        except DisagreementError as error:
            self.find(error.file, str(error))
            return False
        except RnnStrategiesError as error:  # a custom trainer or feature that cannot be imported
            self.warnings.append(f"the scores could not be recomputed: {error}")
            return False
        return True

    def _are_traded_scores(self, run: Replay) -> bool:
        """Whether the scores are those of which the backtest recorded the key; recomputed scores need no such check."""
        if (run.networks_kept and not isinstance(run, ImportedReplay)) or run.is_key("backtest"):
            return True
        strategy = run.config.tables["strategy"]
        if any(":" in strategy[name] for name in ("kind", "allocation")):
            self.find("manifest.json", stale("backtest"))  # custom code may have been edited
            return True
        self.find(
            "signals.parquet",
            "is not the file that was traded: the key of the backtest in manifest.json was computed with another one",
        )
        return False

    # -- consistency checks, without the inputs ----------------------------------------------------------------------

    def _check_signals(self) -> bool:
        """Check the signal files against their hashes and against each other; return whether there are findings."""
        files = self.signal_files
        self.find_changed(files)
        if not self.findings.keys() & {*files}:
            self.find_all(check_tables(self.folder, files))
        if not self.findings.keys() & {*files}:
            imported = self.signal_files == IMPORTED_FILES
            self.find_all(check_imported(self.folder) if imported else check_scores(self.folder))
        return bool(self.findings.keys() & {*files})

    def _check_consistency(self, config: Config | None) -> None:
        """Check files against their hashes and against each other, and recompute metrics and report from them."""
        files = [file for file in self.files if file not in self.signal_files]
        self._check_signals()
        self.find_changed(files)
        if not self.findings.keys() & {*files}:
            self.find_all(check_tables(self.folder, files))
        if not self.findings.keys() & {*files}:
            self.find_all(check_account(self.folder, self.claims))
        self._check_manifest(config)
        if self.findings or config is None:
            self.warnings.append("metrics and report were not recomputed, because they depend on changed files")
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

    def _check_manifest(self, config: Config | None) -> None:
        """Compare facts of the manifest with the files and settings that they are derived from."""
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
                self.find(
                    "manifest.json", f"{place} is {value_text(stated)}; by the other files it is {value_text(known)}"
                )

    def _check_keys(self, config: Config) -> None:
        """Check the keys of the stages, which depend on the hashes of prices only."""
        run = replay_of(self.folder, config, self.claims, home=self.home, scratch=self.scratch)
        run.reference_files_unchanged = changed_reference_file(config, self.claims) is None
        for stage in STAGES:
            if not run.is_key(stage):
                self.find("manifest.json", stale(stage))

    def _compare_with_ledger(self) -> None:
        """Compare with the trial ledger, where it has a record of this folder; the ledger is optional."""
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
