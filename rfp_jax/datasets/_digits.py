"""The 1,797 real handwritten digits that scikit-learn brings along: no download, 8 x 8 pixels."""

import numpy as np

from rfp_jax._util.extras import needs_extra
from rfp_jax.datasets._draws import Purpose, draw
from rfp_jax.datasets._images import ImageSplit, LabeledImages, check_split

SPLIT_SEED = 42
TEST_EVERY = 5


def load_digits(split: ImageSplit) -> LabeledImages:
    """Load the bundled digits, split for good into 1,437 for training and 360 for testing.

    The images are the test set of "Optical Recognition of Handwritten Digits" (Alpaydin & Kaynak,
    UCI Machine Learning Repository, 1998): 8 x 8 pixels, gray levels 0 to 16. The split is
    stratified: the images are put in a random order within each class, class after class, and
    every fifth goes to the test set, so that every class gives a fifth of its images, give or take
    one. Ids are positions in scikit-learn's order.

    Args:
        split: `"train"` or `"test"`.

    Returns:
        The images, uint8 of shape [1437 or 360, 8, 8, 1], with labels 0 to 9.

    Raises:
        ValueError: If `split` is another name.
        ModuleNotFoundError: If scikit-learn is not installed.

    Examples:
        >>> digits = load_digits("test")
        >>> digits.images.shape, digits.maximum
        ((360, 8, 8, 1), 16)
    """
    check_split(split)
    with needs_extra("Reading the bundled digits", "experiments"):
        from sklearn.datasets import load_digits as load_bundled_digits
    images, labels = load_bundled_digits(return_X_y=True)
    scatter = draw(SPLIT_SEED, Purpose.SPLIT, size=len(labels))
    in_test = np.zeros(len(labels), bool)
    in_test[np.lexsort((scatter, labels))[::TEST_EVERY]] = True
    ids = np.flatnonzero(in_test if split == "test" else ~in_test)
    return LabeledImages(
        images=np.asarray(images, np.uint8)[ids].reshape(-1, 8, 8, 1),
        labels=np.asarray(labels, np.int32)[ids],
        ids=ids.astype(np.int64),
        maximum=16,
    )
