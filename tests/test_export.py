"""An exported model: equal to the model it was made from, without its code, on every platform."""

import functools
import importlib.util
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rfp_jax
from rfp_jax import export
from rfp_jax.models import SmallNet

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("flatbuffers") is None,
    reason="NOT TESTED: jax.export needs the package flatbuffers, which is not installed",
)

LEFT, RIGHT = np.random.default_rng(0).normal(size=(2, 5, 28, 14, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def variables():
    rng = np.random.default_rng(2)
    shapes = jax.eval_shape(SmallNet().init, jax.random.key(0), LEFT, RIGHT)
    return jax.tree.map(lambda x: 0.1 * rng.normal(size=x.shape).astype(x.dtype), shapes)


@pytest.fixture(scope="module")
def exported(tmp_path_factory, variables):
    path = tmp_path_factory.mktemp("export") / "smallnet.rfp"
    export.save(
        path,
        SmallNet().apply,
        variables,
        {"left": LEFT[0], "right": RIGHT[0]},
        classes=[str(digit) for digit in range(10)],
        model={"architecture": "SmallNet"},
    )
    return path


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 5])
def test_gives_what_the_model_gives(exported, variables, batch):
    left, right = LEFT[:batch], RIGHT[:batch]
    expected = jax.jit(rfp_jax.relevance(SmallNet().apply, (1, 2)))(variables, left, right)
    found = jax.jit(export.load(exported))(left, right)
    tolerance = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(found.output, expected.output, **tolerance)
    np.testing.assert_allclose(found.sources["left"], expected.sources[0], **tolerance)
    np.testing.assert_allclose(found.sources["right"], expected.sources[1], **tolerance)
    np.testing.assert_allclose(found.bias, expected.bias, **tolerance)


def test_one_file_for_three_platforms(exported):
    loaded = export.load(exported)
    assert loaded.program.platforms == ("cpu", "cuda", "tpu")
    assert loaded.manifest["sources"] == ["left", "right"]
    assert loaded.manifest["model"] == {"architecture": "SmallNet"}
    with zipfile.ZipFile(exported) as archive:
        names = archive.namelist()
        assert names[:2] == ["manifest.json", "program"]
        assert all(name.startswith("params/") for name in names[2:])
        assert not any(archive.read(name).startswith(b"\x80") for name in names)  # no pickle


