"""Data-fusion MNIST: train a network on two sources of digits, explain it, draw, sweep."""
