"""Every operation of the table against PyTorch's: values, shapes, gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rfp_jax.convert import register_torch_operation
from rfp_jax.convert._aten import TABLE, find
from tests.convert import torch_calls
from tests.convert.torch_more_calls import MORE, PROJECTED

torch = pytest.importorskip("torch")

CALLS = {**torch_calls.CALLS, **MORE}
CALLS["lstm.input"] = [*CALLS["lstm.input"], *PROJECTED]

UNSEEN = {
    "_grouped_mm": "has a test of its own",
    "transformers.grouped_mm_fallback": "has a test of its own",
    "empty": "holds anything",
    "empty_like": "holds anything",
    "empty_strided": "holds anything",
    "new_empty": "holds anything",
    "new_empty_strided": "holds anything",
    **dict.fromkeys(
        ("embedding_bag", "_embedding_bag", "_embedding_bag_forward_only"), "one result of four"
    ),
    **dict.fromkeys(("_linalg_svd", "_linalg_eigh"), "vectors have any sign"),
    **dict.fromkeys(("cond", "while_loop"), "test_torch_control_flow"),
    **{
        f"rfp_jax.packed_{kind}": "test_torch_recurrent"
        for kind in "lstm gru rnn_tanh rnn_relu".split()
    },
}
"""Operations whose values cannot be compared, and why."""
NO_GRADIENT = {
    "floor_divide": "PyTorch has none",
    "heaviside": "PyTorch has none",
    "copy": "PyTorch has none",
    "copy_": "PyTorch has none",
    "detach_copy": "PyTorch has none",
    "as_strided_scatter": "PyTorch's is that of the places that are overwritten",
    "embedding_renorm": "PyTorch has none",
    "_pdist_forward": "PyTorch has none",
    "linalg_householder_product": "JAX has none",
    "special_i0": "PyTorch has it by a series in single precision",
    "i0": "likewise",
}
REDUCING = ("scatter_reduce", "index_reduce")
"""Operations that may reduce by a product, of which JAX has no gradient."""
STATISTICS = {
    "batch_norm": (3, 4),
    "_native_batch_norm_legit_no_training": (3, 4),
    "instance_norm": (3, 4),
}
"""Arguments that PyTorch does not differentiate by."""
ROUGH = {"hardsigmoid": 1e-7, "celu": 1e-7, "digamma": 1e-8, "lgamma": 1e-8}
"""Gradients that PyTorch or JAX computes with constants in single precision, or by a series."""
VALUES_ONLY = {
    "grid_sampler": (9, 10, 11),
}
"""Calls that are not differentiated: bicubic ones, whose paddings are those of the bilinear."""
PYTHON = ("operator.", "math.", "sym_", "_assert", "_functional_assert")
FIRST = {id(operation): name for name, operation in reversed(TABLE.items())}
"""Under which of its names a function of the table is differentiated."""
OLD = {
    "_adaptive_avg_pool1d": "adaptive_avg_pool1d",
    "_conj_physical_": "_conj_physical",
}
"""Names in older lists of PyTorch's operations, and what they are called now."""
CASES = [(name, number) for name, calls in CALLS.items() for number in range(len(calls))]


@pytest.fixture(autouse=True)
def _double(x64):
    pass


def torch_operation(name):
    base, _, overload = name.partition(".")
    packet = getattr(torch.ops.aten, base)
    return getattr(packet, overload) if overload else packet


def to_torch(value):
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy()).requires_grad_(value.dtype.kind in "fc")
    if isinstance(value, list):
        return [to_torch(entry) for entry in value]
    if isinstance(value, str) and hasattr(torch, value) and value in DTYPES:
        return getattr(torch, value)
    return value


def to_jax(value):
    if isinstance(value, list):
        return [to_jax(entry) for entry in value]
    if isinstance(value, str) and value in DTYPES:
        return jnp.dtype(value)
    return jnp.asarray(value) if isinstance(value, np.ndarray) else value


DTYPES = ("float32", "float64", "int64")


def is_array(value):
    return isinstance(value, (torch.Tensor, np.ndarray, jax.Array))


def arrays_of(value):
    """All arrays in what an operation takes or returns."""
    if isinstance(value, (list, tuple)):
        return [leaf for entry in value for leaf in arrays_of(entry)]
    return [value] if is_array(value) else []


