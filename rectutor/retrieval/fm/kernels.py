"""The compiled loops of per-example AdaGrad: one kernel for LR, FM and FFM.

With the sums of each field, :math:`s_{g,f} = \\sum_{j: f_j = g} x_j v_{j,f}` [F, F, k], the derivative of an FFM's
logit by :math:`v_{i,f}` is :math:`x_i (s_{f,f_i} - [f = f_i]\\, x_i v_{i,f_i})`: a row of the table meets one row of
sums, both contiguous, and an example costs O(S F k) instead of O(S² k). An FM is the case F = 1, LR the case k = 0.

A feature has one row of the flat table: P weights [v_{i,1}, ..., v_{i,F}, w_i, 0, ...], then their P accumulators; P is
a multiple of the 16 floats of a cache line. What w meets is the constant 1, which stands among the sums, so that one
loop updates a whole row: g = c s + r v, where r is the rate of L2 less the feature's own part.

These loops are short, and LLVM's vectoriser makes nothing of them, so vectors of floats are a type here (``Lanes``),
and their operations are intrinsics. LLVM turns them into what the processor has.

Shapes: N examples, S slots, F fields, M dense columns, k factors, V = F k, P = V + 1 rounded up to 16, R rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, prange, types
from numba.core import cgutils as _cgutils
from numba.extending import intrinsic as _intrinsic
from numba.extending import models, register_model
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
cgutils: Any = _cgutils
intrinsic: Any = _intrinsic  # what it makes is called by compiled code, with one argument less than is declared

LINE = 16
"""Floats of a cache line, and of a vector."""
WIDE = (0,) * LINE
"""Stands for a vector's length: the compiler knows a tuple's length, but not an integer's value."""
FAST = ("reassoc", "contract", "arcp", "afn", "nsz")
"""Sums may be regrouped, and 1 / sqrt is an estimate and one Newton step (about 23 bits). NaN and infinity stay."""


# -- vectors of floats -----------------------------------------------------------------------------------
class Lanes(types.Type):
    """A vector of ``n`` floats that lies in registers."""

    def __init__(self, n: int) -> None:
        self.n = n
        super().__init__(name=f"Lanes({n})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, lanes: Lanes) -> None:
        super().__init__(manager, lanes, _vector(lanes.n))  # type: ignore[no-untyped-call]


def _vector(n: int, of: Any = None) -> Any:
    """LLVM's vector of n floats, or of another type."""
    return ir.VectorType(of or ir.FloatType(), n)


def _broadcast(builder: Any, x: Any, n: int) -> Any:
    """A vector with x everywhere."""
    undefined = ir.Constant(_vector(n, x.type), ir.Undefined)
    first = builder.insert_element(undefined, x, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_vector(n, ir.IntType(32)), [0] * n))


def _address(context: Any, builder: Any, array: Any, value: Any, i: Any, of: Any) -> Any:
    """Pointer to element i of a contiguous array."""
    data = context.make_array(array)(context, builder, value).data
    return builder.bitcast(builder.gep(data, [i]), of.as_pointer())


@intrinsic
def load(typing: Any, a: Any, i: Any, like: Any) -> Any:
    """``a[i : i + len(like)]``."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = builder.load(_address(context, builder, a, args[0], args[1], _vector(len(like))))
        vector.align = 4
        return vector

    return Lanes(len(like))(a, types.intp, like), code


@intrinsic
def store(typing: Any, a: Any, i: Any, v: Any) -> Any:
    """``a[i : i + len(v)] = v``."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _address(context, builder, a, args[0], args[1], _vector(v.n))).align = 4
        return context.get_dummy_value()

    return types.void(a, types.intp, v), code


