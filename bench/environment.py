"""The peers' own Python environment: made by the benchmark and kept in the cache, apart from the project's packages."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from bench.errors import BenchError
from lab.report import Report
from lab.state import cache_home

REQUIREMENTS = Path(__file__).parent / "peers" / "requirements.txt"
_STAMP = "requirements.sha256"
_TIMEOUT = 300.0


def peers_python(report: Report) -> Path:
    """Return the interpreter of the peers' environment; it is made when it is not there as the requirements have it.

    Raises:
        BenchError: It cannot be made, such as without a network.
    """
    directory = cache_home() / "bench-peers"
    wanted = hashlib.sha256(f"{sys.version}\n{REQUIREMENTS.read_text()}".encode()).hexdigest()
    stamp = directory / _STAMP
    python = directory / "bin" / "python"
    if not (stamp.is_file() and stamp.read_text() == wanted and python.exists()):
        with report.step("installing the peers into an environment of their own"):
            shutil.rmtree(directory, ignore_errors=True)
            _run(sys.executable, "-m", "venv", str(directory))
            _run(str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(REQUIREMENTS))
            stamp.write_text(wanted)
    return python


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_TIMEOUT)
    if done.returncode != 0:
        raise BenchError(f"the peers cannot be installed: {(done.stderr or done.stdout).strip()[-400:]}")
