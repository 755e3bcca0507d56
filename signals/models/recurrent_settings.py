"""Settings of recurrent networks, and the checks that all network settings share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from signals.common.errors import InputError

__all__ = ["CELLS", "RecurrentSettings", "check_horizon", "check_parts", "check_window"]

CELLS = ("lstm", "gru", "simple_rnn", "peephole_lstm")
INSTEAD_OF_EMBEDDING = {
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
        Shortest history that is scored: in windows with fewer than `lookback` known periods, unknown steps are masked.
        Masks prevent the fast kernels of a GPU. By default all periods of a window must be known.
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
        Dropout rate of the inputs of every recurrent layer except the first. Keras uses one mask for all steps, so on
        the first layer, with one feature, dropout would set whole windows to zero.
    unknown_category_rate : float
        Share of ticker ids replaced by "unknown" in training, so that the embedding row of new listings is trained; the
        same share for every other categorical, the year included.
    winsorize_quantile : float
        Each feature, and a numeric target, is clipped at this quantile q and at 1 - q of the training slice before it
        is standardised.
    recurrent_dropout : float
        Dropout rate of the state from step to step. It prevents every fast path: the compiled trainer and the fused
        kernels of a GPU do not support it.
    input_dropout : float
        Dropout rate of the inputs of the first recurrent layer, see `dropout`.
    reset_after : bool
        Whether the reset gate of a GRU is applied after the recurrent product (Keras's default, which has fast kernels)
        or before it (Cho et al. 2014).
    bidirectional : bool
        Whether every recurrent layer reads its window in both directions. Only the output after the last step is then
        free of look-ahead, so `sequence_loss` and `output_recurrence` are not allowed.
    sequence_loss : bool
        Whether the loss covers the outputs at every step of the window (sequence to sequence) and not only the last
        one. Validation loss and score use the output at the last step.
    output_recurrence : bool
        Whether the output of the previous step (of quantiles, the middle one) is an input of each step; 0 at the first
        step.
    teacher_forcing_ratio : float
        Share of the fed-back outputs that are replaced by the true ones in training, where these were known.
    recurrent_skip_steps : int
        Number of steps that recurrent skip connections reach back (LSTNet, Lai et al. 2018), in a separate layer with
        the same cell; 0 for none. Its states of the last `recurrent_skip_steps` steps enter the output.
    recurrent_skip_units : int
        Units of that layer.
    autoregressive_lags : int
        Number of last steps of the window that also enter the output linearly (the autoregressive component of LSTNet);
        0 for none.
    tbptt_steps : int, optional
        Number of steps through which gradients flow back (truncated back-propagation through time); all by default. The
        window is processed in chunks of that many steps, aligned to its end, each with its own dropout masks.
    categorical_embeddings : dict of str to int
        Widths of embeddings of other categoricals: `sector`, `month`, `quarter`, `weekday`.
    year_onehot : bool
        Whether the year of the decision date enters as one-hot inputs. They are all zero for years outside the training
        slice, such as most years of test slices.
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
            why = (
                "outputs of earlier steps would look ahead"
                if other != "tbptt_steps"
                else "backward layers need all steps"
            )
            raise InputError(f"expected model.bidirectional without {other}, because {why}; found both; leave one out")
        if not 0 <= self.recurrent_skip_steps <= self.lookback or self.recurrent_skip_units < 1:
            raise InputError(
                f"expected model.recurrent_skip_steps from 0 to the look-back of {self.lookback} and "
                "model.recurrent_skip_units of at least 1; "
                f"found {self.recurrent_skip_steps} and {self.recurrent_skip_units}"
            )
        if self.tbptt_steps is not None and (self.tbptt_steps < 1 or self.recurrent_skip_steps):
            raise InputError(
                "expected model.tbptt_steps of at least 1 step, and no model.recurrent_skip_steps, which reaches "
                f"further back; found {self.tbptt_steps} and recurrent_skip_steps = {self.recurrent_skip_steps}"
            )

    @property
    def masked(self) -> bool:
        """Whether windows may have unknown steps."""
        return self.min_steps is not None and self.min_steps < self.lookback

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the categorical inputs of the network besides ticker and month."""
        return (*self.categorical_embeddings, *(("year",) if self.year_onehot else ()))

    @property
    def teacher_steps(self) -> str | None:
        """Steps whose true outputs are fed back in training: `"window"`, or None for no feedback."""
        return "window" if self.output_recurrence else None


def check_window(lookback: int, min_steps: int | None, winsorize_quantile: float) -> None:
    """Check the settings of windows.

    Raises
    ------
    InputError
        Names the setting and its valid range.
    """
    if lookback < 2:
        raise InputError(f"expected model.lookback of at least 2 periods; found {lookback}")
    if min_steps is not None and not 1 <= min_steps <= lookback:
        raise InputError(f"expected model.min_steps from 1 to the look-back of {lookback}; found {min_steps}")
    if not 0 <= winsorize_quantile < 0.5:
        raise InputError(f"expected model.winsorize_quantile in [0, 0.5); found {winsorize_quantile}")


def check_parts(settings: Any) -> None:
    """Check the settings that all networks of this package share.

    Parameters
    ----------
    settings : RecurrentSettings or EncoderDecoderSettings
        Settings to check.

    Raises
    ------
    InputError
        Names the setting and its valid values.
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
        if name in INSTEAD_OF_EMBEDDING:
            raise InputError(
                f"expected other names in model.categorical_embeddings; found {name}; use {INSTEAD_OF_EMBEDDING[name]}"
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
    """Check that teacher forcing is not used with labels over several periods, whose periods overlap.

    Labels over several periods share all but one period with the label of the next step. A network that receives the
    true previous output in training would learn to copy it, but in prediction there is no true output to copy.

    Parameters
    ----------
    model : NetworkSettings, or any other model
        Model to be trained.
    horizon : int
        Number of periods that its labels reach ahead.

    Raises
    ------
    InputError
        For output recurrence with teacher forcing and a horizon of several periods.
    """
    if horizon > 1 and getattr(model, "teacher_steps", None) == "window" and model.teacher_forcing_ratio > 0:
        raise InputError(
            f"expected model.output_recurrence with a horizon of 1, where the periods of consecutive outputs do not "
            f"overlap; found a horizon of {horizon}; set model.teacher_forcing_ratio = 0, or model.kind = "
            "'encoder_decoder'"
        )
