"""Audit check `baseline-attribution`: skill of padded tickers, the last return and the market's direction is found."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rnn_strategies as rs
from rnn_strategies.audit import audit
from rnn_strategies.audit.baseline_attribution import PREDICTORS, explained
from rnn_strategies.audit.check_result import Status
from rnn_strategies.audit.score_skill import beyond, measure
from signals.evaluation.cross_section_metrics import auc_by_date
from signals.evaluation.long_run_variance import mean_interval
from signals.evaluation.naive_predictors import NAIVE_PREDICTORS, more_naive_scores, naive_scores
from signals.evaluation.pooled_metrics import area_under_curve, pooled_auc
from signals.models.custom import CustomModel
from signals.walk_forward.panel_walk_forward import compute_signals, prepare


@pytest.fixture
def worlds(support):
    import audit_worlds

    return audit_worlds


def frame_of(rng, dates, names):
    days = pd.date_range("2015-01-02", periods=dates, freq="W-FRI")
    return pd.MultiIndex.from_product([days, [f"N{i:03d}" for i in range(names)]], names=["date", "ticker"])


# -- measures


@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_the_pooled_area_is_sklearns(seed, n, levels):
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    index = frame_of(rng, 3, n)
    score = pd.Series(rng.integers(0, levels, len(index)).astype(float), index=index)
    outcome = pd.Series(rng.integers(0, 2, len(index)).astype(float), index=index)
    outcome.iloc[:2] = [0.0, 1.0]
    expected = roc_auc_score(outcome, score)
    assert pooled_auc(score, outcome, horizon=1).mean == pytest.approx(expected, abs=1e-12)
    assert area_under_curve(score, outcome) == pytest.approx(expected, abs=1e-12)


def test_pooled_interval_covers_with_dependence_within_dates():
    # all tickers of a date go up together half the time: rows are no evidence of their own
    rng = np.random.default_rng(0)
    index = frame_of(rng, 60, 40)
    covered, widths = 0, []
    for _ in range(200):
        day = np.repeat(rng.normal(0, 1, 60), 40)
        outcome = pd.Series((day + rng.normal(0, 0.5, len(index)) > 0).astype(float), index=index)
        score = pd.Series(np.repeat(rng.normal(0, 1, 60), 40) + rng.normal(0, 0.5, len(index)), index=index)
        area = pooled_auc(score, outcome, horizon=1)
        covered += area.low <= 0.5 <= area.high
        widths.append(area.high - area.low)
    assert 0.85 <= covered / 200 <= 0.99
    assert np.mean(widths) > 0.15  # rows for themselves would say 0.05


def test_one_class_alone_has_no_area():
    index = frame_of(None, 2, 3)
    ones = pd.Series(1.0, index=index)
    assert np.isnan(pooled_auc(ones, ones, horizon=1).mean)
    assert np.isnan(area_under_curve(ones, ones))


@pytest.mark.parametrize("names", [8, 200])
def test_residual_of_a_predictor_is_zero_and_of_noise_is_noise(names):
    rng = np.random.default_rng(3)
    index = frame_of(rng, 50, names)
    known = pd.DataFrame({"a": rng.normal(size=len(index)), "b": rng.normal(size=len(index))}, index=index)
    fold = pd.Series(0, index=index)
    residual, share = beyond(np.exp(known["a"]), known, fold)  # ranks do not see the exponential
    assert share == pytest.approx(1.0)
    assert np.abs(residual).max() < 1e-9
    noise = pd.Series(rng.normal(size=len(index)), index=index)
    residual, share = beyond(noise, known, fold)
    assert share < 0.05
    assert np.corrcoef(residual, noise)[0, 1] > 0.85
    residual, share = beyond(known["a"] + noise, known, fold)
    assert 0.3 < share < 0.7
    assert abs(np.corrcoef(residual, known["a"])[0, 1]) < 0.1


# -- predictors


def small_world(rng, tickers=7, dates=40):
    returns = rng.normal(0, 0.03, (tickers, dates))
    returns[2, 20:] = 0.0
    returns[3, 5:9] = np.nan
    days = np.datetime64("2015-01-02") + 7 * np.arange(dates).astype("timedelta64[D]")
    eligible = rng.random((tickers, dates)) < 0.8
    ticker, end = (array.astype(np.int32) for array in np.nonzero(np.isfinite(returns)))
    label = (rng.random(60) < 0.5).astype(float)
    return returns, days, eligible, ticker, end, label, rng.integers(0, 20, 60).astype(np.int32)


def test_more_predictors_equal_a_plain_reference():
    returns, days, eligible, ticker, end, label, date = small_world(np.random.default_rng(0))
    scores = more_naive_scores(
        returns, days, eligible, ticker, end, lookback=6, training_label=label, training_date=date
    )
    months = pd.DatetimeIndex(days).month
    for row, (i, k) in enumerate(zip(ticker, end, strict=True)):
        window = returns[i, max(k - 5, 0) : k + 1]
        window = window[np.isfinite(window)]
        assert scores["was_zero"][row] == pytest.approx((window == 0).mean())
        assert scores["last_sign"][row] == np.sign(returns[i, k])
        of_date = returns[eligible[:, k], k]
        assert scores["market"][row] == pytest.approx(np.nanmean(of_date)) or not np.isfinite(of_date).any()
        same = label[months[date] == months[k]]
        assert scores["month_mean"][row] == pytest.approx(same.mean() if len(same) else label.mean())


@given(st.integers(0, 1000), st.integers(21, 38))
@settings(max_examples=25, deadline=None)
def test_more_predictors_do_not_depend_on_later_dates(seed, cut):
    rng = np.random.default_rng(seed)
    returns, days, eligible, ticker, end, label, date = small_world(rng)
    kept = end < cut
    other, later = returns.copy(), eligible.copy()
    other[:, cut:] = rng.normal(0, 5, other[:, cut:].shape)
    later[:, cut:] = ~later[:, cut:]
    arguments = {"lookback": 6, "training_label": label, "training_date": date}
    one = more_naive_scores(returns, days, eligible, ticker[kept], end[kept], **arguments)
    two = more_naive_scores(other, days, later, ticker[kept], end[kept], **arguments)
    for name, values in one.items():
        assert values.tobytes() == two[name].tobytes()


# -- verdicts, simulated


MODEL = CustomModel("sklearn.linear_model:LogisticRegression", {"C": 0.01}, lookback=8)


def scored(prices, model=MODEL, *, start="2012-07-06", kind="above_median", **more):
    settings = {
        "walk_forward": rs.WalkForward(test_start=start, validation="13W", test="1Y"),
        "universe": rs.UniverseFilters(min_history=60),
        "labels": rs.LabelSettings(kind=kind),
        "model": model,
    } | more
    prepared = prepare(prices, **settings)
    result = compute_signals(prices, training=rs.TrainingSettings(), seeds=[0], artifacts="unused", **settings)
    return prepared.data, result


def judged(data, result, **more):
    return explained(result.signals, result.labels, data, folds=result.folds, **({"lookback": 8, "horizon": 1} | more))


@pytest.fixture(scope="module")
def quiet():
    """Nothing can be predicted here."""
    prices = rs.load_prices(
        source="simulated",
        seed=11,
        n_tickers=80,
        start="2010-01-01",
        end="2014-12-31",
        signal_strength=0.0,
        delisting_fraction=0.4,
    )
    return prices, *scored(prices)


def replaced(result, score):
    """The same rows with another score."""
    signals = result.signals.copy()
    signals["score"] = score
    return replace(result, signals=signals)


def wide(data, values):
    """Values by (ticker, date), as a frame's column."""
    table = pd.DataFrame(values.T, index=data.dates.astype("datetime64[ns]"), columns=list(data.panel.tickers))
    return table.rename_axis("date").rename_axis("ticker", axis=1).stack()


