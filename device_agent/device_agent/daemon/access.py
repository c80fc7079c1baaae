"""Which topics a local program may use, by the Unix groups that it belongs to.

Without a rule, whoever may open the socket may use every topic that the device may. With rules, a program may use what
the groups that it belongs to are given, and nothing else; root and the agent's own user may use everything.
"""

from __future__ import annotations

import grp
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from device_agent.daemon.local_socket import Client, RequestError
from device_agent.installation import AGENT_SERVICE
from device_agent.topics import check_filter, complete_topic, covers, matches


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTopics:
    """What the members of a group may use.

    Attributes:
        publish: Topic filters that they may publish to; under the device's prefix, as all topics are.
        subscribe: Topic filters that they may subscribe to, or to any part of.
    """

    publish: Sequence[str] = ()
    subscribe: Sequence[str] = ()


class Access:
    """The rules, with the groups' numbers and whole filters."""

    def __init__(self, groups: Mapping[str, GroupTopics], prefix: str) -> None:
        """Look the groups up.

        Args:
            groups: Rules by the group's name; none for no rules.
            prefix: The device's topic prefix.

        Raises:
            TopicError: A filter is malformed.
        """
        self.warnings: list[str] = []
        """Groups that this machine does not have: their rules serve nobody, and open nothing to anybody else."""
        self._narrowed = bool(groups)
        self._groups: dict[int, GroupTopics] = {}
        for name, topics in groups.items():
            publish, subscribe = (
                [complete_topic(item, prefix) for item in filters] for filters in (topics.publish, topics.subscribe)
            )
            for item in (*publish, *subscribe):
                check_filter(item)
            try:
                self._groups[grp.getgrnam(name).gr_gid] = GroupTopics(publish=publish, subscribe=subscribe)
            except KeyError:
                self.warnings.append(
                    f"[local.groups.{name}] serves nobody: there is no such group; `sudo groupadd {name}`, then"
                    f" `sudo systemctl restart {AGENT_SERVICE}`"
                )

    def check_publish(self, client: Client, topic: str) -> None:
        """Refuse a topic that the client may not publish to.

        Raises:
            RequestError: It may not.
        """
        rules = self._rules(client)
        if rules is not None and not any(matches(item, topic) for rule in rules for item in rule.publish):
            raise RequestError(f"{client.peer} may not publish to {topic!r}", "forbidden")

    def check_subscribe(self, client: Client, topic_filter: str) -> None:
        """Refuse a topic filter that the client may not subscribe to.

        Raises:
            RequestError: It may not.
        """
        rules = self._rules(client)
        if rules is not None and not any(covers(item, topic_filter) for rule in rules for item in rule.subscribe):
            raise RequestError(f"{client.peer} may not subscribe to {topic_filter!r}", "forbidden")

    def check_manage(self, client: Client) -> None:
        """Refuse what concerns other programs' messages to a client whose topics are narrowed.

        Raises:
            RequestError: It may not.
        """
        if self._rules(client) is not None:
            raise RequestError(f"{client.peer} may not do that: its topics are narrowed", "forbidden")

    def _rules(self, client: Client) -> list[GroupTopics] | None:
        if not self._narrowed or _is_trusted(client.user):
            return None
        return [rule for number, rule in self._groups.items() if number in client.groups]


def _is_trusted(user: int) -> bool:
    return user in (0, os.geteuid())
