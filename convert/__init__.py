"""The conversion script of the repository, thin over `rfp_jax.convert`."""
