"""Find out what a pickle would do, without doing it.

A file of 200 bytes can take hours and gigabytes: a pickle is a program for a machine with a
stack. Its steps are followed here with nothing on the stack but how deep a thing is nested and how
large it is: enough to see what Python's reader would choke on.

- Steps beyond the budget.
- Bytes beyond the budget: a text or a list that is handed to a maker of objects again and again,
  each time to be copied.
- Seconds beyond the budget: whatever else there may be that takes long to follow.
- A place in the memo beyond the number of steps: the reader would allocate all up to it.
- A nested tuple as a key: hashing it takes 2^n where each level names the one below twice.
- Lengths beyond the end of the file, and steps that the stack does not bear out.
"""

import pickletools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

STEPS = 1_000_000
"""Steps that any pickle may have; a larger file has one for every two bytes."""

BYTES = 2**26
"""Bytes that any pickle may hand to makers of objects; a larger file has 16 for each of its own."""

SECONDS = 8.0
"""Seconds of this thread's work that following may take, and as many more for every 4 MiB."""

_DEPTH = 3
_NAME, _MOST = 8, 2**60  # bytes of a reference; more than this is not counted
_LOOK = 4096  # steps between two looks at the clock
_PUT = {"PUT", "BINPUT", "LONG_BINPUT"}
_GET = {"GET", "BINGET", "LONG_BINGET"}
_TUPLES: Mapping[str, int] = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MAKERS = {"REDUCE", "BUILD", "NEWOBJ", "NEWOBJ_EX", "INST", "OBJ"}
_GROWING = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}


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
    budget = _Budget.of(len(content))
    rest = content
    while rest[:1] == b"\x80":
        rest = rest[_follow(rest, budget, refused) :]
    if rest is content:
        _follow(rest, budget, refused)  # protocols 0 and 1 have no header


@dataclass(slots=True, eq=False)
class _Item:
    """Knowledge of a thing on the stack, and in the memo: a list there grows with this one.

    Attributes:
        depth: how deep tuples are nested in it.
        bytes: of its text and of what is in it, counted as often as it is named.
    """

    depth: int = 0
    bytes: int = _NAME

    def add(self, items: Iterable["_Item"]) -> None:
        """Put things into it."""
        self.bytes = min(self.bytes + sum(item.bytes for item in items), _MOST)


_MARK = _Item(-1)


