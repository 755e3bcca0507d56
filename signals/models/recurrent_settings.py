"""Recurrent networks: past features, which ticker, which month -> probability, classes, values or quantiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from signals.common.errors import InputError

__all__ = ["CELLS", "RecurrentSettings", "check_horizon", "check_parts", "check_window"]

CELLS = ("lstm", "gru", "simple_rnn", "peephole_lstm")
OTHERWISE = {
    "ticker": "model.ticker_embedding_dim",
    "year": "model.year_onehot",
    "sequence": "another name",
    "teacher": "another name",
}


@dataclass(frozen=True, slots=True)
class RecurrentSettings:
    """Sizes and parts of a recurrent network.

    Parameters
    ----------
    lookback : int
        Periods in a window.
    min_steps : int, optional
        Shortest history that is scored: windows with fewer than `lookback` known periods are masked where they are not.
        Masks rule out the fast kernels of a GPU. By default windows are whole.
    cell : {"lstm", "gru", "simple_rnn", "peephole_lstm"}
        Recurrent cell. The peephole LSTM is that of Gers and Schmidhuber (2000), whose gates see the cell's state.
    units : tuple of int
        Units of the stacked recurrent layers, first to last.
    ticker_embedding_dim : int
        Width of the ticker embedding; 0 leaves the ticker out.
    month_onehot : bool
        Whether the month of the decision date enters as 12 one-hot inputs.
    dense_units : int
        Units of the (linear) dense layer before the output; 0 leaves it out.
    dropout : float
        Share of the inputs of every recurrent layer but the first that is dropped in training. Keras uses one mask for
        all steps, so on the first layer, with one feature, it would blank whole series.
    unknown_category_rate : float
        Share of ticker ids replaced by "unknown" in training, so that the row new listings get is a trained one; of
        other categoricals likewise, the year among them.
    winsorize_quantile : float
        Each feature is clipped at this quantile and its mirror of the training slice before it is standardised; so is a
        numeric target.
    recurrent_dropout : float
        Share of the state that is dropped from step to step in training. It rules out every fast path: the compiled
        trainer does without it, and so do the fused kernels of a GPU.
    input_dropout : float
        Share of the inputs of the first recurrent layer that is dropped, see `dropout`.
    reset_after : bool
        Of a GRU: whether the reset gate is applied after the recurrent product (Keras's default, which has fast
        kernels) or before it (Cho et al. 2014).
    bidirectional : bool
        Whether every recurrent layer reads its window in both directions. Only the output after the last step knows
        nothing it should not: with `sequence_loss` or `output_recurrence` it is refused.
    sequence_loss : bool
        Whether the network is trained on outputs at every step of the window (sequence to sequence) rather than on the
        last one only. What it is judged on, and its score, is the output at the last step.
    output_recurrence : bool
        Whether each step also sees the output of the step before, of quantiles the middle one; the first step sees 0.
    teacher_forcing_ratio : float
        Share of those fed-back outputs that are replaced by the true ones in training, where they were known.
    recurrent_skip_steps : int
        Period of recurrent connections that reach so many steps back (LSTNet, Lai et al. 2018), in a layer beside the
        others, of the same cell; 0 for none. Its states of the last `recurrent_skip_steps` steps enter the output.
    recurrent_skip_units : int
        Units of that layer.
    autoregressive_lags : int
        Last steps of the window that also enter the output linearly (the autoregressive highway of LSTNet); 0 for none.
    tbptt_steps : int, optional
        Steps through which gradients flow back in time (truncated back-propagation); all of them by default. The window
        is run in chunks of that many steps, up to its end, each with its own dropout.
    categorical_embeddings : dict of str to int
        Widths of embeddings of other categoricals: `sector`, `month`, `quarter`, `weekday`.
    year_onehot : bool
        Whether the year of the decision date enters as one-hot inputs. Years outside the training slice, so those of
        every test slice, are all zeros.
    """

    lookback: int = 52
    cell: str = "lstm"
    units: tuple[int, ...] = (25, 10)
    ticker_embedding_dim: int = 10
    month_onehot: bool = True
    dense_units: int = 10
    dropout: float = 0.2
    unknown_category_rate: float = 0.05
    winsorize_quantile: float = 0.005
    min_steps: int | None = None
    recurrent_dropout: float = 0.0
    input_dropout: float = 0.0
    reset_after: bool = True
    bidirectional: bool = False
    sequence_loss: bool = False
    output_recurrence: bool = False
    teacher_forcing_ratio: float = 1.0
    recurrent_skip_steps: int = 0
    recurrent_skip_units: int = 5
    autoregressive_lags: int = 0
    tbptt_steps: int | None = None
    categorical_embeddings: Mapping[str, int] = field(default_factory=dict)
    year_onehot: bool = False

    def __post_init__(self) -> None:
        check_parts(self)
        if self.dense_units < 0:
            raise InputError(f"expected model.dense_units of at least 0; found {self.dense_units}")
        if self.bidirectional and (self.sequence_loss or self.output_recurrence or self.tbptt_steps is not None):
            other = (
                "sequence_loss"
                if self.sequence_loss
                else "output_recurrence"
                if self.output_recurrence
                else "tbptt_steps"
            )
            why = "steps would see the future" if other != "tbptt_steps" else "layers that read backwards have no past"
            raise InputError(f"expected model.bidirectional without {other}, since {why}; found both; leave one out")
        if not 0 <= self.recurrent_skip_steps <= self.lookback or self.recurrent_skip_units < 1:
            raise InputError(
                f"expected model.recurrent_skip_steps from 0 to the look-back of {self.lookback} and "
                "model.recurrent_skip_units of at least 1; "
                f"found {self.recurrent_skip_steps} and {self.recurrent_skip_units}"
            )
        if self.tbptt_steps is not None and (self.tbptt_steps < 1 or self.recurrent_skip_steps):
            raise InputError(
                "expected model.tbptt_steps of at least 1 step, and no model.recurrent_skip_steps, which reaches "
                "further back; found "
                f"{self.tbptt_steps} and a skip of {self.recurrent_skip_steps}"
            )

    @property
    def masked(self) -> bool:
        """Whether windows may have unknown steps."""
        return self.min_steps is not None and self.min_steps < self.lookback

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of other categoricals it has an input for."""
        return (*self.categorical_embeddings, *(("year",) if self.year_onehot else ()))

    @property
    def teacher_steps(self) -> str | None:
        """What true outputs are fed back in training: those of the `"window"`'s steps, or None."""
        return "window" if self.output_recurrence else None


