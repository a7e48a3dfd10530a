"""Compile relevance beside the forward pass: `python -m benchmarks.compile`.

Tracing, lowering and compiling, from nothing each time and in turns; medians of the ratios to the
forward pass of the same round. The persistent cache is off. The forward pass is compiled as by
`jax.jit`, relevance as by `rfp_jax.jit`. Beside them, how long JAX traces its own derivative,
`jax.linearize` and one push for each source: it takes the program apart just as relevance does.

A second table is of the same ResNet-50 in PyTorch: how long `from_torch` and PyTorch's export take
for a shape, the first time in this process and later, and the trace beside that of the Linen model.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import lax
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

import rfp_jax
from benchmarks.names import unknown
from rfp_jax._util.compiler import options_for
from rfp_jax._util.extras import needs_extra
from rfp_jax._util.trees import Tree

if TYPE_CHECKING:
    from torch import nn


class Case(NamedTuple):
    """A network and what it is called with.

    Attributes:
        fun: the network.
        arguments: weights and sources; shapes are enough.
        argnums: which of them are the sources.
    """

    fun: Callable[..., Any]
    arguments: tuple[Any, ...]
    argnums: tuple[int, ...]


class Phases(NamedTuple):
    """Seconds of the ways to a program."""

    trace: float
    lower: float
    compile: float

    @property
    def whole(self) -> float:
        """All of it: what a user waits for."""
        return sum(self)


class Taken(NamedTuple):
    """Times of every turn.

    Attributes:
        forward, relevance: seconds of their phases.
        linearize: seconds in which JAX's derivative was traced.
    """

    forward: list[Phases]
    relevance: list[Phases]
    linearize: list[float]


class Imported(NamedTuple):
    """Seconds of every turn of a network of PyTorch.

    Attributes:
        reading: `from_torch` and the export for one shape.
        trace: its trace, once it is exported.
        native: the trace of the same network, written for JAX.
    """

    reading: list[float]
    trace: list[float]
    native: list[float]


def attend(weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    """A layer of a transformer, normalized first: [batch, token, width] to the same."""
    heads = 4

    def normal(x: jax.Array) -> jax.Array:
        centered = x - x.mean(-1, keepdims=True)
        return centered * lax.rsqrt((centered**2).mean(-1, keepdims=True) + 1e-6)

    parts = jnp.split(normal(x) @ weights["project"], 3, -1)
    query, key, value = (part.reshape(*part.shape[:2], heads, -1) for part in parts)
    scores = jnp.einsum("bqhc,bkhc->bhqk", query, key) / np.sqrt(query.shape[-1])
    seen = jnp.einsum("bhqk,bkhc->bqhc", jax.nn.softmax(scores), value)
    x = x + seen.reshape(x.shape) @ weights["out"]
    return x + jax.nn.gelu(normal(x) @ weights["expand"]) @ weights["contract"]


def transformer(layers: int, *, as_scan: bool, width: int = 64, tokens: int = 32) -> Case:
    """Two sequences of tokens, one behind the other; the layers as a loop of Python or a scan.

    Args:
        layers: how many.
        as_scan: whether they are one body of a `lax.scan`.
        width: of a token.
        tokens: of each sequence.
    """

    def fun(weights: Mapping[str, jax.Array], text: jax.Array, image: jax.Array) -> jax.Array:
        x = jnp.concatenate([text, image], 1)
        if as_scan:
            x, _ = lax.scan(lambda x, layer: (attend(layer, x), None), x, weights)
        else:
            for i in range(layers):
                x = attend({name: stacked[i] for name, stacked in weights.items()}, x)
        return x.mean(1)

    sizes = {"project": (width, 3 * width), "out": (width, width)}
    sizes |= {"expand": (width, 4 * width), "contract": (4 * width, width)}
    weights = {n: jax.ShapeDtypeStruct((layers, *s), jnp.float32) for n, s in sizes.items()}
    sequence = jax.ShapeDtypeStruct((2, tokens, width), jnp.float32)
    return Case(fun, (weights, sequence, sequence), (1, 2))


def polynomial(steps: int) -> Case:
    """A number's polynomial by Horner's scheme, one step behind the other.

    Args:
        steps: of a product and a sum each.
    """

    def fun(x: jax.Array) -> jax.Array:
        y = x
        for step in range(steps):
            y = y * x + step % 7
        return y

    return Case(fun, (jax.ShapeDtypeStruct((), jnp.float32),), (0,))


def branches(depth: int) -> Case:
    """A number that takes one of two branches, which takes one of two, and so on.

    Args:
        depth: how many lie in each other.
    """

    def fun(x: jax.Array, level: int = depth) -> jax.Array:
        if not level:
            return jnp.tanh(x)
        return lax.cond(x > level, lambda x: fun(x, level - 1), lambda x: 2 * x, x)

    return Case(fun, (jax.ShapeDtypeStruct((), jnp.float32),), (0,))


def of_zoo(framework: str, name: str) -> Case:
    """A network of `benchmarks.zoo`."""
    from importlib import import_module

    entry = import_module(f"benchmarks.zoo.{framework}").BUILDERS[name](0)
    return Case(entry.fun, entry.args, entry.argnums)


CASES: Mapping[str, Callable[[], Case]] = {
    "ResNet-50": lambda: of_zoo("ours", "ResNet-50"),
    "DenseNet-121": lambda: of_zoo("ours", "DenseNet-121"),
    "NASNetMobile": lambda: of_zoo("keras", "NASNetMobile"),
    "transformer, 24 layers, a loop": lambda: transformer(24, as_scan=False),
    "transformer, 24 layers, a scan": lambda: transformer(24, as_scan=True),
    "1,000 steps, one by one": lambda: polynomial(1000),
    "branches, 12 deep": lambda: branches(12),
}


IMPORTED = "ResNet-50 from PyTorch"

PARTS = ("whole", "trace", "lower", "compile")

COLUMNS = (
    "forward, s",
    "relevance, s",
    "x forward",
    "trace x",
    "lower x",
    "compile x",
    "linearize, trace x",
)


def phases(fun: Callable[..., Any], arguments: tuple[Any, ...], *, suited: bool) -> Phases:
    """Trace, lower and compile a function from nothing.

    Args:
        fun: the function.
        arguments: its arguments.
        suited: whether with the options that `rfp_jax.jit` chooses.

    Returns:
        How long each took.
    """
    jax.clear_caches()
    marks = [time.perf_counter()]
    traced = jax.jit(fun).trace(*arguments)
    marks.append(time.perf_counter())
    lowered = traced.lower()
    marks.append(time.perf_counter())
    lowered.compile(options_for(traced.jaxpr, jax.default_backend()) if suited else {})
    marks.append(time.perf_counter())
    return Phases(*np.diff(marks).tolist())


def linearized(case: Case) -> Callable[..., tuple[jax.Array, list[jax.Array]]]:
    """The derivative along every source: `jax.linearize`, and a push for each.

    Args:
        case: the network.

    Returns:
        A function of its arguments.
    """

    def fun(*arguments: Tree) -> tuple[jax.Array, list[jax.Array]]:
        sources = [arguments[i] for i in case.argnums]

        def of_sources(*sources: jax.Array) -> jax.Array:
            given = list(arguments)
            for i, source in zip(case.argnums, sources, strict=True):
                given[i] = source
            return case.fun(*given)

        output, push = jax.linearize(of_sources, *sources)
        nothing = list(map(jnp.zeros_like, sources))
        pushed = [push(*nothing[:i], source, *nothing[i + 1 :]) for i, source in enumerate(sources)]
        return output, pushed

    return fun


def measure(case: Case, rounds: int) -> Taken:
    """Compile the forward pass and relevance, and trace the derivative, in turns.

    Args:
        case: the network.
        rounds: how many turns each gets.

    Returns:
        The times of each.
    """
    explain = rfp_jax.relevance(case.fun, case.argnums)
    derivative = linearized(case)
    taken = Taken([], [], [])
    for _ in range(rounds):
        taken.forward.append(phases(case.fun, case.arguments, suited=False))
        taken.relevance.append(phases(explain, case.arguments, suited=True))
        jax.clear_caches()
        start = time.perf_counter()
        jax.jit(derivative).trace(*case.arguments)
        taken.linearize.append(time.perf_counter() - start)
    return taken


def tracing(fun: Callable[..., Any], arguments: tuple[Any, ...]) -> float:
    """Return in how many seconds a function is traced from nothing."""
    jax.clear_caches()
    start = time.perf_counter()
    jax.jit(fun).trace(*arguments)
    return time.perf_counter() - start


def imported(
    module: nn.Module, sources: tuple[np.ndarray, ...], native: Case, rounds: int
) -> Imported:
    """Import a module, trace it, and trace the same network written for JAX, in turns.

    Args:
        module: in evaluation mode.
        sources: its arguments.
        native: the same network.
        rounds: how many turns each gets.

    Returns:
        The times of each.
    """
    with needs_extra("Importing a network", "convert"):
        from rfp_jax.convert import from_torch

    taken = Imported([], [], [])
    for _ in range(rounds):
        start = time.perf_counter()
        fun, params = from_torch(module)
        fun.program(params, *sources)
        taken.reading.append(time.perf_counter() - start)
        taken.trace.append(tracing(fun, (params, *sources)))
        taken.native.append(tracing(native.fun, native.arguments))
    return taken


def imported_resnet(rounds: int) -> Imported:
    """Import the ResNet-50 of SEN12MS, at the sizes of the zoo's in Flax Linen."""
    with needs_extra("Importing a network", "convert"):
        from rfp_jax.convert.flax._torch_models import ResNet50

    native = CASES["ResNet-50"]()
    sources = [native.arguments[i] for i in native.argnums]
    batch, *size, _ = sources[0].shape
    channels = sum(source.shape[-1] for source in sources)
    image = np.zeros((batch, channels, *size), np.float32)
    return imported(ResNet50([channels], 10).eval(), (image,), native, rounds)


