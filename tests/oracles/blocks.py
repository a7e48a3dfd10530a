"""Blocks that networks are made of, with random numbers: each keeps the shape `[sample, T, C]`.

A line of `BLOCKS` draws the numbers of a block and returns the block.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

T, C = 4, 6

Block = Callable[[jax.Array], jax.Array]
Draw = Callable[[np.random.Generator], Block]

POINTWISE: dict[str, Block] = {
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
    "exact gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "sigmoid written out": lambda x: 1 / (1 + jnp.exp(-x)),
    "elu": jax.nn.elu,
    "selu": jax.nn.selu,
    "celu": jax.nn.celu,
    "softplus": jax.nn.softplus,
    "squareplus": jax.nn.squareplus,
    "mish": jax.nn.mish,
    "hard swish": jax.nn.hard_swish,
    "relu6": jax.nn.relu6,
    "leaky relu": jax.nn.leaky_relu,
    "squared relu": lambda x: jax.nn.relu(x) ** 2,
    "snake": lambda x: x + jnp.sin(x) ** 2,
    "square": jnp.square,
    "cube": lambda x: x**3,
    "half a square": lambda x: x * x * 0.5,
    "root of a square": lambda x: jnp.abs(x) ** 1.5,
    "abs": jnp.abs,
    "sin": jnp.sin,
    "cos": jnp.cos,
    "sinc": jnp.sinc,
    "arctan": jnp.arctan,
    "arcsinh": jnp.arcsinh,
    "erf": jax.scipy.special.erf,
    "bell": lambda x: jnp.exp(-x * x),
    "exp": lambda x: jnp.exp(0.3 * x),
    "expm1": lambda x: jnp.expm1(0.3 * x),
    "log1p": lambda x: jnp.log1p(jnp.abs(x)),
    "decibels": lambda x: 10 * jnp.log10(x * x + 1e-2),
    "log sigmoid": jax.nn.log_sigmoid,
    "x log x": lambda x: jnp.where(x > 0, x * jnp.log(jnp.where(x > 0, x, 1)), 0),
    "softsign": lambda x: x / (1 + jnp.abs(x)),
    "smooth sign": lambda x: x / jnp.sqrt(1 + x * x),
    "shrink": lambda x: jnp.sign(x) * jnp.maximum(jnp.abs(x) - 0.2, 0),
    "tanh shrink": lambda x: x - jnp.tanh(x),
    "clip": lambda x: jnp.clip(x, -1, 1),
    "where": lambda x: jnp.where(x > 0, 2 * x, 0.1 * x),
    "threshold": lambda x: jnp.where(x > 0.3, x, 0.3),
    "polynomial": lambda x: jnp.polyval(jnp.asarray([0.1, -0.3, 0.5, 0.2], x.dtype), x),
    "straight through": lambda x: x + lax.stop_gradient(jnp.round(x) - x),
    "fraction": lambda x: x - jnp.floor(x),
    "finite": jnp.nan_to_num,
}
"""Functions of one number."""


def _normalized(x: jax.Array, axes: int | tuple[int, ...]) -> jax.Array:
    centered = x - x.mean(axes, keepdims=True)
    return centered * lax.rsqrt((centered * centered).mean(axes, keepdims=True) + 1e-5)


def _sparsemax(x: jax.Array) -> jax.Array:
    """Martins & Astudillo, Equation 4."""
    ordered = -jnp.sort(-x, -1)
    sums = jnp.cumsum(ordered, -1) - 1
    place = jnp.arange(1, C + 1, dtype=x.dtype).reshape(1, 1, C)
    support = (ordered * place > sums).sum(-1, keepdims=True)
    tau = jnp.take_along_axis(sums, support - 1, -1) / support
    return jnp.maximum(x - tau, 0)


def _response_norm(x: jax.Array) -> jax.Array:
    """Woo et al. 2023."""
    size = jnp.linalg.norm(x, axis=1, keepdims=True)
    return x + x * (size / (size.mean(-1, keepdims=True) + 1e-6))


def _mean_of_positive(x: jax.Array) -> jax.Array:
    positive = (x > 0).astype(x.dtype)
    count = positive.sum(1, keepdims=True)
    return (x * positive).sum(1, keepdims=True) / (count + 1e-6) + 0 * x


AFTER_ONE = ((0, 0), (1, 0), (0, 0))
"""Padding: one place before all others."""

MIXING: dict[str, Block] = {
    "softmax": jax.nn.softmax,
    "softmax over T": lambda x: jax.nn.softmax(x, 1),
    "log softmax": jax.nn.log_softmax,
    "sparsemax": _sparsemax,
    "entropy": lambda x: -jax.nn.softmax(x) * jnp.log(jax.nn.softmax(x) + 1e-6),
    "softmax pool": lambda x: (jax.nn.softmax(x, 1) * x).sum(1, keepdims=True) + 0 * x,
    "logsumexp": lambda x: jax.nn.logsumexp(x, 1, keepdims=True) + 0 * x,
    "layer norm": lambda x: _normalized(x, -1),
    "instance norm": lambda x: _normalized(x, 1),
    "group norm": lambda x: _normalized(x.reshape(-1, T, 2, C // 2), (1, 3)).reshape(x.shape),
    "standardize": jax.nn.standardize,
    "rms norm": lambda x: x * lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-6),
    "unit length": lambda x: x / (jnp.linalg.norm(x, axis=-1, keepdims=True) + 1e-6),
    "sums to one": lambda x: x / (jnp.abs(x).sum(-1, keepdims=True) + 1e-6),
    "to range": lambda x: (
        (x - x.min(1, keepdims=True)) / (x.max(1, keepdims=True) - x.min(1, keepdims=True) + 1e-6)
    ),
    "response norm": _response_norm,
    "standard deviation": lambda x: jnp.std(x, 1, keepdims=True) + 0 * x,
    "without median": lambda x: x - jnp.median(x, 1, keepdims=True),
    "cumsum": lambda x: jnp.cumsum(x, 1),
    "cummax": lambda x: lax.cummax(x, 1),
    "cumprod": lambda x: jnp.cumprod(1 + 0.1 * x, 1),
    "cumlogsumexp": lambda x: lax.cumlogsumexp(x, 1),
    "product": lambda x: jnp.prod(1 + 0.2 * x, 1, keepdims=True) + 0 * x,
    "maximum": lambda x: x.max(1, keepdims=True) + 0 * x,
    "sort": lambda x: jnp.sort(x, 1),
    "order": lambda x: jnp.take_along_axis(x, jnp.argsort(lax.stop_gradient(x), 1), 1),
    "top three": lambda x: jnp.concatenate([lax.top_k(x, 3)[0]] * 2, -1),
    "largest alone": lambda x: x * jax.nn.one_hot(jnp.argmax(x, -1), C, dtype=x.dtype),
    "mean of positive": _mean_of_positive,
    "flip": lambda x: x[:, ::-1],
    "roll": lambda x: jnp.roll(x, 1, 1),
    "pad": lambda x: jnp.pad(x, AFTER_ONE)[:, :-1],
    "pad with a constant": lambda x: jnp.pad(x, AFTER_ONE, constant_values=0.5)[:, :-1],
    "max pool": lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 1), (1, 1, 1), "SAME"),
    "mean pool": lambda x: lax.reduce_window(x, 0.0, lax.add, (1, 2, 1), (1, 1, 1), "SAME") / 2,
    "length pool": lambda x: jnp.sqrt(
        lax.reduce_window(x * x, 0.0, lax.add, (1, 2, 1), (1, 1, 1), "SAME") + 1e-3
    ),
    "resize": lambda x: jax.image.resize(
        jax.image.resize(x, (x.shape[0], 2 * T, C), "linear"), x.shape, "linear"
    ),
    "spectrum": lambda x: jnp.abs(jnp.fft.fft(x, axis=1)),
    "log power": lambda x: jnp.log(jnp.abs(jnp.fft.fft(x, axis=1)) ** 2 + 1e-3),
    "fourier mixing": lambda x: jnp.fft.fft2(x, axes=(1, 2)).real,
    "gram": lambda x: (x @ jnp.swapaxes(x, 1, 2)) @ x / C,
    "set a row": lambda x: x.at[:, 1].set(0.5 * x[:, 0]),
    "add to a row": lambda x: x.at[:, 1].add(x[:, 0] ** 2),
    "greatest row": lambda x: x.at[:, 1].max(x[:, 0]),
    "segments": lambda x: jnp.swapaxes(
        jax.ops.segment_sum(jnp.swapaxes(x, 0, 1), jnp.asarray([0, 1, 1, 3]), T), 0, 1
    ),
    "rows by value": lambda x: x[:, (jnp.abs(x[0, :, 0]) * 3).astype(int) % T],
    "moving mean": lambda x: jnp.swapaxes(
        lax.associative_scan(lambda p, q: 0.5 * p + q, jnp.swapaxes(x, 0, 1)), 0, 1
    ),
    "stopped": lax.stop_gradient,
    "half stopped": lambda x: x * lax.stop_gradient(jax.nn.sigmoid(x)),
}
"""Functions of a whole sample."""


def weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Draw weights that keep the size of what they are multiplied with."""
    return rng.normal(size=shape) / np.sqrt(shape[0])


