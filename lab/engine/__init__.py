"""The real Pulumi engine, kept apart from everything of the user's."""

from lab.engine.cli import find_or_build, find_or_build_languages
from lab.engine.engine import Engine
from lab.engine.plugins import PluginSource, provide_plugins, source_of
from lab.engine.program import CHECKOUT, STACK, Program

__all__ = [
    "CHECKOUT",
    "STACK",
    "Engine",
    "PluginSource",
    "Program",
    "find_or_build",
    "find_or_build_languages",
    "provide_plugins",
    "source_of",
]
