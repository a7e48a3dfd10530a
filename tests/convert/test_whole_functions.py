"""Functions that JAX has whole are whole in an imported network, and the rules recognize them.

Their operations are those of JAX's own function, and their relevance is the formula of the rule for
the whole: a secant of activations, softmax's gradient, attention's weights and the scale of layer
norm as constants.
"""

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest

import rfp_jax
from rfp_jax.convert import from_onnx, from_torch
from rfp_jax.convert._aten import TABLE
from tests.golden.weights import relative_error

torch = pytest.importorskip("torch")
from torch.nn import functional as F  # noqa: E402 (needs PyTorch)

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((2, 2, 3, 5, 4))
SCALE = np.array([0.5, 1.0, 1.5, 2.0])

WHOLE = {
    "gelu": lambda a, b: jax.nn.gelu(a + b, approximate=False),
    "silu": lambda a, b: jax.nn.silu(a + b),
    "softmax": lambda a, b: jax.nn.softmax(a + b),
    "layer norm": lambda a, b: normalized(a + b) * SCALE.reshape(1, 1, 1, 4),
    "attention": lambda a, b: jnp.matmul(jax.nn.softmax(jnp.matmul(a, b.mT) * 0.5), b),
}
"""The same with JAX's own functions, where it has them."""
MOVES = frozenset(
    """add sub mul neg reshape squeeze transpose broadcast_in_dim convert_element_type copy jit
    select_n""".split()
)
"""Operations that may stand around the parts of a function: sums, products, choices and moves."""

TORCH = {
    "gelu": lambda a, b: F.gelu(a + b),
    "silu": lambda a, b: F.silu(a + b),
    "softmax": lambda a, b: torch.softmax(a + b, -1),
    "layer norm": lambda a, b: F.layer_norm(a + b, (4,), torch.from_numpy(SCALE)),
    "attention": lambda a, b: F.scaled_dot_product_attention(a, b, b),
}
ONNX = {
    "gelu": "x = Add(a, b) y = Gelu(x)",
    "silu": "x = Add(a, b) y = Swish(x)",
    "softmax": "x = Add(a, b) y = Softmax <axis = -1> (x)",
    "layer norm": "x = Add(a, b) y = LayerNormalization <axis = -1> (x, scale)",
    "attention": "y = Attention (a, b, b)",
}


class Joined(torch.nn.Module):
    """Two sources and one function."""

    def __init__(self, join):
        super().__init__()
        self.join = join

    def forward(self, a, b):
        return self.join(a, b)


def by_torch(name, folder):
    del folder
    return from_torch(Joined(TORCH[name]).eval())


def by_onnx(name, folder):
    sizes = "double[n, 3, 5, 4]"
    text = f"""
        <ir_version: 10, opset_import: ["" : 24]>
        joined ({sizes} a, {sizes} b) => ({sizes} y)
        <double[4] scale = {{{", ".join(map(str, SCALE))}}}> {{ {ONNX[name]} }}"""
    onnx.save(onnx.parser.parse_model(text), folder / "joined.onnx")
    return from_onnx(folder / "joined.onnx", dtype="float64")


def normalized(x):
    centered = x - x.mean(-1, keepdims=True)
    return centered * jax.lax.rsqrt(jnp.square(centered).mean(-1, keepdims=True) + 1e-5)


def parts(fun, *args):
    """The operations of a program that are more than sums, products, choices and moves."""

    def walk(jaxpr):
        for eqn in jaxpr.eqns:
            if eqn.primitive.name not in MOVES:
                yield eqn.primitive.name
            for param in eqn.params.values():
                inner = getattr(param, "jaxpr", param)
                if hasattr(inner, "eqns"):
                    yield from walk(inner)

    return list(walk(jax.make_jaxpr(fun)(*args).jaxpr))


def expected(name, a, b):
    """The relevance of both sources by the function's own rule."""
    x, total = a + b, np.exp(a + b).sum(-1, keepdims=True)
    if name == "softmax":
        p = np.exp(x) / total
        return [p * (c - (p * c).sum(-1, keepdims=True)) for c in (a, b)]
    if name == "layer norm":
        scale = SCALE / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return [(c - c.mean(-1, keepdims=True)) * scale for c in (a, b)]
    tensors = [torch.from_numpy(source) for source in (a, b)]
    y = TORCH[name](*tensors).numpy()
    return [np.zeros_like(y), y] if name == "attention" else [y * a / x, y * b / x]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("reader", [by_torch, by_onnx])
def test_it_is_whole_and_has_the_relevance_of_the_whole(reader, name, tmp_path):
    fun, params = reader(name, tmp_path)
    assert parts(fun, params, A, B) == parts(WHOLE[name], A, B) != []
    found = rfp_jax.relevance(fun, argnums=(1, 2))(params, A, B)
    for ours, theirs in zip(found.sources, expected(name, A, B), strict=True):
        # ONNX defines attention with the root of its scale in single precision.
        assert relative_error(ours, theirs) <= 1e-7 if theirs.any() else not np.any(ours)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", WHOLE)
def test_pytorchs_program_has_one_node_for_it(name):
    fun, params = by_torch(name, None)
    used = [node.operation for node in fun.program(params, A, B).nodes]
    own = {"attention": "scaled_dot_product_attention", "layer norm": "layer_norm"}.get(name, name)
    names = [operation.split(".")[1] for operation in used]
    assert names.count(own) == 1
    assert set(names) <= {own, "add", "clone"}


def _split_gelu(x, **_):
    return x * (1 + jax.lax.erf(x / 2**0.5)) / 2


def _split_softmax(x, dim, *_):
    powers = jnp.exp(x)
    return powers / powers.sum(dim, keepdims=True)


SPLIT = {"gelu": _split_gelu, "softmax": _split_softmax}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", SPLIT)
def test_what_is_split_would_be_seen(name, monkeypatch):
    monkeypatch.setitem(TABLE, name, SPLIT[name])
    fun, params = by_torch(name, None)
    assert parts(fun, params, A, B) != parts(WHOLE[name], A, B)