def dense(rng: np.random.Generator, bias: bool = True, features: int = C) -> Block:
    """Draw a dense layer."""
    w, b = weights(rng, C, features), 0.3 * bias * rng.normal(size=(1, 1, features))
    return lambda x: x @ w.astype(x.dtype) + b.astype(x.dtype)


def _vmapped(rng: np.random.Generator) -> Block:
    layer = dense(rng)
    return jax.vmap(lambda x: layer(x[None])[0])


def _convolution(rng: np.random.Generator, groups: int = 1, dilation: int = 1) -> Block:
    kernel, b = weights(rng, 3, C // groups, C), 0.1 * rng.normal(size=(1, 1, C))
    return lambda x: (
        lax.conv_general_dilated(
            x,
            kernel.astype(x.dtype),
            (1,),
            "SAME",
            rhs_dilation=(dilation,),
            dimension_numbers=("NWC", "WIO", "NWC"),
            feature_group_count=groups,
        )
        + b.astype(x.dtype)
    )


def _strided(rng: np.random.Generator) -> Block:
    """A convolution of stride 2 and its way back."""
    down, up = weights(rng, 2, C, C), weights(rng, 2, C, C)
    names = {"dimension_numbers": ("NWC", "WIO", "NWC")}

    def block(x: jax.Array) -> jax.Array:
        small = lax.conv_general_dilated(x, down.astype(x.dtype), (2,), "VALID", **names)
        return lax.conv_transpose(jax.nn.relu(small), up.astype(x.dtype), (2,), "VALID", **names)

    return block


def attention(rng: np.random.Generator, causal: bool = False, unit: bool = False) -> Block:
    """Draw attention of a sample to itself, or to what comes before; of keys of length 1."""
    query, key, value = dense(rng), dense(rng), dense(rng, bias=False)
    seen = np.tril(np.ones((1, T, T), bool)) if causal else np.ones((1, T, T), bool)

    def block(x: jax.Array) -> jax.Array:
        q, k = query(x), key(x)
        if unit:
            q, k = (a / jnp.linalg.norm(a, axis=-1, keepdims=True) for a in (q, k))
        scores = jnp.einsum("btc,bsc->bts", q, k) / np.sqrt(C)
        return jax.nn.softmax(jnp.where(seen, scores, -1e9)) @ value(x)

    return block


def _heads(rng: np.random.Generator) -> Block:
    query, key, value, out = (dense(rng) for _ in range(4))

    def block(x: jax.Array) -> jax.Array:
        q, k, v = (f(x).reshape(-1, T, 2, C // 2) for f in (query, key, value))
        scores = jnp.einsum("bthc,bshc->bhts", q, k) * (C // 2) ** -0.5
        return out(jnp.einsum("bhts,bshc->bthc", jax.nn.softmax(scores), v).reshape(x.shape))

    return block


def _linear_attention(rng: np.random.Generator) -> Block:
    """Katharopoulos et al. 2020, Equation 5."""
    query, key, value = (dense(rng) for _ in range(3))

    def block(x: jax.Array) -> jax.Array:
        q, k = jax.nn.elu(query(x)) + 1, jax.nn.elu(key(x)) + 1
        return (q @ (jnp.swapaxes(k, -1, -2) @ value(x))) / (q @ k.sum(1)[..., None] + 1e-6)

    return block


def _rotary(rng: np.random.Generator) -> Block:
    query, key, value = (dense(rng) for _ in range(3))
    angle = np.arange(T)[:, None] * np.array([1.0, 0.1, 0.01])
    cos, sin = np.cos(angle)[None], np.sin(angle)[None]

    def turned(x: jax.Array) -> jax.Array:
        a, b, c, s = x[..., : C // 2], x[..., C // 2 :], cos.astype(x.dtype), sin.astype(x.dtype)
        return jnp.concatenate([a * c - b * s, a * s + b * c], -1)

    def block(x: jax.Array) -> jax.Array:
        scores = jnp.einsum("btc,bsc->bts", turned(query(x)), turned(key(x)))
        return jax.nn.softmax(scores) @ value(x)

    return block


def _gated(activation: Block) -> Draw:
    def draw(rng: np.random.Generator) -> Block:
        signal, gate = dense(rng), dense(rng)
        return lambda x: signal(x) * activation(gate(x))

    return draw


def _squeeze(rng: np.random.Generator) -> Block:
    """Hu et al. 2018."""
    down, up = dense(rng), dense(rng)
    return lambda x: x * jax.nn.sigmoid(up(jax.nn.relu(down(x.mean(1, keepdims=True)))))


def _modulated(rng: np.random.Generator) -> Block:
    scale, shift = dense(rng), dense(rng)
    return lambda x: x * (1 + scale(x[:, :1])) + shift(x[:, :1])


def _highway(rng: np.random.Generator) -> Block:
    gate, body = dense(rng), dense(rng)

    def block(x: jax.Array) -> jax.Array:
        g = jax.nn.sigmoid(gate(x))
        return g * jnp.tanh(body(x)) + (1 - g) * x

    return block


def _residual(rng: np.random.Generator) -> Block:
    up, down = dense(rng), dense(rng)
    return lambda x: x + down(jax.nn.gelu(up(_normalized(x, -1))))


def _maxout(rng: np.random.Generator) -> Block:
    pieces = [dense(rng) for _ in range(3)]
    return lambda x: jnp.stack([f(x) for f in pieces]).max(0)


def _prelu(rng: np.random.Generator) -> Block:
    slope = 0.3 * rng.normal(size=(1, 1, C))
    return lambda x: jnp.maximum(x, 0) + slope.astype(x.dtype) * jnp.minimum(x, 0)


def _prototypes(rng: np.random.Generator) -> Block:
    """Radial basis functions."""
    centers = rng.normal(size=(1, 1, C, C))
    return lambda x: jnp.exp(-0.3 * ((x[..., None, :] - centers.astype(x.dtype)) ** 2).sum(-1))


def _experts(rng: np.random.Generator, top: bool = False) -> Block:
    router, experts = dense(rng, features=3), [dense(rng) for _ in range(3)]

    def block(x: jax.Array) -> jax.Array:
        p = jax.nn.softmax(router(x))
        if top:
            p = p * jax.nn.one_hot(jnp.argmax(p, -1), 3, dtype=x.dtype)
        return sum((p[..., i : i + 1] * f(x) for i, f in enumerate(experts)), 0 * x)

    return block


def _along(step: Callable[[jax.Array, jax.Array], jax.Array], start: float = 0.0) -> Block:
    def block(x: jax.Array) -> jax.Array:
        first = jnp.full((x.shape[0], C), start, x.dtype)
        scanned = lax.scan(lambda h, v: (step(h, v),) * 2, first, jnp.swapaxes(x, 0, 1))[1]
        return jnp.swapaxes(scanned, 0, 1)

    return block


def _recurrent(rng: np.random.Generator) -> Block:
    w, u = weights(rng, C, C), weights(rng, C, C)
    return _along(lambda h, v: jnp.tanh(h @ w.astype(v.dtype) + v @ u.astype(v.dtype) + 0.1))


def _gated_recurrent(rng: np.random.Generator) -> Block:
    matrices = [weights(rng, C, C) for _ in range(6)]

    def step(h: jax.Array, v: jax.Array) -> jax.Array:
        a, b, c, d, e, f = (m.astype(v.dtype) for m in matrices)
        z, r = jax.nn.sigmoid(v @ a + h @ b), jax.nn.sigmoid(v @ c + h @ d + 0.2)
        return (1 - z) * jnp.tanh(v @ e + r * (h @ f + 0.1)) + z * h

    return _along(step, start=0.3)


def _selective(rng: np.random.Generator) -> Block:
    """Gu & Dao 2023: a state space whose step depends on its input."""
    pace, body = dense(rng), dense(rng)

    def block(x: jax.Array) -> jax.Array:
        pair = jnp.concatenate([jax.nn.softplus(pace(x)), body(x)], -1)

        def step(h: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
            dt, u = v[:, :C], v[:, C:]
            h = jnp.exp(-dt) * h + dt * u
            return h, h

        first = jnp.zeros((x.shape[0], C), x.dtype)
        return jnp.swapaxes(lax.scan(step, first, jnp.swapaxes(pair, 0, 1))[1], 0, 1)

    return block


def _loop(rng: np.random.Generator) -> Block:
    w = weights(rng, C, C)
    return lambda x: lax.fori_loop(0, 3, lambda _, h: 0.5 * h + jnp.tanh(h @ w.astype(x.dtype)), x)


def _while(rng: np.random.Generator) -> Block:
    layer = dense(rng)
    return lambda x: lax.while_loop(
        lambda c: c[0] < 2, lambda c: (c[0] + 1, jax.nn.gelu(layer(c[1]))), (0, x)
    )[1]


def _branch(rng: np.random.Generator) -> Block:
    one, other = dense(rng), dense(rng)
    return lambda x: lax.cond(x[0, 0, 0] > 0, one, lambda x: jax.nn.relu(other(x)), x)


def _noise(rng: np.random.Generator) -> Block:
    shift = rng.normal(size=(1, T, C))
    return lambda x: jax.nn.softmax((x + shift.astype(x.dtype)) / 0.7)


def _dropped(rng: np.random.Generator) -> Block:
    kept = rng.random((1, T, C)) > 0.3
    return lambda x: jnp.where(kept, x / 0.7, 0)


BLOCKS: dict[str, Draw] = {
    **{name: (lambda rng, f=f: f) for name, f in (POINTWISE | MIXING).items()},
    "dense": dense,
    "dense without bias": lambda rng: dense(rng, bias=False),
    "dense, checkpointed": lambda rng: jax.checkpoint(dense(rng)),
    "dense under vmap": _vmapped,
    "convolution": _convolution,
    "depthwise convolution": lambda rng: _convolution(rng, groups=C),
    "dilated convolution": lambda rng: _convolution(rng, dilation=2),
    "down and up": _strided,
    "attention": attention,
    "causal attention": lambda rng: attention(rng, causal=True),
    "cosine attention": lambda rng: attention(rng, unit=True),
    "attention of two heads": _heads,
    "linear attention": _linear_attention,
    "rotary attention": _rotary,
    "glu": _gated(jax.nn.sigmoid),
    "swiglu": _gated(jax.nn.silu),
    "geglu": _gated(jax.nn.gelu),
    "bilinear": _gated(lambda x: x),
    "squeeze and excite": _squeeze,
    "modulated": _modulated,
    "highway": _highway,
    "residual": _residual,
    "maxout": _maxout,
    "prelu": _prelu,
    "prototypes": _prototypes,
    "experts": _experts,
    "top expert": lambda rng: _experts(rng, top=True),
    "recurrent": _recurrent,
    "gated recurrent": _gated_recurrent,
    "selective": _selective,
    "loop": _loop,
    "while": _while,
    "branch": _branch,
    "noisy softmax": _noise,
    "dropped": _dropped,
}
"""Name to the function that draws the numbers of a block."""
