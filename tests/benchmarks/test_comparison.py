"""The tools beside one another: each runs on a small network and has the oracle's numbers."""

from importlib.util import find_spec

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks.comparison import tools  # noqa: E402 - only if there is a PyTorch
from benchmarks.comparison.__main__ import Comparison, Row, differences, gap, main, table  # noqa: E402
from benchmarks.comparison.networks import BANDS, NETWORKS, Network  # noqa: E402

OURS = ("rfp_jax, relevance (forward)", "rfp_jax, heatmaps (backward)")
LXT = dict.fromkeys(("LXT, explicit", "LXT, efficient"), "lxt")
NEEDS = {"Captum, LRP": "captum", "zennit": "zennit", **LXT}


def small(name):
    """A network of the benchmark on small sources, in float64."""
    images = [(count, 8, 8) for count in BANDS]
    shapes = NETWORKS[name].shapes if name == "tokens" else images
    module, sources = Network(NETWORKS[name].make, shapes).build(1)
    return module.double(), [source.double() for source in sources]


@pytest.fixture
def installed(monkeypatch):
    """The tools that are installed."""
    found = {name: tool for name, tool in tools.TOOLS.items() if find_spec(NEEDS.get(name, "jax"))}
    monkeypatch.setattr(tools, "TOOLS", found)
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("x64", "installed")
def test_all_tools_have_the_numbers_of_the_oracle_on_a_network_of_modules():
    found = differences(*small("modules"))
    assert all(found[name] < 1e-12 for name in OURS)
    others = {name: value for name, value in found.items() if name not in OURS}
    assert others
    assert all(value < 1e-3 for value in others.values())


@pytest.mark.slow
@pytest.mark.usefixtures("x64", "installed")
@pytest.mark.parametrize("name", ["functions", pytest.param("tokens", marks=pytest.mark.long)])
def test_other_networks(name):
    """Ours are right on each; Captum is silently wrong on functions, and refuses attention."""
    if not find_spec("captum"):
        pytest.skip("not installed: captum")
    found = differences(*small(name))
    assert all(found[tool] < 1e-12 for tool in OURS)
    if name == "functions":
        assert found["Captum, LRP"] > 1
    else:
        assert "no rule defined" in found["Captum, LRP"]


def test_differences_are_relative_and_over_sources_where_only_these_are_given():
    expected = [np.array([[[1.0, 3.0]]]), np.array([[[-2.0, 0.0]]])]
    assert gap([np.array([[[1.0, 3.0]]]), np.array([[[-2.0, 0.3]]])], expected) == pytest.approx(
        0.1
    )
    assert gap([np.array([[4.0]]), np.array([[-1.0]])], expected) == pytest.approx(0.25)


def test_the_table_gives_ratios_of_the_same_round_and_the_words_of_a_refusal():
    rows = [
        Row("first", 1e-16, "", np.array([1.0, 2.0, 1.0])),
        Row("second", 1e-8, "", np.array([3.0, 6.0, 3.0])),
        Row("third", None, "no such layer", np.empty(0)),
    ]
    columns = [list(column.cells) for column in table(rows).columns]
    assert columns[2] == ["1000.0", "3000.0", ""]
    assert columns[3] == ["1.0", "3.0", ""]
    assert columns[1][2] == "refuses: no such layer"


def test_an_unknown_network_says_what_is_known(capsys):
    assert main(Comparison(only=("transformer",))) == 2
    assert "known: modules, functions, tokens" in capsys.readouterr().out


def test_classes_of_torch_are_as_before_after_lxt():
    before = torch.nn.GELU.forward
    with pytest.raises(ZeroDivisionError), tools._patched({torch.nn.GELU: lambda *_: 1 / 0}):
        torch.nn.GELU()(torch.ones(1))
    assert torch.nn.GELU.forward is before
    assert not hasattr(torch.nn.GELU, "original_forward")
    assert jax.config.jax_enable_x64 is False
