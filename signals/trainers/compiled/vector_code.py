"""Generation of LLVM IR for vectors: expressions of several vectors at once, loops, and switches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import config
from numba.core.codegen import get_host_cpu_features

__all__ = [
    "BITS",
    "FREE",
    "KIND",
    "LANES",
    "ZERO",
    "Wide",
    "cases",
    "defined",
    "in_parts",
    "load",
    "loop",
    "many",
    "multiply_add",
    "prefetch",
    "reciprocal",
    "sigmoid",
    "spread",
    "store",
    "tanh",
    "whole",
]


def _cpu_features() -> frozenset[str]:
    """CPU features for which numba generates code: the machine's, or those of `NUMBA_CPU_FEATURES`."""
    text = get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
    return frozenset(name[1:] for name in text.split(",") if name.startswith("+"))


FEATURES = _cpu_features()
LANES = 16 if "avx512f" in FEATURES else 8
KIND = "avx512" if LANES == 16 else "-".join(name for name in ("avx", "fma") if name in FEATURES) or "plain"
INT, INT32, FLOAT, VOID = ir.IntType(64), ir.IntType(32), ir.FloatType(), ir.VoidType()
VECTOR, BITS = ir.VectorType(FLOAT, LANES), ir.VectorType(INT32, LANES)
ZERO = ir.Constant(VECTOR, [0.0] * LANES)
# Optimisations of sums that LLVM may use. Not `reassoc`: it would remove the rounding in `_exp2`, and with it
# gradients. Not `nnan`: a training that diverges must give NaN.
FREE = ("contract", "arcp", "nsz")

# -- expressions of vectors --------------------------------------------------------------------------------------------


class Wide:
    """Several vectors to which the same operations are applied, each operation to all of them in turn."""

    def __init__(self, builder: Any, vectors: list[Any]) -> None:
        self.builder, self.vectors = builder, vectors

    def _operate(self, operation: Callable[..., Any], other: Wide | float, *, swapped: bool = False) -> Wide:
        pairs = zip(self.vectors, self._alike(other), strict=True)
        return Wide(self.builder, [operation(*((b, a) if swapped else (a, b)), flags=FREE) for a, b in pairs])

    def _alike(self, other: Wide | float) -> list[Any]:
        if isinstance(other, Wide):
            return other.vectors
        return [ir.Constant(VECTOR, [float(other)] * LANES)] * len(self.vectors)

    def __add__(self, other: Wide | float) -> Wide:
        return self._operate(self.builder.fadd, other)

    def __sub__(self, other: Wide | float) -> Wide:
        return self._operate(self.builder.fsub, other)

    def __rsub__(self, other: float) -> Wide:
        return self._operate(self.builder.fsub, other, swapped=True)

    def __mul__(self, other: Wide | float) -> Wide:
        return self._operate(self.builder.fmul, other)

    def clamped(self, bound: float) -> Wide:
        """Clip to [-bound, bound]; NaN stays NaN."""
        b, vectors = self.builder, self.vectors
        for limit, beyond in ((bound, ">"), (-bound, "<")):
            limits = self._alike(limit)
            vectors = [b.select(b.fcmp_ordered(beyond, v, x), x, v) for v, x in zip(vectors, limits, strict=True)]
        return Wide(b, vectors)


def _exp2(x: Wide) -> Wide:
    """2^x for |x| < 120, relative error 2e-7.

    The integer part of x is added to the exponent bits; a polynomial approximates the power of the rest.
    """
    b = x.builder
    magic = 12582912.0  # 1.5 * 2^23: adding it leaves the nearest integer in the low bits
    shifted = x + magic
    fraction = x - (shifted - magic)
    # minimax polynomial on [-1/2, 1/2] of degree 5 with value 1 at 0: relative error 9e-8
    power = fraction * 1.3264727e-3 + 9.6715126e-3
    for coefficient in (5.5507337e-2, 2.4022242e-1, 6.9314698e-1, 1.0):
        power = power * fraction + coefficient
    exponents = [b.shl(b.bitcast(v, BITS), ir.Constant(BITS, [23] * LANES)) for v in shifted.vectors]
    scaled = [b.add(b.bitcast(v, BITS), e) for v, e in zip(power.vectors, exponents, strict=True)]
    return Wide(b, [b.bitcast(v, VECTOR) for v in scaled])


def reciprocal(x: Wide) -> Wide:
    """Reciprocal 1 / x by the processor's estimate and a Newton step, which pipeline better than a division."""
    b = x.builder
    if LANES == 16:
        bits = ir.IntType(16)
        estimate = _declared(b.module, "llvm.x86.avx512.rcp14.ps.512", VECTOR, VECTOR, VECTOR, bits)
        guess = Wide(b, [b.call(estimate, [v, ZERO, ir.Constant(bits, -1)]) for v in x.vectors])
    elif "avx" in FEATURES:
        estimate = _declared(b.module, "llvm.x86.avx.rcp.ps.256", VECTOR, VECTOR)
        guess = Wide(b, [b.call(estimate, [v]) for v in x.vectors])
    else:
        return x._operate(b.fdiv, 1.0, swapped=True)
    return guess * (2.0 - x * guess)


def sigmoid(x: Wide, slope: float = 1.0) -> Wide:
    """1 / (1 + exp(-slope * x)), absolute error 2e-7."""
    return reciprocal(_exp2((x * (-1.44269504 * slope)).clamped(80.0)) + 1.0)


