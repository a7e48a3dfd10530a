"""Cloud masks of a trained network on a real image: `python -m experiments.clouds --help`."""
