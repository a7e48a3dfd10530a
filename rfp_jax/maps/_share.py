"""The relative relevance of sources, computed when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rfp_jax._util.parts import shares
from rfp_jax.maps._errors import SceneError

if TYPE_CHECKING:
    import xarray as xr


def share(scene: xr.Dataset, bias: bool = False) -> xr.DataArray:
    """Return the share of each source, `|R_s| / sum |R|`, at every pixel.

    It adds up to 1; where no source has any relevance, all have the same. It is made of the
    relevance that is asked for and is never stored: take a part of the scene first
    (`scene.isel(...)`, `scene.sel(...)`) where the whole is larger than memory.

    Args:
        scene: a map, or a part of one.
        bias: whether the bias takes part; else it is left out.

    Returns:
        Shares with the dimensions of `scene.relevance`, NaN where there is no relevance.

    Raises:
        SceneError: there is no relevance of sources in it.

    Examples:
        >>> import xarray as xr
        >>> relevance = xr.DataArray([[8.0], [-15.0], [1.0]], dims=("source", "x"))
        >>> scene = xr.Dataset({"relevance": relevance}, {"source": ["optical", "sar", "bias"]})
        >>> [round(value, 3) for value in share(scene)[:, 0].values.tolist()]
        [0.348, 0.652]
    """
    if "relevance" not in scene or "source" not in scene.relevance.dims:
        raise SceneError("share() takes a map of relevance with the dimension 'source'")
    return shares(scene.relevance, bias=bias).transpose(*scene.relevance.dims)
