"""Measurements of rfp_jax: the zoo of architectures, and timings beside its peers."""
