"""Other ways to say how much each source matters, and checks of whether to believe them.

All of them are transformations with the conventions of `jax.grad`: `method(fun, argnums)` returns a
compiled function of the network's arguments, and its result is arranged like what `argnums` points
to. Every array in those arguments is a source.
"""

from rfp_jax.attribution._agreement import Agreement, agreement
from rfp_jax.attribution._deletion import Deletion, deletion
from rfp_jax.attribution._grad_cam import grad_cam
from rfp_jax.attribution._gradients import gradient_x_input, integrated_gradients
from rfp_jax.attribution._lrp import lrp
from rfp_jax.attribution._occlusion import occlusion
from rfp_jax.attribution._perceptual import (
    PerceptualScore,
    perceptual_score,
    perceptual_score_exact,
)
from rfp_jax.attribution._randomization import Randomization, permute_parameters, randomization
from rfp_jax.attribution._replacement import Dominance, Replacement, dominance, replacement
from rfp_jax.attribution._scores import accuracy, mean_score
from rfp_jax.attribution._shape import shape_score, shape_score_sampled
from rfp_jax.attribution._shapley import shapley, shapley_sampled

__all__ = [
    "Agreement",
    "Deletion",
    "Dominance",
    "PerceptualScore",
    "Randomization",
    "Replacement",
    "accuracy",
    "agreement",
    "deletion",
    "dominance",
    "grad_cam",
    "gradient_x_input",
    "integrated_gradients",
    "lrp",
    "mean_score",
    "occlusion",
    "perceptual_score",
    "perceptual_score_exact",
    "permute_parameters",
    "randomization",
    "replacement",
    "shape_score",
    "shape_score_sampled",
    "shapley",
    "shapley_sampled",
]
