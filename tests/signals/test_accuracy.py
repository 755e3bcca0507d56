from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.tools import add_constant

from signals.common.errors import InputError
from signals.evaluation.forecast_accuracy import (
    coverage,
    diebold_mariano,
    directional_accuracy,
    information_coefficient,
    mean_absolute_error,
    pinball_loss,
    root_mean_squared_error,
    skill,
)
from signals.evaluation.long_run_variance import cosine_count, cosine_variance
from signals.forecasting.comparison import comparison_table


@pytest.fixture
def predictions():
    rng = np.random.default_rng(6)
    truth = np.cumsum(rng.normal(size=90))
    return truth, truth + rng.normal(size=90), truth + 1.3 * rng.normal(size=90)


def test_errors_and_skill(predictions):
    truth, y_pred, reference = predictions
    assert mean_absolute_error(truth, y_pred) == pytest.approx(np.mean(np.abs(truth - y_pred)))
    assert root_mean_squared_error(truth, y_pred) == pytest.approx(np.sqrt(np.mean((truth - y_pred) ** 2)))
    expected = 1 - np.mean((truth - y_pred) ** 2) / np.mean((truth - reference) ** 2)
    assert skill(truth, y_pred, reference) == pytest.approx(expected)
    assert skill(truth, reference, reference) == 0
    assert skill(truth, truth, reference) == 1
    assert np.isnan(skill(truth, y_pred, truth))
    unknown = np.where(np.arange(90) < 80, truth, np.nan)
    assert skill(unknown, y_pred, reference) == skill(truth[:80], y_pred[:80], reference[:80])


@pytest.mark.parametrize(("loss", "power"), [("squared", 2), ("absolute", 1)])
def test_one_step_diebold_mariano_is_a_paired_t_test(predictions, loss, power):
    """With one step the small-sample correction makes the statistic Student's, exactly."""
    truth, y_pred, reference = predictions
    paired = stats.ttest_rel(np.abs(truth - y_pred) ** power, np.abs(truth - reference) ** power)
    found = diebold_mariano(truth, y_pred, reference, loss=loss)
    assert found.statistic == pytest.approx(paired.statistic, rel=1e-12)
    assert found.p_value == pytest.approx(paired.pvalue, rel=1e-12)
    turned = diebold_mariano(truth, reference, y_pred, loss=loss)
    assert (turned.statistic, turned.p_value) == pytest.approx((-found.statistic, found.p_value))


def test_diebold_mariano_by_the_formula_of_the_papers():
    d = np.array([0.4, 0.5, 0.3, -0.1, -0.3, -0.2, 0.3, 0.6, 0.8, 0.5])
    n, h = len(d), 3
    # squared losses of 1 + d and 1
    found = diebold_mariano(np.zeros(n), np.sqrt(1 + d), np.ones(n), steps=h)
    c = d - d.mean()
    gamma = [np.sum(c[k:] * c[: n - k]) / n for k in range(h)]
    statistic = d.mean() / np.sqrt((gamma[0] + 2 * sum(gamma[1:])) / n)
    statistic *= np.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n)
    assert found.statistic == pytest.approx(statistic, rel=1e-12)
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(statistic), n - 1), rel=1e-12)


def test_negative_long_run_variance_falls_back_to_bartlett_weights():
    d = np.tile([0.6, -0.4], 10)  # neighbours cancel: the usual estimate is below zero
    found = diebold_mariano(np.zeros(20), np.sqrt(1 + d), np.ones(20), steps=2)
    c = d - d.mean()
    variance = (np.sum(c * c) + np.sum(c[1:] * c[:-1])) / 20  # Bartlett's weight of the first lag is one half
    statistic = d.mean() / np.sqrt(variance / 20) * np.sqrt((20 + 1 - 4 + 2 / 20) / 20)
    assert found.statistic == pytest.approx(statistic, rel=1e-12)


def test_diebold_mariano_has_nominal_size_for_overlapping_forecasts():
    rng = np.random.default_rng(0)
    right, naive = 0, 0
    for _ in range(400):
        shocks = rng.normal(size=(2, 83))
        y_pred, reference = (
            np.convolve(e, np.ones(4), mode="valid") for e in shocks
        )  # errors four steps ahead overlap
        right += diebold_mariano(np.zeros(80), y_pred, reference, steps=4).p_value < 0.05
        naive += diebold_mariano(np.zeros(80), y_pred, reference, steps=1).p_value < 0.05
    assert 0.02 < right / 400 < 0.10
    assert naive / 400 > 0.15


