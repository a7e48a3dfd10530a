"""SEN12MS as samples of two sources, optical and SAR, clear or cloudy."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, TypeAlias

import numpy as np

from rfp_jax._util.extras import needs_extra
from rfp_jax.datasets._draws import Purpose, draw_order
from rfp_jax.datasets.sen12ms._archive import Archive, Optical, Patches
from rfp_jax.datasets.sen12ms._labels import (
    CLASSES,
    ClassCount,
    multi_label,
    pixel_labels,
    single_label,
)

if TYPE_CHECKING:
    import grain

Inputs = Literal["s1", "s2", "s1s2", "rgb"]
OPTICAL, SAR = "optical", "sar"

PatchSample: TypeAlias = dict[str, Any]
"""Parts of a sample, or of a batch, by name. Any: each part has its own type."""

_OPTICAL: dict[str, Optical | None] = {"s1": None, "s2": "s2", "s1s2": "s2", "rgb": "rgb"}


@dataclass(frozen=True)
class Sen12MSConfig:
    """The contents of a sample of SEN12MS.

    Attributes:
        inputs: `"s1"` SAR alone, `"s2"` ten optical bands, `"s1s2"` both, `"rgb"` blue, green, red.
        classes: 10 simplified classes or all 17 of IGBP.
        multi_label: whether the label is one bool a class instead of one class.
        cloud_fraction: Which fraction of the patches that have a cloudy twin show it, 0 to 1.
            With one seed the cloudy patches of a smaller fraction are among those of a larger one.
        cloud_cover: whether to estimate the cloud cover of every optical image; costs time.
        land_cover: whether to read the class of every pixel, from the folders `lc_*`.
        cloud_mask: whether to estimate which pixels of every optical image are under clouds.
        seed: of the choice of cloudy patches and of the order in which they are loaded.

    Raises:
        ValueError: if a setting is unknown or out of its range.

    Examples:
        >>> Sen12MSConfig(inputs="rgb").sources
        ('optical',)
        >>> Sen12MSConfig().channels
        (10, 2)
    """

    inputs: Inputs = "s1s2"
    classes: ClassCount = 10
    multi_label: bool = False
    cloud_fraction: float = 0.0
    cloud_cover: bool = False
    land_cover: bool = False
    cloud_mask: bool = False
    seed: int = 42

    def __post_init__(self) -> None:
        if self.inputs not in _OPTICAL:
            raise ValueError(f"inputs must be one of {', '.join(_OPTICAL)}, got {self.inputs!r}")
        if self.classes not in CLASSES:
            raise ValueError(f"classes must be 10 or 17, got {self.classes}")
        if not 0 <= self.cloud_fraction <= 1:  # also refuses nan
            raise ValueError(f"cloud_fraction must lie in [0, 1], got {self.cloud_fraction}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")

    @property
    def optical(self) -> Optical | None:
        """The optical bands, if there are any."""
        return _OPTICAL[self.inputs]

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources in a sample, in the order of the networks' arguments."""
        optical = (OPTICAL,) if self.optical else ()
        return (*optical, SAR) if self.inputs in ("s1", "s1s2") else optical

    @property
    def channels(self) -> tuple[int, ...]:
        """The number of channels of each source."""
        sizes = {OPTICAL: 3 if self.optical == "rgb" else 10, SAR: 2}
        return tuple(sizes[name] for name in self.sources)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return CLASSES[self.classes]


