"""The real Pulumi engine, kept apart from everything of the user's."""

from lab.engine.cli import find_or_build
from lab.engine.engine import CHECKOUT, STACK, Engine
from lab.engine.plugins import PluginSource, provide_plugins, source_of

__all__ = ["CHECKOUT", "STACK", "Engine", "PluginSource", "find_or_build", "provide_plugins", "source_of"]
