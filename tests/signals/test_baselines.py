from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from signals.common.errors import InputError
from signals.forecasting.baselines import BASELINES, forecast_baselines, historical_quantiles, parse_baselines
from signals.forecasting.fold_history import FoldHistory
from signals.forecasting.lag_models import lag_features
from signals.forecasting.problem import Problem, SeriesFold
from signals.forecasting.series_table import SeriesTable

NAMES = {"seasonal": "seasonal(4)", "seasonal_mean": "seasonal_mean(4)", "arima": "arima(1)", "var": "var(3)"}


def make_problem(values, horizon=1, lookback=4, targets=()):
    values = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    dates = np.datetime64("2000-01-01", "D") + 7 * np.arange(len(values)).astype("timedelta64[D]")
    return Problem(SeriesTable(dates, values, tuple("xyz"[: values.shape[1]])), horizon, targets, lookback)


def make_fold(problem, *, test=30, validation=30):
    """Cut the origins as `Problem.folds` does: a slice's last period is known when the next slice begins."""
    begin = len(problem.table) - 1 - test
    purge = problem.horizon - 1
    train = range(problem.lookback - 1, begin - validation - purge)
    valid = range(begin - validation, begin - purge)
    return SeriesFold(0, train, valid, range(begin, begin + test), range(train.start, valid.stop))


def one(problem, name, fold=None, **options):
    (made,) = forecast_baselines(problem, fold or make_fold(problem), [name], **options)
    return made


def autoregression(n=260, seed=0, *, slope=0.8, noise=1.0):
    """Changes of x that carry on, and y that follows x one row later."""
    rng = np.random.default_rng(seed)
    change = np.zeros(n)
    for t in range(1, n):
        change[t] = slope * change[t - 1] + noise * rng.normal()
    x = np.cumsum(change)
    return np.column_stack([x, np.r_[0.0, x[:-1]] + 0.1 * rng.normal(size=n)])


def test_naive_baselines_by_hand():
    values = np.array([[1.0, 10], [3, 8], [2, 9], [6, 9], [7, 5], [5, 6], [9, 2], [8, 4]])
    problem = make_problem(values, horizon=2, lookback=1)
    fold = SeriesFold(0, range(2), range(2, 3), range(4, 6), range(3))
    # rows that may be learnt from: 0 to 4, the last of which origin 2 forecasts
    assert FoldHistory(problem, fold).rows == range(5)
    made = {x.name: x for x in forecast_baselines(problem, fold, ["persistence", "drift", "mean", "last_sign"])}
    assert made["persistence"].values.tolist() == [[[7, 5], [7, 5]], [[5, 6], [5, 6]]]
    assert made["drift"].values[0].tolist() == [[7 + 1.5, 5 - 1.25], [7 + 3.0, 5 - 2.5]]
    assert made["mean"].values[1].tolist() == [[19 / 5, 41 / 5]] * 2
    # changes one ahead of origins 0 to 2: 2, -1, 4 and -2, 1, 0; two ahead: 1, 3, 5 and -1, 1, -4
    np.testing.assert_allclose(made["last_sign"].values[0], [[7 + 7 / 3, 5 - 1], [7 + 3, 5 - 2]])
    np.testing.assert_allclose(made["last_sign"].values[1], [[5 - 7 / 3, 6 + 1], [5 - 3, 6 + 2]])
    assert [made[name].parameters for name in made] == [0, 2, 2, 4]


