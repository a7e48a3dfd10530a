"""Shapes in annotations: `shapes.Float[jax.Array, "*batch k"]`, in jaxtyping's notation.

A type checker reads an array; jaxtyping is not needed to run the library. Annotations are strings
(`from __future__ import annotations`), and who resolves them, as the tests do to check shapes at
run time, needs jaxtyping.
"""

# ruff: noqa: F401

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Annotated as Bool
    from typing import Annotated as Float
    from typing import Annotated as Inexact
    from typing import Annotated as Integer
    from typing import Annotated as Num
    from typing import Annotated as Shaped
else:

    def __getattr__(name: str) -> object:
        if name.startswith("_"):
            raise AttributeError(name)
        import jaxtyping

        return getattr(jaxtyping, name)
