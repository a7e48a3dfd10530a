"""Frameworks, and the models of theirs that a name means."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence

from benchmarks.zoo.entry import Builder

FRAMEWORKS = {
    "linen": "Flax Linen",
    "nnx": "Flax NNX",
    "equinox": "Equinox",
    "haiku": "Haiku",
    "keras": "Keras",
    "ours": "rfp_jax.models",
    "torch": "PyTorch",
    "onnx": "ONNX",
}
"""The zoo's modules, and what their frameworks are called."""


def find(only: Sequence[str] = ()) -> Iterator[tuple[str, str, Builder]]:
    """The models of the zoo.

    Args:
        only: names of frameworks or models, in any case; none for all. A framework that nothing
            asks for is not imported if all names are frameworks.

    Yields:
        Framework, model, and what builds it.

    Raises:
        ValueError: a name is neither a framework's nor a model's.
        ModuleNotFoundError: a framework is not installed; the message says what to install.
    """
    wanted = {name.lower() for name in only}
    modules = wanted if wanted and wanted <= FRAMEWORKS.keys() else FRAMEWORKS.keys()
    every = [(name, *item) for name in FRAMEWORKS if name in modules for item in _builders(name)]
    known = {name.lower() for framework, model, _ in every for name in (framework, model)}
    if missing := sorted(wanted - known):
        models = ", ".join(f"{framework}: {model}" for framework, model, _ in every)
        raise ValueError(f"no framework or model is called {', '.join(missing)}; known: {models}")
    for framework, model, builder in every:
        if not wanted or wanted & {framework, model.lower()}:
            yield framework, model, builder


def _builders(framework: str) -> list[tuple[str, Builder]]:
    try:
        module = importlib.import_module(f"benchmarks.zoo.{framework}")
    except ModuleNotFoundError as error:
        extra = "zoo-torch" if framework in ("torch", "onnx") else "zoo"
        raise ModuleNotFoundError(
            f"the zoo needs {error.name}, which is not installed: pip install 'rfp-jax[{extra}]'",
            name=error.name,
        ) from error
    return list(module.BUILDERS.items())
