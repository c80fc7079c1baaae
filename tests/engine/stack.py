"""One Pulumi stack for a test: the unchanged program, a stack file and a state of the test's own."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lab.engine import CHECKOUT, Engine
from tests.engine import state_file
from tests.warm.shared import DEBUG

# An operation against the lab takes seconds; a minute and a half says that something waits for ever.
TIMEOUT = 240.0
LAB_STACK_FILE = CHECKOUT / "Pulumi.lab.yaml"
ONE_DEVICE = {
    "aws:ec2/vpc:Vpc": 1,
    "aws:ec2/subnet:Subnet": 1,
    "aws:ec2/routeTable:RouteTable": 1,
    "aws:ec2/routeTableAssociation:RouteTableAssociation": 1,
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": 1,
    "aws:ec2/securityGroup:SecurityGroup": 2,
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": 2,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": 2,
    "aws:ec2/vpcEndpoint:VpcEndpoint": 1,
    "aws:route53/zone:Zone": 1,
    "aws:route53/record:Record": 1,
    "aws:iot/policy:Policy": 1,
    "tls:index/selfSignedCert:SelfSignedCert": 1,
    "pulumi-python:dynamic/private-iot:CertificateRegister": 1,
    "pulumi-python:dynamic/private-iot:ImportedRevocationList": 1,
    "tls:index/privateKey:PrivateKey": 4,
    "tls:index/certRequest:CertRequest": 3,
    "tls:index/locallySignedCert:LocallySignedCert": 2,
    "aws:acm/certificate:Certificate": 1,
    "aws:cloudwatch/logGroup:LogGroup": 1,
    "aws:ec2clientvpn/endpoint:Endpoint": 1,
    "aws:ec2clientvpn/networkAssociation:NetworkAssociation": 1,
    "aws:ec2clientvpn/authorizationRule:AuthorizationRule": 1,
    "aws:iot/thing:Thing": 1,
    "aws:iot/certificate:Certificate": 1,
    "aws:iot/policyAttachment:PolicyAttachment": 1,
    "aws:iot/thingPrincipalAttachment:ThingPrincipalAttachment": 1,
    "pulumi-python:dynamic/private-iot:ThingDetachment": 1,
}
"""How many of each type the program makes for one device in one zone."""


@dataclass(frozen=True)
class Step:
    """What the engine did, or plans to do, to one resource."""

    op: str
    urn: str
    diffs: tuple[str, ...]

    @property
    def type(self) -> str:
        """The resource's own type token, without those of its parents."""
        return self.urn.split("::")[2].split("$")[-1]

    @property
    def name(self) -> str:
        return self.urn.split("::")[3]


@dataclass(frozen=True)
class Outcome:
    """An ended operation."""

    returncode: int
    stdout: str
    stderr: str
    events: list[dict[str, Any]]

    @property
    def text(self) -> str:
        return self.stdout + self.stderr

    @property
    def steps(self) -> list[Step]:
        """Every step that completed (planned, in a preview), those that change nothing left out."""
        kind = "resourcePreEvent" if self._planning() else "resOutputsEvent"
        metadata = [event[kind]["metadata"] for event in self.events if kind in event]
        return [
            Step(entry["op"], entry["urn"], tuple(entry.get("diffs") or ()))
            for entry in metadata
            if entry["op"] not in {"same", "read", "refresh"} and not _is_component(entry["urn"])
        ]

    def _planning(self) -> bool:
        return not any("resOutputsEvent" in event for event in self.events)

    def counts(self, op: str) -> dict[str, int]:
        """Return type → how many steps of that kind."""
        return dict(Counter(step.type for step in self.steps if step.op == op))

    def names(self, op: str) -> set[str]:
        return {step.name for step in self.steps if step.op == op}

    @property
    def ops(self) -> set[str]:
        return {step.op for step in self.steps}

    def diagnostics(self, severity: str = "error") -> str:
        found = [event["diagnosticEvent"] for event in self.events if "diagnosticEvent" in event]
        return "\n".join(entry["message"] for entry in found if entry["severity"] == severity)


