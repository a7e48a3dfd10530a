"""Helpers of every room: folders, missing extras, commands, shapes, options of the compiler."""
