"""Forecasts of series from a TOML file: files of the run folder, resuming, and errors of one line."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from rnn_strategies import cli
from rnn_strategies.config.forecast_config import load_forecast_config, parse_forecast_config
from rnn_strategies.config.presets import FORECAST_PRESETS, write_preset
from rnn_strategies.pipelines.forecast_run import FILES, forecast, open_forecast
from rnn_strategies.runs.workspace import Home
from rnn_strategies.verify.verify import verify_run
from signals.common.errors import InputError
from signals.common.storage import read_json, sha256_file, write_json, write_parquet
from signals.models.encoder_decoder_settings import EncoderDecoderSettings
from signals.models.recurrent_settings import RecurrentSettings

SMALL = """
name = "small"
[series]
source = "simulated"
n_months = 144
n_series = 2
start = 1980-01-01
[forecast]
horizon = 2
baselines = ["seasonal_mean(12)", "ridge(6)"]
[model]
lookback = 12
units = [4]
[training]
trainer = "series_trainer:SeriesTrainer"
seeds = [0, 1]
[walk_forward]
test_start = 1990-01-01
validation = "2Y"
test = "1Y"
"""


@pytest.fixture
def small(tmp_path, support):
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def error_of(call, *arguments, **options):
    with pytest.raises(InputError) as error:
        call(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_folder_says_everything_and_a_second_run_changes_no_byte(small, tmp_path):
    events = []
    run = forecast(small, out=tmp_path / "out", jobs=1, on_progress=events.append)
    assert {path.name for path in run.folder.iterdir()} == {*FILES, "config.toml", "manifest.json", "timings.json"}
    assert set(run.forecasts["model"]) == {"network", "persistence", "seasonal_mean(12)", "ridge(6)"}
    assert len(run.actuals) == 24 * 2 * 2
    assert len(run.folds) == 2 * 2
    rows = {row["model"]: row for row in run.accuracy["models"]}
    assert rows["persistence"]["ratio"] == 1.0
    assert rows["network"]["parameters"] == (12 * 2 + 1) * 4
    merged = run.forecasts.merge(run.actuals, on=["date", "target_date", "series", "step"])
    known = merged[merged["actual"].notna() & (merged["model"] == "persistence")]
    squared = (known["forecast"] - known["actual"]) ** 2
    assert rows["persistence"]["rmse"] == pytest.approx(np.sqrt(squared.groupby(known["series"]).mean()).mean())
    assert "(SIMULATED)" in run.table
    assert "| persistence | 0 |" in run.table
    assert "series_1, series_2 (simulated)" in repr(run)
    assert "1.000 x persistence" in repr(run)
    assert {event.stage for event in events} == {"forecast", "baselines"}

    manifest = read_json(run.folder / "manifest.json")
    assert manifest["simulated"] is True
    assert manifest["series"]["sha256"] == run.series.digest()
    assert {"scikit-learn", "statsmodels", "keras"} <= set(manifest["versions"])
    assert manifest["outputs"] == {name: sha256_file(run.folder / name) for name in FILES}

    before = {path.name: path.stat().st_mtime_ns for path in run.folder.iterdir()}
    again = forecast(run.folder, on_progress=events.append)  # the folder itself is a configuration
    assert events[-1].message == "already done"
    assert {path.name: path.stat().st_mtime_ns for path in run.folder.iterdir()} == before
    assert again.accuracy == run.accuracy
    elsewhere = forecast(small, out=tmp_path / "elsewhere", jobs=1, on_progress=events.append)
    assert events[-1].message == "0 networks trained, 4 reused"
    for name in (*FILES, "config.toml", "manifest.json"):
        assert (elsewhere.folder / name).read_bytes() == (run.folder / name).read_bytes(), name


def test_quantiles_are_compared_with_empirical_quantiles(small, tmp_path):
    run = forecast(small, out=tmp_path / "out", overrides=["forecast.quantiles=[0.1, 0.5, 0.9]"], jobs=1)
    rows = {row["model"]: row for row in run.accuracy["models"]}
    assert rows["historical_quantiles"]["pinball"] > 0
    assert set(rows["network"]["coverage"]) == {"0.1", "0.5", "0.9"}
    assert "| pinball |" in run.table


@pytest.mark.slow
def test_results_do_not_depend_on_processes(small, tmp_path):
    overrides = ["training.trainer=keras", "training.epochs=2", "training.batch_size=16"]
    runs = [
        forecast(small, out=tmp_path / str(jobs), home=Home(tmp_path / f"home{jobs}"), overrides=overrides, jobs=jobs)
        for jobs in (1, 2)
    ]
    for name in (*FILES, "manifest.json"):
        assert (runs[0].folder / name).read_bytes() == (runs[1].folder / name).read_bytes(), name


NETWORKS = {
    "simple_rnn": ["model.cell=simple_rnn"],
    "gru": ["model.cell=gru", "model.reset_after=false", "model.units=[4, 3]"],
    "peephole": ["model.cell=peephole_lstm"],
    "bidirectional": ["model.bidirectional=true"],
    "lstnet": ["model.recurrent_skip_steps=4", "model.recurrent_skip_units=2", "model.autoregressive_lags=3"],
    "truncated": ["model.tbptt_steps=5"],
    "sequence to sequence": ["model.sequence_loss=true", "model.month_onehot=true"],
    "output recurrence": ["model.output_recurrence=true", "model.teacher_forcing_ratio=0.5", "forecast.horizon=1"],
    "categoricals": ["model.categorical_embeddings={month=2, weekday=2}", "model.year_onehot=true"],
    "dropout": ["model.dropout=0.2", "model.recurrent_dropout=0.2", "model.input_dropout=0.1"],
    "quantiles, compiled": ["forecast.quantiles=[0.1, 0.5, 0.9]", "training.trainer=auto"],
    "decoder": ["model.kind=encoder_decoder", "model.attention=dot", "model.bidirectional=true"],
    "plain decoder": ["model.kind=encoder_decoder", "model.attention=none", "forecast.quantiles=[0.1, 0.5, 0.9]"],
    "refit": ["training.refit_on_validation=true", "walk_forward.train=60", "training.loss=mae"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_part_of_a_network_is_reached_from_toml(small, tmp_path, name):
    overrides = ["training.trainer=keras", "training.epochs=1", "training.seeds=[0]", "training.batch_size=32"]
    run = forecast(small, out=tmp_path / "out", overrides=[*overrides, *NETWORKS[name]], jobs=1)
    rows = {row["model"]: row for row in run.accuracy["models"]}
    assert rows["network"]["parameters"] >= 48
    assert rows["network"]["rmse"] < 2 * rows["persistence"]["rmse"]


def test_a_new_title_gets_a_new_table(small, tmp_path):
    forecast(small, out=tmp_path / "out", jobs=1)
    events = []
    run = forecast(small, out=tmp_path / "out", overrides=["title=Two series"], jobs=1, on_progress=events.append)
    assert run.table.startswith("# Two series\n")
    assert events[-1].message == "0 networks trained, 4 reused"


def test_an_altered_file_is_made_again(small, tmp_path):
    run = forecast(small, out=tmp_path / "out", jobs=1)
    (run.folder / "forecasts.parquet").write_bytes(b"")
    assert "done    nothing yet" in repr(run)
    events = []
    forecast(small, out=tmp_path / "out", jobs=1, on_progress=events.append)
    assert events[-1].message == "0 networks trained, 4 reused"
    assert len(run.forecasts) == 25 * 2 * 2 * (2 + 3)


def test_another_configuration_does_not_get_the_folder(small, tmp_path):
    forecast(small, out=tmp_path / "out", jobs=1)
    text = error_of(open_forecast, small, out=tmp_path / "out", overrides=["forecast.horizon=1"])
    assert "found a run of another one" in text
    assert "found the folder" in error_of(open_forecast, tmp_path / "out", overrides=["forecast.horizon=1"])
    # a name or a title is no other configuration
    renamed = open_forecast(small, out=tmp_path / "out", overrides=["title=Other", "name=other"])
    assert renamed.config.title == "Other"


def test_series_of_a_file_and_units_of_the_literature(tmp_path, support):
    table = rs.simulated_series(n_months=144, n_series=2, start="1980-01-01")
    lines = [f"{day},{a},{b}" for day, (a, b) in zip(table.dates, np.exp(table.values), strict=True)]
    (tmp_path / "data.csv").write_text("\n".join(["date,a,b", *lines]))
    text = SMALL.replace('source = "simulated"\nn_months = 144\nn_series = 2\nstart = 1980-01-01', 'path = "data.csv"')
    text = text.replace(
        "[forecast]", 'transform = "log_difference"\ntransform_periods = 12\nvintage_note = "of today"\n[forecast]'
    )
    (tmp_path / "file.toml").write_text(text)
    run = forecast(tmp_path / "file.toml", out=tmp_path / "out", overrides=["forecast.error_units=minmax"], jobs=1)
    assert run.series.names == ("a", "b")
    np.testing.assert_allclose(run.series.values, table.values[12:] - table.values[:-12], atol=1e-12)
    plain = forecast(tmp_path / "file.toml", out=tmp_path / "plain", jobs=1)
    series = {(row["model"], row["series"]): row["rmse"] for row in run.accuracy["series"]}
    other = {(row["model"], row["series"]): row["rmse"] for row in plain.accuracy["series"]}
    for key, error in series.items():
        width = np.ptp(run.series.values[:, "ab".index(key[1])])
        assert error == pytest.approx(other[key] / width)
    assert "figures as of: of today; published: not stated" in run.table
    assert "fractions of each series' range" in run.table
    assert "SIMULATED" not in run.table


def test_the_configuration_is_written_whole_and_read_back(small):
    config = load_forecast_config(small)
    assert isinstance(config.model, RecurrentSettings)
    assert (
        config.model.ticker_embedding_dim,
        config.model.month_onehot,
        config.model.dense_units,
        config.model.dropout,
    ) == (0, False, 0, 0.0)
    assert (config.training.batch_size, config.training.epochs, config.training.patience) == (32, 200, 20)
    again = small.with_name("again.toml")
    again.write_text(config.to_toml())
    assert load_forecast_config(again).tables == config.tables
    assert load_forecast_config(again).hash == config.hash
    decoder = load_forecast_config(
        small, ["model.kind=encoder_decoder", "model.attention=dot", "forecast.quantiles=[0.1, 0.5, 0.9]"]
    )
    assert isinstance(decoder.model, EncoderDecoderSettings)
    assert decoder.forecast.quantiles == (0.1, 0.5, 0.9)
    assert decoder.hash != config.hash


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("forecast.horzon=2", "found 'horzon'; did you mean 'horizon'?"),
        ("forecast.target=levels", "did you mean 'level'?"),
        ("forecast.baselines=['rigde']", "did you mean 'ridge'?"),
        ("forecast.lags=0", "expected forecast.lags"),
        ("forecast.series=['series_1', 'series_1']", "expected each of forecast.series once"),
        ("model.output_recurrence=true", "found a horizon of 2; set model.teacher_forcing_ratio = 0"),
        ("forecast.metric=mse", "expected forecast.metric to be one of rmse, mae"),
        ("series.n_month=3", "found 'n_month'; did you mean 'n_months'?"),
        ("series.path=a.csv", "found 'path'"),
        ("series.source=web", "expected series.source to be file or simulated; found 'web'"),
        ("series.source=[1]", "found [1]"),
        ("series.transform=logs", "did you mean 'log'?"),
        ("model.layers=[2]", "expected a known key in [model]; found 'layers'"),
        ("model.winsorize_quantile=0.01", "found 'winsorize_quantile'"),
        ("model.ticker_embedding_dim=2", "expected model.ticker_embedding_dim = 0"),
        ("model.kind=recurent", "did you mean 'recurrent'?"),
        ("model.kind=keras_file", "found 'keras_file'"),
        ("model.kind=sklearn.linear_model:Ridge", "use custom and saved models on stocks"),
        ("training.epoch=3", "did you mean 'epochs'?"),
        ("walk_forward.test_start=1999-01-01", "found them up to 1991-12-01"),
        ("walk_forward.tests=1Y", "found 'tests'; did you mean 'test'?"),
        ("prices.source=files", "found 'prices'"),
        ("name=a/b", "a plain folder name"),
    ],
)
def test_every_mistake_is_one_line(small, tmp_path, override, expected):
    text = error_of(forecast, small, out=tmp_path / "out", overrides=[override], jobs=1)
    assert expected in text
    assert not (tmp_path / "out" / "config.toml").exists()


def test_impossible_baselines_raise_before_training(small, tmp_path):
    events = []
    error_of(
        forecast,
        small,
        out=tmp_path / "out",
        overrides=["forecast.baselines=['ridge(1000)']"],
        jobs=1,
        on_progress=events.append,
    )
    assert not [event for event in events if "trained" in event.message]


def test_a_folder_belongs_to_one_file(tmp_path, small):
    table = rs.simulated_series(seed=1, n_months=144, n_series=2)
    frame = pd.DataFrame(table.values, columns=list(table.names), index=pd.Index(table.dates, name="date"))
    for name in ("a", "b"):
        frame.to_csv(tmp_path / f"{name}.csv")
    forecast(
        small,
        out=tmp_path / "out",
        overrides=["series={ path = 'a.csv' }", "walk_forward.test_start=1928-01-01"],
        jobs=1,
    )
    other = ["series={ path = 'b.csv' }", "walk_forward.test_start=1928-01-01"]
    assert "found a run of another one" in error_of(forecast, small, out=tmp_path / "out", overrides=other, jobs=1)


def test_networks_stopped_by_the_epoch_limit_are_reported(small, tmp_path):
    stopped = forecast(small, out=tmp_path / "a", overrides=["training.epochs=1"], jobs=1)
    assert "the last epoch was the best one in 4 of 4 networks: training.epochs = 1" in stopped.table


def test_tables_that_are_missing(small):
    cut = {"test_start": "2000-01-01"}
    assert "expected a table [series]; found none" in error_of(parse_forecast_config, {"walk_forward": cut})
    assert "expected a table [walk_forward]" in error_of(parse_forecast_config, {"series": {"path": "a.csv"}})
    assert "use `rnn-strategies run` for stocks" in error_of(parse_forecast_config, {"prices": {}})
    text = error_of(parse_forecast_config, {"series": {}, "walk_forward": cut})
    assert "series.path" in text
    assert "use `rnn-strategies run` or `rs.forecast` for series" in error_of(rs.load_config, small)


def test_the_command_prints_the_table_and_where_it_is(small, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["rnn-strategies", "forecast", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code or 0, *capsys.readouterr()

    code, out, err = command(small, "--jobs", "1", "--set", "title=Two series")
    assert code == 0, err
    assert out.startswith("# Two series\n")
    assert "| ridge(6) |" in out
    assert out.splitlines()[-1] == "runs/small"
    assert "[forecast 4/4]" in err
    assert Path("runs/small/table.md").exists()
    code, out, err = command("runs/small")
    assert (code, err) == (0, "[forecast] already done\n")
    code, _, err = command("none.toml")
    assert code == 2
    assert err.startswith("rnn-strategies: expected a configuration file none.toml")


def test_verify_finds_what_was_altered(small, tmp_path, capsys):
    run = forecast(small, out=tmp_path / "out", jobs=1)
    before = {path.name: path.read_bytes() for path in run.folder.iterdir()}
    found = verify_run(run.folder)
    assert found.passed, found.text()
    assert "nothing differs (8 files, " in found.text()
    assert "figures in accuracy.json)" in found.text()
    assert {path.name: path.read_bytes() for path in run.folder.iterdir()} == before

    accuracy = run.accuracy
    accuracy["models"][0]["rmse"] *= 0.9
    write_json(run.folder / "accuracy.json", accuracy)
    actuals = run.actuals
    actuals.loc[3, "actual"] += 0.1
    write_parquet(run.folder / "actuals.parquet", actuals.set_index("date"))
    found = verify_run(run.folder)
    assert [one.file for one in found.findings] == ["actuals.parquet", "accuracy.json"]
    assert "actual" in found.findings[0].text
    assert "rmse" in found.findings[1].text

    text = (run.folder / "config.toml").read_text()
    (run.folder / "config.toml").write_text(text.replace("seed = 0\n", "seed = 1\n"))
    assert "other settings than those of the manifest" in verify_run(run.folder).text()
    (run.folder / "config.toml").write_text("x = 1")
    assert "names series that cannot be read" in verify_run(run.folder).text()


@pytest.mark.parametrize("preset", FORECAST_PRESETS)
def test_every_preset_is_a_configuration(preset, tmp_path):
    write_preset(tmp_path / "preset.toml", preset=preset, data=str(tmp_path))
    config = load_forecast_config(tmp_path / "preset.toml")
    assert config.name == preset
    assert len(config.seeds) >= 5
    assert "persistence" in config.baselines


# -- the period after the last row, warnings, and the audit ------------------------------------------------------------


def monthly_file(tmp_path, text="", n=216):
    months = pd.date_range("1995-01-01", periods=n, freq="MS")
    x = 100 + 5 * np.sin(np.arange(n) * np.pi / 6) + np.random.default_rng(0).normal(size=n)
    frame = pd.DataFrame({"date": months, "S&P <i>": x})
    frame.to_csv(tmp_path / "x.csv", index=False)
    path = tmp_path / "x.toml"
    path.write_text(
        f'name = "x"\n[series]\npath = "x.csv"\n{text}[forecast]\nhorizon = 3\nbaselines = ["drift", "ridge(6)"]\n'
        '[model]\nlookback = 12\nunits = [4]\n[training]\ntrainer = "series_trainer:SeriesTrainer"\nseeds = [0, 1]\n'
        '[walk_forward]\ntest_start = "2010-01-01"\nvalidation = "2Y"\ntest = "2Y"\n'
    )
    return path, frame


def test_live_forecast_is_printed_and_verified(tmp_path, support):
    path, frame = monthly_file(tmp_path)
    run = forecast(path, out=tmp_path / "out", jobs=1)
    found = run.forecasts
    assert found["date"].max() == pd.Timestamp("2012-12-01") == frame["date"].max()
    last = found[found["date"] == "2012-12-01"]
    assert last["live"].all()
    assert sorted(set(last["target_date"].dt.strftime("%Y-%m-%d"))) == [
        "2013-01-01", "2013-02-01", "2013-03-01",
    ]  # fmt: skip
    assert (found["live"] == (found["target_date"] > frame["date"].max())).all()
    assert not run.actuals["date"].isin(last["date"]).any()
    drift = last[last["model"] == "persistence"]["forecast"]
    assert set(drift) == {frame["S&P <i>"].iloc[-1]}
    assert "Live forecast, made at the end of 2012-12-01" in run.table
    assert "&amp;" not in run.table
    assert "&lt;" not in run.table
    assert "S&P \\<i>, 1 to 3 periods ahead, 2010-01-01 to 2012-12-01" in run.table
    assert "live forecast  S&P <i> of 2013-01-01" in repr(run)
    assert run.folds["test_end"].max() == pd.Timestamp("2012-12-01")
    assert verify_run(run.folder).passed
    for name in ("forecasts", "actuals", "folds"):
        pd.testing.assert_frame_equal(pd.read_parquet(run.folder / f"{name}.parquet"), getattr(run, name))
    assert read_json(run.folder / "manifest.json")["warnings"] == []


def test_the_loss_that_was_used_is_printed(tmp_path, support):
    path, _ = monthly_file(tmp_path)
    for more, loss in (
        ([], "mse"),
        (["training.loss=mae"], "mae"),
        (["forecast.quantiles=[0.1, 0.5, 0.9]"], "pinball"),
    ):
        run = forecast(path, out=tmp_path / loss, overrides=more, jobs=1)
        assert f"with the loss {loss};" in run.table
        assert read_json(run.folder / "manifest.json")["trainer"]["loss"] == loss


def test_warnings_are_in_table_and_manifest(tmp_path, support, monkeypatch):
    path, frame = monthly_file(tmp_path, 'on_missing = "fill"\n')
    frame.drop(index=[100, 101]).to_csv(tmp_path / "x.csv", index=False)

    def broken(*_args, **_options):
        raise np.linalg.LinAlgError("SVD did not converge")

    monkeypatch.setattr("signals.forecasting.lag_models._ridge_path", broken)
    run = forecast(path, out=tmp_path / "out", jobs=1)
    warnings = read_json(run.folder / "manifest.json")["warnings"]
    assert len(warnings) == len(set(warnings)) == 3
    assert "2 of 216 figures of S&P <i> are missing and carry the one before" in warnings[0]
    assert warnings[0].endswith("2003-05 and 2003-06")
    # 24 origins of three periods in the first fold; 12 and the live one in the second
    for text, number, count in zip(warnings[1:], (1, 2), (72, 39), strict=True):
        assert text.startswith(f"ridge(6), fold {number} (20")
        assert f"(LinAlgError: SVD did not converge); persistence is used for all {count} forecasts" in text
    assert run.table.count("SVD did not converge") == 2
    rows = {row["model"]: row for row in run.accuracy["models"]}
    assert rows["ridge(6)"]["rmse"] == rows["persistence"]["rmse"]
    assert "! ridge(6), fold 1" in repr(run)
    assert verify_run(run.folder).passed


def test_a_fold_that_begins_after_the_last_row_is_announced(small, tmp_path):
    run = forecast(small, out=tmp_path / "out", jobs=1)  # ends with a test slice
    (text,) = read_json(run.folder / "manifest.json")["warnings"]
    assert "from 1992-01-01 on walk_forward trains new ones" in text
    assert text in run.table


def test_settings_of_missing_figures_reach_the_table(tmp_path, support):
    path, _ = monthly_file(tmp_path, 'on_missing = "fil"\n')
    assert "series.on_missing" in error_of(forecast, path, out=tmp_path / "out", jobs=1)
    path, _ = monthly_file(tmp_path, 'calendar = "XNYS"\n')
    assert "expected daily rows with a calendar" in error_of(forecast, path, out=tmp_path / "out", jobs=1)


def test_audit_of_forecasts_skips_checks_of_stocks(tmp_path, support):
    from rnn_strategies.audit.audit import CHECKS, audit_run
    from rnn_strategies.audit.check_result import Status

    path, _ = monthly_file(tmp_path)
    run = forecast(path, out=tmp_path / "out", jobs=1)
    before = {one.name: one.read_bytes() for one in run.folder.iterdir()}
    for target in (run.folder, path):
        found = audit_run(target, cutoffs=5, jobs=1)
        assert found.passed
        status = {verdict.check: verdict.status for verdict in found.verdicts}
        assert list(status) == list(CHECKS)
        assert {check for check, one in status.items() if one is not Status.SKIPPED} == {
            "fold-checks", "look-ahead", "baseline-attribution",
        }  # fmt: skip
        assert "forecasts of series: covered are fold-checks, look-ahead, baseline-attribution" in found.text()
        assert "adjustments: Series have no adjusted prices" in found.text()
    assert {one.name: one.read_bytes() for one in run.folder.iterdir()} == before


def test_every_origin_but_the_first_of_a_fold_passes_the_audit(tmp_path, support):
    from rnn_strategies.audit.audit import audit_run

    path, _ = monthly_file(tmp_path)
    verdict = audit_run(path, only=["look-ahead"], cutoffs=1000, jobs=1).verdict("look-ahead")
    assert verdict.status == "passed", verdict.finding
    assert "on 34 days" in verdict.finding  # 24 and 12 origins, less one each


def test_the_audit_finds_a_baseline_that_looks_ahead(tmp_path, support, monkeypatch):
    import signals.forecasting.baselines as module
    from rnn_strategies.audit.audit import audit_run

    def peeking(history, number):
        problem, origins = history.problem, np.asarray(history.fold.origins)
        rows = np.minimum(origins[:, None] + np.arange(1, problem.horizon + 1), len(problem.table) - 1)
        return module.Fit(problem.values[rows], 0)

    monkeypatch.setitem(module.BASELINES, "drift", module._Kind(peeking))
    path, _ = monthly_file(tmp_path)
    verdict = audit_run(path, only=["look-ahead"], cutoffs=0, jobs=1).verdict("look-ahead")
    assert verdict.status == "failed"
    assert "drift forecasts S&P <i>" in verdict.finding
