"""Other ways to say how much each source matters, and checks of whether to believe them.

All of them are transformations with the conventions of `jax.grad`: `method(fun, argnums)` returns a
compiled function of the network's arguments, and its result is arranged like what `argnums` points
to. Every array in those arguments is a source.
"""

from rfp_jax.baselines.agreement import Agreement, agreement
from rfp_jax.baselines.deletion import Deletion, deletion
from rfp_jax.baselines.gradients import gradient_x_input, integrated_gradients
from rfp_jax.baselines.lrp import lrp
from rfp_jax.baselines.occlusion import occlusion
from rfp_jax.baselines.perceptual import PerceptualScore, perceptual_score, perceptual_score_exact
from rfp_jax.baselines.randomization import Randomization, permute_parameters, randomization
from rfp_jax.baselines.scores import accuracy, mean_score
from rfp_jax.baselines.shape import shape_score, shape_score_sampled
from rfp_jax.baselines.shapley import shapley, shapley_sampled

__all__ = [
    "Agreement",
    "Deletion",
    "PerceptualScore",
    "Randomization",
    "accuracy",
    "agreement",
    "deletion",
    "gradient_x_input",
    "integrated_gradients",
    "lrp",
    "mean_score",
    "occlusion",
    "perceptual_score",
    "perceptual_score_exact",
    "permute_parameters",
    "randomization",
    "shape_score",
    "shape_score_sampled",
    "shapley",
    "shapley_sampled",
]
