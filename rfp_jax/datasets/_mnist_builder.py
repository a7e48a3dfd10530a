"""MNIST as a TensorFlow Datasets builder that needs no TensorFlow.

The stock builder of TFDS unpacks the four idx files with TensorFlow. This one reads them itself. In
all else it is the stock builder's twin: same name and version, same features, same keys. TFDS
orders the examples by a hash of the keys, so both write the same examples in the same order.
"""

from collections.abc import Iterator
from pathlib import Path

import tensorflow_datasets as tfds
from PIL import Image

from rfp_jax.datasets._idx import CLASSES, IDX_FILES, IDX_INSTRUCTIONS, SIDE, read_idx_pairs


class Mnist(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Builder of MNIST from the four original files in the manual directory.

    Examples:
        >>> Mnist.name, str(Mnist.VERSION)
        ('mnist', '3.0.1')
    """

    name = "mnist"
    VERSION = tfds.core.Version("3.0.1")
    MANUAL_DOWNLOAD_INSTRUCTIONS = IDX_INSTRUCTIONS

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="The MNIST database of handwritten digits.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(SIDE, SIDE, 1), encoding_format="png"),
                    "label": tfds.features.ClassLabel(num_classes=CLASSES),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[int, dict[str, object]]]]:
        folder = Path(dl_manager.manual_dir)
        return {
            split: self._generate_examples(folder / images, folder / labels)
            for split, (images, labels) in IDX_FILES.items()
        }

    def _generate_examples(
        self, images_path: Path, labels_path: Path
    ) -> Iterator[tuple[int, dict[str, object]]]:
        for key, (image, label) in enumerate(read_idx_pairs(images_path, labels_path)):
            # As a PIL image: TFDS encodes arrays with TensorFlow, PIL images without.
            yield key, {"image": Image.fromarray(image), "label": label}
