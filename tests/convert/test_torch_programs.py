"""Saved programs, folders, the check against PyTorch, and everything that is refused."""

import json
import pickle
import re
import subprocess
import sys
import warnings
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rfp_jax
from rfp_jax.convert import (
    DifferenceError,
    ExportError,
    MissingOperationError,
    OperationError,
    ProgramError,
    convert_program,
    from_torch,
    load,
    register_torch_operation,
)
from rfp_jax.convert._aten import TABLE
from rfp_jax.convert._command import main
from rfp_jax.convert._torch_program import from_json, to_json
from tests.golden.weights import relative_error

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from tests.convert.torch_networks import Fusion, Tokens, images, randomized  # noqa: E402

IDS = np.array([[1, 2, 3], [4, 0, 10]])


def saved(folder, module, args, kwargs=None, **options):
    program = torch.export.export(module, args, kwargs or {}, strict=False, **options)
    torch.export.save(program, folder / "network.pt2")
    return folder / "network.pt2"


def fusion_program(folder):
    sources = tuple(map(torch.from_numpy, images(2)))
    batch = torch.export.Dim("batch")
    return saved(folder, randomized(Fusion()), sources, dynamic_shapes=({0: batch}, {0: batch}))


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return fusion_program(tmp_path_factory.mktemp("program"))


@pytest.fixture
def table():
    before = dict(TABLE)
    yield TABLE
    TABLE.clear()
    TABLE.update(before)


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
    "a module": lambda path: torch.save(Words(), path),
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


class Bomb:
    """Unpickled, it ends the test."""

    def __reduce__(self):
        return (pytest.exit, ("a file was unpickled",))


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


def test_training_mode_is_refused():
    module = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    module.eval()
    module[1].train()
    with pytest.raises(ValueError, match=r"in training mode: 1\. .*call module\.eval\(\) first"):
        from_torch(module)
    fun, params = from_torch(module.eval())
    module.train()
    with pytest.raises(ValueError, match="training mode"):
        fun(params, np.ones((1, 2), "float32"))


class Depends(nn.Module):
    def forward(self, x):
        return 2 * x if x.sum() > 0 else x


class Unknown(nn.Module):
    def forward(self, x):
        return torch.special.bessel_j0(x) + torch.special.bessel_j1(x)


