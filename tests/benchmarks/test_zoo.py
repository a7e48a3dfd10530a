"""Every framework, unmodified: a small model of each and the sequence models; the rest: `make zoo`.

Relevance is compared with what is not relevance: heatmaps by the backward pass, the plain model's
output, and a bias that is propagated on its own.
"""

import contextlib
import dataclasses
import io
import json
import re
from importlib.util import find_spec
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rfp_jax
from benchmarks.zoo import FRAMEWORKS, Entry, Row, find, survey
from benchmarks.zoo.__main__ import Zoo, main
from benchmarks.zoo.entry import randomize
from benchmarks.zoo.original import NoOracleError
from rfp_jax.rules._lrp0 import TABLE

NEEDS = {"equinox": "equinox", "haiku": "haiku", "keras": "keras", "torch": "torch"}
"""The package that a framework needs; the others come with rfp_jax."""
FAST = [
    "linen: LSTM",
    pytest.param("linen: Causal transformer", marks=pytest.mark.long),
    pytest.param("linen: Mixture of experts", marks=pytest.mark.long),
    "nnx: Bidirectional GRU (split, merge)",
    "nnx: Gated multimodal unit (closed over)",
    "equinox: ConvNet (batch and group norm)",
    "haiku: GRU with skips",
    "keras: Attention across inputs",
    "torch: torch: Fusion (in place)",
    "ours: SmallNet",
]
DOCS = Path(__file__).parents[2] / "docs" / "frameworks.md"
EXAMPLES = re.findall(r"^## (.+?)\n.*?```python\n(.*?)```", DOCS.read_text(), re.S | re.M)


@pytest.fixture(autouse=True)
def frameworks_broadcast():
    """The strict shapes of this suite are for our code; frameworks add a vector to a matrix."""
    with jax.numpy_rank_promotion("allow"):
        yield


def _needs(*frameworks):
    missing = [name for name in frameworks if name in NEEDS and not find_spec(NEEDS[name])]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def _builder(framework, model):
    _needs(framework)
    ((_, _, builder),) = (item for item in find((framework,)) if item[1] == model)
    return builder


@pytest.mark.parametrize("name", FAST)
def test_conserves_exactly_and_equals_its_heatmap(name):
    framework, model = name.split(": ", 1)
    row = survey(framework, model, _builder(framework, model), ("float64",))
    assert row.error == ""
    (measured,) = row.measured.values()
    assert measured.unsupported == 0
    assert measured.finite
    assert measured.residual < 1e-12
    assert measured.theorem < 1e-12
    assert measured.output < 1e-12
    assert measured.from_sources > 0.05, "all is bias: nothing was tested"
    if framework == "torch":
        assert measured.beside is not None
        assert measured.beside.oracle is not None
        assert measured.beside.oracle < 1e-10
    assert row.passed


@pytest.mark.parametrize("name", ["linen: GRU", "nnx: ResNet (closed over)"])
def test_conserves_within_rounding_in_float32(name):
    framework, model = name.split(": ")
    row = survey(framework, model, _builder(framework, model))
    assert row.passed, row
    assert row.measured["float32"].residual < 1e-4


def test_at_least_25_architectures_of_at_least_4_frameworks():
    _needs(*NEEDS)
    models = [(framework, model) for framework, model, _ in find()]
    assert len(models) == len(set(models)) >= 25
    assert {framework for framework, _ in models} == FRAMEWORKS.keys()


def _net(seed):
    del seed
    x = jnp.asarray([[0.5, -2.0]])
    return Entry(lambda a, b: jnp.tanh(2 * a - b + 1), (x, x / 3), (0, 1))


def test_a_wrong_rule_fails_its_row(monkeypatch):
    assert survey("linen", "net", _net, ("float32", "float64")).passed
    monkeypatch.setitem(TABLE, "tanh", rfp_jax.rules.linear)
    row = survey("linen", "net", _net)
    assert not row.passed
    assert row.measured["float32"].residual > 0.01
    assert row.measured["float32"].theorem > 0.01


class _Original:
    """`tanh(2 a - b + 1)` by NumPy, off by errors."""

    def __init__(self, precision, of_output=0.0, of_heatmaps=0.0):
        self.precision, self.of_output, self.of_heatmaps = precision, of_output, of_heatmaps

    def output(self, sources):
        a, b = sources
        return np.tanh(2 * a - b + 1) * (1 + self.of_output), self.precision

    def heatmaps(self, sources, weights):
        if self.of_heatmaps is None:
            raise NoOracleError("because")
        a, b = sources
        x = 2 * a - b + 1
        part = (1 + self.of_heatmaps) * weights * np.tanh(x) / x
        return [part * 2 * a, part * -b]

    def forward(self, sources):
        return lambda: self.output(sources)


