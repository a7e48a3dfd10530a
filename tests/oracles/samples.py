"""Interaction of samples: as the analysis says, and as a dense Jacobian shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rfp_jax._core.dependence import Interaction, find_interaction


def find(fun: Callable[..., Any], axes: int, *args: Any) -> Interaction | None:
    jaxpr = jax.make_jaxpr(fun)(*map(jnp.asarray, args))
    return find_interaction(jaxpr.jaxpr, len(jaxpr.out_avals), axes)


def interacts(fun: Callable[..., Any], axes: int, *args: Any) -> bool:
    """Tell whether a dense Jacobian has an entry that is not zero between different samples.

    A scalar multiple of each result makes integers and truth values real; they have no derivative,
    and are left to the cases below.
    """

    def real(*args: jax.Array) -> list[jax.Array]:
        leaves = jax.tree.leaves(fun(*args))
        return [y for y in leaves if jnp.issubdtype(y.dtype, jnp.floating)]

    places = [i for i, a in enumerate(args) if jnp.issubdtype(jnp.result_type(a), jnp.floating)]
    args = tuple(map(jnp.asarray, args))
    for per_output in jax.jacfwd(real, argnums=places)(*args):
        for jacobian, place in zip(per_output, places, strict=True):
            shape = args[place].shape
            behind = jacobian.ndim - len(shape)  # where the source's dimensions begin
            for axis in range(axes):
                entries = np.moveaxis(np.asarray(jacobian), (axis, behind + axis), (0, 1))
                n = shape[axis]
                if np.any(entries[~np.eye(n, dtype=bool)] != 0):
                    return True
    return False
