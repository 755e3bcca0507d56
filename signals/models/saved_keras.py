"""Saved Keras models: an existing `.keras` file scores the test rows without training."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.calendar import as_day
from signals.common.errors import InputError
from signals.common.storage import sha256_file
from signals.dataset.windows import Samples

__all__ = ["OpenedModel", "SavedKerasModel", "check_keras_file"]

# Keras's own default, so that a row gets exactly the value that `predict` returns outside this package. Rows are padded
# to whole batches: a smaller last batch would be another compiled function, which (as measured) differs in the last
# bits, and a score must not depend on the number of rows after it.
BATCH = 32

ROLES = ("sequence", "ticker", "month")
MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
MAX_CONFIG_BYTES = 64 * 2**20
# layers that run code of another framework, or code stored in the file
CODE_RUNNING_LAYERS = {"Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "function"}


@dataclass(frozen=True, slots=True)
class SavedKerasModel:
    """Settings of a trained network in a `.keras` file.

    Parameters
    ----------
    path : Path or str
        The file. It is loaded in safe mode; a Lambda layer or an object that is not part of Keras is an error.
    trained_until : str
        Last day whose prices entered its training in any way (labels, early stopping, selection), ISO date. The file
        does not contain it, so it must be given; scores before it are an error.
    lookback : int, optional
        Periods in a window, needed when the input of the network has no fixed length.
    inputs : dict of str to str
        Role of each input of the network: `"sequence"` (batch, lookback, n_features), `"ticker"` (batch,) or (batch, 1)
        integers, `"month"` (batch, 12) one-hot, January first. Inputs left out are recognised by their shape.
    tickers : dict of str to int
        Id of each ticker, for a network with a ticker input. Tickers without one are not scored.
    mean, std : tuple of float
        Mean and standard deviation with which each feature is standardised, one number per feature; without them,
        features are not standardised.

    Notes
    -----
    Features are not clipped and are standardised with `mean` and `std` only, never with statistics of the training
    slice, because the scaling belongs to the training of the network. The score is the output of a network with one
    output; of two classes, the probability of the second; of three, the probability of the third minus that of the
    first.
    """

    path: str | Path
    trained_until: str
    lookback: int | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    tickers: Mapping[str, int] = field(default_factory=dict)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        as_day(self.trained_until, name="model.trained_until")
        for name, role in self.inputs.items():
            if role not in ROLES:
                raise InputError(f"expected model.inputs.{name} to be one of {', '.join(ROLES)}; found {role!r}")
        if len(self.mean) != len(self.std) or any(not deviation > 0 for deviation in self.std):
            raise InputError(
                f"expected model.mean and model.std of equal length, std above 0; found {list(self.mean)} and "
                f"{list(self.std)}"
            )

    def digest(self) -> str:
        """SHA-256 of the file."""
        _check_exists(Path(self.path))
        return sha256_file(Path(self.path))

    def open(self) -> OpenedModel:
        """Load the file and determine the roles of its inputs.

        Raises
        ------
        InputError
            When there is no such file, it is not safe, or its inputs are not supported.
        """
        path = Path(self.path)
        check_keras_file(path)
        from signals.models.keras_backend import load_keras

        keras = load_keras()
        try:
            network = keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # a damaged file fails in many ways
            raise InputError(
                f"expected a .keras file in {path} that Keras {keras.__version__} can load; found: "
                f"{type(error).__name__}: {' '.join(str(error).split())[:300]}; save the model again with this version"
            ) from error
        if not isinstance(network, keras.Model) or not getattr(network, "inputs", None):
            raise InputError(
                f"expected a built Keras model in {path}; found {type(network).__name__} without inputs; call it on "
                "data once before it is saved, or start it with keras.Input"
            )
        return _with_roles(self, network)


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """A loaded network with the roles of its inputs; satisfies `windows.WindowSettings`.

    Parameters
    ----------
    settings : SavedKerasModel
        Settings with which it was loaded.
    network : keras.Model
        The network, not compiled.
    roles : tuple of str
        Role of each input, in the network's order.
    lookback, n_features : int
        Shape of a window.
    outputs : int
        Number of outputs per row.
    """

    settings: SavedKerasModel
    network: Any
    roles: tuple[str, ...]
    lookback: int
    n_features: int
    outputs: int
    min_steps: int | None = None
    winsorize_quantile: float | None = None

    def predict(self, samples: Samples, category: NDArray[np.int32]) -> NDArray[np.float32]:
        """Score every row.

        Parameters
        ----------
        samples : Samples
            Unscaled windows and months.
        category : ndarray of int32, shape (n,)
            The network's id of each row's ticker.

        Returns
        -------
        ndarray of float32, shape (n, outputs)
            The values of the network's `predict` for whole batches of 32, to the bit.
        """
        values = np.empty((len(samples), self.outputs), dtype=np.float32)
        step = 64 * BATCH
        for begin in range(0, len(samples), step):
            rows = np.arange(begin, min(begin + step, len(samples)))
            padded = np.concatenate([rows, np.full(-len(rows) % BATCH, rows[-1])])
            inputs = [self._input(role, samples, padded, category) for role in self.roles]
            try:
                y_pred = self.network.predict(inputs if len(inputs) > 1 else inputs[0], batch_size=BATCH, verbose=0)
            except Exception as error:  # backends raise exceptions of many classes
                raise InputError(
                    f"expected {self.settings.path} to score its inputs; found {type(error).__name__}: "
                    f"{' '.join(str(error).split())[:200]}; check ids under model.tickers, features and model.inputs"
                ) from error
            values[rows] = np.asarray(y_pred)[: len(rows)].reshape(len(rows), self.outputs)
        return values

    def _input(self, role: str, samples: Samples, rows: NDArray[np.int64], category: NDArray[np.int32]) -> NDArray[Any]:
        if role == "month":
            return np.eye(12, dtype=np.float32)[samples.month[rows]]
        if role == "ticker":
            shape = tuple(self.network.inputs[self.roles.index("ticker")].shape)
            return category[rows] if len(shape) == 1 else category[rows][:, None]
        windows = samples.windows.gather(rows)
        if not self.settings.mean:
            return windows
        mean, std = (np.asarray(x, dtype=np.float32) for x in (self.settings.mean, self.settings.std))
        return (windows - mean) / std


def check_keras_file(path: Path) -> None:
    """Check, without loading it, that a file is a `.keras` archive of Keras's own layers.

    Raises
    ------
    InputError
        When the file does not exist, is damaged, contains layers that could run code (a Lambda layer, a class that is
        not part of Keras) or layers with `stateful = True`; the message names the cause.
    """
    _check_exists(path)
    if path.suffix != ".keras":
        raise InputError(f"expected a .keras file; found {path}; save the model with model.save('name.keras')")
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if unexpected := names - MEMBERS:
                raise InputError(
                    f"expected {path} to hold {', '.join(sorted(MEMBERS))}; found also {min(unexpected)!r}"
                )
            if archive.getinfo("config.json").file_size > MAX_CONFIG_BYTES:
                raise InputError(f"expected a config.json of at most 64 MB in {path}; found more")
            config = json.loads(archive.read("config.json"))
    except InputError:
        raise
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, RuntimeError, NotImplementedError, EOFError) as error:
        raise InputError(
            f"expected a .keras archive in {path}; found a damaged or other file ({type(error).__name__}); "
            "save the model again with model.save('name.keras')"
        ) from error
    if not isinstance(config, dict):
        raise InputError(
            f"expected a config.json with an object in {path}; found {type(config).__name__}; save the model again"
        )
    config.pop("compile_config", None)  # never used
    for part in _objects(config):
        name, module, registered = (part.get(key) for key in ("class_name", "module", "registered_name"))
        from_keras = isinstance(module, str) and (module == "keras" or module.startswith("keras."))
        if not isinstance(name, str) or not isinstance(module, str | None):
            raise InputError(f"expected names of layers in {path}; found {str(name)[:60]!r}; save the model again")
        if isinstance(part.get("config"), dict) and part["config"].get("stateful"):
            raise InputError(
                f"expected layers without state between batches in {path}; found {name!r} with stateful = True, whose "
                "scores depend on earlier batches; build it with stateful = False"
            )
        if (
            name in CODE_RUNNING_LAYERS
            or ">" in str(registered)
            or (module is not None and not from_keras and module != "builtins")
        ):
            raise InputError(
                f"expected only Keras's own layers in {path}; found {name!r} (module {module!r}), which would run "
                "custom code; build the model without it"
            )


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Iterate over the serialised objects in a configuration."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            if "class_name" in item:
                yield item
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def _check_exists(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"expected a trained network at {path}; found no such file; correct model.path")


def _with_roles(settings: SavedKerasModel, network: Any) -> OpenedModel:
    path = settings.path
    names = [tensor.name for tensor in network.inputs]
    if unknown := sorted(set(settings.inputs) - set(names)):
        raise InputError(f"expected model.inputs among {', '.join(names)}; found {unknown[0]!r}")
    roles = []
    for tensor in network.inputs:
        shape = tuple(tensor.shape)
        role = settings.inputs.get(tensor.name) or _recognised_role(shape, str(tensor.dtype))
        if role is None or role in roles:
            raise InputError(
                f"expected inputs of {path} that can be recognised as sequence, ticker and month; found "
                f"{tensor.name!r} of shape {shape}; name it under model.inputs"
            )
        roles.append(role)
    if "sequence" not in roles:
        raise InputError(f"expected a sequence input (batch, lookback, features) in {path}; found {', '.join(names)}")
    shape = tuple(network.inputs[roles.index("sequence")].shape)
    if len(shape) != 3 or shape[2] is None:
        raise InputError(f"expected a sequence input of shape (batch, lookback, features) in {path}; found {shape}")
    lookback = shape[1] or settings.lookback
    if lookback is None or (settings.lookback is not None and settings.lookback != lookback):
        found = f"{shape[1]} in the file" if shape[1] else "no fixed length in the file and no model.lookback"
        raise InputError(
            f"expected windows of model.lookback = {settings.lookback} periods; found {found}; set model.lookback to "
            "the length of the network's input"
        )
    if settings.mean and len(settings.mean) != shape[2]:
        raise InputError(f"expected model.mean and std of {shape[2]} features; found {len(settings.mean)}")
    if "ticker" in roles and not settings.tickers:
        raise InputError(
            f"expected model.tickers, the id of each ticker, because {path} has a ticker input; found none"
        )
    if isinstance(getattr(network, "_outputs_struct", None), dict):  # for which `predict` would return a dict
        raise InputError(f"expected one output in {path}; found a dict of {len(network.outputs)}; return the tensor")
    outputs = tuple(network.outputs[0].shape)
    if len(network.outputs) != 1 or len(outputs) > 2 or (len(outputs) == 2 and outputs[1] not in (1, 2, 3)):
        raise InputError(
            f"expected one output of 1 to 3 numbers per row in {path}; found outputs of shape "
            f"{', '.join(str(tuple(o.shape)) for o in network.outputs)}"
        )
    return OpenedModel(
        settings, network, tuple(roles), int(lookback), int(shape[2]), 1 if len(outputs) == 1 else int(outputs[1])
    )


def _recognised_role(shape: tuple[int | None, ...], dtype: str) -> str | None:
    if len(shape) == 3:
        return "sequence"
    if len(shape) == 2 and shape[1] == 12:
        return "month"
    whole = "int" in dtype or shape[1:] in ((), (1,))
    return "ticker" if whole and len(shape) <= 2 else None
