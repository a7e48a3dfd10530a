"""Experiments of the paper, one short file each: `python -m experiments.digits` and others."""
