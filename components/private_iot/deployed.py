"""What the stack's last deployment left behind: the components' memory of what they decided then."""

import time
import weakref
from collections.abc import Mapping
from typing import Any, NamedTuple

import pulumi
import pulumi.runtime

from private_iot.arguments import InstalledDevices, Setting

_READ_STATE = "pulumi:pulumi:readStackResourceOutputs"
"""A function of the engine itself: pulumi/pulumi, pkg/resource/deploy/builtins.go. It reads the stack's state and asks
no cloud; resources that only wait for their deletion are left out."""

_OUTPUTS = "pulumi:pulumi:readStackOutputs"
"""What a StackReference asks (same file)."""


class DeployedResource(NamedTuple):
    """A resource as the state has it: its type, its name in the program, its outputs.

    Outputs may hold secrets: they go into no message.
    """

    type: str
    name: str
    outputs: Mapping[str, Any]


VPC = "aws:ec2/vpc:Vpc"
SUBNET = "aws:ec2/subnet:Subnet"
SECURITY_GROUP = "aws:ec2/securityGroup:SecurityGroup"
ASSOCIATION = "aws:ec2clientvpn/networkAssociation:NetworkAssociation"
PRIVATE_LINK = "private-iot:index:IotPrivateLink"
CLIENT_VPN = "private-iot:index:ClientVpnAccess"
_TYPES = frozenset({VPC, SUBNET, SECURITY_GROUP, ASSOCIATION, PRIVATE_LINK, CLIENT_VPN})
"""What is remembered."""
_remembered: "weakref.WeakKeyDictionary[pulumi.Resource, list[DeployedResource]]" = weakref.WeakKeyDictionary()
"""By the stack under way. It is read once: later on, it would hold what this very deployment has done so far."""


def deployed_resources(*types: str) -> list[DeployedResource]:
    """Return the stack's resources of some types, as the last deployment left them; none before the first one.

    Args:
        *types: Type tokens, of those above.
    """
    root = pulumi.runtime.get_root_resource()
    found = _remembered.get(root) if root is not None else None
    if found is None:
        found = _read()
        if root is not None:
            _remembered[root] = found
    return [resource for resource in found if resource.type in types]


def stack_outputs(stack: str) -> Mapping[str, Any]:
    """Return the outputs of another stack as plain values, its secrets among them; {} of one that has none yet.

    Unlike a StackReference it leaves no copy of them in this stack's state.

    Args:
        stack: ORGANIZATION/PROJECT/STACK.

    Raises:
        Exception: There is no such stack, or its state cannot be read.
    """
    outputs: Mapping[str, Any] = _ask_engine(_OUTPUTS, {"name": stack}).get("outputs") or {}
    return outputs


def _ask_engine(function: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    for pause in (0.1, 0.3, 1.0, 3.0, None):
        try:
            answer: Mapping[str, Any] = pulumi.runtime.invoke(function, {**arguments}).value or {}
        except Exception as error:
            # A backend of files writes a file's metadata in place: an empty one is a write under way (gocloud.dev,
            # blob/fileblob/attrs.go).
            if pause is None or "failed to load checkpoint" not in str(error):
                raise
            time.sleep(pause)
        else:
            break
    return answer


def _read() -> list[DeployedResource]:
    stack = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    answer = _ask_engine(_READ_STATE, {"stackName": stack})
    return [
        DeployedResource(resource["type"], urn.split("::")[-1], resource.get("outputs") or {})
        for urn, resource in (answer.get("outputs") or {}).items()
        if resource["type"] in _TYPES
    ]


def warn_of_new_bundles(
    component: pulumi.ComponentResource,
    before: DeployedResource | None,
    settings: Mapping[str, Setting],
    values: Mapping[str, Any],
) -> dict[str, Any]:
    """Warn, in a preview as well, of each change after which the installed devices need their new bundle.

    Args:
        component: Whose settings they are.
        before: The component as the last deployment left it.
        settings: Its settings.
        values: Their values now.

    Returns:
        What devices know of them, for the component's output `knownToDevices`: the next deployment's memory.
    """
    known = {
        name: values.get(name)
        for name, setting in settings.items()
        if setting.installed_devices is InstalledDevices.NEED_BUNDLE and not isinstance(values.get(name), pulumi.Output)
    }
    then = (before.outputs.get("knownToDevices") or {}) if before else {}
    for name, value in known.items():
        if name in then and then[name] != value:
            pulumi.log.warn(
                f"{name} changes from {then[name]} to {value}: the installed devices need their new bundle, "
                "and have no path until it is installed",
                component,
            )
    return known
