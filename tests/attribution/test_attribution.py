"""The baselines against slow and obvious references: numpy loops, PyTorch, Captum, SciPy."""

from itertools import permutations
from math import factorial

import captum.attr
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
import torch

import rfp_jax
from rfp_jax.attribution import (
    accuracy,
    agreement,
    deletion,
    gradient_x_input,
    integrated_gradients,
    lrp,
    mean_score,
    occlusion,
    perceptual_score,
    perceptual_score_exact,
    permute_parameters,
    randomization,
    shape_score,
    shape_score_sampled,
    shapley,
    shapley_sampled,
)

pytestmark = pytest.mark.usefixtures("x64")

# --- A network of four sources in three arguments, in JAX and in numpy ----------------------------

SHAPES = {"a": (3,), "b": (2, 2), "c": (4,), "d": (1,)}
ARGNUMS = (1, 2, 3)
BATCH, CLASSES, HIDDEN = 6, 5, 16


def network(params, first, pair, last):
    """Sources: `first`, `pair["b"]`, `pair["c"]` and `last`; logits of shape [B, 5]."""
    inputs = [first, pair["b"], pair["c"], last]
    flat = jnp.concatenate([x.reshape(len(x), -1) for x in inputs], axis=1)
    hidden = jax.nn.relu(flat @ params["w1"] + params["b1"][None])
    return jnp.tanh(hidden @ params["w2"]) * 3 + hidden @ params["w3"]


def numpy_network(params, sources):
    flat = np.concatenate([x.reshape(len(x), -1) for x in sources], axis=1)
    hidden = np.maximum(flat @ params["w1"] + params["b1"], 0)
    return np.tanh(hidden @ params["w2"]) * 3 + hidden @ params["w3"]


class Case:
    """A random network with data, and what a coalition of its sources returns, in numpy."""

    def __init__(self, seed=0, batch=BATCH):
        rng = np.random.default_rng(seed)
        width = sum(int(np.prod(shape)) for shape in SHAPES.values())
        self.params = {
            "w1": rng.normal(size=(width, HIDDEN)),
            "b1": rng.normal(size=HIDDEN),
            "w2": rng.normal(size=(HIDDEN, CLASSES)) / 4,
            "w3": rng.normal(size=(HIDDEN, CLASSES)) / 4,
        }
        self.sources = [rng.normal(size=(batch, *shape)) for shape in SHAPES.values()]
        self.baselines = [rng.normal(size=shape) for shape in SHAPES.values()]
        right = self.output({0, 1, 2, 3}).argmax(axis=1)
        self.labels = np.where(rng.random(batch) < 0.8, right, rng.integers(0, CLASSES, batch))

    @property
    def args(self):
        return self.params, *arranged(self.sources)

    def output(self, present, baselines=None):
        """Output with the sources in `present`, the others replaced."""
        baselines = [0.0] * 4 if baselines is None else baselines
        return numpy_network(
            self.params,
            [
                x if s in present else np.broadcast_to(b, x.shape)
                for s, (x, b) in enumerate(zip(self.sources, baselines, strict=True))
            ],
        )

    def accuracy(self, present, baselines=None):
        return np.mean(self.output(present, baselines).argmax(axis=1) == self.labels)


def arranged(values):
    """Four values, one per source, arranged like the arguments."""
    a, b, c, d = values
    return a, {"b": b, "c": c}, d


def listed(result):
    """The values of an arranged result, one per source."""
    assert isinstance(result, tuple)
    assert list(result[1]) == ["b", "c"]
    return [np.asarray(value) for value in (result[0], result[1]["b"], result[1]["c"], result[2])]


def brute_force_shapley(value, count):
    """Mean marginal contribution over all orders, straight from the definition."""
    total = [0.0] * count
    for order in permutations(range(count)):
        for place, s in enumerate(order):
            total[s] = total[s] + value({*order[: place + 1]}) - value({*order[:place]})
    return [each / factorial(count) for each in total]


@pytest.fixture(params=["zeros", "arrays"])
def baseline(request):
    """A baseline for the library and the same one for the reference."""
    if request.param == "zeros":
        return lambda case: (0.0, None)
    return lambda case: (arranged(case.baselines), case.baselines)


