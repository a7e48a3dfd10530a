"""The transformation itself; private."""
