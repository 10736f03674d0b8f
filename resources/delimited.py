"""Reads CSV and its relatives as text, whatever their encoding, separator and quoting, without losing a line.

Rows are found by `csv_scan`, their fields by Arrow; the two must agree on the count. Bytes that are not UTF-8 are read as
Windows-1252, which contains Latin-1, byte by byte, so that a file put together from several sources comes out right.
"""

import codecs
import contextlib
import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv as pacsv

from lifecycle_assets.errors import InputError
from lifecycle_assets.inputs.feed import BROKEN, Batch

PIECE = 32 * 1024 * 1024
SAMPLE = 256 * 1024
SEPARATORS = ",;\t|"
SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
_BROKEN_AT_ONCE = 4096
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


@dataclass(frozen=True)
class Layout:
    """How a file is to be read: its columns' unique names, what separates them, and where the rows begin."""

    columns: tuple[str, ...]
    repeated: frozenset[str]
    separator: str
    encoding: str
    body: int
    """Bytes before the first row, as UTF-8."""


def layout(path: Path) -> Layout:
    """Look at the beginning of the file. An empty file has no columns.

    Raises InputError when the file is compressed and damaged.
    """
    try:
        with _open(path) as stream:
            encoding = _encoding(stream.read(4096))
    except (EOFError, zlib.error, gzip.BadGzipFile):
        # Said by whoever reads the body, in one place.
        encoding = "utf-8"
    start = b""
    for piece in _text(path, encoding):
        start += piece
        if len(start) >= SAMPLE:
            break
    sample = start[:SAMPLE].decode("utf-8", "ignore")
    text = sample.removeprefix("\ufeff")
    separator = None
    if text[:4].lower() == "sep=" and len(text) > 4:
        # Excel's own hint at the separator, on a line of its own.
        separator = text[4]
        text = text[text.find("\n") + 1 :]
    text = text.lstrip("\r\n")
    if not text.strip():
        return Layout((), frozenset(), separator or ",", encoding, 0)
    separator = separator or _separator(text)
    names, length = _header(text, separator)
    columns, repeated = unique(names)
    return Layout(columns, repeated, separator, encoding, len(sample[: len(sample) - len(text) + length].encode()))


def batches(path: Path, shape: Layout, first: int) -> Iterator[Batch]:
    """The rows after the header, all as text, empty fields as null; `first` is the position of the first one.

    Raises InputError when the file ends in the middle of its compression.
    """
    # Needs numba, whose import takes a second.
    from resources.csv_scan import scan

    if not shape.columns:
        return
    broken = np.empty((_BROKEN_AT_ONCE, 5), dtype=np.int64)
    carry = b""
    for piece, final in _pieces(path, shape.encoding, shape.body):
        data = carry + piece if carry else piece
        start = 0
        view = np.frombuffer(data, dtype=np.uint8)
        while start < len(data):
            used, records, found = scan(view[start:], len(shape.columns), ord(shape.separator), final, broken)
            if records:
                yield _batch(data, start, used, records, broken[:found], shape, first)
                first += records
            start += used
            if found < _BROKEN_AT_ONCE:
                break
        carry = data[start:]