def tanh(x: Wide) -> Wide:
    """tanh(x), absolute error 4e-7."""
    return sigmoid(x, 2.0) * 2.0 - 1.0


# -- pieces of code ----------------------------------------------------------------------------------------------------


def _declared(module: Any, name: str, returns: Any, *arguments: Any) -> Any:
    return module.globals.get(name) or ir.Function(module, ir.FunctionType(returns, arguments), name)


def defined(module: Any, name: str, arguments: Sequence[Any], write: Callable[..., None]) -> Any:
    """Return the function of that name, its body written by `write(builder, *arguments)` the first time."""
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(VOID, arguments), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    write(builder, *function.args)
    builder.ret_void()
    return function


def whole(value: int) -> Any:
    """Make a constant index."""
    return ir.Constant(INT, value)


def many(numbers: Sequence[int]) -> Any:
    """Make a constant vector of 32-bit integers."""
    return ir.Constant(ir.VectorType(INT32, len(numbers)), list(numbers))


def load(b: Any, base: Any, row: Any, count: int = 1) -> Wide:
    """Read `count` rows from `row` on."""
    return Wide(b, [b.load(_row(b, base, row, i), align=4) for i in range(count)])


def store(b: Any, base: Any, row: Any, wide: Wide) -> None:
    """Write rows from `row` on."""
    for i, vector in enumerate(wide.vectors):
        b.store(vector, _row(b, base, row, i), align=4)


def _row(b: Any, base: Any, row: Any, further: int = 0) -> Any:
    place = b.gep(base, [b.mul(b.add(row, whole(further)), whole(LANES))])
    return b.bitcast(place, VECTOR.as_pointer())


def prefetch(b: Any, place: Any) -> None:
    """Prefetch the cache line of an address."""
    pointer = ir.IntType(8).as_pointer()
    name = "llvm.prefetch.p0" if pointer.is_opaque else "llvm.prefetch.p0i8"
    hint = _declared(b.module, name, VOID, pointer, INT32, INT32, INT32)
    read, keep, data = (ir.Constant(INT32, number) for number in (0, 3, 1))
    b.call(hint, [b.bitcast(place, pointer), read, keep, data])


def spread(b: Any, number: Any) -> Any:
    """Broadcast one number to every lane."""
    kind = ir.VectorType(number.type, LANES)
    first = b.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(INT32, 0))
    return b.shuffle_vector(first, ir.Constant(kind, ir.Undefined), many([0] * LANES))


def multiply_add(b: Any, x: Any, y: Any, z: Any) -> Any:
    """Compute x * y + z, in one instruction where the processor has one."""
    return b.fadd(b.fmul(x, y, flags=("contract",)), z, flags=("contract",))


def loop(b: Any, count: Any, first: list[Any], body: Callable[[Any, list[Any]], list[Any]]) -> list[Any]:
    """Run `body(k, values) -> values` for k = 0 .. count - 1, at least once; return the last values."""
    before = b.block
    inside, after = b.append_basic_block("loop"), b.append_basic_block("after")
    b.branch(inside)
    b.position_at_end(inside)
    k = b.phi(INT)
    k.add_incoming(whole(0), before)
    values = [b.phi(value.type) for value in first]
    for phi, value in zip(values, first, strict=True):
        phi.add_incoming(value, before)
    last = body(k, values)
    following = b.add(k, whole(1))
    k.add_incoming(following, b.block)
    for phi, value in zip(values, last, strict=True):
        phi.add_incoming(value, b.block)
    b.cbranch(b.icmp_signed("<", following, count), inside, after)
    b.position_at_end(after)
    return last


def cases(b: Any, number: Any, written: dict[int, Callable[[], None]]) -> None:
    """Write a switch over an integer that is known only at run time, with code of its own for every value.

    Registers cannot be indexed by a variable, so that a loop over a varying number of registers needs one branch for
    each number.

    Parameters
    ----------
    b : llvmlite.ir.IRBuilder
        Builder, which is positioned after the switch on return.
    number : ir.Value
        The integer. A value without an entry in `written` executes none of the branches.
    written : dict of int to callable
        Function that writes the code of each value.
    """
    after = b.append_basic_block("chosen")
    switch = b.switch(number, after)
    for case, write in written.items():
        block = b.append_basic_block(f"case{case}")
        switch.add_case(whole(case), block)
        b.position_at_end(block)
        write()
        b.branch(after)
    b.position_at_end(after)


def in_parts(b: Any, count: Any, most: int, body: Callable[[Any, Any], None]) -> None:
    """Run `body(begin, size)` over 0 .. count - 1 in parts of about the same size, at most `most`."""
    n = b.trunc(count, INT32)
    parts = b.udiv(b.add(n, ir.Constant(INT32, most - 1)), ir.Constant(INT32, most))
    least, longer = b.zext(b.udiv(n, parts), INT), b.zext(b.urem(n, parts), INT)

    def part(k: Any, begin: list[Any]) -> list[Any]:
        size = b.add(least, b.zext(b.icmp_signed("<", k, longer), INT))
        body(begin[0], size)
        return [b.add(begin[0], size)]

    loop(b, b.zext(parts, INT), [whole(0)], part)
