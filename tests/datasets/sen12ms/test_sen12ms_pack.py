"""Packed patches are the same bit for bit, and whole or not there at all."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from rfp_jax.datasets.sen12ms import Packed, PatchError, Sen12MS, Sen12MSConfig, open_patches, pack
from tests.datasets.sen12ms.archives import SIZE, archive, truncate


@pytest.fixture(scope="module")
def packed(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("packed")
    pack(archive(root), out, shard=5)
    return out


def test_a_pack_gives_the_same_samples_bit_for_bit(root, packed):
    assert len(list((packed / "test").glob("*.array_record"))) == 3  # 12 patches, 5 a shard
    for inputs, fraction in (("s1s2", 0.5), ("rgb", 1.0), ("s1", 0.0)):
        config = Sen12MSConfig(inputs=inputs, cloud_fraction=fraction, cloud_cover=True)
        read = Sen12MS(archive(root), config)
        again = Sen12MS(open_patches(packed, "test", size=SIZE), config)
        assert again.ids == read.ids
        assert again.patches.note == read.patches.note
        for index in range(len(read)):
            mine, its = again[index], read[index]
            assert mine.keys() == its.keys()
            for key in its:
                np.testing.assert_array_equal(mine[key], its[key])


def test_half_precision_packs_are_half_as_large_and_close(root, packed, tmp_path):
    folder = pack(archive(root), tmp_path, dtype="float16")
    size = sum(path.stat().st_size for path in folder.glob("*.array_record"))
    whole = sum(path.stat().st_size for path in (packed / "test").glob("*.array_record"))
    assert size < 0.55 * whole
    mine, its = Sen12MS(Packed(folder))[0], Sen12MS(archive(root))[0]
    np.testing.assert_allclose(mine["optical"], its["optical"], rtol=1e-3, atol=1e-3)


def test_packing_is_all_or_nothing(copy, tmp_path):
    patches = archive(copy)
    truncate(patches.file(3, "s2"))
    with pytest.raises(PatchError, match="cannot be read"):
        pack(patches, tmp_path / "out", shard=2)
    assert not (tmp_path / "out").exists()
    folder = pack(patches, tmp_path / "out", shard=2, skip_broken=True)
    data, original = Sen12MS(Packed(folder)), Sen12MS(patches)
    with pytest.raises(PatchError, match=f"could not be packed: .*{original.ids[3][5:]}"):
        data[3]
    np.testing.assert_array_equal(data[4]["optical"], original[4]["optical"])
    with pytest.raises(FileExistsError, match="exists already and is left as it is"):
        pack(patches, tmp_path / "out")


def test_half_a_pack_is_refused(packed, tmp_path):
    copy = Path(shutil.copytree(packed / "test", tmp_path / "test"))
    shard = copy / "patches-00001.array_record"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-100])
    with pytest.raises(
        ValueError, match=r"patches-00001.array_record has .* bytes, pack.json says"
    ):
        Packed(copy)
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=r"patches-00001.array_record is missing"):
        Packed(copy)
    shard.write_bytes(whole)
    index = copy / "index.npz"
    index.write_bytes(index.read_bytes()[:50])
    with pytest.raises(ValueError, match=r"index.npz is missing or damaged"):
        Packed(copy)
    manifest = copy / "pack.json"
    facts = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(facts | {"shards": {"../x": 1}}))
    with pytest.raises(ValueError, match="names shards outside of its folder"):
        Packed(copy)
    manifest.write_text("{")
    with pytest.raises(ValueError, match=r"pack.json is damaged"):
        Packed(copy)
    manifest.unlink()
    with pytest.raises(FileNotFoundError, match="pack an archive with"):
        Packed(copy)


def test_a_pack_of_another_size_is_refused(packed):
    with pytest.raises(ValueError, match=f"holds patches of {SIZE} x {SIZE} pixels, expected 256"):
        open_patches(packed, "test")
