"""Which trainer trains: `auto` never fails for want of a part, a name that was asked for does, in one line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from signals.common.errors import InputError
from signals.execution.trainer_choice import choose_trainer
from signals.models.keras_backend import load_keras
from signals.models.recurrent_settings import RecurrentSettings
from signals.trainers.base import TrainingSettings

SMALL = RecurrentSettings(lookback=8, units=(4, 3), ticker_embedding_dim=2, dense_units=4)


@pytest.fixture
def broken(monkeypatch):
    """Let the compiled trainer fail to get ready."""

    def break_with(error):
        def load_compiled_code(announce):
            raise error

        monkeypatch.setattr("signals.trainers.compiled.load_compiled_code", load_compiled_code)

    return break_with


def test_auto_selects_the_compiled_trainer():
    chosen = choose_trainer(TrainingSettings(), SMALL, threads=2)
    assert (chosen.trainer.name, chosen.trainer.threads) == ("compiled", 2)
    assert chosen.reason == "its compiled code supports this network on the CPU"
    assert chosen.warnings == ()


@pytest.mark.parametrize("name", ["keras", "compiled"])
def test_named_trainer_is_used(name):
    chosen = choose_trainer(TrainingSettings(trainer=name), SMALL)
    assert (chosen.trainer.name, chosen.reason) == (name, "as configured")


def test_auto_falls_back_to_keras_for_unsupported_networks():
    model = RecurrentSettings(recurrent_dropout=0.1)
    chosen = choose_trainer(TrainingSettings(), model)
    assert chosen.trainer.name == "keras"
    assert chosen.reason == "the compiled trainer cannot train this network: it does not support recurrent dropout"
    assert ["does not use the fast path" in line and "doubles" in line for line in chosen.warnings] == [True]
    with pytest.raises(
        InputError, match=r"found that .*not support recurrent dropout; change that, or set training.trainer"
    ):
        choose_trainer(TrainingSettings(trainer="compiled"), model)


@pytest.mark.parametrize(
    "error", [ImportError("no numba"), OSError("disk\nfull"), RuntimeError(), AssertionError("LLVM")], ids=repr
)
def test_auto_falls_back_to_keras_on_compiler_errors(broken, error):
    broken(error)
    chosen = choose_trainer(TrainingSettings(), SMALL)
    assert chosen.trainer.name == "keras"
    first = str(error).split("\n")[0] or type(error).__name__
    assert chosen.reason == f"the compiled trainer cannot be loaded: {first}"
    with pytest.raises(InputError, match=r"'compiled' supports; found that") as caught:
        choose_trainer(TrainingSettings(trainer="compiled"), SMALL)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("part", ["numba", "llvmlite"])
def test_auto_falls_back_to_keras_without_numba(part):
    code = (
        f"import sys; sys.modules[{part!r}] = None\n"
        "from signals.models.recurrent_settings import RecurrentSettings\n"
        "from signals.execution.trainer_choice import choose_trainer\n"
        "from signals.trainers.base import TrainingSettings\n"
        "chosen = choose_trainer(TrainingSettings(), RecurrentSettings())\n"
        "print(chosen.trainer.name, chosen.reason)\n"
        "choose_trainer(TrainingSettings(trainer='compiled'), RecurrentSettings())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("keras the compiled trainer cannot be loaded: ")
    assert part in done.stdout
    assert done.stderr.splitlines()[-1].startswith("signals.common.errors.InputError: expected a network and a machine")


def test_misspelt_trainer_raises_an_error():
    with pytest.raises(InputError, match=r"one of auto, keras, compiled; found 'kears'; did you mean 'keras'"):
        TrainingSettings(trainer="kears")


@pytest.mark.parametrize(
    ("name", "words"),
    [("math:pi", "a class with fit, predict and versions; found float"), ("nowhere:X", "a module 'nowhere'")],
)
def test_custom_trainer_must_have_the_trainer_methods(name, words):
    with pytest.raises(InputError, match=words):
        choose_trainer(TrainingSettings(trainer=name), SMALL)


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"min_steps": 4}, "min_steps"),
        ({"recurrent_dropout": 0.1}, "recurrent_dropout"),
        ({"cell": "peephole_lstm"}, "cell"),
        ({"cell": "gru", "reset_after": False}, "reset_after"),
        ({"output_recurrence": True}, "output_recurrence"),
        ({"cell": "gru", "bidirectional": True}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("devices", [[], ["gpu:0"]], ids=["cpu", "gpu"])
def test_setting_that_prevents_cudnn_gives_a_warning(monkeypatch, changes, setting, devices):
    monkeypatch.setattr(load_keras().distribution, "list_devices", lambda kind: devices)
    model = RecurrentSettings(lookback=8, **changes)
    warnings = choose_trainer(TrainingSettings(trainer="keras"), model).warnings
    if setting is None or not devices:
        assert warnings == ()
    else:
        assert len(warnings) == 1
        assert f"because model.{setting} prevents them" in warnings[0]
