"""A network with some of its sources present and the others replaced: what all ablations share.

A coalition is a set of sources, written as a mask over sources. In a coalition, the sources that
are present keep their data and the others take background data: zeros, a mean image, the data of
other samples. Occlusion, Shapley values, perceptual scores and deletion differ only in which
coalitions they ask for, and in the background.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from rfp_jax._core.argnums import Argnums, resolve
from rfp_jax._util import shapes
from rfp_jax._util.trees import Given, Tree


@dataclass(frozen=True)
class SourceCall:
    """A call `fun(*args)`, seen as a function of its sources alone.

    Attributes:
        fun: The function, usually a network.
        args: All its arguments.
        places: The arguments that hold sources, from the front.
        leaves: The sources, every array in those arguments.
        tree: How the sources fill those arguments.
        result: How one value per source fills what `argnums` points to, as in `jax.grad`.
    """

    fun: Callable[..., Tree]
    args: tuple[Given, ...]
    places: tuple[int, ...]
    leaves: list[jax.Array]
    tree: Tree
    result: Tree

    @classmethod
    def from_call(
        cls, fun: Callable[..., Tree], argnums: Argnums, args: tuple[Given, ...]
    ) -> SourceCall:
        """Look at a call as a function of the arguments that `argnums` points to.

        Args:
            fun: The function.
            argnums: Which positional arguments are sources; every array in them is a source.
            args: All arguments of the call.

        Returns:
            The call.

        Raises:
            TypeError: If `argnums` holds anything but integers.
            ValueError: If `argnums` is empty, names an argument twice or one that is not there, or
                if there is no array in the arguments that it names.
        """
        places = resolve(argnums, len(args))
        chosen = tuple(args[place] for place in places)
        leaves, tree = jax.tree.flatten(chosen)
        if not leaves:
            raise ValueError(f"argnums={argnums!r} points at arguments that hold no array")
        result = jax.tree.structure(chosen[0] if isinstance(argnums, int) else chosen)
        return cls(fun, args, places, [jnp.asarray(leaf) for leaf in leaves], tree, result)

    def __call__(self, leaves: Sequence[jax.Array]) -> Tree:
        """Call the function with other sources.

        Args:
            leaves: One array per source.

        Returns:
            What the function returns.
        """
        args = list(self.args)
        for place, value in zip(self.places, jax.tree.unflatten(self.tree, leaves), strict=True):
            args[place] = value
        return self.fun(*args)

    def unstack(self, stacked: Tree) -> Tree:
        """Arrange values that are stacked by source like what `argnums` points to.

        Args:
            stacked: An array, or a tree of arrays, with a leading axis S.

        Returns:
            A single value, tuple, dict or whatever the arguments are, with one value per source.
        """
        values = [
            jax.tree.map(lambda value, s=s: value[s], stacked) for s in range(len(self.leaves))
        ]
        return jax.tree.unflatten(self.result, values)

    def background(self, baseline: Given) -> list[jax.Array]:
        """Make background data of a baseline.

        Args:
            baseline: A number for all sources; or one array per source that broadcasts to the
                source, arranged like what `argnums` points to.

        Returns:
            One array per source, shaped like the source.

        Raises:
            ValueError: If the baseline has another structure, does not broadcast, or is a fraction
                where a source holds whole numbers.
        """
        given, structure = jax.tree.flatten(baseline)
        if structure != self.result:
            if len(given) != 1 or jnp.ndim(given[0]) != 0:
                raise ValueError(
                    "baseline must be a number or arranged like the sources "
                    f"({self.result}), got {structure}"
                )
            given = given * len(self.leaves)
        return [
            jnp.broadcast_to(_as_in(leaf, value), leaf.shape)
            for value, leaf in zip(given, self.leaves, strict=True)
        ]

    def outputs(
        self, masks: shapes.Bool[jax.Array | np.ndarray, "M *B S"], background: Sequence[jax.Array]
    ) -> Tree:
        """Evaluate the function once for each of M coalitions, one after the other.

        Args:
            masks: Which sources are present, bool, [M, S], or [M, B, S] with a coalition of its own
                for each of the B samples.
            background: One array per source, shaped like the source: its data where it is absent.

        Returns:
            The outputs, with one more leading axis M; bools and whole numbers, such as whether a
            class is right, in floating point, for they are subtracted and weighed.
        """

        def output(mask: jax.Array) -> Tree:
            found = self(
                [
                    jnp.where(_expand(mask[..., s], leaf.ndim), leaf, absent)
                    for s, (leaf, absent) in enumerate(zip(self.leaves, background, strict=True))
                ]
            )
            return jax.tree.map(_inexact, found)

        return jax.lax.map(output, jnp.asarray(masks))


def all_coalitions(sources: int) -> shapes.Bool[np.ndarray, "2**{sources} {sources}"]:
    """List every coalition: row r holds the sources whose bit is set in r.

    Args:
        sources: How many sources, S.

    Returns:
        Masks, bool, [2^S, S]; the first row is empty, the last complete.

    Examples:
        >>> all_coalitions(2).astype(int).tolist()
        [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    return (np.arange(2**sources)[:, None] >> np.arange(sources)) % 2 == 1


def all_but_one(sources: int) -> shapes.Bool[np.ndarray, "{sources} {sources}"]:
    """List the coalitions from which exactly one source is absent.

    Args:
        sources: How many sources, S.

    Returns:
        Masks, bool, [S, S]; in row s, source s is absent.

    Examples:
        >>> all_but_one(2).astype(int).tolist()
        [[0, 1], [1, 0]]
    """
    return ~np.eye(sources, dtype=bool)


def _inexact(output: jax.Array) -> jax.Array:
    is_inexact = jnp.issubdtype(jnp.result_type(output), jnp.inexact)
    return output if is_inexact else jnp.asarray(output, float)


def _expand(mask: jax.Array, ndim: int) -> jax.Array:
    return mask.reshape(mask.shape + (1,) * (ndim - mask.ndim))


def _as_in(source: jax.Array, value: Given) -> jax.Array:
    """Return a baseline in a source's dtype, which must not change it."""
    is_whole = not jnp.issubdtype(source.dtype, jnp.inexact)
    if is_whole and not isinstance(value, Tracer):
        given = np.asarray(value)
        if np.any(given != given.astype(source.dtype)):
            raise ValueError(
                f"a source of dtype {source.dtype} cannot hold the baseline {value}: "
                "give whole numbers, or the source in floating point"
            )
    return jnp.asarray(value, source.dtype)
