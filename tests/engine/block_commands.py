"""What stands for other machines' commands in the documents' blocks; `tests/engine/workplace.py` says where.

`ssh HOST sudo device-agent …` is the agent's own code on a root of the host's own, `aws SERVICE OPERATION …` botocore's
call of that name, `pulumi install` a look at what it would install: the pinned language host is too old for it.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import boto3
from botocore import xform_name
from device_agent.__main__ import main as device_agent
from device_agent.install.bundle import parse_bundle
from device_agent.install.device_keys import load_device_keys
from device_agent.system import System


class RootOfHost(System):
    """A folder as the device's root directory, and its user as root."""

    def user_id(self) -> int:
        return 0


def ssh(host: str, *words: str) -> int:
    """Run the agent's `request`, or take a bundle as its `install` does before it changes anything."""
    assert words[:2] == ("sudo", "device-agent"), words
    system = RootOfHost(root=Path(os.environ["DEVICES"]) / host)
    system.path("/etc").mkdir(parents=True, exist_ok=True)
    match words[2:]:
        case ("request",):
            return device_agent(["request", "--name", host], system)
        case ("install", "-"):
            keys = load_device_keys(system)
            bundle = parse_bundle(sys.stdin.buffer.read(), device=None, now=time.time(), keys=keys)
            sys.stdout.write(f"installed {bundle.name}\n")
            return 0
        case ("doctor",):
            return 0
    raise AssertionError(words)


def aws(service: str, operation: str, *options: str) -> int:
    """Call AWS as its command line does: `--some-option` is the member SomeOption, `file://` a file's content."""
    client = boto3.client(service)
    method = operation.replace("-", "_")
    [name] = [name for name in client.meta.service_model.operation_names if xform_name(name) == method]
    members = {
        xform_name(each).replace("_", "-"): each
        for each in client.meta.service_model.operation_model(name).input_shape.members
    }
    values = [Path(value[7:]).read_text() if value.startswith("file://") else value for value in options[1::2]]
    named = [members[option.removeprefix("--")] for option in options[::2]]
    getattr(client, method)(**dict(zip(named, values, strict=True)))
    return 0


def install() -> int:
    """Put the tests' environment where Pulumi.yaml has its own, if it has what requirements.txt asks for."""
    [environment] = re.findall(r"^ +virtualenv: (\S+)$", Path("Pulumi.yaml").read_text(), re.MULTILINE)
    Path(environment).symlink_to(sys.prefix)
    offline = ("--dry-run", "--no-index", "--no-deps", "--no-build-isolation", "--quiet")
    return subprocess.run(
        [sys.executable, "-m", "pip", "install", *offline, "-r", "requirements.txt"], check=False
    ).returncode


if __name__ == "__main__":
    COMMANDS: dict[str, Callable[..., int]] = {"ssh": ssh, "aws": aws, "install": install}
    sys.exit(COMMANDS[sys.argv[1]](*sys.argv[2:]))
