"""Relevance of every pixel of a scene, georeferenced."""

from rfp_jax.maps._errors import GlobalNetworkError, NetworkSizeError, SceneError
from rfp_jax.maps._field import Field, field
from rfp_jax.maps._open import open_map as open
from rfp_jax.maps._relevance import relevance
from rfp_jax.maps._share import share
from rfp_jax.maps._source import Source

__all__ = [
    "Field",
    "GlobalNetworkError",
    "NetworkSizeError",
    "SceneError",
    "Source",
    "field",
    "open",
    "relevance",
    "share",
]
