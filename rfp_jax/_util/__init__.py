"""Helpers of every room: whole folders, missing extras, commands, options of the compiler."""