# --- Occlusion ------------------------------------------------------------------------------------


def test_occlusion_is_the_drop_of_the_output(baseline):
    case = Case()
    given, reference = baseline(case)
    everything = case.output({0, 1, 2, 3})
    result = listed(occlusion(network, ARGNUMS, baseline=given)(*case.args))
    for s in range(4):
        expected = everything - case.output({0, 1, 2, 3} - {s}, reference)
        np.testing.assert_allclose(result[s], expected, atol=1e-12)


def test_occlusion_of_a_tree_of_outputs_is_a_tree():
    result = occlusion(lambda x: {"sum": x + 1, "twice": 2 * x})(jnp.array([3.0]))
    assert {name: float(value[0]) for name, value in result.items()} == {"sum": 3.0, "twice": 6.0}


# --- Shapley values -------------------------------------------------------------------------------


def test_exact_shapley_is_the_mean_over_all_orders(baseline):
    case = Case()
    given, reference = baseline(case)
    expected = brute_force_shapley(lambda present: case.output(present, reference), 4)
    result = listed(shapley(network, ARGNUMS, baseline=given)(*case.args))
    np.testing.assert_allclose(result, expected, atol=1e-12)
    gain = case.output({0, 1, 2, 3}) - case.output(set(), reference)
    np.testing.assert_allclose(sum(result), gain, atol=1e-12)


def test_shapley_of_a_game_known_by_hand():
    """The glove game: one left glove, two right gloves, a pair is worth 1."""

    def game(left, right1, right2):
        return jnp.minimum(left, jnp.maximum(right1, right2))

    values = shapley(game, (0, 1, 2))(1.0, 1.0, 1.0)
    np.testing.assert_allclose(values, [2 / 3, 1 / 6, 1 / 6], atol=1e-15)


def test_sampled_shapley_converges_and_always_adds_up():
    case = Case()
    given, reference = arranged(case.baselines), case.baselines
    exact = np.array(brute_force_shapley(lambda present: case.output(present, reference), 4))
    gain = case.output({0, 1, 2, 3}) - case.output(set(), reference)
    estimate = shapley_sampled(network, ARGNUMS, permutations=400, baseline=given)
    result = listed(estimate(jax.random.key(1), *case.args))
    np.testing.assert_allclose(sum(result), gain, atol=1e-12)
    assert np.abs(result - exact).mean() < 0.05 * np.abs(exact).mean()


def test_sampled_shapley_is_unbiased():
    case = Case()
    exact = np.array(brute_force_shapley(case.output, 4))
    estimate = shapley_sampled(network, ARGNUMS, permutations=1)
    keys = jax.random.split(jax.random.key(5), 600)
    result = jax.lax.map(lambda key: estimate(key, *case.args), keys)
    draws = np.stack(listed(result), axis=1)
    error = draws.mean(axis=0) - exact
    deviation = draws.std(axis=0) / np.sqrt(len(keys)) + 1e-12
    assert np.abs(error / deviation).max() < 5


def test_sampled_shapley_is_exact_for_one_and_two_sources():
    def product(a, b):
        return a * b + a

    one, two = shapley_sampled(product, (0, 1), permutations=1)(jax.random.key(0), 3.0, 2.0)
    assert (float(one), float(two)) == (6.0, 3.0)
    alone = shapley_sampled(product, 0, permutations=1)(jax.random.key(0), 3.0, 2.0)
    assert float(alone) == 9.0


def test_sampled_shapley_takes_many_sources():
    """Forty sources, an additive game: every marginal contribution is the value itself."""
    values = tuple(float(s) for s in range(40))
    result = shapley_sampled(lambda *xs: sum(xs), tuple(range(40)), permutations=2)(
        jax.random.key(0), *values
    )
    np.testing.assert_allclose(result, values, atol=1e-12)
    with pytest.raises(ValueError, match="exact Shapley values of 40 sources need 2\\^40 passes"):
        shapley(lambda *xs: sum(xs), tuple(range(40)))(*values)


