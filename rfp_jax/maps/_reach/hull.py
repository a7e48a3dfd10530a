"""The source positions on which each element of a value depends, along one axis of a scene.

For every element the hull `[lo, hi]` of these positions is kept, in pixels of the scene. Padding
counts as the edge beside it, so a hull that meets the border grows with the scene, and one that
does not is that of any larger scene. Along the dimensions in which the axis runs, a value has a
*step*: how many pixels lie between one element and the next. Pixel shuffles and windows spread the
axis over several dimensions, as the digits of a position.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, reduce
from math import gcd, lcm, prod

import jax
import numpy as np

from rfp_jax._core.jaxprs import Results

NOTHING = 2**40
"""The lower end of an empty hull, which no position reaches; its upper end is the negative."""

MOST_PHASES = 64
"""No longer period of elements is looked for."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Reach:
    """Hulls of the source positions on which a value's elements depend.

    Attributes:
        lo, hi: lower and upper ends, int64, of the rank of the value; of size 1 along dimensions
            in which they do not change.
        steps: pixels from one element to the next, for each dimension in which the axis runs.
    """

    lo: np.ndarray
    hi: np.ndarray
    steps: Mapping[int, Fraction] = field(default_factory=dict)

    @classmethod
    def source(cls, rank: int, dim: int, size: int, ratio: int) -> Reach:
        """The reach of a source whose pixels are as large as `ratio` pixels of the scene."""
        lo = (np.arange(size) * ratio).reshape([-1 if d == dim else 1 for d in range(rank)])
        return cls(lo, lo + ratio - 1, {dim: Fraction(ratio)})

    @classmethod
    def nothing(cls, rank: int) -> Reach:
        """The reach of a constant."""
        none = np.full((1,) * rank, NOTHING)
        return cls(none, -none)

    @property
    def is_empty(self) -> bool:
        """Tell whether no element depends on anything."""
        return bool((self.lo > self.hi).all())

    @property
    def whole(self) -> tuple[int, int]:
        """The hull of all elements together."""
        return int(self.lo.min()), int(self.hi.max())

    @property
    def width(self) -> int:
        """The most pixels that one element depends on."""
        return max(int((self.hi - self.lo).max()) + 1, 0)

    def everywhere(self, rank: int) -> Reach:
        """The reach of elements that each depend on all of this value."""
        lo, hi = self.whole
        return Reach(np.full((1,) * rank, lo), np.full((1,) * rank, hi))

    def outer(self, shape: Shape) -> list[int]:
        """The dimensions that count whole pixels, steps or windows; the others are their digits."""
        whole = {d: step * shape[d] for d, step in self.steps.items()}
        return [d for d in self.steps if whole[d] not in self.steps.values() or shape[d] == 1]

    def moved(self, *permutation: int) -> Reach:
        """The reach with its dimensions in another order."""
        steps = {i: self.steps[d] for i, d in enumerate(permutation) if d in self.steps}
        return Reach(self.lo.transpose(permutation), self.hi.transpose(permutation), steps)

    def taken(
        self,
        change: Callable[[np.ndarray], np.ndarray],
        steps: Mapping[int, Fraction] | None = None,
    ) -> Reach:
        """The reach after a change of where elements are, the same for both ends."""
        return Reach(change(self.lo), change(self.hi), self.steps if steps is None else steps)

    def reduced(self, dims: Sequence[int], keep: bool = False) -> Reach:
        """The reach of what depends on all elements along some dimensions."""
        axes = tuple(dims)
        left = [d for d in range(self.lo.ndim) if d not in axes]
        kept = {d: d for d in left} if keep else {d: i for i, d in enumerate(left)}
        steps = {kept[d]: step for d, step in self.steps.items() if d in kept}
        lo, hi = self.lo.min(axes, keepdims=keep), self.hi.max(axes, keepdims=keep)
        return Reach(lo, hi, steps)

    def reshaped(self, shape: Shape, result: Shape) -> Reach:
        """The reach after a reshape: elements keep their order."""
        lo, hi, steps = self.lo, self.hi, {}
        sizes: list[int] = []
        for old, new in _groups(shape, result):
            varying = any(lo.shape[d] > 1 for d in old) or any(d in self.steps for d in old)
            if varying:
                sizes += [result[d] for d in new]
                lo, hi = (_spread(end, shape, old) for end in (lo, hi))
                outermost = min((d for d in old if d in self.steps), default=None)
                if outermost is not None:
                    pace = self.steps[outermost] / prod(shape[outermost + 1 : old[-1] + 1])
                    for d in (d for d in new if result[d] > 1):
                        steps[d] = pace * prod(result[d + 1 : new[-1] + 1])
            else:
                sizes += [1] * len(new)
        lo, hi = lo.reshape(sizes), hi.reshape(sizes)
        return collapsed(Reach(lo, hi, steps))


