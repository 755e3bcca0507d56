from __future__ import annotations

import errno
import os
import stat

import numpy as np
import pandas as pd
import pytest

from signals.common import storage
from signals.common.errors import InputError
from signals.common.storage import (
    ContentStore,
    atomic_write,
    canonical_json,
    read_json,
    read_parquet,
    sha256_bytes,
    write_json,
    write_parquet,
)


def no_room(*_args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_full_disk_keeps_the_old_file_and_no_temporary_one(tmp_path, monkeypatch, call):
    target = tmp_path / "metrics.json"
    atomic_write(target, b"old")
    monkeypatch.setattr(storage.os, call, no_room)
    with pytest.raises(InputError, match=r"expected to write .*metrics\.json.*No space left.*free disk space"):
        atomic_write(target, b"new")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["metrics.json"]


def test_failed_write_leaves_no_file(tmp_path):
    def half(handle):
        handle.write(b"half")
        no_room()

    with pytest.raises(InputError, match="No space left"):
        atomic_write(tmp_path / "a", half)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits")
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_files_have_the_permissions_of_any_other_new_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        atomic_write(tmp_path / "a", b"x")
        ContentStore(tmp_path / "store").put(lambda path: path.write_bytes(b"x"))
        (tmp_path / "b").write_bytes(b"x")
    finally:
        os.umask(before)
    stored = next(path for path in (tmp_path / "store").rglob("*") if path.is_file())
    expected = stat.S_IMODE(os.stat(tmp_path / "b").st_mode)
    assert [stat.S_IMODE(os.stat(path).st_mode) for path in (tmp_path / "a", stored)] == [expected] * 2


def test_writing_never_changes_the_umask(tmp_path, monkeypatch):
    """It belongs to the whole process: another thread would create its files with the wrong one."""

    def changed(mask):
        raise AssertionError(f"the umask was set to {mask:o}")

    monkeypatch.setattr(os, "umask", changed)
    write_json(tmp_path / "a.json", {})
    write_parquet(tmp_path / "a.parquet", frame())
    ContentStore(tmp_path / "store").put(lambda path: path.write_bytes(b"x"))


@pytest.fixture(params=["refuses to open folders", "is called win32"])
def windows(request, monkeypatch):
    """What Windows does differently, as far as another system can imitate it; gives which of the synced are folders."""
    synced, sync, opened = [], os.fsync, os.open

    def fsync(descriptor):
        synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        sync(descriptor)

    def refusing(path, *arguments, **options):
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "fsync", fsync)
    if request.param == "is called win32":
        monkeypatch.setattr(storage.sys, "platform", "win32")
    else:
        monkeypatch.setattr(os, "open", refusing)
    return synced


def test_writing_works_where_folders_cannot_be_synced(tmp_path, windows):
    for content in (b"old", b"new"):
        atomic_write(tmp_path / "folder" / "a", content)
    assert (tmp_path / "folder" / "a").read_bytes() == b"new"
    write_parquet(tmp_path / "a.parquet", frame())
    digest = ContentStore(tmp_path / "store").put(b"prices")
    assert ContentStore(tmp_path / "store").get(digest) is not None
    assert windows == [False] * 4  # every file, no folder


def test_content_that_is_stored_already_is_not_replaced(tmp_path, monkeypatch):
    """Windows refuses to replace a file that a reader has open."""
    store = ContentStore(tmp_path / "store")
    digest = store.put(lambda path: path.write_bytes(b"prices"))
    monkeypatch.setattr(storage.os, "replace", no_room)
    assert store.put(lambda path: path.write_bytes(b"prices")) == digest
    with pytest.raises(InputError, match=r"expected to write under .*store.*No space left"):
        store.put(lambda path: path.write_bytes(b"others"))
    assert not list((tmp_path / "store").glob(".incoming*"))


def frame():
    dates = np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "datetime64[ns]")
    tickers = pd.Index(["NA", "b", "TRUE"], dtype=object)  # names that look like something else stay text
    index = pd.MultiIndex.from_arrays([dates, tickers], names=["date", "ticker"])
    return pd.DataFrame({"score": [0.1, 0.2, np.nan], "fold": np.array([0, 0, 1], np.int32)}, index=index)


def test_parquet_round_trip_and_stable_bytes(tmp_path):
    write_parquet(tmp_path / "a", frame())
    write_parquet(tmp_path / "b", frame())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    back = read_parquet(tmp_path / "a", index=["date", "ticker"])
    pd.testing.assert_frame_equal(back, frame(), check_freq=False)
    assert back.index.get_level_values("date").dtype == "datetime64[ns]"


def test_utc_times_survive(tmp_path):
    series = pd.DataFrame(
        {"returns": [0.1]}, index=pd.DatetimeIndex(["2020-01-01"], tz="UTC", name="date").as_unit("ns")
    )
    write_parquet(tmp_path / "a", series)
    pd.testing.assert_frame_equal(read_parquet(tmp_path / "a", index=["date"]), series)


def test_a_truncated_parquet_file_is_named(tmp_path):
    write_parquet(tmp_path / "a.parquet", frame())
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"expected a Parquet file at .*a\.parquet; found a damaged one"):
        read_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"found none"):
        read_parquet(tmp_path / "b.parquet")


def test_json_is_canonical_and_refuses_nan(tmp_path):
    assert canonical_json({"b": [1, 2.5], "a": "é"}) == '{"a":"é","b":[1,2.5]}'.encode()
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(float("nan"))
    write_json(tmp_path / "a.json", {"x": None})
    assert read_json(tmp_path / "a.json") == {"x": None}
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        read_json(tmp_path / "a.json")


def test_store_keeps_content_once_and_detects_damage(tmp_path):
    store = ContentStore(tmp_path / "store")
    digest = store.put(b"prices")
    assert digest == sha256_bytes(b"prices")
    assert store.put(lambda path: path.write_bytes(b"prices")) == digest
    assert store.get(digest).read_bytes() == b"prices"
    store.path(digest).write_bytes(b"tampered")
    assert store.get(digest) is None
    assert store.get("0" * 64) is None
    assert [p for p in (tmp_path / "store").iterdir() if p.name.startswith(".")] == []


def test_pandas_reads_a_file_back_with_its_index(tmp_path):
    frames = {
        "signals": frame().set_index(frame().index.set_levels(frame().index.levels[1].astype("str"), level=1)),
        "plain": pd.DataFrame({"fold": np.array([0, 1], np.int32), "who": pd.Series(["a", "b"], dtype="str")}),
        "dated": pd.DataFrame(
            {"A": [1.0], "cash": [2.0]}, index=pd.DatetimeIndex(["2020-01-01"], tz="UTC", name="date").as_unit("ns")
        ),
        "empty": frame().iloc[:0].reset_index(drop=True),
    }
    for name, one in frames.items():
        path = tmp_path / f"{name}.parquet"
        write_parquet(path, one)
        pd.testing.assert_frame_equal(pd.read_parquet(path), one, check_freq=False)
        names = [level for level in one.index.names if level is not None]
        assert list(read_parquet(path).columns) == [*names, *one.columns]  # the index leads
        pd.testing.assert_frame_equal(read_parquet(path, index=names or None), one, check_freq=False)


def test_parquet_without_index_description_is_read(tmp_path):
    write_parquet(tmp_path / "old", frame(), describe_index=False)
    assert read_parquet(tmp_path / "old", index=["date", "ticker"]).equals(frame())
    assert pd.read_parquet(tmp_path / "old").columns.tolist() == ["date", "ticker", "score", "fold"]
