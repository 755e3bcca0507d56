from __future__ import annotations

import numpy as np
import pytest

from signals.calendar import decision_dates
from signals.common.errors import InputError
from signals.data.panel import PricePanel
from signals.dataset.labels import LABELS, LabelSettings, make_labels
from signals.features import period_returns
from signals.sources.registry import load_prices


def panel_of(opens, closes):
    """A panel from (sessions × tickers) lists; None did not trade."""
    opens, closes = (np.array(x, dtype=float) for x in (opens, closes))
    dates = np.datetime64("2020-01-06") + np.arange(len(closes)).astype("timedelta64[D]")
    ones = np.where(np.isnan(closes), np.nan, 1.0)
    high, low = np.fmax(opens, closes), np.fmin(opens, closes)
    tickers = tuple("ABCDEF"[: closes.shape[1]])
    return PricePanel(dates, tickers, opens, high, low, closes, ones * 100, ones)


def test_open_to_open_return_uses_the_next_opens():
    panel = panel_of([[10], [11], [12], [13]], [[10.5], [11.5], [12.5], [13.5]])
    labels = make_labels(panel, np.array([0, 2]), np.ones((1, 2), bool), LabelSettings(kind="up"))
    assert labels.forward_return[0, 0] == pytest.approx(13 / 11 - 1)
    assert labels.end[0].tolist() == [3, -1]  # the last decision date has no outcome yet
    assert np.isnan(labels.label[0, 1])


def test_close_to_close_ends_on_the_decision_date_itself():
    panel = panel_of([[10], [11], [12]], [[10.5], [11.5], [12.6]])
    labels = make_labels(
        panel, np.array([0, 2]), np.ones((1, 2), bool), LabelSettings(kind="up", price_basis="close_to_close")
    )
    assert labels.forward_return[0, 0] == pytest.approx(12.6 / 10.5 - 1)
    assert labels.end[0, 0] == 2


N = np.nan


@pytest.mark.parametrize("haircut", [0.0, 0.3, 1.0])
def test_delisted_ticker_is_worth_its_last_price_less_the_haircut(haircut):
    closes = [[10], [11], [12], [N], [N], [N], [N]]
    panel = panel_of(closes, closes)
    settings = LabelSettings(kind="up", delist_after_sessions=3, delist_haircut=haircut)
    labels = make_labels(panel, np.array([0, 3]), np.ones((1, 2), bool), settings)
    assert labels.forward_return[0, 0] == pytest.approx(12 * (1 - haircut) / 11 - 1)
    assert labels.end[0, 0] == 5  # the third session without a bar, later than the usual exit


@pytest.mark.parametrize("haircut", [0.0, 0.3])
@pytest.mark.parametrize("kind", ["up", "return", "above_median"])
@pytest.mark.parametrize("price_basis", ["open_to_open", "close_to_close"])
def test_ticker_whose_last_bar_is_the_decision_date_has_no_label(kind, price_basis, haircut):
    closes = [[10, 20, 30], [11, 21, 30], [N, 22, 31], [N, 22, 33], [N, 23, 33], [N, 24, 35], [N, 25, 36]]
    panel = panel_of(closes, closes)
    settings = LabelSettings(kind=kind, price_basis=price_basis, delist_after_sessions=3, delist_haircut=haircut)
    labels = make_labels(panel, np.array([1, 4]), panel.traded[[1, 4]].T, settings)
    assert labels.end[:, 0].tolist()[0] == -1
    assert np.isnan(labels.label[0, 0])
    assert np.isnan(labels.forward_return[0, 0])
    assert (labels.end[1:, 0] > 1).all()


def test_pending_liquidation_leaves_the_label_unknown():
    closes = [[10], [11], [12], [N], [N]]
    panel = panel_of(closes, closes)
    labels = make_labels(
        panel, np.array([0, 3]), np.ones((1, 2), bool), LabelSettings(kind="up", delist_after_sessions=3)
    )
    assert labels.end[0, 0] == -1


