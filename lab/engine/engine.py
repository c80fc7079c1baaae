"""Runs Pulumi for one lab: its own home, its own state, its own cloud, and nothing of the user's."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.engine.plugins import PluginSource, provide_plugins, source_of
from lab.engine.program import PASSPHRASE, Program
from lab.errors import LabError
from lab.report import Report
from lab.state import NAME_VARIABLE, Lab

# What the user's environment says to Pulumi or to an AWS client has no say in a lab.
_FOREIGN_PREFIXES = ("AWS_", "PULUMI_", "BOTO_", "TF_")


@dataclass(frozen=True)
class Engine:
    """Pulumi for one lab.

    Attributes:
        pulumi: The CLI, as `lab.engine.find_or_build` returns it.
        url: Base URL of the lab's cloud, such as ``http://127.0.0.1:40001``.
        program: What it runs; this project's own by default.
        backend: Directory of the state; by default the lab's own.
        inherited: The environment to start from; the process's by default.
    """

    lab: Lab
    pulumi: Path
    url: str
    program: Program = field(default_factory=Program)
    backend: Path | None = None
    inherited: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    @property
    def region(self) -> str:
        return self.program.region

    @property
    def home(self) -> Path:
        return self.lab.engine_directory / "home"

    @property
    def plugins(self) -> PluginSource | None:
        """Which plugins the lab has, ``None`` before `prepare`."""
        return source_of(self.home)

    def settings(self) -> dict[str, str | None]:
        """Return what a lab changes in an environment.

        Returns:
            Variable → value, or ``None`` where the variable must not be set.
        """
        backend = self.backend or self.lab.engine_directory / "state"
        # The environment's own, not what its `python` links to.
        environment_directory = self.program.executables or Path(sys.executable).parent
        path = [str(environment_directory), str(self.pulumi.parent)]
        path += [entry for entry in self.inherited.get("PATH", os.defpath).split(os.pathsep) if entry not in path]
        loopback = "127.0.0.1,localhost"
        bypass = self.inherited.get("NO_PROXY") or self.inherited.get("no_proxy") or ""
        bypass = bypass if loopback in bypass else ",".join(filter(None, (bypass, loopback)))
        foreign = [name for name in self.inherited if name.startswith(_FOREIGN_PREFIXES)]
        return {
            **dict.fromkeys(foreign, None),
            "PATH": os.pathsep.join(path),
            NAME_VARIABLE: self.lab.name,
            "NO_PROXY": bypass,
            "no_proxy": bypass,
            "PULUMI_HOME": str(self.home),
            "PULUMI_BACKEND_URL": backend.as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_PYTHON_CMD": str(environment_directory / "python"),
            # The language host asks pip what is installed; pip would ask its index for a newer pip and keep the answer.
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "lab",
            "AWS_SECRET_ACCESS_KEY": "lab",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
        }

    def environment(self) -> dict[str, str]:
        merged: dict[str, str | None] = {**self.inherited, **self.settings()}
        return {name: value for name, value in merged.items() if value is not None}

    def prepare(self, source: PluginSource, report: Report) -> None:
        """Provide the plugins and the stack, so that plain ``pulumi up --stack lab`` works afterwards.

        Raises:
            LabError: The plugins cannot be had, or the stack cannot be made.
        """
        (self.lab.engine_directory / "state").mkdir(mode=0o700, parents=True, exist_ok=True)
        self.home.mkdir(mode=0o700, exist_ok=True)
        provide_plugins(self.pulumi, self.home, source, report, environment=self.environment())
        listed = self.run("stack", "select", self.program.stack, "--create", cwd=self.program.directory)
        if listed.returncode != 0:
            raise LabError(f"the stack {self.program.stack!r} cannot be made: {listed.stderr.strip()}")

    def run(
        self,
        *arguments: str,
        cwd: Path | None = None,
        timeout: float = 600.0,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run Pulumi without a terminal and collect what it writes.

        Args:
            *arguments: Words after ``pulumi``.
            cwd: The folder to run it in; the program's by default.

        Returns:
            The ended process with its exit code and both outputs, whatever the exit code.

        Raises:
            LabError: It did not end in time.
        """
        command = [str(self.pulumi), "--non-interactive", "--color", "never", *arguments]
        try:
            return subprocess.run(
                command,
                cwd=cwd or self.program.directory,
                env={**self.environment(), **(environment or {})},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise LabError(f"`{shlex.join(command[:4])} …` did not end within {timeout:.0f} s") from None

    def show(self, *arguments: str) -> int:
        """Run Pulumi with its output on standard error, for a person to watch.

        Args:
            *arguments: Words after ``pulumi``.

        Returns:
            Pulumi's exit code.
        """
        plain = [] if sys.stderr.isatty() else ["--non-interactive"]
        colors = ["--color", "never"] if os.environ.get("NO_COLOR") or plain else []
        command = [str(self.pulumi), *plain, *colors, *arguments]
        return subprocess.run(
            command, cwd=self.program.directory, env=self.environment(), stdout=sys.stderr, check=False
        ).returncode
