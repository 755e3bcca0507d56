"""Download of data files from simulated services: Yahoo, and FRED on the loopback interface."""

from __future__ import annotations

import gzip
import io
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pytest

from rnn_strategies import cli
from rnn_strategies.reproduce import download
from rnn_strategies.reproduce.systems import INDEX_FILE, MACRO_FILE
from signals.common.errors import InputError, ServiceError

MONTHS = [str(month) for month in np.arange(np.datetime64("1976-01"), np.datetime64("2020-01"))]


def fred_csv(name, head="observation_date", skip=(), bad=None):
    rows = [f"{head},{name}"]
    for i, month in enumerate(MONTHS):
        figure = "." if month < "1978-01" and i % 3 else f"{150 + i * 0.2543:.4f}"
        rows += [f"{month}-01,{bad if bad is not None and month == '1990-05' else figure}"] * (month not in skip)
    return "\n".join(rows).encode() + b"\n"


@pytest.fixture
def fred(monkeypatch):
    """A local replacement of FRED: `answers[name]` is its response, or a status."""
    answers = {name: fred_csv(name) for name in ("UMCSENT", "IPGMFN")}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            response = answers.get(self.path.rpartition("=")[2], 404)
            self.send_response(response if isinstance(response, int) else 200)
            self.end_headers()
            if not isinstance(response, int):
                self.wfile.write(response)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(download, "FRED", f"http://127.0.0.1:{server.server_port}/graph/fredgraph.csv?id=")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield answers
    server.shutdown()
    server.server_close()


def test_macro_series_come_from_fred(fred, tmp_path):
    download.download_file(MACRO_FILE, tmp_path)
    frame = pd.read_csv(tmp_path / MACRO_FILE)
    assert list(frame.columns) == ["date", "UMCSENT", "IPGMFN"]
    assert (frame["date"].iloc[0], frame["date"].iloc[-1], len(frame)) == ("1978-01-01", "2019-01-01", 493)
    assert frame["IPGMFN"].tolist() == [round(150 + i * 0.2543, 4) for i in range(24, 24 + 493)]  # no digit is lost
    note = download.downloaded_note(tmp_path / MACRO_FILE)
    assert "from FRED (UMCSENT, IPGMFN)" in note
    assert "revisions" in note
    # a file that was replaced since is no download
    (tmp_path / MACRO_FILE).write_text("date,UMCSENT,IPGMFN\n")
    assert download.downloaded_note(tmp_path / MACRO_FILE) is None


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (404, "127.0.0.1.*found Not Found"),
        (b"<html>busy</html>", "expected UMCSENT as CSV from FRED.*found the columns '<html>busy</html>'"),
        (b"", "expected UMCSENT as CSV from FRED"),
        (fred_csv("OTHER"), "found the columns 'observation_date, OTHER'"),
        (fred_csv("UMCSENT", bad="abc"), "found could not convert string to float: 'abc'"),
        (fred_csv("UMCSENT", bad="-4"), "found '-4' on 1990-05-01"),
        (fred_csv("UMCSENT", bad="nan"), "found 'nan' on 1990-05-01"),
        (fred_csv("UMCSENT", skip=("1990-05", "1991-01")), "found none of 1990-05 and 1 others"),
        (fred_csv("UMCSENT") + b"2019-12-01,7.0\n", "found 2019-12 twice"),
        (b"\xff\xfe\x00bad", "expected UMCSENT as CSV"),
    ],
)
def test_invalid_response_of_fred_is_a_service_error(spoil, message, fred, tmp_path):
    fred["UMCSENT"] = spoil
    with pytest.raises(ServiceError, match=message) as failure:
        download.download_file(MACRO_FILE, tmp_path)
    assert "\n" not in str(failure.value)
    assert not list(tmp_path.iterdir())


def test_unreachable_service_exits_with_3(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(download, "FRED", "http://127.0.0.1:9/graph/fredgraph.csv?id=")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    arguments = ["reproduce", "--data", str(tmp_path / "data"), "--only", "multivariate", "--download"]
    monkeypatch.setattr(sys, "argv", ["rnn-strategies", *arguments, "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 3
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("[")]
    assert len(lines) == 1
    assert lines[0].startswith("rnn-strategies: expected an answer from http://127.0.0.1:9/graph/fredgraph.csv; found")
    assert not (tmp_path / "data").exists()


def test_the_index_comes_from_yahoo(support, tmp_path):
    from simulated_yahoo import Share, SimulatedYahoo

    yahoo = SimulatedYahoo({"^GSPC": Share()})
    options = {"session": yahoo, "sleep": yahoo.slept.append, "clock": yahoo.clock}
    options |= {"start": "2019-01-02", "end": "2019-12-31"}
    download.download_file(INDEX_FILE, tmp_path, **options)
    content = (tmp_path / INDEX_FILE).read_bytes()
    frame = pd.read_csv(io.BytesIO(gzip.decompress(content)))
    assert list(frame.columns) == ["date", "close"]
    assert len(frame) == 252
    np.testing.assert_allclose(frame["close"], np.round(yahoo.shares["^GSPC"].close[:252], 2), atol=1e-9)
    record = json.loads((tmp_path / f"{INDEX_FILE}.source.json").read_text())
    assert record["source"] == "Yahoo Finance (^GSPC)"
    download.download_file(INDEX_FILE, tmp_path, **options)
    assert (tmp_path / INDEX_FILE).read_bytes() == content  # the same bytes for the same data
    yahoo.trouble["^GSPC"] = [OSError("no route")] * 9
    (tmp_path / INDEX_FILE).unlink()
    with pytest.raises(ServiceError):
        download.download_file(INDEX_FILE, tmp_path, **options)
    assert not (tmp_path / INDEX_FILE).exists()


def test_file_without_public_source_raises(tmp_path):
    with pytest.raises(
        InputError, match=r"close_all\.parquet; found no such file, and no public service that offers it"
    ):
        download.download_file("us-stocks-daily/close_all.parquet", tmp_path)
