"""What the tests compare with: slow and obvious code that shares nothing with the library."""
