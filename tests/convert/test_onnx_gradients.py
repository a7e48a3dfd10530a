"""Gradients of every ONNX operation against central differences of the format's own reference.

The cases are those that come with the ONNX package. Their numbers are made double, and the slope
of a random combination of the outputs along a random direction of the inputs is taken twice: by
`jax.grad` of ours, and by central differences of `onnx.reference`, which shares nothing with ours.
"""

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from rfp_jax.convert import from_onnx
from rfp_jax.convert._onnx_operations import TABLE
from rfp_jax.convert._onnx_support import fixed_names
from tests.convert.onnx_models import graph, one_node
from tests.convert.test_onnx_backend import GROUPS, KNOWN_INPUTS, arrays

STEP = 1e-5
SINGLE = ("DeformConv", "Erf", "GridSample", "GroupNormalization")
"""The reference computes these in single precision, so steps are longer and less is asked."""
FAMILY = 20
"""Operations that are compiled together."""

NO_GRADIENT = {
    "gives truth values": "And Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Not Or "
    "Xor",
    "of integers or places": "ArgMax ArgMin BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor "
    "BitCast ConvInteger MatMulInteger NonMaxSuppression OneHot QLinearConv QLinearMatMul "
    "QuantizeLinear Shape Size EyeLike SequenceLength",
    "makes its output of no operand": "ConstantOfShape Range SequenceEmpty",
    "rounds": "Cast CastLike",  # to a precision in which differences are noise
    "is not in the reference": "GlobalLpPool",  # below
}
"""Operations without a gradient to compare, and why."""


def is_float(array):
    return isinstance(array, np.ndarray | np.generic) and array.dtype in (np.float32, np.float64)


def is_real(array):
    return np.asarray(array).dtype == np.float64


def doubled(model):
    """The model with double in the place of float, in its declarations and constants."""
    double = onnx.ModelProto()
    double.CopyFrom(model)
    for entry in (*double.graph.input, *double.graph.output, *double.graph.value_info):
        if entry.type.tensor_type.elem_type == TensorProto.FLOAT:
            entry.type.tensor_type.elem_type = TensorProto.DOUBLE
    for tensor in double.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            array = numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return double


class Case:
    """One case of an operation: ours as a function of the moved inputs, theirs as another."""

    def __init__(self, name, folder):
        if name in OWN:
            self.model, feeds = OWN[name]()
        else:
            self.model, given = doubled(CHOSEN[name].model), arrays(CHOSEN[name].data_sets[0][0])
            feeds = {e.name: v for e, v in zip(self.model.graph.input, given, strict=True)}
        path = folder / f"{name}.onnx"
        onnx.save(self.model, path)
        self.fun, params = from_onnx(path)
        fixed, self.names = fixed_names(self.fun.block), set(feeds)
        self.moved, self.still = {}, dict(params)
        rng = np.random.default_rng(0)
        for key, value in ((key, np.asarray(value)) for key, value in feeds.items()):
            shape_like = name in KNOWN_INPUTS
            if is_float(value) and key not in fixed:
                away = rng.uniform(0.01, 0.02, np.shape(value))  # from corners, such as 0
                self.moved[key] = value.astype(np.float64) + away
            else:
                is_known = key in fixed or (shape_like and value.dtype.kind == "i")
                self.still[key] = value if is_known else jnp.asarray(value)
        self.direction = {k: rng.uniform(0.5, 1, v.shape) for k, v in self.moved.items()}
        self.reference = ReferenceEvaluator(self.model)
        self.weights = [
            rng.standard_normal(np.shape(y)) if is_real(y) else None for y in self.theirs(0.0)
        ]

    def theirs(self, step):
        """The reference's outputs, a step along the direction."""
        moved = {k: v + step * self.direction[k] for k, v in self.moved.items()}
        still = {k: np.asarray(v) for k, v in self.still.items() if k in self.names}
        return self.reference.run(None, {**moved, **still})

    def slope(self, step):
        pairs = zip(self.theirs(step), self.theirs(-step), self.weights, strict=True)
        return sum(np.sum(w * (a - b)) / (2 * step) for a, b, w in pairs if w is not None)

    def ours(self, moved):
        results = self.fun.walk.run(self.fun.block, {**self.still, **moved})
        pairs = zip(results, self.weights, strict=True)
        return sum(jnp.sum(w * y) for y, w in pairs if w is not None)


def differentiable(case):
    """Tell whether floats go in and come out, and no sequences."""
    values = [arrays(found) for found in case.data_sets[0]]
    return all(
        any(is_float(v) for v in found) and not any(isinstance(v, list) for v in found)
        for found in values
    )


def sequence(insert):
    """Two arrays put into a sequence, and joined again: how they are put and taken."""
    nodes = [
        helper.make_node("SequenceConstruct", ["x", "y", "x"], ["three"]),
        helper.make_node("SequenceErase", ["three", "one"], ["two"]),
        helper.make_node("SequenceInsert", ["two", insert], ["more"]),
        helper.make_node("SequenceAt", ["more", "one"], ["second"]),
        helper.make_node("ConcatFromSequence", ["more"], ["joined"], axis=1),
        helper.make_node("SplitToSequence", ["joined"], ["parts"], axis=1, keepdims=1),
        helper.make_node("SequenceAt", ["parts", "one"], ["part"]),
    ]
    feeds = {"x": normal(2, 3), "y": normal(2, 3, seed=1)}
    return graph(nodes, feeds, ["second", "joined", "part"], {"one": np.array(1)}), feeds


