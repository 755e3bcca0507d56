"""Download of freely available data files: the S&P 500 from Yahoo Finance, two macro series from FRED."""

from __future__ import annotations

import csv
import gzip
import io
import math
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from signals.calendar import as_day
from signals.common.errors import InputError, ServiceError
from signals.common.progress_events import ProgressCallback, ProgressEvent, ignore_progress
from signals.common.storage import atomic_write, read_json, sha256_file, write_json

__all__ = ["download_file", "downloaded_note"]

FRED = "https://fred.stlouisfed.org/graph/fredgraph.csv?id="
SECONDS = 30.0
MAX_BYTES = 10_000_000  # of one response: a monthly series has about twenty thousand

FIRST_AND_LAST = {"start": "1990-01-02", "end": "2019-12-31"}
_FIRST_MONTH, _LAST_MONTH = np.datetime64("1978-01"), np.datetime64("2019-01")

Fetch = Callable[[str], bytes]


def download_file(
    file: str,
    folder: Path,
    *,
    on_progress: ProgressCallback = ignore_progress,
    fetch: Fetch | None = None,
    **yahoo: Any,
) -> None:
    """Download one data file, and write a record of its source to a file in the same folder.

    Parameters
    ----------
    file : str
        `sp500-index/...` or `us-macro-monthly/...`, as `reproduce` lists it.
    folder : Path
        Folder of the data files.
    on_progress : callable
        Called with every `ProgressEvent`; ignores them by default.
    fetch : callable, optional
        Returns the bytes at an address, for proxies and tests; urllib by default.
    **yahoo
        Further options of `YahooSource`.

    Raises
    ------
    InputError
        For a file that no public service offers.
    ServiceError
        When the service cannot be reached, or its response is not valid. Nothing is written then.
    """
    downloads = {"sp500-index": _index, "us-macro-monthly": _macro}
    download = downloads.get(file.partition("/")[0])
    if download is None:
        raise InputError(
            f"expected {folder / file}; found no such file, and no public service that offers it; put it there, or "
            "select other systems with --only"
        )
    on_progress(ProgressEvent("download", f"fetching {file}"))
    text, source = download(fetch or _fetch, on_progress, yahoo)
    content = text.encode()
    path = folder / file
    # without the current time in the gzip header, so that equal data give equal bytes
    atomic_write(path, gzip.compress(content, mtime=0) if file.endswith(".gz") else content)
    day = datetime.now(UTC).date().isoformat()
    write_json(_record(path), {"source": source, "downloaded": day, "sha256": sha256_file(path)})


def downloaded_note(path: Path) -> str | None:
    """Describe the source of a data file that `download_file` wrote and that is unchanged since; else None."""
    record = _record(path)
    if not record.is_file():
        return None
    source = read_json(record)
    if not isinstance(source, dict) or source.get("sha256") != sha256_file(path):
        return None
    return (
        f"downloaded on {source.get('downloaded')} from {source.get('source')}: figures as of that day, which later "
        "revisions have changed since the published ones; results differ from those on the published vintage"
    )


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.source.json")


def _index(fetch: Fetch, on_progress: ProgressCallback, yahoo: dict[str, Any]) -> tuple[str, str]:
    """Download closes of the S&P 500, rounded to two decimals as they are published."""
    from signals.sources.yahoo.source import YahooSource

    with TemporaryDirectory() as cache:
        options: dict[str, Any] = {"cache": cache, "on_progress": on_progress, **FIRST_AND_LAST, **yahoo}
        prices = YahooSource(["^GSPC"], **options).load()
    closes = prices.frame["close"].droplevel("ticker")
    rows = [f"{day:%Y-%m-%d},{close:.2f}" for day, close in closes.items()]
    return "\n".join(["date,close", *rows]) + "\n", "Yahoo Finance (^GSPC)"


def _macro(fetch: Fetch, on_progress: ProgressCallback, yahoo: dict[str, Any]) -> tuple[str, str]:
    """Download consumer sentiment and industrial production by month, without gaps."""
    names = ("UMCSENT", "IPGMFN")
    months = np.arange(_FIRST_MONTH, _LAST_MONTH + np.timedelta64(1, "M"))
    columns = []
    for name in names:
        on_progress(ProgressEvent("download", f"fetching {name} from FRED"))
        found = _read_fred(fetch(FRED + name), name)
        missing = [month for month in months if month not in found]
        if missing:
            raise ServiceError(
                f"expected {name} of every month from {_FIRST_MONTH} to {_LAST_MONTH} from FRED; found none of "
                f"{missing[0]} and {len(missing) - 1} others; run again later, or provide the file yourself"
            )
        columns.append([found[month] for month in months])
    rows = [
        ",".join([f"{month}-01", *(repr(value) for value in row)]) for month, *row in zip(months, *columns, strict=True)
    ]
    return "\n".join([f"date,{','.join(names)}", *rows]) + "\n", "FRED (UMCSENT, IPGMFN)"


def _read_fred(answer: bytes, name: str) -> dict[np.datetime64, float]:
    """Values by month; months without a value (a point, or empty) are left out."""
    try:
        rows = list(csv.reader(io.StringIO(answer.decode("utf-8-sig"))))
        head, *rest = [row for row in rows if row]
        if len(head) != 2 or head[1].strip() != name:
            raise ValueError(f"the columns {', '.join(head)[:80]!r}")
        found = {}
        for day, text in rest:
            if text.strip() in (".", ""):
                continue
            value = float(text)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{text!r} on {day}")
            month = as_day(day).astype("datetime64[M]")
            if month in found:
                raise ValueError(f"{month} twice")
            found[month] = value
    except (ValueError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:160] or "an empty response"
        raise ServiceError(
            f"expected {name} as CSV from FRED, with a date and a value above zero in each row; found {reason}; run "
            "again later"
        ) from error
    return found


def _fetch(address: str) -> bytes:
    request = urllib.request.Request(address, headers={"User-Agent": "rnn-strategies"})  # noqa: S310 - https, ours
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
            content: bytes = answer.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # URLError, HTTPError and time-outs are OSErrors
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # releases the connection
        reason = getattr(error, "reason", None) or error
        raise ServiceError(
            f"expected an answer from {address.partition('?')[0]}; found {' '.join(str(reason).split())[:160]}; check "
            "the network and run again"
        ) from error
    if len(content) > MAX_BYTES:
        raise ServiceError(f"expected at most {MAX_BYTES:,} bytes from {address}; found more; run again later")
    return content
