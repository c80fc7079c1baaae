"""What the stack's last deployment left behind: the components' memory of what they decided then."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pulumi
import pulumi.runtime

_READ_STATE = "pulumi:pulumi:readStackResourceOutputs"
"""A function of the engine itself: pulumi/pulumi, pkg/resource/deploy/builtins.go. It reads the stack's state and asks
no cloud; resources that only wait for their deletion are left out."""


class DeployedResource(NamedTuple):
    """A resource as the state has it: its type, its name in the program, its outputs.

    Outputs may hold secrets: they go into no message.
    """

    type: str
    name: str
    outputs: Mapping[str, Any]


def deployed_resources(*types: str) -> list[DeployedResource]:
    """Return the stack's resources of some types, as the last deployment left them; none before the first one.

    Args:
        *types: Type tokens, `aws:ec2/subnet:Subnet`.
    """
    stack = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    answer: Mapping[str, Any] = pulumi.runtime.invoke(_READ_STATE, {"stackName": stack}).value or {}
    return [
        DeployedResource(resource["type"], urn.split("::")[-1], resource.get("outputs") or {})
        for urn, resource in (answer.get("outputs") or {}).items()
        if resource["type"] in types
    ]