@pytest.mark.slow
def test_the_loader_needs_only_jax(exported, tmp_path):
    """`export.py` alone runs it, where neither Flax nor the package can be imported."""
    np.savez(tmp_path / "in.npz", left=LEFT, right=RIGHT)
    script = f"""
import importlib.util, sys
for name in ("flax", "rfp_jax", "xarray", "zarr", "grain", "rich"):
    sys.modules[name] = None
spec = importlib.util.spec_from_file_location("loader", {str(Path(export.__file__))!r})
loader = importlib.util.module_from_spec(spec)
sys.modules["loader"] = loader
spec.loader.exec_module(loader)
import numpy as np
data = np.load({str(tmp_path / "in.npz")!r})
found = loader.load({str(exported)!r})(data["left"], data["right"])
np.savez({str(tmp_path / "out.npz")!r}, output=found.output, right=found.sources["right"])
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
    expected = export.load(exported)(LEFT, RIGHT)
    with np.load(tmp_path / "out.npz") as found:
        np.testing.assert_allclose(found["output"], expected.output, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found["right"], expected.sources["right"], rtol=1e-5, atol=1e-6)


def test_a_missing_package_is_named(exported, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    with pytest.raises(ModuleNotFoundError, match=r"^Loading .* 'rfp-jax\[tables\]'$"):
        export.load(exported)
    with pytest.raises(ModuleNotFoundError, match=r"^Exporting .* 'rfp-jax\[tables\]'$"):
        export.save(tmp_path / "a", linear, {}, {}, classes=())
    monkeypatch.setitem(sys.modules, "rfp_jax._util.extras", None)  # the file alone
    with pytest.raises(ModuleNotFoundError, match=r"^Loading .* needs `pip install flatbuffers`$"):
        export.load(exported)


def linear(params, x, y):
    return x @ params["a"] + y @ params["b"]


@pytest.mark.parametrize("dtype", [jnp.bfloat16, np.float16, np.float64])
def test_parameters_of_any_precision_come_back_exactly(tmp_path, dtype):
    with jax.enable_x64(dtype == np.float64):
        rng = np.random.default_rng(1)
        params = {key: np.asarray(rng.normal(size=(3, 2)), dtype) for key in "ab"}
        one = jax.ShapeDtypeStruct((3,), dtype)
        path = tmp_path / "linear.rfp"
        export.save(
            path, linear, params, {"x": one, "y": one}, classes="ab", batch=4, platforms=("cpu",)
        )
        loaded = export.load(path)
        for leaf, key in zip(loaded.params, "ab", strict=True):
            assert leaf.dtype == dtype
            assert np.asarray(leaf).tobytes() == params[key].tobytes()
        x = np.ones((4, 3), dtype)
        np.testing.assert_allclose(
            np.asarray(loaded(x, 2 * x).sources["y"], float),
            2 * np.tile(params["b"].astype(float).sum(0), (4, 1)),
            rtol=2e-2,
        )


def test_groups_of_channels_as_sources(tmp_path):
    weights = np.arange(6, dtype=np.float32).reshape(3, 2)
    split = rfp_jax.sources.groups({"S2": slice(0, 2), "S1": 2})
    export.save(
        tmp_path / "m.rfp",
        lambda w, x: x @ w,
        weights,
        {"image": np.zeros(3, np.float32)},
        classes=("a", "b"),
        sources=("S2", "S1"),
        batch=4,
        method=functools.partial(rfp_jax.relevance, split=(split,)),
    )
    found = export.load(tmp_path / "m.rfp")(np.ones((4, 3), np.float32))
    np.testing.assert_allclose(found.sources["S2"], np.tile(weights[:2].sum(0), (4, 1)))
    np.testing.assert_allclose(found.sources["S1"], np.tile(weights[2], (4, 1)))


def test_wrong_inputs_are_named(exported):
    loaded = export.load(exported)
    with pytest.raises(ValueError, match=r"takes left float32\[batch, \*\[28, 14, 1\]\], right"):
        loaded(LEFT)
    with pytest.raises(ValueError, match=r"got float32\[5, 28, 14, 1\], float32\[5, 14\]"):
        loaded(LEFT, RIGHT[:, 0, :, 0])


def rewritten(source, target, **changes):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "manifest.json":
                content = json.dumps(json.loads(content) | changes)
            new.writestr(name, content)
    return target


def test_what_is_no_export_is_refused(exported, tmp_path):
    (tmp_path / "text.rfp").write_text("hello")
    with pytest.raises(ValueError, match=r"text\.rfp is not an exported relevance model"):
        export.load(tmp_path / "text.rfp")
    with pytest.raises(FileNotFoundError):
        export.load(tmp_path / "nothing.rfp")
    other = rewritten(exported, tmp_path / "other.rfp", format="other")
    with pytest.raises(ValueError, match="its format is 'other'"):
        export.load(other)
    huge = rewritten(
        exported, tmp_path / "huge.rfp", params=[{"shape": [10**9], "dtype": "float32"}]
    )
    with pytest.raises(ValueError, match=r"'params/0' holds .* bytes, 4000000000 expected"):
        export.load(huge)


def test_a_flipped_bit_is_found(exported, tmp_path):
    content = bytearray(exported.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "damaged.rfp").write_bytes(content)
    with pytest.raises(ValueError, match="not an exported relevance model: Bad CRC-32"):
        export.load(tmp_path / "damaged.rfp")


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.rfp"
    path.write_text("old")
    one = np.zeros(3, np.float32)
    params = {"a": np.ones((3, 2), np.float32), "b": np.ones((3, 2), np.float32)}
    monkeypatch.setattr(
        zipfile.ZipFile, "writestr", lambda *_: (_ for _ in ()).throw(OSError("full"))
    )
    with pytest.raises(OSError, match="full"):
        export.save(path, linear, params, {"x": one, "y": one}, classes="ab", platforms=("cpu",))
    assert [p.name for p in tmp_path.iterdir()] == ["model.rfp"]
    assert path.read_text() == "old"
    with pytest.raises(ValueError, match="give one sample of each source"):
        export.save(path, linear, params, {}, classes="ab")


def asks_for_len(w, x):
    return x.reshape(len(x), -1) @ w


def asks_for_size(w, x):
    return x @ w if x.shape[0] > 3 else 2 * x @ w


@pytest.mark.parametrize("model", [asks_for_len, asks_for_size])
def test_a_model_that_asks_for_the_batch_size_is_told_what_to_do(tmp_path, model):
    weights, one = np.ones((4, 2), np.float32), {"x": np.zeros(4, np.float32)}
    with pytest.raises(ValueError, match=r"write x\.shape\[0\] where it has len\(x\), or .*batch="):
        export.save(tmp_path / "m.rfp", model, weights, one, classes="ab")
    assert not list(tmp_path.iterdir())
    export.save(tmp_path / "m.rfp", model, weights, one, classes="ab", batch=4)
    found = export.load(tmp_path / "m.rfp")(np.ones((4, 4), np.float32))
    np.testing.assert_allclose(found.output, 4)


def test_an_error_of_the_model_itself_is_not_hidden(tmp_path):
    one = {"x": np.zeros(4, np.float32)}
    with pytest.raises(TypeError, match=r"dot_general|matmul|shape"):
        export.save(
            tmp_path / "m.rfp", lambda w, x: x @ w, np.ones((3, 2), np.float32), one, classes="ab"
        )


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "small.rfp"
    one = {"x": np.zeros(4, np.float32)}
    export.save(
        path, lambda w, x: x @ w, np.ones((4, 2), np.float32), one, classes="ab", platforms=("cpu",)
    )
    return path


@pytest.mark.slow
def test_any_damage_is_an_error_that_names_the_file(small, tmp_path):
    """Cut, flip and overwrite at random, with checksums made good again in half of the cases."""
    rng = np.random.default_rng(0)
    right = np.asarray(export.load(small)(np.ones((1, 4), np.float32)).output)
    refused = unnamed = 0
    for case in range(200):
        damaged = tmp_path / "damaged.rfp"
        if case % 2:
            content = bytearray(small.read_bytes())
            spoil(content, rng)
            damaged.write_bytes(content)
        else:
            with zipfile.ZipFile(small) as old, zipfile.ZipFile(damaged, "w") as new:
                victim = rng.choice(old.namelist()[:1] if case % 4 else old.namelist())
                for name in old.namelist():
                    content = bytearray(old.read(name))
                    if name == victim:
                        spoil(content, rng, cut_only=name == "program")
                    new.writestr(name, bytes(content))
        try:
            found = export.load(damaged)
        except ValueError as error:
            refused += str(damaged) in str(error)
            unnamed += str(damaged) not in str(error)
        else:  # spoilt where nothing depends on it, or a parameter's value with its checksum
            assert found(np.ones((1, 4), np.float32)).output.shape == right.shape
    assert unnamed == 0
    assert refused > 120


def spoil(content, rng, cut_only=False):
    place = int(rng.integers(len(content)))
    if cut_only or rng.random() < 0.4:
        del content[place:]
    else:
        content[place] ^= 1 << int(rng.integers(8))


def test_deep_json_and_compressed_members_are_refused(small, tmp_path):
    with zipfile.ZipFile(tmp_path / "deep.rfp", "w") as archive:
        archive.writestr("manifest.json", "[" * 100_000)
    with pytest.raises(ValueError, match=r"deep\.rfp is not an exported relevance model"):
        export.load(tmp_path / "deep.rfp")
    with zipfile.ZipFile(tmp_path / "bomb.rfp", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", bytes(10**8))
    with pytest.raises(
        ValueError, match=r"'manifest\.json' is compressed, which `save` does not do"
    ):
        export.load(tmp_path / "bomb.rfp")


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": ["a"]},
        {"sources": ["x", "y"]},
        {"inputs": [{"name": "x", "shape": [5], "dtype": "float32"}]},
        {"batch": 3},
        {"params": [{"shape": [2, 4], "dtype": "float32"}]},
    ],
)
def test_a_manifest_that_is_not_of_its_program_is_refused(small, tmp_path, changes):
    other = rewritten(small, tmp_path / "other.rfp", **changes)
    with pytest.raises(ValueError, match=r"other\.rfp is not an .*its program maps float32\[4,2\]"):
        export.load(other)
