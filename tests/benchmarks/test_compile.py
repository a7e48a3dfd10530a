"""Compile times: the networks are what they say, each turn starts from nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import compile as command


def test_loop_and_scan_are_one_function():
    loop, scan = (command.transformer(3, as_scan=s, width=8, tokens=4) for s in (False, True))
    keys = iter(jax.random.split(jax.random.key(0), 6))
    arguments = jax.tree.map(lambda s: jax.random.normal(next(keys), s.shape) / 2, loop.arguments)
    np.testing.assert_allclose(loop.fun(*arguments), scan.fun(*arguments), rtol=1e-4, atol=1e-5)
    bodies = [str(jax.make_jaxpr(each.fun)(*each.arguments)).count("exp") for each in (loop, scan)]
    assert bodies[0] > 2 * bodies[1] > 0


def test_each_turn_compiles_again():
    traced = []

    def network(x):
        traced.append(x)
        return jax.nn.relu(x)

    case = command.Case(network, (jnp.ones(3),), (0,))
    taken = command.measure(case, rounds=2)
    assert len(traced) >= 6
    assert all(phase > 0 for each in (*taken.forward, *taken.relevance) for phase in each)
    assert all(seconds > 0 for seconds in taken.linearize)
    assert list(map(len, taken)) == [2, 2, 2]
    assert taken.forward[0].whole == sum(taken.forward[0])


def test_ratios_are_of_the_same_round():
    assert command.ratio([6.0, 1.0, 8.0], [2.0, 1.0, 1.0]) == 3


def test_steps_and_branches_are_what_they_are_called():
    given = jnp.asarray(0.5)
    values = [k % 7 for k in range(20)]
    expected = np.polyval([1.0, 0.0, *values], 0.5)  # y = x comes first
    np.testing.assert_allclose(command.polynomial(20).fun(given), expected, rtol=1e-6)
    assert str(jax.make_jaxpr(command.branches(5).fun)(given)).count(" cond[") == 5
    np.testing.assert_allclose(command.branches(5).fun(jnp.asarray(9.0)), np.tanh(9.0), rtol=1e-6)
    np.testing.assert_allclose(command.branches(5).fun(jnp.asarray(3.0)), 6.0)


def test_the_derivative_beside_has_a_push_for_each_source():
    case = command.Case(lambda w, x, y: w * x + y**2, (), (1, 2))
    output, pushed = command.linearized(case)(*map(jnp.asarray, (2.0, 3.0, 5.0)))
    assert (output, pushed) == (31, [6, 50])


def test_a_network_of_pytorch_is_imported_again_in_each_turn():
    torch = pytest.importorskip("torch")
    exported, traced = [], []

    class Layer(torch.nn.Module):
        def forward(self, x):
            exported.append(x)
            return x.relu()

    def native(x):
        traced.append(x)
        return jax.nn.relu(x)

    x = np.ones(3, np.float32)
    taken = command.imported(Layer().eval(), (x,), command.Case(native, (x,), (0,)), rounds=2)
    assert len(exported) == len(traced) == 2
    assert all(len(times) == 2 and min(times) > 0 for times in taken)


def test_the_row_of_imports_has_the_first_apart_and_ratios_of_one_round():
    taken = command.Imported([9.0, 2.0, 3.0], [2.0, 9.0, 4.0], [1.0, 3.0, 4.0])
    cells = [next(iter(column.cells)) for column in command.table_of_imports(taken).columns]
    assert cells == [command.IMPORTED, "9.00", "2.50", "4.00", "3.00", "2.00"]


def test_unknown_networks_are_named(capsys):
    assert command.main(only=("nothing",)) == 2
    assert "Unknown: nothing; known: ResNet-50" in capsys.readouterr().out
