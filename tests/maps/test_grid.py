"""Places on the ground, warping, scales, what is missing, what prepares."""

import geopandas as gpd
import jax.numpy as jnp
import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from rasterio.warp import transform as transform_points
from rasters import transform
from shapely.geometry import box

from rfp_jax import maps
from rfp_jax.maps._scene import check_prepare, open_scene
from rfp_jax.maps._summary import summarize


def add(_, *sources):
    """The sum of all bands, and its negative."""
    total = sum(s.sum(-1, keepdims=True) for s in sources)
    return jnp.concatenate([total, 1 - total], -1)


def ones(*shape, value=1.0):
    return np.full(shape, value, np.float32)


def test_coordinates_are_pixel_centers(geotiff, tmp_path):
    path = geotiff("a.tif", np.arange(37.0 * 53, dtype=np.float32).reshape(37, 53))
    scene = maps.relevance(add, None, {"a": path}, tmp_path / "m.zarr", progress=False)
    expected = rioxarray.open_rasterio(path)
    assert (scene.x[0].item(), scene.y[0].item()) == (600005, 5199995)
    np.testing.assert_array_equal(scene.x.values, expected.x.values)
    np.testing.assert_array_equal(scene.y.values, expected.y.values)
    bounds = (600000, 5199630, 600530, 5200000)
    for each in (scene, xr.open_zarr(tmp_path / "m.zarr", decode_coords="all", chunks=None)):
        assert each.rio.bounds() == bounds
        assert each.rio.crs.to_epsg() == 32633
        assert each.relevance.rio.bounds() == bounds
        assert each.prediction.rio.crs.to_epsg() == 32633
    maps.to_cog(scene, tmp_path / "cogs")
    for name in ("prediction", "output", "relevance", "share"):
        with rasterio.open(tmp_path / "cogs" / f"{name}.tif") as file:
            assert tuple(file.bounds) == bounds
            assert file.crs.to_epsg() == 32633
            assert file.transform == transform()


def test_coordinates_of_an_array_are_kept_bit_for_bit(raster):
    data = raster(ones(1, 7, 9), resolution=0.1, origin=(7.3, 51.7), crs="EPSG:4326")
    scene = maps.relevance(add, None, {"a": data}, progress=False)
    np.testing.assert_array_equal(scene.x, data.x)
    np.testing.assert_array_equal(scene.y, data.y)
    assert scene.y.attrs["units"] == "degrees_north"


def test_a_thinned_or_turned_array_lies_where_its_coordinates_say(geotiff, tmp_path):
    values = np.random.default_rng(3).normal(size=(1, 16, 16)).astype(np.float32)
    data = rioxarray.open_rasterio(geotiff("fine.tif", values))
    coarse = geotiff("coarse.tif", values[:, :8, :8], 20.0, (599995.0, 5200005.0))
    sources = {"thin": data[:, ::2, ::2], "coarse": coarse}
    scene = open_scene(sources)
    assert not scene.layers[1].is_warped
    assert scene.grid.transform == transform(20.0, (599995.0, 5200005.0))
    turned = data[:, ::-1]
    turned.spatial_ref.attrs["GeoTransform"] = "600000 10 0 5199840 0 10"  # a south-up file's
    scene = open_scene({"turned": turned})
    assert scene.grid.transform == transform()
    (found,), _ = scene.read(slice(0, 16), slice(0, 16))
    np.testing.assert_array_equal(found[0], np.moveaxis(values, 0, -1))


