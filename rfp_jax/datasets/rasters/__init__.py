"""Folders of co-registered rasters, of any sensors, as a data source of pairs and more."""

from rfp_jax.datasets._geotiff import MissingFileError, PatchError
from rfp_jax.datasets.rasters._dataset import Rasters, UnpairedError
from rfp_jax.datasets.rasters._layers import Classes, Raster

__all__ = ["Classes", "MissingFileError", "PatchError", "Raster", "Rasters", "UnpairedError"]
