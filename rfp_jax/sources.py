"""Sources inside one array: bands, groups of channels, patches, superpixels, tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from rfp_jax._util import shapes
from rfp_jax._util.trees import Given, Number, Tree, is_traced

__all__ = ["Split", "axis", "groups", "masks", "segments"]

Index = int | slice | list[int] | np.ndarray


@dataclass(frozen=True)
class Split:
    """A division of one array into sources, made by `axis`, `groups`, `segments` or `masks`.

    Attributes:
        count: the number of sources, for an array of a given shape.
        part: `part(array, i)`: the array with all but the i-th source set to zero; i may be traced.
        names: the sources' names, or None for a stacked result.
    """

    count: Callable[[tuple[int, ...]], int]
    part: Callable[[jax.Array, Number], jax.Array]
    names: tuple[str, ...] | None = None


def axis(axis: int = -1) -> Split:
    """Each index along an axis is a source: every band of an image, every token of a sequence.

    Args:
        axis: the axis of the source array.

    Returns:
        A split; its relevance is stacked on a leading axis as long as the array's axis.

    Examples:
        >>> import jax.numpy as jnp, rfp_jax
        >>> rel = rfp_jax.relevance(jnp.sum, split=rfp_jax.sources.axis(-1))
        >>> rel(jnp.array([[1.0, 2.0], [3.0, 4.0]])).sources
        Array([4., 6.], dtype=float32)
    """

    def part(x: jax.Array, i: Number) -> jax.Array:
        places = jnp.arange(x.shape[axis])
        along = [-1 if a == axis % x.ndim else 1 for a in range(x.ndim)]
        return jnp.where((places == i).reshape(along), x, jnp.zeros_like(x))

    return Split(lambda shape: _length(shape, axis), part)


def groups(groups: Mapping[str, Index], axis: int = -1) -> Split:
    """Named groups of indices along an axis are sources: `{"S2": slice(0, 10), "S1": [10, 11]}`.

    Args:
        groups: for each name an index, slice or list of indices. They must not overlap; what is in
            none of them counts as bias.
        axis: the axis of the source array.

    Returns:
        A split; its relevance is a dict with these names.

    Raises:
        ValueError: there is no group, or, at the call, groups overlap or are empty.

    Examples:
        >>> import jax.numpy as jnp, rfp_jax
        >>> bands = rfp_jax.sources.groups({"S2": slice(0, 2), "S1": 2})
        >>> rel = rfp_jax.relevance(jnp.sum, split=bands)(jnp.array([1.0, 2.0, 4.0]))
        >>> {name: float(value) for name, value in rel.sources.items()}
        {'S2': 3.0, 'S1': 4.0}
    """
    if not groups:
        raise ValueError("groups() needs at least one name with its indices, got none")

    def table(length: int) -> np.ndarray:
        masks = np.zeros((len(groups), length), bool)
        for row, (name, index) in zip(masks, groups.items(), strict=True):
            try:
                row[index] = True
            except IndexError as error:
                raise ValueError(
                    f"group {name!r} = {index!r} points past the axis of length {length}"
                ) from error
            if not row.any():
                raise ValueError(
                    f"group {name!r} = {index!r} is empty on an axis of length {length}"
                )
        twice = np.flatnonzero(masks.sum(0) > 1)
        if twice.size:
            raise ValueError(f"groups overlap at index {twice.tolist()} of axis {axis}: {groups!r}")
        return masks

    def part(x: jax.Array, i: Number) -> jax.Array:
        mask = jnp.asarray(table(x.shape[axis]))[i]
        along = [-1 if a == axis % x.ndim else 1 for a in range(x.ndim)]
        return jnp.where(mask.reshape(along), x, jnp.zeros_like(x))

    def count(shape: tuple[int, ...]) -> int:
        table(_length(shape, axis))
        return len(groups)

    return Split(count, part, tuple(groups))


def _length(shape: tuple[int, ...], axis: int) -> int:
    """Return how long an axis of a source is, if it has one."""
    if not -len(shape) <= axis < len(shape):
        raise ValueError(
            f"split along axis {axis}: the source of shape {list(shape)} has no such axis"
        )
    return shape[axis]


def _fits(shape: tuple[int, ...], given: tuple[int, ...], what: str) -> None:
    """Refuse what cannot be spread over a source."""
    try:
        fits = np.broadcast_shapes(shape, given) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"{what} of shape {list(given)} cannot be broadcast to the source of shape "
            f"{list(shape)}"
        )


def segments(ids: shapes.Integer[jax.Array | np.ndarray, "..."], count: int | None = None) -> Split:
    """Elements with the same id are a source: patches, superpixels, objects.

    Args:
        ids: integers from 0, broadcastable to the source array; with a batch axis, each sample may
            have segments of its own. Elements with other ids, such as -1, count as bias.
        count: the number of segments; the greatest id + 1 if not given, which needs known ids.

    Returns:
        A split; its relevance is stacked on a leading axis of length `count`.

    Raises:
        TypeError: ids are not integers.

    Examples:
        >>> import jax.numpy as jnp, numpy as np, rfp_jax
        >>> halves = rfp_jax.sources.segments(np.array([0, 0, 1]))
        >>> rfp_jax.relevance(jnp.sum, split=halves)(jnp.array([1.0, 2.0, 4.0])).sources
        Array([3., 4.], dtype=float32)
    """
    if not jnp.issubdtype(jnp.result_type(ids), jnp.integer):
        raise TypeError(f"segment ids must be integers, got {jnp.result_type(ids)}")
    number = int(np.max(np.asarray(ids))) + 1 if count is None else count

    def part(x: jax.Array, i: Number) -> jax.Array:
        return jnp.where(jnp.broadcast_to(jnp.asarray(ids), x.shape) == i, x, jnp.zeros_like(x))

    def known(shape: tuple[int, ...]) -> int:
        _fits(shape, np.shape(ids), "segment ids")
        return number

    return Split(known, part)


def masks(
    masks: Mapping[str, Given] | shapes.Shaped[jax.Array | np.ndarray, "sources ..."],
) -> Split:
    """Each mask is a source; masks may be soft, and what they leave out counts as bias.

    Args:
        masks: boolean or floating-point, stacked on a leading axis, each broadcastable to the
            source array; or a dict of names to masks.

    Returns:
        A split; its relevance is stacked on a leading axis, or a dict with the names.

    Raises:
        TypeError: masks are whole numbers other than 0 and 1: 255 would be a weight.
        ValueError: there is no mask.

    Examples:
        >>> import jax.numpy as jnp, numpy as np, rfp_jax
        >>> split = rfp_jax.sources.masks({"cloud": np.array([True, False, True])})
        >>> rel = rfp_jax.relevance(jnp.sum, split=split)(jnp.array([1.0, 2.0, 4.0]))
        >>> float(rel.sources["cloud"]), float(rel.bias)
        (5.0, 2.0)
    """
    names = tuple(masks) if isinstance(masks, Mapping) else None
    stacked = jnp.stack([*masks.values()]) if isinstance(masks, Mapping) else jnp.asarray(masks)
    if stacked.ndim == 0 or len(stacked) == 0:
        raise ValueError("masks() needs at least one mask, stacked on a leading axis")
    whole = jnp.issubdtype(stacked.dtype, jnp.integer)
    if whole and not (is_traced(stacked) or np.isin(stacked, (0, 1)).all()):
        raise TypeError(
            f"masks of whole numbers hold 0 and 1, got {stacked.dtype} up to {stacked.max()}: "
            "pass masks > 0"
        )

    def part(x: jax.Array, i: Number) -> jax.Array:
        return jnp.broadcast_to(stacked[i], x.shape).astype(x.dtype) * x

    def count(shape: tuple[int, ...]) -> int:
        _fits(shape, stacked.shape[1:], "each mask")
        return len(stacked)

    return Split(count, part, names)


Splits = list[Split | None]
"""For each source leaf how it is divided, None for not at all."""


def split_leaves(split: Tree, tree: Tree) -> Splits:
    """The split of each leaf, of a split for a whole argument or a tuple with one for each.

    Raises:
        TypeError: something else than a split or None was given, or another structure.
    """

    def is_leaf(value: object) -> bool:
        return value is None or isinstance(value, Split)

    full = tree.unflatten(range(tree.num_leaves))
    places = jax.tree.leaves(full, is_leaf=lambda value: value is None)
    try:
        spread = jax.tree.broadcast(split, full, is_leaf=is_leaf)
        leaves = jax.tree.leaves(spread, is_leaf=is_leaf)
        if len(leaves) != tree.num_leaves:  # a source that is None has a place, but no array
            leaves = [s for s, i in zip(leaves, places, strict=True) if i is not None]
    except ValueError as error:
        entries = f"a {type(split).__name__}"
        if isinstance(split, tuple | list | dict):
            entries = f"{entries} of {len(split)}"
        raise TypeError(
            f"split= is {entries}, which is not structured like argnums, {tree}; pass one split "
            "for all, or a tuple with a split or None for each source of argnums"
        ) from error
    if wrong := [value for value in leaves if not is_leaf(value)]:
        raise TypeError(
            "split= takes rfp_jax.sources.axis, groups, segments or masks, or None; got "
            f"{wrong[0]!r}"
        )
    return leaves


def name(split: Split | None, row: list[jax.Array], tree: Tree) -> Tree:
    """Relevance of one source leaf in the output's structure, under the names of its split."""
    if split is None or split.names is None:
        return tree.unflatten(row)
    return {name: tree.unflatten([c[i] for c in row]) for i, name in enumerate(split.names)}
