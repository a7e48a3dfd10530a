"""Labeled gray-scale images in memory: what every source of digits is read into."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

ImageSplit = Literal["train", "test"]


@dataclass(frozen=True, eq=False)  # arrays have no single truth value
class LabeledImages:
    """Gray-scale images with integer gray levels, their labels and their ids.

    Attributes:
        images: Gray levels 0 to `maximum`, uint8, shape [N, H, W, 1].
        labels: Classes from 0 on, int32, shape [N].
        ids: Numbers that name the images, int64, shape [N]; unique, also between the training and
            the test images of one data set.
        maximum: The largest gray level that the data set uses, 1 to 255.

    Raises:
        ValueError: If the three arrays do not fit together, or there is no image at all.

    Examples:
        >>> two = LabeledImages(
        ...     images=np.zeros((2, 8, 8, 1), np.uint8),
        ...     labels=np.array([3, 7], np.int32),
        ...     ids=np.array([0, 1], np.int64),
        ...     maximum=16,
        ... )
        >>> len(two)
        2
    """

    images: np.ndarray
    labels: np.ndarray
    ids: np.ndarray
    maximum: int

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.shape[-1] != 1 or self.images.dtype != np.uint8:
            raise ValueError(
                "images must be uint8 of shape [N, H, W, 1], "
                f"got {self.images.dtype} of shape {self.images.shape}"
            )
        count = len(self.images)
        if count == 0:
            raise ValueError("this set of images is empty: at least one image is needed")
        if self.labels.shape != (count,) or self.ids.shape != (count,):
            raise ValueError(
                f"{count} images need labels and ids of shape ({count},), "
                f"got {self.labels.shape} and {self.ids.shape}"
            )
        if len(np.unique(self.ids)) != count or self.ids.min() < 0:
            raise ValueError("ids must be unique and not negative")
        if not 1 <= self.maximum <= 255 or self.images.max() > self.maximum:
            raise ValueError(
                f"maximum must lie in [1, 255] and bound every gray level, got {self.maximum} "
                f"where the largest level is {self.images.max()}"
            )

    def __len__(self) -> int:
        return len(self.images)


def check_split(split: str) -> None:
    """Refuse every split but `"train"` and `"test"`.

    Args:
        split: The name to check.

    Raises:
        ValueError: If `split` is another name.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split must be 'train' or 'test', got {split!r}")
