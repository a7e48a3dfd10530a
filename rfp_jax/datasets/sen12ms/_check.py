"""Looking at every file of an archive before days are spent on it."""

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from rfp_jax.datasets.sen12ms._archive import Archive
from rfp_jax.datasets.sen12ms._geotiff import UnitWarning, read_s1, read_s2


def problems(
    archive: Archive, *, threads: int = 8, advance: Callable[[], None] = lambda: None
) -> Iterator[tuple[str, str]]:
    """Find every patch of a split that has no label or a file that cannot be read.

    All bands of all files are decoded, so that a truncated one is found. Values that look as if
    they were in other units are a problem here.

    Args:
        archive: the split.
        threads: how many threads read.
        advance: called after every patch, for a progress bar.

    Yields:
        Name of the patch, and what is wrong; several for one patch if several things are.
    """

    def look(index: int) -> list[str]:
        reasons = []
        looks: list[Callable[[], object]] = [
            lambda: archive.probabilities(index),
            lambda: read_s2(archive.file(index, "s2"), size=archive.size),
            lambda: read_s1(archive.file(index, "s1"), size=archive.size),
        ]
        if archive.twins[index]:
            looks.append(lambda: read_s2(archive.file(index, "s2_cloudy"), size=archive.size))
        for each in looks:
            try:
                each()
            except (ValueError, LookupError, UnitWarning) as error:
                reasons.append(str(error))
        return reasons

    with warnings.catch_warnings(), ThreadPoolExecutor(max(threads, 1)) as pool:
        warnings.simplefilter("error", UnitWarning)
        for patch, reasons in zip(
            archive.patches, pool.map(look, range(len(archive))), strict=True
        ):
            advance()
            yield from ((patch.name, reason) for reason in reasons)
