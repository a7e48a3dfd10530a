"""Relevance propagation for JAX: how much of an output came from which source."""

from rfp_jax import rules as rules
from rfp_jax import sources as sources
from rfp_jax.audit import Audit, audit
from rfp_jax.compiler import compiler_options
from rfp_jax.errors import IrreversibleError, MissingRuleError
from rfp_jax.gate import gate
from rfp_jax.heatmap import heatmap
from rfp_jax.relevance import Relevance, relevance
from rfp_jax.rules import register

__all__ = [
    "Audit",
    "IrreversibleError",
    "MissingRuleError",
    "Relevance",
    "audit",
    "compiler_options",
    "gate",
    "heatmap",
    "register",
    "relevance",
    "rules",
    "sources",
]
