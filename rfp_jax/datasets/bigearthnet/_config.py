"""Settings: what a sample of BigEarthNet shall hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rfp_jax.datasets.bigearthnet._bands import BANDS, EDGE, RESOLUTIONS, SAR_BANDS, Resolution
from rfp_jax.datasets.bigearthnet._classes import CLASSES, ClassCount

Inputs = Literal["s1", "s2", "s1s2"]
Resampling = Literal["nearest", "bilinear", "cubic", "average"]
RESAMPLING: tuple[Resampling, ...] = ("nearest", "bilinear", "cubic", "average")

SAR = "sar"


@dataclass(frozen=True)
class BigEarthNetConfig:
    """The contents of a sample of BigEarthNet.

    Attributes:
        inputs: `"s1"` radar alone, `"s2"` optical bands alone, `"s1s2"` both.
        bands: which optical bands, in the order in which they are stacked.
        resolution: `"native"` keeps the optical bands at their resolutions, one source for each:
            `optical_10m`, `optical_20m`, `optical_60m`. 10, 20 or 60 brings all of them, and
            radar, to pixels of so many meters, as one source `optical`.
        resampling: the method by which bands are brought to another resolution: `"nearest"`,
            `"bilinear"`, `"cubic"` or `"average"`, as GDAL knows them; none is chosen for you.
        classes: 19 or 43.
        normalize: whether to take `(x - mean) / std` with the archive's statistics (`BANDS`); else
            values are as they are stored.

    Raises:
        ValueError: if a setting is unknown, or `resampling` is lacking or of no use.

    Examples:
        >>> BigEarthNetConfig().sources
        ('optical_10m', 'optical_20m', 'optical_60m', 'sar')
        >>> config = BigEarthNetConfig(resolution=10, resampling="bilinear")
        >>> config.sources, config.shapes
        (('optical', 'sar'), ((120, 120, 12), (120, 120, 2)))
    """

    inputs: Inputs = "s1s2"
    bands: Sequence[str] = tuple(BANDS)
    resolution: Resolution | Literal["native"] = "native"
    resampling: Resampling | None = None
    classes: ClassCount = 19
    normalize: bool = True

    def __post_init__(self) -> None:
        if self.inputs not in ("s1", "s2", "s1s2"):
            raise ValueError(f"inputs must be one of s1, s2, s1s2, got {self.inputs!r}")
        if other := [band for band in self.bands if band not in BANDS]:
            raise ValueError(f"there is no band {other[0]!r}; there are {', '.join(BANDS)}")
        if not self.bands or len(set(self.bands)) < len(self.bands):
            raise ValueError(f"bands must be named, each once, got {list(self.bands)}")
        if self.classes not in CLASSES:
            raise ValueError(f"classes must be 19 or 43, got {self.classes}")
        if self.resolution not in ("native", *RESOLUTIONS):
            raise ValueError(f"resolution must be 'native', 10, 20 or 60, got {self.resolution!r}")
        if self.resampling not in (None, *RESAMPLING):
            raise ValueError(
                f"resampling must be one of {', '.join(RESAMPLING)}, got {self.resampling!r}"
            )
        if self.resolution == "native" and self.resampling:
            raise ValueError("resolution='native' resamples nothing: leave resampling out")
        if self._resamples and not self.resampling:
            raise ValueError(
                f"resolution={self.resolution} resamples bands: say how with resampling=, one of "
                f"{', '.join(RESAMPLING)}"
            )

    @property
    def stacks(self) -> dict[str, tuple[Resolution, tuple[str, ...]]]:
        """Each source to the meters of its pixels and its bands, in the order of the arguments."""
        common = None if self.resolution == "native" else self.resolution
        stacks: dict[str, tuple[Resolution, tuple[str, ...]]] = {}
        if "s2" in self.inputs and common is not None:
            stacks["optical"] = (common, tuple(self.bands))
        elif "s2" in self.inputs:
            for resolution in RESOLUTIONS:
                bands = tuple(b for b in self.bands if BANDS[b].resolution == resolution)
                if bands:
                    stacks[f"optical_{resolution}m"] = (resolution, bands)
        if "s1" in self.inputs:
            stacks[SAR] = (common or 10, tuple(SAR_BANDS))
        return stacks

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources in a sample, in the order of the networks' arguments."""
        return tuple(self.stacks)

    @property
    def shapes(self) -> tuple[tuple[int, int, int], ...]:
        """The shape of each source: rows, columns, bands."""
        return tuple(
            (EDGE // resolution, EDGE // resolution, len(bands))
            for resolution, bands in self.stacks.values()
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return CLASSES[self.classes]

    @property
    def _resamples(self) -> bool:
        """Return whether a band is brought to another resolution than its own."""
        known = {**BANDS, **SAR_BANDS}
        return any(
            known[band].resolution != resolution
            for resolution, bands in self.stacks.values()
            for band in bands
        )
