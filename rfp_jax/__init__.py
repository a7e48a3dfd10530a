"""Relevance propagation for JAX: how much of an output came from which source."""

from rfp_jax import rules as rules
from rfp_jax import sources as sources
from rfp_jax._transforms.audits import Audit, audit
from rfp_jax._transforms.gates import gate
from rfp_jax._transforms.heatmaps import heatmap
from rfp_jax._transforms.propagation import relevance
from rfp_jax._transforms.result import Relevance
from rfp_jax._util.compiler import compiler_options, jit
from rfp_jax.errors import MissingRuleError, RelevanceStopsWarning, ReverseModeError
from rfp_jax.rules import register

__version__ = "0.2.0"

__all__ = [
    "Audit",
    "MissingRuleError",
    "Relevance",
    "RelevanceStopsWarning",
    "ReverseModeError",
    "__version__",
    "audit",
    "compiler_options",
    "gate",
    "heatmap",
    "jit",
    "register",
    "relevance",
    "rules",
    "sources",
]