def test_no_skill_without_a_pattern(quiet):
    _, data, result = quiet
    verdict = judged(data, result)
    assert verdict.status is Status.PASSED
    assert "no significant skill" in verdict.finding


def test_the_table_repeats_the_folds_file_to_the_digit(quiet):
    _, data, result = quiet
    verdict = judged(data, result)
    first = result.folds.groupby("fold").first()
    assert len(verdict.table) == len(first) >= 2
    assert all(line.keys() == verdict.table[0].keys() for line in verdict.table)
    from rnn_strategies.audit.baseline_attribution import WORDS

    for line in verdict.table:
        fold = first.loc[int(line["fold"])]
        for name in NAIVE_PREDICTORS:
            auc, rank_ic, _ = line[WORDS[name]].split(" / ")
            assert auc == f"{fold[f'auc_{name}']:.3f}"
            assert rank_ic == f"{fold[f'rank_ic_{name}']:+.3f}"
        auc, rank_ic, _ = line["score: AUC / IC / pooled"].split(" / ")
        assert (auc, rank_ic) == (f"{fold['auc_ensemble']:.3f}", f"{fold['rank_ic_ensemble']:+.3f}")
    assert len(PREDICTORS) == 8


@pytest.fixture(scope="module")
def planted():
    """A pattern that is visible in a window and not in its last return alone."""
    prices = rs.load_prices(
        source="simulated", seed=4, n_tickers=120, start="2010-01-01", end="2014-12-31", signal_strength=1.5
    )
    return prices, *scored(prices)