def join(reaches: Sequence[Reach]) -> Reach:
    """The reach of elements that depend on the same elements of several values.

    Raises:
        ValueError: steps differ, so that there is no common shift.
    """
    steps: dict[int, Fraction] = {}
    for reach in reaches:
        for d, step in reach.steps.items():
            if steps.setdefault(d, step) != step:
                raise ValueError("values of different resolution meet")
    lo = reduce(np.minimum, (reach.lo for reach in reaches))
    return Reach(lo, reduce(np.maximum, (reach.hi for reach in reaches)), steps)


def common(steps: Sequence[Fraction]) -> int:
    """The smallest whole number of pixels by which every value moves by whole elements.

    Examples:
        >>> common([Fraction(1), Fraction(1, 2), Fraction(4), Fraction(3, 2)])
        12
    """
    top = lcm(*(step.numerator for step in steps))
    return top // reduce(gcd, (step.denominator for step in steps))


def period(ends: np.ndarray) -> tuple[int, int] | None:
    """After how many elements hulls move by how many pixels, but for the edges; None if never.

    Args:
        ends: [2, n], lower and upper ends.

    Examples:
        >>> ends = np.arange(16) // 2
        >>> period(np.stack([ends, ends + 1]))
        (2, 1)
    """
    n = ends.shape[1]
    middle = ends[:, n // 8 : n - n // 8]
    for p in range(1, min(MOST_PHASES, middle.shape[1] // 2) + 1):
        moved = middle[:, p:] - middle[:, :-p]
        if (moved == moved[0, 0]).all():
            return p, int(moved[0, 0])
    return None


Memo = dict[int, Results]
"""Values of constants that are being computed together, by their identity."""


class Constant:
    """A value that depends on no source, computed when it is asked for.

    Args:
        compute: returns its value, given those of the constants that are computed with it.
        collapsed: the constant of which it is copies, with size 1 along their dimensions.
    """

    def __init__(self, compute: Callable[[Memo], Results], collapsed: Constant | None = None):
        self._compute, self._copied = compute, collapsed

    def evaluate(self, memo: Memo) -> Results:
        """Compute the value as a part of a larger program, each constant once."""
        if id(self) not in memo:
            memo[id(self)] = self._compute(memo)
        return memo[id(self)]

    @cached_property
    def value(self) -> Results:
        """The value, computed in one program with all that it is made of."""
        return jax.jit(lambda: self.evaluate({}))()

    @cached_property
    def collapsed(self) -> np.ndarray:
        """The value, of size 1 along dimensions of copies."""
        return np.asarray(self.value) if self._copied is None else self._copied.collapsed


def _groups(shape: Shape, result: Shape) -> list[tuple[list[int], list[int]]]:
    """Cut both shapes into the shortest runs of dimensions with as many elements."""
    groups, old, new, i, j = [], [], [], 0, 0
    while i < len(shape) or j < len(result):
        sizes = prod(shape[d] for d in old), prod(result[d] for d in new)
        if sizes[0] <= sizes[1] and i < len(shape):
            old, i = [*old, i], i + 1
        elif j < len(result):
            new, j = [*new, j], j + 1
        if old and new and prod(shape[d] for d in old) == prod(result[d] for d in new):
            groups.append((old, new))
            old, new = [], []
    if old or new:  # dimensions of size 1 at the end
        last = groups.pop() if groups else ([], [])
        groups.append((last[0] + old, last[1] + new))
    return groups


def _spread(end: np.ndarray, shape: Shape, dims: Sequence[int]) -> np.ndarray:
    """Give some dimensions their full size."""
    sizes = [shape[d] if d in dims else size for d, size in enumerate(end.shape)]
    return np.broadcast_to(end, sizes)


def collapsed(reach: Reach) -> Reach:
    """Give dimensions along which nothing changes the size 1; there the axis does not run."""
    lo, hi, steps = reach.lo, reach.hi, dict(reach.steps)
    for d in range(lo.ndim):
        if lo.shape[d] < 2:
            continue
        first = [end.take([0], d) for end in (lo, hi)]
        if (lo == first[0]).all() and (hi == first[1]).all():
            lo, hi = first
            steps.pop(d, None)
    return Reach(lo, hi, steps)
