"""Settings of the test session: strict shapes, two CPU devices, the same examples every time."""

import gc
import os
import signal

import jax
import pytest
from hypothesis import HealthCheck, settings

from tests.order import pytest_collection_modifyitems  # noqa: F401

# A silently broadcast vector hides a wrong axis, in the library as in a test.
jax.config.update("jax_numpy_rank_promotion", "raise")
# Collectives mean something on two devices only; arrays stay on the first unless a test says so.
jax.config.update("jax_num_cpu_devices", 2)
# An exception costs five times as much with its traceback filtered, and some tests raise thousands.
jax.config.update("jax_traceback_filtering", "off")

QUICK = (
    # the new ones take half of the time in which a small program compiles
    "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters",
    # to split it in order to compile its parts side by side takes a quarter of what is left
    "--xla_cpu_parallel_codegen_split_count=1",
)
"""Flags of XLA."""


def pytest_configure(config: pytest.Config) -> None:
    """Compile quickly: most programs of the suite run once, so what is compiled is not kept.

    `JAX_DISABLE_MOST_OPTIMIZATIONS=0 make test` compiles as users do.
    """
    quick = os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # for child processes too
    jax.config.update("jax_disable_most_optimizations", quick != "0")
    if quick != "0":  # XLA reads them with the first program
        flags = os.environ.get("XLA_FLAGS", "").split()
        os.environ["XLA_FLAGS"] = " ".join([*flags, *(f for f in QUICK if f not in flags)])
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "0"
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # commands do not compile the package anew


def pytest_collection_finish(session: pytest.Session) -> None:
    """Look for garbage among what the tests make, and not again and again in all modules."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


settings.register_profile(
    "rfp_jax",
    derandomize=True,
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("rfp_jax")


@pytest.fixture(autouse=True)
def no_power_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no disk: a killed process needs no fsync, and no test switches the machine off."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def x64():
    """Double precision for the length of a test, where exactness is the claim."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def ctrl_c_is_heard():
    """A shell's background jobs ignore Ctrl-C, and so do their children unless one listens."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