@intrinsic
def spread(typing: Any, x: Any, like: Any) -> Any:
    """A vector with x in all of its ``len(like)`` lanes."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _broadcast(builder, args[0], len(like))

    return Lanes(len(like))(types.float32, like), code


@intrinsic
def times(typing: Any, u: Any, v: Any) -> Any:
    """``u * v``."""
    return u(u, u), lambda context, builder, signature, args: builder.fmul(*args, flags=FAST)


@intrinsic
def plus(typing: Any, u: Any, v: Any) -> Any:
    """``u + v``."""
    return u(u, u), lambda context, builder, signature, args: builder.fadd(*args, flags=FAST)


@intrinsic
def over_root(typing: Any, u: Any, v: Any) -> Any:
    """``u / sqrt(v)``."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = _vector(u.n)
        name = f"llvm.sqrt.v{u.n}f32"
        sqrt = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector]), name)
        root = builder.call(sqrt, [args[1]], fastmath=FAST)
        inverse = builder.fdiv(ir.Constant(vector, [1.0] * u.n), root, flags=FAST)
        return builder.fmul(args[0], inverse, flags=FAST)

    return u(u, u), code


@intrinsic
def choose(typing: Any, u: Any, v: Any, start: Any, n: Any) -> Any:
    """The lanes start to start + n of u, the others of v; start may be negative."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        start, n = (_broadcast(builder, builder.trunc(x, ir.IntType(32)), u.n) for x in args[2:])
        lane = ir.Constant(_vector(u.n, ir.IntType(32)), list(range(u.n)))
        return builder.select(builder.icmp_unsigned("<", builder.sub(lane, start), n), *args[:2])

    return u(u, u, types.intp, types.intp), code


@intrinsic
def total(typing: Any, v: Any) -> Any:
    """The sum of the lanes, whose number is a power of 2."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector, n = args[0], v.n
        while n > 1:
            undefined, n = ir.Constant(vector.type, ir.Undefined), n // 2
            low, high = (
                builder.shuffle_vector(vector, undefined, ir.Constant(_vector(n, ir.IntType(32)), list(part)))
                for part in (range(n), range(n, 2 * n))
            )
            vector = builder.fadd(low, high, flags=FAST)
        return builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))

    return types.float32(v), code


