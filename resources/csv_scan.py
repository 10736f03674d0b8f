"""Finds the records of a piece of delimited text, and the lines that are none.

Kept apart because it needs numba, whose import takes a second: only CSV inputs pay for it.

The grammar is RFC 4180, with quotes inside unquoted fields taken literally (`5" pipe`). A record that does not hold as
many fields as the header, whose closing quote is followed by something else than a separator, or whose quote is not closed
within `MAX_RECORD` bytes, is broken: its first line is set aside and reading goes on at the next line, so that one stray
quote costs one line and not the rest of the file.
"""

import numba
import numpy as np
import numpy.typing as npt

MAX_RECORD = 256 * 1024
WRONG_COUNT, BAD_QUOTE, OPEN_QUOTE = 1, 2, 3

_QUOTE, _LF, _CR = 34, 10, 13
_START, _PLAIN, _QUOTED, _CLOSED = 0, 1, 2, 3


@numba.njit(cache=True)
def scan(  # noqa: PLR0912, PLR0915 - one state machine, to be read at one go
    data: npt.NDArray[np.uint8], expected: int, separator: int, final: bool, broken: npt.NDArray[np.int64]
) -> tuple[int, int, int]:
    """(bytes consumed, records found, broken ones among them) of `data`, which begins at the start of a record.

    Each broken line leaves (start, end, index of the record, kind, fields) in `broken`; when that is full the scan stops
    after it. Unless `final`, an unfinished last record is left for the next piece.
    """
    size = data.shape[0]
    position = 0
    records = 0
    found = 0
    while position < size and found < broken.shape[0]:
        if data[position] in (_LF, _CR):
            position += 1
            continue
        i = position
        state = _START
        fields = 1
        line_end = -1
        kind = 0
        ended = False
        while i < size:
            byte = data[i]
            if state == _QUOTED:
                if byte == _QUOTE:
                    state = _CLOSED
                elif byte in (_LF, _CR) and line_end < 0:
                    line_end = i
                if line_end >= 0 and i - position > MAX_RECORD:
                    kind = OPEN_QUOTE
                    break
            elif byte in (_LF, _CR):
                ended = True
                break
            elif byte == separator:
                fields += 1
                state = _START
            elif state == _START:
                state = _QUOTED if byte == _QUOTE else _PLAIN
            elif state == _CLOSED:
                if byte != _QUOTE:
                    kind = BAD_QUOTE
                    break
                state = _QUOTED
            i += 1
        if not ended and kind == 0:
            if not final:
                break
            if state == _QUOTED:
                kind = OPEN_QUOTE
        if kind == 0 and fields != expected:
            kind = WRONG_COUNT
        if kind != 0:
            if line_end >= 0:
                kind = OPEN_QUOTE
            else:
                line_end = i
                while line_end < size and data[line_end] not in (_LF, _CR):
                    line_end += 1
                if line_end == size and not final:
                    break
            i = line_end
            broken[found, 0] = position
            broken[found, 1] = line_end
            broken[found, 2] = records
            broken[found, 3] = kind
            broken[found, 4] = fields
            found += 1
        records += 1
        position = i
    return position, records, found