def test_skill_of_a_window_pattern_remains_beyond_naive_predictors(planted):
    _, data, result = planted
    verdict = judged(data, result)
    assert verdict.status is Status.PASSED
    assert "Skill remains beyond naive predictors" in verdict.finding


def test_no_skill_of_the_last_return_remains(planted):
    _, data, result = planted
    last = wide(data, -data.returns).reindex(result.signals.index)
    verdict = judged(data, replaced(result, last))
    assert verdict.status is Status.NOTED
    assert "beyond naive predictors" in verdict.finding
    assert dict(verdict.evidence)["variance of the score's ranks that they explain"] == "100%"


def test_score_with_skill_among_dates_only_is_noted(quiet):
    prices, _, _ = quiet
    data, result = scored(prices, kind="up")
    date = result.labels.index.get_level_values("date")
    good = result.labels["forward_return"].groupby(date).mean()
    rng = np.random.default_rng(0)
    dates = result.signals.index.get_level_values("date")
    score = good.reindex(dates).fillna(0.0).to_numpy() + rng.normal(0, 1e-3, len(dates))
    verdict = judged(data, replaced(result, score))
    assert verdict.status is Status.NOTED
    assert "comes from predicting dates, not tickers" in verdict.finding


def test_skill_from_padded_tickers_fails(worlds, quiet):
    prices, _, _ = quiet
    spans = {f"SIM{i:03d}": ("2010-01-01", f"201{1 + i % 3}-0{1 + i % 9}-10") for i in range(0, 80, 4)}
    dead = worlds.lived(prices, {name: span for name, span in spans.items() if name in prices.tickers})
    trees = CustomModel(
        "sklearn.tree:DecisionTreeClassifier",
        {"max_depth": 6, "min_samples_leaf": 100, "random_state": 0},
        lookback=8,
    )
    clean = judged(*scored(dead, trees, kind="up"))
    assert clean.status is Status.PASSED, clean.finding
    verdict = judged(*scored(worlds.padded(dead), trees, kind="up"))
    assert verdict.status is Status.FAILED
    assert " from stocks that did not trade" in verdict.finding
    # a predictor without any skill, but for the dead
    data, result = scored(worlds.padded(dead), kind="up")
    zeros = wide(data, np.where(data.returns == 0, -1.0, 0.0)).reindex(result.signals.index)
    noise = np.random.default_rng(1).normal(0, 0.1, len(zeros))
    verdict = judged(data, replaced(result, zeros + noise))
    assert verdict.status is Status.FAILED
    assert "was zero before" in dict(verdict.evidence)


def test_padded_tickers_that_lower_an_auc_are_noted(worlds, quiet):
    prices, _, _ = quiet
    dead = worlds.lived(prices, {f"SIM{i:03d}": ("2010-01-01", "2012-06-01") for i in range(0, 80, 4)})
    data, result = scored(worlds.padded(dead), kind="up")
    zeros = wide(data, np.where(data.returns == 0, 1.0, 0.0)).reindex(result.signals.index)
    noise = np.random.default_rng(1).normal(0, 0.1, len(zeros))
    verdict = judged(data, replaced(result, zeros + noise))
    assert verdict.status is Status.NOTED
    assert "delisted, halted or hardly trade" in verdict.finding


def test_no_known_outcome_is_skipped(quiet):
    _, data, result = quiet
    verdict = judged(data, replace(result, labels=result.labels.iloc[:0]))
    assert verdict.status is Status.SKIPPED


@pytest.mark.parametrize("kind", ["terciles", "return"])
def test_terciles_and_returns_are_evaluated(quiet, kind):
    prices, _, _ = quiet
    model = MODEL if kind == "terciles" else CustomModel("sklearn.linear_model:Ridge", lookback=8)
    verdict = judged(*scored(prices, model, kind=kind))
    assert verdict.status in (Status.PASSED, Status.NOTED)
    assert "unknown" not in dict(verdict.evidence)["the score"]


def test_without_a_folds_file_training_ends_before_the_first_score(quiet):
    _, data, result = quiet
    verdict = explained(result.signals, result.labels, data, lookback=8, horizon=1)
    assert verdict.status is Status.PASSED
    # ticker means change with the training slice, what is seen in the window does not
    with_folds = dict(judged(data, result).evidence)
    assert dict(verdict.evidence)["volatility of the window"] == with_folds["volatility of the window"]


def test_intervals_have_the_horizon_of_the_label(quiet):
    """Outcomes over 13 dates: the figures stay, the intervals are those of 13 overlapping dates."""
    _, data, result = quiet
    one, many = dict(judged(data, result).evidence), dict(judged(data, result, horizon=13).evidence)
    by_date = auc_by_date(result.signals["score"], result.labels["label"])
    auc = mean_interval(by_date, horizon=13)
    assert auc.df == len(by_date) // 26 > 2
    assert f"per-date AUC {auc.mean:.3f} ({auc.low:.3f} to {auc.high:.3f})" in many["the score"]
    assert one["the score"] != many["the score"]


