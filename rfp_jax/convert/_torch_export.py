"""PyTorch modules and exported programs to `Program`s. All that needs PyTorch to read a network.

export_module   nn.Module and the shapes of its arguments -> ExportedProgram
read_program    ExportedProgram -> Program
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import torch
from torch import fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, InputSpec

from rfp_jax._util.trees import Given, Leaf, Tree
from rfp_jax.convert import _aten
from rfp_jax.convert._errors import ExportError, ProgramError
from rfp_jax.convert._torch_packed import Packed
from rfp_jax.convert._torch_program import Spec, map_leaves

ROOT = "module"
"""Under what name the wrapper below holds the user's module."""


class _Plain(nn.Module):
    """A module whose output is made of tuples, lists and dicts, whatever the user's returns."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.training = module.training

    def forward(self, *args: Given, **kwargs: Given) -> Tree:
        with Packed():
            return plain(self.module(*args, **kwargs))


def plain(output: Tree) -> Tree:
    """Return dataclasses and mappings as dicts, sequences as tuples and lists."""
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        fields = (field.name for field in dataclasses.fields(output))
        return {name: plain(getattr(output, name)) for name in fields}
    if isinstance(output, Mapping):
        return {key: plain(value) for key, value in output.items()}
    if isinstance(output, (list, tuple)):
        return (list if isinstance(output, list) else tuple)(map(plain, output))
    return output


def require_evaluation(module: nn.Module) -> None:
    """Raise ValueError if the module, or a part of it, is in training mode."""
    training = [name or "(the module itself)" for name, m in module.named_modules() if m.training]
    if training:
        rest = f" and {len(training) - 3} more" if len(training) > 3 else ""
        raise ValueError(
            f"the module is in training mode: {', '.join(training[:3])}{rest}. Dropout and batch "
            "statistics make its output random or dependent on the batch: call module.eval() first"
        )


def require_unchanged(module: nn.Module, exported: Mapping[str, Spec]) -> None:
    """Raise ProgramError if parameters are no longer of the shapes and dtypes that they were."""
    now = specs_of(module_arrays(module)[0])
    changed = [name for name in {**exported, **now} if exported.get(name) != now.get(name)]
    if changed:
        name = changed[0]
        raise ProgramError(
            f"the module has changed since it was taken over: '{name}' is now "
            f"{now.get(name, 'gone')}, and was {exported.get(name, 'not there')}. Call from_torch "
            "again, or cast the parameters instead of the module"
        )


def specs_of(tensors: Mapping[str, torch.Tensor]) -> dict[str, Spec]:
    """Shapes and dtypes by name."""
    return {name: Spec(tuple(t.shape), as_dtype(t.dtype)) for name, t in tensors.items()}


def module_arrays(module: nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Floating-point parameters and buffers of a module, each once, under its first name.

    Returns:
        The tensors by name, and for every name of a tied one the name under which it stands.
    """
    tensors = [
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ]
    return _untied({name: tensor for name, tensor in tensors if _is_number(tensor)})


