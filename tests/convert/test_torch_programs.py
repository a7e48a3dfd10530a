"""Saved programs: the command, the folders it writes, sources by submodules, arguments."""

import json
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

import rfp_jax
from rfp_jax.convert import (
    ProgramError,
    convert_program,
    from_torch,
    load,
    register_torch_operation,
)
from rfp_jax.convert._command import main
from rfp_jax.convert._torch_program import from_json, to_json
from tests.golden.weights import relative_error

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from tests.convert.torch_networks import Fusion, Tokens, images, randomized  # noqa: E402
from tests.convert.torch_programs import IDS, saved  # noqa: E402


def test_a_saved_program_with_a_free_batch_size(program, x64):
    fun, params = from_torch(program, check=True)
    assert fun.compared.relative <= 1e-12
    relevance = jax.jit(rfp_jax.relevance(fun, argnums=(1, 2)))(params, *images(5))
    module = randomized(Fusion())
    expected = module(*map(torch.from_numpy, images(5))).detach()
    assert relative_error(relevance.output, expected) <= 1e-12


def test_the_command_converts_and_load_needs_no_torch(program, tmp_path, capsys, x64):
    assert main([str(program), str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"largest difference +\d.*e-1\d of the outputs of PyTorch and JAX", shown)
    fun, params = from_torch(program)
    np.save(tmp_path / "expected.npy", fun(params, *images(3)))
    code = f"""
import sys
sys.modules["torch"] = None
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
from rfp_jax.convert import load
fun, params = load({str(tmp_path / "out")!r})
rng = np.random.default_rng(3)
sources = rng.standard_normal((3, 4, 8, 8)), rng.standard_normal((3, 2, 8, 8))
assert params["head.bias"].dtype == np.float64
np.testing.assert_array_equal(fun(params, *sources), np.load({str(tmp_path / "expected.npy")!r}))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


class Words(nn.Module):
    """Token ids, embedded, and a head on their mean."""

    def __init__(self):
        super().__init__()
        self.words = nn.ModuleDict({"embedding": nn.Embedding(11, 6)})
        self.layer, self.head = nn.Linear(6, 6), nn.Linear(6, 5)

    def forward(self, ids):
        return self.head(torch.relu(self.layer(self.words["embedding"](ids))).mean(1))


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    batch = torch.export.Dim("batch")
    options = {"dynamic_shapes": ({0: batch},)}
    folder = tmp_path_factory.mktemp("words")
    return saved(folder, randomized(Words()), (torch.from_numpy(IDS),), **options)


def test_a_submodule_of_a_saved_program_is_a_source(words, x64):
    fun, params = from_torch(words, sources="words.embedding", check=True)
    assert fun.compared.relative <= 1e-12
    ids = np.array([[1, 2, 3], [4, 0, 10], [7, 7, 8]])
    (embedded,) = fun.source_values(params, ids)
    np.testing.assert_array_equal(embedded, params["words.embedding.weight"][ids])
    relevance = jax.jit(rfp_jax.relevance(fun, argnums=1))(params, embedded, ids)
    expected = randomized(Words())(torch.from_numpy(ids)).detach()
    assert relative_error(relevance.output, expected) <= 1e-12
    assert relative_error(relevance.sources + relevance.bias, expected) <= 1e-12
    assert np.abs(relevance.sources).min() > 1e-6


def test_the_folder_keeps_which_submodules_are_sources(words, tmp_path, capsys, x64):
    out = tmp_path / "out"
    assert main([str(words), str(out), "--sources", "words.embedding"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^sources +words\.embedding$", shown, re.MULTILINE)
    assert re.search(r"largest difference +\d", shown)
    assert json.loads((out / "manifest.json").read_text())["options"] == {
        "sources": ["words.embedding"]
    }
    fun, params = load(out)
    expected, _ = from_torch(words)
    (embedded,) = fun.source_values(params, IDS)
    np.testing.assert_array_equal(fun(params, embedded, IDS), expected(params, IDS))
    heat = rfp_jax.heatmap(fun, argnums=1)(params, embedded, IDS)
    assert heat.shape == (2, 3, 6)
    with pytest.raises(ProgramError, match=r"come the outputs of words\.embedding"):
        fun(params)


def test_a_folder_without_options_has_no_sources(words, tmp_path):
    """As they were written before sources could be chosen."""
    convert_program(words, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest.pop("options") == {"sources": []}
    (tmp_path / "out" / "manifest.json").write_text(json.dumps(manifest))
    fun, params = load(tmp_path / "out")
    assert fun(params, IDS).shape == (2, 5)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "nothing",
            r"a submodule 'nothing'; its submodules are head, layer, words\.embedding",
        ),
        ("words.embedding.weight", "belongs to a submodule 'words.embedding.weight'"),
    ],
)
def test_sources_that_are_not_there_are_refused_before_anything_is_written(
    path, message, words, tmp_path, capsys
):
    for use in (from_torch, lambda *a, **k: convert_program(*a, tmp_path / "out", **k)):
        with pytest.raises(ProgramError, match=message):
            use(words, sources=path)
    assert main([str(words), str(tmp_path / "out"), "--sources", path]) == 1
    assert re.search(message, capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("a.pth", "is of .pt2 programs\n"),
        ("a.onnx", "is of .pt2 programs; of an ONNX network --inputs names tensors\n"),
    ],
)
def test_sources_are_of_programs(file, message, tmp_path, capsys):
    (tmp_path / file).write_bytes(b"")
    assert main([str(tmp_path / file), str(tmp_path / "out"), "--sources", "layer"]) == 1
    assert capsys.readouterr().err == f"error: --sources {message}"


def test_a_folder_that_exists_is_left_as_it_is(program, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    assert main([str(program), str(tmp_path / "out")]) == 1
    assert "exists already" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_nothing_is_written_if_the_check_fails(program, tmp_path, capsys, table):
    register_torch_operation("relu", lambda x: 1.01 * jax.nn.relu(x))
    assert main([str(program), str(tmp_path / "out")]) == 1
    assert "They part first at aten.relu.default" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert main([str(program), str(tmp_path / "out"), "--no-example"]) == 0
    assert "not checked" in capsys.readouterr().out


def test_arch_is_not_of_programs(program, tmp_path, capsys):
    assert main([str(program), str(tmp_path / "out"), "--arch", "vgg16"]) == 1
    assert "--arch is of checkpoints" in capsys.readouterr().err


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(ProgramError, match="is not a folder that `rfp-jax convert"):
        load(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"format": "something else"}))
    with pytest.raises(ProgramError, match="its format is 'something else'"):
        load(tmp_path)


def test_a_program_survives_json(x64):
    module = randomized(Tokens())
    fun, params = from_torch(module)
    program = fun.program(params, IDS, mask=IDS > 1)
    written = json.loads(json.dumps(to_json(program)))
    assert from_json(written, program.constants) == program
    with pytest.raises(ValueError, match="'bad' is not a tag"):
        from_json({**written, "output": {"bad": 1}}, {})


def test_arguments_that_do_not_fit_a_saved_program(tmp_path):
    module = randomized(Tokens()).float()
    arguments = (torch.from_numpy(IDS),), {"mask": torch.ones(2, 3, dtype=torch.bool)}

    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = module

        def forward(self, ids, *, mask):
            return self.inner(ids, mask=mask).logits

    fun, params = from_torch(saved(tmp_path, Plain().eval(), *arguments))
    assert fun(params, IDS, mask=IDS > 1).shape == (2, 3, 11)
    with pytest.raises(ProgramError, match=r"keywords {'mask': 'mask: bool\[2, 3\]'}.* and {}"):
        fun(params, IDS)
    with pytest.raises(ProgramError, match=r"'ids' is int\d+\[2, 2\].*takes int64\[2, 3\]"):
        fun(params, IDS[:, :2], mask=IDS > 1)
    with pytest.raises(ProgramError, match=r"'ids' is float32"):
        fun(params, IDS.astype("float32"), mask=IDS > 1)
    with pytest.raises(ProgramError, match="has to be an array"):
        fun(params, 3, mask=IDS > 1)


def test_torch_is_not_imported_before_it_is_needed():
    code = """
import sys
from rfp_jax.convert import from_torch
assert "torch" not in sys.modules
sys.modules["torch"] = None
try:
    from_torch("network.pt2")
except ModuleNotFoundError as error:
    assert "rfp-jax[convert]" in str(error), error
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        from_torch(tmp_path / "missing.pt2")
