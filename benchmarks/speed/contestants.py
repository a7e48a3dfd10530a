"""Contestants: ways to get relevance, or something like it, from the same network and batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import rfp_jax
from benchmarks.speed.program import Cost, build
from benchmarks.speed.workloads import Workload
from rfp_jax import attribution

EXACT = 4
"""Up to so many sources all coalitions are tried."""

ANY = 1e6
"""A bound on the error of rounding that no network comes near."""


def half_pays() -> bool:
    """Tell whether products in half precision are quicker here: not on a CPU."""
    return jax.default_backend() != "cpu"


@dataclass(frozen=True)
class Contestant:
    """One way to get an answer.

    Attributes:
        name: what tables call it.
        run: computes the answer, and returns when it is done.
        answers: which answer it gives: "output" [batch, ..., class], "sources" [source, batch, ...,
            class], "chosen" [source, batch, ...] (the arg-max class), or "" for what is not
            comparable.
        cost: what XLA says of it, if it is a program of JAX.
        is_unit: whether it is the plain work, compiled in one way. The fastest such is the unit.
    """

    name: str
    run: Callable[[], Any]
    answers: str = ""
    cost: Cost | None = None
    is_unit: bool = False


def truth(work: Workload) -> dict[str, np.ndarray]:
    """Return what every contestant must find, computed in float64 on the CPU.

    Beside an accelerator, too: it may lack float64, or the memory for twice the bytes.
    """
    with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
        rel = jax.jit(work.explain())(*in_double(work.arguments))
        output, sources = np.asarray(rel.output), np.stack(rel.sources)
    best = output.argmax(-1)
    chosen = np.take_along_axis(sources, best[None, ..., None], -1)[..., 0]
    return {"output": output, "sources": sources, "chosen": chosen}


def in_double(arguments: Any) -> Any:
    """The same numbers in float64; integers stay."""

    def doubled(a: Any) -> np.ndarray:
        return np.asarray(a, np.float64 if jnp.issubdtype(a.dtype, jnp.floating) else a.dtype)

    return jax.tree.map(doubled, arguments)


def error(found: Any, right: np.ndarray) -> float:
    """The root mean square of the difference, relative to that of what is right.

    Not the greatest difference: where two activations are as good as equal, a maximum falls one way
    in float32 and the other in float64, in anybody's hands.
    """
    difference = np.asarray(found, np.float64) - right
    return float(np.sqrt(np.mean(difference**2) / np.mean(right**2)))


def ours(work: Workload) -> Iterator[Contestant]:
    """The plain forward pass, which is the unit, and this project's transformations.

    They are compiled as the documentation tells: by `rfp_jax.jit`, and a large batch on a CPU in
    pieces. The forward pass is compiled as JAX does by itself, and by `rfp_jax.jit` too where that
    makes another program: the faster one is the unit.
    """

    def explained(name: str, fun: Callable[..., Any], *, suited: bool = True) -> Contestant:
        program = build(fun, work.arguments, suited=suited)
        return Contestant(name, lambda: np.stack(program().sources), "sources", program.cost)

    yield _program("forward", work.fun, work, "output", is_unit=True)
    has_options = bool(build(work.fun, work.arguments, suited=True).options)
    if has_options:
        name = "forward, rfp_jax.jit"
        yield _program(name, work.fun, work, "output", suited=True, is_unit=True)
    yield explained("relevance", work.explain())
    if has_options:
        yield explained("relevance, XLA's defaults", work.explain(), suited=False)
    if half_pays() and work.dtype == "float32":
        half = work.explain(dtype=jnp.bfloat16, max_error=ANY)
        yield explained("relevance, contributions in bfloat16", half)
    if work.pieces and jax.default_backend() == "cpu":
        name = f"in pieces of {work.pieces}"
        yield _program(f"forward, {name}", in_pieces(work.fun, work.pieces), work, "output")
        yield explained(f"relevance, {name}", in_pieces(work.explain(), work.pieces))
    if work.dense:
        return
    if work.axis is not None:  # many sources: the direction is worth choosing
        of_one = build(work.explain(outputs="argmax"), work.arguments, suited=True)
        name = "relevance of the arg-max"
        yield Contestant(name, lambda: np.stack(of_one().sources), "chosen", of_one.cost)
    argmax, every = _total(work, "argmax"), _total(work, "all")
    yield _program("heatmap of the arg-max", argmax, work, "chosen", suited=True)
    yield _program("heatmaps of all outputs", every, work, "sources", suited=True)


def in_pieces(fun: Callable[..., Any], size: int) -> Callable[..., Any]:
    """Go through a batch in pieces of one size, one after the other, in one program.

    Args:
        fun: `fun(variables, *sources)`; its results have the batch as first axis.
        size: samples in a piece; it divides the batch.

    Returns:
        The same function of the whole batch.
    """

    def whole(variables: Any, *sources: jax.Array) -> Any:
        cut = [x.reshape(-1, size, *x.shape[1:]) for x in sources]
        found = jax.lax.map(lambda piece: fun(variables, *piece), cut)
        return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), found)

    return whole


def of_jax(work: Workload) -> Iterator[Contestant]:
    """Write it with JAX alone; equal to relevance where the network is ReLU-like."""
    if not work.piecewise_linear:
        return

    def of_sources(variables: Any) -> Callable[..., jax.Array]:
        return lambda *sources: work.fun(variables, *sources)

    def jvps(variables: Any, *sources: jax.Array) -> jax.Array:
        def push(s: jax.Array) -> jax.Array:
            return jax.jvp(of_sources(variables), sources, work.alone(s, *sources))[1]

        return jax.vmap(push)(jnp.arange(work.count))

    def vjps(variables: Any, *sources: jax.Array) -> jax.Array:
        output, pull = jax.vjp(of_sources(variables), *sources)

        def one(k: jax.Array) -> jax.Array:
            weights = jnp.zeros_like(output).at[:, k].set(1)
            return _sums(work, [g * x for g, x in zip(pull(weights), sources, strict=True)])

        return jnp.moveaxis(jax.lax.map(one, jnp.arange(output.shape[-1])), 0, -1)

    yield _program("vmap of jax.jvp", jvps, work, "sources")
    if not work.dense:
        yield _program("jax.vjp, output by output", vjps, work, "sources")


def of_decomposition(work: Workload) -> Iterator[Contestant]:
    """Layer-wise Modality Decomposition (Park et al. 2025, arXiv 2511.00859), after a summary.

    A first pass fixes every layer at the activations of all modalities together, a second one sends
    each modality alone through the layers so fixed. This much follows a summary of the paper: its
    code is not released, so nothing was compared with it, and the time is that of the scheme, not
    of the authors' program. Where each layer is ReLU-like, so that fixing it is `jax.linearize`,
    the numbers are those of relevance.
    """
    if not work.piecewise_linear:
        return

    def decompose(variables: Any, *sources: jax.Array) -> jax.Array:
        _, second = jax.linearize(lambda *x: work.fun(variables, *x), *sources)
        return jnp.stack([second(*work.alone(s, *sources)) for s in range(work.count)])

    yield _program("LMD's scheme, two passes", decompose, work, "sources", suited=True)


def of_baselines(work: Workload) -> Iterator[Contestant]:
    """Other notions of what a source matters; they answer another question."""
    fun, sources = work.apart()
    places, arguments = tuple(range(1, work.count + 1)), (work.variables, *sources)
    key = jax.random.key(0)

    def baseline(name: str, score: Callable[..., Any], *given: Any) -> Contestant:
        program = build(score, (*given, *arguments), suited=True)
        return Contestant(name, program, "", program.cost)

    yield baseline("occlusion", attribution.occlusion(fun, places))
    if work.count <= EXACT:
        yield baseline("Shapley value", attribution.shapley(fun, places))
    else:
        sampled = attribution.shapley_sampled(fun, places, permutations=1)
        yield baseline("Shapley value, two orders", sampled, key)
    if not work.dense and work.count <= EXACT:
        draws, labels = 10, jnp.zeros(work.batch, int)
        score = attribution.perceptual_score(fun, places, draws=draws)
        yield baseline(f"perceptual score, {draws} draws", score, key, labels)


def _program(
    name: str,
    fun: Callable[..., Any],
    work: Workload,
    answers: str = "",
    *,
    suited: bool = False,
    is_unit: bool = False,
) -> Contestant:
    program = build(fun, work.arguments, suited=suited)
    return Contestant(name, program, answers, program.cost, is_unit)


def _total(work: Workload, outputs: str) -> Callable[..., jax.Array]:
    """Heatmaps, summed over each source."""
    heatmap = rfp_jax.heatmap(work.fun, work.argnums, outputs=outputs)

    def fun(*arguments: Any) -> jax.Array:
        heats = heatmap(*arguments)
        if outputs == "argmax":
            return _sums(work, heats)
        return jnp.moveaxis(jax.vmap(lambda *heat: _sums(work, heat))(*heats), 0, -1)

    return fun


def _sums(work: Workload, heats: Sequence[jax.Array]) -> jax.Array:
    """Heats [batch, ...] summed over each source and sample, [source, batch]."""
    if work.axis is None:
        return jnp.stack([heat.sum(tuple(range(1, heat.ndim))) for heat in heats])
    (heat,) = heats
    by_source = jnp.moveaxis(heat, work.axis, 0)
    return by_source.sum(tuple(range(2, heat.ndim)))
