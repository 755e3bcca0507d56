"""Training benchmarks compare the same job for each trainer and count its rows; speed is not asserted."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def test_rows_are_whole_windows_of_the_panel() -> None:
    from tests.benchmarks.training_job import make_network, make_samples, repeated

    samples = make_samples(3000, tickers=7, lookback=5, features=2)
    network = make_network(samples, units=(3,))
    windows = samples.windows
    assert windows.end.min() == 4
    assert windows.end.max() == windows.panel.shape[1] - 1
    assert (network.n_features, network.n_categories, network.model.lookback) == (2, 8, 5)
    assert network.n_categories > samples.category.max()
    assert 0.4 < samples.label.mean() < 0.6
    twice = repeated(samples, 2)
    assert len(twice) == 6000
    assert np.array_equal(twice.windows.gather(slice(3000, None)), windows.gather(slice(None)))


def test_rate_leaves_out_what_does_not_grow_and_jobs_take_turns() -> None:
    from tests.benchmarks.training_job import Job, rates, ratio

    asked: list[tuple[str, int]] = []

    def job(name: str, constant: float, per_epoch: float) -> Job:
        def seconds(epochs: int) -> float:
            asked.append((name, epochs))
            return constant + per_epoch * epochs

        return Job(seconds, rows=1000, epochs=(1, 3))

    found = rates({"slow": job("slow", 7.0, 2.0), "fast": job("fast", 0.1, 0.5)}, repetitions=2)
    assert found["slow"] == pytest.approx([500.0, 500.0])
    assert found["fast"] == pytest.approx([2000.0, 2000.0])
    assert asked == [("slow", 1), ("slow", 3), ("fast", 1), ("fast", 3)] * 2
    assert ratio([2.0, 6.0, 12.0], [1.0, 2.0, 2.0]) == (3.0, "2 to 6 over 3 turns")


def test_every_trainer_learns_the_same_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from signals.models import recurrent
    from signals.trainers.base import FitTask, TrainingSettings
    from signals.trainers.compiled import CompiledTrainer
    from tests.benchmarks import training_job

    made = []

    def build(*arguments: object) -> object:
        made.append(recurrent.build(*arguments))
        return made[-1]

    monkeypatch.setattr(training_job, "build", build)
    samples = training_job.make_samples(64, tickers=11, lookback=6)
    network = training_job.make_network(samples)
    book = training_job.published(network, samples)
    assert book.seconds(1) > 0.0
    fitted = next(CompiledTrainer().fit([FitTask(network, samples, None, TrainingSettings(epochs=1), 0)]))
    assert {name: value.shape for name, value in fitted.weights.items()} == {
        weight.path: tuple(weight.shape) for weight in made[0].weights
    }
    assert made[0].optimizer.iterations == 2  # two batches of 32


FAKE_TORCH = """
import json, sys
import numpy as np
at = np.load(sys.argv[1])
size = json.loads(str(at["network"]))
steps = at["start"][:, None] + np.arange(size["lookback"])
whole = at["panel"][at["ticker"][:, None], steps]
print(json.dumps({"version": "9.9"}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if asked["batch"] == 13:
        raise SystemExit(3)
    total = float(whole.sum(dtype=np.float64) + at["category"].sum() + at["month"].sum() + at["label"].sum())
    print(json.dumps({"seconds": total * asked["epochs"] / asked["batch"]}), flush=True)
"""


def test_torch_is_given_the_same_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from tests.benchmarks import training_job

    (tmp_path / "with_torch.py").write_text(FAKE_TORCH)
    monkeypatch.setattr(training_job, "JOBS", tmp_path)
    monkeypatch.setattr(training_job, "python_of", lambda name: Path(sys.executable))
    samples = training_job.make_samples(50, tickers=5, lookback=4, features=2)
    expected = samples.windows.gather(slice(None)).sum(dtype=np.float64)
    expected += samples.category.sum() + samples.month.sum() + samples.label.sum()
    with training_job.torch_serving(training_job.make_network(samples), samples) as torch:
        assert torch is not None
        version, of_batch = torch
        assert version == "9.9"
        assert of_batch(2).rows == 50
        assert of_batch(2).seconds(3) == pytest.approx(expected * 3 / 2, rel=1e-9)
        with pytest.raises(RuntimeError, match="torch ended with 3"):
            of_batch(13).seconds(1)


def test_torch_that_is_not_here_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.benchmarks import environments, training_job

    monkeypatch.setattr(environments, "HOME", tmp_path)
    monkeypatch.setattr(training_job, "find_spec", lambda name: None)
    samples = training_job.make_samples(5, tickers=2, lookback=2)
    with training_job.torch_serving(training_job.make_network(samples), samples) as torch:
        assert torch is None
    assert "torch: not here: `make bench-peers` installs it" in capsys.readouterr().out


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not pin processes")
def test_legs_are_kept_on_one_core_and_let_go() -> None:
    from tests.benchmarks.measure import one_core

    allowed = os.sched_getaffinity(0)
    child = [sys.executable, "-c", "import os; print(len(os.sched_getaffinity(0)))"]
    with one_core():
        assert os.sched_getaffinity(0) == {max(allowed)}
        assert subprocess.run(child, capture_output=True, text=True, check=True).stdout.strip() == "1"
    assert os.sched_getaffinity(0) == allowed


def test_plain_loops_do_the_work_of_the_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    from signals.trainers.compiled import CompiledTrainer
    from tests.benchmarks.training_walk import make_prices, make_tasks, rows_learnt, walk, work_through

    done: dict[str, list[object]] = {"loop": [], "walk": []}

    class Recording(CompiledTrainer):
        kind = "loop"

        def fit(self, tasks):  # type: ignore[no-untyped-def]
            for task, fitted in zip(tasks, super().fit(tasks), strict=True):
                done[self.kind].append((task.seed, len(task.training), len(task.validation), len(fitted.history)))
                yield fitted

        def predict(self, network, weights, samples):  # type: ignore[no-untyped-def]
            done[self.kind].append(len(samples))
            return super().predict(network, weights, samples)

    prices = make_prices(tickers=6, folds=1)
    tasks = make_tasks(prices, [0, 1])
    work_through(tasks, Recording())
    assert rows_learnt(tasks) == sum(one[1] * one[3] for one in done["loop"] if isinstance(one, tuple))

    trainer = Recording()
    trainer.kind = "walk"
    monkeypatch.setattr("signals.trainers.compiled.CompiledTrainer", lambda threads=1: trainer)
    assert walk(prices, [0, 1]) > 0.0
    assert done["walk"] == done["loop"]


def test_growth_varies_one_thing_and_its_exponent_is_exact() -> None:
    from signals.trainers.base import FitTask, Fitted
    from tests.benchmarks.training_growth import VARIED, exponent, job

    assert exponent({size: 3.0 * size**1.5 for size in (1, 10, 100)}) == pytest.approx(1.5)
    seen: list[FitTask] = []

    class Spy:
        name = "spy"

        def fit(self, tasks: list[FitTask]) -> list[Fitted]:
            seen.extend(tasks)
            return []

    def facts(name: str, value: int) -> dict[str, object]:
        job(Spy(), name, value, rows=40).seconds(1)
        task = seen.pop()
        return {
            "rows": len(task.training),
            "tickers": task.network.n_categories - 1,
            "lookback": task.network.model.lookback,
            "features": task.network.n_features,
            "batch": task.settings.batch_size,
            "units": task.network.model.units[0],
            "layers": len(task.network.model.units),
        }

    usual = facts("units", 25)
    for name, values in VARIED.items():
        assert facts(name, values[-1]) == usual | {name: values[-1]}


def test_memory_is_measured_on_the_rows_it_speaks_of() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.training_alone", "million", "5000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert answer["epochs"] == 2
    assert 50 < answer["mb"] < 1000


def test_readme_has_every_agreed_name() -> None:
    from tests.benchmarks.run import AGREED

    text = (ROOT / "tests/benchmarks/README.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`[^|]+) \| ", text, flags=re.MULTILINE)
    shown = {name for cell in cells for name in re.findall(r"`(\w+\.\w+)`", cell)}
    assert set(AGREED) <= shown
