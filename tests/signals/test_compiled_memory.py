"""Hundreds of refits in one process leave nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")

REFITS = """
import os, sys, warnings
from dataclasses import replace
sys.path[:0] = {paths!r}
from network_cases import samples_for
from signals.models.recurrent_settings import RecurrentSettings
from signals.trainers.base import FitTask, TrainingSettings
from signals.models.network import Network
from {module} import {name}

def megabytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

network = Network(RecurrentSettings(lookback=6, units=(4, 3), ticker_embedding_dim=2, dense_units=3), 9)
rows = samples_for(network, 130, outside=0.0)
for seed in range({refits}):
    task = FitTask(network, rows, rows, TrainingSettings(batch_size=64, epochs=1), seed)
    trainer = {name}({arguments})
    fitted = next(trainer.fit([task]))
    trainer.predict(network, fitted.weights, rows)
    if seed + 1 == 20:
        before = megabytes()
assert "tensorflow" not in sys.modules or {keras}
print(megabytes() - before)
"""


def growth(module, name, arguments="", *, refits=300):
    here = Path(__file__).resolve()
    code = REFITS.format(
        paths=[str(here.parents[1] / "support"), str(here.parents[2])],
        module=module,
        name=name,
        arguments=arguments,
        refits=refits,
        keras=name == "KerasTrainer",
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return float(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("threads", [1, 2])
def test_memory_of_the_compiled_trainer_does_not_grow(threads):
    # two megabytes: what the allocator of the C library may keep of a few arrays, none of it per refit
    assert growth("signals.trainers.compiled.trainer", "CompiledTrainer", f"threads={threads}", refits=300) < 2


@pytest.mark.slow
def test_memory_of_the_keras_trainer_grows_by_less_than_200_megabytes():
    assert growth("signals.trainers.keras_trainer", "KerasTrainer") < 200
