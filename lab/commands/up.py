"""``python -m lab up``."""

import argparse
import shutil
import time
from pathlib import Path

from lab.cloud import server
from lab.cloud.server import CloudServer, CloudServerError
from lab.engine import CHECKOUT, STACK, Engine, PluginSource, Program, find_or_build
from lab.errors import LabError
from lab.invocation import typed
from lab.passing import stack_file
from lab.path import lifecycle, preflight
from lab.path.site import Site
from lab.report import Report
from lab.state import Lab

HELP = """\
start the lab: the cloud, the program's `pulumi up`, the network

Each part is left alone where it already runs, so `up` again brings a lab to the program's present state. The program is
this project's own, or with --program any Pulumi project of yours that uses its components (or plain pulumi-aws within
what the lab's cloud serves); `python -m lab init DIR` lets the lab run it.

  --only cloud    AWS's APIs on a loopback port, the plugins and an empty stack named `lab`; run pulumi yourself
                  in the shell that `eval "$(python -m lab env)"` makes
  --only engine   that and `pulumi up`, but no network; needs no privileges

Where PATH has no `pulumi` that is recent enough, it is downloaded the first time, or built from source in minutes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--program", type=Path, metavar="DIR", help="folder of a Pulumi project of your own")
    parser.add_argument("--stack", metavar="NAME", help=f"which stack of it (default: {STACK})")
    parser.add_argument("--region", help="the Region whose network is built (default: aws:region of the stack's file)")
    add_lab_arguments(parser)


def add_lab_arguments(parser: argparse.ArgumentParser, *, site: bool = True) -> None:
    """Declare the options that have nothing to do with the program; without that of a site where `site` is false."""
    parser.add_argument("--only", choices=("cloud", "engine"), help="stop after this part")
    parser.add_argument(
        "--plugins",
        choices=[source.value for source in PluginSource],
        default=PluginSource.STANDIN.value,
        help="Pulumi's aws and tls plugins: the lab's stand-ins, which its tests run, or the vendor's, some 700 MB to "
        "download (default: standin)",
    )
    if site:
        parser.add_argument(
            "--site",
            type=_site,
            metavar="GATEWAY[=NEIGHBOUR,…]",
            help="put these devices, and a sensor, into a LAN whose way out is the gateway; this project's own program "
            "makes them, the neighbours without a tunnel (default: every device has a home of its own)",
        )
    parser.add_argument(
        "--port", type=_port, default=0, help="TCP port of the cloud on 127.0.0.1 (default: a free one)"
    )


def run(arguments: argparse.Namespace, lab: Lab, report: Report) -> int:
    """Start what is not running.

    Returns:
        0, or Pulumi's exit code where `pulumi up` failed.

    Raises:
        LabError: A part cannot be started.
    """
    started = time.monotonic()
    program = chosen_program(lab, arguments.program, arguments.stack, arguments.region)
    program.require_stack_file()
    program.require_environment()
    if arguments.only is None:
        # What the machine lacks is said before anything is started.
        preflight.require(lab)
    lab.create()
    with lab.locked():
        program.remember(lab)
        pulumi = find_or_build(report)
        cloud = _start_cloud(lab, arguments.port, report)
        engine = Engine(lab, pulumi, cloud.url, program)
        with report.step("providing the plugins and the stack"):
            engine.prepare(PluginSource(arguments.plugins), report)
        report.say(f"lab {lab.name!r}: AWS's APIs at {cloud.url}, {arguments.plugins} plugins, stack `{program.stack}`")
        if arguments.only != "cloud":
            with report.step("pulumi up"):
                config = _config_file(engine, program, arguments.site)
                code = engine.show("up", "--stack", program.stack, "--yes", "--skip-preview", *config)
                if code != 0:
                    raise LabError(f"`pulumi up` ended with {code}; what it said is above")
        if arguments.only is None:
            lifecycle.up(lab, engine.region, cloud.url, report, arguments.site)
    report.say(f"ready in {time.monotonic() - started:.1f} s")
    if arguments.only is None:
        demo = f"{typed(lab, 'demo')}, or " if program == Program() else ""
        report.say(f"next: {demo}{typed(lab, 'exec', '--', 'COMMAND')} on a device's host")
    else:
        report.say(f'next: eval "$({typed(lab, "env")})" && pulumi up --stack {program.stack}')
    return 0


def chosen_program(lab: Lab, directory: Path | None, stack: str | None, region: str | None) -> Program:
    """Return the program that is meant: the lab's own where none is named.

    Raises:
        LabError: It is no Pulumi project, or a name cannot be one.
    """
    there = Program.remembered(lab)
    if directory is None and there is not None:
        return Program.of(there.directory, stack=stack or there.stack, region=region or there.region)
    return Program.of(directory or CHECKOUT, stack=stack, region=region)


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is not a TCP port: 1 to 65535, or 0 for a free one")
    return port


def _config_file(engine: Engine, program: Program, site: Site | None) -> list[str]:
    """Return Pulumi's option for a stack file with the site's devices, once this project's own program has had one."""
    own = engine.lab.engine_directory / f"Pulumi.{STACK}.yaml"
    if program == Program() and site:
        own = stack_file(engine, site.gateways, {"neighbours": [*site.neighbours]})
    return ["--config-file", str(own)] if own.exists() else []


def _site(text: str) -> Site:
    try:
        return Site.parse(text)
    except LabError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _start_cloud(lab: Lab, port: int, report: Report) -> CloudServer:
    cloud = server.running(lab.cloud_directory)
    if cloud is not None:
        return cloud
    state = lab.engine_directory / "state"
    if state.exists():
        # The cloud's resources lived in the ended process's memory: a state that names them would be about nothing.
        report.say("the cloud of an earlier run is gone, and the stack's state is dropped with it")
        shutil.rmtree(state)
    try:
        with report.step("starting the cloud"):
            return server.start(lab.cloud_directory, port=port)
    except CloudServerError as error:
        raise LabError(str(error)) from error
