"""Unit tests of the component library."""