@dataclass
class _Budget:
    """The allowance that is left to a file.

    Attributes:
        steps: that it may have.
        bytes: that it may hand to makers of objects.
        seconds: that following it may take.
        taken: steps so far.
        handed: bytes so far.
        begun: when it was begun, in seconds of this thread.
    """

    steps: int
    bytes: int
    seconds: float
    taken: int = 0
    handed: int = 0
    begun: float = field(default_factory=time.thread_time)

    @classmethod
    def of(cls, size: int) -> "_Budget":
        """The budget of a file by its size."""
        return cls(max(STEPS, size // 2), max(BYTES, 16 * size), SECONDS * (1 + size / 2**22))

    def step(self) -> None:
        """Take a step."""
        self.taken += 1
        if self.taken > self.steps:
            raise PickleBudgetError(f"more than {self.steps} steps")
        if self.taken % _LOOK == 0 and time.thread_time() - self.begun > self.seconds:
            raise PickleBudgetError(f"more than {self.seconds:.0f} seconds")

    def hand(self, items: Iterable[_Item]) -> None:
        """Hand things to a maker of objects."""
        self.handed += sum(item.bytes for item in items)
        if self.handed > self.bytes:
            raise PickleBudgetError(f"it hands more bytes to makers of objects than {self.bytes}")


def _follow(content: bytes, budget: _Budget, refused: Sequence[str]) -> int:
    """Follow one pickle; returns its length."""
    stack: list[_Item] = []
    memo: dict[int, _Item] = {}
    length = 0
    for code, argument, place in _steps(content):
        length = place + 1
        budget.step()
        name = code.name
        if name in _PUT or name == "MEMOIZE":
            index = len(memo) if name == "MEMOIZE" else int(argument)
            if index > budget.taken:
                raise PickleBudgetError(f"place {index} in the memo after {budget.taken} steps")
            memo[index] = _top(stack)
        elif name in _GET:
            stack.append(memo.get(int(argument), _Item()))
        elif name == "DUP":
            stack.append(_top(stack))
        elif name == "MARK":
            stack.append(_MARK)
        elif name in _CONSTANTS:
            stack.append(_Item(0, _size(argument)))
            if name == "GLOBAL" and argument in refused:
                raise PickleBudgetError(f"it asks for {argument}")
        elif name in _TUPLES:
            count = _TUPLES[name]
            items = stack[len(stack) - count :]
            del stack[len(stack) - count :]
            stack.append(_holder(items, nested=True))
        else:
            _other(name, stack, budget)
    return length


def _holder(items: Sequence[_Item], *, nested: bool) -> _Item:
    """A new thing that holds others; nested if it is a tuple."""
    holder = _Item(1 + max((item.depth for item in items), default=0) if nested else 0)
    holder.add(items)
    return holder


def _size(argument: object) -> int:
    """Bytes of what a step has in the file."""
    return _NAME + (len(argument) if isinstance(argument, str | bytes | bytearray) else 0)


def _steps(
    content: bytes,
) -> Iterator[tuple[pickletools.OpcodeInfo, Any, int]]:  # Any: the code says what it takes
    for code, argument, place in pickletools.genops(content):
        yield code, argument, place or 0


class _Effect(NamedTuple):
    """A step's effect on the stack, by `pickletools`: what it takes, and how many it puts."""

    marked: bool
    popped: int
    pushed: int


def _effect(code: pickletools.OpcodeInfo) -> _Effect:
    before = [each.name for each in code.stack_before]
    marked = "mark" in before
    popped = before.index("mark") if marked else len(before)
    return _Effect(marked, popped, len(code.stack_after))


_EFFECTS = {code.name: _effect(code) for code in pickletools.opcodes}
_CONSTANTS = {name for name, each in _EFFECTS.items() if each == (False, 0, 1)} - _TUPLES.keys()


def _other(name: str, stack: list[_Item], budget: _Budget) -> None:
    """Any step that has no line of its own."""
    marked, popped, pushed = _EFFECTS[name]
    if name == "POP" and stack[-1:] == [_MARK]:
        popped = 1
    items: list[_Item] = []
    if marked:
        if _MARK not in stack:
            raise ValueError(f"{name} without a mark")
        start = len(stack) - 1 - stack[::-1].index(_MARK)
        items = stack[start + 1 :]
        del stack[start:]
    if popped > len(stack):
        raise ValueError(f"{name} with {len(stack)} on the stack")
    if name in _KEYS:
        depth = max((item.depth for item in _KEYS[name](stack, items)), default=0)
        if depth > _DEPTH:
            raise PickleBudgetError(f"tuples within tuples as keys, {depth} deep")
    taken = stack[len(stack) - popped :]
    del stack[len(stack) - popped :]
    if name in _MAKERS:
        budget.hand([*taken, *items])
    if name in _GROWING:
        taken[0].add([*taken[1:], *items])
        stack.append(taken[0])
    elif pushed:
        stack.append(_holder([*taken, *items], nested=name in ("TUPLE", "FROZENSET")))


_KEYS: Mapping[str, Callable[[list[_Item], list[_Item]], list[_Item]]] = {
    "SETITEM": lambda stack, items: stack[-2:-1],
    "SETITEMS": lambda stack, items: items[::2],
    "DICT": lambda stack, items: items[::2],
    "ADDITEMS": lambda stack, items: items,
    "FROZENSET": lambda stack, items: items,
}
"""The things that a step hashes, by name: of the stack, and of the items above the mark."""


def _top(stack: list[_Item]) -> _Item:
    if not stack or stack[-1] is _MARK:
        raise ValueError("nothing on the stack")
    return stack[-1]
