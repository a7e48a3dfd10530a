"""Every primitive of JAX has a rule, is linear, carries no relevance, or is refused."""

import warnings

import jax
import jax.lax.linalg
import jax.scipy.linalg
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.extend.core import primitives as jax_primitives

from rfp_jax import MissingRuleError, relevance, rules
from rfp_jax._core.control import CONTROL
from tests.oracles import calls

pytestmark = pytest.mark.slow

TABLE = rules.lrp0.table
CALLS = calls.everything()
LINEAR = [
    (call, sources)
    for call in CALLS
    if TABLE.get(call.primitive) is rules.linear and call.runs
    for sources in call.subsets()
]

NO_NUMBERS = {
    **dict.fromkeys(["after_all", "create_token"], "orders effects, holds no value"),
    **dict.fromkeys(["axis_index", "platform_index"], "asks where the program runs"),
    **dict.fromkeys(["iota", "empty", "empty2"], "makes an array from nothing"),
    **dict.fromkeys(
        ["random_seed", "random_bits", "random_split", "random_fold_in", "random_wrap",
         "random_unwrap", "threefry2x32", "rng_bit_generator"],
        "makes random bits from bits",
    ),
    **dict.fromkeys(["mulhi", "lu_pivots_to_permutation"], "of integers"),
}  # fmt: skip
"""Primitives that never have a real or complex operand, so that none can depend on a source."""

UNCALLED = {
    **dict.fromkeys(["and", "or", "xor", "not"], "integers"),
    **dict.fromkeys(["reduce_and", "reduce_or", "reduce_xor"], "integers"),
    **dict.fromkeys(["shift_left", "shift_right_logical", "shift_right_arithmetic"], "integers"),
    **dict.fromkeys(["population_count", "clz"], "integers"),
    **dict.fromkeys(["eq_to", "le_to", "lt_to"], "made by sorting, gives truth values"),
    **dict.fromkeys(["all_gather_invariant", "reduced_vary_cast"], "made by partitioning"),
    "relayout": "made by partitioning",
    **dict.fromkeys(["broadcast_to", "with_memory_space_constraint"], "made by Pallas"),
    "zeros_like": "made by differentiation, of a type",
    "dce_sink": "returns nothing",
    **dict.fromkeys(
        () if hasattr(jax_primitives, "log2_p") else ("log2", "one_minus_square", "polynomial"),
        "new in JAX 0.12",
    ),
}  # fmt: skip
"""Primitives in the table that no public function makes of real numbers."""


def refused(primitive: str) -> bool:
    """Tell whether the rule of a primitive is to refuse."""
    rule = TABLE.get(primitive)
    return rule is not None and rule.__qualname__.startswith(rules.unsupported.__qualname__)


@pytest.fixture(scope="module")
def sightings():
    """All primitives that JAX shows, or that its functions are found to be made of."""
    modules = [jax.lax, jax.nn, jax.numpy, jax.lax.linalg, jax.scipy.linalg]
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = calls.walk(modules)
        for call in CALLS:
            with call.devices():
                for eqn in calls.equations(jax.make_jaxpr(call.fun)(*call.arrays())):
                    seen = found.setdefault(eqn.primitive.name, calls.Sighting("an example call"))
                    seen.takes_numbers |= calls.takes_numbers(eqn)
    for module in (jax_primitives, jax.lax, jax.lax.linalg):
        for name, value in vars(module).items():
            if name.endswith("_p"):
                where = calls.Sighting(f"{module.__name__}.{name}")
                found.setdefault(value.name, where)
    return found


def test_every_primitive_is_accounted_for(sightings):
    assert len(sightings) > 200  # the walk does walk
    unknown = {
        name: seen.function
        for name, seen in sightings.items()
        if name not in TABLE and name not in CONTROL and name not in NO_NUMBERS
    }
    assert not unknown, f"no rule, not control flow, not refused, and may meet a source: {unknown}"


def test_what_is_said_to_take_no_numbers_takes_none(sightings):
    wrong = [name for name in NO_NUMBERS if name in sightings and sightings[name].takes_numbers]
    assert not wrong


def test_every_rule_has_an_example(sightings):
    """So that the tests over the examples are tests of every rule."""
    called = {call.primitive for call in CALLS}
    without = {name for name in TABLE if name not in called and not refused(name)}
    assert without - set(UNCALLED) == set(), "give an example in oracles/calls.py"
    assert set(UNCALLED) & called == set(), "not true any more: it has an example"


def test_examples_contain_their_primitive():
    with jax.enable_x64(True):
        for call in CALLS:
            with call.devices():
                jaxpr = jax.make_jaxpr(call.fun)(*call.arrays())
            assert call.primitive in calls.primitives(jaxpr)


def test_no_primitive_has_two_places():
    assert not set(TABLE) & set(CONTROL)
    assert not set(NO_NUMBERS) & (set(TABLE) | set(CONTROL))


def random_like(array, seed):
    rng = np.random.default_rng(seed)
    imaginary = 1j * rng.normal(size=array.shape) if np.iscomplexobj(array) else 0.0
    return rng.normal(size=array.shape) + imaginary


@pytest.mark.parametrize(("call", "sources"), LINEAR, ids=lambda v: getattr(v, "primitive", str(v)))
def test_linear_primitives_are_linear(call, sources, x64):
    """`f(a x + b y) = a f(x) + b f(y)` and `f(0) = 0`, in what depends on a source."""
    args = call.arrays()

    @jax.jit
    def fun(*values):
        given = list(args)
        for i, value in zip(sources, values, strict=True):
            given[i] = value
        return jax.tree.leaves(call.fun(*given))

    @settings(max_examples=4)
    @given(st.integers(0, 2**16), *[st.floats(-1e6, 1e6)] * 2)
    def check(seed, a, b):
        x, y = ([random_like(args[i], seed + k) for i in sources] for k in (0, 1))
        both = fun(*(a * xi + b * yi for xi, yi in zip(x, y, strict=True)))
        for whole, fx, fy in zip(both, fun(*x), fun(*y), strict=True):
            size = 1e3 * np.finfo(whole.dtype).eps * (abs(a) + abs(b)) * (1 + np.abs(fx).max())
            np.testing.assert_allclose(whole, a * fx + b * fy, rtol=0, atol=size)
        for zero in fun(*(0 * xi for xi in x)):
            assert not np.any(zero)

    with call.devices():
        check()


@pytest.mark.parametrize(
    "call", [call for call in CALLS if call.mesh is not None], ids=lambda call: call.primitive
)
def test_across_devices_nothing_is_lost(call, x64):
    """Collectives of two sources: each gets what the program makes of it alone, or is refused."""
    x, y = call.arrays()[0], random_like(call.operands[0], 1)
    rel = relevance(lambda x, y: call.fun(x + y), (0, 1))
    with call.devices():
        if not call.runs:
            jax.make_jaxpr(rel)(x, y)
            return
        try:
            sources = jax.jit(rel)(x, y).sources
        except MissingRuleError as refusal:
            assert "why:" in str(refusal)  # noqa: PT017 (most are not refused)
            return
        if TABLE[call.primitive] is rules.linear:
            for part, source in zip((x, y), sources, strict=True):
                np.testing.assert_allclose(source, call.fun(part), atol=1e-12)
        np.testing.assert_allclose(sum(sources), call.fun(x + y), atol=1e-12)
