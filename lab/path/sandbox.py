"""The one process that owns a lab's network: number 1 of its own process and mount namespaces.

``unshare … python -m lab.path.sandbox`` runs it. It stays in the machine's network namespace, since the cloud answers
on a loopback port there, and makes every other namespace below its own; when it ends, for whatever reason, the kernel
ends and frees all of it. It answers questions on the socket of `lab.path.control`.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.path import build, control, network, processes, provisioning, sandbox_paths, status, wall_clock
from lab.path.addresses import AddressError
from lab.path.certificates import Authority
from lab.path.connections import Connections
from lab.path.faults import Faults
from lab.path.live import LiveNetwork
from lab.path.network import CommandError
from lab.path.publications import Publications
from lab.path.services import ServiceError
from lab.path.site import Site


class Sandbox:
    def __init__(self, live: LiveNetwork) -> None:
        self.live = live
        self.connections = Connections(live)
        self.faults = Faults(live)
        self.ended = asyncio.Event()

    async def answer(self, question: dict[str, Any]) -> Any:
        """Answer one question.

        Raises:
            LabError: It cannot be done.
        """
        match question.get("command"):
            case "hosts":
                return {name: host.kind for name, host in self.live.hosts.items()}
            case "sync":
                async with self.live.lock:
                    site = question.get("site")
                    self.live.site = Site.of(site) if site else self.live.site
                    return await build.sync(self.live, question.get("url"), question.get("region"))
            case "status":
                await self.connections.poll()
                return await status.describe(self.live, self.connections, self.faults.active())
            case "latest":
                return await asyncio.to_thread(status.latest)
            case "fault":
                return await self.faults.start(question["name"], float(question["seconds"]))
            case "faults":
                return self.faults.active()
            case "end-fault":
                return await self.faults.end(question["name"])
            case "follow-clock":
                async with self.live.lock:
                    return await wall_clock.follow(self.live)
            case "down":
                self.ended.set()
                return None
            case other:
                raise LabError(f"the network does not know the command {other!r}")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                try:
                    answer: dict[str, Any] = {"result": await self.answer(json.loads(line))}
                except (LabError, AddressError, CommandError, ServiceError) as error:
                    answer = {"error": str(error)}
                except Exception as error:  # noqa: BLE001 (whoever asks must hear of every failure)
                    answer = {"error": f"{type(error).__name__}: {error}"}
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        writer.close()


async def _main(arguments: argparse.Namespace) -> None:
    processes.handle_children()
    sandbox = Sandbox(LiveNetwork(arguments.directory, Authority(arguments.authority)))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, sandbox.ended.set)
    server = await asyncio.start_unix_server(sandbox.serve, sock=control.listen(arguments.directory))
    provisioner = await provisioning.serve(sandbox.live)
    watches = [
        asyncio.create_task(sandbox.connections.watch()),
        asyncio.create_task(sandbox.connections.watch_terminations()),
        asyncio.create_task(Publications(sandbox.live).watch()),
    ]
    await sandbox.ended.wait()
    for watch in watches:
        watch.cancel()
    server.close()
    provisioner.close()
    await sandbox.connections.close()


def main() -> None:
    """Serve until `down`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, required=True, help="the lab's path directory")
    parser.add_argument("--authority", type=Path, required=True, help="the folder with root-ca.pem and root-ca.key")
    arguments = parser.parse_args()
    # A temporary file system takes everything that is made below: nothing is left when this process ends.
    network.command(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"])
    sandbox_paths.HOSTS.mkdir(parents=True)
    (arguments.directory / "log").mkdir(exist_ok=True)
    asyncio.run(_main(arguments))
    sys.exit(0)


if __name__ == "__main__":
    main()
