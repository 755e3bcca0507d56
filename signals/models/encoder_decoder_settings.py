"""Encoder-decoder with attention: a window of several series -> their next steps, one after the other."""

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

    Recurrent layers read the window; a cell, the decoder, then says one step after the other of the target's, and sees
    before each what it said at the step before and, by attention, what the encoder said at every step of the window.

    Parameters
    ----------
    lookback : int
        Periods in a window.
    cell : {"lstm", "gru", "simple_rnn", "peephole_lstm"}
        Of encoder and decoder.
    units : tuple of int
        Units of the encoder's layers, first to last.
    decoder_units : int
        Units of the decoder; 0 for as many as the encoder says numbers at a step, which attention by `"dot"` demands.
    attention : {"additive", "dot", "none"}
        How the decoder weighs the steps of the window: by a small network of its state before the step and theirs
        (Bahdanau, Cho, Bengio 2015), by the product of its state after the step and theirs (Luong, Pham, Manning
        2015), or not at all.
    bidirectional : bool
        Whether the encoder reads the window in both directions.
    output_recurrence : bool
        Whether the decoder sees its output of the step before.
    teacher_forcing_ratio : float
        Share of those outputs that are replaced by the true ones in training. Below 1 it also learns to go by its own,
        which is all it has afterwards (scheduled sampling, Bengio et al. 2015).
    autoregressive_lags : int
        Last steps of the window that also enter every output linearly; 0 for none.
    min_steps, ticker_embedding_dim, month_onehot, categorical_embeddings, year_onehot, unknown_category_rate,
    winsorize_quantile
        See `RecurrentSettings`. What does not change from step to step enters the decoder.
    dropout : float
        Share of the inputs dropped in training, of every recurrent layer but the first and of the decoder.
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
                f"expected model.decoder_units to be the {self.encoded} numbers the encoder says at a step, which "
                f"attention by 'dot' demands; found {self.decoder_units}; use 0, or attention = 'additive'"
            )
        if not self.output_recurrence and self.attention != "additive":
            raise InputError(
                "expected a decoder that reads something: model.output_recurrence or attention = 'additive'; found "
                "neither; turn one on"
            )

    @property
    def encoded(self) -> int:
        """Numbers the encoder says at each step."""
        return self.units[-1] * (2 if self.bidirectional else 1)

    @property
    def masked(self) -> bool:
        """Whether windows may have unknown steps."""
        return self.min_steps is not None and self.min_steps < self.lookback

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of other categoricals it has an input for."""
        return (*self.categorical_embeddings, *(("year",) if self.year_onehot else ()))

    @property
    def sequence_loss(self) -> bool:
        """Never: it says what comes after the window."""
        return False

    @property
    def teacher_steps(self) -> str | None:
        """What true outputs are fed back in training: those of the `"horizon"`'s steps, or None."""
        return "horizon" if self.output_recurrence else None
