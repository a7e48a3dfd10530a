"""An import that fails for want of an optional package says which extra to install."""

from collections.abc import Iterator
from contextlib import contextmanager


class MissingExtraError(ModuleNotFoundError):
    """A package of an extra is not installed; the message says what to install."""


@contextmanager
def needs_extra(what: str, extra: str) -> Iterator[None]:
    """Turn a missing optional package into an error that names the extra.

    Args:
        what: What the package is needed for; opens the message.
        extra: The extra of this project that brings the package.

    Yields:
        Nothing; put the imports into the block.

    Raises:
        MissingExtraError: If an import inside the block finds no such package. One that comes from
            a block within names its own extra, and is let through.
        ModuleNotFoundError: As it was raised, if it names no package.

    Examples:
        >>> with needs_extra("Reading the bundled digits", "experiments"):
        ...     import sklearn
    """
    try:
        yield
    except MissingExtraError:
        raise
    except ModuleNotFoundError as error:
        if error.name is None:  # a package's own words about something else
            raise
        raise MissingExtraError(
            f"{what} needs the package {error.name!r}, which is not installed: "
            f"pip install 'rfp-jax[{extra}]'",
            name=error.name,
        ) from error
