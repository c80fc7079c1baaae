"""mosquitto as a bridge on the device: a local broker that keeps what it is given and passes it on to AWS IoT."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator

from bench.laboratory import AGENT, CERTIFICATE, KEEP_ALIVE, KEY, ROOTS, Laboratory
from lab.path import hosts

PORT = 1883
LOCAL_TOPIC = "bench"
EVERY_CHANGE = ("autosave_on_changes true", "autosave_interval 1")
"""Nearest to durable: the whole database is written and synced after each round of its loop in which it changed. The
publisher's PUBACK does not wait for that."""
DEFAULT = ("autosave_interval 1800",)
"""mosquitto's own default (mosquitto.conf(5)): what came in the last half hour is lost with the power."""
_IN_FLIGHT = 100


def configuration(laboratory: Laboratory, device: str, saving: tuple[str, ...]) -> str:
    """Write mosquitto's configuration.

    Args:
        device: The device, as which it connects.
        saving: `EVERY_CHANGE` or `DEFAULT`.
    """
    return "\n".join(
        [
            f"listener {PORT} 127.0.0.1",
            "allow_anonymous true",
            "user root",
            "persistence true",
            f"persistence_location {laboratory.disk}/",
            f"persistence_file {device}.db",
            *saving,
            # The service's own limit, and no other.
            f"max_inflight_messages {_IN_FLIGHT}",
            "max_queued_messages 0",
            "log_dest stderr",
            "log_type error",
            "log_type warning",
            "connection aws-iot",
            f"address {laboratory.endpoint}:8883",
            f"bridge_cafile {ROOTS}",
            f"bridge_certfile {CERTIFICATE}",
            f"bridge_keyfile {KEY}",
            "bridge_protocol_version mqttv311",
            f"remote_clientid {device}",
            "cleansession false",
            "try_private false",
            "notifications false",
            "bridge_attempt_unsubscribe false",
            f"keepalive_interval {KEEP_ALIVE}",
            "restart_timeout 1 5",
            f'topic {LOCAL_TOPIC} out 1 "" {laboratory.topic(device, "")}',
            "",
        ]
    )


@contextlib.contextmanager
def running(laboratory: Laboratory, device: str, saving: tuple[str, ...]) -> Iterator[int]:
    """Run the bridge on a device while the block runs; its database is new.

    Yields:
        Its process number inside the host.
    """
    (laboratory.disk / f"{device}.db").unlink(missing_ok=True)
    laboratory.write(device, "/etc/bench/mosquitto.conf", configuration(laboratory, device, saving))
    # Its first line is its number inside the host.
    argv = ["sh", "-c", "echo $$; exec mosquitto -c /etc/bench/mosquitto.conf"]
    process = subprocess.Popen(
        hosts.command(laboratory.lab, device, argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    pid = int(process.stdout.readline() if process.stdout else 0)
    try:
        yield pid
    finally:
        # It writes its database before it ends, and holds its port until then.
        hosts.run(laboratory.lab, device, ["kill", str(pid)])
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


@contextlib.contextmanager
def agents_broker(laboratory: Laboratory, device: str) -> Iterator[None]:
    """Run the broker of `device-agent mqtt enable`, with the agent as its client, while the block runs."""
    store = laboratory.disk / f"mosquitto-{device}"
    store.mkdir(parents=True)
    words = f"printf '[mqtt]\\npublish = [\"{LOCAL_TOPIC}\"]\\n' > /etc/private-iot/agent.toml"
    laboratory.run(device, "sh", "-euc", words)
    laboratory.run(device, "sh", "-euc", f"chown mosquitto {store}; mount --bind {store} /var/lib/mosquitto")
    try:
        laboratory.run(device, "device-agent", "mqtt", "enable")
        laboratory.wait_connected(device)
        yield
    finally:
        laboratory.run(device, "rm", "/etc/private-iot/agent.toml")
        laboratory.run(device, "device-agent", "mqtt", "disable")
        laboratory.run(device, "systemctl", "stop", "mosquitto", AGENT)
        laboratory.run(device, "umount", "/var/lib/mosquitto")
        shutil.rmtree(store)
