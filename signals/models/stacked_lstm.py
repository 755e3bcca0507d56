"""The stacked LSTM classifier: past returns, which ticker, which month -> probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from signals.errors import InputError

__all__ = ["ModelSettings", "build"]


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Sizes of the stacked LSTM classifier.

    Parameters
    ----------
    lookback : int
        Periods in a window.
    lstm_units : tuple of int
        Units of the stacked LSTM layers, first to last.
    embedding : int
        Width of the ticker embedding; 0 leaves the ticker out.
    months : bool
        Whether the month of the decision date enters as 12 one-hot inputs.
    dense : int
        Units of the dense layer before the output.
    dropout : float
        Share of the inputs of every LSTM layer but the first that is dropped in training. Keras uses one mask for all
        steps, so on the first layer, with one feature, it would blank whole series.
    unknown_share : float
        Share of ticker ids replaced by "unknown" in training, so that the row new listings get is a trained one.
    clip_quantile : float
        Returns are clipped at this quantile and its mirror of the training slice before they are standardised.
    """

    lookback: int = 52
    lstm_units: tuple[int, ...] = (25, 10)
    embedding: int = 10
    months: bool = True
    dense: int = 10
    dropout: float = 0.2
    unknown_share: float = 0.05
    clip_quantile: float = 0.005

    def __post_init__(self) -> None:
        if self.lookback < 2:
            raise InputError(f"expected model.lookback of at least 2 periods; found {self.lookback}")
        if not self.lstm_units or min(self.lstm_units) < 1:
            raise InputError(f"expected model.lstm_units like [25, 10]; found {list(self.lstm_units)}")
        if self.embedding < 0 or self.dense < 1:
            raise InputError(
                "expected model.embedding of at least 0 and model.dense of at least 1; found "
                f"{self.embedding} and {self.dense}"
            )
        for name, share in (("dropout", self.dropout), ("unknown_share", self.unknown_share)):
            if not 0 <= share < 1:
                raise InputError(f"expected model.{name} in [0, 1); found {share}")
        if not 0 <= self.clip_quantile < 0.5:
            raise InputError(f"expected model.clip_quantile in [0, 0.5); found {self.clip_quantile}")


def build(settings: ModelSettings, n_categories: int, n_features: int = 1) -> Any:
    """Build the network.

    Parameters
    ----------
    settings : ModelSettings
        Sizes.
    n_categories : int
        Rows of the ticker embedding, the unknown ticker included.
    n_features : int
        Features per time step.

    Returns
    -------
    keras.Model
        Inputs `sequence` (batch, lookback, n_features), `ticker` (batch,) int and `month` (batch, 12); output
        (batch, 1), a probability. Unused inputs are absent.

    References
    ----------
    Jansen (2018), *Hands-On Machine Learning for Algorithmic Trading*, chapter 18: stacked LSTM with ticker embedding
    and month dummies; 29,371 parameters for 2,489 tickers. Ours has one more embedding row, for unknown tickers, and
    the sigmoid its cross-entropy loss needs.
    """
    import keras
    from keras import layers

    sequence = keras.Input((settings.lookback, n_features), name="sequence")
    inputs, merged = [sequence], []
    hidden = sequence
    for number, units in enumerate(settings.lstm_units, start=1):
        hidden = layers.LSTM(
            units,
            return_sequences=number < len(settings.lstm_units),
            dropout=settings.dropout if number > 1 else 0.0,
            name=f"lstm_{number}",
        )(hidden)
    merged.append(hidden)
    if settings.embedding:
        ticker = keras.Input((), dtype="int32", name="ticker")
        inputs.append(ticker)
        merged.append(layers.Embedding(n_categories, settings.embedding, name="ticker_embedding")(ticker))
    if settings.months:
        month = keras.Input((12,), name="month")
        inputs.append(month)
        merged.append(month)
    joined = layers.Concatenate(name="joined")(merged) if len(merged) > 1 else merged[0]
    hidden = layers.Dense(settings.dense, name="dense")(joined)
    output = layers.Dense(1, activation="sigmoid", name="probability")(hidden)
    return keras.Model(inputs, output, name="stacked_lstm")