@pytest.mark.parametrize(
    ("original", "passes"),
    [
        (_Original("float64"), True),
        (_Original("float64", of_output=1e-9), False),
        (_Original("float32", of_output=1e-9), True),
        (_Original("float32", of_output=1e-4), False),
        (_Original("float64", of_heatmaps=1e-9), False),
        (_Original("float32", of_heatmaps=1e-9), True),
        (_Original("float32", of_heatmaps=1e-2), False),
        (_Original("float64", of_heatmaps=None), True),
    ],
)
def test_a_row_is_as_good_as_its_original(original, passes):
    """Parts that the original computes in float32 are held to that, in float64 too."""
    row = survey("torch", "net", lambda _: _net(0)._replace(original=original), ("float64",))
    assert row.error == ""
    assert row.passed == passes
    beside = row.measured["float64"].beside
    assert (beside.oracle is None) == (original.of_heatmaps is None)
    assert beside.no_oracle == ("because" if original.of_heatmaps is None else "")


def test_heatmaps_are_compared_where_no_gate_flips_by_rounding():
    wrong = _net(0)._replace(original=_Original("float32", of_heatmaps=1e-2))
    row = survey("torch", "net", lambda _: wrong, ("float32", "float64"))
    assert row.measured["float32"].beside.oracle is None
    assert row.measured["float32"].beside.no_oracle == "compared in float64"
    assert row.measured["float64"].beside.oracle > 1e-3
    assert not row.passed


def test_the_precision_of_a_module_is_that_of_its_least_precise_part():
    _needs("torch")
    import torch

    from benchmarks.zoo.taken_over import TorchOriginal

    class Net(torch.nn.Module):
        def __init__(self, dtype):
            super().__init__()
            self.dtype = dtype

        def forward(self, x):
            return (x * 2).to(self.dtype).exp().to(x.dtype) + 1

    x = np.ones((2, 3))
    assert TorchOriginal(Net(torch.float64)).output([x])[1] == "float64"
    assert TorchOriginal(Net(torch.float32)).output([x])[1] == "float32"
    assert TorchOriginal(Net(torch.float64)).output([x.astype("float32")])[1] == "float32"