def body(nodes, inputs, outputs):
    entries = [helper.make_tensor_value_info(n, t, None) for n, t in inputs]
    ends = [helper.make_tensor_value_info(n, t, None) for n, t in outputs]
    return helper.make_graph(nodes, "body", entries, ends)


def control(operation):
    """A branch on an input, a loop of three rounds, and a scan over three rows."""
    node, double, truth = helper.make_node, TensorProto.DOUBLE, TensorProto.BOOL
    x = np.abs(normal(3)) + 0.5
    if operation == "If":
        branches = {
            "then_branch": body([node("Exp", ["x"], ["a"])], [], [("a", double)]),
            "else_branch": body([node("Neg", ["x"], ["b"])], [], [("b", double)]),
        }
        nodes = [
            node("ReduceSum", ["x"], ["sum"], keepdims=0),
            node("Greater", ["sum", "one"], ["condition"]),
            node("If", ["condition"], ["y"], **branches),
        ]
        return graph(nodes, {"x": x}, ["y"], {"one": np.float64(1)}), {"x": x}
    inner = [node("Mul", ["state", "state"], ["square"]), node("Add", ["square", "x"], ["next"])]
    if operation == "Loop":
        inner = [node("Identity", ["going"], ["still"]), *inner]
        given = [("i", TensorProto.INT64), ("going", truth), ("state", double)]
        steps = body(inner, given, [("still", truth), ("next", double)])
        nodes = [node("Loop", ["trips", "", "x"], ["last"], body=steps)]
        return graph(nodes, {"x": x}, ["last"], {"trips": np.int64(3)}), {"x": x}
    inner = [node("Mul", ["state", "row"], ["product"]), node("Tanh", ["product"], ["next"])]
    inner = [*inner, node("Identity", ["next"], ["out"])]
    steps = body(inner, [("state", double), ("row", double)], [("next", double), ("out", double)])
    nodes = [node("Scan", ["x", "rows"], ["last", "all"], body=steps, num_scan_inputs=1)]
    feeds = {"x": x, "rows": normal(4, 3)}
    return graph(nodes, feeds, ["last", "all"]), feeds


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def single(operation, *arrays, **attributes):
    feeds = {f"x{i}": array for i, array in enumerate(arrays)}
    return one_node(operation, arrays, **attributes), feeds


OWN = {
    "Trilu": lambda: single("Trilu", normal(3, 4), upper=0),
    "If": lambda: control("If"),
    "Loop": lambda: control("Loop"),
    "Scan": lambda: control("Scan"),
    **dict.fromkeys(
        """ConcatFromSequence SequenceAt SequenceConstruct SequenceErase SequenceInsert
        SplitToSequence""".split(),
        lambda: sequence("y"),
    ),
}
"""Models of ours where the package has no case of real numbers."""

CHOSEN = {
    operator: found[0]
    for operator, cases in GROUPS.items()
    if operator in TABLE and (found := [case for case in cases if differentiable(case)])
}
OTHERS = {name for names in NO_GRADIENT.values() for name in names.split()}
NAMES = sorted({*CHOSEN, *OWN} - OTHERS)
FAMILIES = [NAMES[start : start + FAMILY] for start in range(0, len(NAMES), FAMILY)]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("family", FAMILIES, ids=lambda names: f"{names[0]} to {names[-1]}")
def test_gradients_are_central_differences_of_the_reference(family, tmp_path):
    cases = {name: Case(name, tmp_path) for name in family}

    def slopes(moved, directions):
        gradients = {k: jax.grad(case.ours)(moved[k]) for k, case in cases.items()}
        return {
            k: sum(jnp.sum(g * directions[k][n]) for n, g in gradient.items())
            for k, gradient in gradients.items()
        }

    compiled = jax.jit(slopes, compiler_options={"xla_backend_optimization_level": 0})
    moved = {k: case.moved for k, case in cases.items()}
    found = compiled(moved, {k: case.direction for k, case in cases.items()})
    expected = {k: case.slope(1e-3 if k in SINGLE else STEP) for k, case in cases.items()}
    wrong = {
        k: (float(found[k]), float(right))
        for k, right in expected.items()
        if not np.isclose(found[k], right, rtol=1e-2 if k in SINGLE else 1e-6, atol=1e-6)
    }
    assert wrong == {}


@pytest.mark.usefixtures("x64")
def test_a_pool_over_everything_has_the_gradient_of_one_window(tmp_path):
    x = normal(1, 2, 3, 4)
    slopes = []
    for operation, options in (("GlobalLpPool", {}), ("LpPool", {"kernel_shape": [3, 4]})):
        onnx.save(one_node(operation, [x], opset=18, p=3, **options), tmp_path / "pool.onnx")
        fun, params = from_onnx(tmp_path / "pool.onnx")
        slopes.append(jax.grad(lambda x, fun=fun, params=params: fun(params, x).sum())(x))
    np.testing.assert_allclose(*slopes, rtol=1e-12)


def test_every_operation_has_a_gradient_tested_or_none():
    names = {name for name in TABLE if "-" not in name}
    assert names - set(NAMES) - OTHERS == set()
    assert OTHERS - names == set()
