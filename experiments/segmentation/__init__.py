"""Land cover of every pixel from optical and radar: `python -m experiments.segmentation --help`."""
