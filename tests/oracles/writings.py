"""Random expressions, each node of which can be written in several equal ways.

`FORMS` is the table of identities: for every kind of node its writings, which compute the same
function. A `Node` is a tree of such nodes over some sources; it is evaluated as it is written
first, or as it is rewritten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.stats import norm as normal

SHAPE = (2, 3)
"""Of every value: tokens and features."""

Writing = Callable[..., jax.Array]

_RNG = np.random.default_rng(5)
W, B = _RNG.normal(size=(3, 3)) * 0.7, _RNG.normal(size=(1, 3)) * 0.5
EPS = 1e-3
LN2 = float(np.log(2))
ROOT_2 = float(np.sqrt(2))


def _tanh_gelu(x: jax.Array) -> jax.Array:
    return 0.5 * x * (1 + jnp.tanh(float(np.sqrt(2 / np.pi)) * (x + 0.044715 * x**3)))


ELEMENTWISE: Mapping[str, tuple[Writing, ...]] = {
    "sigmoid": (
        jax.nn.sigmoid,
        lambda x: 1 / (1 + jnp.exp(-x)),
        lambda x: 0.5 * (1 + jnp.tanh(x / 2)),
        lambda x: 0.5 * jnp.tanh(0.5 * x) + 0.5,
        lambda x: jnp.exp(x) / (1 + jnp.exp(x)),
        lambda x: 1 - 1 / (1 + jnp.exp(x)),
        lambda x: 1 - jax.nn.sigmoid(-x),
        lambda x: jnp.exp(-jnp.log1p(jnp.exp(-x))),
        lambda x: jnp.exp(jax.nn.log_sigmoid(x)),
        lambda x: jnp.reciprocal(jnp.exp(-x) + 1),
    ),
    "softplus": (
        jax.nn.softplus,
        lambda x: jnp.log(1 + jnp.exp(x)),
        lambda x: jnp.log1p(jnp.exp(x)),
        lambda x: jnp.logaddexp(x, jnp.zeros_like(x)),
        lambda x: -jax.nn.log_sigmoid(-x),
        lambda x: jnp.log2(1 + jnp.exp(x)) * LN2,
        lambda x: -jnp.log(jax.nn.sigmoid(-x)),
    ),
    "silu": (
        jax.nn.silu,
        lambda x: x * jax.nn.sigmoid(x),
        lambda x: x / (1 + jnp.exp(-x)),
        lambda x: 0.5 * x * (1 + jnp.tanh(x / 2)),
        lambda x: 0.5 * x + 0.5 * x * jnp.tanh(0.5 * x),
        lambda x: x - x * jax.nn.sigmoid(-x),
        lambda x: x * (1 - jax.nn.sigmoid(-x)),
    ),
    "gelu": (
        jax.nn.gelu,
        _tanh_gelu,
        lambda x: x * jax.nn.sigmoid(2 * float(np.sqrt(2 / np.pi)) * (x + 0.044715 * x * x * x)),
    ),
    "gelu_erf": (
        lambda x: jax.nn.gelu(x, approximate=False),
        lambda x: x * normal.cdf(x),
        lambda x: 0.5 * x * (1 + lax.erf(x / ROOT_2)),
        lambda x: 0.5 * x * lax.erfc(-x / ROOT_2),
        lambda x: x / 2 + x * lax.erf(x / ROOT_2) / 2,
    ),
    "tanh": (
        jnp.tanh,
        lambda x: 2 * jax.nn.sigmoid(2 * x) - 1,
        lambda x: jnp.sinh(x) / jnp.cosh(x),
        lambda x: (jnp.exp(x) - jnp.exp(-x)) / (jnp.exp(x) + jnp.exp(-x)),
        lambda x: 1 - 2 / (1 + jnp.exp(2 * x)),
        lambda x: jnp.expm1(2 * x) / (jnp.expm1(2 * x) + 2),
    ),
    "square": (
        jnp.square,
        lambda x: x**2,
        lambda x: x * x,
        lambda x: jnp.abs(x) ** 2,
        lambda x: jnp.power(x, 2.0),
    ),
    "cube": (lambda x: x**3, lambda x: x * x * x, lambda x: x * x**2, lambda x: x * jnp.square(x)),
    "exp": (
        jnp.exp,
        lambda x: jnp.exp2(x / LN2),
        lambda x: 2 ** (x / LN2),
        lambda x: jnp.expm1(x) + 1,
        lambda x: 1 / jnp.exp(-x),
        lambda x: jnp.exp(x / 2) ** 2,
    ),
    "expm1": (jnp.expm1, lambda x: jnp.exp(x) - 1, lambda x: jnp.exp2(x / LN2) - 1),
    "log1p_square": (
        lambda x: jnp.log1p(x**2),
        lambda x: jnp.log(1 + x * x),
        lambda x: -jnp.log(1 / (1 + x**2)),
        lambda x: 2 * jnp.log(jnp.sqrt(1 + jnp.square(x))),
        lambda x: jnp.log2(1 + x**2) * LN2,
        lambda x: jnp.log10(1 + x**2) * float(np.log(10)),
    ),
    "root": (
        lambda x: jnp.sqrt(1 + x**2),
        lambda x: (1 + x**2) ** 0.5,
        lambda x: jnp.exp(0.5 * jnp.log(1 + x * x)),
        lambda x: 1 / lax.rsqrt(1 + x**2),
        lambda x: jnp.hypot(x, jnp.ones_like(x)),
    ),
    "relu": (
        jax.nn.relu,
        lambda x: jnp.maximum(x, 0),
        lambda x: jnp.maximum(0, x),
        lambda x: jnp.where(x > 0, x, 0),
        lambda x: x * (x > 0),
        lambda x: (x + jnp.abs(x)) / 2,
        lambda x: -jnp.minimum(-x, 0),
        lambda x: jnp.clip(x, 0),
        lambda x: x - jnp.minimum(x, 0),
    ),
    "abs": (
        jnp.abs,
        lambda x: jnp.maximum(x, -x),
        lambda x: jnp.where(x < 0, -x, x),
        lambda x: x * jnp.sign(x),
        lambda x: jax.nn.relu(x) + jax.nn.relu(-x),
        lambda x: jnp.sqrt(x**2),
    ),
    "relu6": (
        jax.nn.relu6,
        lambda x: jnp.clip(x, 0, 6),
        lambda x: jnp.minimum(jax.nn.relu(x), 6),
        lambda x: jnp.maximum(jnp.minimum(x, 6), 0),
    ),
    "hard_sigmoid": (
        jax.nn.hard_sigmoid,
        lambda x: jax.nn.relu6(x + 3) / 6,
        lambda x: jnp.clip(x / 6 + 0.5, 0, 1),
        lambda x: jnp.minimum(jnp.maximum(x / 6 + 0.5, 0), 1),
    ),
    "hard_swish": (
        jax.nn.hard_swish,
        lambda x: x * jax.nn.relu6(x + 3) / 6,
        lambda x: x * jnp.clip(x / 6 + 0.5, 0, 1),
        lambda x: x * jax.nn.hard_sigmoid(x),
    ),
    "leaky_relu": (
        lambda x: jax.nn.leaky_relu(x, 0.1),
        lambda x: jnp.where(x >= 0, x, 0.1 * x),
        lambda x: jnp.maximum(x, 0.1 * x),
        lambda x: jax.nn.relu(x) - 0.1 * jax.nn.relu(-x),
    ),
    "elu": (
        jax.nn.elu,
        lambda x: jnp.where(x > 0, x, jnp.expm1(x)),
        lambda x: jnp.where(x > 0, x, jnp.exp(x) - 1),
        lambda x: jnp.maximum(x, 0) + jnp.minimum(jnp.expm1(x), 0),
    ),
    "mish": (
        jax.nn.mish,
        lambda x: x * jnp.tanh(jax.nn.softplus(x)),
        lambda x: x * jnp.tanh(jnp.log1p(jnp.exp(x))),
    ),
    "sin": (jnp.sin, lambda x: -jnp.sin(-x), lambda x: 2 * jnp.sin(x / 2) * jnp.cos(x / 2)),
    "scale": (
        lambda x: 0.3 * x,
        lambda x: x * 0.3,
        lambda x: x / (1 / 0.3),
        lambda x: -0.3 * (-x),
        lambda x: 0.1 * x + 0.2 * x,
    ),
    "shift": (
        lambda x: x + 0.4,
        lambda x: 0.4 + x,
        lambda x: x - -0.4,
        lambda x: (2 * x + 0.8) / 2,
    ),
}
"""Functions of one variable, each with equal formulas."""


def _conv(x: jax.Array) -> jax.Array:
    return lax.conv_general_dilated(
        x[None], W[None], (1,), "VALID", dimension_numbers=("NWC", "WIO", "NWC")
    )[0]


LAYERS: Mapping[str, tuple[Writing, ...]] = {
    "dense": (
        lambda x: x @ W + B,
        lambda x: jnp.einsum("ij,jk->ik", x, W) + B,
        lambda x: (W.T @ x.T).T + B,
        lambda x: x[:, :1] @ W[:1] + (x[:, 1:] @ W[1:] + B),
        lambda x: jnp.concatenate([x, jnp.ones((2, 1))], 1) @ np.concatenate([W, B]),
        lambda x: _conv(x) + B,
        lambda x: jax.vmap(lambda row: row @ W)(x) + B,
    ),
    "linear": (lambda x: x @ W.T, lambda x: (W @ x.T).T, lambda x: jnp.inner(x, W)),
    "mix": (  # over tokens
        lambda x: W[:2, :2] @ x,
        lambda x: (x.T @ W[:2, :2].T).T,
        lambda x: jnp.tensordot(W[:2, :2], x, 1),
    ),
    "moves": (
        lambda x: x[:, ::-1],
        lambda x: lax.rev(x, (1,)),
        lambda x: x.T[::-1].T,
        lambda x: jnp.flip(x, -1),
        lambda x: x[:, jnp.array([2, 1, 0])],
        lambda x: x @ np.eye(3)[::-1],
    ),
    "mean": (
        lambda x: jnp.broadcast_to(x.mean(1, keepdims=True), SHAPE),
        lambda x: jnp.broadcast_to(x.sum(1, keepdims=True) / 3, SHAPE),
        lambda x: x @ np.full((3, 3), 1 / 3),
        lambda x: jnp.stack([jnp.mean(x, 1)] * 3, 1),
    ),
}
"""Linear operations of one value."""


def _mean(x: jax.Array) -> jax.Array:
    return x.mean(1, keepdims=True)


NORMS: Mapping[str, tuple[Writing, ...]] = {
    "layer_norm": (
        lambda x: (x - _mean(x)) / jnp.sqrt(_mean((x - _mean(x)) ** 2) + EPS),
        lambda x: (x - _mean(x)) * lax.rsqrt(x.var(1, keepdims=True) + EPS),
        lambda x: (x - _mean(x)) * lax.rsqrt(_mean(x**2) - _mean(x) ** 2 + EPS),
        lambda x: (x - _mean(x)) / (x.var(1, keepdims=True) + EPS) ** 0.5,
        lambda x: (x - _mean(x)) * (x.var(1, keepdims=True) + EPS) ** -0.5,
        lambda x: (
            x * lax.rsqrt(x.var(1, keepdims=True) + EPS)
            - _mean(x) * lax.rsqrt(x.var(1, keepdims=True) + EPS)
        ),
        lambda x: jax.nn.standardize(x, axis=1, epsilon=EPS),
    ),
    "rms_norm": (
        lambda x: x / jnp.sqrt(_mean(x**2) + EPS),
        lambda x: x * lax.rsqrt(_mean(jnp.square(x)) + EPS),
        lambda x: x * (_mean(x * x) + EPS) ** -0.5,
        lambda x: x * (1 / jnp.sqrt(_mean(x * x) + EPS)),
        lambda x: x / jnp.sqrt((x**2).sum(1, keepdims=True) / 3 + EPS),
    ),
    "unit": (
        lambda x: x / jnp.linalg.norm(x, axis=1, keepdims=True),
        lambda x: x / jnp.sqrt((x * x).sum(1, keepdims=True)),
        lambda x: x * lax.rsqrt(jnp.sum(x**2, 1, keepdims=True)),
        lambda x: x / jnp.sqrt(jnp.einsum("ij,ij->i", x, x))[:, None],
    ),
}
"""Normalizations of one value."""


def _shifted(x: jax.Array) -> jax.Array:
    return x - lax.stop_gradient(x.max(1, keepdims=True))


def _manual(x: jax.Array) -> jax.Array:
    e = jnp.exp(x)
    return e / e.sum(1, keepdims=True)


SOFTMAXES: Mapping[str, tuple[Writing, ...]] = {
    "softmax": (
        jax.nn.softmax,
        lambda x: jnp.exp(jax.nn.log_softmax(x)),
        lambda x: jnp.exp(x) / jnp.exp(x).sum(1, keepdims=True),
        lambda x: _manual(_shifted(x)),
        lambda x: _manual(x - x.max(1, keepdims=True)),
        lambda x: jnp.exp(x - jax.nn.logsumexp(x, 1, keepdims=True)),
        lambda x: jnp.exp(x - jnp.log(jnp.exp(x).sum(1, keepdims=True))),
        lambda x: jax.nn.softmax(x.T, 0).T,
        lambda x: jax.nn.softmax(x + 5),
        lambda x: jnp.exp(x) * (1 / jnp.exp(x).sum(1, keepdims=True)),
    ),
    "logsumexp": (
        lambda x: x - jax.nn.logsumexp(x, 1, keepdims=True),
        jax.nn.log_softmax,
        lambda x: x - jnp.log(jnp.sum(jnp.exp(x), 1, keepdims=True)),
        lambda x: jnp.log(jax.nn.softmax(x)),
        lambda x: jax.nn.log_softmax(x.T, 0).T,
    ),
}
"""Softmax that stands for itself."""

SUMS: Mapping[str, tuple[Writing, ...]] = {
    "add": (
        jnp.add,
        lambda a, b: b + a,
        lambda a, b: a - (-b),
        lambda a, b: jnp.stack([a, b]).sum(0),
        lambda a, b: jnp.concatenate([a, b], 1) @ np.concatenate([np.eye(3)] * 2),
        lambda a, b: sum([a, b]),
    ),
    "sub": (jnp.subtract, lambda a, b: a + -b, lambda a, b: -(b - a), lambda a, b: a + (-1.0) * b),
    "maximum": (
        jnp.maximum,
        lambda a, b: jnp.maximum(b, a),
        lambda a, b: jnp.where(a > b, a, b),
        lambda a, b: jnp.stack([a, b]).max(0),
        lambda a, b: -jnp.minimum(-a, -b),
        lambda a, b: b + jax.nn.relu(a - b),
    ),
}
"""Sums and choices of two values."""

PRODUCTS: Mapping[str, tuple[Writing, ...]] = {
    "mul": (
        jnp.multiply,
        lambda a, b: b * a,
        lambda a, b: -(a * -b),
        lambda a, b: (0.5 * a) * (2 * b),
    ),
    "joined": (
        jnp.multiply,
        lambda a, b: jnp.einsum("ij,ij->ij", a, b),
        lambda a, b: jnp.stack([a, b]).prod(0),
    ),
    "inner": (
        lambda a, b: (a * b).sum(1, keepdims=True) * np.ones((1, 3)),
        lambda a, b: jnp.einsum("ij,ij->i", a, b)[:, None] * np.ones((1, 3)),
        lambda a, b: jnp.einsum("ij,kj,ik->i", a, b, np.eye(2))[:, None] * np.ones((1, 3)),
    ),
}
"""Products of two signals."""

BRACKETS: Mapping[str, tuple[Writing, ...]] = {
    "modulate": (  # FiLM
        lambda a, b: a * (1 + b),
        lambda a, b: a + a * b,
        lambda a, b: (1 + b) * a,
        lambda a, b: a * b + a,
        lambda a, b: a - a * -b,
    ),
    "two_thirds": (
        lambda a, b: a * a * b,
        lambda a, b: a**2 * b,
        lambda a, b: a * (a * b),
        lambda a, b: jnp.einsum("ij,ij,ij->ij", a, b, a),
        lambda a, b: jnp.stack([a, b, a]).prod(0),
    ),
}
"""Products that only the default shares alike."""

GATES: Mapping[str, tuple[Writing, ...]] = {
    "gate": tuple((lambda a, b, g=g: g(a) * b) for g in (*ELEMENTWISE["sigmoid"], jax.nn.sigmoid)),
    "hard_gate": tuple((lambda a, b, g=g: b * g(a)) for g in ELEMENTWISE["hard_sigmoid"]),
    "blend": (
        lambda a, b: jax.nn.sigmoid(a) * b + (1 - jax.nn.sigmoid(a)) * a,
        lambda a, b: a + jax.nn.sigmoid(a) * (b - a),
        lambda a, b: jax.nn.sigmoid(a) * b + jax.nn.sigmoid(-a) * a,
    ),
    "softmax_gate": tuple((lambda a, b, g=g: g(a) * b) for g in SOFTMAXES["softmax"]),
    "quotient": (
        lambda a, b: b / (1 + a**2),
        lambda a, b: b * (1 / (1 + a * a)),
        lambda a, b: b * (1 + a**2) ** -1,
    ),
    "root_quotient": (
        lambda a, b: b / jnp.sqrt(1 + a**2),
        lambda a, b: b * lax.rsqrt(1 + a**2),
        lambda a, b: b * (1 + a**2) ** -0.5,
        lambda a, b: b / (1 + a * a) ** 0.5,
    ),
    "pooled_gate": (
        lambda a, b: _mean(jax.nn.sigmoid(a)) * b,
        lambda a, b: jax.nn.sigmoid(a) @ np.full((3, 3), 1 / 3) * b,
        lambda a, b: jnp.einsum("ij,kj,ik->ij", b, np.ones((3, 3)) / 3, jax.nn.sigmoid(a)),
        lambda a, b: jax.nn.sigmoid(a).sum(1, keepdims=True) / 3 * b,
    ),
}
"""Weights on a signal."""


def _scores(q: jax.Array, k: jax.Array) -> jax.Array:
    return q @ k.T / ROOT_2


ATTENTION: Mapping[str, tuple[Writing, ...]] = {
    "attention": (
        lambda q, k, v: jax.nn.softmax(_scores(q, k)) @ v,
        lambda q, k, v: jnp.exp(jax.nn.log_softmax(_scores(q, k))) @ v,
        lambda q, k, v: _manual(_scores(q, k)) @ v,
        lambda q, k, v: _manual(_shifted(_scores(q, k))) @ v,
        lambda q, k, v: (jnp.exp(_scores(q, k)) @ v) / jnp.exp(_scores(q, k)).sum(1, keepdims=True),
        lambda q, k, v: jnp.einsum("qk,kd->qd", jax.nn.softmax(_scores(q, k)), v),
        lambda q, k, v: (v.T @ jax.nn.softmax(_scores(q, k)).T).T,
    ),
}
"""Softmax weights on values."""

TWICE: Mapping[str, tuple[Writing, ...]] = {
    "attention_twice": (
        lambda q, k, v: jax.nn.softmax(_scores(q, k)) @ v,
        lambda q, k, v: (
            (jnp.exp(_shifted(_scores(q, k))) @ v)
            / jnp.exp(_shifted(_scores(q, k))).sum(1, keepdims=True)
        ),
    ),
}
"""Exponentials computed twice, each less a maximum of its own: AttnLRP does not see one softmax."""

TERNARY: Mapping[str, tuple[Writing, ...]] = {
    "product": (
        lambda a, b, c: a * b * c,
        lambda a, b, c: a * (b * c),
        lambda a, b, c: c * (b * a),
        lambda a, b, c: jnp.einsum("ij,ij,ij->ij", a, b, c),
        lambda a, b, c: jnp.stack([a, b, c]).prod(0),
    ),
    "distribute": (
        lambda a, b, c: a * (b + c),
        lambda a, b, c: a * b + a * c,
        lambda a, b, c: c * a + b * a,
    ),
}
"""Brackets of three values, under the default."""

DEFAULT = {
    **ELEMENTWISE, **LAYERS, **NORMS, **SOFTMAXES, **SUMS, **PRODUCTS, **BRACKETS, **GATES,
    **ATTENTION, **TWICE, **TERNARY,
}  # fmt: skip

HALVES = {"mul": PRODUCTS["mul"]}
"""In the presets of papers `x * g(x)` is one function of x, and two halves as an inner product."""

FORMS: Mapping[str, Mapping[str, tuple[Writing, ...]]] = {
    "lrp0": DEFAULT,
    "cp_lrp": DEFAULT,
    "uniform": {**ELEMENTWISE, **LAYERS, **SUMS, **HALVES},
    "attnlrp": {**ELEMENTWISE, **LAYERS, **SUMS, **HALVES, **ATTENTION},
}
"""The identities that each preset has."""


ARITY = {
    name: count
    for table, count in (
        (ELEMENTWISE, 1), (LAYERS, 1), (NORMS, 1), (SOFTMAXES, 1),
        (SUMS, 2), (PRODUCTS, 2), (BRACKETS, 2), (GATES, 2),
        (ATTENTION, 3), (TWICE, 3), (TERNARY, 3),
    )
    for name in table
}  # fmt: skip


# --- how a part of a program is called


def _scanned(fun: Writing) -> Writing:
    def one_step(*args: jax.Array) -> jax.Array:
        xs = tuple(a[None] for a in args)
        return lax.scan(lambda carry, x: (carry, fun(*x)), 0.0, xs)[1][0]

    return one_step


def _carried(fun: Writing) -> Writing:
    def one_step(*args: jax.Array) -> jax.Array:
        start = (jnp.zeros(SHAPE), *args)
        return lax.scan(lambda c, _: ((fun(*c[1:]), *c[1:]), None), start, None, length=1)[0][0]

    return one_step


def _ruled(fun: Writing) -> Writing:
    def plain(*args: jax.Array) -> jax.Array:
        return fun(*args)

    called = jax.custom_jvp(plain)
    called.defjvp(lambda primals, tangents: jax.jvp(plain, primals, tangents))
    return called


CALLS: tuple[Callable[[Writing], Writing], ...] = (
    lambda fun: fun,
    jax.jit,
    lambda fun: lambda *args: lax.cond(True, fun, lambda *a: jnp.zeros(SHAPE) + 0 * a[0], *args),
    lambda fun: lambda *args: lax.switch(1, [lambda *a: 7 * a[0], fun], *args),
    _scanned,
    _carried,
    jax.checkpoint,
    _ruled,
    lambda fun: jax.named_call(fun, name="called"),
    lambda fun: lambda *args: jax.vmap(fun)(*(a[None] for a in args))[0],
)
"""Ways to call a function that change nothing."""


@dataclass(frozen=True)
class Node:
    """One node of an expression.

    Attributes:
        name: its line in the table; a source if it is a digit.
        parts: its operands.
        written: the writing that it is rewritten to; the first is what it is written as.
        called: how its equation is called when it is rewritten.
        wrapped: how the whole of the expression below it is called.
    """

    name: str
    parts: tuple[Node, ...] = ()
    written: int = 0
    called: int = 0
    wrapped: int = 0

    def first(self) -> Node:
        """Return the expression as it is written first."""
        return Node(self.name, tuple(part.first() for part in self.parts))

    def nodes(self) -> Iterator[Node]:
        """Yield this node and all below."""
        yield self
        for part in self.parts:
            yield from part.nodes()

    def __call__(self, *sources: jax.Array) -> jax.Array:
        """Evaluate the expression."""
        if not self.parts:
            return sources[int(self.name)]
        if self.wrapped:
            return CALLS[self.wrapped](replace(self, wrapped=0))(*sources)
        forms = DEFAULT[self.name]
        operands = [part(*sources) for part in self.parts]
        return CALLS[self.called](forms[self.written % len(forms)])(*operands)

    def simpler(self) -> Iterator[Node]:
        """Yield expressions that are one step simpler."""
        yield from self.parts
        if self.wrapped:
            yield replace(self, wrapped=0)
        if self.called:
            yield replace(self, called=0)
        if self.parts and self.written % len(DEFAULT[self.name]):
            yield replace(self, written=0)
        for i, part in enumerate(self.parts):
            for better in part.simpler():
                yield replace(self, parts=(*self.parts[:i], better, *self.parts[i + 1 :]))


def numbers(count: int, seed: int) -> Sequence[Any]:
    """Return sources of `SHAPE`."""
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.normal(size=SHAPE)) for _ in range(count)]