@pytest.mark.parametrize("batch_size", [None, 7, 64])
def test_shape_score_is_the_shapley_value_of_accuracies(batch_size):
    case = Case(batch=40)
    given, reference = arranged(case.baselines), case.baselines
    expected = brute_force_shapley(lambda present: case.accuracy(present, reference), 4)
    score = shape_score(network, ARGNUMS, baseline=given, batch_size=batch_size)
    result = listed(score(case.labels, *case.args))
    np.testing.assert_allclose(result, expected, atol=1e-12)
    assert np.abs(expected).max() > 0.05


def test_shape_score_of_two_sources_is_the_published_formula():
    case = Case(batch=40)

    def of_two(first, last):
        return network(case.params, first, arranged(case.sources)[1], last)

    def v(*present):
        return case.accuracy({1, 2, *present})

    one = (v(0, 3) - v(3) + v(0) - v()) / 2
    two = (v(0, 3) - v(0) + v(3) - v()) / 2
    result = shape_score(of_two, (0, 1))(case.labels, case.sources[0], case.sources[3])
    np.testing.assert_allclose(result, [one, two], atol=1e-12)


def test_sampled_shape_score_estimates_the_exact_one():
    case = Case(batch=40)
    exact = brute_force_shapley(case.accuracy, 4)
    estimate = shape_score_sampled(network, ARGNUMS, permutations=300, batch_size=16)
    result = listed(estimate(jax.random.key(0), case.labels, *case.args))
    np.testing.assert_allclose(result, exact, atol=0.02)
    assert sum(result) == pytest.approx(case.accuracy({0, 1, 2, 3}) - case.accuracy(set()))


# --- Perceptual score -----------------------------------------------------------------------------


def replaced_accuracy(case, s, order):
    sources = [x[list(order)] if i == s else x for i, x in enumerate(case.sources)]
    return np.mean(numpy_network(case.params, sources).argmax(axis=1) == case.labels)


def test_exact_perceptual_score_is_the_mean_over_all_permutations():
    case = Case(batch=5)
    result = perceptual_score_exact(network, ARGNUMS)(case.labels, *case.args)
    everything = case.accuracy({0, 1, 2, 3})
    replaced = [
        np.mean([replaced_accuracy(case, s, order) for order in permutations(range(5))])
        for s in range(4)
    ]
    np.testing.assert_allclose(result.accuracy, everything)
    np.testing.assert_allclose(listed(result.replaced), replaced, atol=1e-12)
    np.testing.assert_allclose(listed(result.score), everything - np.array(replaced), atol=1e-12)


def right_replacements(case, s):
    """K / N: the mean over samples of the share of replacements that are classified right."""
    count = len(case.labels)
    return np.mean([replaced_accuracy(case, s, [j] * count) for j in range(count)])


def test_exact_perceptual_score_is_k_of_n_replacements():
    case = Case(batch=30)
    result = perceptual_score_exact(network, ARGNUMS, batch_size=11)(case.labels, *case.args)
    expected = [right_replacements(case, s) for s in range(4)]
    np.testing.assert_allclose(listed(result.replaced), expected, atol=1e-12)


def test_sampled_perceptual_score_converges_to_the_exact_one():
    case = Case(batch=30)
    measure = perceptual_score(network, ARGNUMS, draws=800, batch_size=16)
    sampled = measure(jax.random.key(0), case.labels, *case.args)
    everything = case.accuracy({0, 1, 2, 3})
    exact = [everything - right_replacements(case, s) for s in range(4)]
    np.testing.assert_allclose(sampled.accuracy, everything)
    np.testing.assert_allclose(listed(sampled.score), exact, atol=0.015)
    again = measure(jax.random.key(0), case.labels, *case.args)
    np.testing.assert_array_equal(listed(sampled.score), listed(again.score))


def test_every_draw_is_a_permutation():
    """The mean of the data is that of the permuted data, whatever the order."""
    data = jnp.asarray(np.random.default_rng(0).normal(size=(9, 1)))

    def first_output(output, labels):
        return output[:, 0]

    measure = perceptual_score(lambda x: x, draws=1, score=first_output)
    for seed in range(5):
        result = measure(jax.random.key(seed), jnp.arange(9), data)
        np.testing.assert_allclose(result.score, 0, atol=1e-14)
    moved = perceptual_score(lambda x: x, draws=1, score=lambda x, place: x[:, 0] * place)
    assert abs(moved(jax.random.key(0), jnp.arange(9), data).score) > 1e-3


