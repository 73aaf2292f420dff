"""Asking for memory before it is needed: compiled loops that jump about would otherwise wait for every cache line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def instruction(*, write: bool) -> Callable[..., Any]:
    """LLVM's instruction ``prefetch`` on an entry of an array, to be read or to be written."""

    def prefetch(_: Any, array: Any, index: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
            call = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")  # type: ignore[no-untyped-call]
            where = builder.bitcast(builder.gep(data, [args[1]]), byte)
            builder.call(call, [where, number(int(write)), number(3), number(1)])  # keep in all caches, data
            return context.get_dummy_value()

        return types.void(array, index), emit

    return prefetch


fetch: Any = intrinsic(instruction(write=False))
"""``fetch(array, index)`` asks for the cache line of an entry, to read it, and does not wait for it."""

fetch_to_write: Any = intrinsic(instruction(write=True))
"""The same for an entry that will be written."""
