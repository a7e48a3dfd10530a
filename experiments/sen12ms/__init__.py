"""SAR and optical images of SEN12MS, clear and cloudy: `python -m experiments.sen12ms --help`."""
