"""Captum, zennit and LXT beside rfp_jax on one PyTorch network: the numbers, and the time."""
