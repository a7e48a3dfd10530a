"""The regression on one of two inputs: its data, its parts, its files."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from experiments import digits, regression
from rfp_jax import plot

SETTINGS = regression.Settings(steps=60, batch_size=512)


@pytest.fixture(scope="module")
def states():
    return list(regression.train(SETTINGS))


def test_samples_are_a_cube_of_the_first_input():
    x1, x2, y = regression.sample(jax.random.key(0), 20_000, noise=0.1)
    noise = np.asarray(y - x1**3)
    assert noise.std() == pytest.approx(0.1, rel=0.05)
    for x in (x1, x2):
        assert x.shape == (20_000, 1)
        assert -3 <= x.min() < -2.99
        assert 2.99 < x.max() <= 3
        assert abs(np.corrcoef(x.ravel(), noise.ravel())[0, 1]) < 0.03


def test_training_ends_with_a_smaller_error(states):
    assert [state.step for state in states[-2:]] == [59, 60]
    assert states[-1].loss < 0.8 * states[0].loss


def test_training_through_relevances_is_training_on_the_prediction(states):
    """One step of Adam on the plain squared error, on the same samples, gives the same network."""
    import optax

    settings = regression.Settings(steps=1, batch_size=512)
    (state,) = regression.train(settings)
    of_weights, of_samples = jax.random.split(jax.random.key(settings.seed))
    network = regression.Network()
    variables = network.init(of_weights, jnp.ones((1, 1)), jnp.ones((1, 1)))
    x1, x2, y = regression.sample(jax.random.fold_in(of_samples, 0), 512, settings.noise)
    gradient = jax.grad(lambda v: jnp.mean((network.apply(v, x1, x2) - y) ** 2))(variables)
    optimizer = optax.adam(settings.learning_rate)
    updates, _ = optimizer.update(gradient, optimizer.init(variables), variables)
    expected = optax.apply_updates(variables, updates)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), state.variables, expected
    )


def test_summary_is_gradient_times_input(states):
    variables, network = states[-1].variables, regression.Network()
    found = regression.summarize(SETTINGS, variables)
    x1, x2, y = regression.sample(jax.random.key(SETTINGS.seed + 1), 4096, SETTINGS.noise)
    gradients = jax.jacrev(lambda *x: network.apply(variables, *x).sum(), argnums=(0, 1))(x1, x2)
    first, second = (np.asarray(x * g) for x, g in zip((x1, x2), gradients, strict=True))
    prediction = np.asarray(network.apply(variables, x1, x2))
    expected = {
        "mean_squared_error": np.mean((prediction - y) ** 2),
        "standard_deviation_of_x1_relevance": first.std(),
        "standard_deviation_of_x2_relevance": second.std(),
        "standard_deviation_of_bias": (prediction - first - second).std(),
        "largest_x2_relevance": np.abs(second).max(),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(float(value), rel=1e-3), name
    assert found["largest_difference_of_sum_from_output"] < 1e-4


def test_the_figure_shows_parts_that_add_up_to_the_prediction(states):
    figure = Figure()
    regression.draw(figure, SETTINGS, states[-1], points=50)
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    y = {name: np.asarray(line.get_ydata()) for name, line in lines.items()}
    parts = y["bias"] + y["relevance of x1"] + y["relevance of x2"]
    np.testing.assert_allclose(parts, y["prediction"], atol=1e-4)
    assert lines["relevance of x2"].get_color() == plot.SOURCE_COLORS[1]


def test_command_writes_its_files_and_refuses_a_folder_of_others(tmp_path, capsys):
    out = tmp_path / "results"
    settings = regression.Settings(steps=3, batch_size=64)
    regression.main(settings, animation=True, out=out)
    names = ["experiment.json", "regression.gif", "regression.png", "summary.json"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert str(out / "regression.png") in capsys.readouterr().out
    with Image.open(out / "regression.gif") as animation:
        assert animation.n_frames == 3
    assert json.loads((out / "summary.json").read_text())["noise_variance"] == 0.1**2
    before = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(SystemExit, match=r"holds another experiment:\n  steps: 3 there, 4 now"):
        regression.main(regression.Settings(steps=4, batch_size=64), out=out)
    with pytest.raises(SystemExit, match=r"holds the experiment 'regression'. Choose another"):
        digits.main(digits.Config(out=out))
    assert {path: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"steps": 0}, "at least 1, got 0 and 4096"),
        ({"learning_rate": float("nan")}, "must be positive, got nan"),
        ({"noise": -0.1}, "must not be negative, got -0.1 and 42"),
        ({"seed": -1}, "must not be negative, got 0.1 and -1"),
    ],
)
def test_bad_settings_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        regression.Settings(**setting)
