"""The cloud-mask networks of `ukis-csmask`, read from their ONNX files.

The networks and the code around them are those of the German Aerospace Center (DLR), Apache License
2.0: Wieland, Li & Martinis, "Multi-sensor cloud and cloud shadow segmentation with a convolutional
neural network", Remote Sensing of Environment 230, 2019.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rfp_jax._util.extras import needs_extra

with needs_extra("The cloud-mask networks", "clouds"):
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime import InferenceSession
    from scipy.special import softmax

from rfp_jax.convert import from_onnx

Level = Literal["l1c", "l2a"]
CLASSES = ("background", "cloud", "shadow")
OVERLAP = 0.2
"""Overlap of windows, as the package has it."""


@dataclass(frozen=True, eq=False)
class CloudNetwork:
    """A network, and how images become its windows.

    Attributes:
        path: the ONNX file.
        fun: `fun(params, windows)`, windows [batch, band, y, x]; logits [batch, class, y, x].
        params: its parameters.
        bands: names of its bands.
        mean: of each band, subtracted.
        std: of each band, divided by.
        window: height and width of a window: it pools globally, so it depends on them.
    """

    path: Path
    fun: Callable[..., Any]
    params: Any
    bands: tuple[str, ...]
    mean: np.ndarray
    std: np.ndarray
    window: tuple[int, int]

    def windows(self, reflectance: np.ndarray) -> np.ndarray:
        """Cut an image into windows as the package does.

        Args:
            reflectance: float32 [y, x, band].

        Returns:
            Normalized windows, float32 [window, band, y, x].
        """
        # in this order and precision: the package's own
        normalized = (reflectance - self.mean) / self.std
        rows, columns = self.window
        tiles = _package().utils.tile_array(normalized, xsize=rows, ysize=columns, overlap=OVERLAP)
        return np.ascontiguousarray(np.moveaxis(tiles, -1, 1))

    def blend(self, windows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Put windows together as the package does, smoothly where they overlap.

        Args:
            windows: [window, y, x, any].
            shape: rows and columns of the image.

        Returns:
            Sums of the windows with the package's weights, [y, x, any].
        """
        target = (*shape, windows.shape[-1])
        return _package().utils.untile_array(windows, target, overlap=OVERLAP, smooth_blending=True)

    def mean_of_windows(self, windows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Blend windows, and divide by the sum of the weights: linear, and ones stay ones."""
        weights = self.blend(np.ones((*windows.shape[:3], 1)), shape)
        return self.blend(windows.astype(np.float64), shape) / weights

    def mask(self, logits: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Name the class of every pixel as the package does: it blends probabilities.

        Args:
            logits: of the windows, [window, class, y, x].
            shape: rows and columns of the image.

        Returns:
            The class, uint8 [y, x], and the blended probabilities, [y, x, class].
        """
        probabilities = self.blend(np.moveaxis(softmax(logits, axis=1), 1, -1), shape)
        return probabilities.argmax(-1).astype(np.uint8), probabilities


def package_file(level: Level) -> Path:
    """Return the path of the network of four bands for a level of processing."""
    return Path(_package().mask.__file__).parent / f"model_4b_{level}.onnx"


def read_network(path: Path) -> CloudNetwork:
    """Read a network and the JSON beside it that says how images are normalized.

    Args:
        path: the ONNX file.

    Returns:
        The network, which computes in float32; the file has weights and arithmetic in float16.

    Raises:
        OnnxFileError, UnsupportedOnnxError, OSError: if a file is missing or damaged.
    """
    about = json.loads(path.with_suffix(".json").read_text("utf-8"))["data"]
    mean, std = np.asarray(about["dataset_statistics"]["img"], np.float32)
    fun, params = from_onnx(path, dtype="float32")
    rows, columns = about["target_size"]
    names = tuple(about["dataset_statistics"]["band_names"])
    return CloudNetwork(path, fun, params, names, mean, std, (rows, columns))


def package_mask(reflectance: np.ndarray, bands: tuple[str, ...], level: Level) -> np.ndarray:
    """The mask that the package itself computes.

    Args:
        reflectance: float32 [y, x, band].
        bands: their names.
        level: of processing.

    Returns:
        The class, uint8 [y, x].
    """
    return _package().mask.CSmask(reflectance, list(bands), level).csm[..., 0]


def run_onnxruntime(path: Path, windows: np.ndarray, *, widen: bool) -> np.ndarray:
    """Compute the logits of windows by onnxruntime.

    Args:
        path: the ONNX file.
        windows: [window, band, y, x].
        widen: whether float16 of the file becomes float32, in weights and arithmetic.

    Returns:
        Logits, [window, class, y, x].
    """
    model = onnx.load(path)
    if widen:
        widen_to_float32(model)
    session = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (name,) = (entry.name for entry in session.get_inputs())
    each = [session.run(None, {name: window[None]})[0] for window in windows]
    return np.concatenate([np.asarray(found) for found in each])


def _package() -> Any:
    """The package, which is imported when it is needed."""
    with needs_extra("The cloud-mask networks", "clouds"):
        import_module("ukis_csmask.mask")
        return import_module("ukis_csmask")


def widen_to_float32(model: onnx.ModelProto) -> None:
    """Make float32 of all float16 in a model: weights, constants and casts."""
    half, single = TensorProto.FLOAT16, TensorProto.FLOAT

    def widen(tensor: onnx.TensorProto) -> None:
        if tensor.data_type == half:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    for tensor in model.graph.initializer:
        widen(tensor)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                widen(attribute.t)
            elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == half:
                attribute.CopyFrom(helper.make_attribute("to", single))
    del model.graph.value_info[:]  # they still say float16
