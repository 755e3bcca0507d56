"""The `[model]` table: the kind of model and its settings."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from signals.common.errors import InputError
from signals.dataset.categoricals import check_categoricals
from signals.models.custom import CustomModel
from signals.models.encoder_decoder_settings import EncoderDecoderSettings
from signals.models.network import NetworkSettings
from signals.models.recurrent_settings import RecurrentSettings
from signals.models.saved_keras import SavedKerasModel

__all__ = ["MODELS", "read_model"]

MODELS: dict[str, type] = {
    "recurrent": RecurrentSettings,
    "encoder_decoder": EncoderDecoderSettings,
    "keras_file": SavedKerasModel,
}

AnyModel = NetworkSettings | CustomModel | SavedKerasModel


def read_model(
    table: Mapping[str, Any],
    *,
    validate: Callable[[type, Mapping[str, Any], tuple[str, ...]], dict[str, Any]],
    resolve: Callable[[str], Path],
) -> tuple[AnyModel, dict[str, Any]]:
    """Create the model settings that a `[model]` table describes.

    Parameters
    ----------
    table : mapping
        The table as written; `kind` is `"recurrent"` (the default), `"encoder_decoder"`, `"keras_file"` or
        `'package.module:Name'`.
    validate : callable
        `(settings, table, leave_out)`: checks a table against the fields of a settings class and fills in its defaults.
    resolve : callable
        Makes a path absolute.

    Returns
    -------
    tuple of model and dict
        The settings, and the table with every default.

    Raises
    ------
    InputError
        For an unknown kind, a setting that the kind does not have, or an embedding of an unknown categorical.
    """
    table = dict(table)
    kind = table.pop("kind", "recurrent")
    if not isinstance(kind, str) or (kind not in MODELS and ":" not in kind):
        close = difflib.get_close_matches(str(kind), MODELS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise InputError(
            f"expected model.kind to be {', '.join(MODELS)} or 'package.module:Name'; found {kind!r}{hint}"
        )
    if kind in MODELS:
        plain = validate(MODELS[kind], table, ())
        if "path" in plain:
            plain["path"] = str(resolve(plain["path"]))
        model: AnyModel = MODELS[kind](**_with_tuples(MODELS[kind], plain))
    else:
        plain = validate(CustomModel, table, ("factory",))
        model = CustomModel(kind, **_with_tuples(CustomModel, plain))
    check_categoricals(getattr(model, "groups", ()))
    return model, {"kind": kind, **plain}


def _with_tuples(settings: type, plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a settings class with lists turned into the tuples that it holds."""
    names = {field.name for field in fields(settings)}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items() if name in names}
