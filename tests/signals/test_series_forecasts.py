"""Forecasts of series: what networks are shown, what becomes of what they say, and that nothing looks ahead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from signals.common.errors import InputError
from signals.dataset.folds import WalkForward
from signals.dataset.labels import Target
from signals.forecasting.baseline_runs import HISTORICAL, compute_baselines
from signals.forecasting.series_fold import Scale, make_series_fold
from signals.forecasting.series_table import SeriesTable
from signals.forecasting.series_walk_forward import compute_forecasts, make_problem
from signals.forecasting.settings import ForecastSettings
from signals.forecasting.simulated_series import simulated_series
from signals.models.encoder_decoder_settings import EncoderDecoderSettings
from signals.models.recurrent_settings import RecurrentSettings
from signals.trainers.base import EpochLoss, Fitted, TrainingSettings

MODEL = RecurrentSettings(
    lookback=6,
    units=(4,),
    ticker_embedding_dim=0,
    month_onehot=False,
    dense_units=0,
    dropout=0.0,
    unknown_category_rate=0.0,
)
CUT = WalkForward("1990-01-01", validation="2Y", test="1Y")


@pytest.fixture(scope="module")
def table():
    return simulated_series(n_months=144, n_series=2, start="1980-01-01")  # to 1991-12


@pytest.fixture
def trainer(support):
    import series_trainer

    series_trainer.SHOWN.clear()
    return series_trainer.SeriesTrainer()


@pytest.fixture
def forecast(tmp_path, trainer):
    def made(table, settings=None, model=MODEL, *, walk_forward=CUT, seeds=(0,), training=None, **more):
        return compute_forecasts(
            table,
            model=model,
            training=training or TrainingSettings(batch_size=32, learning_rate=0.01),
            walk_forward=walk_forward,
            seeds=seeds,
            artifacts=tmp_path / "artifacts",
            settings=settings,
            **({"trainer": trainer} | more),
        )

    return made


class Silent:
    """Says 0 on the scale it is trained on."""

    name, tasks_at_once, batch_size = "ignore_progress", 1, 32

    def versions(self):
        return {}

    def fit(self, tasks):
        for task in tasks:
            yield Fitted({"w": np.zeros(task.network.target.outputs, np.float32)}, 1, (EpochLoss(1.0, 1.0),))

    def predict(self, network, weights, samples):
        return np.tile(weights["w"], (len(samples), 1))


# -- what comes out ----------------------------------------------------------------------------------------------------


def test_zero_change_output_equals_persistence(forecast, table):
    result = forecast(table, ForecastSettings(target="change", scale="none", horizon=3), trainer=Silent())
    merged = result.forecasts.merge(result.actuals, on=["date", "target_date", "series", "step"])
    assert len(merged) == 24 * 3 * 2
    assert len(result.forecasts) == 25 * 3 * 2  # and those made at the last row
    np.testing.assert_array_equal(merged["forecast"], merged["last"])


@pytest.mark.parametrize("scale", ["standard", "minmax"])
def test_outputs_are_restored_to_their_own_unit(forecast, table, scale):
    result = forecast(table, ForecastSettings(scale=scale), trainer=Silent())
    fold = make_series_fold(result.problem, result.cuts[0], MODEL, ForecastSettings())
    rows = slice(fold.fold.train.start - 5, fold.fold.train.stop + 1)  # first row of the first window to the last label
    known = table.values[rows]
    centre = known.mean(axis=0) if scale == "standard" else known.min(axis=0)
    first = result.forecasts.query("fold == 0")
    np.testing.assert_allclose(first["forecast"].to_numpy().reshape(-1, 2), np.broadcast_to(centre, (12, 2)))


@pytest.mark.parametrize("target", ["level", "change"])
@pytest.mark.parametrize("inputs", [("level",), ("level", "change")])
def test_linear_recursion_is_forecast_exactly(forecast, target, inputs):
    rng, values = np.random.default_rng(0), np.zeros((144, 2))
    values[:2] = rng.normal(size=(2, 2))
    turn = 2 * np.cos(2 * np.pi / np.array([7.3, 11.1]))
    for t in range(2, 144):
        values[t] = turn * values[t - 1] - values[t - 2]
    table = replace(simulated_series(n_months=144, n_series=2, start="1980-01-01"), values=values + 5)
    settings = ForecastSettings(target=target, inputs=inputs, horizon=2)
    result = forecast(table, settings)
    merged = result.forecasts.merge(result.actuals, on=["date", "target_date", "series", "step"]).dropna(
        subset="actual"
    )
    assert len(merged) == 24 * 2 * 2 - 2  # the second step of the last origin is not known yet
    np.testing.assert_allclose(merged["forecast"], merged["actual"], atol=1e-3)


def test_frames_have_a_row_for_every_forecast(forecast, table):
    result = forecast(table, ForecastSettings(horizon=2, series=("series_2",)), seeds=(0, 1))
    frame = result.forecasts
    assert list(frame) == [
        "date",
        "target_date",
        "series",
        "step",
        "level",
        "model",
        "seed",
        "forecast",
        "fold",
        "live",
    ]
    assert list(result.actuals) == ["date", "target_date", "series", "step", "actual", "last"]
    assert set(frame["series"]) == {"series_2"}
    assert frame["level"].isna().all()
    assert len(frame) == 25 * 2 * 2
    assert not frame.duplicated(["date", "step", "seed"]).any()
    one = result.actuals.iloc[3]
    assert one["date"] == pd.Timestamp("1990-01-01")
    assert one["target_date"] == pd.Timestamp("1990-03-01")
    days = [str(day) for day in table.dates]
    assert one["actual"] == table.values[days.index("1990-03-01"), 1]
    assert one["last"] == table.values[days.index("1990-01-01"), 1]
    # the last origin that is judged is the last row but one: what lies beyond the end is forecast and not known
    end = result.actuals.iloc[-1]
    assert (end["date"], end["target_date"]) == (pd.Timestamp("1991-11-01"), pd.Timestamp("1992-01-01"))
    assert np.isnan(end["actual"])
    live = frame[frame["live"]]
    assert set(zip(live["date"].astype(str), live["target_date"].astype(str), strict=True)) == {
        ("1991-11-01", "1992-01-01"),
        ("1991-12-01", "1992-01-01"),
        ("1991-12-01", "1992-02-01"),
    }
    assert np.isfinite(frame["forecast"]).all()
    assert result.parameters == (6 * 2 + 1) * 2
    assert str(result.folds["test_start"][0].date()) == "1990-01-01"
    assert (result.folds["trained_until"] == pd.to_datetime(["1989-12-01"] * 2 + ["1990-12-01"] * 2)).all()


def test_quantiles_ascend_and_are_compared_with_baselines(forecast, table):
    settings = ForecastSettings(target="change", quantiles=(0.1, 0.5, 0.9), horizon=2)
    result = forecast(table, settings)
    levels = result.forecasts.pivot(index=["date", "step", "series"], columns="level", values="forecast")
    assert list(levels) == [0.1, 0.5, 0.9]
    assert (levels.diff(axis=1).iloc[:, 1:] > 0).all().all()
    beside = compute_baselines(result.problem, result.cuts, ["mean"], quantiles=settings.quantiles)
    assert set(beside.forecasts["model"]) == {"persistence", "mean", HISTORICAL}
    assert list(beside.forecasts) == list(result.forecasts)
    persistence = beside.forecasts.query("model == 'persistence'").reset_index(drop=True)
    judged = persistence[persistence["date"].isin(result.actuals["date"])]
    np.testing.assert_array_equal(judged["forecast"], result.actuals["last"])
    assert (judged["date"] == result.actuals["date"]).all()
    at_the_end = persistence[~persistence["date"].isin(result.actuals["date"])]
    np.testing.assert_array_equal(at_the_end["forecast"], np.tile(table.values[-1], 2))
    wide = beside.forecasts.query("model == @HISTORICAL").pivot(
        index=["date", "step", "series"], columns="level", values="forecast"
    )
    assert (wide.index == levels.index).all()


# -- what networks are shown -------------------------------------------------------------------------------------------


def test_samples_contain_windows_labels_months_and_step_labels(table):
    model = replace(
        MODEL, sequence_loss=True, month_onehot=True, categorical_embeddings={"quarter": 2}, year_onehot=True
    )
    settings = ForecastSettings(target="change", inputs=("change", "level"), horizon=2, scale="none")
    problem = make_problem(table, model, settings)
    cut = problem.folds(CUT)[0]
    data = make_series_fold(problem, cut, model, settings).data
    values = table.values
    assert data.target == Target("value", 4, steps=2)
    for samples, span in ((data.training, cut.train), (data.validation, cut.validation), (data.both, cut.both)):
        rows = np.array([0, len(span) - 1])
        for row, window, steps in zip(
            rows, samples.windows.gather(rows), samples.step_labels.gather(rows), strict=True
        ):
            t = span[row]
            np.testing.assert_allclose(window[:, 2:], values[t - 5 : t + 1], rtol=1e-6)
            np.testing.assert_allclose(window[:, :2], np.diff(values, axis=0)[t - 6 : t], rtol=1e-5, atol=1e-6)
            expected = np.concatenate([values[t + 1] - values[t], values[t + 2] - values[t]])
            np.testing.assert_allclose(samples.label[row], expected, rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(steps[-1], samples.label[row])
            np.testing.assert_allclose(steps[0, :2], values[t - 4] - values[t - 5], rtol=1e-5, atol=1e-6)
            month = table.dates[t + 1].astype("datetime64[M]").astype(int) % 12  # of the date that is forecast
            assert samples.month[row] == month
            assert samples.groups["quarter"][row] == month // 3 + 1
    assert data.test.step_labels is None
    assert len(data.test.label) == 0
    assert data.group_sizes["quarter"] == 5
    assert (data.test.groups["year"] == 0).all()  # no year of a test slice was learnt
    assert data.training.windows.panel.shape[1] == cut.both.stop  # a trainer is not even shown later rows


def test_scales_are_fitted_on_training_rows_only(table):
    settings = ForecastSettings(target="change", inputs=("level", "change"), horizon=2)
    problem = make_problem(table, MODEL, settings)
    cut = problem.folds(CUT)[0]
    before = make_series_fold(problem, cut, MODEL, settings)
    later = table.values.copy()
    later[cut.train.stop + 2 :] = 1e6  # after the last label of the training slice
    changed = replace(table, values=later)
    after = make_series_fold(make_problem(changed, MODEL, settings), cut, MODEL, settings)
    assert after.data.scaler == before.data.scaler
    np.testing.assert_array_equal(after.labels.centre, before.labels.centre)
    np.testing.assert_array_equal(after.data.training.label, before.data.training.label)
    every = slice(None)
    np.testing.assert_array_equal(after.data.training.windows.gather(every), before.data.training.windows.gather(every))
    # and it is those rows: one of them changes everything
    earlier = table.values.copy()
    earlier[cut.train.stop + 1] += 1
    moved = make_series_fold(make_problem(replace(table, values=earlier), MODEL, settings), cut, MODEL, settings)
    assert moved.data.scaler != before.data.scaler


def test_constant_series_is_only_centred():
    assert Scale.fitted(np.full((4, 1), 3.0), "standard").apply(np.array([[3.0]])).tolist() == [[0.0]]


# -- nothing looks ahead, and nothing is done twice --------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        ForecastSettings(),
        ForecastSettings(target="change", inputs=("level", "change"), horizon=3, scale="minmax"),
        ForecastSettings(quantiles=(0.1, 0.5, 0.9), horizon=2),
    ],
)
@pytest.mark.parametrize("day", ["1990-02-01", "1990-12-01", "1991-01-01", "1991-06-01"])
def test_forecasts_do_not_depend_on_later_rows(forecast, table, settings, day):
    model = replace(MODEL, month_onehot=True)
    whole = forecast(table, settings, model)
    garbage = np.where(table.dates[:, None] > np.datetime64(day), 1e5 * np.sin(table.values), table.values)
    poisoned = forecast(replace(table, values=garbage), settings, model)
    known = whole.forecasts["date"] <= day
    assert known.any()
    pd.testing.assert_frame_equal(poisoned.forecasts[known], whole.forecasts[known], check_exact=True)
    assert (poisoned.forecasts["forecast"] != whole.forecasts["forecast"])[~known].any()


def test_artifact_key_covers_every_setting_that_affects_training(forecast, table):
    first = forecast(table, seeds=(0, 1))
    assert (first.trained, first.reused) == (4, 0)
    again = forecast(table, ForecastSettings(error_units="minmax"), seeds=(0, 1))
    assert (again.trained, again.reused) == (0, 4)
    pd.testing.assert_frame_equal(again.forecasts, first.forecasts, check_exact=True)
    # a new month, and a last year that was revised, leave the networks of the first fold alone
    assert forecast(table.until("1991-10-01"), seeds=(0, 1)).trained == 0
    revised = table.values.copy()
    revised[-1] += 1
    assert forecast(replace(table, values=revised), seeds=(0, 1)).trained == 0
    revised[-20] += 1  # 1990-05, in the validation slice of the second fold
    assert forecast(replace(table, values=revised), seeds=(0, 1)).trained == 2
    for settings in (
        ForecastSettings(target="change"),
        ForecastSettings(scale="minmax"),
        ForecastSettings(horizon=2),
        ForecastSettings(inputs=("change",)),
        ForecastSettings(series=("series_2",)),
        ForecastSettings(quantiles=(0.2, 0.5, 0.8)),
    ):
        assert forecast(table, settings, seeds=(0, 1)).trained == 4
    assert forecast(table, model=replace(MODEL, units=(5,)), seeds=(0, 1)).trained == 4
    assert forecast(table, seeds=(0, 2)).trained == 2


def test_refit_on_validation_uses_exactly_training_and_validation_rows(forecast, table, trainer):
    from series_trainer import SHOWN

    result = forecast(table, training=TrainingSettings(batch_size=32, learning_rate=0.01, refit_on_validation=True))
    first, second = SHOWN[:2]
    assert len(first.training) == len(result.cuts[0].train)
    assert len(second.training) == len(result.cuts[0].both)
    assert second.validation is None
    assert result.trained == 2


NETWORKS = {
    "published": (replace(MODEL, lookback=63, units=(20,)), ForecastSettings(target="change"), 1781),
    "every step": (
        replace(
            MODEL,
            sequence_loss=True,
            output_recurrence=True,
            teacher_forcing_ratio=0.5,
            autoregressive_lags=3,
            month_onehot=True,
        ),
        ForecastSettings(quantiles=(0.1, 0.5, 0.9), inputs=("level", "change")),
        None,
    ),
    "encoder-decoder": (
        EncoderDecoderSettings(
            lookback=6, units=(3,), unknown_category_rate=0.0, categorical_embeddings={"weekday": 2}
        ),
        ForecastSettings(horizon=3, scale="minmax"),
        None,
    ),
}


@pytest.mark.parametrize("name", ["published", pytest.param("every step", marks=pytest.mark.slow), "encoder-decoder"])
def test_trained_networks_do_not_depend_on_later_rows(tmp_path, name):
    """The published one is a univariate regression: 63 values, LSTM of 20, 1,781 parameters."""
    model, settings, parameters = NETWORKS[name]
    rng = np.random.default_rng(0)
    dates = np.datetime64("2010-01-01") + np.arange(160).astype("timedelta64[D]")
    table = SeriesTable(dates, np.cumsum(rng.normal(size=(160, 1)), axis=0), ("x",))
    options = {
        "model": model,
        "training": TrainingSettings(trainer="keras", epochs=2, batch_size=20, optimizer="rmsprop"),
        "walk_forward": WalkForward("2010-05-20", validation=20, test="1Y"),
        "seeds": (0,),
        "artifacts": tmp_path,
        "settings": settings,
    }
    result = compute_forecasts(table, **options)
    assert result.parameters == parameters or (parameters is None and result.parameters > 50)
    assert len(result.history) == 2
    assert result.trainer["name"] == "keras"
    assert np.isfinite(result.forecasts["forecast"]).all()
    shorter = compute_forecasts(table.until("2010-05-25"), **options)
    assert (shorter.trained, shorter.reused) == (0, 1)
    # among them the live forecast, which later becomes one that is judged
    some = result.forecasts[: len(shorter.forecasts)].drop(columns="live")
    assert shorter.forecasts["live"].any()
    pd.testing.assert_frame_equal(shorter.forecasts.drop(columns="live"), some, check_exact=True)


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (replace(MODEL, ticker_embedding_dim=3), "expected model.ticker_embedding_dim = 0"),
        (replace(MODEL, min_steps=3), "found model.min_steps = 3"),
        (replace(MODEL, categorical_embeddings={"sector": 2}), "found 'sector'"),
    ],
)
def test_networks_with_inputs_that_series_lack_raise_an_error(forecast, table, model, said):
    with pytest.raises(InputError, match=said):
        forecast(table, model=model)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"target": "levels"}, "did you mean 'level'?"),
        ({"scale": "min_max"}, "did you mean 'minmax'?"),
        ({"inputs": ("changes",)}, "did you mean 'change'?"),
        ({"inputs": ()}, "each once"),
        ({"inputs": ("level", "level")}, "each once"),
        ({"horizon": 0}, "from 1 to 260"),
        ({"quantiles": (0.1, 0.9)}, "odd number"),
        ({"quantiles": (0.5, 0.1, 0.9)}, "ascending"),
        ({"quantiles": (0.0, 0.5, 0.9)}, "between 0 and 1"),
    ],
)
def test_invalid_forecast_settings_raise_an_error(wrong, said):
    with pytest.raises(InputError) as error:
        ForecastSettings(**wrong)
    assert said in str(error.value)


def test_unknown_series_raises_an_error(forecast, table):
    with pytest.raises(InputError, match=r"expected forecast\.series among series_1, series_2; found 'oil'"):
        forecast(table, ForecastSettings(series=("oil",)))


# -- the period after the last row -------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [ForecastSettings(), ForecastSettings(target="change", horizon=3)])
@pytest.mark.parametrize("end", ["1990-06-01", "1991-04-01"])
def test_live_forecast_equals_the_later_scored_forecast(forecast, table, settings, end):
    live = forecast(table.until(end), settings).forecasts
    later = forecast(table, settings).forecasts
    at_the_end = live[live["date"] == end]
    assert len(at_the_end) == settings.horizon * 2
    assert at_the_end["live"].all()
    then = later[later["date"] == end]
    columns = ["date", "target_date", "series", "step", "seed", "forecast"]
    pd.testing.assert_frame_equal(
        at_the_end[columns].reset_index(drop=True), then[columns].reset_index(drop=True), check_exact=True
    )
    assert not then["live"].any()


def test_live_forecasts_use_the_baselines_of_the_last_fold(forecast, table):
    settings = ForecastSettings(horizon=2)
    names = ["persistence", "drift", "mean", "seasonal(12)", "ridge(3)", "arima(1)", "var(2)"]
    short = forecast(table.until("1991-04-01"), settings)
    made = compute_baselines(short.problem, short.cuts, names).forecasts
    whole = forecast(table, settings)
    later = compute_baselines(whole.problem, whole.cuts, names).forecasts
    keys = ["date", "target_date", "series", "step", "model"]
    both = made[made["date"] == "1991-04-01"].merge(later, on=keys, suffixes=("", "_later"))
    assert len(both) == len(names) * 2 * 2
    assert both["live"].all()
    assert not both["live_later"].any()
    np.testing.assert_allclose(both["forecast"], both["forecast_later"], rtol=1e-12)


def test_live_forecasts_do_not_enter_any_figure(forecast, table):
    from signals.forecasting.baseline_runs import compare

    settings = ForecastSettings(horizon=2)
    result = forecast(table, settings)
    beside = compute_baselines(result.problem, result.cuts, ["mean"])
    whole = compare(result, beside, settings)
    judged = result.actuals["date"].unique()
    only = compare(
        replace(result, forecasts=result.forecasts[result.forecasts["date"].isin(judged)]),
        replace(beside, forecasts=beside.forecasts[beside.forecasts["date"].isin(judged)]),
        settings,
    )
    assert whole.as_dict() == only.as_dict()
    row = next(row for row in whole.as_dict()["models"] if row["model"] == "persistence")
    known = result.actuals.dropna(subset="actual")
    squared = (known["actual"] - known["last"]) ** 2
    assert row["rmse"] == pytest.approx(np.sqrt(squared.groupby(known["series"]).mean()).mean())


@pytest.mark.parametrize(("end", "due"), [("1991-12-01", True), ("1991-11-01", False), ("1990-12-01", True)])
def test_retraining_is_due_when_the_next_row_begins_a_test_slice(table, end, due):
    problem = make_problem(table.until(end), MODEL, ForecastSettings())
    assert problem.retraining_due(CUT) is due
    cuts = problem.folds(CUT)
    assert [len(cut.live) for cut in cuts] == [0] * (len(cuts) - 1) + [1]
    assert cuts[-1].origins == range(cuts[-1].test.start, len(problem.table))


def test_live_forecasts_are_printed_as_a_table(forecast, table):
    from signals.forecasting.live_forecasts import live_markdown

    result = forecast(table, ForecastSettings(horizon=2, quantiles=(0.1, 0.5, 0.9)), seeds=(0, 1))
    text = live_markdown(result.forecasts)
    assert text.startswith("Live forecast, made at the end of 1991-12-01; no actual value is known yet")
    rows = result.forecasts
    rows = rows[(rows["date"] == "1991-12-01") & (rows["series"] == "series_2") & (rows["step"] == 2)]
    means = rows.groupby("level")["forecast"].mean()
    assert f"| series_2 | 1992-02-01 | {means[0.5]:.5g} ({means[0.1]:.5g} to {means[0.9]:.5g}) |" in text
    assert len(text.splitlines()) == 2 + 2 + 2 * 2
    assert live_markdown(result.forecasts.assign(live=False)) == ""
