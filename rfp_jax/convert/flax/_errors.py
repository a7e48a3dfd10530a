"""Errors that stop the conversion of a checkpoint."""

from collections.abc import Sequence

from rfp_jax.convert._errors import ConversionError


class CheckpointError(ConversionError):
    """A file that is not a readable PyTorch checkpoint, or one that holds more than tensors."""


class UnknownArchitectureError(ConversionError, ValueError):
    """An architecture that is not known by name, or keys that belong to none that is known."""


class StateDictError(ConversionError, ValueError):
    """Arrays that do not fit the architecture; every one of them is listed.

    Attributes:
        missing: names that the architecture has and the given mapping lacks.
        unexpected: names that the given mapping has and the architecture lacks.
        misshapen: names whose arrays have another shape than the architecture's.
        invalid: names whose arrays cannot be weights at all (not floating point, unequal aliases).
    """

    def __init__(
        self,
        summary: str,
        *,
        missing: Sequence[tuple[str, str]] = (),
        unexpected: Sequence[tuple[str, str]] = (),
        misshapen: Sequence[tuple[str, str]] = (),
        invalid: Sequence[tuple[str, str]] = (),
        hint: str = "",
    ) -> None:
        groups = {
            "missing": missing,
            "unexpected": unexpected,
            "misshapen": misshapen,
            "invalid": invalid,
        }
        lines = [summary]
        for title, entries in groups.items():
            if entries:
                lines.append(f"  {title} ({len(entries)}):")
                lines += [f"    {name}: {remark}" for name, remark in entries]
        super().__init__("\n".join(lines + ([hint] if hint else [])))
        self.missing, self.unexpected, self.misshapen, self.invalid = (
            tuple(name for name, _ in entries) for entries in groups.values()
        )


class SelfCheckError(ConversionError):
    """PyTorch and Flax disagree on the same input: the conversion must not be used."""
