from __future__ import annotations

import numpy as np
import pytest

from signals.errors import InputError
from signals.labels import LabelSettings, make_labels
from signals.panel import PricePanel


def panel_of(opens, closes):
    """A panel from (sessions × tickers) lists; None did not trade."""
    opens, closes = (np.array(x, dtype=float) for x in (opens, closes))
    dates = np.datetime64("2020-01-06") + np.arange(len(closes))
    ones = np.where(np.isnan(closes), np.nan, 1.0)
    high, low = np.fmax(opens, closes), np.fmin(opens, closes)
    tickers = tuple("ABCDEF"[: closes.shape[1]])
    return PricePanel(dates, tickers, opens, high, low, closes, ones * 100, ones)


def test_open_to_open_is_bought_and_sold_at_the_next_opens():
    panel = panel_of([[10], [11], [12], [13]], [[10.5], [11.5], [12.5], [13.5]])
    labels = make_labels(panel, np.array([0, 2]), np.ones((1, 2), bool), LabelSettings(kind="up"))
    assert labels.forward_return[0, 0] == pytest.approx(13 / 11 - 1)
    assert labels.end[0].tolist() == [3, -1]  # the last decision date has no outcome yet
    assert np.isnan(labels.label[0, 1])


def test_close_to_close_ends_on_the_decision_date_itself():
    panel = panel_of([[10], [11], [12]], [[10.5], [11.5], [12.6]])
    labels = make_labels(
        panel, np.array([0, 2]), np.ones((1, 2), bool), LabelSettings(kind="up", measured="close_to_close")
    )
    assert labels.forward_return[0, 0] == pytest.approx(12.6 / 10.5 - 1)
    assert labels.end[0, 0] == 2


N = np.nan


@pytest.mark.parametrize("haircut", [0.0, 0.3, 1.0])
def test_a_name_that_dies_is_worth_its_last_price_less_the_haircut(haircut):
    closes = [[10], [11], [12], [N], [N], [N], [N]]
    panel = panel_of(closes, closes)
    settings = LabelSettings(kind="up", delist_after=3, delist_haircut=haircut)
    labels = make_labels(panel, np.array([0, 3]), np.ones((1, 2), bool), settings)
    assert labels.forward_return[0, 0] == pytest.approx(12 * (1 - haircut) / 11 - 1)
    assert labels.end[0, 0] == 5  # the third session without a bar, later than the usual exit


def test_a_death_not_yet_certain_leaves_the_outcome_open():
    closes = [[10], [11], [12], [N], [N]]
    panel = panel_of(closes, closes)
    labels = make_labels(panel, np.array([0, 3]), np.ones((1, 2), bool), LabelSettings(kind="up", delist_after=3))
    assert labels.end[0, 0] == -1


def test_a_pause_is_valued_where_trading_resumes():
    closes = [[10], [11], [12], [N], [N], [15], [16]]
    panel = panel_of(closes, closes)
    labels = make_labels(panel, np.array([0, 3]), np.ones((1, 2), bool), LabelSettings(kind="up", delist_after=3))
    assert labels.forward_return[0, 0] == pytest.approx(15 / 11 - 1)
    assert labels.end[0, 0] == 5


def test_a_name_cashed_out_inside_the_horizon_does_not_come_back():
    closes = [[10], [11], [N], [N], [N], [40], [50], [60]]
    panel = panel_of(closes, closes)
    labels = make_labels(panel, np.array([0, 6]), np.ones((1, 2), bool), LabelSettings(kind="up", delist_after=3))
    assert labels.forward_return[0, 0] == pytest.approx(0.0)
    assert labels.end[0, 0] == 4


def test_above_median_is_known_when_the_slowest_name_is():
    closes = [[10, 10, 10], [10, 10, 10], [11, 12, 10], [11, 13, N], [11, 13, N], [11, 13, N]]
    panel = panel_of(closes, closes)
    eligible = np.array([[True, False]] * 3)
    settings = LabelSettings(delist_after=3)
    labels = make_labels(panel, np.array([0, 2]), eligible, settings)
    assert labels.label[:, 0].tolist() == [0.0, 1.0, 0.0]
    assert labels.end[:, 0].tolist() == [5, 5, 5]
    # one session earlier nobody knew whether C was dead, hence not the median either
    cut = make_labels(panel.until(panel.dates[4]), np.array([0, 2]), eligible, settings)
    assert (cut.end[:, 0] == -1).all()
    assert np.isnan(cut.label[:, 0]).all()


def test_only_eligible_rows_make_the_median():
    closes = [[10, 10, 10], [10, 10, 10], [11, 12, 90], [11, 12, 90]]
    panel = panel_of(closes, closes)
    eligible = np.array([[True, True], [True, True], [False, False]])
    labels = make_labels(panel, np.array([0, 2]), eligible, LabelSettings())
    assert labels.label[:2, 0].tolist() == [0.0, 1.0]
    assert np.isnan(labels.label[2, 0])


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"kind": "down"}, "labels.kind"), ({"measured": "close"}, "labels.measured"), ({"horizon": 0}, "horizon")],
)
def test_unknown_settings_are_named(settings, words):
    with pytest.raises(InputError, match=words):
        LabelSettings(**settings)
