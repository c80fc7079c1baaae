"""What a process of a lab's host has cost so far, as the kernel counts it."""

from dataclasses import dataclass

from bench.laboratory import Laboratory
from bench.summary import cpu_used


@dataclass(frozen=True)
class Cost:
    """What a process has cost up to a moment.

    Attributes:
        threads: Processor time of each thread in nanoseconds, user and system (proc(5), ``schedstat``); the usual ticks
            of 10 ms are as long as what an idle client uses in many seconds.
        written: Bytes of the pages that it made dirty, and which the disk will get (proc(5), ``write_bytes``): whole
            pages of 4,096 bytes, as the file system writes them. Its journal comes on top.
    """

    threads: dict[int, int]
    written: int

    def processor_time_since(self, before: "Cost") -> int:
        """Return the processor time used since then, in nanoseconds."""
        return cpu_used(before.threads, self.threads)


def cost(laboratory: Laboratory, host: str, pid: int) -> Cost:
    """Read what a process has cost.

    Args:
        host: In which it runs.
        pid: Its number there.
    """
    words = (
        f"cd /proc/{pid} && grep ^write_bytes: io && cd task &&"
        " for thread in *; do echo $thread $(cat $thread/schedstat); done"
    )
    written, *lines = laboratory.run(host, "sh", "-c", words).splitlines()
    threads = {int(fields[0]): int(fields[1]) for fields in map(str.split, lines) if len(fields) > 1}
    return Cost(threads, int(written.split()[1]))


def memory(laboratory: Laboratory, host: str, pid: int, field: str) -> int:
    """Return a line of a process's ``/proc/PID/status`` in bytes.

    Args:
        field: ``VmRSS``, ``VmHWM``.
    """
    text = laboratory.run(host, "grep", f"^{field}:", f"/proc/{pid}/status")
    return int(text.split()[1]) * 1024