@intrinsic
def fetch(typing: Any, a: Any, i: Any) -> Any:
    """Ask for the cache line of ``a[i]`` to come to the second-level cache; the first holds the sums, and is small."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte, word = ir.IntType(8), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte.as_pointer(), word, word, word])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        to_read, second_level, data = (ir.Constant(word, x) for x in (0, 2, 1))
        address = _address(context, builder, a, args[0], args[1], byte)
        builder.call(prefetch, [address, to_read, second_level, data])
        return context.get_dummy_value()

    return types.void(a, types.intp), code


# -- one example -----------------------------------------------------------------------------------------
@njit(cache=True, nogil=True)
def _present(
    n: int,
    rows: Any,
    x: Floats,
    fields: Ints,
    stride: int,
    normalize: bool,
    base: Ints,
    field: Ints,
    value: Floats,
    count: Ints,
    known: int,
) -> int:
    """The features with x_i ≠ 0: where their rows begin, their fields, their values; how many, in all and by field."""
    if len(x) == 0 and known > 0:  # without values, only the rows differ from the example before
        for j in range(known):
            base[j] = np.int64(rows[n, j]) * stride
        return known
    count[:] = 0
    m, squared = 0, 0.0
    for j in range(rows.shape[1]):
        v = x[n, j] if len(x) else np.float32(1)
        if v == 0:
            continue
        base[m], field[m], value[m] = np.int64(rows[n, j]) * stride, fields[j], v
        count[fields[j]] += 1
        squared += np.float64(v) * v
        m += 1
    if normalize:
        scale = np.float32(1 / max(np.sqrt(squared), 1e-12))
        for i in range(m):
            value[i] *= scale
    return m


@njit(cache=True, nogil=True)
def _logit(
    m: int,
    base: Ints,
    field: Ints,
    value: Floats,
    count: Ints,
    met: Any,
    k: int,
    block: Any,
    table: Floats,
    p: int,
    sums: Floats,
    shrink: Floats,
    l2: np.float32,
) -> np.float32:
    """Σ w_i x_i and the crosses of the m features; leaves s_{g,f} in ``sums[f P + g k]`` and L2 in ``shrink``.

    A feature is multiplied with the sums so far, so that each pair counts once. ``met`` says of which fields ``sums``
    and ``shrink`` tell; the columns of absent fields are zero.
    """
    n_fields = len(count)
    v = n_fields * k
    zero = spread(np.float32(0), WIDE)
    z = np.float32(0)
    for i in range(m):
        z += value[i] * table[base[i] + v]
    for f in range(n_fields):
        if met[f] != (count[f] > 0):
            met[f] = count[f] > 0
            for d in range(f * k, f * k + k):
                shrink[d] = l2 if met[f] else np.float32(0)
                for g in range(n_fields):
                    sums[g * p + d] = 0
    if n_fields == 1:
        for c in range(0, v, LINE):
            cross, s = zero, zero
            for i in range(m):
                xv = times(spread(value[i], WIDE), load(table, base[i] + c, WIDE))
                cross = plus(times(xv, s), cross)
                s = plus(xv, s)
            z += total(choose(cross, zero, -c, v))
            store(sums, c, choose(s, load(sums, c, WIDE), -c, v))
        return z
    last = -1
    for i in range(m):
        f, x = field[i], value[i]
        first = f != last
        last = f
        until = f * k if first else f * k + k  # the fields before f, and what field f has so far
        whole = until // LINE * LINE
        cross = times(
            load(table, base[i] + whole, WIDE), choose(load(sums, f * p + whole, WIDE), zero, 0, until - whole)
        )
        for c in range(0, whole, LINE):
            cross = plus(times(load(table, base[i] + c, WIDE), load(sums, f * p + c, WIDE)), cross)
        z += x * total(cross)
        scale = spread(x, block)
        for g in range(n_fields):
            xv = times(scale, load(table, base[i] + g * k, block))
            if not first:
                xv = plus(xv, load(sums, g * p + f * k, block))
            store(sums, g * p + f * k, xv)
    return z


@njit(cache=True, nogil=True)
def _learn(
    e: np.float32,
    m: int,
    base: Ints,
    field: Ints,
    value: Floats,
    count: Ints,
    k: int,
    table: Floats,
    p: int,
    sums: Floats,
    shrink: Floats,
    lr: np.float32,
    l2: np.float32,
) -> None:
    """A step for the rows of the m features, one after another; e is the derivative of the loss by the logit."""
    for f in range(len(count)):
        if count[f] == 1:  # it has no pair within its field
            for d in range(f * k, f * k + k):
                sums[f * p + d] = 0
    step = spread(-lr, WIDE)
    for i in range(m):
        f, at, c = field[i], base[i], e * value[i]
        slope = spread(c, WIDE)
        own = spread(l2 - c * value[i] if count[f] > 1 else np.float32(0), WIDE)
        for d in range(0, p, LINE):
            w = load(table, at + d, WIDE)
            rate = choose(own, load(shrink, d, WIDE), f * k - d, k)
            g = plus(times(slope, load(sums, f * p + d, WIDE)), times(rate, w))
            a = plus(times(g, g), load(table, at + p + d, WIDE))
            store(table, at + p + d, a)
            store(table, at + d, plus(times(step, over_root(g, a)), w))


# -- many examples ---------------------------------------------------------------------------------------
@njit(cache=True, nogil=True, parallel=True)
def lay_out(theta: Floats, table: Floats, p: int) -> None:
    """Rows of parameters [R, V + 1] to the rows of the table, with accumulators of 1."""
    used = theta.shape[1]
    for i in prange(len(theta)):
        for d in range(p):
            table[2 * p * i + d] = theta[i, d] if d < used else np.float32(0)
            table[2 * p * i + p + d] = 1


@njit(cache=True, nogil=True)
def learn_part(
    begin: int,
    end: int,
    order: Ints,
    rows: Any,
    x: Floats,
    dense: Floats,
    label: Floats,
    fields: Ints,
    n_fields: int,
    k: int,
    block: Any,
    normalize: bool,
    table: Floats,
    linear: Floats,
    lr: np.float32,
    l2: np.float32,
) -> float:
    """Learn from the examples ``order[begin:end]``; the sum of their log-losses, each taken before its step.

    Args:
        rows: row of each slot, int32 [N, S]; x: values [N, S], or empty where all are 1.
        dense, label: [N, M], [N].
        fields: field of each slot, ascending [S].
        block: a tuple of length k for an FFM.
        table: flat [R · 2 P]; linear: weights of the dense columns and the bias, then their accumulators [2, M + 1].
    """
    slots, columns = rows.shape[1], dense.shape[1]
    v = n_fields * k
    p = (v + LINE) // LINE * LINE
    base, field, value = np.empty(slots, np.int64), np.empty(slots, np.int64), np.empty(slots, np.float32)
    count, met = np.zeros(n_fields, np.int64), np.zeros(n_fields, np.bool_)
    sums, shrink = np.zeros(n_fields * p, np.float32), np.zeros(p, np.float32)
    shrink[v] = l2
    for f in range(n_fields):
        sums[f * p + v] = 1
    m, losses = 0, 0.0
    for r in range(begin, end):
        n, following, third = order[r], order[min(r + 1, end - 1)], order[min(r + 2, end - 1)]
        for j in range(0, slots, LINE):
            fetch(rows, third * slots + j)
        for j in range(slots):
            ahead = np.int64(rows[following, j]) * 2 * p
            for c in range(0, 2 * p, LINE):
                fetch(table, ahead + c)
        m = _present(n, rows, x, fields, 2 * p, normalize, base, field, value, count, m)
        z = linear[0, columns]
        for d in range(columns):
            z += linear[0, d] * dense[n, d]
        z += _logit(m, base, field, value, count, met, k, block, table, p, sums, shrink, l2)
        small = np.exp(-abs(z))
        losses += max(z, np.float32(0)) - label[n] * z + np.log1p(small)
        e = (np.float32(1) if z >= 0 else small) / (np.float32(1) + small) - label[n]
        for d in range(columns):
            if dense[n, d] != 0:
                g = e * dense[n, d] + l2 * linear[0, d]
                linear[1, d] += g * g
                linear[0, d] -= lr * g / np.sqrt(linear[1, d])
        linear[1, columns] += e * e
        linear[0, columns] -= lr * e / np.sqrt(linear[1, columns])
        _learn(e, m, base, field, value, count, k, table, p, sums, shrink, lr, l2)
    return losses


@njit(cache=True, nogil=True, parallel=True)
def learn_parts(
    parts: int,
    order: Ints,
    rows: Any,
    x: Floats,
    dense: Floats,
    label: Floats,
    fields: Ints,
    n_fields: int,
    k: int,
    block: Any,
    normalize: bool,
    table: Floats,
    linear: Floats,
    lr: np.float32,
    l2: np.float32,
) -> float:
    """:func:`learn_part` on ``parts`` threads that share the table without locks."""
    n, losses = len(order), np.zeros(parts)
    for t in prange(parts):
        losses[t] = learn_part(
            t * n // parts, (t + 1) * n // parts, order, rows, x, dense, label, fields, n_fields, k, block, normalize,
            table, linear, lr, l2,
        )  # fmt: skip
    return float(losses.sum())


@njit(cache=True, nogil=True, parallel=True)
def logits(
    parts: int,
    rows: Any,
    x: Floats,
    dense: Floats,
    fields: Ints,
    n_fields: int,
    k: int,
    block: Any,
    normalize: bool,
    table: Floats,
    linear: Floats,
) -> Floats:
    """Logits [N]; arguments as in :func:`learn_part`."""
    (n, slots), columns = rows.shape, dense.shape[1]
    v = n_fields * k
    p = (v + LINE) // LINE * LINE
    out = np.empty(n, np.float32)
    for t in prange(parts):
        base, field, value = np.empty(slots, np.int64), np.empty(slots, np.int64), np.empty(slots, np.float32)
        count, met = np.zeros(n_fields, np.int64), np.zeros(n_fields, np.bool_)
        sums, shrink = np.zeros(n_fields * p, np.float32), np.zeros(p, np.float32)
        m = 0
        for i in range(t * n // parts, (t + 1) * n // parts):
            m = _present(i, rows, x, fields, 2 * p, normalize, base, field, value, count, m)
            z = linear[0, columns]
            for d in range(columns):
                z += linear[0, d] * dense[i, d]
            out[i] = z + _logit(m, base, field, value, count, met, k, block, table, p, sums, shrink, np.float32(0))
    return out
