"""An example call for every primitive that has a rule, and a broad walk through JAX's functions.

`CALLS` is what "for every rule" means in the tests: they run over it, and `test_coverage` fails when
a primitive of the table has no call here.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special as jsp
import numpy as np
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jax.custom_derivatives import linear_call
from jax.experimental import sparse
from jax.experimental.layout import Layout, with_layout_constraint
from jax.extend import core
from jax.extend.core import primitives as jax_primitives
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

INFINITY = float("inf")

# Zero, tiny, ordinary, saturating, huge.
SPECIAL = np.array(
    [0.0, 1e-30, 1e-12, 1e-5, 3e-3, 0.5, 1.0, 3.0, 20.0, 50.0, 88.0, 1e4, 1e15, 1e30]
)
SPECIAL = np.concatenate([SPECIAL, -SPECIAL])


@dataclass(frozen=True)
class Call:
    """A call that contains a primitive.

    Attributes:
        primitive: its name.
        fun: a function of the operands.
        operands: float64, or integers where a primitive wants them.
        sources: which operands may depend on a source; every subset of them is tried.
        mesh: the devices it is meant for, if for several.
        runs: whether XLA can run it on a CPU; some can be traced only.
    """

    primitive: str
    fun: Callable[..., Any]
    operands: tuple[np.ndarray, ...]
    sources: tuple[int, ...]
    mesh: jax.sharding.Mesh | None = field(default=None, compare=False)
    runs: bool = True

    def arrays(self) -> list[jax.Array]:
        """The operands on the device."""
        return [jnp.asarray(operand) for operand in self.operands]

    def devices(self) -> Any:
        """A context in which the call finds its devices."""
        return contextlib.nullcontext() if self.mesh is None else jax.set_mesh(self.mesh)

    def subsets(self) -> Iterator[tuple[int, ...]]:
        """Every way in which some operands depend on a source and the others do not."""
        for count in range(1, len(self.sources) + 1):
            yield from combinations(self.sources, count)


def call(
    primitive: str,
    fun: Callable[..., Any],
    *operands: Any,
    sources: Sequence[int] | None = None,
    mesh: jax.sharding.Mesh | None = None,
    runs: bool = True,
) -> Call:
    """A `Call`, all of whose floating-point operands may be sources unless `sources` says which."""
    arrays = tuple(np.asarray(operand) for operand in operands)
    floats = tuple(i for i, a in enumerate(arrays) if np.issubdtype(a.dtype, np.inexact))
    return Call(primitive, fun, arrays, floats if sources is None else tuple(sources), mesh, runs)


def within(low: float = -INFINITY, high: float = INFINITY) -> np.ndarray:
    """The special values of a domain, and its ends; of one length, so that XLA compiles once."""
    ends = [end for end in (low, high) if abs(end) < INFINITY]
    values = np.concatenate([SPECIAL[(low <= SPECIAL) & (high >= SPECIAL)], ends])
    return np.resize(values, len(SPECIAL) + 2)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    """Random numbers; a few of them equal, so that there are ties."""
    return np.round(np.random.default_rng(seed).normal(size=shape) * 2, 1)


V = within()  # one vector of every special value
A, B = numbers(3, 4), numbers(3, 4, seed=1)
IMAGE = numbers(2, 5, 6, 3, seed=2)
KERNEL = numbers(3, 3, 3, 2, seed=3)
SQUARE = numbers(3, 3, seed=4) + 4 * np.eye(3)
INDICES = np.array([2, 0, 2])
TIES = np.array([[1.0, 2.0, 2.0, -1.0], [0.0, 0.0, 0.0, 0.0], [-3.0, -1.0, -2.0, -1.0]])
SPD = SQUARE @ SQUARE.T


def _mesh(kind: AxisType) -> jax.sharding.Mesh:
    return jax.make_mesh((2,), ("i",), axis_types=(kind,))


def _on_devices(
    primitive: str,
    body: Callable[..., Any],
    out: P = P("i"),
    check_vma: bool = False,
    runs: bool = True,
) -> Call:
    """A call of a collective, on two devices."""
    mesh = _mesh(AxisType.Auto)
    fun = jax.shard_map(body, mesh=mesh, in_specs=P("i"), out_specs=out, check_vma=check_vma)
    return call(primitive, fun, numbers(4, 2), mesh=mesh, runs=runs)


def _ragged(x: jax.Array) -> jax.Array:
    sizes = jnp.array([1, 1], jnp.int32)
    me = lax.axis_index("i")
    starts, there = jnp.array([0, 1], jnp.int32), jnp.array([me, me], jnp.int32)
    return lax.ragged_all_to_all(x, jnp.zeros_like(x), starts, sizes, there, sizes, axis_name="i")


def _elementwise() -> Iterator[Call]:
    domains: Mapping[str, tuple[Callable[..., Any], float, float]] = {
        "exp": (jnp.exp, -INFINITY, INFINITY),
        "exp2": (lax.exp2, -INFINITY, INFINITY),
        "expm1": (jnp.expm1, -INFINITY, INFINITY),
        "log1p": (jnp.log1p, -0.9, INFINITY),
        "sqrt": (jnp.sqrt, 0, INFINITY),
        "cbrt": (jnp.cbrt, -INFINITY, INFINITY),
        "square": (jnp.square, -INFINITY, INFINITY),
        "sin": (jnp.sin, -INFINITY, INFINITY),
        "cos": (jnp.cos, -INFINITY, INFINITY),
        "tan": (jnp.tan, -1.5, 1.5),
        "asin": (lax.asin, -1, 1),
        "acos": (lax.acos, -1, 1),
        "atan": (lax.atan, -INFINITY, INFINITY),
        "sinh": (lax.sinh, -INFINITY, INFINITY),
        "cosh": (lax.cosh, -INFINITY, INFINITY),
        "tanh": (jnp.tanh, -INFINITY, INFINITY),
        "asinh": (lax.asinh, -INFINITY, INFINITY),
        "acosh": (lax.acosh, 1, INFINITY),
        "atanh": (lax.atanh, -0.9, 0.9),
        "logistic": (lax.logistic, -INFINITY, INFINITY),
        "erf": (lax.erf, -INFINITY, INFINITY),
        "erfc": (lax.erfc, -INFINITY, INFINITY),
        "erf_inv": (lax.erf_inv, -0.9, 0.9),
        "floor": (lax.floor, -INFINITY, INFINITY),
        "ceil": (lax.ceil, -INFINITY, INFINITY),
        "round": (lax.round, -INFINITY, INFINITY),
        "sign": (lax.sign, -INFINITY, INFINITY),
        "bessel_i0e": (lax.bessel_i0e, -1e4, 1e4),
        "bessel_i1e": (lax.bessel_i1e, -1e4, 1e4),
        "abs": (jnp.abs, -INFINITY, INFINITY),
        "integer_pow": (lambda x: x**3, -INFINITY, INFINITY),
        "rsqrt": (lax.rsqrt, 0, INFINITY),
        "log": (jnp.log, 0, INFINITY),
        "lgamma": (lax.lgamma, 0, INFINITY),
        "digamma": (lax.digamma, 0, INFINITY),
        "neg": (jnp.negative, -INFINITY, INFINITY),
        "reduce_precision": (lambda x: lax.reduce_precision(x, 11, 52), -INFINITY, INFINITY),
        "convert_element_type": (lambda x: x.astype(jnp.float32), -1e30, 1e30),
        "copy": (jnp.copy, -INFINITY, INFINITY),
        "name": (lambda x: checkpoint_name(x, "here"), -INFINITY, INFINITY),
        "stop_gradient": (lax.stop_gradient, -INFINITY, INFINITY),
        "is_finite": (lax.is_finite, -INFINITY, INFINITY),
    }
    for primitive, (fun, low, high) in domains.items():
        yield call(primitive, fun, within(low, high))
    yield call("integer_pow", lambda x: lax.integer_pow(x, -2), within(1e-5))
    yield call("integer_pow", lambda x: lax.integer_pow(x, 0), V)
    for constant in (-1.0, 0.0, 2.0):
        yield call("max", lambda x, c=constant: jnp.maximum(x, c), V)
        yield call("min", lambda x, c=constant: jnp.minimum(x, c), V)
    yield call("abs", lambda x: jnp.abs(lax.complex(x, x[::-1])), V)
    yield call("pow", lambda x: x**1.5, within(0))
    yield call("pow", lambda x: x**-0.5, within(1e-5))
    yield call("pow", lambda x: 2.0**x, V)
    yield call("pow", lambda x, y: x**y, np.abs(A) + 1, np.abs(B))
    yield call("igamma", lax.igamma, np.abs(A) + 1, np.abs(B), sources=[1])
    yield call("igammac", lax.igammac, np.abs(A) + 1, np.abs(B), sources=[1])
    yield call("igamma_grad_a", lax.igamma_grad_a, np.abs(A) + 1, np.abs(B), sources=[1])
    yield call("regularized_incomplete_beta", jsp.betainc, np.abs(A) + 1, np.abs(B) + 1, numbers(3, 4) % 1, sources=[2])  # fmt: skip
    yield call("rem", lambda x: lax.rem(x, jnp.full_like(x, 3.0)), V)
    yield call("rem", lambda x: lax.rem(jnp.full_like(x, 7.0), x), within(0.5))
    yield call("polygamma", lambda x: lax.polygamma(jnp.full_like(x, 1.0), x), within(0.5, 50))
    yield call("zeta", lambda x: lax.zeta(jnp.full_like(x, 2.0), x), within(0.5, 50))
    yield call("nextafter", lax.nextafter, A, B)
    yield call("bitcast_convert_type", lambda x: lax.bitcast_convert_type(x, jnp.int64), A)
    yield call("clamp", lambda x: lax.clamp(x.dtype.type(-1), x, x.dtype.type(2)), V)
    yield call("clamp", lax.clamp, np.full_like(A, -1.0), A, np.full_like(A, 1.0))
    yield call("clamp", lambda x: lax.clamp(x.dtype.type(1), x, x.dtype.type(2)), V)
    yield call("debug_callback", lambda x: (jax.debug.callback(lambda _: None, x), x)[1], A)
    yield call("debug_print", lambda x: (jax.debug.print("{}", x), x)[1], A)
    if hasattr(jax_primitives, "log2_p"):  # JAX 0.12
        yield call("log2", lambda x: jax_primitives.log2_p.bind(x, accuracy=None), within(0))
        yield call("one_minus_square", jax_primitives.one_minus_square_p.bind, V)
        yield call("polynomial", lambda x: jax_primitives.polynomial_p.bind(x, 2.0 * x**0, 3.0 * x**0), V)  # fmt: skip
    for comparison in (lax.eq, lax.ne, lax.lt, lax.le, lax.gt, lax.ge):
        yield call(comparison.__name__, comparison, A, B)
    # x * g(x) written out: one function of x, whatever stands between.
    yield call("mul", lambda x: x * jax.nn.sigmoid(x), V)
    yield call("mul", lambda x: x * 0.5 * (1 + jnp.tanh(0.8 * (x + 0.04 * x**3))), V)
    yield call("mul", lambda x: x * x, V)
    yield call("mul", lambda x: (x + 1) * jnp.cos(x), within(-1e4, 1e4))
    yield call("div", lambda x: x / (1 + jnp.abs(x)), V)
    yield call("div", lambda x: (x + 1) / (1 + x**2), within(-1e4, 1e4))


def _structural() -> Iterator[Call]:
    yield call("real", jnp.real, A + 1j * B)
    yield call("imag", jnp.imag, A + 1j * B)
    yield call("conj", jnp.conj, A + 1j * B)
    yield call("complex", lax.complex, A, B)
    yield call("reshape", lambda x: x.reshape(2, 6), A)
    yield call("squeeze", lambda x: lax.squeeze(x, (0,)), A[None])
    yield call("transpose", jnp.transpose, A)
    yield call("rev", lambda x: lax.rev(x, (1,)), A)
    yield call("broadcast_in_dim", lambda x: jnp.broadcast_to(x, (2, 3, 4)), A)
    yield call("slice", lambda x: x[:2, ::2], A)
    yield call("dynamic_slice", lambda x, i: lax.dynamic_slice(x, (i, i), (2, 2)), A, 1)
    yield call("gather", lambda x, i: x[i], A, INDICES)
    yield call("gather", lambda x, i: x.at[i].get(mode="clip"), A, INDICES + 1)
    yield call("gather", lambda x, i: x.at[i].get(mode="fill", fill_value=0), A, INDICES + 1)
    yield call("gather", lambda x, i: x.at[i].get(mode="fill", fill_value=7), A, INDICES + 1)
    yield call("split", lambda x: lax.split(x, (1, 3), axis=1), A)
    yield call("unstack", jnp.unstack, A)
    yield call("tile", lambda x: jnp.tile(x, (2, 1)), A)
    yield call("reduce_sum", lambda x: jnp.sum(x, 0), A)
    yield call("reduce_window_sum", lambda x: lax.reduce_window(x, 0.0, lax.add, (2, 2), (1, 2), "SAME"), A)  # fmt: skip
    yield call("cumsum", lambda x: lax.cumsum(x, axis=1, reverse=True), A)
    yield call("fft", jnp.fft.fft, A)
    yield call("fft", jnp.fft.rfft, A)
    yield call("device_put", lambda x: jax.device_put(x, jax.devices()[0]), A)
    yield call("device_put", lambda x, y: jax.device_put([x, y], jax.devices()[0]), A, B)
    yield call("optimization_barrier", lax.optimization_barrier, A)
    yield call("optimization_barrier", lambda x, y: lax.optimization_barrier((x, y)), A, B)
    yield call("layout_constraint", lambda x: with_layout_constraint(x, Layout((0, 1))), A)
    yield call("symmetric_product", lambda c: lax.linalg.symmetric_product(np.zeros((3, 2)), c, beta=2.0), SPD)  # fmt: skip
    yield call(
        "linear_call",
        lambda x: linear_call(
            lambda r, v: r * v, lambda r, v: r * v, jnp.asarray(B).astype(x.dtype), x
        ),
        A,
    )
    # sums, choices, placements
    yield call("add", jnp.add, A, B)
    yield call("add", lax.add, A, B[:1])
    yield call("add_any", jax.grad(lambda x, y: jnp.sum(x * y + x * 3.0), argnums=0), A, B)
    yield call("sub", jnp.subtract, A, B)
    yield call("concatenate", lambda x, y: jnp.concatenate([x, y], 1), A, B)
    yield call("stack", lambda x, y: jnp.stack([x, y]), A, B)
    yield call("pad", lambda x: lax.pad(x, x.dtype.type(2), ((1, 0, 1), (0, -1, 0))), A)
    yield call("pad", lambda x: lax.pad(x, x[0, 0], ((1, 0, 1), (0, -1, 0))), A)
    yield call("select_n", jnp.where, A > 0, A, B)
    yield call("dynamic_update_slice", lambda x, u: lax.dynamic_update_slice(x, u, (1, 1)), A, B[:2, :2])  # fmt: skip
    yield call("scatter", lambda x, u, i: x.at[i].set(u), A, B[:2], np.array([2, 0]))
    yield call("scatter-add", lambda x, u, i: x.at[i].add(u), A, B, INDICES)
    yield call("scatter-sub", lambda x, u, i: x.at[i].subtract(u), A, B, INDICES)
    yield call("scatter-mul", lambda x, u, i: x.at[i].multiply(u), A, B[:2], np.array([2, 0]))
    yield call("scatter-max", lambda x, u, i: x.at[i].max(u), A, B, INDICES)
    yield call("scatter-min", lambda x, u, i: x.at[i].min(u), A, B, INDICES)


def _products() -> Iterator[Call]:
    yield call("mul", jnp.multiply, A, B)
    yield call("mul", lambda x, y: x * jax.nn.sigmoid(y), A, B)
    yield call("mul", lambda x, y: jax.nn.sigmoid(x) * jax.nn.sigmoid(y), A, B)
    yield call("div", lambda x, y: x / y, A, np.abs(B) + 1)
    yield call("dot_general", jnp.matmul, A, B.T)
    yield call("dot_general", lambda x, y: jax.nn.softmax(x) @ y, A, B.T)
    yield call("dot_general", lambda x: x @ x.T, A)
    yield call("conv_general_dilated", lambda x, w: lax.conv_general_dilated(x, w, (2, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")), IMAGE, KERNEL)  # fmt: skip
    yield call("ragged_dot_general", lax.ragged_dot, A, numbers(2, 4, 5), np.array([1, 2], np.int32))  # fmt: skip
    yield call("reduce_prod", lambda x: jnp.prod(x, 1), A)
    yield call("reduce_prod", jnp.prod, TIES)
    yield call("cumprod", lambda x: lax.cumprod(x, axis=1), A)
    yield call("cumprod", lambda x: lax.cumprod(x, axis=1, reverse=True), TIES)
    yield call("triangular_solve", lambda a, b: lax.linalg.triangular_solve(a, b, left_side=True), SQUARE, A, sources=[1])  # fmt: skip
    yield call("custom_linear_solve", jnp.linalg.solve, SQUARE, A, sources=[1])
    yield call("tridiagonal_solve", lax.linalg.tridiagonal_solve, [0.0, 1, 2], [4.0, 5, 6], [1.0, 1, 0], A, sources=[3])  # fmt: skip


def _sparse() -> Iterator[Call]:
    """Products of a sparse matrix [3, 4], in each of its formats, with a dense array."""
    matrix = np.where(np.abs(A) > 1, A, 0.0)
    rows, columns = np.nonzero(matrix)
    values, starts = matrix[rows, columns], np.searchsorted(rows, range(4))
    places = np.stack([rows, columns], 1)
    for primitive, kind, indices, right in (
        ("bcoo_dot_general", sparse.BCOO, (places,), B.T),
        ("bcsr_dot_general", sparse.BCSR, (columns, starts), B.T),
        ("coo_matmat", sparse.COO, (rows, columns), B.T),
        ("coo_matvec", sparse.COO, (rows, columns), B[0]),
        ("csr_matmat", sparse.CSR, (columns, starts), B.T),
        ("csr_matvec", sparse.CSR, (columns, starts), B[0]),
    ):

        def product(data: jax.Array, x: jax.Array, kind: Any = kind, at: Any = indices) -> Any:
            dtype = min(data.dtype, x.dtype, key=lambda dtype: dtype.itemsize)
            data, x = data.astype(dtype), x.astype(dtype)
            return kind((data, *map(jnp.asarray, at)), shape=matrix.shape) @ x

        yield call(primitive, product, values, right)


def _winners() -> Iterator[Call]:
    for values in (A, TIES):
        yield call("max", jnp.maximum, values, TIES)
        yield call("min", jnp.minimum, values, TIES)
        yield call("reduce_max", lambda x: jnp.max(x, 1), values)
        yield call("reduce_max", jnp.max, values)
        yield call("reduce_min", lambda x: jnp.min(x, 0), values)
        yield call("reduce_window_max", lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (2, 3), (1, 2), "SAME"), values)  # fmt: skip
        yield call("reduce_window_min", lambda x: lax.reduce_window(x, jnp.inf, lax.min, (2, 2), (1, 1), "VALID", window_dilation=(1, 2)), values)  # fmt: skip
        yield call("cummax", lambda x: lax.cummax(x, axis=1), values)
        yield call("cummin", lambda x: lax.cummin(x, axis=0, reverse=True), values)
        yield call("sort", lambda x: lax.sort(x, dimension=0), values)
        yield call("sort", lambda x, y: lax.sort((x, y), num_keys=1), values, B)
        yield call("top_k", lambda x: lax.top_k(x, 2), values)
        yield call("approx_top_k", lambda x: lax.approx_max_k(x, 2), values)
        yield call("approx_top_k", lambda x: lax.approx_min_k(x, 2, reduction_dimension=0), values)
        yield call("argmax", lambda x: jnp.argmax(x, 1), values)
        yield call("argmin", lambda x: jnp.argmin(x, 1), values)
        yield call("cumlogsumexp", lambda x: lax.cumlogsumexp(x, axis=1), values)
    yield call("reduce_max", lambda x: jnp.max(x, ()), A)


def _collectives() -> Iterator[Call]:
    auto, explicit = _mesh(AxisType.Auto), _mesh(AxisType.Explicit)
    rows = numbers(4, 2)
    yield call("sharding_constraint", lambda x: lax.with_sharding_constraint(x, NamedSharding(auto, P("i"))), rows, mesh=auto)  # fmt: skip
    yield call("reshard", lambda x: jax.sharding.reshard(x, P("i")), rows, mesh=explicit)
    yield _on_devices("psum", lambda x: lax.psum(x, "i"), P())
    yield _on_devices("psum_invariant", lambda x: lax.psum(x, "i"), P(), check_vma=True)
    yield _on_devices("pvary", lambda x: x + lax.pcast(lax.psum(x, "i"), "i", to="varying"), check_vma=True)  # fmt: skip
    yield _on_devices("pmax", lambda x: lax.pmax(x, "i"), P())
    yield _on_devices("pmin", lambda x: lax.pmin(x, "i"), P())
    yield _on_devices("all_gather", lambda x: lax.all_gather(x, "i"))
    yield _on_devices("all_to_all", lambda x: lax.all_to_all(x, "i", 0, 0))
    yield _on_devices("ragged_all_to_all", _ragged, runs=False)
    yield _on_devices("ppermute", lambda x: lax.ppermute(x, "i", [(0, 1), (1, 0)]))
    yield _on_devices("pbroadcast", lambda x: lax.pbroadcast(x, "i", 0), runs=False)
    yield _on_devices("reduce_scatter", lambda x: lax.psum_scatter(x, "i", tiled=True))


def everything() -> list[Call]:
    """Every example call. Only in double precision."""
    return [*_elementwise(), *_structural(), *_products(), *_sparse(), *_winners(), *_collectives()]


def equations(jaxpr: Any) -> Iterator[core.JaxprEqn]:
    """All equations of a jaxpr and of the programs that it holds."""
    for eqn in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        yield eqn
        for held in jax.tree.leaves(eqn.params, is_leaf=_is_program):
            if _is_program(held):
                yield from equations(held)


def primitives(jaxpr: Any) -> set[str]:
    """The names of all primitives in a jaxpr and in the programs that it holds."""
    return {eqn.primitive.name for eqn in equations(jaxpr)}


def takes_numbers(eqn: core.JaxprEqn) -> bool:
    """Tell whether an operand is real or complex."""
    dtypes = [getattr(var.aval, "dtype", np.dtype(bool)) for var in eqn.invars]
    return any(jnp.issubdtype(dtype, jnp.inexact) for dtype in dtypes)


def _is_program(value: Any) -> bool:
    return isinstance(value, core.Jaxpr | core.ClosedJaxpr)


@dataclass
class Sighting:
    """The first place of a primitive, and whether it ever met a real or complex operand."""

    function: str
    takes_numbers: bool = False


def walk(modules: Sequence[ModuleType]) -> dict[str, Sighting]:
    """The primitives that the functions of some modules are made of.

    Every public function is tried on a few guesses at its arguments; most guesses are no call at
    all, and that is not an error.
    """
    x, m, i = np.linspace(0.1, 0.9, 4), SQUARE, np.array([0, 1, 2, 1])
    guesses = [(x,), (m,), (x, x), (m, m), (x, x, x), (x, i), (x, 1), (m, m, m), ((x, x),), (i, i)]
    found: dict[str, Sighting] = {}
    for module in modules:
        for name, fun in vars(module).items():
            if (
                name.startswith("_")
                or name in _SKIPPED
                or not callable(fun)
                or inspect.isclass(fun)
            ):
                continue
            for guess in guesses:
                try:
                    jaxpr = _traced(fun, guess)
                except Exception:  # not its arguments
                    continue
                for eqn in equations(jaxpr):
                    seen = Sighting(f"{module.__name__}.{name}")
                    seen = found.setdefault(eqn.primitive.name, seen)
                    seen.takes_numbers |= takes_numbers(eqn)
    return found


_SKIPPED = {"save", "savez", "psend", "precv", "rng_bit_generator"}
"""They write to files, send to other devices, or take a wrong key without a word."""


def _traced(fun: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    leaves, tree = jax.tree.flatten(args)
    arrays = [k for k, leaf in enumerate(leaves) if isinstance(leaf, np.ndarray)]

    def of_arrays(*values: jax.Array) -> Any:
        full = list(leaves)
        for k, value in zip(arrays, values, strict=True):
            full[k] = value
        return fun(*jax.tree.unflatten(tree, full))

    return jax.make_jaxpr(of_arrays)(*(leaves[k] for k in arrays))
