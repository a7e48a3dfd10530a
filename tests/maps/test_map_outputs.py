"""Outputs of maps: GeoTIFFs that others read, numbers of polygons."""

from xml.etree import ElementTree as Xml

import geopandas as gpd
import jax.numpy as jnp
import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from rio_cogeo.cogeo import cog_validate
from shapely.geometry import Point, Polygon, box

from rfp_jax import maps

CLASSES = {"open water": "#0000ff", "forest": "#00ff00", "built up": "#ff0000"}


def network(_, a, s):
    return jnp.concatenate([a + 2 * s, -a + 0.5, s * 0 - 1], -1)


@pytest.fixture
def scene(raster):
    draw = np.random.default_rng(0)
    a = draw.normal(size=(1, 60, 80)).astype(np.float32)
    a[0, 3, 5] = np.nan
    sources = {"optical": raster(a), "sar": raster(draw.normal(size=(1, 60, 80)).astype("f4"))}
    return maps.relevance(network, None, sources, classes=CLASSES, progress=False)


def test_geotiffs_are_valid_and_hold_the_map(scene, tmp_path):
    paths = maps.to_cog(scene, tmp_path / "out")
    names = ["prediction.tif", "output.tif", "relevance.tif", "share.tif"]
    assert [path.name for path in paths] == names
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        *names, "prediction.tif.aux.xml", "prediction.qml",
    }  # fmt: skip
    for path in paths:
        valid, errors, _ = cog_validate(path, strict=True)
        assert valid, (path, errors)
    found = rioxarray.open_rasterio(tmp_path / "out" / "relevance.tif")
    np.testing.assert_array_equal(found.values, scene.relevance.values)
    with rasterio.open(tmp_path / "out" / "relevance.tif") as file:
        assert file.descriptions == ("optical", "sar", "bias")
        assert file.dtypes == ("float32",) * 3
        assert np.isnan(file.nodata)
        assert file.profile["compress"] == "deflate"
        assert file.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "3"
        mean = float(file.tags(1)["STATISTICS_MEAN"])
    assert mean == pytest.approx(float(scene.relevance[0].mean()), rel=1e-5)
    shares = rioxarray.open_rasterio(tmp_path / "out" / "share.tif")
    np.testing.assert_array_equal(shares.values, maps.share(scene).values)
    with pytest.raises(FileExistsError, match=r"prediction\.tif"):
        maps.to_cog(scene, tmp_path / "out")


def test_the_class_raster_has_palette_and_names(scene, tmp_path):
    maps.to_cog(scene, tmp_path)
    with rasterio.open(tmp_path / "prediction.tif") as file:
        np.testing.assert_array_equal(file.read(1), scene.prediction.values)
        assert file.nodata == 255
        palette = file.colormap(1)
    assert [palette[i] for i in range(3)] == [(0, 0, 255, 255), (0, 255, 0, 255), (255, 0, 0, 255)]
    names = Xml.parse(tmp_path / "prediction.tif.aux.xml").findall(".//Category")
    assert [name.text for name in names] == ["open water", "forest", "built up"]
    entries = Xml.parse(tmp_path / "prediction.qml").findall(".//paletteEntry")
    assert [(e.get("value"), e.get("label"), e.get("color")) for e in entries] == [
        ("0", "open water", "#0000ff"), ("1", "forest", "#00ff00"), ("2", "built up", "#ff0000"),
    ]  # fmt: skip


def test_overviews(tmp_path, raster):
    numbers = np.tile(np.array([[1, 2], [np.nan, 3]], np.float32), (512, 512))
    classes = np.tile(np.array([[1, 1], [2, 1]], np.float32), (512, 512))

    def fixed(_, a, c):
        return jnp.concatenate([(c == k) * 100 + a * (1 - 0 * c) for k in range(3)], -1)

    filled = np.nan_to_num(numbers)
    sources = {"a": raster(filled), "c": raster(classes)}
    mapped = maps.relevance(fixed, None, sources, progress=False)
    mapped["relevance"] = mapped.relevance.copy(
        data=np.broadcast_to(numbers, mapped.relevance.shape)
    )
    maps.to_cog(mapped, tmp_path)
    for name, value in (("relevance", 2.0), ("prediction", 1)):
        with rasterio.open(tmp_path / f"{name}.tif", overview_level=0) as file:
            assert (file.read(1) == value).all()
            assert file.shape == (512, 512)


def test_one_file_for_each_class_that_was_chosen(raster, tmp_path):
    sources = {"a": raster(np.ones((1, 8, 8), "f4")), "s": raster(np.ones((1, 8, 8), "f4"))}
    chosen = maps.relevance(
        network, None, sources, classes=list(CLASSES), outputs="all", progress=False
    )
    names = {path.name for path in maps.to_cog(chosen, tmp_path)}
    words = ["open_water", "forest", "built_up"]
    assert names == {
        "prediction.tif", "output.tif",
        *(f"{kind}_{word}.tif" for kind in ("relevance", "share") for word in words),
    }  # fmt: skip
    with rasterio.open(tmp_path / "relevance_forest.tif") as file:
        assert file.read()[:, 0, 0].tolist() == [-1, 0, 0.5]
    with rasterio.open(tmp_path / "output.tif") as file:
        assert file.descriptions == tuple(CLASSES)


