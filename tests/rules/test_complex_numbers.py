"""Complex numbers are pairs of real ones: a function of them has one answer in both writings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.nn import relu, sigmoid

from rfp_jax import audit, relevance
from tests.oracles.decomposition import agree, draw, shares

pytestmark = pytest.mark.usefixtures("x64")


def modulus(z):
    return jnp.sqrt(z.real**2 + z.imag**2)


def power(z):
    return z.real**2 + z.imag**2


FORMS = {
    "modulus": (lambda z, y: jnp.abs(z), lambda z, y: modulus(z)),
    "power": (
        lambda z, y: jnp.abs(z) ** 2,
        lambda z, y: jnp.square(jnp.abs(z)),
        lambda z, y: jnp.abs(z) * jnp.abs(z),
        lambda z, y: (z * jnp.conj(z)).real,
        lambda z, y: power(z),
        lambda z, y: modulus(z) ** 2,
    ),
    "cube of the modulus": (
        lambda z, y: jnp.abs(z) ** 3,
        lambda z, y: modulus(z) ** 3,
        lambda z, y: power(z) ** 1.5,
    ),
    "loudness": (
        lambda z, y: jnp.log1p(jnp.abs(z)),
        lambda z, y: jnp.log1p(modulus(z)),
        lambda z, y: jnp.log(1 + jnp.abs(z)),
    ),
    "logarithm": (
        lambda z, y: jnp.log(jnp.abs(z)),
        lambda z, y: jnp.log(modulus(z)),
        lambda z, y: jnp.log(power(z)) / 2,
        lambda z, y: jnp.log(jnp.abs(z) ** 2) / 2,
    ),
    "damping": (lambda z, y: jnp.exp(-jnp.abs(z)), lambda z, y: jnp.exp(-modulus(z))),
    "gate": (lambda z, y: sigmoid(jnp.abs(z)) * y, lambda z, y: sigmoid(modulus(z)) * y),
    "signal": (lambda z, y: jnp.abs(z) * y, lambda z, y: modulus(z) * y),
    "weight": (lambda z, y: (1 + jnp.abs(z)) * y, lambda z, y: (1 + modulus(z)) * y),
    "threshold": (lambda z, y: relu(jnp.abs(z) - 1), lambda z, y: relu(modulus(z) - 1)),
    "phase": (lambda z, y: (z / jnp.abs(z)).real * y, lambda z, y: z.real / modulus(z) * y),
    "modReLU": (
        lambda z, y: (relu(jnp.abs(z) - 1) * z / jnp.abs(z)).real,
        lambda z, y: relu(modulus(z) - 1) * z.real / modulus(z),
    ),
    "square": (
        lambda z, y: (z * z).real,
        lambda z, y: (z**2).real,
        lambda z, y: z.real**2 - z.imag**2,
    ),
    "product": (lambda z, y: (z * (y + 1j)).imag, lambda z, y: z.imag * y + z.real),
    "coherence": (
        lambda z, y: jnp.abs(z * jnp.conj(z + y)) / (jnp.abs(z) * jnp.abs(z + y)),
        lambda z, y: modulus(z * jnp.conj(z + y)) / (modulus(z) * modulus(z + y)),
    ),
}
"""The first is of complex numbers."""


@pytest.mark.slow
@pytest.mark.parametrize("constant", [0.0, 0.5 - 0.25j])
@pytest.mark.parametrize("name", FORMS)
@pytest.mark.filterwarnings("ignore::rfp_jax.RelevanceStopsWarning")
def test_each_form_has_one_answer(name, constant):
    def network(form):
        def fun(a, b):
            return form(lax.complex(2 * a, b) + 0.7j * a + constant, 2 * b + 0.3)

        return fun

    a, b = draw(5, seed=1), draw(5, seed=2)
    first, *others = (shares(network(form), a, b) for form in FORMS[name])
    for other in others:
        agree(other, first)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["modulus", "power", "logarithm", "signal", "modReLU"])
def test_the_certificate_holds(name):
    def fun(a, b):
        return FORMS[name][0](lax.complex(2 * a, b) + 0.7j * a + 0.5, 2 * b + 0.3)

    a, b = draw(5, seed=1), draw(5, seed=2)
    report = audit(fun, (0, 1))(a, b)
    assert report.passed, report.verdict
    propagated = relevance(fun, (0, 1), bias="propagate")(a, b)
    agree(jax.tree.leaves(propagated), jax.tree.leaves(relevance(fun, (0, 1))(a, b)))


def test_a_modulus_shares_as_its_squares_do():
    """From `|z|^2 = |c_1 + c_2 + b|^2`, whose products share half and half with the constant."""
    a, b, constant = draw(4, seed=3), draw(4, seed=4), 0.3 + 0.6j
    z = np.asarray(a) + 1j * np.asarray(b) + constant
    want = [((z + constant).conj() * c).real / abs(z) for c in (a, 1j * np.asarray(b))]
    got = shares(lambda a, b: jnp.abs(a + 1j * b + constant), a, b)
    agree(got, [*want, abs(constant) ** 2 / abs(z)])


def test_a_spectrum():
    """Power of a Fourier transform behind a layer, as sines and cosines."""
    w, bias = draw(8, 8, seed=5), draw(1, 8, seed=6)
    basis = np.fft.rfft(np.eye(8))

    def transformed(a, b):
        return jnp.abs(jnp.fft.rfft(a @ w + b + bias)) ** 2

    def summed(a, b):
        x = a @ w + b + bias
        return (x @ basis.real) ** 2 + (x @ basis.imag) ** 2

    a, b = draw(3, 8, seed=7), draw(3, 8, seed=8)
    agree(shares(transformed, a, b), shares(summed, a, b))
