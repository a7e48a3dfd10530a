"""Small files that would take gigabytes or hours: refused, at little cost."""

import io
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

from rfp_jax import export
from rfp_jax._util import pickles
from rfp_jax._util.npz import read_npz
from rfp_jax._util.pickles import PickleBudgetError, check_pickle
from rfp_jax.convert.flax import CheckpointError, read_checkpoint
from rfp_jax.datasets.sen12ms import PatchError
from rfp_jax.datasets.sen12ms._geotiff import read_s2
from rfp_jax.datasets.sen12ms._lists import read_labels, read_list
from rfp_jax.datasets.sen12ms._pickles import read_pickle

sys.path.insert(0, str(Path(__file__).parents[1] / "stress"))
from mutants import FORMATS, TooMuchError, fuzz, watched


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", list(FORMATS))
def test_no_mutated_file_takes_much_or_ends_in_another_error(name, tmp_path):
    """The short form of `make stress`."""
    seen = fuzz(name, 40, 0, tmp_path)
    assert seen["refused"] > 15


@pytest.mark.slow
def test_the_watch_sees_memory():
    with pytest.raises(TooMuchError, match=r"5.. MiB"), watched():
        np.ones(2**26 + 2**23)


# ---- pickles -----------------------------------------------------------------------------------


def doubled(levels, kind):
    """A value that names the one below twice, so many times: 2^n when it is written out."""
    value = "ROIs1158_spring_s2_1_p30.tif"
    for _ in range(levels):
        value = kind([value, value])
    return value


@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize("name", ["test_list", "IGBP_probability_labels"])
def test_shared_lists_are_not_written_out(tmp_path, kind, name):
    value = doubled(60, kind)
    content = [value] if name == "test_list" else {"a": value}
    path = tmp_path / f"{name}.pkl"
    path.write_bytes(pickle.dumps(content))
    assert path.stat().st_size < 700
    with watched():
        read_pickle(path)
        with pytest.raises(ValueError, match=rf"{name}.pkl"):
            read_list(tmp_path, name) if name == "test_list" else read_labels(tmp_path)


def test_rows_that_share_a_long_list_are_refused(tmp_path):
    row = [0.5] * 100_000
    path = tmp_path / "IGBP_probability_labels.pkl"
    path.write_bytes(pickle.dumps({f"p{n}": row for n in range(10_000)}))
    with watched(), pytest.raises(ValueError, match="not 17 numbers for 'p0'"):
        read_labels(tmp_path)


def test_arrays_that_share_their_bytes_have_a_budget(tmp_path):
    """Bytes once, a thousand arrays of them."""
    data, path = bytes(2**20), tmp_path / "a.pkl"

    class Shared:
        """Written as an array of bytes that all share."""

        def __reduce__(self):
            made = np.empty(0, np.uint8).__reduce__()
            return made[0], made[1], (1, (len(data),), np.dtype("u1"), False, data)

    path.write_bytes(pickle.dumps([Shared() for _ in range(1000)]))
    assert path.stat().st_size < 2**21
    with watched(), pytest.raises(ValueError, match=r"a.pkl is refused, .*more bytes"):
        read_pickle(path)


def nested(levels, container):
    """A pickle of the tuple that `doubled` makes, as a key; made by hand, Python would hash it."""
    tuples = b")" + b"".join(b"q%ch%c\x86" % (n, n) for n in range(levels))
    before, after = container
    return b"\x80\x04" + before + tuples + after + b"."


KEY, ELEMENT, FROZEN = (b"}", b"Ns"), (b"\x8f(", b"\x90"), (b"(", b"\x91")


def copied(thing, maker, others, times):
    """A pickle that hands one thing to a maker of objects again and again."""
    made = b"h\x01" + b"h\x00" + others
    return b"\x80\x04" + thing + b"0c" + maker + b"q\x010](" + times * made + b"e."


TEXT = b"X" + (2**20).to_bytes(4, "little") + b"a" * 2**20 + b"q\x00"
LIST = b"]q\x00(" + b"K\x01K\x02\x86" * 30_000 + b"e"

