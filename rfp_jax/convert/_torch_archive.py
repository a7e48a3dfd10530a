"""Read a `.pt2` archive that may come from anywhere, without running what is in it.

`torch.export.load` alone does not promise that: it unpickles tensor subclasses and custom objects,
falls back to full unpickling where the example's safe loading fails, loads compiled libraries, and
evaluates the sizes of free dimensions as Python expressions. So the archive is looked through
first, and everything is refused that a plain program of tensors does not need: also entries that
would grow when they are unpacked, and tensors that are larger than their numbers in the file.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.export import ExportedProgram

from rfp_jax._util.archives import check_extent, check_stored
from rfp_jax._util.trees import Json
from rfp_jax.convert._errors import ProgramError

_HARMLESS = re.compile(
    r"models/model\.json|archive_format|archive_version|byteorder|version|\.data/[\w.]+"
    r"|data/weights/weight_\d+|data/constants/tensor_\d+|extra/.*"
)
_CONFIG = re.compile(r"data/(weights|constants)/model_\w+_config\.json")
_EXAMPLE = "data/sample_inputs/model.pt"
_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_SYMBOL = re.compile(r"[a-z]{1,3}\d+")
_WRITTEN_SYMBOL = re.compile(r"Symbol\('([a-z]{1,3}\d+)'(?:, [a-z]+=(?:True|False))*\)")
_FUNCTIONS = frozenset(
    """Add Mul Pow Integer Rational Max Min Mod PythonMod FloorDiv CeilDiv CleanDiv Where Eq Ne Lt
    Le Gt Ge And Or Not ModularIndexing TruncToInt TruncToFloat FloorToInt CeilToInt ToFloat
    IntTrueDiv FloatTrueDiv PowByNatural FloatPow RoundToInt RoundDecimal Identity floor ceiling
    sqrt oo int_oo True False""".split()
)
_WAY = (
    "Save a program where the model's code is: torch.export.save(torch.export.export("
    "module.eval(), example_arguments), 'network.pt2')"
)


def read_file(path: str | Path) -> ExportedProgram:
    """Read a program that `torch.export.save` wrote. Nothing is ever unpickled.

    Args:
        path: the file.

    Raises:
        ProgramError: the file is something else, or holds more than a program of tensors.
        OSError: there is no such file.
    """
    path = Path(path)
    content = path.read_bytes()
    if not zipfile.is_zipfile(io.BytesIO(content)):
        kind = "a pickle" if content[:1] == b"\x80" else "not an exported program"
        raise ProgramError(f"{path} is {kind}, and is not read. {_WAY}")
    with _damage(path), zipfile.ZipFile(io.BytesIO(content)) as archive:
        if not any(name.endswith("archive_format") for name in archive.namelist()):
            raise ProgramError(
                f"{path} is a pickled module or checkpoint of torch.save, or a program of an old "
                f"PyTorch. A pickle can run any code while it is read, and is not read. {_WAY}"
            )
        reason = check_stored(archive, len(content)) or next(_objections(archive), "")
    if reason:
        raise ProgramError(f"{path} is not read: {reason}")
    try:
        program = torch.export.load(io.BytesIO(content))
    except Exception as error:
        raise ProgramError(f"{path} cannot be read by torch.export.load: {error}") from error
    tensors = [*program.state_dict.values(), *program.constants.values()]
    total = sum(t.numel() * t.element_size() for t in tensors if isinstance(t, torch.Tensor))
    if reason := check_extent(total, len(content)):
        raise ProgramError(f"{path} is not read: {reason}. Export it with tensor.clone().")
    return program


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Name the file where an archive is damaged, whatever its readers make of that."""
    try:
        yield
    except (ProgramError, MemoryError):
        raise
    except Exception as error:
        raise ProgramError(
            f"{path} is a damaged archive, or a half downloaded one ({type(error).__name__}: "
            f"{error}). Compare its size and SHA-256 with the original's."
        ) from error


def _objections(archive: zipfile.ZipFile) -> Iterator[str]:
    """Return what speaks against loading an archive."""
    names = archive.namelist()
    folded = [name.casefold() for name in names]
    if len(set(folded)) < len(folded):
        yield "two of its entries have one name"
    for name in names:
        _, _, entry = name.partition("/")
        if _CONFIG.fullmatch(entry):
            yield from _pickled(name, archive.read(name))
        elif entry == _EXAMPLE:
            try:
                torch.load(io.BytesIO(archive.read(name)), weights_only=True)
            except Exception:
                yield f"its example ({name}) holds more than tensors, and would be unpickled"
        elif not _HARMLESS.fullmatch(entry):
            yield f"it holds {name}, which is not a part of a program of tensors"
        elif entry == "models/model.json":
            yield from _expressions(json.loads(archive.read(name)))


def _pickled(name: str, content: bytes) -> Iterator[str]:
    for key, entry in json.loads(content)["config"].items():
        if entry["use_pickle"] or not re.fullmatch(r"(weight|tensor)_\d+", entry["path_name"]):
            yield f"'{key}' in {name} is an object that would be unpickled"


def _expressions(content: Json) -> Iterator[str]:
    """Sizes that are more than arithmetic: PyTorch evaluates these strings."""
    if isinstance(content, list):
        for entry in content:
            yield from _expressions(entry)
    elif isinstance(content, dict):
        for key, entry in content.items():
            if key == "expr_str" and not _is_arithmetic(str(entry)):
                yield f"a size in it is not arithmetic: {str(entry)[:80]!r}"
            yield from _expressions(entry)


def _is_arithmetic(expression: str) -> bool:
    expression = _WRITTEN_SYMBOL.sub(r"\1", expression)
    names = _IDENTIFIER.findall(expression)
    known = all(_SYMBOL.fullmatch(name) or name in _FUNCTIONS for name in names)
    return known and re.fullmatch(r"[\w\s+\-*/%(),.<>=!&|~]*", expression) is not None
