"""The command `sen12ms {synthesize,pack,check,split,safe}`: what archives need."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

from rfp_jax._util.extras import needs_extra

with needs_extra("This command", "experiments"):
    import tyro
    from rich.console import Console
    from rich.progress import Progress

from rfp_jax.datasets.sen12ms import Archive
from rfp_jax.datasets.sen12ms import pack as write_pack
from rfp_jax.datasets.sen12ms import synthesize as write_synthetic
from rfp_jax.datasets.sen12ms._check import problems
from rfp_jax.datasets.sen12ms._layout import SIZE, PatchSplit
from rfp_jax.datasets.sen12ms._lists import make_safe
from rfp_jax.datasets.sen12ms._split import write_validation
from rfp_jax.datasets.sen12ms._synthesize import NOTE

Folder = Annotated[Path, tyro.conf.Positional]
Splits = tuple[PatchSplit, ...]
ALL: Splits = ("train", "val", "test")


def synthesize(
    out: Folder,
    /,
    *,
    patches: int = 200,
    size: int = SIZE,
    seed: int = 42,
) -> int:
    """Write a small synthetic archive in the layout of SEN12MS and SEN12MS-CR.

    Args:
        out: Folder to write; it must not exist.
        patches: How many patches.
        size: Height and width in pixels; official are 256, readers must be told of another.
        seed: Seed of everything random.
    """
    with _bar("Patches", patches) as advance:
        write_synthetic(out, patches, size=size, seed=seed, advance=advance)
    _say(f"{patches} patches of {NOTE}")
    _say(str(out))
    return 0


def pack(
    root: Folder,
    out: Folder,
    /,
    *,
    splits: Splits = ALL,
    labels: Path | None = None,
    cloudy: Path | None = None,
    size: int = SIZE,
    dtype: Literal["float16", "float32"] = "float32",
    shard: int = 1024,
    threads: int = 8,
    skip_broken: bool = False,
) -> int:
    """Write normalized patches into ArrayRecord shards, once, for fast reading.

    Args:
        root: The archive.
        out: Where to write; a folder for each split appears in it.
        splits: Which splits to pack.
        labels: Folder with labels and splits; the archive's if not given.
        cloudy: Folder of SEN12MS-CR; the archive's if not given.
        size: Height and width of the patches.
        dtype: Of the pixels.
        shard: Patches in a shard.
        threads: How many threads read.
        skip_broken: Note patches that cannot be read instead of stopping.
    """
    for split in splits:
        archive = Archive(root, split, labels=labels, cloudy=cloudy, size=size)
        with _bar(f"Packing {split}", len(archive)) as advance:
            folder = write_pack(
                archive,
                out,
                dtype=dtype,
                shard=shard,
                threads=threads,
                skip_broken=skip_broken,
                advance=advance,
            )
        _say(str(folder))
    return 0


def check(
    root: Folder,
    /,
    *,
    splits: Splits = ALL,
    labels: Path | None = None,
    cloudy: Path | None = None,
    size: int = SIZE,
    threads: int = 8,
) -> int:
    """Read every file of an archive and tell what is missing or damaged.

    The folders, lists and labels of all splits are looked at before any image is read.

    Args:
        root: The archive.
        splits: Which splits to look at.
        labels: Folder with labels and splits; the archive's if not given.
        cloudy: Folder of SEN12MS-CR; the archive's if not given.
        size: Height and width of the patches.
        threads: How many threads read.
    """
    found = 0
    archives = [Archive(root, split, labels=labels, cloudy=cloudy, size=size) for split in splits]
    for archive in archives:
        if archive.twins.any():
            archive.check_cloudy()
    for split, archive in zip(splits, archives, strict=True):
        with _bar(f"Checking {split}", len(archive)) as advance:
            wrong = list(problems(archive, threads=threads, advance=advance))
        _say(f"{split}: {len(archive)} patches, {archive.twins.sum()} with a cloudy twin")
        for name, reason in wrong:
            _say(f"  {name}: {reason}")
        found += len(wrong)
    _say(f"{found} problems" if found else "everything is there and can be read")
    return int(found > 0)


def split(
    folder: Folder, /, *, out: Path | None = None, fraction: float = 0.1, seed: int = 42
) -> int:
    """Draw a validation list from the training list, by scene.

    No scene has patches on both sides. Writes val_list.txt and the remaining train_list.txt.

    Args:
        folder: Where train_list is.
        out: Where to write; the same folder if not given.
        fraction: Of the training patches that validation has at least.
        seed: Seed of the draw.
    """
    drawn, written = write_validation(
        folder, folder if out is None else out, fraction=fraction, seed=seed
    )
    for name, patches in zip(("train", "val"), drawn, strict=True):
        scenes = {(patch.season, patch.scene) for patch in patches}
        _say(f"{name}: {len(patches)} patches of {len(scenes)} scenes")
    for path in written:
        _say(str(path))
    return 0


def safe(folder: Folder, /, *, out: Path | None = None) -> int:
    """Convert the published pickles of labels and splits to plain text and npz.

    They are read by an unpickler that runs no code.

    Args:
        folder: Where the pickles are.
        out: Where to write; the same folder if not given.
    """
    for path in make_safe(folder, folder if out is None else out):
        _say(str(path))
    return 0


def main(arguments: Sequence[str] | None = None, prog: str = "rfp-jax sen12ms") -> int:
    """Run a command.

    Args:
        arguments: of the command line; None takes this process's.
        prog: what help calls the command.

    Returns:
        The exit status: 0, or 1 after an error that was printed.
    """
    commands = {
        "synthesize": synthesize,
        "pack": pack,
        "check": check,
        "split": split,
        "safe": safe,
    }
    try:
        return tyro.extras.subcommand_cli_from_dict(
            commands,
            args=arguments,
            prog=prog,
            description="Commands for archives of SEN12MS.",
        )
    except (ValueError, LookupError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted: nothing half written is left behind", file=sys.stderr)
        return 130


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


def _say(text: str) -> None:
    print(text, flush=True)
