"""Compile times: the networks are what they say, each turn starts from nothing."""

import jax
import jax.numpy as jnp
import numpy as np

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
    forward, relevance = command.measure(case, rounds=2)
    assert len(traced) >= 4
    assert all(phase > 0 for each in (*forward, *relevance) for phase in each)
    assert forward[0].whole == sum(forward[0])


def test_unknown_networks_are_named(capsys):
    assert command.main(only=("nothing",)) == 2
    assert "Unknown: nothing; known: ResNet-50" in capsys.readouterr().out
