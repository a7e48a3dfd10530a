"""What rfp_jax is measured with: the zoo of architectures, and timings beside its peers."""
