"""Who takes part: ways to get relevance, or something like it, from the same network and batch."""

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
from rfp_jax import baselines

PLAIN_KERNELS: dict[str, str | bool] = {"xla_cpu_experimental_ynn_fusion_type": ""}
"""XLA's compiler on CPU without YNNPACK's fused kernels; see docs/performance.md."""


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
    """What every contestant must find, computed in float64."""
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
    """The plain forward pass, which is the unit, and this project's transformations."""

    def relevance(*arguments: Any) -> Any:
        rel = rfp_jax.relevance(work.fun, work.argnums)(*arguments)
        return rel.output, jnp.stack(rel.sources)

    yield _program("forward", work.fun, work, "output")
    program = build(relevance, work.arguments)
    yield Contestant("relevance", lambda: program()[1], "sources", program.cost)
    if jax.default_backend() == "cpu":
        other = build(relevance, work.arguments, PLAIN_KERNELS)
        yield Contestant("relevance, plain kernels", lambda: other()[1], "sources", other.cost)
    yield _program("heatmap of the arg-max", _total(work, "argmax"), work, "chosen")
    yield _program("heatmaps of all outputs", _total(work, "all"), work, "sources")


def of_jax(work: Workload) -> Iterator[Contestant]:
    """What one would write with JAX alone; equal to relevance where the network is ReLU-like."""
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
    yield _program("Shapley value", baselines.shapley(work.fun, places), work)
    labels = jnp.zeros(work.batch, int)
    draws = 10
    score = baselines.perceptual_score(work.fun, places, draws=draws)
    scoring = build(score, (jax.random.key(0), labels, *work.arguments))
    yield Contestant(f"perceptual score, {draws} draws", scoring, "", scoring.cost)


def _program(name: str, fun: Callable[..., Any], work: Workload, answers: str = "") -> Contestant:
    program: Program = build(fun, work.arguments)
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
