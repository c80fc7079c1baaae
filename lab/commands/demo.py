"""``python -m lab demo``."""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from lab.cloud import server
from lab.commands import up
from lab.demo import picture, plain_client
from lab.engine import CHECKOUT, STACK, Engine, find_or_build
from lab.errors import LabError
from lab.invocation import typed
from lab.path import hosts, lifecycle
from lab.path.site import GATEWAY_INTERFACE, SENSOR, Site, devices_network
from lab.report import Report
from lab.sensor import client_options, open_broker
from lab.state import Lab

HELP = """\
show the whole path at work, then leave the lab running

The cloud, `pulumi up`, the network, `device-agent install`, `doctor`, `pubsub` with the walk-through's transcript, the
ping that shows the private address, the attempt over the internet that is refused, and a picture of the path.

With --site the device becomes the gateway of a LAN: two neighbours without a tunnel get to AWS IoT through it, and a
sensor that has only mosquitto_pub publishes at its broker."""

DEVICE = "pi-1"
SITE = Site((DEVICE,), ("pi-2", "pi-3"))
_AGENT = "private-iot-agent"
_TUNNEL = "openvpn-client@clientvpn"
_TIMEOUT = 120.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    up.add_lab_arguments(parser, site=False)
    parser.add_argument("--site", action="store_const", const=SITE, help="show a site as well")
    # The demonstration is of this project's own program.
    parser.set_defaults(only=None, program=CHECKOUT, stack=None, region=None)
    parser.add_argument("--json", action="store_true", help="print the times of the stages as one JSON object")


