"""Fingerprints: equal for one program, and different for others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rfp_jax._runs import fingerprint


def looped(fun):
    return lambda x: jax.lax.fori_loop(0, 3, lambda _, y: fun(y), x)


PROGRAMS = [
    jnp.sin,
    jnp.cos,
    lambda x: x * 2.0,
    lambda x: x * 3.0,
    lambda x: x * np.arange(4.0, dtype=np.float32),
    lambda x: x * np.arange(1.0, 5.0, dtype=np.float32),
    lambda x: x - 1.0,
    lambda x: 1.0 - x,
    lambda x: x + x * x,
    lambda x: x * (x + x),
    lambda x: x[:3],
    lambda x: x[1:],
    looped(jnp.sin),
    looped(jnp.cos),
    lambda x: jax.lax.cond(x[0] > 0, jnp.sin, jnp.cos, x),
    lambda x: jax.lax.cond(x[0] > 0, jnp.cos, jnp.sin, x),
]


@pytest.mark.slow
def test_other_programs_have_other_fingerprints():
    x = np.ones(4, np.float32)
    prints = [fingerprint.hash_program(program, x) for program in PROGRAMS]
    assert len(set(prints)) == len(PROGRAMS)
    jax.clear_caches()
    again = [fingerprint.hash_program(lambda x, p=program: p(x), x) for program in PROGRAMS]
    assert again == prints


def test_jitted_parts_have_one_fingerprint_whatever_they_are_called():
    def square(x):
        return x * x

    def other(x):
        return x * x

    x = np.ones(4, np.float32)
    shared = jax.jit(square)
    once = fingerprint.hash_program(lambda x: shared(x) + shared(x + 1), x)
    apart = fingerprint.hash_program(lambda x: jax.jit(square)(x) + jax.jit(other)(x + 1), x)
    assert once == apart
