"""Models of the stacked system: the published network, other cells and output heads, and baselines."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["VARIATIONS", "Variation"]


@dataclass(frozen=True, slots=True)
class Variation:
    """One model on the panel.

    Parameters
    ----------
    key : str
        Name of its run folder.
    label : str
        Label in the tables.
    preset : str
        Preset configuration.
    overrides : tuple of str
        Overrides of the preset, as for `--set`.
    parameters : int, optional
        Number of weights of a model that is no network.
    """

    key: str
    label: str
    preset: str = "improved-stacked"
    overrides: tuple[str, ...] = ()
    parameters: int | None = None


def _lags(name: str, options: str) -> tuple[str, ...]:
    # the whole table is replaced: these models have no layers, and their only input is the window
    return (f'model={{ kind = "{name}", lookback = 52, options = {{ {options} }} }}',)


_LOGISTIC = _lags("sklearn.linear_model:LogisticRegression", "max_iter = 500, random_state = 0")
_BOOSTING = _lags(
    "sklearn.ensemble:HistGradientBoostingClassifier",
    "max_iter = 100, learning_rate = 0.05, max_leaf_nodes = 15, min_samples_leaf = 200, early_stopping = false, "
    "random_state = 0",
)
_MLP = _lags(
    "sklearn.neural_network:MLPClassifier",
    "hidden_layer_sizes = [25, 10], batch_size = 1024, max_iter = 50, early_stopping = true, n_iter_no_change = 3",
)
_RESIDUAL = "labels.kind=residual"

VARIATIONS = (
    Variation("lstm", "LSTM, class."),
    Variation("logistic", "logistic regression, 52 lags", overrides=_LOGISTIC, parameters=53),
    Variation("boosting", "gradient boosting, 52 lags", overrides=_BOOSTING),
    Variation("mlp", "MLP 25-10, 52 lags", overrides=_MLP, parameters=53 * 25 + 26 * 10 + 11),
    Variation("gru", "GRU, class.", overrides=("model.cell=gru",)),
    Variation("lstm-no-embedding", "LSTM, class., no ticker", overrides=("model.ticker_embedding_dim=0",)),
    Variation("lstm-no-months", "LSTM, class., no months", overrides=("model.month_onehot=false",)),
    Variation(
        "lstm-neither", "LSTM, class., neither", overrides=("model.ticker_embedding_dim=0", "model.month_onehot=false")
    ),
    Variation("lstm-regression", "LSTM, regression", overrides=(_RESIDUAL,)),
    Variation("gru-regression", "GRU, regression", overrides=(_RESIDUAL, "model.cell=gru")),
    Variation("simple-rnn", "simple RNN, class.", overrides=("model.cell=simple_rnn",)),
    Variation("simple-rnn-regression", "simple RNN, regression", overrides=(_RESIDUAL, "model.cell=simple_rnn")),
    # without the dropout of the first layer, which masks a fifth of all series, and needs Keras, 40 times slower
    Variation(
        "published",
        "published settings without first dropout",
        preset="published-stacked",
        overrides=("model.input_dropout=0.0",),
    ),
)