def test_a_source_that_is_not_looked_at_scores_zero():
    case = Case(batch=20)

    def blind(first, last):
        return network(case.params, first, arranged(case.sources)[1], jnp.zeros_like(last))

    args = case.labels, case.sources[0], case.sources[3]
    scores = (
        perceptual_score_exact(blind, (0, 1))(*args).score,
        perceptual_score(blind, (0, 1))(jax.random.key(0), *args).score,
        shape_score(blind, (0, 1))(*args),
    )
    for first, last in scores:
        assert abs(first) > 0.05
        assert abs(last) < 1e-15
    assert np.all(occlusion(blind, (0, 1))(*args[1:])[1] == 0)


def test_mean_score_by_batches_is_the_mean_score():
    case = Case(batch=23)
    for batch_size in (None, 5, 100):
        score = jax.jit(mean_score(network, ARGNUMS, batch_size=batch_size))
        np.testing.assert_allclose(
            score(case.labels, *case.args), case.accuracy({0, 1, 2, 3}), atol=1e-15
        )


def test_another_score_than_accuracy():
    case = Case(batch=10)

    def loss(output, labels):
        return -jnp.take_along_axis(output, labels[:, None], axis=1)[:, 0]

    actual = mean_score(network, ARGNUMS, score=loss, batch_size=4)(case.labels, *case.args)
    of_label = case.output({0, 1, 2, 3})[np.arange(10), case.labels]
    np.testing.assert_allclose(actual, -of_label.mean())


# --- Gradients ------------------------------------------------------------------------------------


class TorchNetwork(torch.nn.Module):
    def __init__(self, params):
        super().__init__()
        self.params = {name: torch.tensor(value) for name, value in params.items()}

    def forward(self, a, b, c, d):
        flat = torch.cat([x.flatten(1) for x in (a, b, c, d)], dim=1)
        hidden = torch.relu(flat @ self.params["w1"] + self.params["b1"])
        return torch.tanh(hidden @ self.params["w2"]) * 3 + hidden @ self.params["w3"]


def by_captum(method, case, **settings):
    """A Captum attribution for every class, summed by source: four arrays [B, K]."""
    inputs = tuple(torch.tensor(x, requires_grad=True) for x in case.sources)
    explain = method(TorchNetwork(case.params))
    by_class = [explain.attribute(inputs, target=target, **settings) for target in range(CLASSES)]
    return [
        np.stack([each[s].flatten(1).sum(dim=1).detach().numpy() for each in by_class], axis=1)
        for s in range(4)
    ]


def test_gradient_x_input_is_captums():
    case = Case()
    expected = by_captum(captum.attr.InputXGradient, case)
    result = listed(gradient_x_input(network, ARGNUMS)(*case.args))
    np.testing.assert_allclose(result, expected, atol=1e-12)


def test_integrated_gradients_are_captums(baseline):
    case = Case()
    given, reference = baseline(case)
    start = tuple(
        torch.tensor(np.broadcast_to(b, x.shape).copy())
        for b, x in zip(reference or [0.0] * 4, case.sources, strict=True)
    )
    expected = by_captum(captum.attr.IntegratedGradients, case, baselines=start, n_steps=20)
    result = listed(integrated_gradients(network, ARGNUMS, baseline=given, steps=20)(*case.args))
    np.testing.assert_allclose(result, expected, atol=1e-7)  # Captum's nodes are float32


def test_occlusion_is_captums_ablation():
    case = Case()
    mask = tuple(torch.full((1, *shape), s) for s, shape in enumerate(SHAPES.values()))
    inputs = tuple(torch.tensor(x) for x in case.sources)
    explain = captum.attr.FeatureAblation(TorchNetwork(case.params))
    result = listed(occlusion(network, ARGNUMS)(*case.args))
    for target in range(CLASSES):
        parts = explain.attribute(inputs, target=target, feature_mask=mask)
        for s, part in enumerate(parts):
            first = part.flatten(1)[:, 0].numpy()
            np.testing.assert_allclose(result[s][:, target], first, atol=1e-12)


