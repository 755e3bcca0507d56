"""Fixtures every room uses."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import platformdirs
import pytest

# helper modules are imported by the tests that use them, some of them only with their folder on the path
collect_ignore = ["support"]

# Files whose tests together take more than some ten seconds (`--durations=0`), which `make test-fast` leaves out.
LONG = frozenset(
    """
    backtests/test_accounting backtests/test_golden backtests/test_identity backtests/test_identity_gaps
    backtests/test_identity_mixed backtests/test_identity_random backtests/test_identity_samples
    backtests/test_plain_backtrader backtests/test_properties backtests/test_real_delisted
    backtests/test_total_return benchmarks/test_benchmarks benchmarks/test_training reports/test_account
    reports/test_annualisation reports/test_cerebro_results reports/test_charts reports/test_compared
    reports/test_significance reports/test_significance_bootstrap reports/test_significance_report
    reports/test_tear_sheet
    rnn_strategies/test_audit rnn_strategies/test_audit_dead_names rnn_strategies/test_audit_explained
    rnn_strategies/test_audit_leaks rnn_strategies/test_calendars_in_runs rnn_strategies/test_cli
    rnn_strategies/test_doors rnn_strategies/test_doors_real rnn_strategies/test_examples
    rnn_strategies/test_faults rnn_strategies/test_forecast rnn_strategies/test_imported
    rnn_strategies/test_no_lookahead rnn_strategies/test_no_lookahead_networks
    rnn_strategies/test_no_lookahead_registries rnn_strategies/test_pipeline
    rnn_strategies/test_reproduce_series rnn_strategies/test_single_names rnn_strategies/test_trainers_in_runs
    rnn_strategies/test_trial_ledger rnn_strategies/test_trials rnn_strategies/test_verify
    signals/test_baselines signals/test_calendar signals/test_compiled_gradients signals/test_compiled_reference
    signals/test_compiled_weights signals/test_dispatch signals/test_features signals/test_features_time
    signals/test_files_source signals/test_fuzz_files signals/test_keras_trainer
    signals/test_keras_trainer_feeding signals/test_macro signals/test_own_models signals/test_pooled_skill
    signals/test_recurrent signals/test_recurrent_equations signals/test_score_files
    signals/test_series_forecasts signals/test_simulated signals/test_vendor_files
    """.split()  # noqa: SIM905 - 65 names are read more easily so
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of files that take long."""
    root = Path(__file__).resolve().parent
    for item in items:
        if item.path.is_relative_to(root) and str(item.path.relative_to(root).with_suffix("").as_posix()) in LONG:
            item.add_marker("long")


NO_LEDGER = "a test looked for the trial ledger of the user; set RNN_STRATEGIES_LEDGER"


def pytest_configure(config: pytest.Config) -> None:
    """Keep the trial ledger and the data folder of the user out of reach, of session fixtures and processes too."""
    aside = tempfile.TemporaryDirectory(prefix="rnn-strategies-tests-")
    config.add_cleanup(aside.cleanup)
    os.environ["RNN_STRATEGIES_LEDGER"] = str(Path(aside.name, "ledger"))
    # where a process that was started without the variable would write; it must stay empty
    for variable in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        os.environ[variable] = str(Path(aside.name, "user-data"))


@pytest.fixture(autouse=True)
def _own_ledger(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give every test an empty trial ledger, and fail one that looks for the user's."""

    def refuse(*_arguments: object, **_options: object) -> Path:
        raise AssertionError(NO_LEDGER)

    monkeypatch.setenv("RNN_STRATEGIES_LEDGER", str(tmp_path_factory.mktemp("ledger")))
    monkeypatch.setattr(platformdirs, "user_data_path", refuse)
    data_home = Path(os.environ["XDG_DATA_HOME"])
    yield
    assert not list(data_home.glob("rnn-strategies*")), NO_LEDGER


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the real data sets, or a skip whose message names the variable to set."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("RNN_STRATEGIES_DATA", default))
    if not (folder / "us-stocks-daily").is_dir():
        pytest.skip(f"no real data in {folder}; set RNN_STRATEGIES_DATA to the folder that holds us-stocks-daily/")
    return folder


@pytest.fixture
def support(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with helper modules, importable by name while the test runs."""
    folder = Path(__file__).resolve().parent / "support"
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture
def linear_trainer(support: Path):
    """Ridge regression behind the trainer seam: exact, fast, no network."""
    from linear_trainer import LinearTrainer

    return LinearTrainer()


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep trained networks and stored inputs of a test out of everybody else's way."""
    monkeypatch.setenv("RNN_STRATEGIES_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(autouse=True)
def _verify_every_run(request: pytest.FixtureRequest) -> None:
    """With `VERIFY_RUNS=1` in the environment, hold every run a test finishes to `rnn-strategies verify`."""
    if os.environ.get("VERIFY_RUNS"):
        request.getfixturevalue("verify_every_run")


@pytest.fixture
def verify_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify each run when its last stage is done."""
    from rnn_strategies.pipelines.panel_run import Run
    from rnn_strategies.verify import verify

    whole = Run.all_stages

    def all_stages(run: Run) -> None:
        whole(run)
        found = verify.verify_run(run.folder, home=run.home)
        assert found.passed, found.text()

    monkeypatch.setattr(verify, "_existing_lock", lambda folder: nullcontext())  # its maker still holds the lock
    monkeypatch.setattr(Run, "all_stages", all_stages)
