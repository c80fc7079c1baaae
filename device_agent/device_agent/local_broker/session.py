"""Which filters the agent has asked the broker and AWS IoT for, kept on the disk: both remember them in their sessions.

A filter that is taken out of agent.toml would go on filling the session of somebody who no longer wants it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from device_agent._exceptions import DeviceAgentError
from device_agent.files import WantedFile, write_file
from device_agent.installation import STATE_DIRECTORY, USER
from device_agent.system import System

FILE = f"{STATE_DIRECTORY}/local-broker.json"


class KnownFilters:
    """The filters of the run before.

    Attributes:
        publish: Those that the broker has a subscription for.
        subscribe: Those that AWS IoT has one for.
    """

    def __init__(self, system: System) -> None:
        """Read them; a file that is not there or not readable means none."""
        self._system = system
        self.publish: list[str] = []
        self.subscribe: list[str] = []
        try:
            document = json.loads(system.path(FILE).read_text("utf-8"))
            self.publish, self.subscribe = ([str(item) for item in document[name]] for name in ("publish", "subscribe"))
        except (OSError, ValueError, KeyError, TypeError):
            return

    def remember(self, publish: Sequence[str], subscribe: Sequence[str]) -> None:
        """Write the present ones, if they are others; a disk that refuses is tried again at the next connection."""
        if (list(publish), list(subscribe)) == (self.publish, self.subscribe):
            return
        text = json.dumps({"publish": list(publish), "subscribe": list(subscribe)})
        try:
            write_file(self._system, FILE, WantedFile(content=text.encode(), mode=0o600, owner=USER))
        except DeviceAgentError:
            return
        self.publish, self.subscribe = list(publish), list(subscribe)
