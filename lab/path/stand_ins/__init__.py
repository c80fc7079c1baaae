"""Stand-ins for what a device's host has and a namespace has not: systemd, its resolver, and their commands.

They run inside a device's host, on the standard library alone. Each is a small, honest part of the real one: what it
does not do it refuses or says, and docs/fidelity/path.md lists it.
"""
