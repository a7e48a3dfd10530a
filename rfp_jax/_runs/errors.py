"""Errors that stop a run, each with its remedy in the message."""


class TableInUseError(RuntimeError):
    """Another run is writing this table or map."""


class OtherProcessError(RuntimeError):
    """Another process of this run has failed, and has said why."""
