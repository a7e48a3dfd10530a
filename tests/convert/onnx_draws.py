"""Random arrays and attributes of ONNX operations."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

few = settings(max_examples=12)


def normal(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@st.composite
def windows(draw, max_rank=2):
    """Attributes of windows, and a spatial shape on which they have room."""
    rank = draw(st.integers(1, max_rank))

    def each(low, high):
        return draw(st.lists(st.integers(low, high), min_size=rank, max_size=rank))

    kernel = each(1, 3)
    found = {"kernel_shape": kernel, "strides": each(1, 3), "dilations": each(1, 2)}
    how = draw(st.sampled_from(["pads", "SAME_UPPER", "SAME_LOWER", "VALID", "nothing"]))
    if how == "pads":
        pairs = zip(each(0, 1) + each(0, 1), kernel * 2, strict=True)
        found["pads"] = [min(pad, size - 1) for pad, size in pairs]
    elif how != "nothing":
        found["auto_pad"] = how
        if how != "VALID":
            found["dilations"] = [1] * rank
    return found, each(5, 8)
