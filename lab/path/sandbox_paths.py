"""Places inside the sandbox, on its own temporary file system."""

from pathlib import Path

BASE = Path("/run/private-iot")
HOSTS = BASE / "hosts"
RESOLVERS = BASE / "resolvers"
