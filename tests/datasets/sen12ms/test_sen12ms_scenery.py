"""Synthetic patches: clouds, shadows, and what each sensor tells."""

import numpy as np
import pytest

from rfp_jax.datasets.sen12ms import synthesize
from rfp_jax.datasets.sen12ms._scenery import OPACITY, clouded, fractal, scene


def test_clouds_are_semi_transparent_and_cast_shadows():
    rng = np.random.default_rng(3)
    ground = scene(rng, 3, 256).s2
    over = clouded(rng, ground, 0.4).s2.astype(float)
    nir = over[7] / ground[7]
    assert (nir < 0.7).mean() > 0.02  # shadows
    blue = (over[1] - ground[1]) / (7700 - ground[1])
    assert ((blue > 0.15) & (blue < 0.6)).mean() > 0.05  # the ground shines through
    assert OPACITY < 0.15


def test_both_sensors_tell_classes_apart_and_clouds_hide_them_from_one():
    """A nearest-mean classifier on band means: what a network can learn is there."""
    classes = [3, 6, 9, 12, 15, 16]

    def means(seed, number, cover=0.0):
        rng, dominant = np.random.default_rng((seed, number)), classes[number % len(classes)]
        found = scene(rng, dominant, 48)
        s2 = clouded(rng, found.s2, cover).s2 if cover else found.s2
        return np.log(s2.mean((1, 2)) + 1), found.s1.mean((1, 2))

    samples, chance = 600, 1 / len(classes)
    train, clear = ([means(seed, i) for i in range(samples)] for seed in (0, 1))
    cloudy = [means(1, i, cover=0.9) for i in range(samples)]
    labels = np.arange(samples) % len(classes)

    def score(data, sensor):
        mine, its = (np.stack([each[sensor] for each in d]) for d in (train, data))
        centers = np.stack([mine[labels == k].mean(0) for k in range(len(classes))])
        spread = mine.std(0)
        distance = (((its[:, None] - centers) / spread) ** 2).sum(-1)
        return (distance.argmin(1) == labels).mean()

    by_luck = chance + 5 * np.sqrt(chance * (1 - chance) / samples)
    assert score(clear, 0) > 0.7
    assert by_luck < score(clear, 1) < score(clear, 0)
    assert score(cloudy, 0) < by_luck
    assert score(cloudy, 1) == score(clear, 1)  # clouds do not touch it


def test_fractal_is_standardized_and_smoother_with_a_steeper_slope():
    rng = np.random.default_rng(0)
    rough, smooth = (fractal(rng, 64, corner=2, slope=s) for s in (1.0, 4.0))
    for surface in (rough, smooth):
        np.testing.assert_allclose([surface.mean(), surface.std()], [0, 1], atol=1e-4)
    assert np.abs(np.diff(smooth)).mean() < 0.3 * np.abs(np.diff(rough)).mean()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patches": 9}, "at least 10 patches"),
        ({"patches": 10, "size": 8}, "at least 10 patches of at least 16 pixels"),
        ({"patches": 10, "seed": -1}, "seed that is not negative"),
    ],
)
def test_bad_synthesis_is_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        synthesize(tmp_path / "a", **options)
    assert not list(tmp_path.iterdir())