def program_arrays(exported: ExportedProgram) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Floating-point parameters and buffers of an exported program, as of `module_arrays`."""
    tensors: dict[str, torch.Tensor] = {}
    for spec in exported.graph_signature.input_specs:
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER) and spec.target is not None:
            tensors[spec.target] = held(exported, spec)
    return _untied({name: tensor for name, tensor in tensors.items() if _is_number(tensor)})


def _is_number(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _untied(tensors: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    first: dict[object, str] = {}
    aliases = {}
    for name, tensor in tensors.items():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        aliases[name] = first.setdefault(place if tensor.numel() else name, name)
    return {name: tensors[name] for name in first.values()}, aliases


def as_array(tensor: torch.Tensor) -> np.ndarray:
    """Copy a tensor into an array of the same dtype."""
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
    if tensor.dtype == torch.bfloat16:  # NumPy's bfloat16 is ml_dtypes', which PyTorch lacks
        return tensor.view(torch.int16).numpy().view(as_dtype(tensor.dtype)).copy()
    return tensor.numpy().copy()


def as_tensor(array: Given) -> torch.Tensor:
    """Copy an array into a tensor of the same dtype."""
    array = np.ascontiguousarray(array).reshape(np.shape(array)).copy()
    if array.dtype == jnp.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def as_dtype(dtype: torch.dtype) -> np.dtype:
    """The NumPy dtype of the same name."""
    return jnp.dtype(str(dtype).removeprefix("torch."))


def torch_dtype(dtype: np.dtype) -> torch.dtype:
    """The PyTorch dtype of the same name."""
    return getattr(torch, str(dtype))


def held(exported: ExportedProgram, spec: InputSpec) -> torch.Tensor:
    """Return the tensor of a parameter, buffer or constant."""
    target = str(spec.target)
    tensor = (exported.state_dict if target in exported.state_dict else exported.constants)[target]
    if not isinstance(tensor, torch.Tensor):
        raise ProgramError(f"'{target}' is not a tensor, but a {type(tensor).__name__}")
    return tensor


def export_module(
    module: nn.Module, args: Sequence[Tree], kwargs: Mapping[str, Tree]
) -> ExportedProgram:
    """Export a module for arguments of these shapes.

    Args:
        module: in evaluation mode.
        args: positional arguments: trees of `Spec`s and Python values.
        kwargs: keyword arguments.

    Raises:
        ExportError: PyTorch cannot export it.
    """

    def example(leaf: Leaf) -> Leaf:
        if not isinstance(leaf, Spec):
            return leaf
        return torch.zeros([size or 0 for size in leaf.shape], dtype=torch_dtype(leaf.dtype))

    wrapped = _Plain(module)
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one opaque operation instead of attention
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of modules that keep state, LSTMs among them
            exported = torch.export.export(
                wrapped,
                tuple(map_leaves(example, list(args))),
                map_leaves(example, dict(kwargs)),
                strict=False,
            )
            return decompose(exported, is_own=True)
    except Exception as error:
        raise ExportError(_why_not(module, error)) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def decompose(exported: ExportedProgram, *, is_own: bool = False) -> ExportedProgram:
    """Return the program without in-place operations and views that are written to.

    An operation that our table lacks, and that PyTorch defines by others, is replaced by these.

    Args:
        exported: the program.
        is_own: whether a module here was exported, and no file read.

    Raises:
        ProgramError: it calls functions that are not PyTorch's operations. PyTorch runs a program
            to decompose it, so what a file could make it call is looked at before.
    """
    for graph_module in exported.graph_module.modules():
        if is_own or not isinstance(graph_module, fx.GraphModule):
            continue
        for node in graph_module.graph.nodes:
            if node.op == "call_function" and not _is_operation(node.target):
                raise ProgramError(f"node '{node.name}' calls {node.target}, not an operation")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = exported.run_decompositions({})
        while lacking := _defined_by_others(exported):
            exported = exported.run_decompositions(lacking)
    return exported


def _defined_by_others(
    exported: ExportedProgram,
) -> dict[torch._ops.OperatorBase, Callable[..., Tree]]:
    """Return PyTorch's definitions by other operations of those that our table lacks."""
    graphs = [m.graph for m in exported.graph_module.modules() if isinstance(m, fx.GraphModule)]
    nodes = [node for graph in graphs for node in graph.nodes]
    used = {node.target for node in nodes if node.op == "call_function"}
    aten = [target for target in used if isinstance(target, torch._ops.OpOverload)]
    lacking = [target for target in aten if _aten.find(str(target)) is None]
    if not lacking:
        return {}
    known = torch.export.default_decompositions()
    return {target: known[target] for target in lacking if target in known}


def _is_operation(target: object) -> bool:
    if isinstance(target, (torch._ops.OpOverload, torch._ops.HigherOrderOperator)):
        return True
    return (
        target.__module__ in ("_operator", "math", "torch")
        and getattr(target, "__name__", "") in _PYTHON
    )


_PYTHON = frozenset(
    """getitem add sub mul floordiv truediv mod neg pow eq ne lt le gt ge and_ or_ not_ ceil floor
    trunc sqrt sym_float sym_int sym_max sym_min sym_not sym_ite sym_sum""".split()
)
"""Functions of Python in programs: arithmetic of sizes, and parts of what operations return."""


def _why_not(module: nn.Module, error: Exception) -> str:
    """Say what PyTorch could not export, and where."""
    names = {id(submodule): name for name, submodule in module.named_modules()}
    names[id(module)] = "(the module itself)"
    path, line, traceback = "(the module itself)", "", error.__traceback__
    others = str(Path(torch.__file__).parent), str(Path(__file__).parent)
    while traceback is not None:
        frame = traceback.tb_frame
        path = names.get(id(frame.f_locals.get("self")), path)
        code = frame.f_code
        if not code.co_filename.startswith(others) and path in names.values():
            line = f"{code.co_filename}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    message = str(error).strip().splitlines() or [type(error).__name__]
    depends = "data-dependent" in str(error).lower() or "DataDependent" in type(error).__name__
    lines = [
        f"PyTorch cannot export this module: {message[0]}",
        f"  submodule: {path}",
        *([f"  in your code: {line}"] if line else []),
    ]
    if depends:
        lines.append(
            "  Its control flow depends on the values of tensors, and a program has to be the same "
            "for all of them: write torch.where, masks or torch.cond instead of `if` and `while`"
        )
    else:
        lines.append(
            "  Arguments are taken as the module's forward takes them; torch.export.export(module, "
            "args, kwargs, strict=False) alone has to work: see docs.pytorch.org/docs/export.html"
        )
    return "\n".join(lines)