def unique(names: list[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Names trimmed, empty ones and repetitions numbered, and the names that were repeated."""
    seen: dict[str, int] = {}
    columns = []
    for position, raw in enumerate(names, start=1):
        name = raw.strip() or f"column {position}"
        seen[name] = seen.get(name, 0) + 1
        columns.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(columns), frozenset(name for name, count in seen.items() if count > 1)


def _batch(data: bytes, start: int, used: int, records: int, broken: Any, shape: Layout, first: int) -> Batch:
    positions = np.arange(first, first + records, dtype=np.int64)
    if len(broken):
        cuts = [(start + int(row[0]), start + int(row[1])) for row in broken]
        edges = [start, *(edge for cut in cuts for edge in cut), start + used]
        good: bytes | memoryview = b"".join(data[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True))
        lines = [data[a:b].decode("utf-8", "cp1252-bytes").rstrip("\r") for a, b in cuts]
        at = broken[:, 2]
        aside = pl.DataFrame(
            {"number": positions[at], "line": lines, "message": [_message(row, shape) for row in broken]}, schema=BROKEN
        )
        positions = np.delete(positions, at)
    else:
        good, aside = memoryview(data)[start : start + used], pl.DataFrame(schema=BROKEN)
    rows = _parse(good, shape) if len(positions) else pl.DataFrame(schema=dict.fromkeys(shape.columns, pl.String))
    if rows.height != len(positions):
        raise InputError(
            f"{rows.height} rows were read where {len(positions)} were counted, after row {first}. "
            "Please report this, with the lines around it; nothing was read from the file."
        )
    return Batch(rows, pl.Series("number", positions), aside)


def _parse(data: bytes | memoryview, shape: Layout) -> pl.DataFrame:
    table = pacsv.read_csv(
        pa.BufferReader(pa.py_buffer(data)),
        read_options=pacsv.ReadOptions(column_names=list(shape.columns), block_size=len(data) + 1),
        parse_options=pacsv.ParseOptions(delimiter=shape.separator, newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(shape.columns, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        ),
    )
    return pl.DataFrame(pl.from_arrow(table))


def _message(row: Any, shape: Layout) -> str:
    kind, fields = int(row[3]), int(row[4])
    if kind == 1:
        return f"the line has {fields} fields where the header has {len(shape.columns)}"
    return "text follows a closing quote" if kind == 2 else "a quote is opened that is not closed as it should be"


def _pieces(path: Path, encoding: str, skip: int) -> Iterator[tuple[bytes, bool]]:
    """The file as UTF-8 without its first `skip` bytes, piece by piece, with a mark on the last one."""
    piece = b""
    for following in _text(path, encoding):
        if skip >= len(piece):
            skip, piece = skip - len(piece), b""
        else:
            yield piece[skip:], False
            skip = 0
        piece = following
    yield piece[skip:], True


def _text(path: Path, encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("cp1252-bytes" if encoding == "utf-8" else "replace")
    plain = encoding == "utf-8"
    pending = False
    try:
        with _open(path) as stream:
            while piece := stream.read(PIECE):
                if plain and not pending and piece.isascii():
                    yield piece
                else:
                    yield decoder.decode(piece).encode()
                    pending = bool(decoder.getstate()[0])
            yield decoder.decode(b"", True).encode()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: the compressed file is cut off or damaged ({error}). Export it again.") from error


def _open(path: Path) -> gzip.GzipFile | io.BufferedReader:
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")


def _encoding(start: bytes) -> str:
    if start[:2] in _UTF16:
        return _UTF16[start[:2]]
    # Latin text in UTF-16 without a mark has a zero in every other byte.
    head = start[:4096]
    if len(head) >= 4 and head[1::2].count(0) > len(head) // 4:
        return "utf-16-le"
    if len(head) >= 4 and head[::2].count(0) > len(head) // 4:
        return "utf-16-be"
    return "utf-8"


def _separator(text: str) -> str:
    """The separator that splits the header and the rows after it into the same, and the largest, number of fields."""
    sample = text[: text.rfind("\n") + 1] or text

    def fit(separator: str) -> tuple[bool, float, int]:
        counts: list[int] = []
        # A quote that is never closed ends the sample early; what was counted until then stands.
        with contextlib.suppress(csv.Error):
            for record in csv.reader(io.StringIO(sample, newline=""), delimiter=separator):
                if record:
                    counts.append(len(record))
                if len(counts) == 50:
                    break
        if not counts:
            return False, 0.0, 0
        return counts[0] > 1, counts.count(counts[0]) / len(counts), counts[0]

    return max(SEPARATORS, key=fit)


def _header(text: str, separator: str) -> tuple[list[str], int]:
    """The names in the first record, and its length in characters with the line end."""
    taken = 0

    def lines() -> Iterator[str]:
        nonlocal taken
        for line in io.StringIO(text, newline=""):
            taken += len(line)
            yield line

    return next(csv.reader(lines(), delimiter=separator)), taken


def _cp1252_bytes(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)  # noqa: S101
    bad = error.object[error.start : error.end]
    return "".join(_CP1252[byte] for byte in bad), error.end


# The five bytes that Windows-1252 leaves undefined are the control characters that Latin-1 has there.
_CP1252 = [bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in range(256)]
codecs.register_error("cp1252-bytes", _cp1252_bytes)