HOSTILE = {
    "a text that is copied three thousand times": (
        copied(TEXT, b"_codecs\nencode\n", b"X\x06\0\0\0latin1\x86R", 3000),
        "more bytes to makers of objects than 67108864",
    ),
    "a list that is, and was in the memo before it was long": (
        copied(LIST, b"collections\nOrderedDict\n", b"\x85R", 20_000),
        "more bytes to makers of objects than 67108864",
    ),
    "a key that takes 2^60 steps to hash": (
        nested(60, KEY),
        "tuples within tuples as keys, 61 deep",
    ),
    "an element of a set likewise": (nested(40, ELEMENT), "41 deep"),
    "a frozen set likewise": (nested(40, FROZEN), "41 deep"),
    "a place far out in the memo": (b"\x80\x02]r\xff\xff\xff\x7f.", "place 2147483647 in the memo"),
    "more steps than any list has": (b"\x80\x02" + b"N0" * 600_000 + b"N.", "more than 1000000"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_pickles_are_refused_before_they_are_read(tmp_path, case):
    content, message = HOSTILE[case]
    with watched(), pytest.raises(PickleBudgetError, match=message):
        check_pickle(content)
    path = tmp_path / "a.pkl"
    path.write_bytes(content)
    with watched(), pytest.raises(ValueError, match=rf"a.pkl is refused, .*{message}"):
        read_pickle(path)


def test_following_a_pickle_has_a_budget_of_time(tmp_path, monkeypatch):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(list(range(10_000))))
    assert len(read_pickle(path)) == 10_000
    monkeypatch.setattr(pickles, "SECONDS", 0.0)
    with pytest.raises(ValueError, match=r"a.pkl is refused, .*more than 0 seconds"):
        read_pickle(path)


@pytest.mark.parametrize("length", [b"\x8e" + b"\xff" * 7 + b"\x7f", b"\x8b\xff\xff\xff\x7f"])
def test_lengths_beyond_the_end_are_damage(tmp_path, length):
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x04" + length + b"abc.")
    with watched(), pytest.raises(ValueError, match=r"a.pkl is not a pickle, or a damaged"):
        read_pickle(path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_ordinary_pickles_pass(protocol):
    content = {"a": [1, (2, (3, "x"))], (1, 2): {3, 4}, "b": np.arange(3), "c": frozenset({1})}
    content["d"] = content["a"]
    check_pickle(pickle.dumps(content, protocol=protocol) + b"more")


# ---- checkpoints -------------------------------------------------------------------------------


def compressed(path, content):
    deflated = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(io.BytesIO(content)) as old, deflated as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))


def test_compressed_members_of_a_checkpoint_are_refused(tmp_path):
    buffer, path = io.BytesIO(), tmp_path / "a.pth"
    torch.save({"w": torch.zeros(2**21)}, buffer)
    compressed(path, buffer.getvalue())
    assert path.stat().st_size < 2**15
    with watched(), pytest.raises(CheckpointError, match=r"a.pth is refused: .*is compressed, to"):
        read_checkpoint(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_tensors_that_repeat_one_number_are_refused(tmp_path, legacy):
    path = tmp_path / "a.pth"
    content = {"w": torch.ones(1).expand(10**10)}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with (
        watched(),
        pytest.raises(
            CheckpointError, match=r"a.pth is not read: it has \d+ bytes and its tensors"
        ),
    ):
        read_checkpoint(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_pickles_in_a_checkpoint_have_a_budget(tmp_path, legacy):
    path = tmp_path / "a.pth"
    torch.save(
        {"w": torch.ones(1), "x": bytearray(3)}, path, _use_new_zipfile_serialization=not legacy
    )
    with watched(), pytest.raises(CheckpointError, match=r"a.pth .*bytearray"):
        read_checkpoint(path)
    if legacy:
        path.write_bytes(nested(60, KEY))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/data.pkl", nested(60, KEY))
    with watched(), pytest.raises(CheckpointError, match=r"a.pth is refused, .*61 deep"):
        read_checkpoint(path)


# ---- arrays, images, artifacts -----------------------------------------------------------------


def test_arrays_that_grow_are_refused(tmp_path):
    path = tmp_path / "IGBP_probability_labels.npz"
    zeros = bytes(2**24)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in range(20):
            archive.writestr(f"{name}.npy", zeros)
    assert path.stat().st_size < 2**19
    with watched(), pytest.raises(ValueError, match=r"labels.npz .*would unpack to 335544320"):
        read_labels(tmp_path)
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999,)}"
    header += b" " * (117 - len(header)) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with watched(), pytest.raises(ValueError, match=r"labels.npz .*a.npy claims 799999999992 byt"):
        read_npz(path)


def test_an_image_in_one_huge_block_is_refused(tmp_path):
    """The image has the right size, its block has not: GDAL would unpack the whole block."""
    path = tmp_path / "a.tif"
    options = {"driver": "GTiff", "count": 13, "height": 16, "width": 16, "dtype": "uint16"}
    options |= {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 0, 0, -10, 0)}
    options |= {"tiled": True, "blockxsize": 4096, "blockysize": 4096, "compress": "deflate"}
    with rasterio.open(path, "w", interleave="pixel", SPARSE_OK=True, **options):
        pass
    with watched(), pytest.raises(PatchError, match=r"a.tif: its blocks of 4096 x 4096 pixels"):
        read_s2(path, size=16)


def test_entries_of_an_artifact_that_overlap_are_refused(tmp_path):
    """Two names for the same bytes: together they would have more than the file."""
    path = tmp_path / "a.rfp"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", bytes(2**16))
        again = zipfile.ZipInfo("b")
        first = archive.getinfo("a")
        again.header_offset, again.CRC = first.header_offset, first.CRC
        again.file_size = again.compress_size = first.file_size
        archive.filelist.append(again)
    with pytest.raises(ValueError, match=r"is not an exported .*its entries have 131072 bytes"):
        export.load(path)
