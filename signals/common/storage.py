"""Atomic and reproducible storage: files, canonical JSON, Parquet, and a content-addressed store.

A file is written to a temporary file on the same file system, synced and renamed. JSON and Parquet have a fixed layout,
so that equal values give equal bytes. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from signals.common.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ContentStore",
    "atomic_write",
    "canonical_json",
    "read_json",
    "read_parquet",
    "remove_temporary_files",
    "sha256_bytes",
    "sha256_file",
    "write_json",
    "write_parquet",
]


def atomic_write(path: Path, content: bytes | Callable[[IO[bytes]], None]) -> None:
    """Write `path` atomically: a reader finds the old file or the complete new one, also after a crash.

    Parameters
    ----------
    path : Path
        Destination; missing parent folders are created.
    content : bytes or callable
        The bytes, or a function that writes them to the open binary file it is given.

    Raises
    ------
    InputError
        When the operating system refuses (full disk, no permission). The destination is untouched.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Mode "x" creates a new file with the permissions of any other new file: the system applies the umask, which
        # a process cannot read without changing it for all of its threads.
        draft = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
        with open(draft, "xb") as handle:
            temporary = draft
            if callable(content):
                content(handle)
            else:
                handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(draft, path)
        temporary = None
        _sync_folder(path.parent)
    except OSError as error:
        raise InputError(
            f"expected to write {path}; found {error.strerror or error}; free disk space or choose another folder, "
            "and run the same command again (finished work is kept)"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Sync a folder, so that a rename in it survives a power failure, where the system supports it."""
    if sys.platform == "win32":
        return  # Windows opens no folder as a file, and needs none to be synced
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return  # a folder that may be written but not listed
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some file systems cannot sync a folder
    finally:
        os.close(descriptor)


def remove_temporary_files(folder: Path) -> None:
    """Remove temporary files that killed writers left in `folder`; no other process may be writing there."""
    for path in Path(folder).glob(".*.tmp"):
        path.unlink(missing_ok=True)


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys, no spaces and no NaN: equal values give equal bytes, so it can be hashed.

    >>> canonical_json({"b": 1, "a": [0.5, None]})
    b'{"a":[0.5,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, atomically."""
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    atomic_write(path, text.encode() + b"\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; a missing or damaged one is an `InputError` naming it."""
    try:
        return json.loads(Path(path).read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"expected a file {path}; found none; run the stage that writes it") from error
    except (ValueError, OSError) as error:
        raise InputError(f"expected JSON in {path}; found a damaged file ({error}); delete it and run again") from error


def write_parquet(path: Path, frame: pd.DataFrame, *, describe_index: bool = True) -> None:
    """Write a frame as Parquet: index first, zstd, fixed column order, no volatile metadata, atomically.

    Parameters
    ----------
    path : Path
        Destination.
    frame : DataFrame
        Its index levels are named and become the leading columns; a plain row count (`RangeIndex`) becomes none.
    describe_index : bool
        Whether the file records which of its columns are the index, so that `pandas.read_parquet` restores the frame.
        With False the index becomes ordinary columns and the bytes depend on the values alone, as content hashes of
        inputs require.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if describe_index:
        table = _described(pa.Table.from_pandas(frame))
    else:
        table = pa.Table.from_pandas(frame.reset_index(), preserve_index=False).replace_schema_metadata(None)

    def write(handle: IO[bytes]) -> None:
        pq.write_table(table, handle, compression="zstd", version="2.6")

    atomic_write(path, write)


def _described(table: Any) -> Any:
    """Put index columns first, text into one Arrow type, and leave versions out of the description."""
    import pyarrow as pa

    described = json.loads(table.schema.metadata[b"pandas"])
    # versions would change the bytes of equal data
    described["creator"] = {"library": "rnn-strategies", "version": ""}
    described["pandas_version"] = ""
    index = [name for name in described["index_columns"] if isinstance(name, str)]
    names = [*index, *(name for name in table.column_names if name not in index)]
    # text is string or large_string by the dtype it had in memory, which is no property of the values
    fields = [
        field.with_type(pa.string()) if pa.types.is_large_string(field.type) else field
        for field in (table.schema.field(name) for name in names)
    ]
    metadata = {"pandas": json.dumps(described, sort_keys=True)}
    return table.select(names).cast(pa.schema(fields)).replace_schema_metadata(metadata)


def read_parquet(path: Path, *, index: list[str] | None = None) -> pd.DataFrame:
    """Read a Parquet file and set `index` again.

    Parameters
    ----------
    path : Path
        The file. Its own description of the index is ignored, so that files without one are read in the same way.
    index : list of str, optional
        Columns that become the index; without it all of them stay columns.

    Returns
    -------
    DataFrame
        Times in nanoseconds. Text has the dtype with which it was written, pandas' `str` or `object`; `object` where
        the file does not record it.

    Raises
    ------
    InputError
        When the file is missing, truncated or lacks one of the `index` columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        frame = table.to_pandas(ignore_metadata=True)
    except FileNotFoundError as error:
        raise InputError(f"expected a file {path}; found none; run the stage that writes it") from error
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"expected a Parquet file at {path}; found a damaged one ({reason}); write it again"
        ) from error
    described = json.loads((table.schema.metadata or {}).get(b"pandas", b"{}"))
    strings = {column["field_name"] for column in described.get("columns", ()) if column["numpy_type"] == "str"}
    for name, kind in frame.dtypes.items():
        text = str(kind)
        if text.startswith("datetime64"):
            frame[name] = frame[name].astype(re.sub(r"\[\w+", "[ns", text, count=1))
        elif text in ("str", "string") and name not in strings:
            frame[name] = frame[name].astype(object)
    if index:
        missing = [name for name in index if name not in frame.columns]
        if missing:
            raise InputError(
                f"expected columns {', '.join(index)} in {path}; found {', '.join(map(str, frame.columns))}; "
                "write it again"
            )
        frame = frame.set_index(index)
    return frame


def sha256_bytes(content: bytes) -> str:
    """Hexadecimal SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in blocks."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class ContentStore:
    """Content-addressed store: files under the hash of their content.

    Parameters
    ----------
    root : Path
        Folder of the store; a file with hash `abcd…` lies at `root/ab/abcd…`.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def path(self, digest: str) -> Path:
        """Path of the content with this hash, whether it exists or not."""
        return self.root / digest[:2] / digest

    def put(self, content: bytes | Callable[[Path], None]) -> str:
        """Store bytes, or the file that a function writes at the path it is given; return the hash."""
        if not callable(content):
            digest = sha256_bytes(content)
            if self.get(digest) is None:
                atomic_write(self.path(digest), content)
            return digest
        scratch: Path | None = None
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(dir=self.root, prefix=".incoming."))
            content(scratch / "file")
            digest = sha256_file(scratch / "file")
            # an equal file need not be replaced, and Windows cannot replace one that a reader has open
            if self.get(digest) is None:
                self.path(digest).parent.mkdir(parents=True, exist_ok=True)
                os.replace(scratch / "file", self.path(digest))
        except OSError as error:
            raise InputError(
                f"expected to write under {self.root}; found {error.strerror or error}; free disk space or choose "
                "another folder"
            ) from error
        finally:
            if scratch is not None:
                (scratch / "file").unlink(missing_ok=True)
                scratch.rmdir()
        return digest

    def get(self, digest: str) -> Path | None:
        """Path of the content if it exists and still has its hash, else None."""
        path = self.path(digest)
        return path if path.exists() and sha256_file(path) == digest else None