def test_diebold_mariano_of_several_series_is_that_of_their_mean_loss(predictions):
    truth, y_pred, reference = predictions
    wide = [np.column_stack([x, 2 * x[::-1]]) for x in predictions]
    loss = [((wide[0] - x) ** 2).mean(axis=1) for x in wide[1:]]
    expected = stats.ttest_rel(*loss)
    assert diebold_mariano(*wide).statistic == pytest.approx(expected.statistic, rel=1e-12)
    assert np.isnan(diebold_mariano(truth, y_pred, y_pred).p_value)
    assert np.isnan(diebold_mariano(truth[:2], y_pred[:2], reference[:2]).p_value)


@pytest.mark.parametrize("steps", [1, 4])
def test_correlations_and_their_t(predictions, steps):
    truth, y_pred, _ = predictions
    rounded = np.round(y_pred)  # ties
    assert information_coefficient(truth, rounded).value == pytest.approx(stats.pearsonr(truth, rounded).statistic)
    assert information_coefficient(truth, rounded, rank=True).value == pytest.approx(
        stats.spearmanr(truth, rounded).statistic
    )
    fit = OLS(truth, add_constant(y_pred)).fit()
    x = y_pred - y_pred.mean()
    count = cosine_count(90, steps)
    error = np.sqrt(90 * cosine_variance(x * fit.resid, count)) / (x @ x)
    found = information_coefficient(truth, y_pred, steps=steps)
    assert (found.t, found.df) == (pytest.approx(fit.params[1] / error, rel=1e-9), count)
    assert np.isnan(information_coefficient(truth, np.full(90, 0.1)).value)
    few = information_coefficient(truth[: 4 * steps - 1], y_pred[: 4 * steps - 1], steps=steps)
    assert np.isfinite(few.value)
    assert np.isnan(few.t)
    assert few.df == 0


def test_direction_pinball_and_coverage():
    assert directional_accuracy([0.0, 0, 0, 0], [1.0, -1, 1, 0], [2.0, -3, -1, 1]) == (1 + 1 + 0 + 0.5) / 4
    truth = np.random.default_rng(2).normal(size=4000)
    levels = (0.1, 0.5, 0.9)
    right = np.broadcast_to(stats.norm.ppf(levels), (4000, 3))
    assert pinball_loss(truth, right, levels) < min(pinball_loss(truth, right + x, levels) for x in (-0.2, 0.2))
    np.testing.assert_allclose(list(coverage(truth, right, levels).values()), levels, atol=0.02)
    with pytest.raises(InputError, match=r"expected forecasts of shape \(4000, 3\)"):
        pinball_loss(truth, right[:, :2], levels)


# -- the table ---------------------------------------------------------------------------------------------------------


def frames(predictions, *, horizon=1, levels=()):
    """Forecasts and actual values as a run writes them; `predictions` has arrays (seeds, n, horizon, series)."""
    rng = np.random.default_rng(9)
    n, names = 24, ("a", "b")
    dates = pd.date_range("2020-01-31", periods=n, freq="ME")
    values = np.cumsum(rng.normal(size=(n + horizon, 2)), axis=0) * [1.0, 10.0]
    index = pd.MultiIndex.from_product([dates, range(1, horizon + 1), names], names=["date", "step", "series"])
    actual = np.stack([values[1 + h : n + 1 + h] for h in range(horizon)], axis=1)
    last = np.repeat(values[:n, None], horizon, axis=1)
    actuals = pd.DataFrame({"actual": actual.ravel(), "last": last.ravel()}, index=index).reset_index()
    actuals["target_date"] = actuals["date"] + pd.Timedelta(days=31) * actuals["step"]
    parts = []
    for model, make in predictions.items():
        for seed, made in enumerate(make(actual, last)):
            for level, shift in levels if model == "network" and levels else [(np.nan, 0.0)]:
                frame = pd.DataFrame({"forecast": made.ravel() + shift}, index=index).reset_index()
                parts.append(frame.assign(model=model, seed=seed, level=level, fold=0))
    return pd.concat(parts, ignore_index=True), actuals, actual, last


def noisy(size):
    def make(actual, last):
        rng = np.random.default_rng(1)
        return [actual + size * rng.normal(size=actual.shape) * [1.0, 10.0] for _ in range(3)]

    return make


MODELS = {"network": noisy(0.5), "persistence": lambda actual, last: [last]}