def test_seasonal_baselines_use_the_season_of_the_forecast_date():
    season = np.array([0.0, 5.0, -3.0])
    rows = np.arange(40)
    problem = make_problem(season[rows % 3] + rows // 3, horizon=5, lookback=3)
    fold = make_fold(problem, test=10, validation=6)
    last = one(problem, "seasonal(3)", fold).values
    mean = one(problem, "seasonal_mean(3)", fold).values
    truth = problem.actual(fold.test)
    known = np.isfinite(truth)
    lag = (np.arange(1, 6) - 1) // 3 + 1  # whole years to the last such season that is known at the origin
    np.testing.assert_allclose((truth - last)[known], np.broadcast_to(lag[:, None], truth.shape)[known])
    centred = (mean - season[(np.asarray(fold.test)[:, None] + np.arange(1, 6)) % 3][..., None]).ravel()
    assert np.ptp(centred) < 1  # a season's mean, whatever step it is reached by


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_forecasts_do_not_depend_on_rows_after_the_origin(name):
    values = autoregression(150, seed=4)
    later = values.copy()
    clean = make_problem(values, horizon=2, targets=(0,))
    fold = make_fold(clean, test=20, validation=20)
    cut = fold.test.start + 8
    later[cut + 1 :] = 1e3 * np.random.default_rng(1).normal(size=later[cut + 1 :].shape)
    poisoned = make_problem(later, horizon=2, targets=(0,))
    before, after = (one(p, NAMES.get(name, name), fold, lags=3) for p in (clean, poisoned))
    assert before.values[:9].tobytes() == after.values[:9].tobytes()
    assert before.parameters == after.parameters
    assert before.details == after.details
    if name not in ("mean", "seasonal_mean"):
        assert (before.values[9:] != after.values[9:]).any()


@pytest.mark.parametrize("name", ["ridge", "mlp", "gradient_boosting", "logistic", "arima"])
def test_first_test_origin_uses_its_own_row(name):
    """A fit may reach up to the first test origin's own row, and not one row further."""
    values = autoregression(150, seed=4)
    problem = make_problem(values)
    fold = make_fold(problem, test=20, validation=20)
    assert FoldHistory(problem, fold).rows.stop == fold.test.start + 1


@pytest.mark.parametrize("name", ["ridge", "mlp", "gradient_boosting"])
def test_models_on_lags_fit_an_autoregression(name):
    problem = make_problem(autoregression())
    fold = make_fold(problem)
    truth, said = problem.actual(fold.test), one(problem, name, fold, lags=3).values
    error, naive = (((truth - x) ** 2).mean(axis=(0, 1)) for x in (said, problem.last(fold.test)[:, None]))
    assert (error[0] < 0.6 * naive[0], error[1] < 0.5 * naive[1]) == (True, True)


def test_logistic_forecasts_the_direction():
    problem = make_problem(autoregression(slope=0.9))
    fold = make_fold(problem)
    last = problem.last(fold.test)[:, None]
    said, truth = one(problem, "logistic(2)", fold).values - last, problem.actual(fold.test) - last
    assert (np.sign(said) == np.sign(truth)).mean() > 0.8
    assert np.abs(said).max() <= np.abs(FoldHistory(problem, fold).moves(fold.both)).mean(axis=0).max()


def test_for_returns_the_sign_is_the_direction():
    values = np.diff(autoregression(slope=0.9), axis=0, prepend=0.0)
    problem = make_problem(values)
    fold = make_fold(problem)
    logistic, sign, plain = forecast_baselines(problem, fold, ["logistic(2)", "last_sign", "ridge(2)"], returns=True)
    usual = np.abs(FoldHistory(problem, fold, returns=True).values(range(fold.both.start + 1, fold.both.stop + 1)))
    np.testing.assert_allclose(sign.values[:, 0], np.sign(problem.last(fold.test)) * usual.mean(axis=0))
    assert (np.sign(logistic.values) == np.sign(problem.actual(fold.test))).mean() > 0.8
    assert plain.values.tobytes() == one(problem, "ridge(2)", fold).values.tobytes()
    said = historical_quantiles(problem, fold, (0.5,), returns=True)
    known = FoldHistory(problem, fold).values(range(fold.both.start + 1, fold.both.stop + 1))
    np.testing.assert_allclose(said[:, 0, :, 0], np.broadcast_to(np.median(known, axis=0), (30, 2)))


def test_ridge_equals_ridge_regression_of_scikit_learn():
    problem = make_problem(autoregression(), lookback=3)
    fold = make_fold(problem)
    made = one(problem, "ridge(3)", fold)
    kind, alpha = made.details[0].removeprefix("x: ").split(", alpha ")
    history, both = FoldHistory(problem, fold), np.asarray(fold.both)
    x = lag_features(history, both, 3)
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    z = (x - mean) / deviation
    y = problem.actual(both)[:, 0, 0] - (problem.last(both)[:, 0] if kind == "change" else 0)
    slope = np.linalg.solve(z.T @ z + float(alpha) * np.eye(z.shape[1]), z.T @ (y - y.mean()))
    ahead = (lag_features(history, fold.test, 3) - mean) / deviation @ slope + y.mean()
    ahead += problem.last(fold.test)[:, 0] if kind == "change" else 0
    np.testing.assert_allclose(made.values[:, 0, 0], ahead, rtol=1e-3)  # alpha is written with two digits
    assert made.parameters == 2 * (6 + 1)


def test_lag_features_are_the_last_value_and_previous_changes():
    problem = make_problem([[1.0, 0], [3, 0], [6, 1], [10, 5]], lookback=3)
    fold = SeriesFold(0, range(2, 3), range(2, 3), range(2, 3), range(2, 3))
    assert lag_features(FoldHistory(problem, fold), range(2, 4), 3).tolist() == [
        [6, 2, 3, 1, 0, 1],
        [10, 3, 4, 5, 1, 4],
    ]


def test_arima_forecasts_equal_statsmodels_at_every_origin():
    from statsmodels.tsa.arima.model import ARIMA

    values = autoregression(180, seed=2)[:, :1]
    problem = make_problem(values, horizon=3)
    fold = make_fold(problem, test=12, validation=20)
    made = one(problem, "arima(2)", fold)
    order = eval(made.details[0].removeprefix("x: ARIMA"), {})
    history = FoldHistory(problem, fold)
    known = history.values()[:, 0]
    mean, deviation = known.mean(), known.std()
    fitted = ARIMA((known - mean) / deviation, order=order, trend="n").fit(method="innovations_mle", cov_type="none")
    for i, origin in enumerate(fold.test):
        more = (values[history.rows.stop : origin + 1, 0] - mean) / deviation
        ahead = (fitted.append(more) if len(more) else fitted).forecast(3)
        np.testing.assert_allclose(made.values[i, :, 0], ahead * deviation + mean, rtol=1e-6, atol=1e-8)
    assert order[1] == 1 or order[0] > 0


def test_var_forecasts_equal_statsmodels_and_use_the_leading_series():
    from statsmodels.tsa.api import VAR

    values = autoregression(200, seed=3)
    problem = make_problem(values, horizon=3, targets=(1,))
    fold = make_fold(problem)
    made = one(problem, "var(4)", fold)
    history = FoldHistory(problem, fold)
    known = values[history.rows.start : history.rows.stop]
    model = VAR(known)
    order = int(model.select_order(4).aic)
    assert made.details == (f"VAR({order}) of up to 4",)
    fitted = model.fit(order)
    for i, origin in enumerate(fold.test):
        ahead = fitted.forecast(values[origin + 1 - order : origin + 1], 3)[:, 1]
        np.testing.assert_allclose(made.values[i, :, 0], ahead, rtol=1e-6)
    truth = problem.actual(fold.test)[:, 0, 0]
    assert np.abs(made.values[:, 0, 0] - truth).mean() < 0.3 * np.abs(problem.last(fold.test)[:, 0] - truth).mean()


def test_baselines_are_reproducible_to_the_bit():
    problem = make_problem(autoregression(100), targets=(0,))
    fold = make_fold(problem, test=15, validation=20)
    first, again, other = (
        forecast_baselines(problem, fold, ["mlp", "gradient_boosting"], lags=2, seed=s) for s in (0, 0, 9)
    )
    for a, b in zip(first, again, strict=True):
        assert a.values.tobytes() == b.values.tobytes()
    assert (first[0].values != other[0].values).any()


def test_historical_quantiles_have_nominal_coverage():
    rng = np.random.default_rng(0)
    problem = make_problem(np.cumsum(rng.standard_t(4, size=1500)), horizon=2)
    fold = make_fold(problem, test=500, validation=100)
    levels = (0.1, 0.5, 0.9)
    said, truth = historical_quantiles(problem, fold, levels), problem.actual(fold.test)
    assert said.shape == (500, 2, 1, 3)
    known = np.isfinite(truth)
    shares = [float((truth <= said[..., i])[known].mean()) for i in range(3)]
    np.testing.assert_allclose(shares, levels, atol=0.05)


def test_more_lags_than_history_raise_an_error():
    problem = make_problem(autoregression(60))
    with pytest.raises(InputError, match="expected training origins with 58 rows up to them"):
        one(problem, "ridge(58)", make_fold(problem, test=5, validation=5))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["persistance"], "found 'persistance'; did you mean 'persistence'"),
        (["drift(3)"], "takes no number"),
        (["seasonal"], r"expected its period in rows of 'seasonal', as in 'seasonal\(12\)'"),
        (["ridge(0)"], "takes lags of at least 1"),
        (["ridge(x)"], "expected forecast.baselines among"),
        (["mean", "mean"], "found mean twice"),
        (["var"], "expected several series for 'var'; found one"),
    ],
)
def test_invalid_baseline_names_raise_an_error(names, message):
    with pytest.raises(InputError, match=message):
        parse_baselines(names, series=1)


