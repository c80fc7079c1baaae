"""Bring up a base stack and its device stacks: the base first, then the others side by side.

    python tools/device_stacks.py up --base dev
    python tools/device_stacks.py preview --base dev --jobs 4
    python tools/device_stacks.py destroy --base dev

The device stacks are those that the base's `deviceStacks` lists, each with a stack file Pulumi.NAME.yaml that has
`baseStack` and `devices` (docs/fleet.md); one that the state does not know yet is made. Where a device stack changed,
the base runs once more at the end, so that it revokes what was removed or locked out there. A device stack that fails
stops no other one; the base's failure stops all. `destroy` takes the device stacks first; take the protection off the
base's authority before it (docs/operations.md).

Progress goes to standard error, with --json one JSON object to standard output:
{"seconds": …, "runs": [{"stack", "result": "succeeded" or "failed", "seconds", "changes", "error"}]}

exit codes: 0 all succeeded, 1 a stack failed, 2 the arguments or the settings are wrong
"""

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pulumi import automation

NAMESPACE = "private-iot"
_SAY_EVERY = 2.0
"""Seconds between lines of progress."""
_ERROR_LINES = 20


class SettingsError(Exception):
    """The settings do not fit; nothing was changed."""


@dataclass
class Run:
    """What became of one stack.

    Attributes:
        changes: Kind of step → how many; those that change nothing left out.
        error: The errors that Pulumi told, where it failed.
    """

    stack: str
    result: str = "succeeded"
    seconds: float = 0.0
    changes: dict[str, int] = field(default_factory=dict)
    error: str = ""


class Workspace(automation.LocalWorkspace):
    """The program's folder; without those processes of the CLI that each stack would cost for nothing.

    The stack that is selected there stays the user's: every command names its own.
    """

    def select_stack(self, stack_name: str) -> None:
        """Do nothing."""

    def create_stack(self, stack_name: str) -> None:
        self.pulumi_command.run(["stack", "init", stack_name, "--no-select", "--non-interactive"], self.work_dir, {})

    def stack_outputs(self, stack_name: str) -> automation.OutputMap:
        """Return nothing: a run would ask for them twice, and nobody here reads them."""
        return {}


