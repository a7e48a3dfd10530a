"""Read an ONNX file that may come from anyone: every size is checked before it is believed.

The parts of the format that are read here: <https://onnx.ai/onnx/repo-docs/IR.html> and
<https://onnx.ai/onnx/repo-docs/ExternalData.html>.
"""

import math
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rfp_jax._util.extras import needs_extra
from rfp_jax.convert._onnx_errors import OnnxFileError, UnsupportedOnnxError

with needs_extra("Reading ONNX files", "convert"):
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import helper, numpy_helper

OLDEST_OPSET = 11
NEWEST_OPSET = onnx.defs.onnx_opset_version()

_type = onnx.TensorProto.DataType.Value
PACKED = {  # bits of the numbers that share a byte
    _type(name): bits
    for name, bits in {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2}.items()
    if name in onnx.TensorProto.DataType.keys()  # noqa: SIM118  (not a dict)
}


def read_model(path: Path) -> onnx.ModelProto:
    """Read a model without its external data.

    Args:
        path: the `.onnx` file.

    Returns:
        The model as protobuf has it.

    Raises:
        OnnxFileError: the file is not an ONNX model.
        UnsupportedOnnxError: its opset is older than 11 or newer than the installed `onnx` knows.
    """
    try:
        model = onnx.ModelProto.FromString(path.read_bytes())
    except DecodeError as error:
        raise OnnxFileError(
            f"{path} is not an ONNX model, or only a part of one: its bytes are not a message of "
            "protobuf. Download or export it again."
        ) from error
    if not model.ir_version or not model.opset_import or not model.graph.output:
        raise OnnxFileError(
            f"{path} is not an ONNX model: it names no version, no opset or no output. Was another "
            "kind of file renamed?"
        )
    versions = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    opset = versions.get("ai.onnx", NEWEST_OPSET)
    if opset < OLDEST_OPSET:
        raise UnsupportedOnnxError(
            f"{path} is of opset {opset}; opsets {OLDEST_OPSET} to {NEWEST_OPSET} are read. "
            "Convert it: onnx.save(onnx.version_converter.convert_version(onnx.load(path), "
            f"{OLDEST_OPSET + 2}), new_path)"
        )
    if opset > NEWEST_OPSET:
        raise UnsupportedOnnxError(
            f"{path} is of opset {opset}; the installed onnx {onnx.__version__} knows opsets up to "
            f"{NEWEST_OPSET}. Install a newer onnx, or export with opset_version={NEWEST_OPSET}."
        )
    return model


def read_tensor(tensor: onnx.TensorProto, path: Path) -> np.ndarray:
    """Read a tensor of a model, from the model itself or from a file beside it.

    Args:
        tensor: as protobuf has it.
        path: the model's file; external data must lie in its folder.

    Returns:
        The values. Nothing is allocated before the declared size was found in the file.

    Raises:
        OnnxFileError: the declared shape is not the size of the data, or the data lie elsewhere.
    """
    where = f"{path}: tensor {tensor.name!r}"
    shape = tuple(tensor.dims)
    if tensor.data_type not in helper.get_all_tensor_dtypes() or not tensor.data_type:
        raise OnnxFileError(f"{where} is of the unknown type {tensor.data_type}")
    if any(size < 0 for size in shape):
        raise OnnxFileError(f"{where} declares the shape {shape}: a size is negative")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return _external(tensor, path, where)
    count = math.prod(shape)
    if tensor.HasField("raw_data"):
        given, expected = len(tensor.raw_data), _bytes(tensor.data_type, count)
        unit = "bytes"
    else:
        field = helper.tensor_dtype_to_field(tensor.data_type)
        given, expected, unit = len(getattr(tensor, field)), count, "numbers"
        if tensor.data_type in (onnx.TensorProto.COMPLEX64, onnx.TensorProto.COMPLEX128):
            expected = 2 * count
        elif tensor.data_type in PACKED:  # each number of the field is a byte
            expected = _bytes(tensor.data_type, count)
    if given != expected:
        raise OnnxFileError(
            f"{where} declares the shape {shape}, which is {expected} {unit}; the file has "
            f"{given}. The file is damaged: export it again."
        )
    return numpy_helper.to_array(tensor)


def external_files(model: onnx.ModelProto, path: Path) -> dict[str, Path]:
    """Return the files in the model's folder that hold its external data, by their locations.

    Raises:
        OnnxFileError: one of them lies elsewhere, or is missing.
    """
    files = {}
    for tensor in _tensors(model.graph, *model.functions):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            location = {entry.key: entry.value for entry in tensor.external_data}["location"]
            where = f"{path}: tensor {tensor.name!r}"
            files[location] = _inside(path.parent, location, where)
    return files


def _tensors(*parts: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.TensorProto]:
    """All tensors that graphs and functions hold, those of subgraphs too."""
    for part in parts:
        yield from getattr(part, "initializer", ())
        for attribute in (a for node in part.node for a in node.attribute):
            yield from attribute.tensors
            if attribute.HasField("t"):
                yield attribute.t
            yield from _tensors(
                *attribute.graphs, *([attribute.g] if attribute.HasField("g") else ())
            )


def _bytes(data_type: int, count: int) -> int:
    """The bytes of so many numbers."""
    if data_type in PACKED:
        return math.ceil(count * PACKED[data_type] / 8)
    return count * helper.tensor_dtype_to_np_dtype(data_type).itemsize


def _external(tensor: onnx.TensorProto, path: Path, where: str) -> np.ndarray:
    """Read a tensor from a file in the model's folder, and from nowhere else."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    file = _inside(path.parent, location, where)
    size = file.stat().st_size
    expected = _bytes(tensor.data_type, math.prod(tensor.dims))
    try:
        offset = int(entries.get("offset", 0))
        length = int(entries.get("length", expected))
    except ValueError as error:
        raise OnnxFileError(
            f"{where}: the offset or length of its external data is not a number"
        ) from error
    if length != expected:
        raise OnnxFileError(
            f"{where} declares the shape {tuple(tensor.dims)}, which is {expected} bytes; its "
            f"entry of external data says {length}"
        )
    if offset < 0 or offset + length > size:
        raise OnnxFileError(
            f"{where} is bytes {offset} to {offset + length} of {location!r}, which has {size}: "
            "the file is cut short. Download it again."
        )
    with file.open("rb") as stream:
        stream.seek(offset)
        data = stream.read(length)
    whole = onnx.TensorProto(dims=tensor.dims, data_type=tensor.data_type, raw_data=data)
    return numpy_helper.to_array(whole)


def _inside(folder: Path, location: str, where: str) -> Path:
    """The file of that name in the folder; refuse every way out of it."""
    relative = Path(location)
    if not location or relative.is_absolute() or "\\" in location or ".." in relative.parts:
        raise OnnxFileError(
            f"{where} has its data at {location!r}: external data is read from the model's folder "
            "only. Put the file beside the model and save the model with that name."
        )
    file = folder
    for part in relative.parts:
        file = file / part
        if file.is_symlink():
            raise OnnxFileError(
                f"{where} has its data at {location!r}, which is a link: external data is read "
                "from the model's folder only. Copy the file there."
            )
    if not file.exists():
        raise OnnxFileError(
            f"{where} has its data at {location!r}, which is missing: put the file into {folder}"
        )
    if not stat.S_ISREG(file.stat().st_mode):
        raise OnnxFileError(f"{where} has its data at {location!r}, which is not a file")
    return file
