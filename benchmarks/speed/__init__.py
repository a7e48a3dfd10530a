"""Time, work and memory of relevance, beside the forward pass and beside its peers."""
