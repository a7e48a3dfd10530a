"""Relevance of every pixel of a scene, georeferenced."""

from rfp_jax.maps._cog import to_cog
from rfp_jax.maps._errors import GlobalNetworkError, NetworkSizeError, SceneError
from rfp_jax.maps._field import Field, field
from rfp_jax.maps._inspect import Inspection, SourceFacts, inspect
from rfp_jax.maps._open import open_map as open
from rfp_jax.maps._polygons import by_polygon
from rfp_jax.maps._relevance import relevance
from rfp_jax.maps._report import report
from rfp_jax.maps._share import share
from rfp_jax.maps._source import Source
from rfp_jax.maps._true_color import true_color

__all__ = [
    "Field",
    "GlobalNetworkError",
    "Inspection",
    "NetworkSizeError",
    "SceneError",
    "Source",
    "SourceFacts",
    "by_polygon",
    "field",
    "inspect",
    "open",
    "relevance",
    "report",
    "share",
    "to_cog",
    "true_color",
]