def split(call):
    *args, last = call
    return (args, last) if isinstance(last, dict) else (list(call), {})


def assert_close(ours, theirs, tolerance=1e-12):
    theirs = theirs.detach().resolve_conj().resolve_neg().numpy()
    assert ours.shape == theirs.shape
    if theirs.dtype == np.float32:
        tolerance = 1e-6
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


compiled = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def insert(given, args, operands):
    """The arguments with what is followed replaced, in order, by what is given."""
    if isinstance(args, list):
        return [insert(given, *pair) for pair in zip(args, operands, strict=True)]
    is_followed = isinstance(operands, torch.Tensor) and operands.requires_grad
    return next(given) if is_followed else to_jax(args)


def weighted_sum(results):
    """A number that depends on every entry of the results, of PyTorch or JAX."""
    total = 0.0
    for result in results:
        weights = np.cos(np.arange(np.prod(result.shape, dtype=int))).reshape(result.shape)
        if isinstance(result, torch.Tensor):
            weights = torch.from_numpy(weights)
        parts = (result.real, result.imag) if "complex" in str(result.dtype) else (result,)
        total = total + sum((part * weights).sum() for part in parts)
    return total


@pytest.mark.parametrize(("name", "number"), CASES, ids=str)
def test_operation(name, number):
    args, kwargs = split(CALLS[name][number])
    operands = to_torch(args)
    for place in STATISTICS.get(name, ()):
        operands[place] = operands[place] if operands[place] is None else operands[place].detach()
    theirs = torch_operation(name)(*operands, **{k: to_torch(v) for k, v in kwargs.items()})
    expected = arrays_of(theirs) or [torch.as_tensor(theirs)]
    operation = find(f"aten.{name}")
    options = {key: to_jax(value) for key, value in kwargs.items()}

    def outputs(*sources):
        ours = operation(*insert(iter(sources), args, operands), **options)
        return arrays_of(ours) or [np.asarray(ours)]

    def loss(*sources):
        results = outputs(*sources)
        pairs = zip(results, expected, strict=True)
        return weighted_sum([r for r, t in pairs if t.requires_grad]), results

    sources = [t for t in arrays_of(operands) if t.requires_grad]
    arrays = [jnp.asarray(t.detach().numpy()) for t in sources]
    followed = [t for t in expected if t.requires_grad]
    is_product = name in REDUCING and any(isinstance(v, str) and v == "prod" for v in args)
    is_alias = FIRST[id(operation)] != name
    has_none = name in NO_GRADIENT or is_product or number in VALUES_ONLY.get(name, ())
    if not followed or has_none or is_alias:
        results = outputs(*arrays)
    else:
        by = tuple(range(len(arrays)))
        ours, results = compiled(jax.grad(loss, argnums=by, has_aux=True))(*arrays)
        gradients = torch.autograd.grad(weighted_sum(followed), sources, allow_unused=True)
        for mine, other in zip(ours, gradients, strict=True):
            if other is None:
                assert not np.any(np.asarray(mine))
            else:
                assert_close(np.conj(mine), other, ROUGH.get(name, 1e-10))
    assert len(results) == len(expected)
    for mine, other in zip(results, expected, strict=True):
        assert_close(mine, other)


def test_every_operation_is_called():
    silent = [name for name in TABLE if name not in CALLS and not name.startswith(PYTHON)]
    assert [name for name in silent if name not in UNSEEN and name not in OLD] == []


@pytest.mark.parametrize("old", OLD)
def test_old_names_are_those_of_today(old):
    args, kwargs = split(CALLS[OLD[old]][0])
    ours = find(f"aten.{old}.default")(*map(to_jax, args), **kwargs)
    theirs = torch_operation(OLD[old])(*map(to_torch, args), **kwargs)
    assert_close(ours, theirs)


