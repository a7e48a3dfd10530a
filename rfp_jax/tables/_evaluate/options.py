"""Groups of arguments of `evaluate`: where things are in a sample, places, how a run works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rfp_jax._util.trees import Devices


@dataclass(frozen=True)
class Columns:
    """Keys of things in a sample, and the things that the table keeps.

    Attributes:
        inputs: keys of the model's arguments in a sample, in the model's order; by default the
            names of the sources, then those of the other inputs.
        label: key of the label. Samples need not have one.
        id: key of a sample's name. Without one the name is the index.
        ids: names of all samples, so that even one that cannot be read has its name.
        metadata: keys of further values to keep, one number, bool, text or time each; or a mapping
            of keys to their kinds: `"bool"`, `"int"`, `"float"`, `"text"` or `"time"`.
        fill: what stands in the place of masked values of an input, one number for all inputs or
            one by key. Where nothing is given it is NaN, and the sample fails.
        fields: names of the parts of a sample that is a tuple, as PyTorch's data sets return it.
        units: units by name of the metadata, and of `"output"` (relevance has those of the output).

    Examples:
        >>> Columns(metadata={"cloud_cover": "float"}, units={"cloud_cover": "1"}).label
        'label'
    """

    inputs: Sequence[str] | None = None
    label: str = "label"
    id: str = "id"
    ids: Sequence[object] | None = None
    metadata: Sequence[str] | Mapping[str, str] = ()
    fill: float | Mapping[str, float] | None = None
    fields: Sequence[str] | None = None
    units: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_argument(cls, columns: Columns | Sequence[str] | None) -> Columns:
        """Return the columns that an argument stands for: a sequence names parts of tuples."""
        if isinstance(columns, Columns):
            return columns
        if isinstance(columns, str):
            raise TypeError(f"columns must be Columns or a sequence of names, got {columns!r}")
        return cls(fields=None if columns is None else tuple(columns))

    def fill_of(self, key: str) -> float:
        """Return what stands in the place of masked values of an input."""
        if isinstance(self.fill, Mapping):
            return self.fill.get(key, float("nan"))
        return float("nan") if self.fill is None else self.fill


@dataclass(frozen=True)
class Places:
    """Options for outputs with places: maps [batch, y, x, class], or [batch, time, class].

    Attributes:
        dims: how the output lies, a letter for each dimension, `"b"` the batch and `"c"` the
            classes: `"byxc"`, `"bcyx"`, `"btc"`, `"bct"`. By default classes are the last or the
            second dimension, whichever has as many as there are names.
        ignore_index: the label of places that do not count. -1 and NaN never do.
        keep_maps: whether the table keeps maps, too: at every place the relevance of each source
            for the class that is predicted there (`rfp_jax.tables.open_maps`).

    Raises:
        ValueError: `dims` is not such a word.

    Examples:
        >>> Places(dims="bcyx", ignore_index=255).keep_maps
        False
    """

    dims: str | None = None
    ignore_index: int | None = None
    keep_maps: bool = False

    def __post_init__(self) -> None:
        letters = self.dims or "btc"
        if letters[:1] != "b" or letters.count("c") != 1 or len(set(letters)) < len(letters):
            raise ValueError(
                f"dims={self.dims!r} must have a letter of its own for each dimension, 'b' first "
                "and 'c' for the classes: 'byxc', 'bcyx', 'btc' or 'bct'"
            )


@dataclass(frozen=True)
class RunOptions:
    """Options of a run. The numbers in the table do not depend on it, but for their last bits.

    Attributes:
        chunk: samples that are committed together; a run that goes on must use the same.
        batch: samples that one device computes at once. By default the largest power of two that
            fits `max_bytes`, up to 32 on a CPU and 256 elsewhere; a resumed table keeps the one
            that it was begun with.
        max_bytes: memory of each device to use; by default three quarters of what is free, or
            1 GiB where the device does not say (CPU).
        devices: devices of this process to use; by default all.
        threads: how many threads read samples; 0 reads in the main thread.
        strict: whether to stop at the first sample that fails or whose relevance is not finite.
        max_failures: how many samples may fail; one more stops the run. By default any number. Each
            of several processes counts its own.
        progress: whether to show a progress bar and a summary (on stderr); of several processes
            the first one shows its share.

    Raises:
        ValueError: a number is too small; says which.

    Examples:
        >>> RunOptions(chunk=0)
        Traceback (most recent call last):
        ValueError: chunk must be at least 1, got 0
    """

    chunk: int = 1024
    batch: int | None = None
    max_bytes: int | None = None
    devices: Devices | None = None
    threads: int = 16
    strict: bool = False
    max_failures: int | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        least = {"chunk": 1, "batch": 1, "max_bytes": 1, "threads": 0, "max_failures": 0}
        for name, smallest in least.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise ValueError(f"{name} must be at least {smallest}, got {value}")