def test_the_oracle_shares_products_with_their_constants():
    """Aumann and Shapley by hand: from the biases of two layers to their outputs."""
    _needs("torch")
    import torch

    from benchmarks.zoo import frozen

    class Product(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other = torch.nn.Linear(3, 4), torch.nn.Linear(2, 4)

        def forward(self, x, y):
            return (self.one(x) * self.other(y)).view(-1, 2, 2)

    module = Product().double()
    x, y = (torch.randn(5, n, dtype=torch.float64) for n in (3, 2))
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(5, 2, 2))
    (w, b), (v, c) = (
        [p.detach().numpy() for p in layer.parameters()] for layer in (module.one, module.other)
    )
    one, other = x.numpy() @ w.T + b, y.numpy() @ v.T + c
    flat = weights.reshape(5, 4)
    want = [
        x.numpy() * ((flat * (other + c) / 2) @ w),
        y.numpy() * ((flat * (one + b) / 2) @ v),
    ]
    for got, expected in zip(frozen.heatmaps(module, (x, y), weights), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_the_oracle_views_what_lies_otherwise_in_memory():
    """PyTorch's layer norm returns its result in order; its frozen form keeps the order given."""
    _needs("torch")
    import torch

    from benchmarks.zoo import frozen

    class Gated(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = torch.nn.LayerNorm(4)

        def forward(self, x):
            gate = torch.sigmoid(self.norm(x.transpose(1, 2)))
            return gate.view(2, -1) * x.transpose(1, 2).reshape(2, -1)

    x, weights = torch.randn(2, 4, 3), np.ones((2, 12), "float32")
    with torch.no_grad():
        want = Gated()(x).reshape(2, 3, 4).transpose(1, 2)
    (heat,) = frozen.heatmaps(Gated(), (x,), weights)
    np.testing.assert_allclose(heat, want, rtol=1e-5, atol=1e-6)


def test_a_missing_rule_is_counted(monkeypatch):
    monkeypatch.delitem(TABLE, "tanh")
    row = survey("linen", "net", _net)
    assert not row.passed
    assert row.measured["float32"].unsupported == 1
    assert row.error == ""


def test_a_model_of_another_output_fails_its_row():
    """A function whose values depend on the trace: relevance explains another output."""
    calls = []

    def drifts(a, b):
        calls.append(0)
        return a + len(calls) * b

    row = survey("linen", "drifts", lambda _: Entry(drifts, (jnp.ones(3), jnp.ones(3)), (0, 1)))
    assert row.measured["float32"].output > 0.1
    assert not row.passed


def _broken(seed):
    raise RuntimeError("no such layer\nat all")


def test_one_failure_is_a_row_and_no_crash(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("benchmarks.zoo.linen.BUILDERS", {"net": _net, "broken": _broken})
    options = Zoo(("linen",), True, False, tmp_path / "new" / "zoo.json", tmp_path / "zoo.md")
    assert main(options) == 1
    shown = capsys.readouterr().out
    assert "float32: RuntimeError: no such layer" in shown
    assert "1 of 2 models conserve" in shown
    assert "FAILED: linen: broken." in shown
    assert str(tmp_path / "zoo.md") in shown.replace("\n", "")
    good, bad = json.loads((tmp_path / "new" / "zoo.json").read_text())["rows"]
    assert good["passed"] is True
    assert set(good["measured"]) == {"float32", "float64"}
    assert bad["passed"] is False
    table = (tmp_path / "zoo.md").read_text()
    assert re.search(r"\| Flax Linen \| net \|.*\| conserved \|", table)
    assert re.search(r"\| Flax Linen \| broken \|.*RuntimeError", table)
    assert len({line.count("|") for line in table.splitlines() if line.startswith("|")}) == 1


def test_a_run_goes_on_where_another_ended(monkeypatch, tmp_path, capsys):
    options = Zoo(("linen",), False, False, tmp_path / "zoo.json", tmp_path / "zoo.md")
    monkeypatch.setattr("benchmarks.zoo.linen.BUILDERS", {"net": _net, "late": _broken})
    assert main(options) == 1
    (good, _), table = json.loads(options.json.read_text())["rows"], options.markdown.read_text()
    monkeypatch.setattr("benchmarks.zoo.linen.BUILDERS", {"net": _broken, "late": _net})
    capsys.readouterr()
    assert main(dataclasses.replace(options, resume=True)) == 0
    assert "] linen: net" not in capsys.readouterr().out  # not measured again
    kept, anew = json.loads(options.json.read_text())["rows"]
    assert kept == good
    assert anew["passed"]
    row = next(line for line in table.splitlines() if "| net |" in line)
    assert row in options.markdown.read_text()


def test_all_good_exits_with_0(monkeypatch, tmp_path):
    monkeypatch.setattr("benchmarks.zoo.linen.BUILDERS", {"net": _net})
    assert main(Zoo(("linen",), False, False, tmp_path / "zoo.json", tmp_path / "zoo.md")) == 0


def test_an_unknown_name_says_what_is_known(capsys):
    _needs(*NEEDS)
    assert main(Zoo(("ResNet-51",))) == 2
    shown = capsys.readouterr().out
    assert "resnet-51" in shown
    assert "ours: ResNet-50" in shown


def test_nothing_measured_does_not_pass():
    assert not Row("linen", "net").passed


def test_randomize_draws_what_initializers_leave():
    tree = {
        "weight": jnp.array([[1.0, 2.0]]),
        "bias": jnp.zeros(50),
        "scale": jnp.full(50, 1e-6),
        "var": jnp.linspace(1, 2, 50),
        "count": jnp.arange(3),
    }
    drawn = randomize(tree, 0)
    assert drawn["weight"] is tree["weight"]
    assert drawn["count"] is tree["count"]
    assert drawn["bias"].std() > 0.05
    assert 0.5 <= drawn["scale"].min() < drawn["scale"].max() <= 1.5
    ratio = drawn["var"] / tree["var"]
    assert 0.49 < ratio.min() < ratio.max() < 1.51


@pytest.mark.parametrize(("title", "code"), EXAMPLES, ids=[title for title, _ in EXAMPLES])
def test_the_documented_example_runs(title, code, monkeypatch):
    _needs(*(name for name in NEEDS if name in title.lower()))
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    scope = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, f"{DOCS.name}: {title}", "exec"), scope)
    assert "Conserved" in printed.getvalue()
    for relevance in jax.tree.leaves(scope["rel"].sources):
        assert relevance.shape == scope["rel"].output.shape
        assert jnp.abs(relevance).max() > 0
