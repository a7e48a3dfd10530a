"""ONNX networks that come inside packages, trained, read by `rfp_jax.convert.from_onnx`.

A kind of file (`magika`), speech in sound (`silero-vad`), and clouds in Sentinel-2 images
(`ukis-csmask`). Each is compared with onnxruntime, which computes in float32.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import onnx
import onnxruntime

from benchmarks.zoo.entry import Builder, Entry
from benchmarks.zoo.original import NoOracleError
from experiments.clouds.network import widen_to_float32
from rfp_jax._util.extras import MissingExtraError
from rfp_jax.convert import from_onnx

EXTRA = "zoo-torch"


class OnnxOriginal:
    """An ONNX model run by onnxruntime, as `benchmarks.zoo.original.Original`.

    Args:
        model: the model, cut where the sources are.
        sources: the names of the inputs that are sources, in their order.
        given: its other inputs.
        output: the name of its output.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        sources: Sequence[str],
        given: Mapping[str, np.ndarray],
        output: str,
    ) -> None:
        self.session = onnxruntime.InferenceSession(model.SerializeToString())
        self.sources, self.given, self.name = sources, given, output

    def output(self, sources: Sequence[np.ndarray]) -> tuple[np.ndarray, str]:
        """Return the output in float32."""
        output = self._run(self._fed(sources))
        return output, output.dtype.name

    def heatmaps(self, sources: Sequence[np.ndarray], weights: np.ndarray) -> list[np.ndarray]:
        """Refuse: onnxruntime has no gradients.

        Raises:
            NoOracleError: always.
        """
        raise NoOracleError("no gradients")

    def forward(self, sources: Sequence[np.ndarray]) -> Callable[[], object]:
        """Return a forward pass."""
        return functools.partial(self._run, self._fed(sources))

    def _fed(self, sources: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        arrays = (np.asarray(source, np.float32) for source in sources)
        return {**self.given, **dict(zip(self.sources, arrays, strict=True))}

    def _run(self, fed: Mapping[str, np.ndarray]) -> np.ndarray:
        (output,) = self.session.run([self.name], dict(fed))
        return np.asarray(output)


def _packaged(package: str, file: str) -> Path:
    """Return a file of a package, which is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingExtraError(
            f"This model needs the package {package!r}, which is not installed: "
            f"pip install 'rfp-jax[{EXTRA}]'",
            name=package,
        )
    return Path(spec.origin).parent / file


def _read(
    path: Callable[[], Path],
    sources: Callable[[], Mapping[str, np.ndarray]],
    output: str,
    given: Callable[[], Mapping[str, np.ndarray]],
    seed: int,
) -> Entry:
    """A model cut at tensors of these names; `seed` is not used, for it is trained."""
    del seed
    arrays, others = sources(), given()
    names = [*arrays, *others]
    model = _cut(onnx.load(path()), names, output)
    widen_to_float32(model)  # as it is read here
    _, params = from_onnx(path(), inputs=names, outputs=[output], dtype="float32")

    def called(params: Any, *values: jax.Array) -> Any:
        """Call the model in the precision of the sources."""
        fun, _ = from_onnx(path(), inputs=names, outputs=[output], dtype=values[0].dtype)
        return fun(params, *values, *others.values())

    values = tuple(map(np.asarray, arrays.values()))
    argnums = tuple(range(1, 1 + len(values)))
    original = OnnxOriginal(model, list(arrays), others, output)
    return Entry(called, (params, *values), argnums, original)


def _cut(model: onnx.ModelProto, names: Sequence[str], output: str) -> onnx.ModelProto:
    """Return the part of a model between tensors; the whole where they are its inputs."""
    if {value.name for value in model.graph.input} == set(names):
        return model
    whole = onnx.shape_inference.infer_shapes(model)
    return onnx.utils.Extractor(whole).extract_model(list(names), [output])


def _numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def _nothing() -> dict[str, np.ndarray]:
    return {}


_ONE_HOT = "jax2tf_get_logits_/pjit_get_logits_/pjit__one_hot_/Cast_1:0"


def _bytes() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, 2048), np.int32)


def _one_hot() -> dict[str, np.ndarray]:
    """The one-hot form of 2,048 bytes: a byte is no number that could be scaled."""
    return {_ONE_HOT: np.eye(257, dtype=np.float32)[_bytes()]}


BUILDERS: dict[str, Builder] = {
    "magika": functools.partial(
        _read,
        lambda: _packaged("magika", "models/standard_v3_3/model.onnx"),
        _one_hot,
        "target_label",
        lambda: {"bytes": _bytes()},
    ),
    "silero-vad": functools.partial(
        _read,
        lambda: _packaged("silero_vad", "data/silero_vad_16k_sequence.onnx"),
        lambda: {"input": 0.1 * _numbers(1, 576)},
        "speech_probs",
        lambda: dict.fromkeys("hc", np.zeros((1, 1, 128), np.float32)),
    ),
    "ukis-csmask (four bands)": functools.partial(
        _read,
        lambda: _packaged("ukis_csmask", "model_4b_l1c.onnx"),
        lambda: {"input": _numbers(1, 4, 256, 256)},
        "output",
        _nothing,
    ),
}
"""Models by the package that they come in."""
