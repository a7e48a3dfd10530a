"""The long forms run only where this folder is named: `pytest tests/stress`."""

from pathlib import Path

HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config) -> bool | None:
    """Leave everything here out, unless it was asked for."""
    named = any(Path(str(arg).split("::")[0]).resolve().is_relative_to(HERE) for arg in config.args)
    return None if named else True