def test_constant_series_is_forecast_as_constant():
    values = np.column_stack([np.full(80, 3.0), np.arange(80.0) % 7])
    problem = make_problem(values)
    for name, tolerance in (("ridge(3)", 1e-12), ("gradient_boosting(3)", 1e-12), ("logistic(3)", 0), ("mlp(2)", 0.1)):
        said = one(problem, name, make_fold(problem, test=8, validation=20)).values
        np.testing.assert_allclose(said[:, 0, 0], 3.0, atol=tolerance)


# -- a baseline never ends a run ---------------------------------------------------------------------------------------


def broken(*_args, **_options):
    raise np.linalg.LinAlgError("Singular matrix")


FAULTS = {
    "ridge(3)": ("signals.forecasting.lag_models._ridge_path", broken),
    "mlp(3)": ("sklearn.neural_network.MLPRegressor.partial_fit", broken),
    "gradient_boosting(3)": ("sklearn.ensemble.GradientBoostingRegressor.fit", broken),
    "logistic(3)": ("sklearn.linear_model.LogisticRegression.fit", broken),
    "arima(1)": ("statsmodels.tsa.arima.model.ARIMA.fit", broken),
    "var(2)": ("statsmodels.tsa.api.VAR.fit", broken),
    "drift": ("signals.forecasting.fold_history.FoldHistory.values", broken),
    "seasonal_mean(4)": ("signals.forecasting.fold_history.FoldHistory.values", broken),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("number", [0, 2])
def test_library_exceptions_lead_to_persistence_with_a_warning(monkeypatch, name, number):
    problem = make_problem(autoregression(120), horizon=2)
    fold = replace(make_fold(problem, test=20, validation=20), number=number)
    monkeypatch.setattr(*FAULTS[name])
    made = one(problem, name, fold)
    last = np.repeat(problem.last(fold.test)[:, None], 2, axis=1)
    np.testing.assert_array_equal(made.values, last)
    assert made.warnings
    for text in made.warnings:
        first, end = problem.table.dates[[fold.test.start + 1, fold.test.stop]]
        assert text.startswith(f"{name}, fold {number + 1} ({first} to {end}): ")
        assert "persistence is used for" in text
        assert "\n" not in text
    counted = sum(int(text.split("used for ")[1].replace("all ", "").split()[0]) for text in made.warnings)
    assert counted == made.values.size


@pytest.mark.parametrize("name", ["ridge(3)", "mean", "var(2)", "arima(1)"])
def test_for_returns_the_mean_is_the_fallback(monkeypatch, name):
    import signals.forecasting.baselines as module

    problem = make_problem(np.diff(autoregression(120), axis=0))
    fold = make_fold(problem, test=20, validation=20)
    history = FoldHistory(problem, fold, returns=True)
    if name == "mean":
        assert one(problem, name, fold, returns=True).warnings == ()
        return
    monkeypatch.setitem(module.BASELINES, name.split("(")[0], replace(module.BASELINES[name.split("(")[0]], fit=broken))
    made = one(problem, name, fold, returns=True)
    np.testing.assert_allclose(made.values, np.broadcast_to(history.values().mean(axis=0), made.values.shape))
    assert "mean is used for all 40 forecasts" in made.warnings[0]


@pytest.mark.parametrize("name", sorted(BASELINES))
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_non_finite_forecasts_are_replaced_and_counted(monkeypatch, name, bad):
    import signals.forecasting.baselines as module

    problem = make_problem(autoregression(120), horizon=2)
    fold = make_fold(problem, test=20, validation=20)
    asked, kind = NAMES.get(name, name), BASELINES[name]

    def some(history, number):
        fit = kind.fit(history, number)
        values = fit.values.copy()
        values[3, 1, 0] = values[7] = bad
        return fit._replace(values=values)

    sound = one(problem, asked, fold, lags=3)
    assert sound.warnings == ()
    monkeypatch.setitem(module.BASELINES, name, replace(kind, fit=some))
    if name == "persistence":
        # what stands in for others is guarded by nothing but arithmetic
        return
    made = one(problem, asked, fold, lags=3)
    assert np.isfinite(made.values).all()
    changed = made.values != sound.values
    assert changed.sum() <= 5
    last = problem.last(fold.test)
    assert made.values[3, 1, 0] == last[3, 0]
    np.testing.assert_array_equal(made.values[7], np.repeat(last[7][None], 2, axis=0))
    made_on = problem.table.dates[fold.test[3]]
    assert f"5 of 80 forecasts are not finite, the first made on {made_on}" in made.warnings[0]


def refusing(orders, method):
    """Let statsmodels refuse some orders from the second fit or filter of each on."""
    from statsmodels.tsa.arima.model import ARIMA

    whole, seen = getattr(ARIMA, method), {}

    def call(self, *args, **options):
        order = self.order
        seen[order] = seen.get(order, 0) + 1
        if order in orders and (method == "filter" or seen[order] > 1):
            raise ValueError("Non-invertible starting MA parameters found.")
        return whole(self, *args, **options)

    return ARIMA, method, call


@pytest.mark.parametrize("method", ["fit", "filter"])
def test_rejected_arima_order_is_replaced_by_the_next_best(monkeypatch, method):
    problem = make_problem(autoregression(180, seed=2)[:, :1], horizon=2)
    fold = make_fold(problem, test=12, validation=20)
    best = one(problem, "arima(2)", fold)
    first = eval(best.details[0].removeprefix("x: ARIMA"), {})
    monkeypatch.setattr(*refusing({first}, method))
    made = one(problem, "arima(2)", fold)
    second = eval(made.details[0].removeprefix("x: ARIMA"), {})
    assert second != first
    assert f"x: rejected: ARIMA{first} (ValueError: Non-invertible starting MA parameters found); " in made.warnings[0]
    assert f"ARIMA{second} is used for 24 forecasts instead" in made.warnings[0]
    monkeypatch.undo()
    monkeypatch.setattr(*refusing({first, second}, method))
    third = one(problem, "arima(2)", fold)
    assert f"ARIMA{first}" in third.warnings[0]
    assert f"ARIMA{second}" in third.warnings[0]
    everything = {(p, d, q) for p in range(3) for d in range(2) for q in range(3)}
    monkeypatch.undo()
    monkeypatch.setattr(*refusing(everything, method))
    none = one(problem, "arima(2)", fold)
    np.testing.assert_array_equal(none.values, np.repeat(problem.last(fold.test)[:, None], 2, axis=1))
    assert "no ARIMA order is left; persistence is used for 24 forecasts" in none.warnings[0]


# Eighty figures of which the first forty allow ARIMA(2, 1, 2); the estimates on the first sixty are non-invertible.
PILED_UP = """1 0 -1 0 0 0 1 -1 1 -1 0 1 1 -1 2 0 -1 0 -1 0 -1 0 -2 1 0 1 -1 -2 -1 0 2 1 1 -1 -1 0 1 -1 0 2
-1 0 -1 0 1 1 -1 -3 1 2 -1 0 0 -2 -3 0 0 -2 0 -1 0 1 0 -1 1 0 -1 2 0 1 -1 0 0 1 -2 0 1 0 -1 1"""


def test_non_invertible_estimates_are_replaced_by_the_next_best_order(monkeypatch):
    from signals.forecasting import arima_var

    values = np.array(PILED_UP.split(), dtype=np.float64)
    arima_var._fit(values[:40], (2, 1, 2))
    try:
        arima_var._fit(values[:60], (2, 1, 2))
    except ValueError:
        pass
    else:  # the optimiser stops at another point with other builds of SciPy; refusals are also injected in other tests
        pytest.skip("statsmodels finds invertible estimates of this series with the installed SciPy")
    ranked = arima_var._ranked_orders

    def first(train, d, largest):
        return sorted(ranked(train, d, largest), key=lambda one: one[0] != (2, 1, 2)) if d == 1 else []

    monkeypatch.setattr(arima_var, "_ranked_orders", first)
    problem = make_problem(values, lookback=1)
    fold = SeriesFold(0, range(39), range(39, 59), range(59, 79), range(59))
    made = one(problem, "arima(2)", fold)
    assert "ARIMA(2, 1, 2) (ValueError: Non-invertible moving average parameters found" in made.warnings[0]
    assert "is used for 20 forecasts instead" in made.warnings[0]
    assert np.isfinite(made.values).all()


def test_only_the_series_without_a_fit_is_replaced(monkeypatch):
    problem = make_problem(autoregression(150, seed=4))
    fold = make_fold(problem, test=12, validation=20)
    sound = one(problem, "arima(1)", fold)
    from signals.forecasting import arima_var

    fit = arima_var._fit

    def refuse(known, order):
        # the second series, by its first value
        if known[0] == problem.values[FoldHistory(problem, fold).first, 1]:
            raise ValueError("no")
        return fit(known, order)

    monkeypatch.setattr(arima_var, "_fit", refuse)
    made = one(problem, "arima(1)", fold)
    np.testing.assert_array_equal(made.values[:, :, 0], sound.values[:, :, 0])
    np.testing.assert_array_equal(made.values[:, 0, 1], problem.last(fold.test)[:, 1])
    assert made.warnings[0].endswith("y: no ARIMA order is left; persistence is used for 12 forecasts")


def test_var_order_without_a_fit_is_replaced_by_the_next_best(monkeypatch):
    from statsmodels.tsa.api import VAR

    problem = make_problem(autoregression(200, seed=3))
    fold = make_fold(problem)
    best = int(one(problem, "var(4)", fold).details[0].removeprefix("VAR(").split(")")[0])
    whole = VAR.fit

    def fit(self, maxlags=None, **options):
        if maxlags == best:
            raise np.linalg.LinAlgError("Singular matrix")
        return whole(self, maxlags, **options)

    monkeypatch.setattr(VAR, "fit", fit)
    made = one(problem, "var(4)", fold)
    other = int(made.details[0].removeprefix("VAR(").split(")")[0])
    assert other != best
    assert f"rejected: VAR({best}) (LinAlgError: Singular matrix); VAR({other}) is used" in made.warnings[0]


def test_constant_series_in_a_later_fold_does_not_stop_var():
    values = autoregression(120)
    values[:, 1] = 3.0
    problem = make_problem(values)
    made = one(problem, "var(2)", make_fold(problem, test=20, validation=20))
    assert "y is constant in the training and validation rows" in made.warnings[0]
    assert (made.values[:, 0] == problem.last(make_fold(problem, test=20, validation=20).test)).all()


def test_unusable_number_raises_an_error_in_the_first_fold_only():
    problem = make_problem(autoregression(60))
    fold = make_fold(problem, test=5, validation=5)
    with pytest.raises(InputError, match="expected training origins with 58 rows"):
        one(problem, "ridge(58)", fold)
    later = one(problem, "ridge(58)", replace(fold, number=3))
    assert "persistence is used for all 10 forecasts" in later.warnings[0]


def test_memory_errors_and_interruptions_are_raised(monkeypatch):
    problem = make_problem(autoregression(60))
    for error in (MemoryError, KeyboardInterrupt):

        def out(*_args, error=error, **_options):
            raise error

        monkeypatch.setattr("signals.forecasting.lag_models._ridge_path", out)
        with pytest.raises(error):
            one(problem, "ridge(3)", make_fold(problem, test=5, validation=5))
