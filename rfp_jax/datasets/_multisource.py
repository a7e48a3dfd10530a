"""Two data sources made from one image: the data-fusion digits of the RFP paper.

One image becomes two sources: its left and its right half, or the whole image twice. Each source
can be spoilt on its own, so that it is known beforehand which source a network should rely on
(Gawlikowski & Gottschling, "Relevance Forward Propagation", BMVC 2024, multi-source MNIST).
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, SupportsIndex, TypedDict

import jax
import numpy as np

from rfp_jax._util.extras import needs_extra
from rfp_jax.datasets._draws import Purpose, draw, draw_order
from rfp_jax.datasets._images import LabeledImages

if TYPE_CHECKING:
    import grain


@dataclass(frozen=True)
class SourceConfig:
    """Changes that are made to the images of one source.

    Attributes:
        data_noise: Fraction of the images, in [0, 1], whose pixels become uniform random gray
            levels.
        label_noise: Fraction of the images, in [0, 1], that change places among themselves, while
            the labels stay where they are.
        shuffle: Whether the pixels of every image are permuted, afresh for every image.
        invert: Whether black becomes white and white black.

    Raises:
        ValueError: If a fraction does not lie in [0, 1].

    Examples:
        >>> SourceConfig(data_noise=0.5).data_noise
        0.5
    """

    data_noise: float = 0.0
    label_noise: float = 0.0
    shuffle: bool = False
    invert: bool = False

    def __post_init__(self) -> None:
        for name in ("data_noise", "label_noise"):
            fraction = getattr(self, name)
            if not 0.0 <= fraction <= 1.0:  # also refuses nan
                raise ValueError(f"{name} is a fraction and must lie in [0, 1], got {fraction}")


@dataclass(frozen=True)
class MultiSourceConfig:
    """The recipe by which a set of images becomes samples with two sources.

    Attributes:
        view: `"halves"`: source 1 is the left half of the image and source 2 the right half;
            `"full"`: both sources are the whole image.
        sum_labels: Whether a sample shows two different images of the set, one per source, and its
            label is the sum of the two labels modulo ten. Source 1 shows every image once an epoch;
            source 2 shows any of the others, drawn anew in every epoch.
        source1: What is done to source 1.
        source2: What is done to source 2.
        seed: Seed of everything random, not negative. The same seed gives the same samples on any
            machine, in any order of access.

    Raises:
        ValueError: If the view is unknown or the seed is negative.

    Examples:
        >>> config = MultiSourceConfig(view="full", source2=SourceConfig(shuffle=True))
        >>> config.source2.shuffle
        True
    """

    view: Literal["halves", "full"] = "halves"
    sum_labels: bool = False
    source1: SourceConfig = field(default_factory=SourceConfig)
    source2: SourceConfig = field(default_factory=SourceConfig)
    seed: int = 42

    def __post_init__(self) -> None:
        if self.view not in ("halves", "full"):
            raise ValueError(f"view must be 'halves' or 'full', got {self.view!r}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")


class Sample(TypedDict):
    """One sample; a batch of N samples has one more leading axis N everywhere.

    The last axis of the four per-source entries is the source.

    Attributes:
        images: One image per source, float32, [H, W / 2 or W, 1], scaled to [-1, 1].
        label: What the network shall predict, int32, [].
        id: Id of the image that the sample was made from, int64, [].
        source_id: Id of the image that each source shows, int64, [2]; where the pixels are noise,
            of the image that the noise replaced.
        source_label: Original label of that image, int32, [2].
        data_noise: Whether the pixels of each source are noise, bool, [2].
        label_noise: Whether each source shows an image that changed places, bool, [2].
    """

    images: tuple[np.ndarray, np.ndarray]
    label: np.ndarray
    id: np.ndarray
    source_id: np.ndarray
    source_label: np.ndarray
    data_noise: np.ndarray
    label_noise: np.ndarray


class MultiSource:
    """A random-access data set of samples with two sources.

    Every image goes through these steps, each with its own random numbers: inversion, pixel
    shuffle, data noise, scaling to [-1, 1] by `(x / maximum - 0.5) / 0.5`. Of N images,
    `round(fraction * N)` are noisy; with one seed the noisy images of a smaller fraction are among
    those of a larger one.

    **Labels under label noise.** The label belongs to the sample; label noise exchanges images. In
    the noisy subset of a source the images move on by one place along a random cycle, so that none
    stays (a subset of one has nothing to exchange and stays as it is). If one source is noisy, the
    label is therefore the one that the other source shows. If both sources of a sample are noisy,
    the label is still the sample's own, and no source need show it: the published code leaves this
    case undefined, the definition is this project's. With `sum_labels` the label is likewise the
    sum over the two images as paired, before label noise exchanges one or both. An exchanged image
    may happen to be of the same class; `source_label` tells. An image that changes places takes its
    own data noise along.

    An index beyond the end means a later epoch: `i + epoch * len(self)`. Epochs differ only with
    `sum_labels`, whose pairs are drawn anew.

    Args:
        images: The images to make the sources from.
        config: What to do with them.

    Raises:
        ValueError: If the images cannot be halved, or a sum needs two images and there is only one.

    Examples:
        >>> from rfp_jax.datasets import load_digits
        >>> data = MultiSource(load_digits("test"))
        >>> [image.shape for image in data[0]["images"]]
        [(8, 4, 1), (8, 4, 1)]
        >>> left, right = data.arrays()["images"]
        >>> left.shape, left.dtype
        ((360, 8, 4, 1), dtype('float32'))
    """

    def __init__(
        self, images: LabeledImages, config: MultiSourceConfig = MultiSourceConfig()
    ) -> None:
        count, _, width, _ = images.images.shape
        if config.view == "halves" and width % 2:
            raise ValueError(
                f"images {width} pixels wide have no two equal halves: use view='full'"
            )
        if config.sum_labels and count < 2:
            raise ValueError("sum_labels needs at least two images, got one")
        self.config = config
        self._images = images
        self._sources = (config.source1, config.source2)
        self._noisy = tuple(self._noisy_images(s) for s in range(2))
        self._shown = tuple(self._exchanged_images(s) for s in range(2))

    def __len__(self) -> int:
        return len(self._images)

    def __repr__(self) -> str:
        return f"MultiSource({len(self)} images, {self.config})"

    def __getitem__(self, index: SupportsIndex) -> Sample:
        epoch, own = divmod(int(index), len(self))
        if epoch < 0:
            raise IndexError(f"index must not be negative, got {index}")
        labels, ids, summed = self._images.labels, self._images.ids, self.config.sum_labels
        paired = [own, self._partner(own, epoch) if summed else own]
        shown = [int(self._shown[s][at]) for s, at in enumerate(paired)]
        return Sample(
            images=(self._render(0, shown[0]), self._render(1, shown[1])),
            label=np.asarray(labels[paired].sum() % 10 if summed else labels[own], np.int32),
            id=np.asarray(ids[own], np.int64),
            source_id=ids[shown],
            source_label=labels[shown],
            data_noise=np.array([self._noisy[s][at] for s, at in enumerate(shown)]),
            label_noise=np.not_equal(shown, paired),
        )

    def arrays(self, epoch: int = 0) -> Sample:
        """Make all samples of one epoch at once.

        Args:
            epoch: Which epoch, from 0 on.

        Returns:
            A batch of all N samples in the order of the images.
        """
        start = epoch * len(self)
        samples = [self[start + i] for i in range(len(self))]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *samples)

    def batches(
        self,
        batch_size: int,
        *,
        epochs: int = 1,
        shuffle: bool = False,
        drop_remainder: bool = False,
    ) -> "grain.MapDataset[Sample]":
        """Read the samples in batches through Grain.

        Args:
            batch_size: Samples a batch, at least 1.
            epochs: How often to go through the data set, at least 1.
            shuffle: Whether to go through it in a random order, another one in every epoch, keyed
                by the seed of the config.
            drop_remainder: Whether to leave out an epoch's last batch if it is smaller than the
                rest.

        Returns:
            A Grain data set of batches, none of which mixes two epochs; its `to_iter_dataset()`
            gives an iterator whose state can be kept in a checkpoint.

        Raises:
            ValueError: If `batch_size` or `epochs` is smaller than 1.
            ModuleNotFoundError: If Grain is not installed.

        Examples:
            >>> from rfp_jax.datasets import load_digits
            >>> batches = MultiSource(load_digits("test")).batches(64)
            >>> len(batches), batches[0]["images"][0].shape
            (6, (64, 8, 4, 1))
        """
        if batch_size < 1 or epochs < 1:
            raise ValueError(
                f"batch_size and epochs must be at least 1, got {batch_size} and {epochs}"
            )
        with needs_extra("Reading data in batches", "experiments"):
            import grain
        # A plain Grain source sees the index without its epoch; `map_with_index` hands on both.
        dataset = grain.MapDataset.range(len(self)).map_with_index(lambda index, _: self[index])
        if shuffle:
            dataset = dataset.shuffle(seed=self.config.seed % 2**32)
        return dataset.batch(batch_size, drop_remainder=drop_remainder).repeat(epochs)

    def _noisy_images(self, source: int) -> np.ndarray:
        """Tell which images of a source are data noise, bool [N]."""
        noisy = np.zeros(len(self), bool)
        noisy[self._subset(Purpose.DATA_NOISE, source, self._sources[source].data_noise)] = True
        return noisy

    def _exchanged_images(self, source: int) -> np.ndarray:
        """Tell which image of a source is shown in the place of each, int64 [N]."""
        shown = np.arange(len(self))
        subset = self._subset(Purpose.LABEL_NOISE, source, self._sources[source].label_noise)
        shown[subset] = np.roll(subset, 1)
        return shown

    def _subset(self, purpose: Purpose, source: int, fraction: float) -> np.ndarray:
        order = draw_order(self.config.seed, purpose, source, size=len(self))
        return order[: round(fraction * len(self))]

    def _partner(self, own: int, epoch: int) -> int:
        """Draw any image but `own`, with equal chances."""
        name = (epoch, int(self._images.ids[own]))
        (number,) = draw(self.config.seed, Purpose.PARTNER, *name, size=1)
        return (own + 1 + int(number) % (len(self) - 1)) % len(self)

    def _render(self, source: int, at: int) -> np.ndarray:
        """Make the pixels of a source from the image at one place."""
        config, maximum, seed = self._sources[source], self._images.maximum, self.config.seed
        name = (source, int(self._images.ids[at]))
        pixels = self._images.images[at]
        if self.config.view == "halves":
            pixels = np.split(pixels, 2, axis=1)[source]
        if config.invert:
            pixels = maximum - pixels
        if config.shuffle:
            order = draw_order(seed, Purpose.SHUFFLE, *name, size=pixels.size)
            pixels = pixels.reshape(-1)[order].reshape(pixels.shape)
        if self._noisy[source][at]:
            noise = draw(seed, Purpose.NOISE_PIXELS, *name, size=pixels.size)
            pixels = (noise % np.uint64(maximum + 1)).reshape(pixels.shape)
        return ((pixels / maximum - 0.5) / 0.5).astype(np.float32)