def test_integrated_gradients_are_complete_for_a_smooth_network():
    case = Case()
    given, reference = arranged(case.baselines), case.baselines

    def smooth(params, *sources):
        return network({**params, "b1": params["b1"] + 100.0}, *sources)

    case.params["b1"] = case.params["b1"] + 100.0  # no ReLU switches: tanh alone is not linear
    gain = case.output({0, 1, 2, 3}) - case.output(set(), reference)
    case.params["b1"] = case.params["b1"] - 100.0
    result = listed(integrated_gradients(smooth, ARGNUMS, baseline=given)(*case.args))
    np.testing.assert_allclose(sum(result), gain, atol=1e-10)


# --- LRP by output --------------------------------------------------------------------------------


class TorchReluNetwork(torch.nn.Module):
    def __init__(self, params):
        super().__init__()
        self.first = torch.nn.Linear(*params["w1"].shape, dtype=torch.float64)
        self.relu = torch.nn.ReLU()
        self.second = torch.nn.Linear(*params["w3"].shape, bias=False, dtype=torch.float64)
        self.first.weight.data = torch.tensor(params["w1"].T)
        self.first.bias.data = torch.tensor(params["b1"])
        self.second.weight.data = torch.tensor(params["w3"].T)

    def forward(self, x):
        return self.second(self.relu(self.first(x)))


def relu_network(params, first, pair, last):
    inputs = [first, pair["b"], pair["c"], last]
    flat = jnp.concatenate([x.reshape(len(x), -1) for x in inputs], axis=1)
    return jax.nn.relu(flat @ params["w1"] + params["b1"][None]) @ params["w3"]


def test_lrp_and_gradient_x_input_of_a_relu_network_are_relevance():
    case = Case()
    relevance = listed(rfp_jax.relevance(relu_network, ARGNUMS)(*case.args).sources)
    for method in (lrp, gradient_x_input):
        result = listed(method(relu_network, ARGNUMS)(*case.args))
        np.testing.assert_allclose(result, relevance, atol=1e-12)


def test_lrp_is_captums():
    case = Case()
    result = listed(lrp(relu_network, ARGNUMS)(*case.args))
    flat = np.concatenate([x.reshape(BATCH, -1) for x in case.sources], axis=1)
    splits = np.cumsum([x[0].size for x in case.sources])[:-1]
    explain = captum.attr.LRP(TorchReluNetwork(case.params))
    for target in range(CLASSES):
        inputs = torch.tensor(flat, requires_grad=True)
        maps = explain.attribute(inputs, target=target).detach().numpy()
        for s, part in enumerate(np.split(maps, splits, axis=1)):
            np.testing.assert_allclose(result[s][:, target], part.sum(axis=1), atol=1e-7)


def test_lrp_takes_other_rules_and_refuses_other_outputs():
    case = Case()
    gamma = listed(lrp(relu_network, ARGNUMS, rules=rfp_jax.rules.gamma(0.25))(*case.args))
    plain = listed(lrp(relu_network, ARGNUMS)(*case.args))
    assert np.max(np.abs(gamma[0] - plain[0])) > 1e-3
    with pytest.raises(ValueError, match=r"needs an output of shape \[B, K\]"):
        lrp(lambda x: x.sum())(jnp.ones((2, 3)))


# --- Agreement ------------------------------------------------------------------------------------


def test_agreement_is_scipys_rank_correlation():
    rng = np.random.default_rng(0)
    first, second = (
        {"a": rng.integers(0, 6, (7, 5)).astype(float), "b": rng.normal(size=(7, 2, 2))}
        for _ in range(2)
    )
    result = agreement(first, second)
    for i in range(7):
        a, b = (np.concatenate([x["a"][i], x["b"][i].ravel()]) for x in (first, second))
        np.testing.assert_allclose(result.rank_correlation[i], scipy.stats.spearmanr(a, b)[0])
        np.testing.assert_allclose(result.l1[i], np.abs(a - b).mean())


def test_agreement_with_a_constant_is_undefined():
    result = agreement(jnp.ones((1, 4)), jnp.arange(4.0)[None])
    assert np.isnan(result.rank_correlation[0])


