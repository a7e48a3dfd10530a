"""The result of `relevance`, and the usual questions to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp

from rfp_jax._util.extras import needs_extra
from rfp_jax._util.parts import BIAS
from rfp_jax._util.trees import Given, Tree

if TYPE_CHECKING:
    import xarray as xr


class Relevance(NamedTuple):
    """Outputs split by source: `output = bias + sum of sources`.

    A pytree, so it goes through `jax.jit`, `jax.vmap` and `jax.tree.map`.

    Attributes:
        output: what the function returned, the same values.
        sources: shaped like what `argnums` points to (a tuple for a tuple, a dict for a dict); each
            leaf is a source, replaced by its relevance, an array or tree shaped like `output`.
        bias: what came from no source (biases, shifts), shaped like `output`.
    """

    output: Tree
    sources: Tree
    bias: Tree

    def share(self, bias: bool = False) -> Tree:
        """Return the relative relevance of each source: `|R_s| / sum |R|`, finite, adding up to 1.

        Where no source has any relevance, every source has the same share.

        Args:
            bias: whether the bias takes part; then it is the share of what came from no source
                that is missing to 1.

        Returns:
            Shares structured like `sources`.

        Examples:
            >>> import jax.numpy as jnp, rfp_jax
            >>> rel = rfp_jax.relevance(lambda x, y: x - 3 * y, (0, 1))(jnp.ones(2), jnp.ones(2))
            >>> [s.tolist() for s in rel.share()]
            [[0.25, 0.25], [0.75, 0.75]]
        """
        tree = jax.tree.structure(self.output)
        leaves, outer = jax.tree.flatten(self.sources)
        per_output = [leaves[i :: tree.num_leaves] for i in range(tree.num_leaves)]
        biases = jax.tree.leaves(self.bias)
        shares = [
            _shares(own, b if bias else None, jnp.ndim(b))
            for own, b in zip(per_output, biases, strict=True)
        ]
        return outer.unflatten([share for source in zip(*shares, strict=True) for share in source])

    def to_xarray(
        self,
        dims: Sequence[str] | None = None,
        coords: Mapping[str, Given] | None = None,
        names: Sequence[str] | None = None,
    ) -> xr.Dataset:
        """Return an xarray Dataset with `relevance` over sources, bias last, and `output`.

        Args:
            dims: names of the output's axes; `dim_0`, `dim_1`, ... if not given.
            coords: coordinates of these axes.
            names: names of the sources; by default where they stand in `sources`: keys of a dict,
                positions in a tuple.

        Raises:
            ValueError: the output is a tree of several arrays, or names do not fit.

        Examples:
            >>> import jax.numpy as jnp, rfp_jax
            >>> rel = rfp_jax.relevance(lambda s: s["sar"] - 3 * s["optical"])(
            ...     {"optical": jnp.ones(2), "sar": jnp.ones(2)}
            ... )
            >>> rel.to_xarray(["class"]).relevance.sel(source="optical").values.tolist()
            [-3.0, -3.0]
        """
        with needs_extra("Relevance.to_xarray()", "tables"):
            import xarray
        if jax.tree.structure(self.output).num_leaves != 1:
            raise ValueError("to_xarray() takes one array of outputs; convert each by itself")
        (y,) = jax.tree.leaves(self.output)
        (b,) = jax.tree.leaves(self.bias)
        found = _named_rows(self.sources, jnp.ndim(y))
        if names is not None:
            if len(names) != len(found):
                raise ValueError(f"{len(names)} names for {len(found)} sources: {list(names)}")
            found = list(zip(names, (row for _, row in found), strict=True))
        axes = list(dims) if dims is not None else [f"dim_{i}" for i in range(jnp.ndim(y))]
        if len(axes) != jnp.ndim(y):
            raise ValueError(f"dims={axes} names {len(axes)} axes; the output has {jnp.ndim(y)}")
        stacked = jnp.stack([*(row for _, row in found), b])
        sources = [*(name for name, _ in found), BIAS]
        attributes = {"long_name": "relevance", "description": "output = sum over source"}
        return xarray.Dataset(
            {
                "relevance": (["source", *axes], jax.device_get(stacked), attributes),
                "output": (axes, jax.device_get(y), {"long_name": "output"}),
            },
            coords={"source": sources, **(coords or {})},
        )


def _shares(rows: Sequence[jax.Array], bias: jax.Array | None, ndim: int) -> list[jax.Array]:
    sizes = [jnp.abs(row) for row in rows]
    # A split source is stacked in front of the output's axes.
    totals = [size.sum(tuple(range(size.ndim - ndim))) for size in sizes]
    count = sum(size.size // max(total.size, 1) for size, total in zip(sizes, totals, strict=True))
    total = sum(totals[1:], totals[0])
    if bias is not None:
        total, count = total + jnp.abs(bias), count + 1
    return [jnp.where(total > 0, s / jnp.where(total > 0, total, 1), 1 / count) for s in sizes]


def _named_rows(sources: Tree, ndim: int) -> list[tuple[str, jax.Array]]:
    """Return the rows of all sources with their names; those of a split numbered."""
    rows = []
    for path, row in jax.tree_util.tree_flatten_with_path(sources)[0]:
        keys = (getattr(k, "key", getattr(k, "idx", getattr(k, "name", k))) for k in path)
        name = ".".join(map(str, keys)) or "source"
        if jnp.ndim(row) > ndim:
            rows += [(f"{name}.{i}" if path else str(i), part) for i, part in enumerate(row)]
        else:
            rows.append((name, row))
    return rows
