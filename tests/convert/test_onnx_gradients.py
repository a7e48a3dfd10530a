"""Gradients of every ONNX operation against central differences of the format's own reference.

The cases are those that come with the ONNX package. Their numbers are made double, and the slope
of a random combination of the outputs along a random direction of the inputs is taken twice: by
`jax.grad` of ours, and by central differences of `onnx.reference`, which shares nothing with this library.
"""

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from rfp_jax.convert import from_onnx
from rfp_jax.convert._onnx_operations import TABLE
from rfp_jax.convert._onnx_support import fixed_names
from tests.convert.test_onnx_backend import GROUPS, KNOWN_INPUTS, arrays

STEP = 1e-5
FAMILY = 20
"""Operations that are compiled together."""

NO_GRADIENT = {
    "gives truth values": "And Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Not Or Xor",
    "of integers or places": "ArgMax ArgMin BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor "
    "MatMulInteger OneHot QuantizeLinear Shape Size EyeLike",
    "makes its output of no operand": "Constant ConstantOfShape Range",
}
"""Operations without a gradient, and why."""

ELSEWHERE = {
    "If": "test_onnx_operations",
    "Loop": "test_onnx_operations",
    "Scan": "test_onnx_operations",
}


def is_float(array):
    return isinstance(array, np.ndarray | np.generic) and array.dtype == np.float32


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

    def __init__(self, case, folder):
        self.name, self.model = case.name, doubled(case.model)
        path = folder / f"{case.name}.onnx"
        onnx.save(self.model, path)
        self.fun, _ = from_onnx(path)
        given, _ = map(arrays, case.data_sets[0])
        fixed = fixed_names(self.fun.block)
        self.moved, self.still = {}, {}
        for entry, value in zip(self.fun.inputs, given, strict=True):
            shape_like = case.model.graph.node[0].op_type in KNOWN_INPUTS
            if is_float(value) and entry.name not in fixed:
                self.moved[entry.name] = value.astype(np.float64)
            else:
                is_known = entry.name in fixed or (shape_like and value.dtype.kind == "i")
                self.still[entry.name] = value if is_known else jnp.asarray(value)
        rng = np.random.default_rng(0)
        self.direction = {k: rng.uniform(0.5, 1, v.shape) for k, v in self.moved.items()}
        self.reference = ReferenceEvaluator(self.model)
        self.weights = [
            rng.standard_normal(np.shape(y)) if is_real(y) else None
            for y in self.theirs(0.0)
        ]

    def theirs(self, step):
        moved = {k: v + step * self.direction[k] for k, v in self.moved.items()}
        still = {k: np.asarray(v) for k, v in self.still.items()}
        return self.reference.run(None, {**moved, **still})

    def slope(self):
        pairs = zip(self.theirs(STEP), self.theirs(-STEP), self.weights, strict=True)
        return sum(np.sum(w * (a - b)) / (2 * STEP) for a, b, w in pairs if w is not None)

    def ours(self, moved):
        results = self.fun.walk.run(self.fun.block, {**self.still, **moved})
        pairs = zip(results, self.weights, strict=True)
        return sum(jnp.sum(w * y) for y, w in pairs if w is not None)


def differentiable(case):
    """Whether floats go in and come out, and no sequences."""
    values = [arrays(found) for found in case.data_sets[0]]
    return all(
        any(is_float(v) for v in found) and not any(isinstance(v, list) for v in found)
        for found in values
    )


CHOSEN = {
    operator: found[0]
    for operator, cases in GROUPS.items()
    if operator in TABLE and (found := [case for case in cases if differentiable(case)])
}
NAMES = sorted(CHOSEN)
FAMILIES = [NAMES[start : start + FAMILY] for start in range(0, len(NAMES), FAMILY)]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("family", FAMILIES, ids=lambda names: f"{names[0]} to {names[-1]}")
def test_gradients_are_central_differences_of_the_reference(family, tmp_path):
    cases = {name: Case(CHOSEN[name], tmp_path) for name in family}

    def slopes(moved, directions):
        gradients = {k: jax.grad(case.ours)(moved[k]) for k, case in cases.items()}
        return {
            k: sum(jnp.sum(g * directions[k][n]) for n, g in gradient.items())
            for k, gradient in gradients.items()
        }

    compiled = jax.jit(slopes, compiler_options={"xla_backend_optimization_level": 0})
    moved = {k: case.moved for k, case in cases.items()}
    found = compiled(moved, {k: case.direction for k, case in cases.items()})
    expected = {k: case.slope() for k, case in cases.items()}
    wrong = {
        k: (float(found[k]), float(right))
        for k, right in expected.items()
        if not np.isclose(found[k], right, rtol=1e-6, atol=1e-6)
    }
    assert wrong == {}


def test_every_operation_has_a_gradient_tested_or_none():
    excused = {name for names in NO_GRADIENT.values() for name in names.split()} | set(ELSEWHERE)
    names = {name for name in TABLE if "-" not in name}
    assert names - set(CHOSEN) - excused == set()
    assert excused - names == set()
