"""Run the gateway: ``python -m lab.path.gateway --table FILE --broker-socket PATH [--control PATH]``.

SIGHUP reads the table again; SIGTERM and SIGINT end the gateway.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from lab.path.gateway import control
from lab.path.gateway.limits import DENIED_PUBLISH, PUBLISHES_PER_SECOND, DeniedPublish
from lab.path.gateway.server import Gateway
from lab.path.gateway.table import TableError
from lab.path.gateway.tls import ALPN_PORT, MQTT_PORT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab.path.gateway",
        description="AWS IoT's front: TLS with registered client certificates, IoT policies, MQTT 3.1.1 and 5.",
        epilog="SIGHUP reads the table again. Events are JSON lines on standard error.",
    )
    parser.add_argument("--table", type=Path, required=True, help="JSON: endpoint, listeners, certificates, policies")
    parser.add_argument(
        "--broker-socket", type=Path, required=True, help="unix socket of the mosquitto behind the gateway"
    )
    parser.add_argument("--control", type=Path, help="unix socket for status and disconnect")
    parser.add_argument(
        "--provisioning-socket", type=Path, help="unix socket where fleet provisioning's requests are answered"
    )
    parser.add_argument("--port", type=int, default=MQTT_PORT, help="MQTT port of every listener (%(default)s)")
    parser.add_argument("--alpn-port", type=int, default=ALPN_PORT, help="port that asks for ALPN (%(default)s)")
    parser.add_argument(
        "--denied-publish",
        type=DeniedPublish,
        default=DENIED_PUBLISH,
        choices=list(DeniedPublish),
        metavar="puback|disconnect",
        help=f"what MQTT 5 gets for a denied QoS 1 publish ({DENIED_PUBLISH.value})",
    )
    parser.add_argument(
        "--publishes-per-second",
        type=int,
        metavar="N",
        help=f"enforce AWS's quota a connection ({PUBLISHES_PER_SECOND} there; not enforced without this option)",
    )
    return parser


async def _run(arguments: argparse.Namespace) -> None:
    gateway = Gateway(
        arguments.table,
        arguments.broker_socket,
        denied_publish=arguments.denied_publish,
        publishes_per_second=arguments.publishes_per_second,
        ports=(arguments.port, arguments.alpn_port),
        provisioning_socket=arguments.provisioning_socket,
    )
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()  # asyncio itself keeps no task alive

    def reload() -> None:
        task = loop.create_task(gateway.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await gateway.start()
    server = await control.serve(gateway, arguments.control) if arguments.control else None
    gateway.journal.write("started", listeners=[listener.address for listener in gateway.table.listeners])
    await ended.wait()
    if server is not None:
        server.close()
        arguments.control.unlink(missing_ok=True)
    gateway.stop()


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGTERM.

    Returns:
        0, or 2 when the table cannot be used.
    """
    arguments = _parser().parse_args(argv)
    with contextlib.suppress(KeyboardInterrupt):
        try:
            asyncio.run(_run(arguments))
        except TableError as error:
            print(f"gateway: {error}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
