"""Contestants: ways to get relevance, or something like it, from the same network and batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import rfp_jax
from benchmarks.speed.program import Cost, Program, build
from benchmarks.speed.workloads import Workload
from rfp_jax import attribution


@dataclass(frozen=True)
class Contestant:
    """One way to get an answer.

    Attributes:
        name: what tables call it.
        run: computes the answer, and returns when it is done.
        answers: which answer it gives: "output" [batch, class], "sources" [source, batch, class],
            "chosen" [source, batch] (the arg-max class), or "" for what is not comparable.
        cost: what XLA says of it, if it is a program of JAX.
    """

    name: str
    run: Callable[[], Any]
    answers: str = ""
    cost: Cost | None = None


def truth(work: Workload) -> dict[str, np.ndarray]:
    """Return what every contestant must find, computed in float64."""
    with jax.enable_x64(True):
        double = jax.tree.map(lambda a: np.asarray(a, np.float64), work.arguments)
        rel = jax.jit(rfp_jax.relevance(work.fun, work.argnums))(*double)
        output, sources = np.asarray(rel.output), np.stack(rel.sources)
    best = output.argmax(-1)
    chosen = np.take_along_axis(sources, best[None, :, None], -1)[..., 0]
    return {"output": output, "sources": sources, "chosen": chosen}


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

    def relevance(*arguments: Any) -> Any:
        return rfp_jax.relevance(work.fun, work.argnums)(*arguments)

    def explained(name: str, program: Program) -> Contestant:
        return Contestant(name, lambda: np.stack(program().sources), "sources", program.cost)

    yield _program("forward", work.fun, work, "output")
    if build(work.fun, work.arguments, suited=True).options:
        yield _program("forward, rfp_jax.jit", work.fun, work, "output", suited=True)
    program = build(relevance, work.arguments, suited=True)
    yield explained("relevance", program)
    if program.options:
        yield explained("relevance, XLA's defaults", build(relevance, work.arguments))
    if work.pieces and jax.default_backend() == "cpu":
        name = f"in pieces of {work.pieces}"
        yield _program(f"forward, {name}", in_pieces(work.fun, work.pieces), work, "output")
        pieces = in_pieces(relevance, work.pieces)
        yield explained(f"relevance, {name}", build(pieces, work.arguments, suited=True))
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
        count = len(sources)

        def push(s: jax.Array) -> jax.Array:
            tangents = tuple(x * (s == i).astype(x.dtype) for i, x in enumerate(sources))
            return jax.jvp(of_sources(variables), sources, tangents)[1]

        return jax.vmap(push)(jnp.arange(count))

    def vjps(variables: Any, *sources: jax.Array) -> jax.Array:
        output, pull = jax.vjp(of_sources(variables), *sources)

        def one(k: jax.Array) -> list[jax.Array]:
            weights = jnp.zeros_like(output).at[:, k].set(1)
            gradients = pull(weights)
            return [_sum(g * x) for g, x in zip(gradients, sources, strict=True)]

        return jnp.moveaxis(jnp.stack(jax.lax.map(one, jnp.arange(output.shape[-1])), 1), 0, -1)

    yield _program("vmap of jax.jvp", jvps, work, "sources")
    yield _program("jax.vjp, output by output", vjps, work, "sources")


def of_baselines(work: Workload) -> Iterator[Contestant]:
    """Other notions of what a source matters; they answer another question."""
    places = work.argnums
    yield _program("Shapley value", attribution.shapley(work.fun, places), work)
    labels = jnp.zeros(work.batch, int)
    draws = 10
    score = attribution.perceptual_score(work.fun, places, draws=draws)
    scoring = build(score, (jax.random.key(0), labels, *work.arguments))
    yield Contestant(f"perceptual score, {draws} draws", scoring, "", scoring.cost)


def _program(
    name: str,
    fun: Callable[..., Any],
    work: Workload,
    answers: str = "",
    *,
    suited: bool = False,
) -> Contestant:
    program = build(fun, work.arguments, suited=suited)
    return Contestant(name, program, answers, program.cost)


def _total(work: Workload, outputs: str) -> Callable[..., jax.Array]:
    """Heatmaps, summed over each source."""
    heatmap = rfp_jax.heatmap(work.fun, work.argnums, outputs=outputs)

    def fun(*arguments: Any) -> jax.Array:
        heats = jnp.stack([_sum(h, outputs == "all") for h in heatmap(*arguments)])
        return jnp.moveaxis(heats, 1, -1) if outputs == "all" else heats

    return fun


def _sum(heat: jax.Array, is_stacked: bool = False) -> jax.Array:
    """The sum over everything but the batch, and the axis of outputs."""
    return heat.sum(tuple(range(1 + is_stacked, heat.ndim)))
