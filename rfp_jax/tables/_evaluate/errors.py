"""Errors that stop an evaluation, each with its remedy in the message."""


class TableMismatchError(ValueError):
    """The table at this path was made by another model, rule set, data set or version."""


class TableFormatError(ValueError):
    """The table at this path was written by the first edition, or copied by another program."""


class DamagedTableError(RuntimeError):
    """Files of a table are missing or are not what was written; the message names each."""


class BadSampleError(ValueError):
    """Samples could not be evaluated, and the run was told to take no more of them."""
