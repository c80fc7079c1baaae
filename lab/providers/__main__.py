"""Serves a stand-in provider: `python -m lab.providers aws|tls [ENGINE_ADDRESS]`.

Started by the engine as a plugin: it prints the port that it listens on, and ends when it is killed or when the
engine is gone.
"""

import argparse
import importlib.util
import sys

from lab.providers import PROVIDERS


def main(argv: list[str] | None = None) -> int:
    """Serves until it is stopped.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m lab.providers", description=__doc__)
    parser.add_argument("provider", choices=PROVIDERS)
    parser.add_argument("engine", nargs="?", help="the engine's address, as the engine gives it")
    arguments, _ = parser.parse_known_args(argv)
    for package in ("pulumi", "pulumi.runtime"):
        _leave_empty(package)
    from lab.providers.serve import serve  # noqa: PLC0415  # after the packages are left empty

    serve(arguments.provider, has_engine=arguments.engine is not None)
    return 0


def _leave_empty(package: str) -> None:
    """Makes a package importable without running its `__init__`.

    Only the protocol's messages below it are wanted; the SDK around them takes as long to load as everything else.
    """
    spec = importlib.util.find_spec(package)
    if spec is not None:
        sys.modules[package] = importlib.util.module_from_spec(spec)


if __name__ == "__main__":
    sys.exit(main())
