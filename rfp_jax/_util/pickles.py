"""What a pickle would do, found out without doing it.

A file of 200 bytes can take hours and gigabytes: a pickle is a program for a machine with a
stack. Its steps are followed here with nothing on the stack but how deep a tuple is nested: enough
to see what Python's reader would choke on.

- Steps beyond the budget.
- A place in the memo beyond the number of steps: the reader would allocate all up to it.
- A nested tuple as a key: hashing it takes 2^n where each level names the one below twice.
- Lengths beyond the end of the file, and steps that the stack does not bear out.
"""

import pickletools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

STEPS = 1_000_000
"""Steps that any pickle may have; a larger file has one for every two bytes."""

_DEPTH = 3
_MARK = -1
_PUT = {"PUT", "BINPUT", "LONG_BINPUT"}
_GET = {"GET", "BINGET", "LONG_BINGET"}
_TUPLES: Mapping[str, int] = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class PickleBudgetError(ValueError):
    """A pickle that would take more than its size accounts for."""


def check_pickle(content: bytes, refused: Sequence[str] = ()) -> None:
    """Follow the steps of all pickles at the beginning of some bytes.

    Args:
        content: the bytes; what follows the last pickle is not looked at.
        refused: names `module name` that must not be asked for.

    Raises:
        PickleBudgetError: if it goes beyond a limit, or asks for what is refused.
        ValueError: if it is damaged.

    Examples:
        >>> import pickle
        >>> check_pickle(pickle.dumps({"a": [1, 2]}))
        >>> check_pickle(b"\\x80\\x02]r\\xff\\xff\\xff\\x7f.")
        Traceback (most recent call last):
        ...
        rfp_jax._util.pickles.PickleBudgetError: place 2147483647 in the memo after 3 steps
    """
    limit = max(STEPS, len(content) // 2)
    taken, rest = 0, content
    while rest[:1] == b"\x80":
        taken, length = _follow(rest, taken, limit, refused)
        rest = rest[length:]
    if rest is content:
        _follow(rest, taken, limit, refused)  # protocols 0 and 1 have no header


def _follow(content: bytes, before: int, limit: int, refused: Sequence[str]) -> tuple[int, int]:
    """Follow one pickle; returns how many steps were taken so far, and its length."""
    stack: list[int] = []
    memo: dict[int, int] = {}
    length = 0
    number = before
    for number, (code, argument, place) in enumerate(_steps(content), start=before + 1):
        length = place + 1
        if number > limit:
            raise PickleBudgetError(f"more than {limit} steps")
        name = code.name
        if name in _PUT or name == "MEMOIZE":
            index = len(memo) if name == "MEMOIZE" else int(argument)
            if index > number:
                raise PickleBudgetError(f"place {index} in the memo after {number} steps")
            memo[index] = _top(stack)
        elif name in _GET:
            stack.append(memo.get(int(argument), 0))
        elif name == "DUP":
            stack.append(_top(stack))
        elif name == "MARK":
            stack.append(_MARK)
        elif name in _TUPLES:
            count = _TUPLES[name]
            items = stack[len(stack) - count :]
            del stack[len(stack) - count :]
            stack.append(1 + max(items, default=0))
        else:
            _other(name, stack)
            if name == "GLOBAL" and argument in refused:
                raise PickleBudgetError(f"it asks for {argument}")
    return number, length


def _steps(content: bytes) -> Iterator[tuple[pickletools.OpcodeInfo, Any, int]]:
    for code, argument, place in pickletools.genops(content):
        yield code, argument, place or 0


class _Effect(NamedTuple):
    """What a step takes off the stack, as `pickletools` describes it, and how much it puts."""

    marked: bool
    popped: int
    pushed: int


def _effect(code: pickletools.OpcodeInfo) -> _Effect:
    before = [each.name for each in code.stack_before]
    marked = "mark" in before
    popped = before.index("mark") if marked else len(before)
    return _Effect(marked, popped, len(code.stack_after))


_EFFECTS = {code.name: _effect(code) for code in pickletools.opcodes}


def _other(name: str, stack: list[int]) -> None:
    """Any step that has no line of its own."""
    marked, popped, pushed = _EFFECTS[name]
    if name == "POP" and stack[-1:] == [_MARK]:
        popped = 1
    items: list[int] = []
    if marked:
        if _MARK not in stack:
            raise ValueError(f"{name} without a mark")
        start = len(stack) - 1 - stack[::-1].index(_MARK)
        items = stack[start + 1 :]
        del stack[start:]
    if popped > len(stack):
        raise ValueError(f"{name} with {len(stack)} on the stack")
    if name in _KEYS and max(_KEYS[name](stack, items), default=0) > _DEPTH:
        raise PickleBudgetError(
            f"tuples within tuples as keys, {max(_KEYS[name](stack, items))} deep"
        )
    if popped:
        del stack[len(stack) - popped :]
    depth = 1 + max(items, default=0) if name in ("TUPLE", "FROZENSET") else 0
    stack.extend([depth] * pushed)


_KEYS: Mapping[str, Callable[[list[int], list[int]], list[int]]] = {
    "SETITEM": lambda stack, items: stack[-2:-1],
    "SETITEMS": lambda stack, items: items[::2],
    "DICT": lambda stack, items: items[::2],
    "ADDITEMS": lambda stack, items: items,
    "FROZENSET": lambda stack, items: items,
}
"""What a step hashes, by name: of the stack, and of the items above the mark."""


def _top(stack: list[int]) -> int:
    if not stack or stack[-1] == _MARK:
        raise ValueError("nothing on the stack")
    return stack[-1]