def check_window(lookback: int, min_steps: int | None, winsorize_quantile: float) -> None:
    """Hold the settings of windows to what they can mean.

    Raises
    ------
    InputError
        Naming the setting.
    """
    if lookback < 2:
        raise InputError(f"expected model.lookback of at least 2 periods; found {lookback}")
    if min_steps is not None and not 1 <= min_steps <= lookback:
        raise InputError(f"expected model.min_steps from 1 to the look-back of {lookback}; found {min_steps}")
    if not 0 <= winsorize_quantile < 0.5:
        raise InputError(f"expected model.winsorize_quantile in [0, 0.5); found {winsorize_quantile}")


def check_parts(settings: Any) -> None:
    """Hold the settings that all networks of ours have to what they can mean.

    Parameters
    ----------
    settings : RecurrentSettings or EncoderDecoderSettings
        What to look at.

    Raises
    ------
    InputError
        Naming the setting.
    """
    check_window(settings.lookback, settings.min_steps, settings.winsorize_quantile)
    if settings.cell not in CELLS:
        raise InputError(f"expected model.cell to be one of {', '.join(CELLS)}; found {settings.cell!r}")
    if not settings.units or min(settings.units) < 1:
        raise InputError(f"expected model.units like [25, 10]; found {list(settings.units)}")
    if settings.ticker_embedding_dim < 0:
        raise InputError(f"expected model.ticker_embedding_dim of at least 0; found {settings.ticker_embedding_dim}")
    for name in ("dropout", "recurrent_dropout", "input_dropout", "unknown_category_rate"):
        share = getattr(settings, name)
        if not 0 <= share < 1:
            raise InputError(f"expected model.{name} in [0, 1); found {share}")
    if not 0 <= settings.teacher_forcing_ratio <= 1:
        raise InputError(f"expected model.teacher_forcing_ratio in [0, 1]; found {settings.teacher_forcing_ratio}")
    if not 0 <= settings.autoregressive_lags <= settings.lookback:
        raise InputError(
            f"expected model.autoregressive_lags from 0 to the look-back of {settings.lookback}; found "
            f"{settings.autoregressive_lags}"
        )
    for name, width in settings.categorical_embeddings.items():
        if name in OTHERWISE:
            raise InputError(
                f"expected other names in model.categorical_embeddings; found {name}; use {OTHERWISE[name]}"
            )
        if name == "month" and settings.month_onehot:
            raise InputError(
                "expected months either in model.categorical_embeddings or in model.month_onehot; found both; drop one"
            )
        if not isinstance(width, int) or width < 1:
            raise InputError(
                f"expected widths of at least 1 in model.categorical_embeddings; found {width!r} for {name}"
            )


def check_horizon(model: Any, horizon: int) -> None:
    """Refuse to teach a network, as the output of the step before, most of what it has to say at this one.

    Labels of neighbouring steps share all but one of their periods when they reach over several: a network that is fed
    the true one in training learns to copy it, and has nothing to copy when it forecasts.

    Parameters
    ----------
    model : NetworkSettings, or any other model
        What would be trained.
    horizon : int
        Periods its labels reach ahead.

    Raises
    ------
    InputError
        For output recurrence with true outputs over a horizon of several periods.
    """
    if horizon > 1 and getattr(model, "teacher_steps", None) == "window" and model.teacher_forcing_ratio > 0:
        raise InputError(
            f"expected model.output_recurrence with a horizon of 1, where the last output is over when the next one is "
            f"due; found a horizon of {horizon}; set model.teacher_forcing_ratio = 0, or take model.kind = "
            "'encoder_decoder'"
        )
