"""Samples that do not interact are proved so, off the program's form."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from rfp_jax._core.dependence import find_interaction
from rfp_jax.models import FusionResNet18
from tests.core.dependence_cases import (
    IMAGES,
    KERNEL,
    PIXEL,
    RNG,
    SERIES,
    A,
    B,
    Case,
    W,
    attend,
    bend,
    conv,
    names,
    norm,
    numbers,
    recurrent,
)
from tests.oracles import calls
from tests.oracles.samples import find, interacts


def while_halved(x: jax.Array) -> jax.Array:
    return lax.while_loop(lambda x: x[0] > 0.5, lambda x: x / 2, x)


PROVED = [
    Case("identity", lambda x: x, (A,)),
    Case(
        "elementwise, two sources", lambda a, b: jnp.tanh(a) * b + jnp.where(a > b, a, 1.0), (A, B)
    ),
    Case("a value of all samples that nothing depends on", lambda a: (a.mean(), a)[1], (A,)),
    Case("a constant output", lambda a: jnp.zeros((3, 2)), (A,)),
    Case("a batch of one", norm(0), (A[:1],)),
    Case("an empty batch", lambda a: a[::-1] * a.sum(), (A[:0],)),
    Case("a sum of no samples", lambda a: a + a[:0].sum(), (A,)),
    Case("no sample axis", lambda a: a[::-1] * a.sum(), (A,), axes=0),
    Case("transposed and back", lambda a: jnp.cumsum(a.T, 0).T, (A,)),
    Case("flattened and back", lambda a: (a.reshape(-1) * 2).reshape(3, 2, 2), (A,)),
    Case("flattened features", lambda x: x.reshape(2, -1) @ numbers(48, 3), (IMAGES,)),
    Case("tiled and back", lambda a: jnp.tile(a, (2, 1)).reshape(2, 3, 4).sum(0), (A,)),
    Case("statistics over features", norm(1), (A,)),
    Case(
        "layer norm",
        nn.LayerNorm(param_dtype=float).bind({"params": {"scale": W[0], "bias": W[1]}}),
        (A,),
    ),
    Case("batch norm at inference", lambda x: (x - W[0][None]) * W[1][None], (A,)),
    Case("instance norm", norm((1, 2)), (IMAGES,)),
    Case("matmul with weights", lambda a: jax.nn.relu(a @ W) @ W, (A,)),
    Case("weights from the left", lambda a: (W @ a.T).T, (A,)),
    Case("convolution", lambda x: conv(x, KERNEL), (IMAGES,)),
    Case("1x1 convolution, per pixel", lambda x: conv(x, PIXEL), (IMAGES,), axes=3),
    Case("1x1 convolution, strided", lambda x: conv(x, PIXEL, window_strides=(2, 2)), (IMAGES,)),
    Case("depthwise", lambda x: conv(x, numbers(3, 3, 1, 6), feature_group_count=3), (IMAGES,)),
    Case(
        "groups of features as samples",
        lambda x: lax.conv_general_dilated(
            x.reshape(1, 3, 4), numbers(6, 1, 2), (1,), "VALID", feature_group_count=3
        ).reshape(3, 2, 3),
        (A,),
    ),
    Case(
        "groups of a batch as samples",
        lambda x: lax.conv_general_dilated(
            x[:, None], numbers(6, 1, 2), (1,), "VALID", batch_group_count=3
        ).reshape(3, 2, 3),
        (A,),
    ),
    Case("kernels from samples", jax.vmap(lambda x: jnp.convolve(x, x)), (A,)),
    Case("max pooling", lambda x: nn.max_pool(x, (2, 2), (2, 2)), (IMAGES,)),
    Case("average pooling", lambda x: nn.avg_pool(x, (3, 3), (1, 1), "SAME"), (IMAGES,)),
    Case("attention", attend, (SERIES,)),
    Case(
        "many heads",
        lambda x: jnp.einsum(
            "bhts,bshd->bthd", jax.nn.softmax(jnp.einsum("bthd,bshd->bhts", x, x)), x
        ),
        (numbers(2, 3, 2, 4),),
    ),
    Case(
        "masked attention",
        jax.vmap(
            lambda x: jax.nn.dot_product_attention(
                x[:, None], x[:, None], x[:, None], is_causal=True
            )
        ),
        (SERIES,),
    ),
    Case("recurrent net", recurrent, (SERIES,)),
    Case("loop over samples", lambda a: lax.map(jnp.cumsum, a), (A,)),
    Case(
        "loop over groups of samples",
        lambda a: lax.map(jnp.cumsum, a, batch_size=2),
        (numbers(4, 3),),
    ),
    Case(
        "loops over samples, one in the other",
        lambda a: lax.map(lambda r: lax.map(jnp.sin, r), a),
        (A,),
        axes=2,
    ),
    Case(
        "loop over time of samples",
        lambda x: lax.map(lambda r: lax.scan(lambda h, v: (h + v, h), r[0] * 0, r)[1], x),
        (SERIES,),
    ),
    Case(
        "loop without a carry of samples",
        lambda a: lax.scan(lambda i, r: (i + 1, r * i), 0.0, a)[1],
        (A,),
    ),
    Case(
        "loop back to front",
        lambda a: lax.scan(lambda c, r: (c, 2 * r), 0.0, a, reverse=True)[1],
        (A,),
    ),
    Case(
        "groups of samples and back",
        lambda a: a.reshape(2, 3, 4).swapaxes(0, 1).swapaxes(0, 1).reshape(6, 4),
        (numbers(6, 4),),
    ),
    Case(
        "groups of samples, of groups",
        lambda a: jnp.sin(a.reshape(2, 6, 4)).reshape(6, 2, 4).reshape(12, 4),
        (numbers(12, 4),),
    ),
    Case("while loop per sample", jax.vmap(while_halved), (A,)),
    Case(
        "while loop of fixed length",
        lambda a: lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * 2), (0, a))[1],
        (A,),
    ),
    Case("cond per sample", jax.vmap(lambda x: lax.cond(x[0] > 0, jnp.sin, jnp.cos, x)), (A,)),
    Case(
        "cond in a loop over samples",
        lambda a: lax.map(
            lambda x: lax.cond(x[0] > 0, lambda x: (x, 1.0), lambda x: (-x, 2.0), x), a
        ),
        (A,),
    ),
    Case("cond of a constant", lambda a: lax.cond(W[0, 0] > 0, jnp.sin, jnp.cos, a), (A,)),
    Case(
        "jit, remat, custom_jvp", jax.jit(jax.checkpoint(lambda a: jax.jit(bend)(jnp.sin(a)))), (A,)
    ),
    Case(
        "gelu, softmax, one hot",
        lambda a: jax.nn.one_hot(jnp.argmax(jax.nn.softmax(jax.nn.gelu(a)), 1), 4) * a,
        (A,),
    ),
    Case("sorted features", lambda a: (jnp.sort(a, 1), jnp.argsort(a, 1), lax.top_k(a, 2)), (A,)),
    Case("taken along features", lambda a: jnp.take_along_axis(a, jnp.argsort(a, 1), 1), (A,)),
    Case("taken by an index per sample", jax.vmap(lambda x: x[jnp.argmax(x)]), (A,)),
    Case("taken features", lambda a: a[:, jnp.array([2, 0])], (A,)),
    Case(
        "scattered features",
        lambda a: jnp.ones((3, 6), a.dtype).at[:, jnp.array([2, 0, 2, 5])].add(a),
        (A,),
    ),
    Case(
        "scattered by an index per sample",
        jax.vmap(lambda x: jnp.zeros(4).at[jnp.argsort(x)].set(x)),
        (A,),
    ),
    Case(
        "segments of features",
        lambda a: jax.ops.segment_max(a.T, jnp.array([0, 1, 1, 0]), 2).T,
        (A,),
    ),
    Case("updated features", lambda a: lax.dynamic_update_slice(a, 2 * a[:, :2], (0, 1)), (A,)),
    Case(
        "padded, joined, rolled features",
        lambda a: jnp.concatenate([jnp.pad(a, ((0, 0), (1, 2))), jnp.roll(a, 1, 1), a[:, ::-1]], 1),
        (A,),
    ),
    Case("softmax over classes, per pixel", lambda x: jax.nn.softmax(x, -1), (IMAGES,), axes=3),
    Case("softmax over time", lambda x: jax.nn.softmax(x, 1), (SERIES,)),
    Case("Fourier", lambda a: jnp.abs(jnp.fft.rfft(a)), (A,)),
    Case("random numbers", lambda a: a * jax.random.normal(jax.random.key(0), (3, 4)), (A,)),
    Case(
        "solved per sample",
        jax.vmap(lambda m: jnp.linalg.solve(m @ m.T + jnp.eye(3), m[0])),
        (numbers(2, 3, 3),),
    ),
    Case(
        "decomposed per sample",
        lambda m: jnp.linalg.svd(m, full_matrices=False)[:2],
        (numbers(2, 3, 3),),
    ),
    Case("contrastive, per pair", lambda u, v: jnp.einsum("bd,bd->b", u, v)[:, None], (A, B)),
]


@names(PROVED)
def test_samples_that_do_not_interact_are_proved_so(x64, case):
    assert find(case.fun, case.axes, *case.args) is None
    assert not interacts(case.fun, case.axes, *case.args)


def test_constants_depend_on_no_source():
    weights = jnp.ones((3, 4))
    closed = jax.make_jaxpr(lambda a: a + weights[::-1])(weights)
    assert closed.jaxpr.constvars
    assert find_interaction(closed.jaxpr, 1, 1) is None


def test_only_the_outputs_are_asked_for():
    jaxpr = jax.make_jaxpr(lambda a: (a * 2, a.sum(), a[::-1]))(jnp.ones((3, 4))).jaxpr
    assert find_interaction(jaxpr, 1, 1) is None
    assert find_interaction(jaxpr, 3, 1) is not None


UNBATCHED = {"linear_call", "coo_matmat", "coo_matvec", "csr_matmat", "csr_matvec"}
"""Primitives that JAX cannot batch."""


def test_every_vmapped_primitive_is_proved(x64):
    """All example calls of the suite; what is not followed is named here."""
    unproved = set()
    for call in calls.everything():
        if call.mesh is not None or call.primitive in UNBATCHED:
            continue
        batch = [np.stack([a, a, a]) for a in call.operands]
        if (found := find(jax.vmap(call.fun), 1, *batch)) is not None:
            unproved.add(found.primitive)
    assert unproved == {"ragged_dot_general", "bcoo_dot_general", "bcsr_dot_general"}


@pytest.mark.slow
def test_no_example_call_is_proved_wrongly(x64):
    """Every primitive of the suite as it stands, its first axis taken for samples."""
    proved = set()
    for call in calls.everything():
        operands = [call.operands[i] for i in call.sources]
        if call.mesh is not None or any(np.iscomplexobj(a) for a in operands):
            continue

        def fun(*sources: jax.Array, call: calls.Call = call) -> Any:
            full = call.arrays()
            for i, source in zip(call.sources, sources, strict=True):
                full[i] = source
            return call.fun(*full)

        low = 1.1 if call.primitive == "acosh" else 0.2  # where each has a derivative
        args = [RNG.uniform(low, low + 0.6, a.shape) for a in operands]
        if find(fun, 1, *args) is None:
            proved.add(call.primitive)
            if call.primitive not in {"nextafter", "igamma_grad_a", "zeta"}:  # have no derivative
                assert not interacts(fun, 1, *args), call.primitive
    assert len(proved) > 50


def test_a_resnet_is_proved_for_its_batch():
    model = FusionResNet18()
    images = [jnp.zeros((2, 32, 32, channels)) for channels in (3, 2)]
    variables = jax.eval_shape(model.init, jax.random.key(0), *images)

    def predict(train: bool, *images: jax.Array) -> jax.Array:
        params = jax.tree.map(lambda v: jnp.zeros(v.shape, v.dtype), variables)
        out = model.apply(params, *images, train=train, mutable=["batch_stats"] if train else False)
        return out[0] if train else out

    assert find(functools.partial(predict, False), 1, *images) is None
    found = find(functools.partial(predict, True), 1, *images)
    assert found is not None
    assert found.primitive == "reduce_sum"