def ratio(seconds: list[float], forward: list[float]) -> float:
    """Return the median over the rounds of times as multiples of the forward pass's."""
    return float(np.median(np.divide(seconds, forward)))


def table_of(only: tuple[str, ...], rounds: int) -> Table:
    """Measure networks and return the table of their ratios.

    Args:
        only: which of `CASES`.
        rounds: how many turns each gets.
    """
    table = Table(box=MARKDOWN)
    table.add_column("", no_wrap=True)
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for name in only:
        taken = measure(CASES[name](), rounds)
        forward, relevance = (
            {part: [getattr(each, part) for each in way] for part in PARTS}
            for way in (taken.forward, taken.relevance)
        )
        seconds = [np.median(way["whole"]) for way in (forward, relevance)]
        ratios = [ratio(relevance[part], forward[part]) for part in PARTS]
        ratios.append(ratio(taken.linearize, forward["trace"]))
        table.add_row(name, *(f"{s:.2f}" for s in seconds), *(f"{x:.2f}" for x in ratios))
    return table


def table_of_imports(taken: Imported) -> Table:
    """Return the row of the network of PyTorch, as a table."""
    table = Table(box=MARKDOWN)
    table.add_column("", no_wrap=True)
    for column in ("import, first, s", "import, s", "trace, s", "Linen's trace, s", "trace x"):
        table.add_column(column, justify="right")
    later = taken.reading[1:] or taken.reading
    seconds = [taken.reading[0], *map(np.median, (later, taken.trace, taken.native))]
    row = [*seconds, ratio(taken.trace, taken.native)]
    table.add_row(IMPORTED, *(f"{number:.2f}" for number in row))
    return table


def main(rounds: int = 5, only: tuple[str, ...] = (*CASES, IMPORTED)) -> int:
    """Compile each network's forward pass and relevance in turns and print a table.

    Args:
        rounds: how many turns each gets.
        only: which networks.

    Returns:
        The exit code: 2 if there is no such network.
    """
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    if wrong := unknown(only, (*CASES, IMPORTED)):
        console.print(wrong)
        return 2
    jax.config.update("jax_enable_compilation_cache", False)
    if cases := tuple(name for name in only if name in CASES):
        console.print(table_of(cases, rounds))
    if IMPORTED in only:
        console.print(table_of_imports(imported_resnet(rounds)))
    return 0


if __name__ == "__main__":
    sys.exit(tyro.cli(main, description=__doc__))
