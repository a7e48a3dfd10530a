"""Files from outside: nothing in them is unpickled, evaluated or run."""

import pickle
import re
import zipfile

import pytest

from rfp_jax.convert import ProgramError, from_torch
from rfp_jax.convert._command import main

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from tests.convert.torch_programs import Around  # noqa: E402


class Bomb:
    """Unpickled, it ends the test."""

    def __reduce__(self):
        return (pytest.exit, ("a file was unpickled",))


@pytest.mark.parametrize("kind", ["module", "pickle", "text"])
def test_pickles_and_other_files_are_not_read(kind, tmp_path):
    path = tmp_path / "network.pt2"
    if kind == "module":
        torch.save(nn.Linear(2, 2), path)
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(Bomb()))
    else:
        path.write_text("hello")
    with pytest.raises(ProgramError, match=r"is not read\. Save a program .*torch\.export\.save"):
        from_torch(path)


PICKLES = {
    "a module": lambda path: torch.save(Around(nn.ReLU()), path),
    "TorchScript": lambda path: torch.jit.save(torch.jit.script(nn.Linear(2, 2)), path),
}


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("suffix", ["pt", "pth"])
@pytest.mark.parametrize("kind", PICKLES)
def test_files_of_torch_save_are_refused_with_the_way_to_a_program(kind, suffix, tmp_path, capsys):
    path = tmp_path / f"network.{suffix}"
    PICKLES[kind](path)
    way = r"torch\.export\.save\(torch\.export\.export\(.*'network\.pt2'\)"
    with pytest.raises(ProgramError, match=way):
        from_torch(path)
    assert main([str(path), str(tmp_path / "out")]) == 1
    assert re.search(way, capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == [path]


def tampered(path, target, change):
    """A program with one entry replaced."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    (name,) = (name for name in entries if name.endswith(target))
    entries[name] = change(entries[name])
    other = path.with_name("tampered.pt2")
    with zipfile.ZipFile(other, "w") as archive:
        for entry, content in entries.items():
            archive.writestr(entry, content)
    return other


TAMPERED = {
    "an example that would be unpickled": (
        "sample_inputs/model.pt",
        lambda _: pickle.dumps(Bomb()),
        "its example .* would be unpickled",
    ),
    "a weight that would be unpickled": (
        "model_weights_config.json",
        lambda content: content.replace(b'"use_pickle": false', b'"use_pickle": true'),
        "is an object that would be unpickled",
    ),
    "a size that would be evaluated": (
        "models/model.json",
        lambda content: re.sub(rb'"expr_str": *"[^"]*"', b'"expr_str": "pytest.exit(1)"', content),
        r"a size in it is not arithmetic: 'pytest.exit\(1\)'",
    ),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_archives_that_would_run_code_are_not_read(case, program):
    target, change, message = TAMPERED[case]
    with pytest.raises(ProgramError, match=message):
        from_torch(tampered(program, target, change))


def test_an_archive_with_more_than_a_program_is_not_read(program, tmp_path):
    path = tmp_path / "more.pt2"
    path.write_bytes(program.read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("network/data/aotinductor/model/library.so", b"")
    with pytest.raises(ProgramError, match=r"library\.so, which is not a part of a program"):
        from_torch(path)
    path.write_bytes(program.read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(archive.namelist()[0].upper(), b"")
    with pytest.raises(ProgramError, match="two of its entries have one name"):
        from_torch(path)
