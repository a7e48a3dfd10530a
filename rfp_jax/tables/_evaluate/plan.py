"""The plan of a run: chunks, batches within a chunk, slots within a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Chunks:
    """Consecutive samples cut into chunks of one size, the last one perhaps smaller.

    A chunk is the unit of work: it is committed as a whole or not at all.

    Attributes:
        samples: how many samples there are.
        size: how many samples a chunk holds.
    """

    samples: int
    size: int

    def __len__(self) -> int:
        return math.ceil(self.samples / self.size)

    def bounds(self, chunk: int) -> slice:
        """The samples of a chunk."""
        return slice(chunk * self.size, min((chunk + 1) * self.size, self.samples))

    def length(self, chunk: int) -> int:
        """Return how many samples a chunk holds."""
        bounds = self.bounds(chunk)
        return bounds.stop - bounds.start


@dataclass(frozen=True)
class Slots:
    """The order in which samples go through the device, with padding where a batch is not full.

    Every chunk is cut into batches of its own. So a sample's place in its batch depends on the
    sizes of chunk and batch alone, not on how many devices there are or which chunks a crash has
    left to do; a device always runs the same program on the same rows, and its results are the same
    bits.

    Attributes:
        chunks: all chunks of the data set.
        todo: the chunks to compute, ascending.
        batch: how many samples one device computes at once.

    Examples:
        >>> list(Slots(Chunks(samples=5, size=3), todo=(0, 1), batch=2))
        [0, 1, 2, None, 3, 4]
    """

    chunks: Chunks
    todo: Sequence[int]
    batch: int

    def __len__(self) -> int:
        if not self.todo:
            return 0
        whole = (len(self.todo) - 1) * self._padded(self.chunks.size)
        return whole + self._padded(self.chunks.length(self.todo[-1]))

    def __getitem__(self, slot: int) -> int | None:
        if not 0 <= slot < len(self):
            raise IndexError(f"slot {slot} of {len(self)}")
        nth, place = divmod(slot, self._padded(self.chunks.size))
        bounds = self.chunks.bounds(self.todo[nth])
        sample = bounds.start + place
        return sample if sample < bounds.stop else None

    def _padded(self, samples: int) -> int:
        return math.ceil(samples / self.batch) * self.batch
