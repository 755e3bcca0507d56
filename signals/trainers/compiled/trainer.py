"""Compiled trainer: the network of `signals.models.recurrent`, trained by `kernels` on a CPU, without Keras."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.dataset.windows import Samples
from signals.models.network import Network, NetworkSettings
from signals.models.recurrent_settings import RecurrentSettings
from signals.trainers.base import OPTIMIZERS, FitTask, Fitted, TrainingSettings, Weights
from signals.trainers.compiled.initial_weights import initial_weights
from signals.trainers.compiled.layout import ABSOLUTE, KINDS, TARGET, TARGETS, Layout
from signals.trainers.compiled.rows import Rows, plain_array
from signals.trainers.training_loop import EpochBatches, fit_by_epochs

__all__ = ["CompiledTrainer", "gradients", "load_compiled_code", "unsupported_reason"]

# Settings of which the kernels support only the default.
PLAIN = (
    "input_dropout", "reset_after", "bidirectional", "sequence_loss", "output_recurrence",
    "recurrent_skip_steps", "autoregressive_lags", "tbptt_steps", "categorical_embeddings", "year_onehot",
)  # fmt: skip
HUGE_PAGE = 2**19  # floats in 2 MB
NO_KEY = np.uint64(0)


def unsupported_reason(model: NetworkSettings) -> str | None:
    """Reason why the compiled trainer does not support a network; None when it does.

    It supports a stack of recurrent layers with the settings in `PLAIN` at their defaults.
    """
    if not isinstance(model, RecurrentSettings):
        return "it supports recurrent networks only, kind = 'recurrent'"
    if model.cell not in KINDS:
        return f"it does not support {model.cell} cells"
    if model.recurrent_dropout:
        return "it does not support recurrent dropout"
    default = RecurrentSettings()
    for name in PLAIN:
        if getattr(model, name) != getattr(default, name):
            return f"it does not support model.{name}"
    return None


def load_compiled_code(announce: Callable[[str], None]) -> None:
    """Load the compiled code from numba's cache, or compile it after a call of `announce` with a message.

    Raises
    ------
    Exception
        Any error when numba is imported or compiles; `ImportError` when it is not installed.
    """
    from numba.core import event

    class Announcer(event.Listener):  # type: ignore[misc]
        def on_start(self, event: Any) -> None:
            if not self.announced:
                announce("compiling the trainer for this machine, once: it takes about 20 s, and the result is cached")
            self.announced = True

        def on_end(self, event: Any) -> None:
            """Do nothing."""

        announced = False

    with event.install_listener("numba:compile", Announcer()):
        _entry()


@lru_cache(maxsize=1)
def _entry() -> Any:
    from numba.core import config

    if config.DISABLE_JIT:
        raise ImportError("NUMBA_DISABLE_JIT is set, which prevents numba from compiling")
    from signals.trainers.compiled.kernels import SIGNATURE, make_entry

    def compiled(*, cache: bool, empty_cache: bool = False) -> Any:
        entry = make_entry(cache=cache)
        if empty_cache:
            entry.recompile()  # nothing is compiled yet, so this only empties the cache
        entry.compile(SIGNATURE)
        return entry

    try:
        return compiled(cache=True)
    except Exception as error:
        if isinstance(error, OSError) or "cache" in str(error):  # the cache folder is not writable, or the disk is full
            return compiled(cache=False)
        try:
            return compiled(cache=True, empty_cache=True)  # the cache is damaged
        except Exception:
            raise error from None


class CompiledTrainer:
    """Trainer in compiled code; weights have the names (paths) and shapes of Keras.

    Parameters
    ----------
    threads : int
        Number of threads that share each batch. Results do not depend on it, to the bit: gradients are summed in chunks
        of the batch, in their order.
    """

    name = "compiled"
    tasks_at_once = 1
    batch_size = 32

    def __init__(self, threads: int = 1) -> None:
        if threads < 1:
            raise InputError(f"expected at least one thread for the compiled trainer; found {threads}")
        self.threads = threads

    def versions(self) -> dict[str, str]:
        """Versions of numba and NumPy, and the kind of vectors, which determines the order and rounding of sums."""
        from signals.trainers.compiled.vector_code import KIND

        short = {name: ".".join(version(name).split(".")[:2]) for name in ("numba", "numpy")}
        return {**short, "vectors": KIND}

    def fit(self, tasks: Sequence[FitTask]) -> Iterator[Fitted]:
        """Train each task on its own."""
        for task in tasks:
            yield self._fit_one(replace(task, settings=task.settings.filled(self.batch_size)))

    def _fit_one(self, task: FitTask) -> Fitted:
        model = task.network.model
        assert isinstance(model, RecurrentSettings)  # noqa: S101 - checked by `unsupported_reason`
        compiled_network = _CompiledNetwork(task.network, self.threads)
        compiled_network.weights[:] = compiled_network.layout.vector(
            initial_weights(compiled_network.layout, task.seed)
        )
        training = Rows.of(task.network, task.training, labelled=True)
        validation = None if task.validation is None else Rows.of(task.network, task.validation, labelled=True)
        epochs = 0

        def train_epoch(epoch: EpochBatches) -> float:
            nonlocal epochs
            epochs += 1
            key = np.random.SeedSequence([task.seed, len(task.training), epochs]).generate_state(1, np.uint64)[0]
            return compiled_network.train_epoch(training, epoch, task.settings, model.dropout, key)

        def outputs(_: Samples) -> NDArray[np.float32]:
            assert validation is not None  # noqa: S101 - called with validation rows only
            return compiled_network.predict(validation)

        try:
            return fit_by_epochs(task, train_epoch, outputs, compiled_network.named)
        finally:
            compiled_network.close()

    def predict(self, network: Network, weights: Weights, samples: Samples) -> NDArray[np.float32]:
        """Output of each row; it depends neither on the other rows nor on threads, to the bit."""
        compiled_network = _CompiledNetwork(network, self.threads)
        compiled_network.weights[:] = compiled_network.layout.vector(weights)
        try:
            return compiled_network.predict(Rows.of(network, samples, labelled=False))
        finally:
            compiled_network.close()


def gradients(
    network: Network, weights: Weights, samples: Samples, *, threads: int = 1, loss: str = "mse"
) -> tuple[float, dict[str, NDArray[np.float32]]]:
    """Mean loss over the samples and its gradient by Keras paths, without dropout."""
    compiled_network = _CompiledNetwork(network, threads)
    compiled_network.weights[:] = compiled_network.layout.vector(weights)
    n = len(samples)
    # the gradient is read from its buffer after one update; weights before and after a step would give fewer digits
    epoch = EpochBatches(np.arange(n), n, samples.category)
    settings = TrainingSettings(loss=loss).filled()
    mean = compiled_network.train_epoch(Rows.of(network, samples, labelled=True), epoch, settings, 0.0, NO_KEY)
    compiled_network.close()
    return mean, compiled_network.layout.named(compiled_network.gradient)


class _CompiledNetwork:
    """Weights and workspaces of one network, and calls of the compiled code."""

    def __init__(self, network: Network, threads: int) -> None:
        from signals.trainers.compiled import kernels

        self._kernels, self._entry = kernels, _entry()
        self.layout = layout = Layout.of(network)
        self.outputs = network.target.outputs
        self._levels = np.asarray(network.target.levels or (0.5,), np.float32)
        self._target = TARGETS[network.target.kind]
        self.weights = np.zeros(layout.n_weights, np.float32)
        self.gradient = np.zeros(layout.n_weights, np.float32)
        self._moments = np.zeros((3, layout.n_weights), np.float32)  # first, second, and squares of a batch
        self._back = np.zeros(layout.n_back, np.float32)
        self._chunks = np.zeros((kernels.CHUNKS, layout.n_shared), np.float32)
        self._losses = np.zeros(kernels.CHUNKS)
        self._embedded = np.zeros((0, 0), np.float32)
        self._spaces = [_workspace(layout, kernels.LANES) for _ in range(threads)]
        self._states = [np.zeros(kernels.LANES, np.uint32) for _ in range(threads)]
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._steps = 0

    def close(self) -> None:
        """Stop the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def named(self) -> dict[str, NDArray[np.float32]]:
        """Copy the weights, by Keras paths."""
        return self.layout.named(self.weights)

    def train_epoch(
        self, rows: Rows, epoch: EpochBatches, settings: TrainingSettings, dropout: float, key: np.uint64
    ) -> float:
        """Train one epoch; return its mean loss."""
        kernels, n, size = self._kernels, len(epoch.rows), epoch.size
        absolute = settings.loss == "mae" and self._target == TARGETS["value"]
        self.layout.head[TARGET] = ABSOLUTE if absolute else self._target
        embedding = int(self.layout.head[kernels.EMBEDDING])
        if len(self._embedded) != size:
            self._embedded = np.zeros((size, embedding), np.float32)
        arguments: dict[str, Any] = {"settings": settings, "key": key, "dropout": dropout, "order": epoch.rows}
        category = plain_array(epoch.category, np.int32)
        rows = Rows(rows.panel, rows.ticker, rows.end, category, rows.month, rows.label)
        self._call(kernels.TRANSPOSE, rows, **arguments)
        if self._pool is None:
            loss = self._call(kernels.TRAIN, rows, span=(0, n, size), **arguments)
            self._steps += n // size
            return loss / n
        loss, parts = 0.0, int(kernels.chunks_of(size))
        for begin in range(0, n, size):
            span = (begin, begin + size, size)

            def gradient_of_chunks(thread: int, span: tuple[int, int, int] = span) -> float:
                chunks = parts * thread // self._threads, parts * (thread + 1) // self._threads
                return self._call(kernels.GRADIENT, rows, span=span, chunks=chunks, thread=thread, **arguments)

            list(self._pool.map(gradient_of_chunks, range(self._threads)))
            self._steps += 1
            loss += self._call(kernels.UPDATE, rows, span=span, **arguments)
        return loss / n

    def predict(self, rows: Rows) -> NDArray[np.float32]:
        """Output of every row, shape (n, outputs)."""
        n, lanes = len(rows.category), self._kernels.LANES
        out = np.empty((n, self.outputs), np.float32)
        order = np.arange(n)
        if self._pool is None:
            self._call(self._kernels.PREDICT, rows, span=(0, n, max(n, 1)), order=order, out=out)
            return out
        bounds = [n * t // self._threads // lanes * lanes for t in range(self._threads)] + [n]

        def predict_part(thread: int) -> float:
            begin, stop = bounds[thread], bounds[thread + 1]
            span = (begin, stop, max(stop - begin, 1))
            return self._call(self._kernels.PREDICT, rows, span=span, thread=thread, order=order, out=out)

        list(self._pool.map(predict_part, range(self._threads)))
        return out

    @property
    def _threads(self) -> int:
        return len(self._spaces)

    def _call(
        self,
        mode: int,
        rows: Rows,
        *,
        order: NDArray[np.int64],
        span: tuple[int, int, int] = (0, 0, 1),
        chunks: tuple[int, int] | None = None,
        thread: int = 0,
        out: NDArray[np.float32] | None = None,
        settings: TrainingSettings | None = None,
        dropout: float = 0.0,
        key: np.uint64 = NO_KEY,
    ) -> float:
        settings = settings or TrainingSettings().filled()
        chunks = chunks or (0, self._kernels.CHUNKS)
        out = np.zeros((0, self.outputs), np.float32) if out is None else out
        loss: float = self._entry(
            mode, self.layout.layers, self.layout.head, self.weights, self._back, self._spaces[thread], self._chunks,
            self._embedded, self._losses, self.gradient, self._moments, self._states[thread],
            rows.panel, rows.ticker, rows.end, rows.category, rows.month, rows.label, self._levels, out, order,
            *span, *chunks, key, float(dropout), self._steps, float(settings.learning_rate or 0),
            OPTIMIZERS.index(settings.optimizer), float(settings.global_clipnorm or 0),
        )  # fmt: skip
        return loss


def _workspace(layout: Layout, lanes: int) -> NDArray[np.float32]:
    """Workspace of a block, on huge memory pages: on small pages, weight gradients take nearly twice as long."""
    size = layout.n_rows * lanes
    # NumPy requests huge pages for arrays of at least 4 MB; pages begin at multiples of their size
    floats = np.zeros(max(size, 2 * HUGE_PAGE) + HUGE_PAGE, np.float32)
    begin = (-floats.ctypes.data // floats.itemsize) % HUGE_PAGE
    space = floats[begin : begin + size].reshape(layout.n_rows, lanes)
    space[layout.ones] = 1
    return space
