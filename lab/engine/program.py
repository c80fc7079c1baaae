"""Which Pulumi program a lab runs: this project's own, or one of the user's."""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from lab.errors import LabError
from lab.state import Lab, write_file

CHECKOUT = Path(__file__).resolve().parents[2]
REGION = "ap-northeast-1"
STACK = "lab"
# Known to everybody: a lab's state holds nothing worth hiding.
PASSPHRASE = "private-iot-lab"  # noqa: S105  # see the line above
_SALT = "v1:q4JCDdjzox8=:v1:ll+s5y46/i81jeT6:aqVRGojQQtCH38edmSAvlfhim6rzkQ=="
"""Made by Pulumi for that passphrase: with it in the stack's file, `pulumi up` never has to write the file."""
_STACK_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_REGION_NAME = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_REMEMBERED = "program.json"
# libyaml's reads ten times as fast; a PyYAML that was built without it has Python's own.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Program:
    """A Pulumi project and the stack of it that a lab deploys.

    Attributes:
        directory: The project's folder, with Pulumi.yaml.
        stack: The stack's name; its settings are in ``Pulumi.STACK.yaml``.
        region: The Region whose network the lab builds, and the default of every AWS client in the lab.
    """

    directory: Path = CHECKOUT
    stack: str = STACK
    region: str = REGION

    def __post_init__(self) -> None:
        """Refuse what Pulumi or an AWS client would trip over later.

        Raises:
            LabError: The stack's or the Region's name cannot be one.
        """
        if not _STACK_NAME.fullmatch(self.stack):
            raise LabError(f"stack {self.stack!r}: use 1 to 100 letters, digits, hyphens, underscores and periods")
        if not _REGION_NAME.fullmatch(self.region):
            raise LabError(f"Region {self.region!r} has no Region's form; write it as AWS does, such as {REGION}")

    @classmethod
    def of(cls, directory: Path, *, stack: str | None = None, region: str | None = None) -> Self:
        """Return a project's program.

        Args:
            directory: The project's folder.
            stack: The stack; ``lab`` by default.
            region: The Region; by default ``aws:region`` of the stack's file, else ``ap-northeast-1``.

        Raises:
            LabError: There is no Pulumi.yaml, or the stack's file is not a mapping.
        """
        found = directory.resolve()
        if not (found / "Pulumi.yaml").is_file():
            raise LabError(f"{directory} has no Pulumi.yaml: name the folder of a Pulumi project")
        program = cls(found, stack or STACK)
        configured = program.configuration().get("aws:region")
        return cls(found, program.stack, region or (str(configured) if configured else REGION))

    @classmethod
    def remembered(cls, lab: Lab) -> Self | None:
        """Return the program that a lab was brought up with, ``None`` before that."""
        try:
            kept = json.loads((lab.engine_directory / _REMEMBERED).read_text(encoding="utf-8"))
        except OSError:
            return None
        return cls(Path(kept["directory"]), kept["stack"], kept["region"])

    def remember(self, lab: Lab) -> None:
        """Keep the program with its lab, for the commands that follow.

        Raises:
            LabError: The lab has another one, whose resources are in its cloud.
        """
        there = self.remembered(lab)
        if there not in (None, self):
            raise LabError(
                f"lab {lab.name!r} runs {there}, not {self}: "
                "remove it with `python -m lab down`, or take another --lab NAME"
            )
        kept = {"directory": str(self.directory), "stack": self.stack, "region": self.region}
        write_file(lab.engine_directory / _REMEMBERED, json.dumps(kept) + "\n")

    def __str__(self) -> str:
        """The program as a message names it."""
        return f"stack {self.stack} of {self.directory} in {self.region}"

    @property
    def stack_file(self) -> Path:
        """Where the stack's settings are."""
        return self.directory / f"Pulumi.{self.stack}.yaml"

    @property
    def project(self) -> str:
        """The project's name, as its Pulumi.yaml has it."""
        return str(_mapping(self.directory / "Pulumi.yaml").get("name", ""))

    @property
    def environment(self) -> Path | None:
        """The virtual environment that Pulumi.yaml names, whether or not it is there."""
        runtime = _mapping(self.directory / "Pulumi.yaml").get("runtime")
        options = (runtime.get("options") or {}) if isinstance(runtime, dict) else {}
        return self.directory / str(options["virtualenv"]) if options.get("virtualenv") else None

    @property
    def executables(self) -> Path | None:
        """The folder of the project's own Python, where Pulumi.yaml names a virtual environment that is there."""
        found = self.environment
        return found / "bin" if found is not None and (found / "bin/python").exists() else None

    def require_environment(self) -> None:
        """Refuse a project whose virtual environment is missing: Pulumi's dynamic providers do not start without it.

        Raises:
            LabError: It is missing.
        """
        if self.environment is not None and self.executables is None:
            raise LabError(
                f"{self.directory}/Pulumi.yaml names the virtual environment {self.environment}, which is not there: "
                f"make it with `pulumi install --cwd {self.directory}`, or take the lab's own with "
                f"`ln -s {sys.prefix} {self.environment}`"
            )

    def configuration(self) -> dict[str, Any]:
        """Return the stack's settings; none where it has no file."""
        if not self.stack_file.exists():
            return {}
        config = _mapping(self.stack_file).get("config") or {}
        return dict(config) if isinstance(config, dict) else {}

    def require_stack_file(self) -> None:
        """Refuse a stack that the lab's passphrase does not open.

        Raises:
            LabError: The stack's file is missing, or was made for another passphrase.
        """
        init = f"`python -m lab init {self.directory}{'' if self.stack == STACK else f' --stack {self.stack}'}`"
        if not self.stack_file.exists():
            raise LabError(f"{self.stack_file} is missing: {init} writes it")
        if _mapping(self.stack_file).get("encryptionsalt") != _SALT:
            raise LabError(
                f"{self.stack_file} is not a lab's stack, whose passphrase everybody knows: take another --stack NAME, "
                "and let `python -m lab init` write its file"
            )

    def write_stack_file(self, config: dict[str, Any]) -> None:
        """Write the stack's file, which must not be there.

        Args:
            config: Settings beside ``aws:region``.

        Raises:
            LabError: The file is there.
        """
        if self.stack_file.exists():
            raise LabError(f"{self.stack_file} is there already: it is left alone")
        document = {"encryptionsalt": _SALT, "config": {**config, "aws:region": self.region}}
        head = "# A stack for the lab: its passphrase is known to everybody, so keep no secret of yours here.\n"
        write_file(self.stack_file, head + yaml.safe_dump(document, sort_keys=False), mode=0o644)


def _mapping(file: Path) -> dict[str, Any]:
    try:
        document = yaml.load(file.read_text(encoding="utf-8"), _LOADER)  # noqa: S506 - both are safe
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise LabError(f"{file} cannot be read as YAML: {error}") from error
    if not isinstance(document, dict):
        raise LabError(f"{file} has to be a YAML mapping")
    return document
