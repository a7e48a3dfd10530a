"""Contributions in float32 beside activations in bfloat16, and in float64 beside float32."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.custom_derivatives import linear_call

from rfp_jax import audit, sources
from rfp_jax.models import SmallNet
from tests.oracles.compiled import heatmap, relevance

BF16 = jnp.bfloat16


def numbers(*shape, seed=0, dtype=BF16):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def steps(x, body):
    return lax.scan(lambda h, xt: (body(h, xt),) * 2, jnp.zeros_like(x[0]), x)[0]


def _thirds(r, v):
    """A linear function with a literal, a call and a conversion of its own."""
    return jax.nn.relu(r) * v * BF16(0.5) + (v.astype(jnp.float32) / 3).astype(v.dtype)


OPERATIONS = {
    "dense": lambda x: x @ numbers(8, 8, seed=1),
    "einsum": lambda x: jnp.einsum("ab,cb->ac", numbers(3, 8, seed=1), x),
    "convolution": partial(
        nn.Conv(4, (3,), dtype=BF16, param_dtype=BF16).apply,
        {"params": {"kernel": numbers(3, 8, 4, seed=1), "bias": numbers(4)}},
    ),
    "gelu": nn.gelu,
    "clip": lambda x: jnp.clip(x, -0.5, 1),
    "layer norm": lambda x: (x - x.mean(-1, keepdims=True)) * lax.rsqrt(jnp.var(x) + 1e-3),
    "softmax on values": lambda x: jax.nn.softmax(x @ x.T, -1) @ x,
    "average pool": lambda x: nn.avg_pool(x[None], (2,), (2,)),
    "max pool": lambda x: nn.max_pool(x[None], (2,), (2,)),
    "linear call": lambda x: linear_call(_thirds, _thirds, numbers(4, 8, seed=1), x),
    "cumsum": lambda x: jnp.cumsum(x, 0),
    "sort": lambda x: jnp.sort(x, 0),
    "top_k": lambda x: lax.top_k(x, 3)[0],
    "scatter-add": lambda x: jnp.zeros((6, 8), BF16).at[jnp.array([1, 1, 3, 0])].add(x + 1),
    "where": lambda x: jnp.where(x > 0, 2 * x, x - 1),
    "float32 inside": lambda x: jnp.tanh(x.astype(jnp.float32)).astype(BF16) * 3,
    "remat": jax.checkpoint(lambda x: nn.silu(x) + 1),
    "scan": lambda x: steps(x, lambda h, xt: jnp.tanh(h * BF16(0.5) + xt)),
    "cond": lambda x: lax.cond(x.sum() > 0, lambda x: x * 2, lambda x: x * 0 + 1, x),
    "while": lambda x: lax.while_loop(lambda h: jnp.abs(h).max() > 0.1, lambda h: h * 0.75, x),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATIONS)
def test_contributions_are_float32_and_the_output_is_the_model_s(name):
    """Frozen at bfloat16 activations, a step is a linear map: exact in float32."""
    fun, (a, b) = OPERATIONS[name], numbers(2, 4, 8)
    rel = relevance(lambda a, b: fun(a + b), (0, 1), dtype=jnp.float32)(a, b)
    assert rel.output.dtype == BF16
    np.testing.assert_array_equal(
        np.asarray(rel.output, np.float32), np.asarray(fun(a + b), np.float32)
    )
    assert {c.dtype for c in (*rel.sources, rel.bias)} == {jnp.dtype(jnp.float32)}
    total = np.asarray(sum(rel.sources) + rel.bias)
    np.testing.assert_allclose(total, np.asarray(rel.output, np.float32), rtol=1e-5, atol=1e-5)
    if name == "while":
        return
    (one, two), weights = rel.sources, numbers(*rel.output.shape, seed=3)
    heats = heatmap(lambda a, b: fun(a + b), (0, 1), outputs=weights, dtype=jnp.float32)(a, b)
    for heat, source in zip(heats, (one, two), strict=True):
        right = float((np.asarray(weights, np.float64) * np.asarray(source, np.float64)).sum())
        scale = float(np.abs(np.asarray(weights * source, np.float64)).sum())
        assert heat.dtype == jnp.float32
        assert abs(float(heat.sum()) - right) <= 1e-5 * scale


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "limit"), [(None, 1e-1), (jnp.float32, 1e-4)])
def test_both_directions_agree_to_the_precision_of_contributions(dtype, limit):
    left, right = numbers(2, 4, 12, 8, 1)
    net = SmallNet(dtype=BF16, param_dtype=BF16)
    variables = jax.jit(net.init)(jax.random.key(0), left, right)
    rel = jax.jit(relevance(net.apply, (1, 2), dtype=dtype))(variables, left, right)
    heats = jax.jit(heatmap(net.apply, (1, 2), outputs=3, dtype=dtype))(variables, left, right)
    for heat, source in zip(heats, rel.sources, strict=True):
        total = np.asarray(heat, np.float64).sum((1, 2, 3))
        error = np.abs(total - np.asarray(source, np.float64)[:, 3]).max()
        size = np.abs(np.asarray(source, np.float64)).max()
        assert (limit / 1e3 if dtype is None else 0) <= error / size <= limit


def test_contributions_that_float16_cannot_hold():
    """Two sources of 2e5 and -2e5: float16 ends at 65504, their sum does not need it."""
    a = jnp.full((1, 4), 100, jnp.float16)
    w = jnp.full((4, 1), 500, jnp.float16)

    def net(a, b):
        return jnp.concatenate([a, b], -1) @ jnp.concatenate([w, -w])

    half = relevance(net, (0, 1))(a, a)
    assert not np.isfinite(half.sources[0]).any()
    rel = relevance(net, (0, 1), dtype=jnp.float32)(a, a)
    assert rel.output.item() == 0
    assert [source.item() for source in rel.sources] == [2e5, -2e5]


def test_float64_beside_float32():
    x, w = numbers(2, 3, 5, dtype=np.float32), numbers(5, 4, seed=1, dtype=np.float32)
    with jax.enable_x64(True):
        rel = relevance(lambda a, b: jax.nn.relu((a + b) @ w), (0, 1), dtype=jnp.float64)(*x)
    exact = np.asarray(x, np.float64) @ np.asarray(w, np.float64)
    passes = np.asarray((x[0] + x[1]) @ w) >= 0
    assert rel.output.dtype == jnp.float32
    np.testing.assert_allclose(np.stack(rel.sources), exact * passes, rtol=1e-14)


@pytest.mark.slow
def test_sources_inside_an_array_and_the_audit():
    x, w = numbers(3, 5), numbers(5, 4, seed=1)
    fun = lambda x: jax.nn.gelu(x @ w + BF16(1))  # noqa: E731
    split = relevance(fun, split=sources.axis(-1), dtype=jnp.float32)(x).sources
    whole = relevance(fun, dtype=jnp.float32)(x).sources
    assert split.dtype == jnp.float32
    np.testing.assert_allclose(split.sum(0), whole, rtol=2e-2)  # the whole source is what it became
    report = audit(fun, dtype=jnp.float32)(x)
    assert report.passed
    assert audit(fun, dtype=jnp.float32)(jax.ShapeDtypeStruct(x.shape, x.dtype)).passed


NARROWER = [(BF16, np.float32), (jnp.float16, np.float32), (np.float32, np.float64),
            (BF16, jnp.float16), (jnp.float16, BF16)]  # fmt: skip


@pytest.mark.parametrize("transform", [relevance, heatmap, audit])
@pytest.mark.parametrize(("dtype", "own"), NARROWER)
def test_a_narrower_dtype_than_the_model_s_is_refused(transform, dtype, own):
    names = jnp.dtype(dtype).name, jnp.dtype(own).name
    message = rf"dtype={names[0]} is narrower than source args\[1\], which is {names[1]}: .*None"
    with jax.enable_x64(True):
        x = jnp.ones((2, 3), own)
        with pytest.raises(ValueError, match=message):
            transform(lambda w, x: w * jnp.tanh(x), 1, dtype=dtype)(2, x)
        transform(jnp.tanh, dtype=own)(x)  # its own is no narrower


def test_float64_is_not_narrower_where_it_is_not_enabled():
    x = numbers(2, 3, dtype=np.float32)
    with pytest.warns(UserWarning, match="float64"):
        assert relevance(jnp.tanh, dtype=jnp.float64)(x).sources.dtype == jnp.float32


def test_a_narrower_dtype_than_an_output_s_is_refused():
    with pytest.raises(ValueError, match="narrower than output 1, which is float32"):
        relevance(lambda x: (x, x.astype(jnp.float32)), dtype=BF16)(numbers(2, 3))


@pytest.mark.parametrize("transform", [relevance, heatmap, audit])
def test_what_is_no_floating_point_dtype(transform):
    with pytest.raises(TypeError, match="is not a floating-point dtype"):
        transform(jnp.sin, dtype=jnp.int32)(jnp.ones(3))
