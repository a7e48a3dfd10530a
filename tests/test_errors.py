"""Bad input: the error says what was given, what was expected, and what to do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax
from jax.extend.core import Primitive

import rfp_jax
from rfp_jax import MissingRuleError, gate, relevance
from rfp_jax.rules._registry import REGISTERED

X = jnp.ones(3)


def add(a, b, c):
    return a + b + c


# --- argnums


@pytest.mark.parametrize("transform", [relevance, gate])
@pytest.mark.parametrize("argnums", ["1", 1.0, None, True, (0, "x"), (0, 1.5), (0, True), {0}])
def test_argnums_of_a_wrong_type(transform, argnums):
    with pytest.raises(TypeError, match="argnums must be an int or a tuple of ints, got") as error:
        transform(add, argnums)(X, X, X)
    assert repr(argnums) in str(error.value)


@pytest.mark.parametrize("argnums", [3, -4, (0, 3), (0, -4)])
def test_argnums_out_of_range(argnums):
    with pytest.raises(ValueError, match="the 3 positional arguments") as error:
        relevance(add, argnums)(X, X, X)
    assert f"argnums={argnums}" in str(error.value)


def test_a_source_passed_by_keyword():
    with pytest.raises(ValueError, match="pass sources by position"):
        relevance(add, 2)(X, X, c=X)


@pytest.mark.parametrize("argnums", [(0, 0), (0, -3), (2, 1, -1)])
def test_argnums_that_name_an_argument_twice(argnums):
    with pytest.raises(ValueError, match="names an argument twice") as error:
        relevance(add, argnums)(X, X, X)
    assert str(argnums) in str(error.value)


def test_empty_argnums():
    with pytest.raises(ValueError, match="argnums is empty: name at least one source"):
        relevance(add, ())(X, X, X)


# --- sources


@pytest.mark.parametrize("source", [{}, None, [], ({}, None)])
def test_a_source_without_a_leaf(source):
    with pytest.raises(ValueError, match="no source: argument 0 holds no array"):
        relevance(lambda s: X)(source)


@pytest.mark.parametrize(
    ("argument", "argnums", "where", "what"),
    [
        (jnp.arange(6).reshape(2, 3), 1, r"args\[1\]", r"int32\[2, 3\]"),
        (np.ones(3, np.uint8), -1, r"args\[1\]", r"uint8\[3\]"),
        (jnp.array([True]), (0, 1), r"args\[1\]", r"bool\[1\]"),
        (7, 1, r"args\[1\]", r"int32\[\]"),
        ({"rgb": X, "ids": jnp.arange(3)}, 1, r"args\[1\]\['ids'\]", r"int32\[3\]"),
        ([X, (X, jnp.arange(3))], (1,), r"args\[1\]\[1\]\[1\]", r"int32\[3\]"),
    ],
)
def test_an_integer_source(argument, argnums, where, what):
    """The message says where it is, what it is, and two ways out."""
    with pytest.raises(TypeError, match=rf"source {where} must be floating-point, got {what}") as e:
        relevance(lambda x, s: x, argnums)(X, argument)
    assert "astype" in str(e.value)
    assert "embedding" in str(e.value)


@pytest.mark.parametrize("leaf", ["text", object(), b"bytes", {1, 2}])
def test_a_source_that_is_no_array(leaf):
    with pytest.raises(TypeError, match=r"source args\[1\]\['b'\] must be an array") as error:
        relevance(lambda x, s: x, (0, 1))(X, {"a": X, "b": leaf})
    assert type(leaf).__name__ in str(error.value)
    assert "leave other arguments out of argnums" in str(error.value)


# --- what the function returns


@pytest.mark.parametrize("returned", ["text", object(), [X, "text"], {"y": max}])
def test_a_function_that_returns_no_array(returned):
    def model(x):
        return returned

    with pytest.raises(TypeError, match=r"model must return arrays, got .* of type") as error:
        relevance(model)(X)
    assert "has_aux=True" in str(error.value)


@pytest.mark.parametrize("returned", [None, {}, [], (None,)])
def test_a_function_that_returns_nothing(returned):
    def model(x):
        return returned

    with pytest.raises(TypeError, match="model must return an array or a tree of arrays"):
        relevance(model)(X)


@pytest.mark.parametrize("returned", [X, (X, X, X), [X, X]])
def test_aux_that_is_missing(returned):
    def model(x):
        return returned

    message = r"with has_aux=True .*model must return \(output, aux\)"
    with pytest.raises(TypeError, match=message):
        relevance(model, has_aux=True)(X)


@pytest.mark.parametrize("transform", [relevance, rfp_jax.heatmap, gate, rfp_jax.audit])
def test_a_function_that_is_none(transform):
    with pytest.raises(TypeError, match=r"fun must be a function of arrays, .*, got None of type"):
        transform(None)


def test_the_users_own_error_passes_unchanged():
    class Mine(Exception):
        pass

    def model(x):
        raise Mine("mine")

    with pytest.raises(Mine, match=r"^mine"):
        relevance(model)(X)


def test_no_shape_is_lost_in_an_error_of_jax():
    with pytest.raises(TypeError, match=r"\(3,\).*\(2,\)"):
        relevance(lambda x: x + jnp.ones(2))(X)


# --- rules


@pytest.mark.parametrize("transform", [relevance, gate])
def test_unknown_rules(transform):
    with pytest.raises(ValueError, match=r"no rules named 'lrp1'; known: .*lrp0"):
        transform(add, rules="lrp1")


@pytest.mark.parametrize("given", [0, ["lrp0"], None])
def test_rules_of_a_wrong_type(given):
    with pytest.raises(TypeError, match="rules"):
        relevance(add, rules=given)


@pytest.mark.parametrize(
    ("given", "remedy"), [(rfp_jax.rules.flat, "call it"), ({"tanh": None}, "with_rules")]
)
def test_rules_that_are_nearly_right_are_told_how(given, remedy):
    with pytest.raises(TypeError, match=f"rules= takes .*, got .*; .*{remedy}"):
        relevance(add, rules=given)


@pytest.mark.parametrize(
    ("option", "error", "message"),
    [
        ({"max_bytes": "1 GB"}, ValueError, "max_bytes='1 GB' must be a positive integer"),
        ({"max_bytes": 0}, ValueError, "max_bytes=0 must be a positive integer"),
        ({"dtype": "float33"}, TypeError, "dtype='float33' is not a floating-point dtype"),
        ({"outputs": 1, "ignore_index": "255"}, TypeError, "ignore_index='255' must be an integer"),
    ],
)
def test_options_of_a_wrong_kind(option, error, message):
    with pytest.raises(error, match=message):
        relevance(add, **option)(X, X, X)


def test_an_audit_inside_jit():
    with pytest.raises(TypeError, match="an audit measures numbers, and cannot stand inside jax"):
        jax.jit(lambda x: rfp_jax.audit(jnp.tanh)(x).residual)(X)


Frozen = rfp_jax.rules.Frozen
MISFITS = {
    "no frozen equation": (lambda f, x: f(x), r"returned \w+; a rule returns rfp_jax.rules.Frozen"),
    "another output": (lambda f, x: Frozen(f(x)[:1]), r"an output of shapes \[\(1,\)\], but"),
    "another contribution": (
        lambda f, x: Frozen(f(x), lambda c: c.sum(), lambda: f(x)),
        r"pushed a contribution of shape \(\) to a result of shape \(3,\)",
    ),
}


@pytest.mark.parametrize("transform", [relevance, rfp_jax.heatmap, gate, rfp_jax.audit])
@pytest.mark.parametrize("name", MISFITS)
def test_what_a_rule_returns_must_fit_the_equation(transform, name):
    """Shapes that differ would be broadcast in silence."""
    rule, message = MISFITS[name]
    wrong = rfp_jax.rules.lrp0.with_rules({"tanh": rule})
    explained = transform(lambda x: jnp.tanh(x + 1.0), rules=wrong)
    call = (lambda x: jax.jvp(explained, (x,), (x,))) if transform is gate else explained
    with pytest.raises(TypeError, match=rf"the rule for 'tanh' at .*{message}"):
        call(X)


def test_a_rule_that_cannot_be_called():
    with pytest.raises(TypeError, match=r"the rule for tanh must be callable, .* got 3"):
        rfp_jax.rules.lrp0.with_rules({"tanh": 3})  # type: ignore[dict-item] (the point)


@pytest.mark.parametrize("primitive", [jnp.sin, None, 3])
def test_register_what_is_no_primitive(primitive):
    with pytest.raises(TypeError, match="takes a primitive or its name, got"):
        rfp_jax.register(primitive, rfp_jax.rules.linear)


def test_register_what_is_no_rule():
    with pytest.raises(TypeError, match=r"register\('sin', ...\) takes a rule, a function; got 1"):
        rfp_jax.register("sin", 1)  # type: ignore[arg-type] (the point of the test)


# --- an operation without a rule

triple_p = Primitive("rfp_test_triple")  # no library knows it
triple_p.def_impl(lambda x: 3 * np.asarray(x))
triple_p.def_abstract_eval(lambda x: x)


def triple(x):
    return triple_p.bind(x)


TRIPLE_LINE = triple.__code__.co_firstlineno + 1


class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        return triple(nn.Dense(4, name="before")(x))


class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
        return Block(name="encoder")(x)


def missing(fun, *args):
    """The message of the error that `fun` meets."""
    with pytest.raises(MissingRuleError) as error:
        relevance(fun)(*args)
    return str(error.value)


def test_a_missing_rule_says_what_and_where_and_what_to_do():
    message = missing(lambda x: triple(x * 2.0), jnp.ones((2, 3)))
    assert "no relevance propagation rule for the primitive 'rfp_test_triple'" in message
    assert "float32[2,3] (from a source) -> float32[2,3]" in message
    assert f"test_errors.py:{TRIPLE_LINE}" in message
    assert "(triple)" in message
    assert "rfp_jax.register('rfp_test_triple', " in message
    assert issubclass(MissingRuleError, NotImplementedError)


PLACES = {
    "jit": jax.jit(lambda y: jax.jit(triple)(y) + 1),
    "scan": lambda x: lax.scan(lambda c, v: (c, triple(v)), 0.0, x)[1],
    "cond": lambda x: lax.cond(x[0, 0] > 0, triple, jnp.sin, x),
    "while": lambda x: lax.while_loop(lambda v: v.sum() < 9, triple, x),
    "remat": jax.checkpoint(triple),
}


@pytest.mark.parametrize("place", PLACES)
def test_the_line_is_the_users_wherever_it_stands(place):
    message = missing(PLACES[place], jnp.ones((2, 3)))
    assert f"test_errors.py:{TRIPLE_LINE}" in message


def test_under_jit_of_relevance_it_is_the_same_error():
    with pytest.raises(MissingRuleError, match=f"test_errors.py:{TRIPLE_LINE}"):
        jax.jit(relevance(triple))(X)
    with pytest.raises(MissingRuleError, match=f"test_errors.py:{TRIPLE_LINE}"):
        jax.jvp(gate(triple), (X,), (X,))


def test_the_module_path_of_linen():
    variables = {
        "params": {"encoder": {"before": {"kernel": jnp.ones((3, 4)), "bias": X[0] * jnp.ones(4)}}}
    }
    message = missing(lambda x: Model().apply(variables, x), jnp.ones((2, 3)))
    (path,) = (line for line in message.splitlines() if "module path" in line)
    assert "Model/encoder" in path
    message = missing(jax.jit(lambda x: Model().apply(variables, x)), jnp.ones((2, 3)))
    (path,) = (line for line in message.splitlines() if "module path" in line)
    assert "Model/encoder" in path


def test_without_a_module_the_message_says_so():
    assert "module path: (none)" in missing(triple, X)


def test_a_constant_needs_no_rule():
    rel = relevance(lambda x, y: x * triple(y))(X, X)
    np.testing.assert_array_equal(rel.sources, 3 * X)


@pytest.fixture
def registry():
    """Remove after a test what it registered."""
    before = dict(REGISTERED)
    yield
    REGISTERED.clear()
    REGISTERED.update(before)


def test_once_registered_it_works(registry):
    rel = relevance(lambda a, b: triple(a + 2 * b) - 1.0, (0, 1))
    with pytest.raises(MissingRuleError):
        rel(X, X)
    rfp_jax.register(triple_p, rfp_jax.rules.linear)
    sources, bias = rel(X, X)[1:]
    np.testing.assert_array_equal(sources, [3 * X, 6 * X])
    np.testing.assert_array_equal(bias, -X)


def test_a_rule_of_ones_own(registry):
    @rfp_jax.register(triple_p)
    def to_the_bias(equation, x):
        half = equation(x) / 2
        return rfp_jax.rules.Frozen(equation(x), lambda c: 1.5 * c, lambda: half)

    rel = relevance(triple)(X)
    np.testing.assert_array_equal(rel.sources, 1.5 * X)
    np.testing.assert_array_equal(rel.bias, 1.5 * X)


def test_a_misspelled_primitive_is_refused():
    with pytest.raises(ValueError, match="no primitive named 'tanhh': did you mean 'tanh'"):
        rfp_jax.register("tanhh", rfp_jax.rules.elementwise)
    with pytest.raises(ValueError, match="no primitive named 'dot'"):
        rfp_jax.rules.lrp0.with_rules({"dot": rfp_jax.rules.linear})


REFUSED = {
    "atan2": lambda x: jnp.arctan2(x, x[::-1]),
    "cholesky": lambda x: jnp.linalg.cholesky(jnp.eye(3) + x[:, None] * x[None]),
    "eigh": lambda x: jnp.linalg.eigvalsh(jnp.eye(3) + x[:, None] * x[None]),
    "svd": lambda x: jnp.linalg.svd(jnp.eye(3) * x[:, None])[1],
    "qr": lambda x: jnp.linalg.qr(jnp.eye(3) * x[:, None])[1],
    "lu": lambda x: jnp.linalg.inv(jnp.eye(3) * x[:, None]),
    "triangular_solve": lambda x: jax.scipy.linalg.solve_triangular(jnp.eye(3) * x[:, None], X),
    "reduce": lambda x: lax.reduce(x, 0.0, lambda a, b: a + jnp.sin(b), (0,)),
    "pure_callback": lambda x: jax.pure_callback(np.sin, jax.ShapeDtypeStruct((3,), x.dtype), x),
    "igamma": lambda x: lax.igamma(x, x),
    "new_ref": lambda x: jax.new_ref(x)[...],
}


@pytest.mark.parametrize("primitive", REFUSED)
def test_what_is_refused_has_a_reason(primitive):
    message = missing(REFUSED[primitive], jnp.array([1.0, 2.0, 3.0]))
    assert "  why: " in message
    assert "rules.linear" not in message  # as the reason says
    assert "rules.elementwise" not in message
    assert "test_errors.py:" in message