def _processes_of_session(session: int) -> list[int]:
    """Return the processes of a session (proc(5): the fourth field after the command's name in ``stat``)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[3]) == session:
                found.append(int(stat.parent.name))
    return found


def _is_component(urn: str) -> bool:
    return urn.split("::")[2].rsplit("$", maxsplit=1)[-1].startswith(("pulumi:", "private-iot:"))


@dataclass
class Stack:
    """A stack of one project.

    Attributes:
        engine: The lab's engine, with the backend of this stack.
        directory: Where the stack file and logs go.
        project: Directory of the Pulumi project.
        name: The stack's name.
        config: Plain configuration, with namespaces.
    """

    engine: Engine
    directory: Path
    project: Path = CHECKOUT
    name: str = "lab"
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return self.directory / f"Pulumi.{self.name}.yaml"

    def initialise(self) -> None:
        """Make the stack in its backend.

        `stack init` writes into the project's directory; a project of the same name elsewhere keeps the checkout clean.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        project = _value(self.project / "Pulumi.yaml", "name")
        (self.directory / "Pulumi.yaml").write_text(json.dumps({"name": project, "runtime": "python"}))
        self.configure()
        # A new stack of that name is the same in every backend.
        made = self.engine.home.parent / "initialised" / project / self.name
        if not made.exists():
            new = replace(self.engine, backend=made)
            made.mkdir(parents=True)
            ended = new.run("stack", "init", self.name, cwd=self.directory, timeout=TIMEOUT)
            assert ended.returncode == 0, ended.stderr
        shutil.copytree(made, self.backend, dirs_exist_ok=True)

    def configure(self, **values: Any) -> None:
        """Write the stack file: what the stack has, and the given settings of the program's namespace over it."""
        self.config |= {f"private-iot:{name}": value for name, value in values.items()}
        salt = _value(LAB_STACK_FILE, "encryptionsalt")
        # JSON is YAML, and needs no library.
        self.file.write_text(json.dumps({"encryptionsalt": salt, "config": self.config}, indent=2))

    def up(self, *flags: str, fails: bool | None = False) -> Outcome:
        return self._operate("up", "--yes", "--skip-preview", *flags, fails=fails)

    def preview(self, *flags: str, fails: bool | None = False) -> Outcome:
        return self._operate("preview", "--diff", *flags, fails=fails)

    def refresh(self, *flags: str, fails: bool | None = False) -> Outcome:
        return self._operate("refresh", "--yes", "--skip-preview", *flags, fails=fails)

    def destroy(self, *flags: str, fails: bool | None = False) -> Outcome:
        """Do what the runbook says: take the protection off first, which the authority has from birth."""
        self.unprotect()
        return self._operate("destroy", "--yes", "--skip-preview", *flags, fails=fails)

    def unprotect(self) -> None:
        ended = self.engine.run("state", "unprotect", "--all", "--yes", "--stack", self.name, cwd=self.project)
        assert ended.returncode == 0, ended.stderr

    @property
    def backend(self) -> Path:
        assert self.engine.backend is not None
        return self.engine.backend

    def outputs(self, *, show_secrets: bool = False) -> dict[str, Any]:
        return state_file.outputs(self.export(), show_secrets=show_secrets)

    def shown_outputs(self, *flags: str) -> str:
        """Return what `pulumi stack output` prints."""
        ended = self.engine.run("stack", "output", "--json", "--stack", self.name, *flags, cwd=self.project)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def export(self) -> dict[str, Any]:
        """Return the deployment as the backend has it, secrets encrypted."""
        return state_file.deployment(self.backend, self.name)

    def edit(self, change: Callable[[list[dict[str, Any]]], object]) -> None:
        """Change the resources of the state, as another release, or time, would have left them."""
        deployment = self.export()
        change(deployment["resources"])
        file = self.directory / "edited.json"
        file.write_text(json.dumps({"version": 3, "deployment": deployment}))
        ended = self.engine.run("stack", "import", "--stack", self.name, "--file", str(file), cwd=self.project)
        assert ended.returncode == 0, ended.stderr

    def resources(self) -> list[dict[str, Any]]:
        """Return the custom resources of the state, providers left out."""
        found = self.export().get("resources", [])
        return [each for each in found if each.get("custom") and not each["type"].startswith("pulumi:")]

    def cancel(self) -> None:
        """Release the lock that a killed engine left."""
        ended = self.engine.run("cancel", "--yes", "--stack", self.name, cwd=self.project)
        assert ended.returncode == 0, ended.stderr

    def remove_torn_metadata(self) -> None:
        """Do what the runbook says for a state in files: remove the metadata that the kill left empty.

        The file backend replaces the state itself by a rename, and writes `STACK.json.attrs` beside it in place; Pulumi
        then refuses the stack with "failed to load checkpoint: EOF" (gocloud.dev, blob/fileblob/attrs.go).
        """
        for file in self.backend.glob(".pulumi/stacks/*/*.json.attrs"):
            if file.stat().st_size == 0:
                file.unlink()

    def up_killed_when(self, reached: Callable[[], bool], cold: Engine) -> None:
        """Start an up and kill the engine, its plugins and the program at once, as a power cut does.

        Args:
            reached: The moment: asked again and again until it is true.
            cold: An engine all of whose processes are its descendants.
        """
        engine = replace(cold, url=self.engine.url, backend=self.engine.backend)
        process = subprocess.Popen(
            [str(engine.pulumi), "--non-interactive", *self._command("up", "--yes", "--skip-preview")],
            cwd=self.project,
            env=engine.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            while not reached():
                assert process.poll() is None, "the up ended before it was to be killed"
        finally:
            # The engine gives each plugin a process group of its own; the session holds them all.
            for pid in _processes_of_session(process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait(timeout=120)

    def _command(self, verb: str, *flags: str) -> list[str]:
        return [verb, "--stack", self.name, "--config-file", str(self.file), *flags]

    def _operate(self, verb: str, *flags: str, fails: bool | None) -> Outcome:
        log = self.directory / "events.jsonl"
        log.unlink(missing_ok=True)
        # The engine's event log names every step exactly; the flag is offered to those who debug only.
        ended = self.engine.run(
            *self._command(verb, "--event-log", str(log), *flags),
            cwd=self.project,
            timeout=TIMEOUT,
            environment={"PULUMI_DEBUG_COMMANDS": "true", **({DEBUG: "true"} if "--debug" in flags else {})},
        )
        events = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        outcome = Outcome(ended.returncode, ended.stdout, ended.stderr, events)
        # Which exit code says "failed" has changed between versions of the CLI.
        if fails is not None:
            assert (outcome.returncode != 0) is fails, outcome.text
        return outcome


def _value(file: Path, key: str) -> str:
    """Return a top-level text of a YAML file."""
    match = re.search(rf"^{key}: *(\S+)$", file.read_text(), re.MULTILINE)
    assert match, f"{file} has no {key}"
    return match[1]
