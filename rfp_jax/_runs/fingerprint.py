"""The fingerprint of a result: versions, rules, model and data, as JSON that can be compared."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import re
from collections.abc import Callable, Iterator, Mapping

import jax
import numpy as np
from jax.extend import core

from rfp_jax._core.jaxprs import Program, constants, opened
from rfp_jax._util.trees import Given, Json, Tree


def versions() -> dict[str, str]:
    """Versions of what the numbers of a table depend on."""
    packages = {"rfp_jax": "rfp-jax", "jax": "jax", "jaxlib": "jaxlib", "flax": "flax"}
    return {name: _version(package) for name, package in packages.items()}


def describe(value: object) -> str:
    """Name a function, a rule set or a partial application of one, the same in every process."""
    if isinstance(value, str):
        return value
    if isinstance(value, functools.partial):
        options = [describe(arg) for arg in value.args]
        options += [f"{key}={describe(arg)}" for key, arg in sorted(value.keywords.items())]
        return f"{describe(value.func)}({', '.join(options)})"
    if isinstance(name := getattr(value, "name", None), str):
        return name
    if owner := getattr(value, "__self__", None):
        return f"{describe(owner)}.{getattr(value, '__name__', '')}"
    if name := getattr(value, "__qualname__", None):
        return f"{getattr(value, '__module__', '')}.{name}"
    return _without_addresses(repr(value))


def hash_parameters(params: Tree) -> str:
    """SHA-256 over the names, shapes, dtypes and values of a tree of arrays."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        digest.update(jax.tree_util.keystr(path).encode())
        _update(digest, np.asarray(leaf))
    return digest.hexdigest()


def hash_program(fun: Callable[..., Tree], *args: Given) -> str:
    """SHA-256 over what a function computes: its operations in order, with their constants.

    It differs where model code or rules differ, whatever they are called. Names, source lines and
    memory addresses do not enter, nor whether JAX has traced a part before.
    """
    closed = jax.make_jaxpr(fun)(*args)
    digest = hashlib.sha256()
    for token in _tokens(closed):
        digest.update(token.encode())
        digest.update(b"\0")
    return digest.hexdigest()


def as_json(name: str, value: Mapping[str, Json] | None) -> dict[str, Json]:
    """Return a mapping as JSON keeps it, so that it compares equal to what is read back.

    Raises:
        TypeError: if it holds something that JSON cannot keep.
    """
    try:
        return json.loads(json.dumps(dict(value or {}), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must hold what JSON can keep: {error}") from error


def identify(identity: Mapping[str, Json]) -> dict[str, Json]:
    """Return the attributes of a new table: its identity, a digest of it, and that it is empty.

    Commit markers and proofs carry the digest, so that they count with this table alone.
    """
    text = json.dumps(identity, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"Conventions": "CF-1.11", **identity, "identity": digest, "complete": 0}


def differences(there: Mapping[str, Json], now: Mapping[str, Json], path: str = "") -> list[str]:
    """Name every entry in which two fingerprints differ.

    In lists of one length, None stands for what is not known and differs from nothing.
    """
    found = []
    for key in dict.fromkeys((*there, *now)):
        here = f"{path}{key}"
        old, new = there.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, f"{here}.")
        elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
            pairs = zip(old, new, strict=True)
            if any(a != b for a, b in pairs if a is not None and b is not None):
                found.append(f"  {here}: {_short(old)} in the table, {_short(new)} now")
        elif old != new:
            found.append(f"  {here}: {_short(old)} in the table, {_short(new)} now")
    return found


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # run from a copy of the sources
        return "not installed"


def _tokens(program: Program) -> Iterator[str]:
    jaxpr = opened(program)
    numbers: dict[core.Var, int] = {}

    def number(var: core.Var) -> str:
        return f"{numbers.setdefault(var, len(numbers))}:{var.aval.str_short()}"

    def atom(value: core.Var | core.Literal) -> str:
        return _value(value.val) if isinstance(value, core.Literal) else number(value)

    yield from (number(var) for var in (*jaxpr.constvars, *jaxpr.invars))
    yield from (_value(const) for const in constants(program))
    for eqn in jaxpr.eqns:
        yield eqn.primitive.name
        yield from map(atom, eqn.invars)
        yield from map(number, eqn.outvars)
        for key in sorted(eqn.params):
            if key != "name":  # what a jitted function is called does not change what it computes
                yield key
                yield from _param(eqn.params[key])
    yield from map(atom, jaxpr.outvars)


def _param(value: object) -> Iterator[str]:
    if isinstance(value, core.ClosedJaxpr | core.Jaxpr):
        yield from _tokens(value)
    elif isinstance(value, tuple | list):
        yield f"{len(value)}"
        for each in value:
            yield from _param(each)
    elif isinstance(value, Mapping):
        yield from _param(sorted(value.items()))
    elif isinstance(value, np.ndarray | jax.Array):
        yield _value(value)
    elif not callable(value):
        yield _without_addresses(repr(value))


def _value(value: object) -> str:
    digest = hashlib.sha256()
    _update(digest, np.asarray(value))
    return digest.hexdigest()


def _update(digest: hashlib._Hash, array: np.ndarray) -> None:
    digest.update(f"{array.dtype}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).tobytes())


def _without_addresses(text: str) -> str:
    return re.sub(r"\b0x[0-9a-fA-F]{6,}\b", "0x", text)


def _short(value: Json) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