@pytest.mark.parametrize(
    "name", ["_grouped_mm.default", "transformers.grouped_mm_fallback.default"]
)
def test_each_group_of_rows_has_its_matrix(name):
    rng = np.random.default_rng(0)
    x, weight, ends = rng.standard_normal((7, 3)), rng.standard_normal((3, 3, 4)), [2, 2, 7]
    operation = find(f"aten.{name}" if name.startswith("_") else name)

    def loss(x, weight):
        ours = operation(x, weight, jnp.array(ends))
        return weighted_sum([ours]), ours

    (by_x, by_weight), ours = jax.grad(loss, argnums=(0, 1), has_aux=True)(x, weight)
    theirs = np.concatenate([x[:2] @ weight[0], x[2:] @ weight[2]])
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    slope = np.cos(np.arange(28)).reshape(7, 4)  # of `weighted_sum`
    rows = np.concatenate([slope[:2] @ weight[0].T, slope[2:] @ weight[2].T])
    matrices = [x[:2].T @ slope[:2], np.zeros((3, 4)), x[2:].T @ slope[2:]]
    np.testing.assert_allclose(by_x, rows, rtol=1e-12)
    np.testing.assert_allclose(by_weight, np.stack(matrices), rtol=1e-12)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("has_last", [False, True])
@pytest.mark.parametrize("padding", [None, 2])
def test_bags_of_rows(mode, has_last, padding):
    rng = np.random.default_rng(0)
    ids, starts = np.array([1, 2, 2, 4, 0, 2]), np.array([0, 2, 2, 5] + [6] * has_last)
    table, factors = rng.standard_normal((5, 3)), rng.standard_normal(6) if mode == "sum" else None
    kwargs = {"include_last_offset": has_last, "padding_idx": padding}
    tensors = [None if a is None else torch.from_numpy(a) for a in (ids, table, starts, factors)]
    tensors[1].requires_grad_()
    theirs = torch.nn.functional.embedding_bag(
        *tensors[:3], mode=mode, per_sample_weights=tensors[3], **kwargs
    )

    def ours(table):
        place = ("sum", "mean", "max").index(mode)
        bags = find("aten.embedding_bag.padding_idx")
        return bags(table, ids, starts, False, place, False, factors, has_last, padding)[0]

    assert_close(ours(table), theirs)
    mine = jax.grad(lambda table: weighted_sum([ours(table)]))(table)
    assert_close(mine, torch.autograd.grad(weighted_sum([theirs]), tensors[1])[0])


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_a_softmax_of_half_precision_is_computed_in_the_dtype_that_is_asked_for(name):
    x = np.random.default_rng(0).standard_normal((3, 50)).astype(np.float16)
    theirs = getattr(torch, name)(torch.from_numpy(x), -1, dtype=torch.float32)
    for operation, dtype in ((name, jnp.dtype("float32")), (f"_{name}", True)):
        ours = find(f"aten.{operation}.default")(jnp.asarray(x), -1, dtype)
        assert ours.dtype == jnp.float32
        assert_close(ours, theirs)


def test_vectors_of_matrices_up_to_their_sign():
    x = np.random.default_rng(0).standard_normal((2, 4, 3))
    square = x @ x.swapaxes(1, 2)
    for full in (False, True):
        u, s, vh = find("aten._linalg_svd.default")(jnp.asarray(x), full)
        assert u.shape == (2, 4, 4 if full else 3)
        assert_close((u[..., :3] * s[:, None]) @ vh, torch.from_numpy(x))
        assert_close(s, torch.linalg.svdvals(torch.from_numpy(x)))
    for half, read in (("L", np.tril(square)), ("U", np.triu(square))):
        values, vectors = find("aten._linalg_eigh.default")(jnp.asarray(read), half)
        assert_close((vectors * values[:, None]) @ vectors.mT, torch.from_numpy(square))
        assert_close(values, torch.linalg.eigvalsh(torch.from_numpy(square)))
    for operation, half in (("_linalg_svd", False), ("_linalg_eigh", "L")):
        alone = find(f"aten.{operation}.default")(jnp.asarray(square), half, False)
        assert [part.size for part in alone if part.size] == [8]
    q, r = find("aten.linalg_qr.default")(jnp.asarray(x), "r")
    assert (q.size, r.shape) == (0, (2, 3, 3))


def test_an_operation_of_ones_own():
    register_torch_operation("mylibrary.triple", lambda x: 3 * x)
    try:
        assert find("mylibrary.triple.default")(2) == 6
    finally:
        del TABLE["mylibrary.triple"]
    with pytest.raises(TypeError, match="needs a function"):
        register_torch_operation("mylibrary.triple", "x")  # pyright: ignore[reportArgumentType]
