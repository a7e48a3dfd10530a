"""The commands that the documentation shows are there, and have the options that stand behind them.

They are looked up in the sources, so that no command need be started.
"""

import ast
import functools
import re
import shlex
from pathlib import Path

import pytest

from rfp_jax._command import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINE = re.compile(r"(?:^\$ |^    |`)((?:rfp-jax|python -m )(?:[^`\n]*\\\n)*[^`\n]*)", re.MULTILINE)


def commands(text):
    """List the commands of a page, each as words."""
    lines = (re.sub(r"\\\n|[\[\]]", " ", line) for line in LINE.findall(text))
    found = (shlex.split(line, comments=True) for line in lines)
    return [words for words in found if not words[-1].endswith("...")]  # of any command


def module(words):
    """The module behind a command."""
    if words[0] != "rfp-jax":
        return words[2]
    named = [COMMANDS[word].module for word in words[1:2] if word in COMMANDS]
    return named[0] if named else "rfp_jax._command"


def sources(name):
    """The files of a module; all those of its folder, if it is a package."""
    place = ROOT / name.replace(".", "/")
    if (place / "__main__.py").exists():
        return sorted(place.glob("*.py"))
    return [path] if (path := place.with_suffix(".py")).exists() else []


def fields(program, names=None):
    """Names of the fields of a program's classes; of these alone, if they are given."""
    return {
        each.target.id
        for node in ast.walk(program)
        if isinstance(node, ast.ClassDef) and (names is None or node.name in names)
        for each in node.body
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    }


@functools.cache
def options(name):
    """Names that options may have: fields, also of imported classes, arguments, and words."""
    own = sources(name)
    assert own, f"there is no module {name}"
    found = {"help", "version"}
    for program in [ast.parse(path.read_text()) for path in own]:
        found |= fields(program)
        for node in ast.walk(program):
            match node:
                case ast.ImportFrom(module=str() as beside, names=names):
                    for path in sources(beside):
                        imported = {each.name for each in names}
                        found |= fields(ast.parse(path.read_text()), imported)
                case ast.FunctionDef(args=given):
                    found |= {each.arg for each in (*given.args, *given.kwonlyargs)}
                case ast.Constant(value=str() as text) if re.fullmatch(r"--[a-z-]+", text):
                    found.add(text[2:].replace("-", "_"))
    return found


def unknown(words):
    """List the options of a command that it does not have."""
    known = options(module(words))
    given = [word[2:].partition("=")[0] for word in words if word.startswith("--")]
    names = [name.rpartition(".")[2].replace("-", "_") for name in given]
    return [name for name in names if not known & {name, name.removeprefix("no_")}]


def test_an_unknown_option_is_found():
    (words,) = commands("$ python -m benchmarks.memory --samples 3 \\\n    --sample 3  # few\n")
    assert unknown(words) == ["sample"]
    (words,) = commands("as `rfp-jax map --sources a=b` does")
    assert unknown(words) == ["sources"]
    with pytest.raises(AssertionError, match=r"no module benchmarks\.memories"):
        options("benchmarks.memories")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_exist(page):
    found = {" ".join(words): unknown(words) for words in commands(page.read_text())}
    assert not {line: names for line, names in found.items() if names}


def test_there_are_commands():
    assert sum(len(commands(page.read_text())) for page in PAGES) > 80


def test_every_page_with_an_example_is_run_by_a_test():
    tests = [path.read_text() for path in sorted((ROOT / "tests").rglob("test_*.py"))]
    running = [text for text in tests if "exec(compile(" in text or "```python" in text]
    named = {Path(name).name for text in running for name in re.findall(r'"([\w/]+\.md)"', text)}
    with_examples = {page.name for page in PAGES if "\n```python\n" in page.read_text()}
    assert len(with_examples) > 15
    assert not with_examples - named
