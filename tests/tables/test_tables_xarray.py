"""Tables behave as users of xarray, pandas and GeoPandas expect."""

import json
import pickle
import warnings

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from rfp_jax import tables
from rfp_jax.tables import Columns, RunOptions, evaluate

CLASSES = ("Forest", "Open Water", "été")
WEIGHTS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
COUNT = 20


def sample(index):
    optical, sar = np.random.default_rng(index).normal(size=(2, 4)).astype(np.float32)
    found = {"optical": optical, "sar": sar, "label": index % 3, "id": f"patch {index}"}
    found |= {
        "cloud_cover": index / 20,
        "day": np.datetime64("2017-01-01") + np.timedelta64(40 * index, "D"),
    }
    found |= {"easting": 600480.0 + 10 * index, "northing": 5700120.0, "season": "été"}
    return found | {"crs": "EPSG:32633" if index % 2 else "EPSG:32632", "cloudy": index % 2 == 0}


METADATA = ("cloud_cover", "day", "easting", "northing", "crs", "season", "cloudy")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "t.zarr"
    data = [sample(i) for i in range(COUNT)]
    del data[7]["sar"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(
            lambda w, optical, sar: optical @ w + 2 * sar @ w,
            data,
            path,
            params=WEIGHTS,
            sources=("optical", "sar"),
            classes=CLASSES,
            columns=Columns(
                metadata=METADATA, units={"cloud_cover": "1", "easting": "m", "northing": "m"}
            ),
            run=RunOptions(chunk=8, batch=4, threads=0, progress=False),
            manifest={"architecture": {"layers": [4, 3]}},
        )
    return path


@pytest.fixture
def table(path):
    return tables.open(path)


def test_coordinates_have_a_fixed_width_and_can_be_cast(table):
    for name in ("source", "class", "id", "failure", "crs", "season"):
        assert table[name].dtype.kind == "U", name
        assert table[name].astype(str).values.tolist() == table[name].values.tolist()
    assert table["class"].values.tolist() == list(CLASSES)
    assert table.id.values.tolist() == [f"patch {i}" for i in range(COUNT)]
    assert table.season.values.tolist() == ["été"] * COUNT
    assert "no 'sar' in the sample" in str(table.failure.values[7])
    assert table.sel({"class": "été"}, drop=True).relevance.sel(source="sar").shape == (COUNT,)


def test_plain_xarray_opens_it_and_its_dimensions_have_a_fixed_width(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = xr.open_zarr(path).load()
    assert table["class"].dtype == "<U10"
    assert table.source.dtype == "<U7"
    assert table.day.dtype.kind == "M"


def test_text_is_read_when_it_is_asked_for(table):
    np.testing.assert_array_equal(table.id[3:5], ["patch 3", "patch 4"])
    np.testing.assert_array_equal(table.id[[4, 2, 4]], ["patch 4", "patch 2", "patch 4"])
    np.testing.assert_array_equal(table.id[np.arange(COUNT) > 17], ["patch 18", "patch 19"])
    assert table.id[3].item() == "patch 3"
    rows = xr.DataArray([[1, 2], [3, 4]], dims=("a", "b"))
    assert table.id.isel(sample=rows).values.tolist()[1] == ["patch 3", "patch 4"]


def test_everything_says_what_it_is(table):
    for name, variable in table.variables.items():
        assert variable.attrs["long_name"], name
    assert table.relevance.units == table.output.units == "1"
    assert table.easting.units == "m"
    for name in ("label", "prediction"):
        assert table[name].flag_values == [-1, 0, 1, 2]
        assert table[name].flag_meanings == "unknown Forest Open_Water été"
    assert table.attrs["Conventions"] == "CF-1.11"


def test_attributes_are_flat_and_nothing_is_lost(table):
    assert all(isinstance(value, str | int | float) for value in table.attrs.values())
    assert json.loads(table.attrs["model"])["manifest"] == {"architecture": {"layers": [4, 3]}}
    made = tables.provenance(table)
    assert made["model"]["manifest"] == {"architecture": {"layers": [4, 3]}}
    assert made["classes"] == list(CLASSES)


@pytest.mark.parametrize("engine", ["scipy", "h5netcdf", "netcdf4"])
def test_netcdf(table, tmp_path, engine):
    if engine != "scipy":
        pytest.importorskip({"netcdf4": "netCDF4"}.get(engine, engine))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table.to_netcdf(tmp_path / "t.nc", engine=engine)
    with xr.open_dataset(tmp_path / "t.nc", engine=engine) as found:
        np.testing.assert_array_equal(found.relevance, table.relevance)
        assert found["class"].values.tolist() == list(CLASSES)
        assert found.id.values.tolist() == table.id.values.tolist()
        np.testing.assert_array_equal(found.day.values, table.day.values)
        assert found.attrs["rules"] == "lrp0"
        assert found.label.flag_meanings == table.label.flag_meanings


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("part", [slice(None), slice(3, 12)])
def test_zarr_of_both_formats(table, tmp_path, zarr_format, part):
    table = table.isel(sample=part)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table.to_zarr(tmp_path / "t.zarr", zarr_format=zarr_format, consolidated=False)
        found = xr.open_zarr(tmp_path / "t.zarr", consolidated=False).load()
    assert set(found.variables) == set(table.variables)
    for name in table.variables:
        np.testing.assert_array_equal(found[name].values, table[name].values)


def test_everything_can_be_plotted(table):
    mpl.use("agg")
    import matplotlib.pyplot as plt

    good = tables.drop_failed(table).load()
    share = tables.share(good)
    share.mean("sample").plot()
    tables.by_class(share, good["class"]).plot()
    good.relevance.sel(source="sar").plot()
    good.relevance.isel(sample=0).plot.line(x="class")
    good.output.isel(sample=1).plot()
    good.plot.scatter(x="cloud_cover", y="easting")
    assert plt.gcf().axes[0].get_ylabel() == "easting [m]"
    plt.close("all")


def test_group_by_class_season_and_time(table):
    good = tables.drop_failed(table).load()
    share = tables.share(good)
    by_label = share.groupby("label").mean()
    values, labels = share.values, good.label.values
    for k in range(3):
        np.testing.assert_allclose(by_label.sel(label=k), values[labels == k].mean(0))
    assert share.groupby("season").mean().season.values.tolist() == ["été"]
    years = share.groupby("day.year").mean()
    assert years.year.values.tolist() == [2017, 2018, 2019]
    rows = good.day.dt.year.values == 2018
    np.testing.assert_allclose(years.sel(year=2018), values[rows].mean(0))


def test_pandas(table):
    frame = table.to_dataframe(dim_order=["sample", "source", "class"])
    assert len(frame) == COUNT * 3 * 3
    assert frame.loc[(3, "sar", "été"), "relevance"] == table.relevance.values[3, 1, 2]
    wide = tables.share(table).to_pandas()
    assert wide.columns.tolist() == ["optical", "sar"]
    assert pd.api.types.is_datetime64_any_dtype(frame.day)


def test_it_can_be_sent_to_another_process(table):
    xr.testing.assert_identical(pickle.loads(pickle.dumps(table)).load(), table.load())


def test_centers_become_points_on_one_map(table):
    geopandas = pytest.importorskip("geopandas")
    pyproj = pytest.importorskip("pyproj")
    frame = tables.to_geodataframe(table, x="easting", y="northing")
    assert isinstance(frame, geopandas.GeoDataFrame)
    assert frame.crs == "EPSG:4326"
    assert len(frame) == COUNT
    assert {"id", "label", "cloud_cover", "day", "share_optical", "share_sar"} <= set(frame)
    np.testing.assert_allclose(frame.share_sar, tables.share(table).sel(source="sar"))
    for row in (0, 1):  # in two zones
        project = pyproj.Transformer.from_crs(sample(row)["crs"], 4326, always_xy=True)
        expected = project.transform(sample(row)["easting"], 5700120.0)
        np.testing.assert_allclose((frame.geometry[row].x, frame.geometry[row].y), expected)


def test_a_sample_without_a_place_has_no_point(table):
    pytest.importorskip("geopandas")
    lost = table.load().copy()
    lost["crs"] = ("sample", np.where(np.arange(COUNT) == 2, "", lost.crs.values))
    lost["easting"] = ("sample", np.where(np.arange(COUNT) == 3, np.nan, lost.easting.values))
    frame = tables.to_geodataframe(lost, x="easting", y="northing")
    assert [each is None for each in frame.geometry] == [i in (2, 3) for i in range(COUNT)]
    whole = tables.to_geodataframe(table, x="easting", y="northing")
    assert frame.geometry[4:].equals(whole.geometry[4:])


def test_centers_need_their_coordinates(table):
    with pytest.raises(
        ValueError, match="no metadata called 'x'; there are cloud_cover, cloudy, crs, day"
    ):
        tables.to_geodataframe(table)
