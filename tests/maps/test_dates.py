"""Sources with an axis of dates equal the same network on dates that were stacked by hand."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from jax import lax

from rfp_jax import maps
from rfp_jax.maps._command import Map, _sources

DATES = np.array(["2024-05-01", "2024-06-01", "2024-07-01"], "datetime64[ns]")


def conv3(x, kernel):
    dims = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=dims)


def network(kernel, series, still):
    """Look at each date of [b, t, y, x, c], keep the greatest, and add a source of one date."""
    seen = jax.vmap(conv3, in_axes=(1, None), out_axes=1)(series, kernel)
    return jax.nn.relu(seen).max(1) + 0.5 * still


@pytest.fixture
def values():
    draw = np.random.default_rng(0)
    series = draw.normal(size=(3, 2, 24, 30)).astype(np.float32)
    still = draw.normal(size=(1, 24, 30)).astype(np.float32)
    return series, still, draw.normal(size=(3, 3, 2, 4)).astype(np.float32)


@pytest.fixture
def dataarray(raster):
    def make(series):
        images = [raster(each).assign_coords(band=["red", "nir"]) for each in series]
        return xr.concat(images, xr.Variable("time", DATES))

    return make


def explained(fun, params, sources, **options):
    return maps.relevance(fun, params, sources, outputs="all", progress=False, **options)


def by_hand(values):
    """Gradient x input of every output: the network is piecewise linear and has no bias."""
    series, still, kernel = (jnp.asarray(each, jnp.float64) for each in values)

    def run(scale):
        dated, plain = scale[0] * jnp.moveaxis(series, 1, -1), scale[1] * jnp.moveaxis(still, 0, -1)
        return network(kernel, dated[None], plain[None])[0]

    return np.moveaxis(np.asarray(jax.jacfwd(run)(jnp.ones(2))), (2, 3), (0, 1))


def test_an_array_with_an_axis_of_time(values, dataarray, raster):
    series, still, kernel = values
    sources = {"s": maps.Source(dataarray(series), dims="btyxc"), "still": raster(still)}
    found = explained(network, kernel, sources)
    with jax.enable_x64():
        right = by_hand(values)
    parts = found.relevance.sel(source=["s", "still"]).values
    np.testing.assert_allclose(parts, right, atol=1e-5)
    assert np.abs(found.relevance.sel(source="bias")).max() < 1e-6  # the remainder


@pytest.mark.parametrize("dims", ["btyxc", "bytxc", "byxtc", "byxct"])
def test_every_place_of_the_axis(dims, values, dataarray, raster):
    series, still, kernel = values

    def moved(kernel, series, still):
        return network(kernel, series.transpose([dims.index(d) for d in "btyxc"]), still)

    array = dataarray(series)
    usual = {"s": maps.Source(array, dims="btyxc"), "still": raster(still)}
    other = {"s": maps.Source(array, dims=dims), "still": raster(still)}
    xr.testing.assert_equal(
        explained(network, kernel, usual).relevance, explained(moved, kernel, other).relevance
    )


@pytest.mark.parametrize("dims", ["btcyx", "bctyx"])
def test_channels_first_from_a_file_in_tiles(dims, values, geotiff):
    series, still, kernel = values

    def first(kernel, series, still):
        series = series.transpose([dims.index(d) for d in "btyxc"])
        return jnp.moveaxis(network(kernel, series, jnp.moveaxis(still, 1, -1)), -1, 1)

    stacked = geotiff("s.tif", series.reshape(6, 24, 30))
    sources = {
        "s": maps.Source(stacked, dims=dims, times=3),
        "still": maps.Source(geotiff("still.tif", still), dims="bcyx"),
    }
    whole = explained(first, kernel, sources)
    tiled = explained(first, kernel, sources, tile=8)
    xr.testing.assert_allclose(whole.relevance, tiled.relevance, atol=1e-5)
    with jax.enable_x64():
        right = by_hand(values)
    np.testing.assert_allclose(whole.relevance.values[:, :2], right, atol=1e-5)


def test_prepare_sees_the_dates(values, dataarray, raster):
    series, still, kernel = values
    mean = np.array([0.3, -0.2], np.float32)

    def prepare(dated):
        assert dated.shape[0] == 3
        assert dated.shape[-1] == 2
        return dated - mean

    sources = {"s": maps.Source(dataarray(series), dims="btyxc"), "still": raster(still)}
    found = explained(network, kernel, sources, prepare={"s": prepare})
    shifted = dataarray(series - mean[:, None, None])
    ready = {"s": maps.Source(shifted, dims="btyxc"), "still": raster(still)}
    xr.testing.assert_allclose(
        found.relevance, explained(network, kernel, ready).relevance, atol=1e-6
    )


def test_the_bands_that_were_asked_for_of_each_date(values, dataarray, raster):
    series, still, kernel = values
    array = dataarray(series)
    turned = maps.Source(array, dims="btyxc", bands=("nir", "red"))
    sources = {"s": turned, "still": raster(still)}
    other = kernel[:, :, ::-1]
    usual = {"s": maps.Source(array, dims="btyxc"), "still": raster(still)}
    xr.testing.assert_allclose(
        explained(network, kernel, sources).relevance,
        explained(network, other, usual).relevance,
        atol=1e-6,
    )
    facts = maps.inspect(sources).sources[0]
    assert facts.bands[:3] == ("nir 2024-05-01", "red 2024-05-01", "nir 2024-06-01")


def test_dates_that_do_not_fit(values, dataarray, geotiff):
    series, _, kernel = values
    array, path = dataarray(series), geotiff("s.tif", series.reshape(6, 24, 30))
    for source, match in (
        (array, r"declared \(rfp_jax.maps.Source\(data, dims='btcyx'\)\)"),
        (maps.Source(path, dims="btyxc"), "'s' has no axis 'time'.*say how many.*times="),
        (maps.Source(path, dims="btyxc", times=4), "has 6 bands, which does not fit times=4"),
        (maps.Source(array, dims="btyxc", times=2), "axis 'time' of 3, which does not fit times=2"),
        (maps.Source(array, dims="btyxc", times=6), "axis 'time' of 3, which does not fit times=6"),
    ):
        with pytest.raises(maps.SceneError, match=match):
            explained(network, kernel, {"s": source})


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"dims": "tbyxc"}, "'t' behind the b"),
        ({"dims": "btt"}, "pass 'byxc' or 'bcyx'"),
        ({"times": 3}, "times=3 needs dims= with a 't'"),
        ({"times": 0, "dims": "btyxc"}, "whole number from 1"),
    ],
)
def test_sources_that_say_nonsense(arguments, match):
    with pytest.raises(ValueError, match=match):
        maps.Source("s.tif", **arguments)


def test_the_command_says_the_dates():
    given = Map(
        Path("network"),
        source=("s=s.tif", "still=still.tif"),
        out=Path("map.zarr"),
        bands=("still=1",),
        times=("s=3",),
    )
    found = _sources(given)
    assert (found["s"].dims, found["s"].times) == ("btcyx", 3)
    assert (found["still"].dims, found["still"].times) == ("bcyx", None)
