"""Control flow: PyTorch's operations of higher order, whose bodies are functions of JAX arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax

from rfp_jax._util.trees import Tree
from rfp_jax.convert._aten.broadcast import Operation

Body = Callable[..., Tree]


def cond(
    predicate: jax.Array | bool, yes: Body, no: Body, operands: Sequence[jax.Array]
) -> tuple[Tree, ...]:
    """`torch.cond`."""
    return lax.cond(jnp.reshape(predicate, ()), yes, no, *operands)


def while_loop(
    goes_on: Body, step: Body, carried: Sequence[jax.Array], others: Sequence[jax.Array]
) -> tuple[Tree, ...]:
    """`while_loop`: what is carried changes, the others do not."""

    def predicate(carry: tuple[jax.Array, ...]) -> jax.Array:
        (given,) = jax.tree.leaves(goes_on(*carry, *others))
        return jnp.reshape(given, ())

    def body(carry: tuple[jax.Array, ...]) -> tuple[Tree, ...]:
        return tuple(step(*carry, *others))

    return lax.while_loop(predicate, body, tuple(map(jnp.asarray, carried)))


TABLE: dict[str, Operation] = {"cond": cond, "while_loop": while_loop}
