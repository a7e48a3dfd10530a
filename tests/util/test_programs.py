"""Commands keep what they compile, where the user has said nothing else."""

import json
import os
import subprocess
import sys

import jax
import pytest

from rfp_jax._util import programs

COMMAND = """
import collections, json, sys
import jax

counts = collections.Counter()
jax.monitoring.register_event_listener(lambda event, **_: counts.update([event]))
from rfp_jax._util.commands import run

run("work", sys.argv[1:], prog="work")
names = "hits", "misses"
print(json.dumps({name: counts[f"/jax/compilation_cache/cache_{name}"] for name in names}))
"""
WORK = """
import jax, jax.numpy as jnp
import rfp_jax

def main(arguments, prog):
    explain = rfp_jax.jit(rfp_jax.relevance(lambda x, y: jax.nn.relu(x @ y), argnums=(0, 1)))
    explain(jnp.ones((2, 3)), jnp.ones((3, 2)))
    return 0
"""


def compiled(home, **environment):
    """Run a command in a process of its own, and count what it found compiled and what not."""
    (home / "work.py").write_text(WORK)
    known = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_COMPIL", "JAX_ENABLE"))}
    path = os.pathsep.join([str(home), *sys.path])
    known |= {"PYTHONPATH": path, "XDG_CACHE_HOME": str(home / "caches"), **environment}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND], env=known, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_second_process_compiles_nothing(tmp_path):
    first = compiled(tmp_path)
    assert first["misses"] > 0
    (folder,) = (tmp_path / "caches" / "rfp_jax").iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    kept = sorted(folder.iterdir())
    second = compiled(tmp_path)
    assert second["misses"] == 0
    assert second["hits"] > 0
    assert sorted(folder.iterdir()) == kept


@pytest.fixture
def settings(monkeypatch, tmp_path):
    """JAX as it starts, with a cache of the user's in a scratch folder."""
    names = ("compilation_cache_dir", "compilation_cache_max_size", "enable_compilation_cache",
             "persistent_cache_min_compile_time_secs")  # fmt: skip
    before = {f"jax_{name}": jax.config.values[f"jax_{name}"] for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    jax.config.update("jax_enable_compilation_cache", True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    yield jax.config.update
    for name, value in before.items():
        jax.config.update(name, value)


def test_they_are_kept_within_a_limit(settings):
    assert programs.keep_programs() == programs.folder()
    assert jax.config.jax_compilation_cache_dir == str(programs.folder())
    assert jax.config.values["jax_compilation_cache_max_size"] == programs.LIMIT
    assert programs.keep_programs() is None  # a second call changes nothing


def test_the_users_folder_stays(settings, tmp_path):
    settings("jax_compilation_cache_dir", str(tmp_path / "own"))
    assert programs.keep_programs() is None
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "own")
    assert not (tmp_path / "caches").exists()


def test_nothing_is_kept_where_the_user_says_so(settings, tmp_path):
    settings("jax_enable_compilation_cache", False)
    assert programs.keep_programs() is None
    assert not (tmp_path / "caches").exists()


def test_nothing_is_kept_without_a_lock(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "find_spec", lambda name: None)
    assert programs.keep_programs() is None
    assert not (tmp_path / "caches").exists()


def test_a_home_that_cannot_be_written_to_is_no_error(settings, tmp_path):
    (tmp_path / "caches").write_text("a file, where a folder should be")
    assert programs.keep_programs() is None
    assert jax.config.jax_compilation_cache_dir is None


@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_the_folder_is_in_the_users_caches(system, monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(programs.sys, "platform", system)
    caches = {"linux": ".cache", "darwin": "Library/Caches"}[system]
    assert programs.folder().parent == tmp_path / caches / "rfp_jax"


def test_each_kind_of_processor_has_its_folder(monkeypatch, tmp_path):
    here = programs.folder()
    monkeypatch.setattr(programs.platform, "machine", lambda: "another")
    assert programs.folder() != here
