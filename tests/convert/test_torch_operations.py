"""Every operation of the table against PyTorch's: values, shapes, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from torch_calls import CALLS

from rfp_jax.convert import register_torch_operation
from rfp_jax.convert.aten import TABLE, find

torch = pytest.importorskip("torch")

UNSEEN = {
    "empty": "holds anything",
    "empty_like": "holds anything",
    "empty_strided": "holds anything",
    "new_empty": "holds anything",
    "new_empty_strided": "holds anything",
    "tensor": "not an operation of its own in PyTorch 2.13",
    "softmin": "not an operation of its own in PyTorch 2.13",
}
"""Operations whose values cannot be compared, and why."""
PYTHON = ("operator.", "math.", "sym_", "_assert", "_functional_assert")
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
    theirs = theirs.detach().resolve_conj().numpy()
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("name", "number"), CASES, ids=lambda value: str(value))
def test_operation(name, number):
    args, kwargs = split(CALLS[name][number])
    operands = to_torch(args)
    theirs = torch_operation(name)(*operands, **{k: to_torch(v) for k, v in kwargs.items()})
    operation = find(f"aten.{name}")
    options = {key: to_jax(value) for key, value in kwargs.items()}
    ours = operation(*to_jax(args), **options)
    expected = arrays_of(theirs) or [torch.as_tensor(theirs)]
    results = arrays_of(ours) or [np.asarray(ours)]
    assert len(results) == len(expected)
    for mine, other in zip(results, expected, strict=True):
        assert_close(mine, other)

    followed = [t for t in expected if t.requires_grad]
    if not followed:
        return
    weights = [np.cos(np.arange(t.numel())).reshape(t.shape) for t in followed]
    loss = sum(
        (torch.view_as_real(t) * torch.from_numpy(w)[..., None]).sum()
        if t.is_complex()
        else (t * torch.from_numpy(w)).sum()
        for t, w in zip(followed, weights, strict=True)
    )
    sources = [t for t in arrays_of(operands) if t.requires_grad]
    gradients = torch.autograd.grad(loss, sources, allow_unused=True)
    places = [bool(t.requires_grad) for t in expected]

    def jax_loss(*sources):
        given = iter(sources)

        def insert(value):
            if isinstance(value, list):
                return [insert(entry) for entry in value]
            return next(given) if is_array(value) and value.dtype.kind in "fc" else to_jax(value)

        results = arrays_of(operation(*[insert(value) for value in args], **options))
        kept = [r for r, place in zip(results, places, strict=True) if place]
        return sum(
            ((r.real + r.imag) * w).sum() if jnp.iscomplexobj(r) else (r * w).sum()
            for r, w in zip(kept, weights, strict=True)
        )

    floats = [jnp.asarray(t.detach().numpy()) for t in sources]
    ours = jax.jit(jax.grad(jax_loss, argnums=tuple(range(len(floats)))))(*floats)
    for mine, other in zip(ours, gradients, strict=True):
        if other is None:
            assert not np.any(np.asarray(mine))
        else:
            assert_close(np.conj(mine), other, 1e-10)


def test_every_operation_is_called():
    silent = [name for name in TABLE if name not in CALLS and not name.startswith(PYTHON)]
    assert [name for name in silent if name not in UNSEEN] == []


def test_an_operation_of_ones_own():
    register_torch_operation("mylibrary.triple", lambda x: 3 * x)
    try:
        assert find("mylibrary.triple.default")(2) == 6
    finally:
        del TABLE["mylibrary.triple"]
    with pytest.raises(TypeError, match="needs a function"):
        register_torch_operation("mylibrary.triple", "x")  # pyright: ignore[reportArgumentType]
