"""Compiled programs that commands keep between runs, in JAX's persistent compilation cache."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from importlib.util import find_spec
from pathlib import Path

import jax

LIMIT = 2**30
"""Bytes that kept programs may take; those that were not used for longest go first."""


def keep_programs() -> Path | None:
    """Let this process keep what it compiles, and use what an earlier one has kept.

    For commands, which are processes of their own: whoever imports the library decides for himself,
    by JAX's own settings. The folder is the user's alone, because a program that is loaded runs.
    JAX removes the oldest programs beyond `LIMIT` and locks the folder while it writes, for which
    it needs the package filelock.

    Nothing is changed where the user has said what to keep: `JAX_COMPILATION_CACHE_DIR` names
    another folder, `JAX_ENABLE_COMPILATION_CACHE=0` keeps nothing.

    Returns:
        The folder; None if this function has changed nothing, which includes a home that cannot be
        written to and an installation without filelock.

    Examples:
        >>> import jax
        >>> jax.config.values["jax_compilation_cache_dir"] is None or keep_programs() is None
        True
    """
    config = jax.config
    said = config.values
    if said["jax_compilation_cache_dir"] or not said["jax_enable_compilation_cache"]:
        return None
    if find_spec("filelock") is None:
        return None
    try:
        place = folder()
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # no home, or none that can be written to
        return None
    if not os.access(place, os.W_OK):
        return None
    config.update("jax_compilation_cache_dir", str(place))
    config.update("jax_compilation_cache_max_size", LIMIT)
    # A command compiles many small programs, which together take longer than the large one.
    config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    return place


def folder() -> Path:
    """The folder of kept programs, in the user's caches; it need not exist.

    Machine code fits the processor that it was made for, and homes are shared by machines: each
    kind of processor has a folder of its own.

    Returns:
        The path.

    Raises:
        RuntimeError: the user has no home.

    Examples:
        >>> folder().parent.name
        'rfp_jax'
    """
    if given := os.environ.get("XDG_CACHE_HOME"):
        caches = Path(given)
    elif sys.platform == "darwin":
        caches = Path.home() / "Library" / "Caches"
    else:
        caches = Path.home() / ".cache"
    return caches / "rfp_jax" / f"programs-{_processor()}"


def _processor() -> str:
    """A word for this kind of processor: its architecture, and a hash of what it can do."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.exists() else []
    can = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    known = can or platform.processor()
    return f"{platform.machine()}-{hashlib.sha256(known.encode()).hexdigest()[:8]}"
