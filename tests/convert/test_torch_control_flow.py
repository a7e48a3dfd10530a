"""Branches and loops of PyTorch's programs are those of JAX."""

import json

import jax
import numpy as np
import pytest

import rfp_jax
from rfp_jax.convert import (
    DifferenceError,
    MissingOperationError,
    convert_program,
    from_torch,
    load,
    register_torch_operation,
)
from rfp_jax.convert._torch_program import from_json, to_json

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch._higher_order_ops import while_loop  # noqa: E402

from tests.convert.torch_networks import randomized  # noqa: E402
from tests.convert.torch_programs import saved  # noqa: E402

pytestmark = pytest.mark.usefixtures("x64")


class Either(nn.Module):
    """One of two layers, by the sum of what comes in; both sources go through it."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(4, 3), nn.Linear(4, 3)

    def positive(self, a, b):
        return self.one(a + b).relu()

    def negative(self, a, b):
        return torch.tanh(self.other(a * 2 - b))

    def forward(self, a, b):
        return torch.cond(a.sum() > 0, self.positive, self.negative, (a, b))


class Repeats(nn.Module):
    """A layer that is run three times, counted in the loop, or one after the other."""

    def __init__(self, loop=True):
        super().__init__()
        self.layer, self.loop = nn.Linear(4, 4), loop

    def forward(self, a, b):
        def step(count, x):
            return count + 1, torch.tanh(self.layer(x) + b)

        if self.loop:
            return while_loop(lambda count, x: count < 3, step, (torch.tensor(0), a))[1]
        for count in range(3):
            a = step(count, a)[1]
        return a


def numbers(sign=1.0):
    a, b = np.random.default_rng(0).normal(size=(2, 2, 4))
    return sign * np.abs(a), b


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_branch_is_taken_as_in_pytorch(sign):
    module, (a, b) = randomized(Either()), numbers(sign)
    fun, params = from_torch(module, check=(a, b))
    assert fun.compared.relative <= 1e-14

    class Taken(Either):
        forward = Either.positive if sign > 0 else Either.negative

    alone = Taken().double().eval()
    alone.load_state_dict(module.state_dict())
    plain, own = from_torch(alone)
    got = jax.jit(rfp_jax.relevance(fun, (1, 2)))(params, a, b)
    want = rfp_jax.relevance(plain, (1, 2))(own, a, b)
    for one, other in zip([*got.sources, got.bias], [*want.sources, want.bias], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-14)


def test_a_loop_runs_as_often_as_in_pytorch():
    module, (a, b) = randomized(Repeats()), numbers()
    fun, params = from_torch(module, check=(a, b))
    assert fun.compared.relative <= 1e-14
    unrolled = Repeats(loop=False).double().eval()
    unrolled.load_state_dict(module.state_dict())
    plain, own = from_torch(unrolled)
    got, want = (rfp_jax.relevance(f, (1, 2))(p, a, b) for f, p in ((fun, params), (plain, own)))
    for one, other in zip(got.sources, want.sources, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-14)


@pytest.mark.parametrize("network", [Either, Repeats])
def test_saved_programs_with_bodies(network, tmp_path):
    module, (a, b) = randomized(network()), numbers()
    path = saved(tmp_path, module, tuple(map(torch.from_numpy, (a, b))))
    convert_program(path, tmp_path / "out")
    fun, params = load(tmp_path / "out")
    with torch.no_grad():
        expected = module(*map(torch.from_numpy, (a, b)))
    np.testing.assert_allclose(fun(params, a, b), expected, atol=1e-14)


def test_bodies_survive_json():
    fun, params = from_torch(randomized(Either()))
    program = fun.program(params, *numbers())
    again = from_json(json.loads(json.dumps(to_json(program))), program.constants)
    assert again == program


class Rare(Either):
    def negative(self, a, b):
        return torch.special.bessel_j0(self.other(a - b))


def test_what_a_branch_lacks_is_known_before_anything_runs(table):
    register_torch_operation("sum", lambda *_: pytest.fail("something ran"))
    fun, params = from_torch(randomized(Rare()))
    with pytest.raises(MissingOperationError, match="special_bessel_j0"):
        fun(params, *numbers())


def test_the_check_names_the_branch_that_differs(table):
    register_torch_operation("relu", lambda x: x)
    with pytest.raises(DifferenceError, match="part first at cond, node 'cond'"):
        from_torch(randomized(Either()), check=numbers())