def test_table_has_the_value_of_each_measure():
    forecasts, actuals, actual, last = frames(MODELS)
    found = comparison_table(forecasts, actuals, parameters={"network": 1781}, metric="mae", units={"b": 10.0})
    network = found.table.set_index("model").loc["network"]
    predictions = forecasts[forecasts["model"] == "network"]
    seeds = [predictions.loc[predictions["seed"] == s, "forecast"].to_numpy().reshape(24, 1, 2) for s in range(3)]
    units = np.array([1.0, 10.0])
    each = [np.abs((actual - s) / units).mean() for s in seeds]
    naive = np.abs((actual - last) / units).mean()
    mean = np.mean(seeds, axis=0)
    assert (network["parameters"], network["seeds"], network["seeds_better"]) == (1781, 3, 1.0)
    assert network["mae"] == pytest.approx(np.mean(each))
    assert network["mae_spread"] == pytest.approx(np.std(each, ddof=1))
    assert network["ensemble_mae"] == pytest.approx(np.abs((actual - mean) / units).mean())
    assert network["ratio"] == pytest.approx(np.mean(each) / naive)
    rmse = np.mean([np.sqrt((((actual - s) / units) ** 2).mean(axis=0)).mean() for s in seeds])
    assert network["rmse"] == pytest.approx(rmse)
    test = diebold_mariano(actual / units, mean / units, last / units, loss="absolute")
    assert (network["dm_statistic"], network["dm_p"]) == pytest.approx((test.statistic, test.p_value))
    change = [stats.pearsonr((actual - last)[:, 0, j], (mean - last)[:, 0, j]).statistic for j in range(2)]
    assert network["ic_change"] == pytest.approx(np.mean(change))
    naive_row = found.table.set_index("model").loc["persistence"]
    assert (naive_row["ratio"], naive_row["skill"], naive_row["direction"]) == (1.0, 0.0, 0.5)
    assert np.isnan([naive_row["dm_p"], naive_row["ic_change"], naive_row["mae_spread"]]).all()
    second = found.by_series.set_index(["series", "model"]).loc[("b", "network")]
    t = information_coefficient((actual - last)[:, 0, 1], (mean - last)[:, 0, 1]).t
    assert second["ic_change_t"] == pytest.approx(t)


def test_correlation_of_too_few_pairs_is_marked():
    """24 origins and 7 steps ahead: each of the later steps has fewer than four dates a step."""
    forecasts, actuals, *_ = frames(MODELS, horizon=7)
    mine = [frame[frame["series"] == "a"] for frame in (forecasts, actuals)]
    one = comparison_table(*mine)
    step = one.by_step[one.by_step["model"] == "network"].set_index("step")
    assert step["ic_change_df"].tolist() == [3, 3, 3, 3, 2, 2, 0]
    assert np.isfinite(step["ic_change_t"]).tolist() == [True] * 6 + [False]
    seventh = comparison_table(*(frame[frame["step"] == 7] for frame in mine)).markdown()
    assert seventh.count("(too few independent dates)") == 1
    assert "equal-weighted cosine estimator" in seventh
    assert "(too few independent dates)" not in one.markdown()  # a mean over steps has no t statistic anyway


def test_parts_of_the_table_are_tables_of_the_parts():
    forecasts, actuals, *_ = frames(MODELS, horizon=2)
    late = np.sort(forecasts["date"].unique())[12]
    forecasts["fold"] = (forecasts["date"] >= late).astype(int)
    whole = comparison_table(forecasts, actuals)
    for frame, column, value in (
        (whole.by_fold, "fold", 1),
        (whole.by_step, "step", 2),
        (whole.by_series, "series", "b"),
    ):
        cut, of = forecasts, actuals
        if column == "fold":
            cut, of = cut[cut["fold"] == 1], of[of["date"] >= late]
        else:
            cut, of = (x[x[column] == value] for x in (cut, of))
        alone = comparison_table(cut, of).table
        part = frame[frame[column] == value].drop(columns=column).reset_index(drop=True)
        pd.testing.assert_frame_equal(part, alone)
    assert list(whole.spans.values())[1].startswith(f"{pd.Timestamp(late) + pd.Timedelta(days=31):%Y-%m-%d} to ")


