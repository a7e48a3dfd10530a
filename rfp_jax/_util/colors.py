"""The colors of sources, the same in figures and in reports.

They are from Okabe & Ito, "Color universal design", 2008: color-blind eyes tell them apart.
"""

SOURCE_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
BIAS_COLOR = "#999999"