def test_a_network_with_one_output_predicts_no_class(raster, tmp_path):
    def height(_, a):
        return 2 * a + 1

    found = maps.relevance(
        height, None, {"a": raster(np.ones((1, 4, 4), "f4"))}, classes=["height"], progress=False
    )
    assert "prediction" not in found
    assert (found.output == 3).all()
    assert {path.stem for path in maps.to_cog(found, tmp_path)} == {"output", "relevance", "share"}


def test_polygons(scene):
    west = box(600000, 5199400, 600405, 5200000)  # half of the pixels in column 40
    utm = gpd.GeoDataFrame({"name": ["west", "far"]}, geometry=[west, box(0, 0, 1, 1)], crs=32633)
    rows = maps.by_polygon(scene, utm)
    weight = np.ones((60, 80))
    weight[:, 40], weight[:, 41:], weight[3, 5] = 0.5, 0, 0
    relevance = np.nan_to_num(scene.relevance.values.astype(float))
    sums = (relevance * weight).sum((1, 2))
    np.testing.assert_allclose(rows.n[0], weight.sum(), rtol=1e-6)
    for name, total in zip(("optical", "sar", "bias"), sums, strict=True):
        np.testing.assert_allclose(rows[f"relevance_{name}"][0], total, rtol=1e-4, atol=1e-3)
    parts = rows[["relevance_optical", "relevance_sar", "relevance_bias"]].iloc[0].sum()
    np.testing.assert_allclose(rows.output[0], parts, rtol=1e-4)
    sizes = (abs(relevance) * weight).sum((1, 2))[:2]
    np.testing.assert_allclose(rows.share_sar[0], sizes[1] / sizes.sum(), rtol=1e-5)
    assert rows.name[1] == "far"
    assert rows.n[1] == 0
    assert np.isnan(rows.share_sar[1])
    elsewhere = maps.by_polygon(scene, utm.to_crs(4326))
    np.testing.assert_allclose(elsewhere.share_sar[0], rows.share_sar[0], rtol=1e-2)
    with pytest.raises(maps.SceneError, match="no coordinate system"):
        maps.by_polygon(scene, gpd.GeoDataFrame(geometry=[Point(0, 0)]))


def test_rows_without_a_geometry_have_no_pixels(scene):
    area = box(600000, 5199400, 600405, 5200000)
    rows = maps.by_polygon(scene, gpd.GeoDataFrame(geometry=[None, area, Polygon()], crs=32633))
    assert rows.n[[0, 2]].tolist() == [0, 0]
    assert rows.iloc[[0, 2]].drop(columns=["geometry", "n"]).isna().all(axis=None)
    alone = maps.by_polygon(scene, gpd.GeoDataFrame(geometry=[area], crs=32633))
    assert rows.drop(columns="geometry").iloc[1].equals(alone.drop(columns="geometry").iloc[0])
    none = maps.by_polygon(scene, gpd.GeoDataFrame(geometry=[], crs=32633))
    assert list(none.columns) == list(rows.columns)


def test_what_is_no_polygon_is_refused(scene):
    area = box(600000, 5199400, 600405, 5200000)
    crossed = Polygon([(600000, 5199500), (600100, 5199600), (600100, 5199500), (600000, 5199600)])
    for rows, match in (
        ({"geometry": [area, Point(600050, 5199550)]}, "row 1 is a Point, not a polygon"),
        ({"geometry": [crossed]}, "row 0 is not valid .Self-intersection.*make_valid"),
        ({"geometry": [area], "n": [1], "share_sar": [2]}, r"names already: \['n', 'share_sar'\]"),
    ):
        with pytest.raises(maps.SceneError, match=match):
            maps.by_polygon(scene, gpd.GeoDataFrame(rows, crs=32633))
    with pytest.raises(maps.SceneError, match="must be a GeoDataFrame, got GeoSeries"):
        maps.by_polygon(scene, gpd.GeoSeries([area], crs=32633))


def test_shares_where_nothing_speaks():
    relevance = xr.DataArray(
        [[0.0, 1.0, np.nan], [0.0, -3.0, 1.0], [5.0, 4.0, 1.0]], dims=("source", "x")
    )
    found = xr.Dataset({"relevance": relevance}, {"source": ["a", "b", "bias"]})
    np.testing.assert_array_equal(maps.share(found)[:, :2], [[0.5, 0.25], [0.5, 0.75]])
    assert maps.share(found)[:, 2].isnull().all()
    np.testing.assert_array_equal(maps.share(found, bias=True)[:, 1], [0.125, 0.375, 0.5])
