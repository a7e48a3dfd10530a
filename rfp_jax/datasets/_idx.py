"""The idx format of the original MNIST files, read image by image and checked on the way.

A file is: a big-endian 32-bit magic number (0x0803 for images, 0x0801 for labels), the number of
items, for images also the number of rows and columns, then one byte a pixel or a label
(LeCun, Cortes & Burges, "The MNIST database of handwritten digits").
"""

import gzip
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

IMAGES_MAGIC = 0x0803
LABELS_MAGIC = 0x0801
SIDE = 28
CLASSES = 10

IDX_FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
IDX_INSTRUCTIONS = (
    "Download "
    + ", ".join(name for pair in IDX_FILES.values() for name in pair)
    + ", for example from https://storage.googleapis.com/cvdf-datasets/mnist/"
)


def read_idx_pairs(images_path: Path, labels_path: Path) -> Iterator[tuple[np.ndarray, int]]:
    """Read the images of one gzipped idx file together with the labels of another.

    Args:
        images_path: A gzipped idx file of 28 x 28 images.
        labels_path: A gzipped idx file of as many labels from 0 to 9.

    Yields:
        Image, uint8 of shape [28, 28], and label.

    Raises:
        ValueError: If a file is not what it should be; names the file and what is wrong with it.
    """
    with gzip.open(images_path) as images, gzip.open(labels_path) as labels:
        magic, count, rows, columns = _header(images, 4, images_path)
        if (magic, rows, columns) != (IMAGES_MAGIC, SIDE, SIDE):
            raise ValueError(
                f"{images_path}: expected an idx file of {SIDE} x {SIDE} images (magic "
                f"{IMAGES_MAGIC:#06x}), got magic {magic:#06x} and images of {rows} x {columns}"
            )
        magic, label_count = _header(labels, 2, labels_path)
        if magic != LABELS_MAGIC:
            raise ValueError(
                f"{labels_path}: expected an idx file of labels (magic {LABELS_MAGIC:#06x}), "
                f"got magic {magic:#06x}"
            )
        if count != label_count:
            raise ValueError(
                f"{images_path} has {count} images, but {labels_path} has {label_count} labels"
            )
        if count == 0:
            raise ValueError(f"{images_path}: this split is empty; download the file again")
        for _ in range(count):
            pixels = _exactly(images, SIDE * SIDE, images_path)
            (label,) = _exactly(labels, 1, labels_path)
            if label >= CLASSES:
                raise ValueError(f"{labels_path}: labels run from 0 to {CLASSES - 1}, got {label}")
            yield np.frombuffer(pixels, np.uint8).reshape(SIDE, SIDE), label
        for file, path in ((images, images_path), (labels, labels_path)):
            if _read(file, 1, path):
                raise ValueError(f"{path}: the file goes on after the {count} items that it names")


def _header(file: gzip.GzipFile, words: int, path: Path) -> tuple[int, ...]:
    return struct.unpack(f">{words}I", _exactly(file, 4 * words, path))


def _exactly(file: gzip.GzipFile, size: int, path: Path) -> bytes:
    data = _read(file, size, path)
    if len(data) != size:
        raise ValueError(f"{path}: the file ends too early; download it again")
    return data


def _read(file: gzip.GzipFile, size: int, path: Path) -> bytes:
    try:
        return file.read(size)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        message = f"{path}: not a whole gzip file ({error}); download it again"
        raise ValueError(message) from error
