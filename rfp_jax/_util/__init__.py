"""Helpers of every room: whole folders, extras that are missing, options of the compiler."""
