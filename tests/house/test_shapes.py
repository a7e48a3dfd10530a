"""Shapes in annotations hold at run time: each is resolved by jaxtyping and checked by beartype.

Functions are checked here one by one: an import hook on the whole package would check each call of
each test again, and the suite would take longer by more than it would find.
"""

import inspect
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from jaxtyping import TypeCheckError, jaxtyped

from rfp_jax import losses, sources
from rfp_jax._core import carrier, outputs
from rfp_jax._util import coarse
from rfp_jax.attribution import _agreement, _coalitions, _deletion, _scores, _shapley
from rfp_jax.datasets.sen12ms import _clouds, denormalize_s2, normalize_s1, normalize_s2

logits, labels = jnp.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.3]]), jnp.array([1, 0, 1])
relevance = SimpleNamespace(sources={"sar": logits, "optical": 2 * logits}, bias=logits)

CALLS = [
    (losses.cross_entropy, (logits, labels), (logits, labels[:2])),
    (losses.cross_entropy, (logits, labels), (logits[0], labels)),
    (losses.source_losses, (relevance, labels), (relevance, jnp.array(1))),
    (losses.relevance_loss, (relevance, labels, 0.5), (relevance, labels, jnp.ones(2))),
    (_scores.accuracy, (logits, labels), (logits, jnp.ones(3))),
    (_coalitions.all_coalitions, (3,), None),
    (_coalitions.all_but_one, (3,), None),
    (_shapley.shapley_weights, (3,), None),
    (_shapley._weighted_sums, (np.ones((2, 4)), jnp.ones((4, 3))), (np.ones((2, 3)), logits[:2])),
    (_agreement._rows, ((logits, logits),), None),
    (_agreement.correlation, (logits, 2 * logits), (logits, logits[:2])),
    (_deletion._pick, (logits, labels), (logits, labels[:2])),
    (coarse.block_sums, (np.ones((2, 3, 5)), 2), (np.ones(3), 2)),
    (normalize_s1, (np.ones((4, 4, 2)),), (np.ones((4, 4, 3)),)),
    (normalize_s2, (np.ones((4, 4, 10)),), (np.ones(()),)),
    (denormalize_s2, (np.ones((1, 4, 4, 3)),), (np.ones(()),)),
    (_clouds.cloud_score, (np.ones((8, 9, 13)),), (np.ones((8, 13)),)),
    (_clouds.cloud_mask, (np.ones((8, 9, 13)),), (np.ones((8, 13)),)),
    (outputs.weighted, (jnp.ones(2), logits), (jnp.ones(4), logits)),
    (sources.segments, (np.array([0, 0, 1]),), (np.ones(3),)),
    (sources.masks, (np.ones((2, 3)),), (np.ones(()),)),
    (carrier.Contributions.carry, (carrier.Contributions(), logits, logits), None),
    (carrier.Fractions.read, (carrier.Fractions(), logits, logits), (None, logits, logits[0])),
    (carrier.Fractions.carry, (carrier.Fractions(), logits, logits), (None, logits, labels)),
    (carrier.Fractions.seed, (carrier.Fractions(), logits), (None, labels)),
]
"""A function, arguments that fit its shapes, and arguments that do not, if there are such."""


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call[0].__qualname__)
def test_shapes_are_those_of_the_annotations(call):
    function, right, wrong = call
    checked = jaxtyped(typechecker=beartype)(function)
    checked(*right)
    if wrong is not None:
        with pytest.raises(TypeCheckError):
            checked(*wrong)


@pytest.mark.parametrize("module", [losses, sources, _scores, _coalitions, _shapley, _agreement])
def test_each_annotation_of_an_array_can_be_resolved(module):
    functions = inspect.getmembers(module, inspect.isfunction)
    own = [f for _, f in functions if f.__module__ == module.__name__]
    assert own
    for function in own:
        inspect.get_annotations(function, eval_str=True)
