"""The elements on which each element of a program depends, along one axis of a scene."""
