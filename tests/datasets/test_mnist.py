"""MNIST is read from real idx files and from real TFDS folders, without TensorFlow."""

import io
import json
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from rfp_jax.datasets import MultiSource, load_images, load_mnist
from tests.datasets.tiny_mnist import (
    TEST,
    TRAIN,
    idx_images,
    idx_labels,
    tiny_digits,
    write_gz,
    write_tiny_mnist,
)

TRAIN_IMAGES = "train-images-idx3-ubyte.gz"
TRAIN_LABELS = "train-labels-idx1-ubyte.gz"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the four files, prepared by the first test that reads it."""
    path = tmp_path_factory.mktemp("mnist")
    write_tiny_mnist(path)
    load_mnist("train", path)
    return path


def by_content(images, labels):
    """Images and their labels in an order that depends on nothing else."""
    flat = images.reshape(len(images), -1)
    return sorted((row.tobytes(), int(label)) for row, label in zip(flat, labels, strict=True))


@pytest.mark.parametrize(("split", "start", "count"), [("train", 0, TRAIN), ("test", TRAIN, TEST)])
def test_idx_files_keep_every_image_with_its_label(folder, split, start, count):
    digits = load_mnist(split, folder)
    assert digits.images.shape == (count, 28, 28, 1)
    assert digits.images.dtype == np.uint8
    assert digits.labels.dtype == np.int32
    assert digits.maximum == 255
    assert digits.ids.tolist() == list(range(start, start + count))
    assert by_content(digits.images, digits.labels) == by_content(*tiny_digits(start, count))
    assert "tensorflow" not in sys.modules


class StockMnist(tfds.image_classification.MNIST, skip_registration=True):
    """The stock builder, its own features and keys; only its unpacking of files is replaced."""

    name = "mnist"

    def _split_generators(self, dl_manager):
        return {"train": self._tiny(0, TRAIN), "test": self._tiny(TRAIN, TEST)}

    def _tiny(self, start, count):
        for key, (image, label) in enumerate(zip(*tiny_digits(start, count), strict=True)):
            png = io.BytesIO()
            Image.fromarray(image).save(png, format="png")
            yield key, {"image": png.getvalue(), "label": label}


def test_a_folder_prepared_by_the_stock_builder_gives_the_same_set(folder, tmp_path):
    StockMnist(data_dir=tmp_path, file_format="array_record").download_and_prepare(
        download_dir=tmp_path / "downloads"
    )
    for split in ("train", "test"):
        ours, stock = load_mnist(split, folder), load_mnist(split, tmp_path)
        np.testing.assert_array_equal(ours.images, stock.images)
        np.testing.assert_array_equal(ours.labels, stock.labels)
        np.testing.assert_array_equal(ours.ids, stock.ids)


def test_tfds_itself_reads_what_was_prepared(folder):
    records = tfds.builder_from_directory(folder / "mnist" / "3.0.1").as_data_source("test")
    digits = load_mnist("test", folder)
    np.testing.assert_array_equal([record["image"] for record in records], digits.images)
    assert [record["label"] for record in records] == digits.labels.tolist()


def test_a_prepared_folder_needs_the_idx_files_no_more(tmp_path):
    write_tiny_mnist(tmp_path)
    before = load_mnist("test", tmp_path)
    for file in tmp_path.glob("*.gz"):
        file.unlink()
    np.testing.assert_array_equal(load_mnist("test", tmp_path).images, before.images)
    inside = load_mnist("test", tmp_path / "mnist" / "3.0.1")
    np.testing.assert_array_equal(inside.images, before.images)


def test_the_newest_of_several_versions_is_read(folder, tmp_path):
    source = folder / "mnist" / "3.0.1"
    for version, test_examples in (("3.0.9", "1"), ("3.0.10", str(TEST))):
        target = tmp_path / "mnist" / version
        target.mkdir(parents=True)
        for file in source.iterdir():
            (target / file.name).write_bytes(file.read_bytes())
        info = json.loads((target / "dataset_info.json").read_text())
        info["version"] = version
        info["splits"][1]["shardLengths"] = [test_examples]
        (target / "dataset_info.json").write_text(json.dumps(info))
    assert len(load_mnist("test", tmp_path)) == TEST


def test_multisource_of_mnist(folder):
    left, right = MultiSource(load_images("mnist", "test", folder))[0]["images"]
    assert left.shape == right.shape == (28, 14, 1)
    whole = np.concatenate([left, right], axis=1)
    pixels = load_mnist("test", folder).images[0]
    np.testing.assert_allclose(whole, pixels / 127.5 - 1, atol=1e-6)


def test_missing_files_are_named_with_the_remedy(tmp_path):
    write_tiny_mnist(tmp_path)
    (tmp_path / TRAIN_LABELS).unlink()
    with pytest.raises(FileNotFoundError) as error:
        load_mnist("train", tmp_path)
    message = str(error.value)
    assert f"missing there: {TRAIN_LABELS})" in message
    assert "https://" in message
    assert f"put them into {tmp_path}" in message


IMAGES, LABELS = tiny_digits(0, TRAIN)
BROKEN = {
    "no gzip": (TRAIN_IMAGES, b"<html>not found</html>", "not a whole gzip file"),
    "cut off": (TRAIN_IMAGES, idx_images(IMAGES)[:-5], "ends too early"),
    "too long": (TRAIN_LABELS, idx_labels(LABELS) + b"\0", "goes on after the 40 items"),
    "labels for images": (TRAIN_IMAGES, idx_labels(LABELS), "expected an idx file of 28 x 28"),
    "images for labels": (TRAIN_LABELS, idx_images(IMAGES), "expected an idx file of labels"),
    "small images": (TRAIN_IMAGES, idx_images(IMAGES[:, :8, :8].copy()), "images of 8 x 8"),
    "fewer labels": (TRAIN_LABELS, idx_labels(LABELS[:7]), "has 40 images, but .* has 7 labels"),
    "label 10": (TRAIN_LABELS, idx_labels(LABELS + 10 * (LABELS == 3)), "from 0 to 9, got 13"),
}


@pytest.mark.parametrize(("name", "content", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_named_and_leaves_nothing_behind(tmp_path, name, content, message):
    write_tiny_mnist(tmp_path)
    good = (tmp_path / name).read_bytes()
    if content.startswith(b"<html>"):
        (tmp_path / name).write_bytes(content)
    else:
        write_gz(tmp_path / name, content)
    with pytest.raises(ValueError, match=message) as error:
        load_mnist("train", tmp_path)
    assert name in str(error.value)
    assert not list(tmp_path.glob("mnist/*"))
    (tmp_path / name).write_bytes(good)
    assert len(load_mnist("train", tmp_path)) == TRAIN


def test_a_cut_gzip_stream_is_refused(tmp_path):
    write_tiny_mnist(tmp_path)
    path = tmp_path / TRAIN_IMAGES
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="not a whole gzip file"):
        load_mnist("train", tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("fileFormat", "tfrecord", "was prepared as tfrecord.*file_format='array_record'"),
        ("name", "fashion_mnist", "holds the data set 'fashion_mnist'"),
        ("splits", [], "has no examples in its split 'train'"),
    ],
)
def test_another_prepared_folder_is_refused(folder, tmp_path, key, value, message):
    for file in (folder / "mnist" / "3.0.1").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    info = json.loads((tmp_path / "dataset_info.json").read_text())
    (tmp_path / "dataset_info.json").write_text(json.dumps(info | {key: value}))
    with pytest.raises(ValueError, match=message):
        load_mnist("train", tmp_path)


def test_unknown_names_are_refused(folder):
    with pytest.raises(ValueError, match="'train' or 'test', got 'validation'"):
        load_mnist("validation", folder)
    with pytest.raises(ValueError, match="unknown data set 'cifar'"):
        load_images("cifar", "train", folder)


def test_a_missing_package_names_the_extra(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'rfp-jax\[experiments\]'"):
        load_mnist("train", folder)
