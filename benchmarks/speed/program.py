"""A compiled JAX program, with what XLA says of its work and memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from rfp_jax._util.compiler import options_for


@dataclass(frozen=True)
class Cost:
    """The cost of a program, by XLA's own account; exact, and the same on every run.

    Attributes:
        flops: floating-point operations; NaN where there is a loop, whose body XLA counts once.
        bytes: bytes that its operations read and write; NaN likewise.
        memory: bytes that it takes at its peak: arguments, results and temporary arrays.
        compile_seconds: how long tracing and compilation took.
    """

    flops: float
    bytes: float
    memory: int
    compile_seconds: float


@dataclass(frozen=True)
class Program:
    """A compiled function with its arguments.

    Attributes:
        compiled: the program.
        arguments: what it is called with.
        cost: what it takes.
        options: what the compiler was told.
    """

    compiled: Any
    arguments: Sequence[Any]
    cost: Cost
    options: Mapping[str, str | bool]

    def __call__(self) -> Any:
        """Run it, and wait until it is done."""
        return jax.block_until_ready(self.compiled(*self.arguments))


def build(fun: Callable[..., Any], arguments: Sequence[Any], *, suited: bool = False) -> Program:
    """Trace and compile a function.

    Args:
        fun: a function of arrays.
        arguments: its arguments; they stay on the device.
        suited: whether with the options that `rfp_jax.jit` chooses; else as `jax.jit` does.

    Returns:
        The program.
    """
    start = time.perf_counter()
    traced = jax.jit(fun).trace(*arguments)
    options = options_for(traced.jaxpr, jax.default_backend()) if suited else {}
    compiled: Any = traced.lower().compile(options)
    seconds = time.perf_counter() - start
    counted = compiled.cost_analysis()
    memory = compiled.memory_analysis()
    taken = memory.argument_size_in_bytes + memory.output_size_in_bytes
    known = float("nan") if " while(" in compiled.as_text() else 1.0
    cost = Cost(
        flops=known * counted.get("flops", 0),
        bytes=known * counted.get("bytes accessed", 0),
        memory=taken + memory.temp_size_in_bytes - memory.alias_size_in_bytes,
        compile_seconds=seconds,
    )
    return Program(compiled, arguments, cost, options)
