"""What can stop an evaluation, each with its remedy in the message."""


class TableInUseError(RuntimeError):
    """Another run is writing this table."""


class TableMismatchError(ValueError):
    """The table at this path was made by another model, rule set, data set or version."""


class OtherProcessError(RuntimeError):
    """Another process of this run has failed, and has said why."""


class BadSampleError(ValueError):
    """A sample could not be evaluated, and the run was told to be strict."""