class Progress:
    """Says on standard error how far each stack is, every two seconds at most."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._steps: dict[str, int] = {}
        self._said = time.monotonic()

    def begin(self, stack: str) -> None:
        with self._lock:
            self._steps[stack] = 0

    def step(self, stack: str, event: automation.EngineEvent) -> None:
        """Count a resource that is done."""
        if event.res_outputs_event is None:
            return
        with self._lock:
            self._steps[stack] += 1
            if time.monotonic() - self._said < _SAY_EVERY:
                return
            self._said = time.monotonic()
            done = ", ".join(f"{name} {steps}" for name, steps in self._steps.items())
        self.say(f"resources done: {done}")

    def end(self, run: Run) -> None:
        with self._lock:
            self._steps.pop(run.stack, None)
        changes = ", ".join(f"{number} {kind}" for kind, number in run.changes.items()) or "no change"
        self.say(f"{run.stack}: {changes if run.result == 'succeeded' else 'failed'}, {run.seconds:.1f} s")
        if run.error:
            self.say(run.error)

    def say(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def device_stacks(base: automation.Stack, directory: Path) -> list[str]:
    """Return the names of the base's device stacks.

    Raises:
        SettingsError: There are none, one is of another project, or has no stack file.
    """
    value = base.get_all_config().get(f"{NAMESPACE}:deviceStacks")
    listed = json.loads(value.value) if value else []
    if not listed:
        raise SettingsError(f"{base.name} lists no {NAMESPACE}:deviceStacks; list its stacks of devices there")
    project = base.workspace.project_settings().name
    for whole in listed:
        parts = str(whole).split("/")
        if len(parts) != 3 or parts[1] != project:
            raise SettingsError(
                f"deviceStacks: {whole} is no stack of this project; write ORGANIZATION/{project}/STACK"
            )
        file = directory / f"Pulumi.{parts[2]}.yaml"
        if not file.exists():
            raise SettingsError(f"{file} is missing; write it with {NAMESPACE}:baseStack and {NAMESPACE}:devices")
    return [str(whole).split("/")[2] for whole in listed]


def operate(verb: str, base: automation.Stack, others: Sequence[automation.Stack], jobs: int) -> list[Run]:
    """Run all stacks in their order.

    Args:
        verb: `up`, `preview` or `destroy`.
        base: The base stack.
        others: The device stacks.
        jobs: How many of them run at once.
    """
    progress = Progress()

    def one(stack: automation.Stack) -> Run:
        return _run(stack, verb, progress)

    def side_by_side() -> list[Run]:
        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(one, others))

    if verb == "destroy":
        runs = side_by_side()
        return runs if _failed(runs) else [*runs, one(base)]
    first = one(base)
    if _failed([first]):
        return [first]
    runs = [first, *side_by_side()]
    if verb == "up" and any(run.changes for run in runs[1:]):
        runs.append(one(base))
    return runs


def _failed(runs: Sequence[Run]) -> bool:
    return any(run.result == "failed" for run in runs)


def _run(stack: automation.Stack, verb: str, progress: Progress) -> Run:
    run, began = Run(stack.name), time.monotonic()
    progress.begin(stack.name)
    errors: list[str] = []

    def heard(event: automation.EngineEvent) -> None:
        progress.step(stack.name, event)
        if event.diagnostic_event is not None and event.diagnostic_event.severity == "error":
            errors.append(event.diagnostic_event.message.strip())

    operations: dict[str, Callable[..., Any]] = {"up": stack.up, "preview": stack.preview, "destroy": stack.destroy}
    options: dict[str, Any] = {} if verb == "preview" else {"show_secrets": False}
    try:
        done = operations[verb](on_event=heard, color="never", **options)
    except automation.CommandError as error:
        run.result = "failed"
        # Without an event of it, what failed is the CLI itself: a stack in use, a state that cannot be read.
        run.error = "\n".join(errors or str(error).strip().splitlines()[-_ERROR_LINES:])
    else:
        summary = done.change_summary if verb == "preview" else done.summary.resource_changes
        run.changes = {str(getattr(kind, "value", kind)): number for kind, number in (summary or {}).items()}
        run.changes.pop("same", None)
    run.seconds = round(time.monotonic() - began, 1)
    progress.end(run)
    return run


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: 1 or more")
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    Returns:
        0, 1 where a stack failed, 2 where the settings are wrong.
    """
    summary, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python tools/device_stacks.py",
        description=summary,
        epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("verb", choices=("up", "preview", "destroy"), help="what to do")
    parser.add_argument("--base", required=True, metavar="STACK", help="the base stack's name, as in Pulumi.STACK.yaml")
    parser.add_argument(
        "--jobs",
        type=_whole,
        default=os.cpu_count() or 1,
        metavar="N",
        help="device stacks that run at once (%(default)s)",
    )
    parser.add_argument("--directory", type=Path, default=Path(), help="the program's folder (this one)")
    parser.add_argument("--json", action="store_true", help="print the outcome on standard output")
    arguments = parser.parse_args(argv)
    directory, began = arguments.directory.resolve(), time.monotonic()
    try:
        workspace = Workspace(work_dir=str(directory))
        there = {summary.name.rsplit("/", 1)[-1] for summary in workspace.list_stacks()}
        if arguments.base not in there:
            raise SettingsError(f"there is no stack {arguments.base}; make it: pulumi stack init {arguments.base}")
        base = automation.Stack.select(arguments.base, workspace)
        names = device_stacks(base, directory)
        # The base reads what each of them issued, so that all of them have to be there.
        with ThreadPoolExecutor(arguments.jobs) as pool:
            list(pool.map(workspace.create_stack, [name for name in names if name not in there]))
        others = [automation.Stack.select(name, workspace) for name in names]
    except (automation.CommandError, FileNotFoundError, SettingsError) as error:
        sys.stderr.write(f"error: {str(error).strip()}\n")
        return 2
    runs = operate(arguments.verb, base, others, arguments.jobs)
    seconds = round(time.monotonic() - began, 1)
    if arguments.json:
        sys.stdout.write(json.dumps({"seconds": seconds, "runs": [asdict(run) for run in runs]}, indent=2) + "\n")
    return 1 if _failed(runs) else 0


if __name__ == "__main__":
    sys.exit(main())
