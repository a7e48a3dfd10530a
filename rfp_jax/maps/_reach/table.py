"""The table of how each primitive passes on what its elements depend on, along one axis.

What is in no table has the reach of everything, and is named.
"""

from __future__ import annotations

from rfp_jax._core.dimensions import KEPT
from rfp_jax._core.primitives import ELEMENTWISE
from rfp_jax.maps._reach import chosen, places, windows
from rfp_jax.maps._reach.shifts import Rule


def _each(rule: Rule, names: str) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


_STAYING = {name for name, dims in KEPT.items() if dims is KEPT["not"]} - {
    *("slice", "dynamic_slice", "dynamic_update_slice", "split")  # parts of arrays
}

RULES: dict[str, Rule] = {
    **dict.fromkeys(ELEMENTWISE | _STAYING, places.elementwise),
    **_each(places.broadcast, "broadcast_in_dim"),
    "reshape": places.reshape,
    "transpose": places.transpose,
    "squeeze": places.squeeze,
    "slice": places.slice_rule,
    "dynamic_slice": places.dynamic_slice,
    "split": places.split,
    "pad": windows.pad,
    "concatenate": places.concatenate,
    "stack": places.stack,
    "rev": places.reverse,
    "conv_general_dilated": windows.convolution,
    "dot_general": chosen.dot,
    "gather": chosen.gather,
    **_each(windows.pool, "reduce_window reduce_window_sum reduce_window_max reduce_window_min"),
    **_each(places.cumulative, "cumsum cumprod cummax cummin cumlogsumexp"),
    **_each(places.sort, "sort top_k approx_top_k"),
    **_each(
        places.reduce_rule,
        """reduce_sum reduce_prod reduce_max reduce_min reduce_and reduce_or reduce_xor argmax
        argmin reduce""",
    ),
}
