"""Oracles of the tests: slow and obvious code that shares nothing with the library."""
