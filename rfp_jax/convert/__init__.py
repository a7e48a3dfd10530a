"""Networks from elsewhere, as a JAX function and its parameters."""
