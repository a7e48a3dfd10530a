"""What the paper shows, one short file each: `python -m experiments.digits` and its companions."""
