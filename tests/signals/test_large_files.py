"""Large files: memory and time of reading, measured in a separate process."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import textwrap

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from signals.calendar import sessions

pytestmark = pytest.mark.slow


def measured(path, tmp_path):
    """Load a file and lay it out, in a fresh process: CPU seconds and peak memory in bytes, imports included."""
    code = f"""
        import json, resource
        from signals.sources.files import FilesSource
        prices = FilesSource({str(path)!r}).load()
        panel = prices.panel()
        used = resource.getrusage(resource.RUSAGE_SELF)
        try:  # where the system tells it: `ru_maxrss` starts with the peak of whoever started the process
            status = dict(line.split(":", 1) for line in open("/proc/self/status"))
            peak = int(status["VmHWM"].split()[0]) * 1024
        except (OSError, KeyError):
            peak = used.ru_maxrss * 1024
        print(json.dumps(dict(rows=len(prices.frame), shape=panel.close.shape, traded=int(panel.traded.sum()),
                              cpu=used.ru_utime + used.ru_stime, peak=peak)))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout)
    print(f"{path.name}: {figures['rows']:,} rows, {figures['cpu']:.1f} s of CPU, {figures['peak'] / 1e9:.2f} GB")
    return figures


def test_real_closes_of_6178_tickers(shared_data, tmp_path):
    figures = measured(shared_data / "us-stocks-daily" / "close_all.parquet", tmp_path)
    assert figures["rows"] == figures["traded"] == 10_228_653
    assert figures["shape"] == [2737, 6178]
    assert figures["cpu"] < 20
    assert figures["peak"] < 1.5e9


@pytest.fixture(scope="module")
def many_rows():
    """Ten million rows of simulated closes, sorted by ticker."""
    days = sessions("2003-01-02", "2012-12-31")[:2500]
    tickers = [f"T{number:04d}" for number in range(4000)]
    rng = np.random.default_rng(0)
    close = np.round(rng.uniform(1, 500, len(days) * len(tickers)), 2)
    return pa.table(
        {
            "date": pa.array(np.tile(days, len(tickers))),
            "ticker": pa.DictionaryArray.from_arrays(np.repeat(np.arange(4000, dtype=np.int32), len(days)), tickers),
            "close": close,
        }
    )


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_ten_million_rows(many_rows, tmp_path, suffix):
    path = tmp_path / f"p{suffix}"
    if suffix == ".parquet":
        pyarrow.parquet.write_table(many_rows, path)
    else:
        plain = many_rows.set_column(1, "ticker", many_rows["ticker"].cast(pa.string()))
        with gzip.open(path, "wb", compresslevel=1) if suffix.endswith("gz") else open(path, "wb") as stream:
            pyarrow.csv.write_csv(plain, stream)
    figures = measured(path, tmp_path)
    assert figures["rows"] == figures["traded"] == 10_000_000
    assert figures["peak"] < (1.5e9 if suffix == ".parquet" else 4e9)


def test_one_bad_row_among_ten_million_is_named(many_rows, tmp_path):
    from signals.common.errors import InputError
    from signals.sources.files import FilesSource

    close = many_rows["close"].to_numpy().copy()
    close[7_777_777] = -1.0
    path = tmp_path / "p.parquet"
    pyarrow.parquet.write_table(many_rows.set_column(2, "close", pa.array(close)), path)
    ticker, day = divmod(7_777_777, 2500)
    where = f"T{ticker:04d} on {many_rows['date'][day].as_py()}"
    with pytest.raises(InputError, match=rf"expected close above 0; found close = -1 for {where} \(1 row\)"):
        FilesSource(path).load()
    twice = pa.concat_tables([many_rows, many_rows.slice(9_999_999)])
    pyarrow.parquet.write_table(twice, path)
    with pytest.raises(InputError, match=r"T3999 on .* more than once \(1 row too many\)"):
        FilesSource(path).load()