class _Demonstration:
    """One run: each stage has a title, what the device printed, and the time it took."""

    def __init__(self, lab: Lab, report: Report, *, quiet: bool) -> None:
        self.lab = lab
        self.report = report
        self.quiet = quiet
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Announce a stage and time it."""
        self.report.say(f"\n── {title}")
        started = time.monotonic()
        yield
        self.seconds[title] = round(time.monotonic() - started, 2)

    def device(
        self,
        *argv: str,
        input: str | None = None,  # noqa: A002 - subprocess's own word
        expected: int | None = 0,
        host: str = DEVICE,
    ) -> str:
        """Run a command on the device and show what it prints as it prints it.

        Args:
            input: Its standard input; never shown.
            host: Another host.
            expected: The exit code that it has to have; None takes any.

        Returns:
            What it printed on standard output.

        Raises:
            LabError: It ended with another exit code.
        """
        shown = [Path(word).name if word.startswith("/") else word for word in argv]
        self.report.say(f"{host} $ {' '.join(shown)}")
        process = subprocess.Popen(
            hosts.command(self.lab, host, argv),
            stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if input is not None and process.stdin is not None:
            process.stdin.write(input)
            process.stdin.close()
        printed = []
        for line in process.stdout or ():
            printed.append(line)
            if not self.quiet:
                self.report.say("  " + line.rstrip("\n"))
        code = process.wait(_TIMEOUT)
        if expected is not None and code != expected:
            raise LabError(f"`{' '.join(shown)}` ended with {code} on {host}; what it said is above")
        return "".join(printed)


def run(arguments: argparse.Namespace, lab: Lab, report: Report) -> int:
    """Run the demonstration.

    Returns:
        0 if every hop was seen to work and the public way was seen refused.

    Raises:
        LabError: A stage failed.
    """
    show = _Demonstration(lab, report, quiet=report.quiet)
    with show.stage("the lab: AWS's APIs, pulumi up, the network"):
        up.run(arguments, lab, report)
    outputs = _outputs(lab, report)
    endpoint = outputs["iotEndpoint"]
    with show.stage("the device gets its bundle, as over ssh"):
        show.device("device-agent", "install", "-", input=json.dumps(outputs["devices"][DEVICE]))
    with show.stage("doctor: the path from the ground up"):
        show.device("device-agent", "doctor")
    with show.stage("ten messages go out and come back"):
        show.device("device-agent", "pubsub")
    with show.stage("the endpoint's usual name is a private address (it answers no ping, on AWS neither)"):
        show.device("ping", "-c", "1", "-W", "1", endpoint, expected=1)
    with show.stage("the tunnel off, the same certificate over the internet: refused"):
        show.device("systemctl", "stop", _AGENT, _TUNNEL)
        show.device("ping", "-c", "1", "-W", "1", endpoint)
        show.device(sys.executable, plain_client.__file__, endpoint, DEVICE, expected=1)
    with show.stage("the tunnel on again"):
        show.device("systemctl", "start", _TUNNEL, _AGENT)
        checks = _healthy(show)
    if arguments.site:
        _site(show, outputs)
    report.say("")
    for line in picture.draw(lifecycle.status(lab), checks, DEVICE):
        report.say(line)
    _summary(show, lab, report, as_json=arguments.json)
    return 0


def _site(show: _Demonstration, outputs: dict[str, Any]) -> None:
    hop = next(hop for hop in lifecycle.status(show.lab)["hops"] if hop["hop"] == "site")
    gateway = hop["gateways"][DEVICE]
    allow = str(devices_network(IPv4Network(f"{gateway}/24", strict=False)))
    with show.stage("the device becomes the gateway of its LAN"):
        show.device("device-agent", "gateway", "enable", "--lan", GATEWAY_INTERFACE, "--allow", allow)
    with show.stage("two neighbours without a tunnel"):
        for name in SITE.neighbours:
            words = ("device-agent", "install", "-", "--gateway", gateway)
            show.device(*words, input=json.dumps(outputs["devices"][name]), host=name)
            show.device("device-agent", "pubsub", host=name)
    with show.stage("a sensor that has only mosquitto_pub"):
        done = hosts.run(show.lab, DEVICE, open_broker(["sensors/#"]), timeout=_TIMEOUT)
        if done.returncode:
            raise LabError(f"the broker of {DEVICE} cannot be opened: {done.stderr}")
        for number in range(3):
            message = ("-t", "sensors/door", "-m", f"open {number}")
            show.device("mosquitto_pub", *client_options(gateway), *message, host=SENSOR)
        deadline = time.monotonic() + _TIMEOUT
        while _queued(show) < 3:
            if time.monotonic() > deadline:
                raise LabError(f"the sensor's messages did not come into the queue within {_TIMEOUT:.0f} s")
            time.sleep(0.5)
    with show.stage("what the gateway has carried"):
        show.device("device-agent", "status", expected=None)


def _queued(show: _Demonstration) -> int:
    shown = hosts.run(show.lab, DEVICE, ["device-agent", "status", "--json"], timeout=_TIMEOUT).stdout
    broker: dict[str, int] = json.loads(shown).get("localBroker") or {"queued": 0}
    return broker["queued"]


def _outputs(lab: Lab, report: Report) -> dict[str, Any]:
    cloud = server.running(lab.cloud_directory)
    if cloud is None:
        raise LabError(f"the cloud of lab {lab.name!r} has ended: see {lab.cloud_directory / 'server.log'}")
    engine = Engine(lab, find_or_build(report), cloud.url)
    done = engine.run("stack", "output", "--stack", STACK, "--json", "--show-secrets")
    if done.returncode != 0:
        raise LabError(f"`pulumi stack output` ended with {done.returncode}: {done.stderr.strip()}")
    outputs: dict[str, Any] = json.loads(done.stdout)
    return outputs


def _healthy(show: _Demonstration) -> list[dict[str, Any]]:
    """Ask the doctor until the tunnel is back, and return its checks."""
    deadline = time.monotonic() + _TIMEOUT
    while True:
        done = hosts.run(show.lab, DEVICE, ["device-agent", "doctor", "--json"], timeout=_TIMEOUT)
        found: dict[str, Any] = json.loads(done.stdout)
        if found["result"] == "healthy":
            checks: list[dict[str, Any]] = found["checks"]
            return checks
        if time.monotonic() > deadline:
            raise LabError(f"the path did not come back within {_TIMEOUT:.0f} s: {done.stdout}")


def _summary(show: _Demonstration, lab: Lab, report: Report, *, as_json: bool) -> None:
    report.say("")
    for title, seconds in show.seconds.items():
        report.say(f"  {seconds:6.1f} s  {title}")
    report.say(f"  {sum(show.seconds.values()):6.1f} s  in all")
    report.say("\nThe lab goes on. Try next:")
    report.say("  " + typed(lab, "exec", "--host", DEVICE, "--", "device-agent", "status"))
    report.say("  " + typed(lab, "fault", "vpn-killed", "--for", "20"))
    report.say("  " + typed(lab, "status"))
    report.say(f"and `{typed(lab, 'down')}` removes it, as `make demo-down` does with the default lab.")
    if as_json:
        json.dump(show.seconds, sys.stdout, indent=2)
        print()
