"""The test cases that come with the ONNX package: inputs and outputs of each operator's versions.

They are written by those who define the format, and share nothing with this library.
"""

import warnings
from collections import defaultdict

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest
from onnx import defs, numpy_helper

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from onnx.backend.test.case.node import collect_testcases

    CASES = collect_testcases()

from rfp_jax.convert import from_onnx
from rfp_jax.convert._onnx_support import fixed_names

NOT_READ = {
    "text": "RegexFullMatch StringConcat StringNormalizer StringSplit TfIdfVectorizer",
    "random numbers": "Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform "
    "RandomUniformLike",
    "an output whose shape depends on values": "NonZero Unique",
    "as many rows as there may be; see test_onnx_operations": "NonMaxSuppression",
    "values that may be absent": "Optional OptionalGetElement OptionalHasElement",
    "files": "ImageDecoder",
    "made of numbers alone": "MelWeightMatrix",
    "replaced by others since": "MaxRoiPool",
    "the memory of text generators": "TensorScatter",
    "older than opset 11": "Scatter Upsample",
}
"""Operators without a line in the table, and why."""

NO_CASES = {"ConcatFromSequence", "GlobalLpPool", "Scan", "SequenceAt", "SequenceConstruct",
            "SequenceEmpty", "SequenceErase", "SequenceLength"}  # fmt: skip
"""Operators of which the package has no case by themselves; see test_onnx_operations."""

KNOWN_INPUTS = {"AffineGrid", "BlackmanWindow", "CenterCropPad", "HammingWindow", "HannWindow"}
"""Operators that others define, in which an input is a shape."""


def operator(case) -> str:
    """The operator that a case is about; expanded cases are about many."""
    return case.model.graph.node[0].op_type if "_expanded" not in case.name else "expanded"


def is_read(case) -> bool:
    """Cases in the numbers in which networks compute, of the main domain."""
    types = [entry.type for entry in (*case.model.graph.input, *case.model.graph.output)]
    numbers = {t.tensor_type.elem_type for t in types if t.HasField("tensor_type")}
    names = {onnx.TensorProto.DataType.Name(n) for n in numbers}
    small = {n for n in names if "FLOAT8" in n or "FLOAT4" in n or "INT4" in n or "INT2" in n}
    return (
        all(entry.domain in ("", "ai.onnx") for entry in case.model.opset_import)
        and not any(t.HasField("optional_type") for t in types)
        and not small | (names & {"STRING", "FLOAT8E8M0"})
        and not any(word in case.name for word in ("training", "empty_set", "identity_sequence"))
        and not set(" ".join(NOT_READ.values()).split())
        & {n.op_type for n in case.model.graph.node}
    )


def modern(model: onnx.ModelProto) -> bool:
    """Say opset 11 instead of an older one that means the same; tell whether that can be."""
    (entry,) = model.opset_import
    if entry.version >= 11:
        return True
    ops = {node.op_type for node in model.graph.node}
    same = all(
        defs.get_schema(op, entry.version).since_version == defs.get_schema(op, 11).since_version
        for op in ops
    )
    entry.version = 11
    return same


GROUPS: dict[str, list] = defaultdict(list)
for found in CASES:
    if is_read(found) and modern(found.model):
        GROUPS[operator(found)].append(found)
EXPANDED = GROUPS.pop("expanded")
GROUPS["Attention"] = GROUPS["Attention"][::3]
for index, found in enumerate(EXPANDED[::6]):  # bodies of functions, the same operators again
    GROUPS[f"expanded {index // 20}"].append(found)


def arrays(values):
    return [numpy_helper.to_array(v) if isinstance(v, onnx.TensorProto) else v for v in values]


def tolerance(dtype) -> float:
    return 1e-2 if dtype.itemsize == 2 else 1e-5


def assert_same(got, expected, name):
    if isinstance(expected, list):
        assert len(got) == len(expected), name
        for a, b in zip(got, expected, strict=True):
            assert_same(a, b, name)
        return
    got = np.asarray(got)
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype), name
    if jnp.issubdtype(expected.dtype, jnp.inexact):
        close = tolerance(expected.dtype)
        given, wanted = got.astype(np.float64), expected.astype(np.float64)
        np.testing.assert_allclose(given, wanted, rtol=max(close, 1e-3), atol=close, err_msg=name)
    else:
        np.testing.assert_array_equal(got, expected, err_msg=name)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("group", GROUPS)
def test_operators_do_what_their_authors_say(group, tmp_path):
    """All cases of an operator are one program, because each program takes time to compile."""
    programs, inputs, outputs = {}, {}, {}
    for case in GROUPS[group]:
        path = tmp_path / "case.onnx"
        onnx.save(case.model, path)
        fun, params = from_onnx(path)
        assert not params
        given, expected = map(arrays, case.data_sets[0])
        fixed = fixed_names(fun.block)
        known, traced = {}, {}
        for entry, value in zip(fun.inputs, given, strict=True):
            shape_like = group in KNOWN_INPUTS and np.asarray(value).dtype.kind == "i"
            is_fixed = not isinstance(value, list) and (entry.name in fixed or shape_like)
            if is_fixed:
                known[entry.name] = np.asarray(value)
            else:
                traced[entry.name] = jax.tree.map(jnp.asarray, value)
        programs[case.name] = lambda traced, fun=fun, known=known: fun.walk.run(
            fun.block, {**known, **traced}
        )
        inputs[case.name], outputs[case.name] = traced, expected
    results = jax.jit(lambda xs: {name: run(xs[name]) for name, run in programs.items()})(inputs)
    for name, expected in outputs.items():
        for got, wanted in zip(results[name], expected, strict=True):
            assert_same(got, wanted, name)


def test_every_operator_is_tested_or_named_with_a_reason():
    newest = {
        schema.name
        for schema in defs.get_all_schemas()
        if schema.domain == "" and not schema.deprecated
    }
    excused = set(" ".join(NOT_READ.values()).split())
    assert newest - set(GROUPS) - excused - NO_CASES == set()
    assert len(GROUPS) > 150