def test_a_part_of_a_map_keeps_its_place(geotiff, tmp_path):
    values = np.arange(1.0, 257, dtype=np.float32).reshape(1, 16, 16)
    scene = maps.relevance(add, None, {"a": geotiff("a.tif", values)}, progress=False)
    thin = scene.isel(y=slice(0, None, 4), x=slice(0, None, 2))
    files = maps.to_cog(thin, tmp_path / "thin")
    with rasterio.open(files[1]) as file:
        assert tuple(file.bounds) == (599995, 5199855, 600155, 5200015)
    assert summarize(thin).area.sum() == 32 * 40 * 20
    polygons = gpd.GeoDataFrame(geometry=[box(599995, 5199975, 600035, 5200015)], crs=32633)
    (found,) = maps.by_polygon(thin, polygons).itertuples()
    assert (found.n, found.relevance_a) == (2, values[0, 0, 0] + values[0, 0, 2])
    (found,) = maps.by_polygon(thin.isel(y=slice(None, None, -1)), polygons).itertuples()
    assert (found.n, found.relevance_a) == (2, values[0, 0, 0] + values[0, 0, 2])
    with pytest.raises(ValueError, match="not evenly spaced"):
        maps.to_cog(scene.isel(x=[0, 1, 5]), tmp_path / "uneven")
    assert not (tmp_path / "uneven").exists()


def test_an_area_in_feet_is_in_square_meters(geotiff):
    path = geotiff("a.tif", ones(1, 5, 4), 100.0, (980000.0, 200000.0), "EPSG:2263")
    scene = maps.relevance(add, None, {"a": path}, progress=False)
    assert scene.x.attrs["units"] == scene.y.attrs["units"] == "US_survey_foot"
    np.testing.assert_allclose(summarize(scene).area.sum(), 20 * (100 * 1200 / 3937) ** 2)


def test_coordinates_that_are_not_evenly_spaced_are_refused(raster):
    data = raster(ones(1, 8, 8))
    data = data.assign_coords(y=np.where(np.arange(8) < 4, data.y, data.y - 30))
    with pytest.raises(maps.SceneError, match="'a': the coordinates y and x are not evenly spaced"):
        open_scene({"a": data})


def test_coordinates_in_float32_are_even(raster):
    data = raster(ones(1, 8, 400), resolution=0.01, origin=(140.0, 51.0), crs="EPSG:4326")
    data = data.assign_coords(y=data.y.astype(np.float32), x=data.x.astype(np.float32))
    assert open_scene({"a": data}).grid.shape == (8, 400)


def test_an_identical_grid_is_copied(geotiff):
    noise = np.random.default_rng(0).normal(size=(2, 40, 30)).astype(np.float32)
    sources = {"a": geotiff("a.tif", ones(1, 40, 30)), "b": geotiff("b.tif", noise)}
    scene = open_scene(sources)
    inputs, _ = scene.read(slice(3, 20), slice(5, 30))
    np.testing.assert_array_equal(inputs[1][0], np.moveaxis(noise[:, 3:20, 5:30], 0, -1))
    assert not scene.layers[1].is_warped


WARPS = {
    "20 to 10 m": (10.0, "EPSG:32633", (600000.0, 5200000.0), 20.0),
    "20 to 60 m": (60.0, "EPSG:32633", (600000.0, 5200000.0), 20.0),
    "UTM 32 on UTM 33": (10.0, "EPSG:32633", (220000.0, 5300000.0), 20.0),
}


