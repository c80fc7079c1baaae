"""Runs commands side by side: `side_by_side.py NAME=COMMAND NAME=COMMAND`.

Every line of theirs follows its command's name. Ends when the last one has ended, with 1 if one failed.
"""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

_WRITING = threading.Lock()


def run(name: str, command: str) -> int:
    """Run a command in a shell and repeat its lines as they come; return its exit code."""
    process = subprocess.Popen(
        ["sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    with process:
        for line in process.stdout or ():
            with _WRITING:
                sys.stdout.write(f"{name} | {line.rstrip()}\n")
                sys.stdout.flush()
    return process.returncode


def main(words: list[str]) -> int:
    """Run all of them at once."""
    commands = dict(word.partition("=")[::2] for word in words)
    with ThreadPoolExecutor(len(commands)) as pool:
        codes = dict(zip(commands, pool.map(run, commands, commands.values()), strict=True))
    failed = [f"{name} ended with {code}" for name, code in codes.items() if code]
    if failed:
        sys.stderr.write(f"{', '.join(failed)}\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