def test_paused_ticker_is_valued_when_trading_resumes():
    closes = [[10], [11], [12], [N], [N], [15], [16]]
    panel = panel_of(closes, closes)
    labels = make_labels(
        panel, np.array([0, 3]), np.ones((1, 2), bool), LabelSettings(kind="up", delist_after_sessions=3)
    )
    assert labels.forward_return[0, 0] == pytest.approx(15 / 11 - 1)
    assert labels.end[0, 0] == 5


def test_ticker_liquidated_inside_the_horizon_is_not_bought_again():
    closes = [[10], [11], [N], [N], [N], [40], [50], [60]]
    panel = panel_of(closes, closes)
    labels = make_labels(
        panel, np.array([0, 6]), np.ones((1, 2), bool), LabelSettings(kind="up", delist_after_sessions=3)
    )
    assert labels.forward_return[0, 0] == pytest.approx(0.0)
    assert labels.end[0, 0] == 4


def test_above_median_is_known_with_the_last_return_of_the_date():
    closes = [[10, 10, 10], [10, 10, 10], [11, 12, 10], [11, 13, N], [11, 13, N], [11, 13, N]]
    panel = panel_of(closes, closes)
    eligible = np.array([[True, False]] * 3)
    settings = LabelSettings(delist_after_sessions=3)
    labels = make_labels(panel, np.array([0, 2]), eligible, settings)
    assert labels.label[:, 0].tolist() == [0.0, 1.0, 0.0]
    assert labels.end[:, 0].tolist() == [5, 5, 5]
    # one session earlier nobody knew whether C was dead, hence not the median either
    cut = make_labels(panel.until(panel.dates[4]), np.array([0, 2]), eligible, settings)
    assert (cut.end[:, 0] == -1).all()
    assert np.isnan(cut.label[:, 0]).all()


def test_only_eligible_rows_enter_the_median():
    closes = [[10, 10, 10], [10, 10, 10], [11, 12, 90], [11, 12, 90]]
    panel = panel_of(closes, closes)
    eligible = np.array([[True, True], [True, True], [False, False]])
    labels = make_labels(panel, np.array([0, 2]), eligible, LabelSettings())
    assert labels.label[:2, 0].tolist() == [0.0, 1.0]
    assert np.isnan(labels.label[2, 0])


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"kind": "down"}, "labels.kind"), ({"price_basis": "close"}, "labels.price_basis"), ({"horizon": 0}, "horizon")],
)
def test_unknown_label_settings_raise_an_error(settings, words):
    with pytest.raises(InputError, match=words):
        LabelSettings(**settings)


# -- other kinds, against plain definitions ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def market():
    """Forty names over two years of weeks, some of which list late or die."""
    prices = load_prices(
        source="simulated",
        seed=9,
        n_tickers=40,
        start="2012-01-01",
        end="2014-06-30",
        listing_fraction=0.3,
        delisting_fraction=0.3,
    )
    panel = prices.panel()
    decisions = np.searchsorted(panel.dates, decision_dates(panel.dates[0], panel.dates[-1]))
    return panel, decisions, panel.traded[decisions].T & (np.arange(len(decisions)) > 20)


def labels_of(market, kind, **settings):
    return make_labels(*market, LabelSettings(kind=kind, **settings))


@pytest.mark.parametrize("horizon", [1, 4, 52])
def test_return_label_equals_the_forward_return(market, horizon):
    labels = labels_of(market, "return", horizon=horizon)
    known = labels.end >= 0
    assert known.any()
    np.testing.assert_array_equal(labels.label[known], labels.forward_return[known])
    panel, decisions, _ = market
    ticker, k = np.argwhere(known)[0]
    entry, leave = decisions[k] + 1, decisions[k + horizon] + 1
    assert panel.traded[[entry, leave], ticker].all()
    assert labels.label[ticker, k] == panel.open[leave, ticker] / panel.open[entry, ticker] - 1