def test_too_few_independent_dates_are_no_verdict(planted):
    _, data, result = planted
    dates = result.labels.index.get_level_values("date").nunique()
    verdict = judged(data, result, horizon=dates // 4 + 1)
    assert verdict.status is Status.SKIPPED
    assert verdict.finding.startswith("There are too few independent dates to distinguish skill from chance")
    assert (
        f"each outcome covers {dates // 4 + 1} decision dates and at least {4 * (dates // 4 + 1)} dates are needed"
        in (verdict.finding)
    )
    assert dict(verdict.evidence)["the score"].count("(too few independent dates)") == 3


def test_skill_too_good_to_be_true_needs_independent_dates(planted):
    """The audit's remark follows the interval that the label's horizon allows."""
    _, data, result = planted
    perfect = replaced(result, result.labels["forward_return"].reindex(result.signals.index).fillna(0.0))
    verdict = judged(data, perfect)
    observed = SimpleNamespace(signals=perfect)
    dates = result.labels.index.get_level_values("date").nunique()
    for horizon, remarked in ((1, True), (dates // 8, True), (dates // 4 + 1, False)):
        found = audit._flag_implausible_skill(verdict, observed, horizon=horizon, simulated=False)
        assert ("implausibly high" in found.finding) == remarked


# -- verdicts, real


@pytest.fixture(scope="module")
def delisted(shared_data):
    return rs.load_prices(
        source="files",
        path=shared_data / "us-stocks-with-delisted" / "daily.parquet",
        return_column="ret",
        on_bad="repair",
    )


TREES = CustomModel(
    "sklearn.tree:DecisionTreeClassifier",
    {"max_depth": 6, "min_samples_leaf": 200, "random_state": 0},
    lookback=8,
)


def test_padding_of_the_published_system_fails_and_its_auc_without_padding_is_shown(worlds, delisted):
    """Delisted tickers padded with zero returns, as `pct_change()` used to do: an AUC of 0.6 and more without skill."""
    options = {"start": "2016-03-04", "kind": "up", "universe": rs.UniverseFilters()}
    data, result = scored(worlds.padded(delisted), TREES, **options)
    verdict = judged(data, result)
    print(verdict.finding)
    whole = measure(result.signals["score"], result.labels["label"], result.labels["forward_return"], horizon=1)
    assert whole.pooled.mean > 0.65
    assert verdict.status is Status.FAILED
    assert f"pooled AUC of {whole.pooled.mean:.3f}" in verdict.finding
    assert "stocks that did not trade" in verdict.finding
    # the AUC without them, counted here by hand
    last = wide(data, data.returns).reindex(result.labels.index)
    alive = result.labels[last != 0.0]
    without = pooled_auc(result.signals["score"].reindex(alive.index), alive["label"], horizon=1)
    assert 0.47 < without.mean < 0.54
    assert f"pooled AUC {without.mean:.3f} (" in verdict.finding
    by_date = auc_by_date(result.signals["score"].reindex(alive.index), alive["label"]).mean()
    assert by_date < 0.55

    # the same model on the same tickers without padding has little skill, and the check passes
    verdict = judged(*scored(delisted, TREES, **options))
    print(verdict.finding)
    assert verdict.status is not Status.FAILED


def test_real_live_names_do_not_fail(shared_data):
    import pyarrow.parquet as pq

    path = shared_data / "us-stocks-daily" / "ohlcv_top600.parquet"
    names = sorted(set(pq.read_table(path, columns=["ticker"])["ticker"].to_pylist()))[::6]
    prices = rs.load_prices(source="files", path=path, on_bad="repair", tickers=names, start="2008-01-01")
    verdict = judged(*scored(prices, start="2011-01-07", kind="up"))
    print(verdict.finding)
    assert verdict.status is not Status.FAILED


def test_trivial_scores_keep_their_values():
    rng = np.random.default_rng(5)
    returns = rng.normal(0, 0.02, (4, 30))
    ticker, end = np.array([0, 1, 3], np.int32), np.array([29, 12, 20], np.int32)
    scores = naive_scores(
        returns,
        ticker,
        end,
        lookback=10,
        training_label=np.array([1.0, 0.0, 1.0]),
        training_ticker=np.array([0, 0, 1], np.int32),
    )
    for row, (i, k) in enumerate(zip(ticker, end, strict=True)):
        window = returns[i, k - 9 : k + 1]
        assert scores["mean_return"][row] == pytest.approx(window.mean())
        assert scores["volatility"][row] == pytest.approx(window.std(ddof=1))
    assert scores["ticker_mean"].tolist() == [0.5, 1.0, 2 / 3]
