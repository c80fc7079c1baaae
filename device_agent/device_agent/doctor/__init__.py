"""Proves where the path ends: one check for each hop."""
