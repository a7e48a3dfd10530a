"""Errors of networks that come from elsewhere: each names the thing, the place, and a remedy."""

from collections.abc import Iterable, Mapping


class ConversionError(Exception):
    """A network that cannot be taken over as it is; the subclasses say why."""


class ExportError(ConversionError):
    """PyTorch cannot export the module: its control flow depends on data, or it leaves PyTorch."""


class ProgramError(ConversionError, ValueError):
    """A file that is not a program, or arguments and parameters that do not fit the program."""


class MissingOperationError(ConversionError, NotImplementedError):
    """A program has operations that the table lacks. All of them are listed before anything runs.

    Attributes:
        operations: name of each missing operation -> paths of the submodules that use it.
    """

    def __init__(self, operations: Mapping[str, Iterable[str]]) -> None:
        self.operations = {
            name.removeprefix("aten.").removesuffix(".default"): tuple(sorted(set(used)))
            for name, used in operations.items()
        }
        lines = [f"{len(self.operations)} operations of this network are not in the table:"]
        for name, used in self.operations.items():
            shown = ", ".join(path or "(the network itself)" for path in used[:3])
            rest = f" and {len(used) - 3} more" if len(used) > 3 else ""
            lines.append(f"  {name}: in {shown}{rest}")
        lines += [
            "Write each as a function of JAX arrays with PyTorch's arguments:",
            "  from rfp_jax.convert import register_torch_operation",
            f"  register_torch_operation('{next(iter(self.operations))}', function)",
        ]
        super().__init__("\n".join(lines))


class OperationError(ConversionError):
    """An operation of the table returned another shape than PyTorch did at this node."""


class DifferenceError(ConversionError):
    """The imported network and its original differ by more than rounding."""
