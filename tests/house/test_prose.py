"""Prose follows the house: docstrings and headings name a thing or begin with a verb."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ["rfp_jax", "convert", "experiments", "benchmarks", "tests", "docs"]
QUESTION = re.compile(r"(what|how|where|which|whether|who|whose|when|why)\b", re.IGNORECASE)
SAID_SO = {"How it works", "How to add"}
"""Headings that begin with a question word and are what everybody calls such a page."""


def docstrings(program: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and text of each docstring, those under constants included."""
    for node in ast.walk(program):
        match node:
            case ast.Expr(value=ast.Constant(value=str() as text)):
                yield node.lineno, text


def questions(source: str) -> list[str]:
    """List the docstrings of a program that begin with a question word."""
    found = sorted(docstrings(ast.parse(source)))
    return [f"{line}: {text.splitlines()[0]}" for line, text in found if QUESTION.match(text)]


OF = re.compile(r"\s*Of ")
"""Begins what has no subject: "Of a chunk: its counts" are "A chunk's counts"."""

IS_NO = re.compile(
    r"\b(is|are)\s+(?:# )?no "
    r"(?!longer|more|less|better|worse|other|need|way|room)\w",
    re.IGNORECASE,
)
"""Reads twice: what "is no file" is not a file."""


def tracked(*endings: str) -> list[Path]:
    """List the files of the repository with one of these endings, newly written ones included."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name.endswith(endings)]
    return [path for path in paths if path.is_file()]


@pytest.mark.parametrize(
    "source",
    [
        '"""What a module holds."""',
        'def f():\n    """Whether it is."""',
        'class A:\n    """How it is done."""',
        'class A:\n    def f(self):\n        """Where it lies."""',
        'x = 1\n"""Which of them."""',
    ],
)
def test_a_question_is_found(source):
    assert len(questions(source)) == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a.txt is no file", True),
        ("they are\nno arrays", True),
        ("there is no file", False),
        ("it is no longer there", False),
        ("There are\nno arrays", False),
    ],
)
def test_what_is_no_thing_is_found(text, found):
    assert bool(said_twice(text)) == found


def said_twice(text: str) -> list[str]:
    """List what reads twice in a text."""
    there = re.compile(r"\bthere\s+(is|are)\s+no\b", re.IGNORECASE)
    return [found[0] for found in IS_NO.finditer(there.sub("", text))]


def test_what_is_not_a_thing_is_said_so():
    """In the package, whose errors users read, and in the documentation."""
    pages = [path for path in tracked(".md") if path.name != "CHANGELOG.md"]
    texts = [*sorted((ROOT / "rfp_jax").rglob("*.py")), *pages]
    assert len(texts) > 200
    found = {str(path.relative_to(ROOT)): said_twice(path.read_text()) for path in texts}
    assert not {path: words for path, words in found.items() if words}


@pytest.mark.parametrize("room", ROOMS)
def test_docstrings_have_a_subject(room):
    assert OF.match("Of a chunk: its counts.")
    found = {
        str(path.relative_to(ROOT)): [line for line, text in docstrings(program) if OF.match(text)]
        for path in (ROOT / room).rglob("*.py")
        for program in [ast.parse(path.read_text())]
    }
    assert not {path: lines for path, lines in found.items() if lines}


@pytest.mark.parametrize("room", ROOMS)
def test_docstrings_begin_with_a_verb_or_a_noun(room):
    programs = sorted((ROOT / room).rglob("*.py"))
    assert programs
    found = {str(path.relative_to(ROOT)): questions(path.read_text()) for path in programs}
    assert not {path: lines for path, lines in found.items() if lines}


def test_headings_name_their_section():
    pages = tracked(".md")
    headings = {
        (path.name, heading)
        for path in pages
        for heading in re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    }
    assert len(headings) > 100
    assert not {
        (page, heading)
        for page, heading in headings
        if QUESTION.match(heading) and heading not in SAID_SO
    }


AMERICAN = {
    "colour": "color",
    "behaviour": "behavior",
    "neighbour": "neighbor",
    "favour": "favor",
    "centre": "center",
    "grey": "gray",
    "metre": "meter",
    "labelled": "labeled",
    "labelling": "labeling",
    "cancelled": "canceled",
    "travelled": "traveled",
    "modelling": "modeling",
    "licence": "license",
    "artefact": "artifact",
    "catalogue": "catalog",
    "analyse": "analyze",
    "judgement": "judgment",
    "defence": "defense",
    "fibre": "fiber",
    "spelt": "spelled",
    "learnt": "learned",
}
"""British words that are part of others, too (`neighbouring`), and what stands in their place."""
IZE = re.compile(
    r"(recogn|normal|random|initial|summar|standard|optim|stabil|quant|minim|maxim|synthes|"
    r"general|organ|visual|parallel|linear|serial|vector|util|categor|character|special|regular|"
    r"penal|symbol|factor|discret|memor)is(e|ing|ation|able)",
    re.IGNORECASE,
)
OTHERS_NAMES = re.compile(
    r'grey_closing|"metre"|British spelling: .*|`labelled` of .*|`randomised` of .*'
)
"""Words that others chose: SciPy, coordinate systems, version 0.1 of this package."""


def british(text: str) -> list[str]:
    """List the British words of a text with the American ones."""
    text = OTHERS_NAMES.sub("", text)
    words = [f"{word} -> {said}" for word, said in AMERICAN.items() if word in text.lower()]
    return words + [f"{found[0]} -> {found[1]}iz{found[2]}" for found in IZE.finditer(text)]


@pytest.mark.parametrize("text", ["Its colours", "def normalise_s2(x):", "a neighbouring pixel"])
def test_a_british_word_is_found(text):
    assert len(british(text)) == 1


def test_spelling_is_american():
    texts = tracked(".py", ".md", ".html", ".css", ".js", ".toml", ".yml", ".yaml", ".cff")
    own = [
        path
        for path in texts
        if path != Path(__file__) and "mathjax" not in path.parts and "leaflet" not in path.name
    ]
    assert len(own) > 400
    found = {str(path.relative_to(ROOT)): british(path.read_text()) for path in own}
    assert not {path: words for path, words in found.items() if words}