@pytest.mark.parametrize("resampling", ["bilinear", "cubic", "average"])
@pytest.mark.parametrize("name", WARPS)
def test_windows_of_a_warped_source_equal_the_whole(geotiff, name, resampling):
    to, crs, origin, of = WARPS[name]
    side = 1200
    noise = np.random.default_rng(1).normal(size=(1, int(side / of) * 2, int(side / of) * 2))
    if name.startswith("UTM"):
        (x,), (y,) = transform_points(crs, "EPSG:32632", [origin[0]], [origin[1]])
        origin_of, crs_of = (round(x, -1) - 300, round(y, -1) + 300), "EPSG:32632"
    else:
        origin_of, crs_of = origin, crs
    n = int(side / to)
    source = geotiff("of.tif", noise.astype(np.float32), of, origin_of, crs_of)
    reference = geotiff("to.tif", ones(1, n, n), to, origin, crs)
    scene = open_scene({"a": reference, "b": source}, resampling=resampling)
    (_, whole), bits = scene.read(slice(0, n), slice(0, n))
    assert (bits == 3).mean() > 0.9
    assert whole.std() > 0.1
    step = max(n // 4, 1)
    for y in range(0, n, step):
        for x in range(0, n, step):
            window = slice(y, min(y + step, n)), slice(x, min(x + step, n))
            (_, part), own = scene.read(*window)
            np.testing.assert_array_equal(part[0], whole[0][window])
            np.testing.assert_array_equal(own, bits[window])


@pytest.mark.parametrize("kind", ["file", "array"])
def test_an_easting_ramp_keeps_its_place(geotiff, raster, kind):
    columns = 600000 + 20 * (np.arange(40) + 0.5)
    ramp = np.broadcast_to(columns, (1, 40, 40)).astype(np.float64)
    source = geotiff("r.tif", ramp, 20.0) if kind == "file" else raster(ramp, 20.0)
    scene = open_scene({"a": geotiff("a.tif", ones(1, 80, 80)), "b": source})
    (_, found), _ = scene.read(slice(0, 80), slice(0, 80))
    # float32 has steps of 0.06 there, so the raster is read as GDAL gives it
    values, _ = scene.layers[1].raster.read(slice(0, 80), slice(0, 80))
    inside = values[0, 2:-2, 2:-2] - scene.centers[1][2:-2]
    assert abs(inside).max() < 1e-3
    assert abs(found[0, 2:-2, 2:-2, 0] - scene.centers[1][2:-2]).max() < 0.07


def test_scales_are_chosen_never_guessed(geotiff):
    old = geotiff("old.tif", np.full((1, 4, 4), 1200, np.uint16), nodata=0, scales=[1e-4])
    new_values = np.full((1, 4, 4), 2200, np.uint16)
    new_values[0, 1, 2] = 0
    new = geotiff("new.tif", new_values, nodata=0, scales=[1e-4], offsets=[-0.1])
    with pytest.raises(maps.SceneError, match=r"'old' declares scale \[0.0001\].*'apply'.*'raw'"):
        maps.relevance(add, None, {"old": old}, progress=False)
    both = [
        maps.relevance(add, None, {"a": path}, scale="apply", outputs="all", progress=False)
        for path in (old, new)
    ]
    np.testing.assert_allclose(both[0].relevance.sel(source="a")[0], 0.12, rtol=1e-6)
    there = both[1].relevance.sel(source="a")[0]
    assert there[1, 2].isnull()
    assert both[1].prediction[1, 2] == 255
    assert both[1].attrs["void"] == 1
    there[1, 2] = np.float32(0.12)
    np.testing.assert_allclose(there, both[0].relevance.sel(source="a")[0], rtol=1e-6)
    raw = maps.relevance(add, None, {"a": old}, scale="raw", outputs="all", progress=False)
    assert (raw.relevance.sel(source="a")[0] == 1200).all()
    own = maps.Source(new, scale=(0.5, 1.0))
    scene = maps.relevance(add, None, {"a": own}, outputs="all", progress=False)
    assert scene.relevance.sel(source="a")[0, 0, 0] == 1101
    with pytest.raises(ValueError, match="scale='aply' is not known"):
        maps.relevance(add, None, {"a": own}, scale="aply", progress=False)


def test_scale_tags_of_arrays(raster):
    data = raster(np.full((1, 3, 3), 1200, np.int16), scale_factor=1e-4, add_offset=0.1)
    with pytest.raises(maps.SceneError, match="declares scale"):
        open_scene({"a": data})
    (values,), _ = open_scene({"a": data}, scale="apply").read(slice(0, 1), slice(0, 1))
    np.testing.assert_allclose(values, 0.22, rtol=1e-6)


def test_missing_radar_contributes_nothing(geotiff):
    optical, sar = ones(1, 6, 8, value=2.0), ones(1, 6, 8, value=5.0)
    sar[:, :, :4] = np.nan
    optical[0, 5, 7] = -9999
    sources = {
        "optical": geotiff("o.tif", optical, nodata=-9999),
        "sar": geotiff("s.tif", sar),
    }
    prepare = {"sar": lambda values: values + 100}
    scene = maps.relevance(add, None, sources, outputs="all", prepare=prepare, progress=False)
    left, right = scene.isel(x=slice(0, 4)), scene.isel(x=slice(4, 8))
    assert (left.relevance.sel(source="sar") == 0).all()
    assert (left.valid == 1).all()
    assert set(np.unique(right.valid)) == {2, 3}
    assert (right.relevance.sel(source="sar")[0, :, :3] == 105).all()
    void = scene.isel(y=5, x=7)
    assert void.relevance.isnull().all()
    assert void.output.isnull().all()
    assert void.prediction == 255
    assert (scene.attrs["void"], scene.attrs["pixels"]) == (1, 48)
    there = scene.valid != 2
    parts = scene.relevance.sum("source").where(there)
    xr.testing.assert_allclose(parts, scene.output.where(there).rename(None))
    assert scene.valid.attrs["flag_masks"] == [1, 2]


@pytest.mark.parametrize(
    ("nodata", "void"), [("any", 3), ("all", 1), ("sar", 2), (["optical", "sar"], 3)]
)
def test_which_sources_void_a_pixel(geotiff, nodata, void):
    optical, sar = ones(1, 3, 4), ones(1, 3, 4)
    optical[0, 0, :2], sar[0, 0, 1:3] = np.nan, np.nan
    sources = {"optical": geotiff("o.tif", optical), "sar": geotiff("s.tif", sar)}
    scene = maps.relevance(add, None, sources, nodata=nodata, progress=False)
    assert scene.attrs["void"] == void == int((scene.prediction == 255).sum())


def test_a_mask_says_what_is_missing(geotiff, raster):
    mask = np.ones((1, 4, 4), np.uint8)
    mask[0, 2, 1] = 0
    data = geotiff("a.tif", ones(1, 4, 4))
    for given in (geotiff("m.tif", mask), raster(mask)):
        scene = maps.relevance(add, None, {"a": maps.Source(data, mask=given)}, progress=False)
        assert scene.valid.values.sum() == 15
        assert scene.valid[2, 1] == 0
    with pytest.raises(maps.SceneError, match="mask of source 'a' covers"):
        open_scene({"a": maps.Source(data, mask=raster(mask[:, :3]))})


def test_fill_is_what_the_network_sees(geotiff):
    values = ones(1, 4, 4)
    values[0, 0, 0] = np.nan
    sources = {"a": geotiff("a.tif", ones(1, 4, 4)), "b": geotiff("b.tif", values)}
    scene = maps.relevance(add, None, sources, fill={"b": 7.0}, outputs="all", progress=False)
    assert scene.relevance.sel(source="b")[0, 0, 0] == 7


def test_prepare_must_be_pointwise(geotiff):
    noise = np.random.default_rng(0).normal(size=(2, 90, 100)).astype(np.float32)
    sources = {"a": geotiff("a.tif", noise)}
    check_prepare(open_scene(sources, prepare=lambda x: (x - 3) / 2))
    check_prepare(open_scene(sources, prepare=lambda x: (x[..., :1] - x[..., 1:]) / x.shape[-1]))
    reductions = (
        lambda x: x - np.nanmean(x),
        lambda x: x / np.nanmax(x, (0, 1)),
        lambda x: np.roll(x, 1, 0),
        lambda x: x - np.nanpercentile(x, 2),
    )
    for prepare in reductions:
        with pytest.raises(maps.SceneError, match=r"prepare of source 'a' is not pointwise.*reduc"):
            maps.relevance(add, None, sources, prepare=prepare, progress=False)
    with pytest.raises(maps.SceneError, match=r"returned an array of shape \[64, 64\] for"):
        check_prepare(open_scene(sources, prepare=lambda x: x[..., 0]))


def test_inspect(geotiff, raster):
    draw = np.random.default_rng(0)
    optical = draw.integers(1, 4000, (2, 50, 60)).astype(np.uint16)
    optical[:, :5] = 0
    sources = {
        "optical": geotiff(
            "o.tif", optical, nodata=0, scales=[1e-4] * 2, descriptions=["red", "nir"]
        ),
        "sar": raster(draw.normal(size=(1, 25, 30)).astype(np.float32), 20.0),
    }
    found = maps.inspect(sources, prepare={"optical": lambda x: x / 2})
    first, second = found.sources
    assert (first.name, first.crs, first.size, first.resolution) == (
        "optical", "EPSG:32633", (50, 60), (10, 10),
    )  # fmt: skip
    assert first.missing == pytest.approx(0.1)
    assert first.scales == (1e-4, 1e-4)
    assert first.bands == ("red", "nir")
    valid = optical[:, 5:].reshape(2, -1) / 2
    np.testing.assert_allclose(first.mean, valid.mean(1), rtol=1e-5)
    np.testing.assert_allclose(first.std, valid.std(1), rtol=1e-5)
    assert first.is_copied
    assert not second.is_copied
    text = str(found)
    assert "optical" in text
    assert "scale" in text
    assert "EPSG:32633" in text


@pytest.mark.parametrize("shift", [0, 5])
def test_a_mask_inside_a_file_says_what_is_missing(geotiff, shift):
    origin = (600000.0 + shift, 5200000.0)
    path = geotiff("m.tif", ones(1, 8, 8, value=7), origin=origin)
    mask = np.full((8, 8), 255, np.uint8)
    mask[:3] = 0
    with rasterio.open(path, "r+") as file:
        file.write_mask(mask)
    scene = open_scene({"a": geotiff("a.tif", ones(1, 8, 8)), "b": path})
    (_, found), bits = scene.read(slice(0, 8), slice(1, 8))
    assert scene.layers[1].is_warped == bool(shift)
    np.testing.assert_array_equal(bits >> 1, (mask[:, 1:] > 0))
    np.testing.assert_array_equal(found[0, ..., 0], np.where(bits > 1, 7, 0))


@pytest.mark.parametrize("shift", [0, 5])
@pytest.mark.parametrize("nodata", [None, 255])
def test_an_alpha_band_is_a_mask_unless_it_is_read(geotiff, raster, shift, nodata):
    values = np.random.default_rng(4).integers(1, 255, (4, 8, 8)).astype(np.uint8)
    values[3, :2] = 0
    origin = (600000.0 + shift, 5200000.0)
    path = geotiff("m.tif", values, origin=origin)
    with rasterio.open(path) as file:
        assert file.colorinterp[3].name == "alpha"  # so GDAL takes four bands of bytes
    sources = {
        "a": geotiff("a.tif", ones(1, 8, 8)),
        "file": maps.Source(path, nodata=nodata),
        "array": maps.Source(raster(values, origin=origin), nodata=nodata),
        "rgb": maps.Source(path, bands=(1, 2, 3), nodata=nodata),
    }
    (_, *read, _rgb), bits = open_scene(sources).read(slice(0, 8), slice(1, 8))
    expected = values[:, :, 1:].astype(np.float32)
    if shift:
        expected = (expected + values[:, :, :-1]) / 2
    for found in read:
        np.testing.assert_allclose(found[0], np.moveaxis(expected, 0, -1), rtol=1e-6)
    assert (bits & 0b0111 == 0b0111).all()
    np.testing.assert_array_equal(bits >> 3, np.arange(8)[:, None].repeat(7, 1) > 1)


@pytest.mark.parametrize("dtype", ["bool", "float16", ">f4", ">i2", "uint8"])
def test_arrays_of_any_dtype_are_warped(raster, geotiff, dtype):
    values = (np.random.default_rng(6).uniform(0, 50, (1, 8, 8)) > 20).astype(dtype)
    data = maps.Source(raster(values, origin=(600005.0, 5200000.0)), nodata=-9999)
    scene = open_scene({"a": geotiff("a.tif", ones(1, 8, 8)), "b": data})
    (_, found), bits = scene.read(slice(0, 8), slice(1, 8))
    expected = values.astype(np.float32)
    expected = (expected[..., 1:] + expected[..., :-1]) / 2
    np.testing.assert_array_equal(found[0], np.moveaxis(expected, 0, -1))
    assert (bits == 3).all()
