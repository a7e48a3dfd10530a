"""Relevance of every pixel of a scene, georeferenced."""

from rfp_jax.maps._errors import GlobalNetworkError, NetworkSizeError, SceneError
from rfp_jax.maps._field import Field, field

__all__ = ["Field", "GlobalNetworkError", "NetworkSizeError", "SceneError", "field"]
