"""Presets on their real data, up to training."""

from __future__ import annotations

import numpy as np
import pytest

import rnn_strategies as rs
from rnn_strategies.config.panel_config import load_config
from rnn_strategies.config.presets import write_preset
from signals.walk_forward.panel_walk_forward import prepare


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "first", "fewest"), [("us-weekly", 2011, 500), ("us-wide", 2012, 2500)])
def test_every_year_has_its_names(preset, first, fewest, shared_data, tmp_path):
    write_preset(tmp_path / "c.toml", preset=preset, data=str(shared_data))
    config = load_config(tmp_path / "c.toml")
    prepared = prepare(
        rs.load_prices(**config.prices),
        walk_forward=config.walk_forward,
        universe=config.universe,
        labels=config.labels,
        model=config.model,
    )
    years = []
    for fold in prepared.folds:
        year = np.unique(prepared.data.dates[fold.test_date].astype("datetime64[Y]"))
        assert len(year) == 1  # retrained yearly, and judged by calendar years in the report
        years.append(int(year[0].astype(int)) + 1970)
        assert len(np.unique(fold.test_ticker)) >= fewest
        assert len(fold.tickers) >= fewest
        assert fold.trained_until <= prepared.data.dates[fold.test_date].min()
    assert years == list(range(first, 2018))
