"""Samples that interact, or may, are told with the line where they meet."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.core.dependence_cases import (
    IMAGES,
    KERNEL,
    PIXEL,
    SERIES,
    A,
    B,
    Case,
    W,
    attend,
    conv,
    names,
    norm,
    numbers,
    recurrent,
)
from tests.oracles.samples import find, interacts


def grouped(x: jax.Array, size: int = 2) -> jax.Array:
    """Ghost batch normalization: statistics of groups of `size` samples."""
    return norm(1)(x.reshape(-1, size, x.shape[1])).reshape(x.shape)


def fill(x: jax.Array) -> jax.Array:
    """Rows written one by one into an array that a loop carries."""
    return lax.fori_loop(0, 3, lambda i, y: y.at[i].set(2 * x[i]), jnp.zeros_like(x))


def mutable(x: jax.Array) -> jax.Array:
    memory = jax.new_ref(jnp.zeros(4))
    memory[...] = x[0]
    return x + memory[...][None]


def sharded(x: jax.Array) -> jax.Array:
    mesh = jax.make_mesh((1,), ("i",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("i")
    return jax.shard_map(lambda x: x[::-1], mesh=mesh, in_specs=spec, out_specs=spec)(x)


SHARED = "dependence_cases.py"

INTERACTING = [
    Case(
        "shifted by padding", lambda a: lax.pad(a, 0.0, ((1, -1, 0), (0, 0, 0))), (A,), blamed="pad"
    ),
    Case(
        "pooled over samples",
        lambda a: lax.reduce_window(a, 0.0, lax.add, (3, 1), (1, 1), "SAME"),
        (A,),
        blamed="reduce_window_sum",
    ),
    Case(
        "3x3 without padding, per row",
        lambda x: jnp.tile(conv(x, KERNEL, padding="VALID"), (1, 2, 1, 1)),
        (IMAGES,),
        axes=2,
        blamed="conv_general_dilated",
        file=SHARED,
    ),
    Case(
        "groups of a batch across samples",
        lambda a: jnp.tile(
            lax.conv_general_dilated(
                a[:, None], numbers(2, 1, 3), (1,), "SAME", batch_group_count=2
            ),
            (2, 1, 1),
        ),
        (numbers(4, 3),),
        blamed="conv_general_dilated",
    ),
    Case("batch norm in training", norm(0), (A,), blamed="reduce_sum", file=SHARED),
    Case("batch norm over pixels", norm((0, 1, 2)), (IMAGES,), blamed="reduce_sum", file=SHARED),
    Case("groups of samples", grouped, (numbers(4, 3),), blamed="reduce_sum", file=SHARED),
    Case("contrastive", lambda u, v: u @ v.T, (A, B), blamed="dot_general"),
    Case("self-similarity", lambda u: u @ u.T, (A,), blamed="dot_general"),
    Case("rolled along time", lambda a, b: jnp.roll(a, 1, 1) + b, (A, B), axes=2, blamed="slice"),
    Case("reversed", lambda a: a[::-1], (A,), blamed="rev"),
    Case("transposed", lambda a: a.T, (W,), blamed="transpose"),
    Case("a sample for all", lambda a: a + a[:1], (A,), blamed="slice"),
    Case("indexed", lambda a: a[jnp.array([1, 1, 2])], (A,), blamed="gather"),
    Case("scattered", lambda a: a.at[jnp.array([1, 1, 2])].add(a), (A,), blamed="scatter-add"),
    Case("softmax over samples", lambda a: jax.nn.softmax(a, 0), (A,), blamed="reduce_max"),
    Case("running sum", lambda a: jnp.cumsum(a, 0), (A,), blamed="cumsum"),
    Case("sorted samples", lambda a: jnp.sort(a, 0), (A,), blamed="sort"),
    Case(
        "3x3 convolution, per pixel",
        lambda x: conv(x, KERNEL),
        (IMAGES,),
        axes=3,
        blamed="conv_general_dilated",
        file=SHARED,
    ),
    Case(
        "1x1 strided, per pixel",
        lambda x: jnp.repeat(jnp.repeat(conv(x, PIXEL, window_strides=(2, 2)), 2, 1), 2, 2),
        (IMAGES,),
        axes=3,
        blamed="conv_general_dilated",
        file=SHARED,
    ),
    Case(
        "1x1 shifted, per pixel",
        lambda x: conv(x, PIXEL, padding=((1, -1), (0, 0))),
        (IMAGES,),
        axes=3,
        blamed="conv_general_dilated",
        file=SHARED,
    ),
    Case(
        "a kernel from all samples",
        lambda x: conv(IMAGES, jnp.broadcast_to(x.sum(0), (3, 3, 3, 2))),
        (numbers(2, 2),),
        blamed="reduce_sum",
    ),
    Case(
        "samples as channels",
        lambda a: conv(a[None, :, None].reshape(1, 1, 4, 3), numbers(1, 1, 3, 3)).reshape(3, 4),
        (A,),
        blamed="reshape",
    ),
    Case("recurrent labeling", recurrent, (SERIES,), axes=2, blamed="scan", file=SHARED),
    Case("attention, per token", attend, (SERIES,), axes=2, blamed="dot_general", file=SHARED),
    Case(
        "a carry over samples",
        lambda a: lax.scan(lambda c, r: (c + r, c), jnp.zeros(4), a)[1],
        (A,),
        blamed="scan",
    ),
    Case(
        "a carry of groups",
        lambda a: lax.scan(lambda c, r: (c + r, c), jnp.zeros((2, 3)), a.reshape(2, 2, 3))[
            1
        ].reshape(4, 3),
        (numbers(4, 3),),
        blamed="scan",
    ),
    Case(
        "another sample's row in a loop",
        lambda a: lax.map(lambda r: r + a[0], a),
        (A,),
        blamed="slice",
    ),
    Case(
        "cond on all samples",
        lambda a: lax.cond(a.sum() > 0, lambda a: a * a.sum(), jnp.cos, a),
        (np.abs(A),),
        blamed="reduce_sum",
    ),
    Case("shape", lambda a: a.T @ a, (A,), blamed="shape"),
    Case("no axis", lambda a: a.sum(), (A,), blamed="shape"),
    Case("sharded", sharded, (A,), blamed="shard_map"),
]


@names(INTERACTING)
def test_samples_that_interact_are_told_where(x64, case):
    found = find(case.fun, case.axes, *case.args)
    assert found is not None
    assert found.primitive == case.blamed
    if case.blamed != "shape":
        assert f"/{case.file}:" in found.source
        assert interacts(case.fun, case.axes, *case.args)


HIDDEN = [
    Case("by a comparison", lambda a: a * (a.mean() > 0), (A,), blamed="reduce_sum"),
    Case("by an integer", lambda a: a * jnp.argmax(a, 0)[None], (A,), blamed="argmax"),
    Case(
        "by an index",
        lambda a: lax.dynamic_slice(jnp.asarray(W), (jnp.argmax(a), 0), (3, 4)),
        (A,),
        blamed="argmax",
    ),
    Case(
        "by a branch",
        lambda a: lax.cond(a[0, 0] > 0, lambda: W[:3], lambda: W[1:]),
        (A,),
        blamed="slice",
    ),
    Case(
        "by the length of a loop",
        lambda a: lax.fori_loop(0, jnp.argmax(a), lambda i, x: x + 1.0, jnp.ones((3, 4))),
        (A,),
        blamed="argmax",
    ),
    Case(
        "by stop_gradient",
        lambda a: a - lax.stop_gradient(a.mean(0))[None],
        (A,),
        blamed="reduce_sum",
    ),
    Case(
        "by a loop while any sample",
        lambda a: lax.while_loop(lambda a: a.sum() > 0.5, lambda a: a / 2, a),
        (np.abs(A),),
        blamed="reduce_sum",
    ),
    Case("by mutable memory", mutable, (A,), blamed="get"),
    Case(
        "by a callback",
        lambda a: jax.pure_callback(lambda a: a[::-1], a, a),
        (A,),
        blamed="pure_callback",
    ),
]


@names(HIDDEN)
def test_dependence_without_a_derivative_counts(x64, case):
    found = find(case.fun, case.axes, *case.args)
    assert found is not None
    assert found.primitive == case.blamed


UNKNOWN = [
    Case("written one by one", fill, (A,), blamed="dynamic_slice"),
    Case("rows by an index that is a constant", lambda a: a[jnp.arange(3)], (A,), blamed="gather"),
    Case(
        "groups of 4 after groups of 3",
        lambda a: a.reshape(3, 4, 1).reshape(4, 3, 1).reshape(12, 1),
        (numbers(12, 1),),
        blamed="reshape",
    ),
    Case(
        "joined and taken apart",
        lambda a, b: jnp.concatenate([a, b])[:3],
        (A, B),
        blamed="concatenate",
    ),
]


@names(UNKNOWN)
def test_samples_without_a_proof_are_taken_to_interact(x64, case):
    found = find(case.fun, case.axes, *case.args)
    assert found is not None
    assert found.primitive == case.blamed
    assert not interacts(case.fun, case.axes, *case.args)