def test_agreement_of_different_things_is_refused():
    with pytest.raises(ValueError, match="same structure and shapes"):
        agreement((jnp.ones((2, 3)),), (jnp.ones((2, 3)), jnp.ones((2, 3))))
    with pytest.raises(ValueError, match="same structure and shapes"):
        agreement({"sar": jnp.ones((2, 3))}, (jnp.ones((2, 3)),))
    with pytest.raises(ValueError, match="axis of samples"):
        agreement(jnp.ones(()), jnp.ones(()))


# --- Deletion -------------------------------------------------------------------------------------


def test_deletion_is_a_loop_over_samples_and_sources():
    case = Case(batch=12)
    given, reference = arranged(case.baselines), case.baselines
    rng = np.random.default_rng(9)
    relevance = [rng.normal(size=(12, CLASSES)) for _ in range(4)]
    target = rng.integers(0, CLASSES, 12)
    delete = deletion(network, ARGNUMS, baseline=given)
    result = delete(arranged(relevance), target, *case.args)
    for i, k in enumerate(target):
        order = sorted(range(4), key=lambda s: -relevance[s][i, k])
        assert result.order[i].tolist() == order
        for step in range(5):
            output = case.output({*order[step:]}, reference)[i]
            np.testing.assert_allclose(result.output[step, i], output[k], atol=1e-12)
            assert result.score[step, i] == (output.argmax() == k)
        everything = case.output({0, 1, 2, 3})[i, k]
        drops = [everything - case.output({0, 1, 2, 3} - {s}, reference)[i, k] for s in range(4)]
        np.testing.assert_allclose(result.drop[i], drops, atol=1e-12)
        assert bool(result.first_hurts_most[i]) == (np.argmax(drops) == order[0])
        curve = np.asarray(result.output[:, i])
        np.testing.assert_allclose(result.area[i], np.trapezoid(curve) / 4)


def test_deletion_of_a_linear_network_is_best_in_the_order_of_relevance():
    """In a linear network relevance is the drop itself, so that no other order is as good."""
    case = Case(batch=20)
    weights = np.random.default_rng(4).normal(size=(12, CLASSES))

    def linear(first, pair, last):
        inputs = [first, pair["b"], pair["c"], last]
        return jnp.concatenate([x.reshape(len(x), -1) for x in inputs], axis=1) @ weights

    args = arranged(case.sources)
    relevance = rfp_jax.relevance(linear, (0, 1, 2))(*args).sources
    delete = deletion(linear, (0, 1, 2))
    by_relevance = delete(relevance, case.labels, *args)
    assert by_relevance.first_hurts_most.all()
    reverse = delete(jax.tree.map(jnp.negative, relevance), case.labels, *args)
    assert np.all(reverse.area >= by_relevance.area)
    assert not reverse.first_hurts_most.all()
    for order in permutations(range(4)):
        ranks = arranged([np.full((20, CLASSES), -float(order.index(s))) for s in range(4)])
        assert np.all(delete(ranks, case.labels, *args).area >= by_relevance.area - 1e-12)


# --- Randomization --------------------------------------------------------------------------------


def explain_by_occlusion(args):
    attribute = occlusion(network, ARGNUMS)
    return lambda params: attribute(params, *args[1:])


def test_randomization_compares_with_the_original_explanation():
    case, other = Case(batch=10), Case(seed=1)
    explain = explain_by_occlusion(case.args)
    original = explain(case.params)
    layers = ["w3", "w2", "w1"]
    result = randomization(explain, case.params, other.params, layers)
    assert result.layers == ("w3", "w2", "w1")
    for step in range(3):
        mixed = {**case.params, **{name: other.params[name] for name in layers[: step + 1]}}
        expected = agreement(original, explain(mixed))
        np.testing.assert_allclose(
            result.rank_correlation[step], np.mean(expected.rank_correlation), atol=1e-12
        )
        np.testing.assert_allclose(result.l1[step], np.mean(expected.l1), atol=1e-12)
    alone = randomization(explain, case.params, other.params, layers, cascading=False)
    expected = agreement(original, explain({**case.params, "w1": other.params["w1"]}))
    np.testing.assert_allclose(
        alone.rank_correlation[2], np.mean(expected.rank_correlation), atol=1e-12
    )