@pytest.mark.parametrize("horizon", [1, 13])
def test_label_is_not_known_before_its_horizon_ends(market, horizon):
    panel, decisions, _ = market
    for kind in LABELS:
        labels = labels_of(market, kind, horizon=horizon)
        for k in range(len(decisions)):
            rows = np.flatnonzero(labels.end[:, k] >= 0)
            over = decisions[k + horizon] + 1 if k + horizon < len(decisions) else len(panel.dates)
            early = rows[labels.end[rows, k] < over]
            # only a name that died inside the horizon is settled before it is over
            assert not panel.traded[:, early][[labels.end[t, k] for t in early], range(len(early))].any()
            if LABELS[kind].whole_date:
                assert len(set(labels.end[rows, k].tolist())) <= 1


def test_terciles_are_of_equal_size_and_ordered(market):
    labels = labels_of(market, "terciles")
    for k in range(21, len(market[1]) - 3):
        rows = np.isfinite(labels.label[:, k])
        counts = np.bincount(labels.label[rows, k].astype(int), minlength=3)
        assert counts.max() - counts.min() <= 1
        means = [labels.forward_return[rows, k][labels.label[rows, k] == third].mean() for third in range(3)]
        assert means == sorted(means)


def test_residual_label_equals_market_model_residual(market):
    panel, decisions, eligible = market
    labels = labels_of(market, "residual", estimation_window=30)
    returns = period_returns(panel, decisions)
    index = np.array(
        [np.nanmean(np.where(e & np.isfinite(r), r, np.nan)) if (e & np.isfinite(r)).any() else np.nan
         for e, r in zip(eligible.T, returns.T, strict=True)]
    )  # fmt: skip
    k = 80
    rows = np.flatnonzero(labels.end[:, k] >= 0)
    assert len(rows) > 20
    mean = labels.forward_return[rows, k].mean()
    for ticker in rows:
        own, market_ = returns[ticker, k - 29 : k + 1], index[k - 29 : k + 1]
        pair = np.isfinite(own) & np.isfinite(market_)
        beta = np.cov(own[pair], market_[pair])[0, 1] / np.var(market_[pair], ddof=1) if pair.sum() >= 15 else 1.0
        expected = labels.forward_return[ticker, k] - beta * mean
        assert labels.label[ticker, k] == pytest.approx(expected, abs=1e-12)


def test_volatility_scaled_label_uses_trailing_standard_deviation(market):
    panel, decisions, _ = market
    labels = labels_of(market, "volatility_scaled", estimation_window=30, horizon=4)
    returns = period_returns(panel, decisions)
    checked = 0
    for ticker, k in np.argwhere(labels.end >= 0)[::53]:
        own = returns[ticker, max(k - 29, 0) : k + 1]
        own = own[np.isfinite(own)]
        if len(own) < 15:
            assert np.isnan(labels.label[ticker, k])
            continue
        expected = labels.forward_return[ticker, k] / (own.std(ddof=1) * 2)
        assert labels.label[ticker, k] == pytest.approx(expected, rel=1e-12)
        checked += 1
    assert checked > 20


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("horizon", [1, 5])
def test_labels_do_not_depend_on_prices_after_they_are_known(market, kind, horizon):
    panel, decisions, eligible = market
    labels = labels_of(market, kind, horizon=horizon)
    for cut in (300, 401):
        days = decisions[decisions <= cut]
        shorter = panel.until(panel.dates[cut])
        columns = [panel.tickers.index(ticker) for ticker in shorter.tickers]
        again = make_labels(shorter, days, eligible[columns][:, : len(days)], LabelSettings(kind=kind, horizon=horizon))
        whole = labels.end[columns][:, : len(days)]
        known = (whole >= 0) & (whole <= cut)
        assert known.any()
        np.testing.assert_array_equal(again.end >= 0, known)
        before, after = labels.label[columns][:, : len(days)], again.label
        assert before[known].tobytes() == after[known].tobytes()


@pytest.mark.parametrize("settings", [{"horizon": 261}, {"estimation_window": 3}, {"kind": "tercile"}])
def test_label_settings_out_of_range_raise_an_error(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        LabelSettings(**settings)
