"""Pickles from the net: read as pickle reads them, but nothing is run."""

import io
import os
import pickle
import subprocess

import numpy as np
import pytest

from rfp_jax.datasets.sen12ms import (
    Sen12MS,
    UnsafePickleError,
)
from rfp_jax.datasets.sen12ms._command import main
from rfp_jax.datasets.sen12ms._lists import read_labels, read_list, read_split
from rfp_jax.datasets.sen12ms._pickles import read_pickle
from tests.datasets.sen12ms.archives import PATCHES, archive


class Exploit:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("content", "asks_for"),
    [
        ([Exploit(os.system, "echo ran > {mark}")], "posix.system"),
        ({"a": Exploit(eval, "open('{mark}', 'w')")}, "builtins.eval"),
        (Exploit(subprocess.Popen, ["touch", "{mark}"]), "subprocess.Popen"),
        (np.array([Exploit(os.system, "echo ran > {mark}")], object), "the NumPy type 'O8'"),
        (np.load, "numpy.load"),
        (np.zeros(2, [("a", "i4")]), "the NumPy type 'V4'"),
    ],
)
def test_a_pickle_that_asks_for_code_is_refused_and_not_run(tmp_path, content, asks_for):
    mark = tmp_path / "ran"
    path = tmp_path / "test_list.pkl"
    path.write_bytes(pickle.dumps(content).replace(b"{mark}", str(mark).encode()[:6]))
    with pytest.raises(UnsafePickleError, match=rf"test_list.pkl asks for {asks_for}"):
        read_pickle(path)
    with pytest.raises(UnsafePickleError):
        read_split(tmp_path, "test")
    assert not mark.exists()


def test_a_pickle_cannot_change_what_stands_for_numpy(tmp_path):
    """Opcode BUILD on the class itself: state for a class, not for an object of it."""
    path = tmp_path / "a.pkl"
    for module, name in (("numpy", "ndarray"), ("_codecs", "encode"), ("numpy", "dtype")):
        for state in (b"N}X\x01\x00\x00\x00aK\x01s\x86", b"}X\x01\x00\x00\x00aK\x01s"):
            code = b"\x80\x04c" + module.encode() + b"\n" + name.encode() + b"\n" + state + b"b."
            path.write_bytes(code)
            with pytest.raises(ValueError, match=r"a.pkl is not a pickle, or a damaged"):
                read_pickle(path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_content_and_arrays_are_read_as_pickle_reads_them(tmp_path, protocol):
    content = {
        "names": ["a", "b"],
        "number": [1, 2.5, True, None, np.float32(1.5), np.int64(-3)],
        "array": np.arange(6, dtype=np.float32).reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "other end": np.arange(3, dtype=">i4"),
        "text": np.array(["x", "yz"]),
        "bytes": b"\x00\xff",
        "none": np.zeros((0, 17)),
    }
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    found = read_pickle(path)
    assert list(found) == list(content)
    for key, value in content.items():
        if isinstance(value, np.ndarray):
            assert (found[key].dtype, found[key].shape) == (value.dtype, value.shape)
            np.testing.assert_array_equal(found[key], value)
        else:
            assert found[key] == value


def test_half_a_pickle_is_refused(root, tmp_path):
    whole = (root / "IGBP_probability_labels.pkl").read_bytes()
    path = tmp_path / "IGBP_probability_labels.pkl"
    for part in (b"", whole[:100], whole[:-1], b"<html>404</html>"):
        path.write_bytes(part)
        with pytest.raises(ValueError, match=r"labels.pkl is not a pickle, or .* half downloaded"):
            read_labels(tmp_path)


def test_safe_form_holds_the_same_and_is_read_without_pickles(root, tmp_path):
    assert main(["safe", str(root), "--out", str(tmp_path)]) == 0
    assert not list(tmp_path.glob("*.pkl"))
    safe, published = read_labels(tmp_path), read_labels(root)
    assert safe.rows == published.rows
    np.testing.assert_array_equal(safe.probabilities, published.probabilities)
    for name in ("train_list", "val_list", "test_list", "test_list_cloudy"):
        assert read_list(tmp_path, name) == read_list(root, name)
        assert (tmp_path / f"{name}.txt").read_text().split() == pickle.loads(
            (root / f"{name}.pkl").read_bytes()
        )
    with np.load(tmp_path / "IGBP_probability_labels.npz", allow_pickle=False) as file:
        assert file["probabilities"].shape == (PATCHES, 17)
    there = Sen12MS(archive(root, labels=tmp_path))
    assert there.ids == Sen12MS(archive(root)).ids


def test_safe_form_is_written_whole_or_not_at_all(copy, tmp_path):
    (copy / "val_list.pkl").write_bytes(pickle.dumps(Exploit(os.system, "true")))
    out = tmp_path / "out"
    assert main(["safe", str(copy), "--out", str(out)]) == 1
    assert not out.exists()


def test_read_pickle_takes_no_more_than_the_file(tmp_path):
    """A recursive list has no end; it is refused rather than followed for ever."""
    content: list = []
    content.append(content)
    buffer = io.BytesIO()
    pickle.dump(content, buffer)
    path = tmp_path / "a.pkl"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(ValueError, match=r"a.pkl is not a pickle, or a damaged"):
        read_pickle(path)
