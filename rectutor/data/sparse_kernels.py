"""The compiled parser of libsvm and libffm text.

It goes over the bytes of whole lines once and stops at the first token that it does not understand; what is wrong with
that token is for the caller to find out, once. Decimal numbers become float32 as ``float32(float(text))`` would make
them: up to 2^53 and within ten to the plus or minus 22 one multiplication or division of two exact numbers rounds
once, as float() does (Clinger, 1990). Elsewhere the product is off by less than four units in the last place; where
both ends of that interval round to the same float32, so does everything between. What remains, about one number in
10^8, is left to Python. A value of zero counts as any other.

Shapes: N rows, P pairs, W numbers left to Python.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Int = NDArray[np.int64]

DONE, BAD_LABEL, BAD_PAIR, MIXED = range(4)
"""How the parser ended: at the end, at a label, at a pair, at a label that does not go with an earlier one."""

READ, UNCERTAIN, MALFORMED = range(3)
"""A number that was read, that is left to Python, that is none."""

LARGEST_FIELD = 2**31 - 1
_DEEPEST = 60
_POWERS = np.array([float(f"1e{e}") for e in range(_DEEPEST + 1)])
_EXACT = 22  # 10^22 is the greatest power of ten that a 64-bit number holds exactly
_APART = 4 * np.finfo(np.float64).eps

TAB, NEWLINE, RETURN, SPACE, HASH, PLUS, MINUS, POINT, ZERO, COLON, UPPER_E, LOWER_E = (
    ord(c) for c in "\t\n\r #+-.0:Ee"
)


@njit(cache=True, nogil=True)
def count(text: Bytes) -> tuple[int, int]:
    """How many line ends and how many colons there are."""
    lines = colons = 0
    for c in text:
        lines += c == NEWLINE
        colons += c == COLON
    return lines, colons


@njit(cache=True, nogil=True)
def ends_token(c: int) -> bool:
    """Whether a byte ends a token."""
    return c in (SPACE, NEWLINE, TAB, RETURN, HASH)


@njit(cache=True, nogil=True)
def whole(text: Bytes, at: int) -> tuple[int, int]:
    """The whole number that starts here, -1 if there is none or it is above 2^63 - 1, and where it ends."""
    value, start = 0, at
    while True:
        d = int(text[at]) - ZERO
        if d < 0 or d > 9:
            return value if at > start else -1, at
        if value >= 922337203685477580 and (value > 922337203685477580 or d > 7):
            return -1, at
        value = 10 * value + d
        at += 1


@njit(cache=True, nogil=True)
def number(text: Bytes, at: int) -> tuple[int, float, int]:
    """The decimal number that starts here: whether it was read, its value, and where it ends."""
    negative = bool(text[at] == MINUS)
    if negative or text[at] == PLUS:
        at += 1
    digits, shift, cut, any_digit, point = 0, 0, False, False, False
    while True:
        d = int(text[at]) - ZERO
        if 0 <= d <= 9:
            any_digit = True
            if digits < 10**17:
                digits = 10 * digits + d
                shift -= point
            else:
                cut |= d > 0
                shift += not point
        elif text[at] == POINT and not point:
            point = True
        else:
            break
        at += 1
    if not any_digit:
        return MALFORMED, 0.0, at
    if text[at] == LOWER_E or text[at] == UPPER_E:
        at += 1
        down = bool(text[at] == MINUS)
        if down or text[at] == PLUS:
            at += 1
        power, start = 0, at
        while True:
            d = int(text[at]) - ZERO
            if d < 0 or d > 9:
                break
            power = min(10 * power + d, 10**6)
            at += 1
        if at == start:
            return MALFORMED, 0.0, at
        shift += -power if down else power
    value, kind = float(digits), READ
    if (digits != 0 and shift != 0) or cut or digits > 2**53:
        if abs(shift) <= _DEEPEST:
            value = value * _POWERS[shift] if shift >= 0 else value / _POWERS[-shift]
            if cut or digits > 2**53 or abs(shift) > _EXACT:
                low, high = np.float32(value * (1 - _APART)), np.float32(value * (1 + _APART))
                kind = READ if low == high else UNCERTAIN
        else:
            kind = UNCERTAIN
    return kind, -value if negative else value, at


@njit(cache=True, nogil=True)
def parse(
    text: Bytes,
    with_fields: bool,
    largest: int,
    line: int,
    first: Int,
    label: Any,
    indptr: Int,
    ids: Int,
    values: Any,
    fields: Any,
    left: Int,
) -> tuple[int, int, int, int, int, int, int, Int]:
    """Read whole lines.

    Args:
        text: bytes; the last one is a line end.
        with_fields: whether a pair is field:id:value or id:value.
        largest: the greatest id there may be.
        line: the number of lines before these.
        first: the lines of the first label 0 and of the first label -1, 0 where there was none [2]; updated.
        label, indptr, ids, values, fields: filled; there is room for one pair more than there may be.
        left: room for numbers left to Python: pair, where its value starts and ends [W, 3].

    Returns:
        How it ended, the number of lines so far, where the last line and token start, N, P, W, and ``left``, which may
        have grown.
    """
    at, rows, pairs, waiting, begin = 0, 0, 0, 0, 0
    size = len(text)
    indptr[0] = 0
    while at < size:
        line += 1
        begin = at
        while text[at] == SPACE or text[at] == TAB or text[at] == RETURN:
            at += 1
        if text[at] != NEWLINE and text[at] != HASH:
            start = at
            kind, value, at = number(text, at)
            if kind != READ or not ends_token(text[at]) or not (value == 1 or value == 0 or value == -1):
                return BAD_LABEL, line, begin, start, rows, pairs, waiting, left
            if value != 1:
                mine = 0 if value == 0 else 1
                if first[1 - mine] > 0:
                    return MIXED, line, begin, start, rows, pairs, waiting, left
                if first[mine] == 0:
                    first[mine] = line
            label[rows] = 1 if value == 1 else 0
            while True:
                while text[at] == SPACE or text[at] == TAB or text[at] == RETURN:
                    at += 1
                if text[at] == NEWLINE or text[at] == HASH:
                    break
                start = at
                if with_fields:
                    field, at = whole(text, at)
                    if field < 0 or field > LARGEST_FIELD or text[at] != COLON:
                        return BAD_PAIR, line, begin, start, rows, pairs, waiting, left
                    fields[pairs] = field
                    at += 1
                i, at = whole(text, at)
                if i < 0 or i > largest or text[at] != COLON:
                    return BAD_PAIR, line, begin, start, rows, pairs, waiting, left
                ids[pairs] = i
                at += 1
                value_at = at
                if text[at] == ZERO + 1 and (text[at + 1] == SPACE or text[at + 1] == NEWLINE):
                    values[pairs] = 1  # most values are
                    at += 1
                else:
                    kind, value, at = number(text, at)
                    single = np.float32(value)
                    if kind == MALFORMED or not ends_token(text[at]) or (kind == READ and not np.isfinite(single)):
                        return BAD_PAIR, line, begin, start, rows, pairs, waiting, left
                    values[pairs] = single
                    if kind == UNCERTAIN:
                        if waiting == len(left):
                            more = np.empty((2 * waiting + 8, 3), np.int64)
                            more[:waiting] = left
                            left = more
                        left[waiting, 0] = pairs
                        left[waiting, 1] = value_at
                        left[waiting, 2] = at
                        waiting += 1
                pairs += 1
            rows += 1
            indptr[rows] = pairs
        while text[at] != NEWLINE:
            at += 1
        at += 1
    return DONE, line, begin, at, rows, pairs, waiting, left
