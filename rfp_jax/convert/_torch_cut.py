"""Cut a program at submodules: their outputs become arguments."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from rfp_jax.convert._errors import ProgramError
from rfp_jax.convert._torch_program import Argument, Input, Program, Ref, Spec, refs


def cut(program: Program, paths: Sequence[str]) -> tuple[Program, list[Argument]]:
    """Make the outputs of submodules arguments of a program.

    Args:
        program: the program.
        paths: of the submodules.

    Returns:
        The program with an input of kind `"source"` per path, and what they replace.

    Raises:
        ProgramError: a submodule does not return one array, once.
    """
    if not paths:
        return program, []
    names = [_output_of(program, path) for path in paths]
    specs = {node.name: node.result for node in program.nodes}
    inputs = []
    for number, name in enumerate(names):
        spec = specs[name]
        inputs.append(Input(name, "source", number, spec if isinstance(spec, Spec) else None))
    kept = tuple(node for node in program.nodes if node.name not in names)
    replaced: list[Argument] = [Ref(name) for name in names]
    return dataclasses.replace(program, inputs=(*program.inputs, *inputs), nodes=kept), replaced


def _output_of(program: Program, path: str) -> str:
    """Name of the one node of a submodule that others use."""
    inside = {
        node.name
        for node in program.nodes
        if node.module == path or node.module.startswith(f"{path}.")
    }
    used = set(refs(program.output))
    for node in program.nodes:
        if node.name not in inside:
            used.update(node.refs())
    outputs = [node.name for node in program.nodes if node.name in inside & used]
    if not inside:
        known = sorted({node.module for node in program.nodes} - {""})
        raise ProgramError(
            f"no operation of this program belongs to a submodule {path!r}; its submodules are "
            f"{', '.join(known[:10]) or 'none'}{f' and {len(known) - 10} more' * (len(known) > 10)}"
        )
    if len(outputs) != 1:
        raise ProgramError(
            f"the submodule {path!r} returns {len(outputs)} arrays to the rest of the network "
            f"({', '.join(outputs)}), not one: it is called more than once or returns several; "
            "name a submodule inside it, or one around it"
        )
    return outputs[0]
