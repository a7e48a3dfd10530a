"""Batches of SEN12MS: every patch once, in a keyed order, resumable."""

import numpy as np
import pytest

from rfp_jax.datasets.sen12ms import (
    Sen12MS,
    Sen12MSConfig,
)
from tests.datasets.sen12ms.archives import archive


def test_loader_gives_every_patch_once_in_a_keyed_order(root):
    data = Sen12MS(archive(root, "train"), Sen12MSConfig(cloud_fraction=0.5))

    def ids(**options):
        batches = list(data.loader(7, **options))
        assert {key: value.shape[0] for key, value in batches[0].items()} == dict.fromkeys(
            batches[0], 7
        )
        return [name for batch in batches for name in batch["id"].tolist()]

    assert ids() == ids(threads=0) == data.ids
    shuffled = ids(shuffle=True)
    assert sorted(shuffled) == sorted(data.ids)
    assert shuffled != data.ids
    assert shuffled == ids(shuffle=True, threads=2)
    assert shuffled != ids(shuffle=True, epoch=1)
    assert len(ids(drop_remainder=True)) == len(data) // 7 * 7


def test_loaded_batches_are_the_samples_stacked(root):
    data = Sen12MS(archive(root), Sen12MSConfig(cloud_fraction=1.0, cloud_cover=True))
    batch = next(iter(data.loader(4, epoch=2)))
    samples = [data[i + 2 * len(data)] for i in range(4)]
    for key in batch:
        np.testing.assert_array_equal(batch[key], np.stack([s[key] for s in samples]))


def test_an_iterator_goes_on_from_its_saved_state(root):
    loader = Sen12MS(archive(root, "train")).loader(4, shuffle=True, threads=2)
    iterator = iter(loader)
    next(iterator)
    state = iterator.get_state()
    rest = [batch["id"].tolist() for batch in iterator]
    again = iter(loader)
    again.set_state(state)
    assert [batch["id"].tolist() for batch in again] == rest


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"inputs": "s3"}, "inputs must be one of s1, s2, s1s2, rgb, got 's3'"),
        ({"classes": 11}, "classes must be 10 or 17, got 11"),
        ({"cloud_fraction": 1.5}, r"cloud_fraction must lie in \[0, 1\], got 1.5"),
        ({"cloud_fraction": float("nan")}, r"must lie in \[0, 1\], got nan"),
        ({"seed": -1}, "seed must not be negative"),
    ],
)
def test_bad_settings_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        Sen12MSConfig(**setting)


def test_bad_access_is_refused(root):
    data = Sen12MS(archive(root))
    with pytest.raises(IndexError, match="must not be negative"):
        data[-1]
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        data.loader(0)
    with pytest.raises(ValueError, match="split must be"):
        archive(root, "training")