class Sen12MS:
    """A random-access data set of SEN12MS patches.

    A sample is a dict of

    - `optical`: float32 [size, size, 10 or 3], and `sar`: float32 [size, size, 2], as far as the
      inputs have them, normalized as for the published networks;
    - `label`: int32 [], or bool [classes];
    - `id`: the patch's name;
    - `cloudy`: whether the optical image is the cloudy twin;
    - `cloud_cover`: 0 to 1, if it is asked for and there is an optical image;
    - `land_cover`: the class of every pixel, int32 [size, size], -1 where none is known, and
      `cloud_mask`: bool [size, size], if they are asked for.

    An index beyond the end means a later epoch, `i + epoch * len(self)`. Epochs differ in which
    patches are cloudy, where `cloud_fraction` is neither 0 nor 1.

    Args:
        patches: an `Archive` or a `Packed`.
        config: what a sample shall hold.

    Raises:
        ValueError: if clouds are asked for and no patch has a cloudy twin; if something of
            every pixel is asked for and `patches` is a pack, which holds none of it.
        FileNotFoundError: if clouds are asked for and none of their files is there.
    """

    def __init__(self, patches: Patches, config: Sen12MSConfig = Sen12MSConfig()) -> None:
        if config.cloud_fraction and config.optical:
            if not patches.twins.any():
                raise ValueError(
                    f"cloud_fraction={config.cloud_fraction}, but no patch of {patches} has a "
                    "cloudy twin: unpack SEN12MS-CR beside SEN12MS, or name its folder"
                )
            patches.check_cloudy()
        self.patches, self.config = patches, config
        if config.land_cover or config.cloud_mask:
            self._archive()  # found missing here rather than in the middle

    def __len__(self) -> int:
        return len(self.patches.patches)

    def __repr__(self) -> str:
        return f"Sen12MS({self.patches}, {self.config})"

    @property
    def ids(self) -> list[str]:
        """Names of all patches."""
        return [patch.name for patch in self.patches.patches]

    def __getitem__(self, index: SupportsIndex) -> PatchSample:
        epoch, own = divmod(int(index), len(self))
        if epoch < 0:
            raise IndexError(f"index must not be negative, got {index}")
        config = self.config
        cloudy = bool(self._cloudy(epoch)[own])
        found = self.patches.read(
            own,
            optical=config.optical,
            sar=SAR in config.sources,
            cloudy=cloudy,
            cover=config.cloud_cover,
        )
        label = multi_label if config.multi_label else single_label
        sample: PatchSample = {
            "label": label(self.patches.probabilities(own), config.classes),
            "id": self.patches.patches[own].name,
            "cloudy": cloudy,
        }
        images = {OPTICAL: found.optical, SAR: found.sar}
        sample |= {name: image for name, image in images.items() if image is not None}
        if found.cloud_cover is not None:
            sample["cloud_cover"] = found.cloud_cover
        if config.land_cover:
            sample["land_cover"] = pixel_labels(self._archive().land_cover(own), config.classes)
        if config.cloud_mask:
            sample["cloud_mask"] = self._archive().cloud_mask(own, cloudy=cloudy)
        return sample

    def loader(
        self,
        batch_size: int,
        *,
        epoch: int = 0,
        shuffle: bool = False,
        drop_remainder: bool = False,
        threads: int = 16,
        workers: int = 0,
    ) -> "grain.IterDataset[PatchSample]":
        """Read one epoch in batches, several patches at once, ahead of their use.

        Args:
            batch_size: samples in a batch, at least 1.
            epoch: which epoch, from 0 on.
            shuffle: whether to go through it in a random order, another one in every epoch.
            drop_remainder: whether to leave out the last batch if it is smaller than the rest.
            threads: how many threads read; 0 reads in the main thread.
            workers: how many processes read, each with as many threads; 0 for none of their own.
                Each makes batches of every so many-th sample, so their contents depend on the
                number of workers. The program must guard its main part with
                `if __name__ == "__main__"`.

        Returns:
            A Grain data set of batches; its iterator's state can be kept in a checkpoint.

        Raises:
            ValueError: if `batch_size` is smaller than 1, or `epoch` negative.
            ModuleNotFoundError: if Grain is not installed.
        """
        if batch_size < 1 or epoch < 0:
            raise ValueError(
                f"batch_size must be at least 1 and epoch not negative, got {batch_size}, {epoch}"
            )
        with needs_extra("Reading data in batches", "experiments"):
            import grain
        order = np.arange(len(self))
        if shuffle:
            order = draw_order(self.config.seed, Purpose.ORDER, epoch, size=len(self))
        options = grain.ReadOptions(
            num_threads=threads, prefetch_buffer_size=max(threads, 2 * batch_size)
        )
        dataset = grain.MapDataset.source(_Ordered(self, order + epoch * len(self)))
        batches = dataset.to_iter_dataset(options).batch(batch_size, drop_remainder=drop_remainder)
        if workers:
            from absl import flags

            if not flags.FLAGS.is_parsed():  # Grain's workers ask for them
                flags.FLAGS.mark_as_parsed()
            batches = batches.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))
        return batches

    def batches(
        self,
        batch_size: int,
        **options: Any,  # Any: the arguments of `loader`, each of its own type
    ) -> Iterator[PatchSample]:
        """Iterate over `loader(batch_size, ...)`."""
        return iter(self.loader(batch_size, **options))

    def _archive(self) -> Archive:
        """The patches, if something is known of every pixel of them."""
        if isinstance(self.patches, Archive):
            return self.patches
        raise ValueError(
            f"{self.patches} holds no land cover and no cloud mask of pixels: read the archive "
            "that was packed"
        )

    @functools.lru_cache(maxsize=2)  # noqa: B019 (a data set lives as long as the program)
    def _cloudy(self, epoch: int) -> np.ndarray:
        """Draw the patches that show their cloudy twin in an epoch, bool [N]."""
        cloudy = np.zeros(len(self), bool)
        if self.config.optical:
            twins = np.flatnonzero(self.patches.twins)
            order = draw_order(self.config.seed, Purpose.CLOUDY, epoch, size=len(twins))
            cloudy[twins[order[: round(self.config.cloud_fraction * len(twins))]]] = True
        return cloudy


class _Ordered:
    """The samples of a data set at given indices."""

    def __init__(self, data: Sen12MS, indices: np.ndarray) -> None:
        self._data, self._indices = data, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: SupportsIndex) -> PatchSample:
        return self._data[int(self._indices[index])]