def test_randomization_of_everything_tells_a_good_explanation_from_a_blind_one():
    case = Case(batch=30)
    random = Case(seed=1).params
    good = randomization(explain_by_occlusion(case.args), case.params, random)
    assert good.layers == ("all",)
    assert abs(good.rank_correlation[0]) < 0.3
    blind = randomization(lambda params: case.sources[0], case.params, random)
    np.testing.assert_allclose(blind.rank_correlation, [1.0])
    assert blind.l1.tolist() == [0.0]


def test_randomization_reaches_into_nested_variables():
    variables = {"params": {"Dense_1": {"kernel": 1.0, "bias": 2.0}, "Dense_10": {"kernel": 3.0}}}
    random = jax.tree.map(lambda value: value + 10.0, variables)
    row = np.arange(4.0)[None]

    def explain(variables):
        inner = variables["params"]
        return row * inner["Dense_1"]["kernel"] + inner["Dense_10"]["kernel"] * 100

    steps = randomization(explain, variables, random, ["params/Dense_1", "params/Dense_10"])
    np.testing.assert_allclose(steps.l1, [10 * row.mean(), 10 * row.mean() + 1000])
    with pytest.raises(ValueError, match=r"no variable at 'params/Dense'; there are: params/Dense"):
        randomization(explain, variables, random, ["params/Dense"])
    with pytest.raises(ValueError, match="structure and the shapes"):
        randomization(explain, variables, {"params": {}})


def test_permuted_parameters_keep_their_values():
    params = Case().params
    permuted = permute_parameters(jax.random.key(0), params)
    for name, value in params.items():
        assert np.any(permuted[name] != value)
        np.testing.assert_array_equal(np.sort(permuted[name], axis=None), np.sort(value, axis=None))


# --- Bad input ------------------------------------------------------------------------------------


def test_arguments_that_do_not_fit_are_refused():
    case = Case()
    for argnums, error, message in (
        ((1, 9), ValueError, "points past the 4 positional arguments"),
        ((), ValueError, "argnums is empty"),
        ((1, -3), ValueError, "names an argument twice"),
        ("ab", TypeError, "int or a tuple of ints, got 'ab'"),
    ):
        with pytest.raises(error, match=message):
            occlusion(network, argnums)(*case.args)
    with pytest.raises(ValueError, match="hold no array"):
        occlusion(lambda x: jnp.ones(3))({})
    with pytest.raises(ValueError, match="a number or arranged like the sources"):
        occlusion(network, ARGNUMS, baseline=(0.0, 1.0))(*case.args)
    with pytest.raises(TypeError, match="floating-point sources, got int"):
        gradient_x_input(lambda x: x * 1.5)(jnp.arange(3))


def test_data_that_do_not_fit_are_refused():
    case = Case()
    with pytest.raises(ValueError, match="same number of samples"):
        shape_score(network, ARGNUMS)(case.labels[:-1], *case.args)
    with pytest.raises(ValueError, match="same number of samples"):
        perceptual_score_exact(lambda x: x)(jnp.zeros(0, int), jnp.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"output must be \[B, K\] and labels \[B\]"):
        accuracy(jnp.zeros(3), jnp.zeros(3, int))
    with pytest.raises(ValueError, match="relevance must be arranged like the sources"):
        deletion(network, ARGNUMS)((np.zeros((6, 5)),), case.labels, *case.args)
    with pytest.raises(ValueError, match="each relevance shaped like them"):
        deletion(network, ARGNUMS)(arranged([np.zeros((6, 4))] * 4), case.labels, *case.args)


def test_counts_below_one_are_refused():
    with pytest.raises(ValueError, match="permutations must be at least 1, got 0"):
        shapley_sampled(network, ARGNUMS, permutations=0)
    with pytest.raises(ValueError, match="draws must be at least 1, got 0"):
        perceptual_score(network, ARGNUMS, draws=0)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        integrated_gradients(network, ARGNUMS, steps=0)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        shape_score(network, ARGNUMS, batch_size=0)
