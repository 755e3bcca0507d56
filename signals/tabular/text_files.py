"""Opening of text files: plain, gzipped or zipped, UTF-8 or UTF-16, with errors of one line."""

from __future__ import annotations

import codecs
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from signals.common.errors import InputError
from signals.common.text import one_line

__all__ = ["EmptyTableError", "first_lines", "open_text", "reading"]

# Prices compress to a fifth or a tenth, gzip at most to a thousandth. A file that exceeds both limits is refused as a
# decompression bomb.
BOMB_BYTES = 64 * 2**20
BOMB_RATIO = 100

# The header of a table with 100,000 columns of tickers is shorter.
LONGEST_HEADER = 2**21


# First bytes of other kinds of files, their names, and remedies.
_PACKED = (
    (b"\x1f\x8b", "a gzip file", "let its name end in .gz"),
    (b"PK\x03\x04", "a zip archive or a workbook", "let its name end in .zip, or save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "a workbook", "save the sheet as CSV"),
    (b"PAR1", "a Parquet file", "let its name end in .parquet"),
)


class EmptyTableError(InputError):
    """A file has no rows: an error for a single file, a warning for one of many."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Convert the exceptions of reading a file into an `InputError` of one line.

    Raises
    ------
    InputError
        When the file is missing, cannot be read, or is not a complete gzip file or not UTF-8.
    """
    try:
        yield
    except InputError as error:
        raise type(error)(one_line(str(error))) from error.__cause__
    except FileNotFoundError as error:
        raise InputError(f"expected a file {path}; found none; correct the path") from error
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
        if "Not a gzipped file" in str(error):
            raise InputError(
                f"expected a gzip file {path.name}; found another kind; take .gz off its name, or get it again"
            ) from error
        kind = "zip" if path.name.lower().endswith(".zip") else "gzip"
        raise InputError(
            f"expected a whole {kind} file {path.name}; found a damaged one ({one_line(str(error))}); get it again"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"expected text in UTF-8 in {path.name}; found the byte 0x{error.object[error.start]:02x}; save it as UTF-8"
        ) from error
    except UnicodeError as error:  # text that begins like UTF-16 and is not
        raise InputError(f"expected text in {path.name}; found {one_line(str(error))}; save it as UTF-8") from error
    except OSError as error:
        raise InputError(f"expected to read {path}; found: {error.strerror or error}; make it readable") from error


class _BoundedGzipFile(gzip.GzipFile):
    """A gzip file that raises `InputError` when it unpacks to more than any price file would."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "rb")
        self._bound = max(BOMB_BYTES, BOMB_RATIO * path.stat().st_size)
        self._path = path

    def read1(self, size: int = -1) -> bytes:
        block = super().read1(size)
        if self.tell() > self._bound:
            raise InputError(
                f"expected a gzip file of prices in {self._path.name}; found one that unpacks to more than "
                f"{BOMB_RATIO} times its size; unpack it yourself if you trust it"
            )
        return block


def open_text(path: Path) -> IO[str]:
    """Open a file as text; to be used inside `reading`.

    A name in `.gz` means gzipped, a name in `.zip` the only file of an archive. The encoding is UTF-16 with such a byte
    order mark (as spreadsheets write "Unicode text"), otherwise UTF-8.
    """
    with _open_bytes(path) as stream:
        start = stream.read(4)
    for mark, kind, remedy in _PACKED:
        if start.startswith(mark):
            raise InputError(f"expected text in {path.name}; found {kind}; {remedy}")
    stream = _open_bytes(path)
    wide = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and not start.startswith(codecs.BOM_UTF32_LE)
    return io.TextIOWrapper(stream, encoding="utf-16" if wide else "utf-8-sig", newline="")


def _open_bytes(path: Path) -> IO[bytes]:
    name = path.name.lower()
    if name.endswith(".gz"):
        return cast("IO[bytes]", _BoundedGzipFile(path))
    if name.endswith(".zip"):
        return _only_member(path)
    return open(path, "rb")


def _only_member(path: Path) -> IO[bytes]:
    """Open the only file of a zip archive; entries that macOS adds are ignored."""
    with zipfile.ZipFile(path) as archive:
        inside = [i for i in archive.infolist() if not i.is_dir() and not i.filename.startswith("__MACOSX/")]
        if len(inside) != 1:
            found = ", ".join(item.filename for item in inside[:5]) or "none"
            raise InputError(f"expected one file inside {path.name}; found {len(inside)} ({found}); unpack it")
        if inside[0].filename.lower().endswith((".parquet", ".gz", ".zip", ".xlsx")):
            raise InputError(f"expected a text file inside {path.name}; found {inside[0].filename}; unpack it")
        if inside[0].file_size > max(BOMB_BYTES, BOMB_RATIO * path.stat().st_size):
            raise InputError(
                f"expected a zip file of prices in {path.name}; found one that unpacks to more than {BOMB_RATIO} times "
                "its size; unpack it yourself if you trust it"
            )
        try:
            return archive.open(inside[0])
        except (
            RuntimeError,
            NotImplementedError,
        ) as error:  # encrypted, or compressed by a method that Python does not support
            raise InputError(
                f"expected a plain zip file {path.name}; found {one_line(str(error))}; unpack it"
            ) from error


def first_lines(path: Path, count: int) -> list[str]:
    """First lines of a file; empty text for those it does not have.

    Raises
    ------
    InputError
        When all of them are blank, or one is longer than a header can be.
    """
    with open_text(path) as handle:
        lines = [handle.readline(LONGEST_HEADER) for _ in range(count)]
    if not any(line.strip() for line in lines):
        raise EmptyTableError(f"expected a header line in {path.name}; found an empty file; get it again")
    if max(map(len, lines)) == LONGEST_HEADER:
        raise InputError(
            f"expected lines of text in {path.name}; found one of more than {LONGEST_HEADER:,} characters; check "
            "that the file is a table"
        )
    return lines
