"""The server's process: ``python -m lab.cloud --directory DIR [--port N]``."""

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import make_server

from lab.cloud import extensions
from lab.cloud.application import Application
from lab.cloud.authority import Authority
from lab.cloud.files import write_atomically
from lab.cloud.server import STATE_FILE

HOST = "127.0.0.1"


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT.

    Args:
        argv: the arguments without the program's name; ``sys.argv[1:]`` by default.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(
        prog="python -m lab.cloud",
        description="Serve AWS's APIs on 127.0.0.1. Point AWS_ENDPOINT_URL at the url in DIR/server.json.",
    )
    parser.add_argument("--directory", type=Path, required=True, help="where server.json and the root certificate go")
    parser.add_argument("--port", type=int, default=0, help="TCP port; a free one by default")
    arguments = parser.parse_args(argv)
    directory: Path = arguments.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    extensions.register(Authority.load_or_create(directory / "authority"))
    server = make_server(HOST, arguments.port, Application(), threaded=True, request_handler=MotoRequestHandler)
    state = {"url": f"http://{HOST}:{server.server_port}", "pid": os.getpid()}
    # shutdown() waits for serve_forever(), which runs in this thread: the signal's handler must not be the one to wait.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    write_atomically(directory / STATE_FILE, json.dumps(state).encode() + b"\n", mode=0o600)
    try:
        server.serve_forever()
    finally:
        (directory / STATE_FILE).unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
