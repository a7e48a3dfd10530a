"""Input that does not fit is an error that says what to do, before anything is written."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.control import GroundControlPoint
from rasterio.shutil import copy
from rasterio.transform import Affine
from rasters import ORIGIN

from rfp_jax import maps


def add(_, *sources):
    total = sum(s.sum(-1, keepdims=True) for s in sources)
    return jnp.concatenate([total, 1 - total], -1)


def ones(*shape):
    return np.ones(shape, np.float32)


@pytest.fixture
def refused(tmp_path):
    """Check that a call is refused with a message, and that nothing was written."""

    def check(sources, match, fun=add, error=maps.SceneError, **options):
        with pytest.raises(error, match=match):
            maps.relevance(fun, None, sources, tmp_path / "map.zarr", progress=False, **options)
        assert not list(tmp_path.glob("map.zarr*"))

    return check


def test_sources_that_do_not_overlap(geotiff, refused):
    far = geotiff("b.tif", ones(1, 8, 8), origin=(700000.0, 5200000.0))
    sources = {"a": geotiff("a.tif", ones(1, 8, 8)), "b": far}
    refused(sources, r"source 'b' does not overlap the reference: it covers \(700000.*same place")


def test_no_coordinate_system(geotiff, refused, raster):
    bare = geotiff("a.tif", ones(1, 8, 8), crs=None)
    refused({"a": bare}, r"source 'a' has no coordinate system: .*write_crs.*gdal_translate -a_srs")
    refused({"a": raster(ones(1, 8, 8)).drop_vars("spatial_ref")}, "source 'a' has no coordinate")


def test_coordinate_systems_without_a_way(geotiff, refused):
    local = rasterio.CRS.from_wkt(
        'LOCAL_CS["site",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
    )
    sources = {
        "a": geotiff("a.tif", ones(1, 8, 8)),
        "b": geotiff("b.tif", ones(1, 8, 8), crs=local),
    }
    refused(sources, r"there is no way from source 'b' in .* to the reference")


def test_rotated_grids(geotiff, refused):
    rotated = Affine.translation(*ORIGIN) * Affine.rotation(10) * Affine.scale(10, -10)
    path = geotiff("a.tif", ones(1, 8, 8), transform=rotated)
    refused({"a": path}, "source 'a' lies on a rotated grid .*gdalwarp")


def test_south_up_grids(geotiff, refused):
    path = geotiff("a.tif", ones(1, 8, 8), transform=Affine(10, 0, 0, 0, 10, 0))
    refused({"a": path}, "y descend")


def test_ground_control_points(tmp_path, refused):
    warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
    points = [GroundControlPoint(r, c, c * 10.0, -r * 10.0) for r in (0, 8) for c in (0, 8)]
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", height=8, width=8, count=1, dtype="float32"
    ) as file:
        file.write(ones(1, 8, 8))
        file.gcps = points, rasterio.CRS.from_epsg(32633)
    refused({"a": str(tmp_path / "a.tif")}, "source 'a' is placed by ground control points")


def test_footprints_that_wrap_around_the_antimeridian(geotiff, refused):
    """UTM zones 60 and 1 meet at 180 degrees; degrees jump there from 180 to -180."""
    degrees = {"resolution": 0.05, "crs": "EPSG:4326"}
    west = geotiff("w.tif", ones(1, 40, 40), origin=(178.0, -16.0), **degrees)
    east = geotiff("e.tif", ones(1, 40, 40), origin=(-180.0, -16.0), **degrees)
    both = geotiff("u.tif", ones(1, 40, 40), 2000.0, origin=(770000.0, 8200000.0), crs="EPSG:32760")
    refused({"a": west, "b": both}, "source 'b' wraps around the edge of EPSG:4326: cut it")
    refused(
        {"a": both, "b": east},
        "the reference wraps around the edge of EPSG:4326, the system of source 'b'.*gdalwarp",
    )
    next_zone = geotiff("v.tif", ones(1, 40, 40), 2000.0, (150000.0, 8200000.0), "EPSG:32701")
    sources = {"a": both, "b": next_zone}  # meters have no edge there
    scene = maps.relevance(add, None, sources, progress=False)
    assert (scene.valid == 3).mean() > 0.3


def test_a_scene_smaller_than_the_window(raster, refused):
    refused({"a": raster(ones(1, 8, 8))}, "8 pixels along an axis, the window 9", window=9, blend=0)


def test_a_network_of_another_size(raster, refused):
    def halved(_, a):
        return a[:, ::2, ::2]

    refused(
        {"a": raster(ones(1, 8, 8))}, r"got \[1, 4, 4, 1\]: resize or pad inside the network",
        halved, maps.NetworkSizeError,
    )  # fmt: skip

    refused(
        {"a": raster(ones(1, 8, 8))}, r"one array, got {'out': \(1, 8, 8, 1\)}: choose one",
        lambda _, a: {"out": a}, maps.NetworkSizeError,
    )  # fmt: skip

    def whole(_, a):
        return a.mean((1, 2))

    refused({"a": raster(ones(1, 8, 8))}, "window= and stride=", whole, maps.NetworkSizeError)
    refused(
        {"a": raster(ones(1, 8, 8))}, r"with stride= .* got \[1, 4, 4, 1\]", halved,
        maps.NetworkSizeError, window=8, stride=4,
    )  # fmt: skip


def test_classes_that_do_not_fit(raster, refused):
    sources = {"a": raster(ones(1, 8, 8))}
    refused(sources, "has 2 outputs at a pixel, and these classes", classes=["a", "b", "c"])
    refused(sources, "a sequence of names", classes="ab")
    refused(sources, "name each output once", classes=["a", "a"])
    refused(sources, "must be '#rrggbb', got 'red'", classes={"a": "red", "b": "#00ff00"})
    refused(sources, "there is no class 'c'", classes=["a", "b"], outputs=["c"])
    refused(sources, "outputs='best' is not known", outputs="best")


def test_bands_that_do_not_fit(geotiff, refused):
    path = geotiff("a.tif", ones(3, 8, 8), descriptions=["red", "green", "blue"])
    refused({"a": maps.Source(path, bands=[4])}, r"has no band 4; it has 1 to 3, called \['red'")
    refused({"a": maps.Source(path, bands=["nir"])}, "has no band 'nir'")

    def five(_, a):
        return a @ jnp.ones((5, 2))

    refused({"a": path}, r"does not take sources of shape \[\[1, 8, 8, 3\]\].*bands", five)


def test_files_that_cannot_be_read(geotiff, tmp_path, refused):
    refused({"a": str(tmp_path / "no.tif")}, "source 'a' cannot be opened")
    path = geotiff("a.tif", np.random.default_rng(0).normal(size=(1, 600, 600)), compress="lzw")
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(maps.SceneError, match=r"source 'a' cannot be read at rows .*cut off"):
        maps.relevance(add, None, {"a": path}, tmp_path / "map.zarr", tile=128, progress=False)
    assert not (tmp_path / "map.zarr").exists()


def test_remote_files_and_virtual_ones_only_if_trusted(geotiff, tmp_path, refused):
    path = geotiff("a.tif", ones(1, 8, 8))
    refused(
        {"a": "https://example.org/a.tif"}, "source 'a' is a remote path or a VRT.*trusted=True"
    )
    refused({"a": "/vsicurl/https://example.org/a.tif"}, "remote path or a VRT")
    with rasterio.open(path) as file:
        copy(file, tmp_path / "a.vrt", driver="VRT")
    refused({"a": str(tmp_path / "a.vrt")}, "remote path or a VRT")
    (tmp_path / "a.vrt").rename(tmp_path / "hidden.tif")
    refused({"a": str(tmp_path / "hidden.tif")}, "source 'a' is a VRT")
    own = maps.Source(str(tmp_path / "hidden.tif"), trusted=True)
    found = maps.relevance(add, None, {"a": own}, progress=False)
    assert (found.output == 1).all()


def test_sources_that_are_none(refused, raster):
    refused({"a": np.ones((8, 8))}, "source 'a' must be a path, an xarray DataArray")
    refused([raster(ones(1, 8, 8))], "sources must map names to data, got list")
    refused({"bias": raster(ones(1, 8, 8))}, "'bias' is what came from no source")
    refused({}, "sources must map names")
    refused({"a": raster(1j * ones(1, 8, 8))}, "source 'a' holds complex64: .*magnitude and phase")
    placed = raster(ones(1, 8, 8)).rename(y="row", x="column")
    refused({"a": placed}, r"\['band', 'row', 'column'\], and none is known as y and x: rename")
    data = raster(ones(2, 8, 8))
    refused({"a": xr.concat([data, data], "time")}, r"dimensions \['time', 'band', 'y', 'x'\]")
    once = data.expand_dims("time")
    assert maps.relevance(add, None, {"a": once}, progress=False).sizes["y"] == 8


def test_options_that_do_not_fit(refused, raster):
    sources = {"a": raster(ones(1, 40, 40))}

    def strided(_, a):
        coarse = jnp.repeat(jnp.repeat(a[:, ::4, ::4], 4, 1), 4, 2)
        return coarse[:, : a.shape[1], : a.shape[2]]

    refused(sources, "tile=6 must be a multiple of the network's stride 4", strided, tile=6)
    refused(sources, "tile= is 'auto' or a number of pixels from 1, got 0", tile=0)
    refused(sources, "window= and stride= are pixels", window=(8, 8, 8))
    refused(sources, "stride= goes with window=", stride=4)
    refused(sources, "blend must be from 0 to less than 1", window=8, blend=1.0)
    refused(sources, "reference='b' is not a source", reference="b")
    refused(sources, r"fill= names \['b'\], which is not a source", fill={"b": 1.0})
    refused(sources, r"prepare= names \['b'\], which is not a source", prepare={"b": abs})
    refused(sources, r"nodata='b': \['b'\] is not a source", nodata="b")
    refused(sources, "windows of 30 pixels do not go with a scene of 40.*32", strided, window=30)
    refused(sources, "holds no pixel of the reference", region=(0, 0, 10, 10))
    refused(sources, "region must be .left, bottom, right, top.", region=(slice(4), slice(4)))
    other = {**sources, "b": raster(ones(1, 20, 20), 20.0)}
    refused(other, "resampling='magic' is not known", resampling="magic")
    refused(
        {"a": sources["a"], "b": maps.Source(other["b"], ratio=3)}, "40 x 40 pixels has no whole"
    )

    def near(_, a):
        return a + jnp.pad(a, ((0, 0), (2, 0), (0, 0), (0, 0)))[:, :-2]

    refused(sources, r"margin=1 is less than the network looks: \(2, 0, 0, 0\)", near, margin=1)


def test_datasets_with_bands_as_variables(raster):
    red, nir = raster(ones(8, 8)), raster(2 * ones(8, 8))
    data = xr.Dataset({"red": red[0], "nir": nir[0]}).drop_vars("band", errors="ignore")
    data = data.rio.write_crs("EPSG:32633")

    def second(_, a):
        return a[..., 1:] * jnp.array([1.0, 2.0]).reshape(1, 1, 1, 2)

    for bands, value in ((None, 4), (["nir", "red"], 2)):
        source = maps.Source(data, bands=bands)
        found = maps.relevance(second, None, {"a": source}, progress=False)
        assert (found.output == value).all()
    with pytest.raises(maps.SceneError, match=r"has no variable \['swir'\]"):
        maps.relevance(second, None, {"a": maps.Source(data, bands=["swir"])}, progress=False)
