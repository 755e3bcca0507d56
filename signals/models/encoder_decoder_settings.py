"""Settings of encoder-decoder networks with attention, which forecast several steps one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from signals.common.errors import InputError
from signals.models.recurrent_settings import check_parts

__all__ = ["ATTENTIONS", "EncoderDecoderSettings"]

ATTENTIONS = ("additive", "dot", "none")


@dataclass(frozen=True, slots=True)
class EncoderDecoderSettings:
    """Sizes and parts of an encoder-decoder.

    Recurrent layers, the encoder, read the window. A cell, the decoder, then forecasts the steps of the target one
    after the other; its inputs at each step are its output of the previous step and, by attention, the encoder's
    outputs at every step of the window.

    Parameters
    ----------
    lookback : int
        Periods in a window.
    cell : {"lstm", "gru", "simple_rnn", "peephole_lstm"}
        Cell of encoder and decoder.
    units : tuple of int
        Units of the encoder's layers, first to last.
    decoder_units : int
        Units of the decoder; 0 for the width of the encoder's output at a step, which attention by `"dot"` requires.
    attention : {"additive", "dot", "none"}
        How the decoder weights the steps of the window: `"additive"` by a small network of the decoder's state before
        the step and the encoder's outputs (Bahdanau, Cho, Bengio 2015), `"dot"` by the product of the decoder's state
        after the step and the encoder's outputs (Luong, Pham, Manning 2015), `"none"` without attention.
    bidirectional : bool
        Whether the encoder reads the window in both directions.
    output_recurrence : bool
        Whether the decoder's output of the previous step is one of its inputs.
    teacher_forcing_ratio : float
        Share of these outputs that are replaced by the true ones in training. Below 1 the network is also trained on
        its own outputs, the only ones available in prediction (scheduled sampling, Bengio et al. 2015).
    autoregressive_lags : int
        Number of last steps of the window that also enter every output linearly; 0 for none.
    min_steps, ticker_embedding_dim, month_onehot, categorical_embeddings, year_onehot, unknown_category_rate,
    winsorize_quantile
        See `RecurrentSettings`. Static inputs, which are the same at all steps, enter the decoder.
    dropout : float
        Dropout rate of the inputs of the decoder and of every recurrent layer except the first.
    input_dropout, recurrent_dropout, reset_after
        See `RecurrentSettings`.
    """

    lookback: int = 52
    cell: str = "lstm"
    units: tuple[int, ...] = (32,)
    decoder_units: int = 0
    attention: str = "additive"
    bidirectional: bool = False
    output_recurrence: bool = True
    teacher_forcing_ratio: float = 1.0
    autoregressive_lags: int = 0
    ticker_embedding_dim: int = 0
    month_onehot: bool = False
    dropout: float = 0.0
    unknown_category_rate: float = 0.05
    winsorize_quantile: float = 0.005
    min_steps: int | None = None
    recurrent_dropout: float = 0.0
    input_dropout: float = 0.0
    reset_after: bool = True
    categorical_embeddings: Mapping[str, int] = field(default_factory=dict)
    year_onehot: bool = False

    def __post_init__(self) -> None:
        check_parts(self)
        if self.attention not in ATTENTIONS:
            raise InputError(f"expected model.attention to be one of {', '.join(ATTENTIONS)}; found {self.attention!r}")
        if self.decoder_units < 0:
            raise InputError(f"expected model.decoder_units of at least 0; found {self.decoder_units}")
        if self.attention == "dot" and self.decoder_units not in (0, self.encoded):
            raise InputError(
                f"expected model.decoder_units to equal the width of the encoder's output, {self.encoded}, as "
                f"attention by 'dot' requires; found {self.decoder_units}; use 0, or attention = 'additive'"
            )
        if not self.output_recurrence and self.attention != "additive":
            raise InputError(
                "expected a decoder with inputs: model.output_recurrence or attention = 'additive'; found neither; set "
                "one of them"
            )

    @property
    def encoded(self) -> int:
        """Width of the encoder's output at each step."""
        return self.units[-1] * (2 if self.bidirectional else 1)

    @property
    def masked(self) -> bool:
        """Whether windows may have unknown steps."""
        return self.min_steps is not None and self.min_steps < self.lookback

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the other categoricals for which the network has an input."""
        return (*self.categorical_embeddings, *(("year",) if self.year_onehot else ()))

    @property
    def sequence_loss(self) -> bool:
        """Always False: the output is a forecast of the steps after the window."""
        return False

    @property
    def teacher_steps(self) -> str | None:
        """Steps whose true outputs are fed back in training: `"horizon"`, or None for no feedback."""
        return "horizon" if self.output_recurrence else None
