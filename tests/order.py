"""The order of the tests, by itself: a small suite of pytest can have it without JAX."""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Hand out the slow files first: no worker waits at the end for a long file of another.

    `make test` gives each worker whole files, so what a module sets up is set up once.
    """
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)  # stable: files stay whole
