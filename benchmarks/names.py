"""Names that a command is given, and those that it knows."""

from collections.abc import Collection


def unknown(given: Collection[str], known: Collection[str]) -> str:
    """Return a line about names that are not known, "" if all are.

    Args:
        given: the names.
        known: those that there are.

    Examples:
        >>> unknown(["resnet", "vit"], ["vit", "unet"])
        'Unknown: resnet; known: vit, unet.'
    """
    wrong = sorted(set(given) - set(known))
    return f"Unknown: {', '.join(wrong)}; known: {', '.join(known)}." if wrong else ""
