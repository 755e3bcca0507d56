"""Comparison of learning rates: slices of training, selection and evaluation, and paired differences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def samples(dates: range):
    from signals.dataset.windows import Samples, Windows

    end = np.repeat(np.asarray(dates, np.int32), 5)
    ticker = np.tile(np.arange(5, dtype=np.int32), len(dates))
    panel = np.zeros((5, 300, 1), np.float32)
    label = (end % 2).astype(np.float32)
    return Samples(Windows(panel, ticker, end, 52), ticker + 1, end % 12, label)


def test_epoch_is_chosen_on_other_dates_than_those_that_evaluate_it():
    from tests.benchmarks.rates import STOPPING, halves

    training, validation = samples(range(60, 150)), samples(range(151, 203))
    cut = halves("m", 3, 6, training, validation)
    stopping, judging = cut.stopping.windows.end, cut.judging.windows.end
    assert cut.training is training
    assert len(np.unique(stopping)) == STOPPING
    assert judging.min() == stopping.max() + 2  # the label of the date between ends among those that judge
    assert len(stopping) + len(judging) + 5 == len(validation)
    np.testing.assert_array_equal(cut.judging.label, judging % 2)
    np.testing.assert_array_equal(cut.judging.category, cut.judging.windows.ticker + 1)
    with pytest.raises(ValueError, match="found 27"):
        halves("m", 0, 6, training, samples(range(151, 178)))


def test_cells_are_compared_in_pairs():
    from tests.benchmarks.rates import PUBLISHED, Cell, Fit, compare, table

    base, other = Cell("compiled", *PUBLISHED), Cell("compiled", 1024, 0.005)
    fits = [Fit("m", fold, 0, base, 0.5 + fold / 10, 0.69, 2, 10.0) for fold in range(3)]
    # folds differ by far more than cells do; the second cell is better by .01, .02 and .03
    fits += [Fit("m", fold, 0, other, 0.5 + fold / 10 + (fold + 1) / 100, 0.689, 4, 8.0) for fold in range(3)]
    found = compare(fits).loc[("m", other)]
    assert found["pairs"] == 3
    assert found["auc_gain"] == pytest.approx(0.02)
    assert found["auc_error"] == pytest.approx(0.01 / np.sqrt(3))
    assert found["loss_gain"] == pytest.approx(1.0)
    assert found["loss_error"] == pytest.approx(0.0)
    assert "| m | compiled | 1024 | 0.005 | 5 | 4.0 | 0.6200 | +0.0200 ± 0.0058 | +1.00 ± 0.00 | 8.0 |" in table(
        compare(fits)
    )


def test_no_row_of_a_test_slice_is_looked_at(tmp_path):
    from rnn_strategies.config.panel_config import load_config
    from rnn_strategies.config.presets import write_preset
    from tests.benchmarks.rates import REAL_END

    for preset in ("us-weekly", "us-wide"):
        write_preset(tmp_path / f"{preset}.toml", preset=preset)
        assert load_config(tmp_path / f"{preset}.toml").walk_forward.test_start > REAL_END


def test_a_fit_learns_the_planted_pattern():
    from tests.benchmarks.rates import Cell, fit_one, simulated

    slices = next(simulated(1, 60))
    fit = fit_one(slices, Cell("compiled", 256, 0.005, 3), 0)
    assert fit.auc > 0.52
    assert fit.loss < 0.6931
    assert 1 <= fit.kept <= 3
