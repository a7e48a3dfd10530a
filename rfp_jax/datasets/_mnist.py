"""MNIST, read through TensorFlow Datasets (TFDS) without TensorFlow."""

import os
import tempfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rfp_jax._util.extras import needs_extra
from rfp_jax.datasets._idx import IDX_FILES, IDX_INSTRUCTIONS
from rfp_jax.datasets._images import ImageSplit, LabeledImages, check_split

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

DEFAULT_FOLDER = "~/tensorflow_datasets"
_FORMAT = "array_record"
_INFO = "dataset_info.json"


def load_mnist(split: ImageSplit, folder: str | os.PathLike[str] = DEFAULT_FOLDER) -> LabeledImages:
    """Load MNIST from a folder that holds it in one of two forms.

    1. Prepared by TFDS in the ArrayRecord format: `folder/mnist/<version>`, or `folder` is that
       version's own folder.
    2. The four original files `train-images-idx3-ubyte.gz`, `train-labels-idx1-ubyte.gz`,
       `t10k-images-idx3-ubyte.gz` and `t10k-labels-idx1-ubyte.gz`. They are prepared once, into
       `folder/mnist/3.0.1`, as TFDS itself would do it with TensorFlow.

    Both give the same images in the same order. Ids are positions in that order; the test images go
    on counting where the training images end.

    Args:
        split: `"train"` or `"test"`.
        folder: Where to look.

    Returns:
        The images, uint8 of shape [60000 or 10000, 28, 28, 1], with labels 0 to 9.

    Raises:
        FileNotFoundError: If the folder holds neither form; says what to download and where to put
            it.
        ValueError: If `split` is another name, or a file is broken or of another kind.
        ModuleNotFoundError: If TFDS, ArrayRecord or Pillow is not installed.

    References:
        LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition",
        Proceedings of the IEEE, 1998.

    Examples:
        >>> load_mnist("train", "no/such/folder")
        Traceback (most recent call last):
        ...
        FileNotFoundError: no MNIST in no/such/folder. Download train-images-idx3-ubyte.gz, ...
    """
    check_split(split)
    with needs_extra("Reading MNIST", "experiments"):
        import array_record  # noqa: F401 (TFDS imports it late and then fails with less to say)
        import tensorflow_datasets as tfds
        from PIL import Image
    location = Path(folder).expanduser()
    prepared = _find_prepared(location) or _prepare_idx_files(location)
    builder = tfds.builder_from_directory(builder_dir=prepared)
    _check_readable(builder, split)
    # Pillow decodes a PNG several times as fast as TFDS does.
    skip_decoding = {"image": tfds.decode.SkipDecoding()}
    # TFDS hides the signature behind a decorator without types.
    source = builder.as_data_source(split, decoders=skip_decoding)  # pyright: ignore[reportCallIssue]
    records = list(source)
    images = [np.asarray(Image.open(BytesIO(record["image"]))) for record in records]
    start = 0 if split == "train" else builder.info.splits["train"].num_examples
    return LabeledImages(
        images=np.stack(images)[..., None],
        labels=np.array([record["label"] for record in records], np.int32),
        ids=np.arange(start, start + len(records), dtype=np.int64),
        maximum=255,
    )


def _find_prepared(folder: Path) -> Path | None:
    """Find the folder of a prepared data set, of its newest version if there are several."""
    if (folder / _INFO).is_file():
        return folder
    versions = [info.parent for info in folder.glob(f"mnist/*.*.*/{_INFO}")]
    return max(versions, key=lambda path: [int(n) for n in path.name.split(".")], default=None)


def _prepare_idx_files(folder: Path) -> Path:
    """Prepare the four original files; TFDS renames the result when it is complete, not before."""
    missing = [
        name for pair in IDX_FILES.values() for name in pair if not (folder / name).is_file()
    ]
    if missing:
        raise FileNotFoundError(
            f"no MNIST in {folder}. {IDX_INSTRUCTIONS}, and put them into {folder} "
            f"(missing there: {', '.join(missing)}); or name a folder in which TFDS has prepared "
            f"mnist with file_format={_FORMAT!r}"
        )
    import tensorflow_datasets as tfds

    from rfp_jax.datasets._mnist_builder import Mnist

    builder = Mnist(data_dir=folder, file_format=_FORMAT)
    with tempfile.TemporaryDirectory() as downloads:  # TFDS wants one, though none is made
        config = tfds.download.DownloadConfig(manual_dir=folder)
        builder.download_and_prepare(download_dir=downloads, download_config=config)
    return Path(builder.data_path)


def _check_readable(builder: "tfds.core.DatasetBuilder", split: str) -> None:
    info = builder.info
    formats = {file_format.value for file_format in info.available_file_formats()}
    if _FORMAT not in formats:
        raise ValueError(
            f"{builder.data_path} was prepared as {', '.join(sorted(formats))}, which needs "
            f"TensorFlow to read. Prepare it again with file_format={_FORMAT!r}, or put the four "
            "idx files into an empty folder and name that one"
        )
    if builder.name != "mnist":
        raise ValueError(f"{builder.data_path} holds the data set {builder.name!r}, not 'mnist'")
    if split not in info.splits or not info.splits[split].num_examples:
        raise ValueError(f"{builder.data_path} has no examples in its split {split!r}")