class Around(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.layer, self.inner = nn.Linear(3, 3), inner

    def forward(self, x):
        return self.inner(self.layer(x))


def test_control_flow_that_depends_on_data_is_refused():
    fun, params = from_torch(Around(Depends()).eval())
    with pytest.raises(
        ExportError, match=r"(?s)submodule: inner.*test_torch_programs.*torch.where"
    ):
        fun(params, np.ones((3, 3), "float32"))


def test_missing_operations_are_listed_before_anything_runs(table):
    fun, params = from_torch(Around(Unknown()).eval())
    register_torch_operation("linear", lambda *_: pytest.fail("something ran"))
    with pytest.raises(MissingOperationError, match="register_torch_operation") as caught:
        fun(params, np.ones((3, 3), "float32"))
    assert caught.value.operations == {
        "special_bessel_j0": ("inner",),
        "special_bessel_j1": ("inner",),
    }


def test_nothing_is_written_if_operations_are_missing(tmp_path, capsys):
    path = saved(tmp_path, Around(Unknown()).eval(), (torch.ones(3, 3),))
    with pytest.raises(MissingOperationError, match=r"special_bessel_j0: in inner"):
        convert_program(path, tmp_path / "out")
    assert main([str(path), str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "error: 2 operations of this network are not in the table" in said
    assert "special_bessel_j1: in inner" in said
    assert list(tmp_path.iterdir()) == [path]


def test_a_registered_operation_runs(table, x64):
    module = randomized(Around(Eigenvalues()))
    fun, params = from_torch(module)
    x = np.random.default_rng(0).standard_normal((3, 3))
    register_torch_operation("_linalg_eigh", lambda x, *_: (jnp.linalg.eigvalsh(x), None))
    expected = module(torch.from_numpy(x)).detach()
    assert relative_error(fun(params, x), expected) <= 1e-10


class Eigenvalues(nn.Module):
    def forward(self, x):
        return torch.linalg.eigvalsh(x + x.mT)


class Defined(nn.Module):
    """Operations that the table lacks, and that PyTorch defines by others."""

    def forward(self, x, y):
        loss = nn.functional.huber_loss(x, y, reduction="none")
        return loss + torch.nn.functional.binary_cross_entropy_with_logits(x, y.sigmoid())


def test_what_pytorch_defines_by_others_is_computed_by_them(table, x64):
    assert not {"huber_loss", "binary_cross_entropy_with_logits"} & set(table)
    arrays = np.random.default_rng(0).standard_normal((2, 3, 4))
    fun, _ = from_torch(Defined().eval(), check=tuple(arrays))
    assert fun.compared.relative <= 1e-12


class Chosen(nn.Module):
    def forward(self, x):
        return x[x > 0].sum()


def test_a_size_that_depends_on_values_is_refused():
    fun, params = from_torch(Around(Chosen()).eval())
    with pytest.raises(OperationError, match=r"submodule 'inner' needs numbers .*torch\.where"):
        jax.jit(fun)(params, np.ones((3, 3), "float32"))


class Strided(nn.Module):
    """Views by their places in memory, of a transposed tensor too; one is written to."""

    def forward(self, x):
        y = x.clone()
        y.as_strided((2,), (5,), 1).mul_(3)
        return y.mT.as_strided((2, 3), (1, 4)) * x.as_strided((3,), (4,))


class Part(nn.Module):
    def forward(self, x):
        return x[:, 1:].as_strided((2,), (4,))


def test_views_by_their_places_in_memory(x64):
    fun, params = from_torch(Strided().eval(), check=(np.arange(12.0).reshape(3, 4),))
    assert fun.compared.relative == 0
    fun, params = from_torch(Part().eval())
    with pytest.raises(ProgramError, match="as_strided of a part of a tensor"):
        fun(params, np.ones((3, 4)))


def test_an_operation_of_another_shape_is_refused(table):
    fun, params = from_torch(nn.Sequential(nn.Linear(3, 3), nn.ReLU()).eval())
    register_torch_operation("relu", lambda x: x[..., :2])
    with pytest.raises(OperationError, match=r"'relu' of submodule '1'.*\(2, 2\).*\(2, 3\)"):
        fun(params, np.ones((2, 3), "float32"))


def test_the_check_names_the_first_node_that_differs(table):
    module = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)).eval()
    example = np.ones((2, 3), "float32")
    fun, _ = from_torch(module, check=(example,))
    assert fun.compared.relative <= 1e-6
    for form in (example, torch.from_numpy(example), {"input": example}, [example]):
        assert from_torch(module, check=form)[0].compared.relative <= 1e-6
    register_torch_operation("tanh", lambda x: jnp.tanh(x) + 1e-3)
    with pytest.raises(DifferenceError, match=r"part first at aten\.tanh.*'tanh' of submodule '1'"):
        from_torch(module, check=(example,))


class Chaotic(nn.Module):
    """Doubles rounding errors fifty times."""

    def forward(self, x):
        for _ in range(50):
            x = 4 * x * (1 - x)
        return x


def test_rounding_that_adds_up_is_a_warning():
    x = np.linspace(0.11, 0.87, 7, dtype="float32")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fun, _ = from_torch(Chaotic().eval(), check=(x,))
    if fun.compared.relative > fun.compared.tolerance:
        assert any("rounding adds up" in str(warning.message) for warning in caught)


def test_a_program_without_an_example_cannot_be_checked():
    with pytest.raises(ProgramError, match="holds no example"):
        from_torch(nn.Linear(2, 2).eval(), check=True)


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
