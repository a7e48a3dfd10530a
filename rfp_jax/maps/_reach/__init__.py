"""What every element of a program depends on, along one axis of a scene."""
