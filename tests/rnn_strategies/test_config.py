from __future__ import annotations

import pytest

import rnn_strategies as rs
from rnn_strategies.config.panel_config import load_config, parse_config
from rnn_strategies.config.presets import PRESETS, write_preset
from signals.common.errors import InputError

MINIMAL = """
[prices]
source = "simulated"
[walk_forward]
test_start = "2014-01-01"
[broker]
cash = 1e6
commission = 0.001
slippage = 0.0005
[strategy]
allocation = "TopK"
k = 5
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="a.toml"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_defaults_are_spelled_out_and_read_back_the_same(write):
    config = load_config(write(MINIMAL))
    text = config.to_toml()
    assert "units = [\n    25,\n    10,\n]" in text
    assert "epochs = 5" in text
    assert "batch_size" not in text  # what suits the trainer
    assert load_config(write(text, "b.toml")).hash == config.hash


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_valid(preset, tmp_path):
    write_preset(tmp_path / "c.toml", preset=preset, data="some/data")
    config = load_config(tmp_path / "c.toml")
    assert config.name == preset
    if preset == "us-weekly":
        assert config.prices["path"].endswith("some/data/us-stocks-daily/ohlcv_top600.parquet")
        assert (config.model.lookback, config.model.units, config.training.batch_size) == (52, (25, 10), 1024)
    if preset == "us-wide":  # a file of closes: nothing may need an open or a volume
        assert config.labels.price_basis == "close_to_close"
        assert not config.universe.needs_volume
        assert (config.walk_forward.test_start, config.walk_forward.test, len(config.seeds)) == ("2012-01-01", "1Y", 5)


def test_existing_configuration_is_not_overwritten_without_force(tmp_path):
    write_preset(tmp_path / "c.toml", preset="demo")
    with pytest.raises(InputError, match=r"found one; choose another name or add --force"):
        write_preset(tmp_path / "c.toml", preset="demo")
    with pytest.raises(InputError, match="did you mean 'us-weekly'"):
        write_preset(tmp_path / "d.toml", preset="us-weakly")


def test_paths_are_relative_to_the_configuration(write, tmp_path, monkeypatch):
    text = MINIMAL.replace('source = "simulated"', 'source = "files"\npath = "prices"')
    monkeypatch.chdir("/")
    assert load_config(write(text)).prices["path"] == str(tmp_path / "prices")
    monkeypatch.setenv("WHERE", "elsewhere")
    assert load_config(write(text.replace('"prices"', '"${WHERE}/p"'))).prices["path"] == str(tmp_path / "elsewhere/p")
    with pytest.raises(InputError, match="every environment variable"):
        load_config(write(text.replace('"prices"', '"${NOWHERE_AT_ALL}/p"')))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            ("[broker]", "[broker]\ncomission = 1"),
            r"known key in \[broker\]; found 'comission'; did you mean 'commission'",
        ),
        (("[broker]", "[brokre]"), r"found 'brokre'; did you mean 'broker'|expected a table \[broker\]"),
        (("commission = 0.001\n", ""), r"broker.commission; found none; there is no default cost"),
        (("slippage = 0.0005\n", ""), r"broker.slippage; found none; there is no default cost"),
        (("cash = 1e6\n", ""), r"broker.cash; found none"),
        (("commission = 0.001", "commission = 0.1"), r"commission"),
        (('test_start = "2014-01-01"', ""), r"walk_forward.test_start; found none"),
        (("[broker]", "[training]\nepochs = 'many'\n[broker]"), r"training.epochs to be a valid number.*found 'many'"),
        (("[broker]", "[features]\nfrequency = 'hourly'\n[broker]"), r"daily, weekly or monthly; found 'hourly'"),
        (("k = 5", "k = 5\nmax_wieght = 3"), r"found 'max_wieght'; did you mean 'max_weight'"),
        (('"TopK"\nk = 5', "'LongShortQuantile'\nquantile = 0.1"), r"broker.borrow_rate"),
        (('[strategy]\nallocation = "TopK"\nk = 5\n', ""), r"a table \[strategy\]; found none"),
        (("[prices]", "[prices"), r"expected TOML in"),
        (
            ("[prices]", "[prices]\nsignal_strength = 'strong'"),
            r"prices.signal_strength to be a valid number.*found 'strong'",
        ),
        (
            ("[prices]", "[prices]\nn_tickres = 3"),
            r"known key in \[prices\]; found 'n_tickres'; did you mean 'n_tickers'",
        ),
        (
            ("[prices]", "[benchmark]\ntickr = 'SPY'\n[prices]"),
            r"in \[benchmark\]; found 'tickr'; did you mean 'ticker'",
        ),
        (("[prices]", "[benchmark]\nticker = 'SPY'\non_bad = 'raise'\n[prices]"), r"benchmark.path; found none"),
        (("[prices]", 'name = "../x"\n[prices]'), r"name to be a plain folder name"),
    ],
)
def test_validation_error_is_one_line(write, change, words):
    with pytest.raises(InputError, match=words) as caught:
        load_config(write(MINIMAL.replace(*change)))
    assert "\n" not in str(caught.value)


def test_missing_configuration_names_the_init_command(tmp_path):
    with pytest.raises(InputError, match="rnn-strategies init"):
        load_config(tmp_path / "none.toml")


def test_overrides_are_toml_values_or_plain_text(write):
    config = load_config(
        write(MINIMAL),
        ["training.seeds=[4, 5]", "walk_forward.test_start=2015-01-01", "model.lookback=26", "name=other"],
    )
    assert (config.seeds, config.walk_forward.test_start, config.model.lookback, config.name) == (
        (4, 5), "2015-01-01", 26, "other",
    )  # fmt: skip
    with pytest.raises(InputError, match=r"table.key=value"):
        load_config(write(MINIMAL), ["model.lookback"])
    with pytest.raises(InputError, match="did you mean 'lookback'"):
        load_config(write(MINIMAL), ["model.lokback=3"])


def test_hash_depends_on_settings_and_not_on_names(write):
    base = load_config(write(MINIMAL))
    assert load_config(write(MINIMAL), ["name=x", "report.title=T"]).hash == base.hash
    assert load_config(write(MINIMAL), ["broker.commission=0.002"]).hash != base.hash


def test_tables_may_come_from_a_program():
    config = parse_config(
        {
            "prices": {"source": "simulated"},
            "walk_forward": {"test_start": "2014-01-01"},
            "broker": {"cash": 1e6, "commission": 0.001, "slippage": 0.0005},
            "strategy": {"allocation": "TopK", "k": 5},
        }
    )
    assert config.benchmark == {}


def test_broker_preset_fills_in_missing_settings(write):
    text = MINIMAL.replace("commission = 0.001\nslippage = 0.0005", 'preset = "retail"\nhalf_spread = 0.001')
    config = load_config(write(text))
    expected = rs.BrokerSettings.from_preset("retail", cash=1e6, half_spread=0.001)
    assert config.broker == expected
    assert config.tables["broker"]["min_commission"] == 1.0  # spelled out, not left to the name
    assert load_config(write(config.to_toml(), "b.toml")).broker == expected
    assert load_config(write(MINIMAL), ["broker.preset=institutional"]).broker.half_spread == 0.0002


def test_false_switches_off_settings_of_a_broker_preset(write):
    config = load_config(write(MINIMAL), ["broker.preset=retail", "broker.max_participation_rate=false"])
    assert (config.broker.max_participation_rate, config.broker.borrow_rate) == (None, 0.02)
    again = load_config(write(config.to_toml(), "b.toml"))
    assert (again.broker, again.hash, again.to_toml()) == (config.broker, config.hash, config.to_toml())
    assert config.hash != load_config(write(MINIMAL), ["broker.preset=retail"]).hash
    assert load_config(write(MINIMAL), ["broker.borrow_rate=false"]).hash == load_config(write(MINIMAL)).hash
    with pytest.raises(InputError, match=r"broker\.borrow_rate to be a number; found True"):
        load_config(write(MINIMAL), ["broker.borrow_rate=true"])
    with pytest.raises(InputError, match=r"broker\.half_spread to be a number; found False"):
        load_config(write(MINIMAL), ["broker.preset=retail", "broker.half_spread=false"])


def test_an_allocation_can_be_short_with_the_borrow_rate_of_a_preset(write):
    text = MINIMAL.replace('"TopK"\nk = 5', '"LongShortQuantile"\nquantile = 0.1')
    with pytest.raises(InputError, match=r"broker\.borrow_rate"):
        load_config(write(text))
    assert load_config(write(text), ["broker.preset=retail"]).broker.borrow_rate == 0.02


def test_hash_depends_on_values_and_not_on_the_name_of_a_preset(write):
    named = load_config(write(MINIMAL), ["broker.preset=retail"])
    spelled = load_config(write(named.to_toml().replace('preset = "retail"', 'preset = ""'), "b.toml"))
    assert (spelled.broker.preset, spelled.hash, spelled.identity) == ("", named.hash, named.identity)
    assert named.hash != load_config(write(MINIMAL)).hash


@pytest.mark.parametrize(
    ("broker", "message"),
    [
        ({"preset": "retial"}, r"broker\.preset as one of ideal, retail, institutional; found 'retial'; .*'retail'\?"),
        ({"preset": 3}, r"broker\.preset as one of .*found 3"),
        ({"preset": "retail", "cash": None}, r"broker\.cash; found none"),
        ({"preset": "retail", "comission": 0.1}, r"known key in \[broker\]; found 'comission'"),
        ({"preset": "retail", "half_spread": "5 bp"}, r"broker\.half_spread to be a valid number"),
        ({"preset": "retail", "dividends": "spent"}, r'broker\.dividends as "adjusted" or "cash"; found \'spent\''),
        ({"commission": None}, r'broker\.commission; found none; .*preset = "retail"'),
    ],
)
def test_mistakes_around_a_preset_are_one_line(broker, message):
    tables = {
        "prices": {"source": "simulated"},
        "walk_forward": {"test_start": "2014-01-01"},
        "broker": {"cash": 1e6, **broker},
        "strategy": {"allocation": "TopK", "k": 5},
    }
    with pytest.raises(InputError, match=message) as refused:
        parse_config(tables)
    assert "\n" not in str(refused.value)