def test_of_returns_moves_are_measured_from_zero():
    models = MODELS | {"mean": lambda actual, last: [np.full_like(actual, 0.1)]}
    forecasts, actuals, actual, _ = frames(models)
    found = comparison_table(forecasts, actuals, reference="mean")
    network = found.table.set_index("model").loc["network"]
    assert network["ic_change"] == network["ic_level"]
    predictions = forecasts[forecasts["model"] == "network"].groupby(["date", "series"])["forecast"].mean()
    right = np.sign(predictions.to_numpy()) == np.sign(actual[:, 0].ravel())
    assert network["direction"] == pytest.approx(right.mean())
    assert found.table.set_index("model").loc["mean", "ratio"] == 1
    assert "| / mean | skill | ensemble | DM (p) | IC (t) | rank IC | direction |" in found.markdown()


def test_quantile_measures_ignore_unknown_actual_values():
    forecasts, actuals, actual, _ = frames(MODELS, levels=[(0.25, -0.5), (0.5, 0.0), (0.75, 0.5)])
    actuals.loc[actuals.index[-2:], "actual"] = np.nan
    found = comparison_table(forecasts, actuals).table.set_index("model").loc["network"]
    points = forecasts[forecasts["level"].isna() | (forecasts["level"] == 0.5)]
    assert found["rmse"] == comparison_table(points, actuals).table["rmse"][0]
    predictions = forecasts[forecasts["model"] == "network"].groupby("level")["forecast"]
    layers = [g.to_numpy().reshape(3, 24, 1, 2).mean(axis=0)[:-1] for _, g in predictions]
    assert found["pinball"] == pytest.approx(pinball_loss(actual[:-1], np.stack(layers, axis=-1), (0.25, 0.5, 0.75)))
    assert set(found["coverage"]) == {0.25, 0.5, 0.75}


def test_table_is_printed_and_written_whole():
    forecasts, actuals, *_ = frames(MODELS, horizon=2)
    found = comparison_table(forecasts, actuals, parameters={"network": 1781, "persistence": 0})
    lines = found.markdown().splitlines()
    assert lines[0].startswith("| model | parameters | RMSE | / persistence | skill | ensemble | DM (p) |")
    assert lines[2].startswith("| network | 1,781 | ")
    assert " ± " in lines[2]
    assert len({line.count("|") for line in lines[:4]}) == 1
    assert any(line.startswith("| RMSE by series | a | b |") for line in lines)
    assert any(line.startswith("| RMSE by step | 1 | 2 |") for line in lines)
    assert "by fold" not in found.markdown()
    whole = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert whole["models"][0]["rmse"] == found.table["rmse"][0]
    assert whole["models"][1]["dm_p"] is None
    assert [row["series"] for row in whole["series"]] == ["a", "a", "b", "b"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, a: (f[f["model"] != "persistence"], a), "expected forecasts of 'persistence' to compare with"),
        (lambda f, a: (f.drop(f.index[3]), a), "expected one forecast of network for each of 48"),
        (lambda f, a: (pd.concat([f, f.iloc[:1]]), a), "expected one forecast of network for each of 48"),
        (lambda f, a: (f.assign(forecast=np.nan), a), "expected finite forecasts; found NaN or infinity from network"),
        (lambda f, a: (f, pd.concat([a, a.iloc[:1]])), "expected one actual value"),
    ],
)
def test_inconsistent_frames_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        comparison_table(*change(*frames(MODELS)[:2]))
    with pytest.raises(InputError, match="expected a metric among rmse, mae"):
        comparison_table(*frames(MODELS)[:2], metric="mape")
    with pytest.raises(InputError, match="expected units of a, b; found c"):
        comparison_table(*frames(MODELS)[:2], units={"c": 1.0})


def test_names_are_escaped_in_table_cells():
    forecasts, actuals, *_ = frames(MODELS, horizon=2)
    first = actuals["series"].iloc[0]
    for frame in (forecasts, actuals):
        frame["series"] = frame["series"].replace(first, "a|b\n<i>")
    lines = [line for line in comparison_table(forecasts, actuals).markdown().splitlines() if "a\\|b" in line]
    assert len(lines) == 1
    assert "a\\|b \\<i>" in lines[0]  # as Markdown escapes it, and no HTML entity


def test_the_point_forecast_of_quantiles_is_the_middle_one():
    forecasts, actuals, *_ = frames(MODELS)
    persistence = forecasts[forecasts["model"] == "persistence"]
    predictions = [persistence.assign(model="q", level=level, forecast=persistence["forecast"] + add)
            for level, add in ((0.05, -1.0), (0.1, 0.0), (0.5, 7.0))]  # fmt: skip
    table = comparison_table(pd.concat([persistence, *predictions], ignore_index=True), actuals).table.set_index(
        "model"
    )
    assert table.loc["q", "rmse"] == table.loc["persistence", "rmse"]
