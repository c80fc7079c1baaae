"""Unit tests of the program and of how the library is shipped."""
