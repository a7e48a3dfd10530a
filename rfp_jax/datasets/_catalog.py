"""The sets of images by name, for command lines."""

import os

from rfp_jax.datasets._digits import load_digits
from rfp_jax.datasets._images import ImageSplit, LabeledImages
from rfp_jax.datasets._mnist import DEFAULT_FOLDER, load_mnist


def load_images(
    name: str, split: ImageSplit, folder: str | os.PathLike[str] = DEFAULT_FOLDER
) -> LabeledImages:
    """Load a set of labeled images by its name.

    Args:
        name: `"digits"`, the real digits that scikit-learn brings along, or `"mnist"`.
        split: `"train"` or `"test"`.
        folder: Where MNIST lies, see `load_mnist`; the digits need no folder.

    Returns:
        The images of that split.

    Raises:
        ValueError: If there is no data set of that name, or no such split.
        FileNotFoundError: If MNIST is not in the folder; says what to download and where to put it.

    Examples:
        >>> len(load_images("digits", "train"))
        1437
    """
    if name == "digits":
        return load_digits(split)
    if name == "mnist":
        return load_mnist(split, folder)
    raise ValueError(f"unknown data set {name!r}: choose 'digits' or 'mnist'")
