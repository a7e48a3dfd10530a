"""The zoo: architectures of eight frameworks, none of them changed for rfp_jax.

`python -m benchmarks.zoo` audits each with random weights and random batch-norm statistics. There
is one module a framework; each has `BUILDERS`, which name what makes an `Entry`.
"""

from benchmarks.zoo.entry import Builder, Entry
from benchmarks.zoo.frameworks import FRAMEWORKS, find
from benchmarks.zoo.measurement import Measurement, Row, measure, survey

__all__ = ["FRAMEWORKS", "Builder", "Entry", "Measurement", "Row", "find", "measure", "survey"]
