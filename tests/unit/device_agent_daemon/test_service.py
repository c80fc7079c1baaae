"""What systemd, people and programs are told: notifications, the certificate's end, the status, exit codes.

It cannot prove what systemd makes of it: the path tier runs the unit in a stand-in, a Pi in systemd itself.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from device_agent.__main__ import main
from device_agent.commands.metrics import lines
from device_agent.commands.status import screen, troubles
from device_agent.daemon.certificate_watch import validity
from device_agent.daemon.notify import Notifier
from device_agent.daemon.queue import Queue

from tests.path.gateway.authority import Authority
from tests.unit.device_agent_daemon.machine import Machine, make_machine, put

NOW = 1_800_000_000.0


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return make_machine(tmp_path)


def listening(address: str) -> socket.socket:
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(address)
    receiver.settimeout(5)
    return receiver


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp())
    yield made
    shutil.rmtree(made)


def test_systemd_is_told_of_readiness_status_life_and_the_end(folder: Path) -> None:
    with listening(str(folder / "n")) as receiver:
        notifier = Notifier({"NOTIFY_SOCKET": str(folder / "n"), "WATCHDOG_USEC": "60000000"})
        notifier.ready()
        notifier.status("two\nlines")
        notifier.alive()
        notifier.stopping()
        assert [receiver.recv(100) for _ in range(4)] == [b"READY=1", b"STATUS=two lines", b"WATCHDOG=1", b"STOPPING=1"]
        assert notifier.watchdog == 60
        notifier.close()


def test_an_abstract_socket_is_understood() -> None:
    name = f"private-iot-test-{os.getpid()}"
    with listening(f"\0{name}") as receiver:
        notifier = Notifier({"NOTIFY_SOCKET": f"@{name}"})
        notifier.ready()
        notifier.close()
        assert receiver.recv(100) == b"READY=1"


def test_without_systemd_nothing_is_sent_and_no_watchdog_is_due() -> None:
    notifier = Notifier({})
    notifier.ready()
    assert notifier.watchdog is None


def test_another_processs_watchdog_is_not_ours() -> None:
    assert Notifier({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).watchdog is None


def test_a_systemd_that_has_gone_does_not_end_the_agent(folder: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(folder / "gone")})
    notifier.ready()
    notifier.close()


def test_the_writers_stall_is_seen_and_its_idleness_is_not_one(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    queue = Queue(machine, tmp_path / "state/queue.sqlite3")
    try:
        put(queue)
        machine.pass_time(3600)
        assert queue.stalled_for() == 0
        stuck, go_on = threading.Event(), threading.Event()

        def hold(_answer: object) -> None:
            stuck.set()
            go_on.wait(20)

        queue.requeue_dead_letters(hold)
        assert stuck.wait(20)
        machine.pass_time(45)
        assert queue.stalled_for() == 45
        go_on.set()
    finally:
        queue.close()
    assert queue.stalled_for() == float("inf"), "a writer that has died looks alive"


@pytest.mark.parametrize(
    ("days", "left", "word"), [(300, 299, None), (31, 30, None), (30, 29, "has 29 days left"), (-1, -2, "expired on")]
)
def test_the_end_of_a_certificate_is_announced_thirty_days_ahead(
    tmp_path: Path, days: int, left: int, word: str | None
) -> None:
    pem = Authority(tmp_path).issue("pi-1", days=days).pem
    # A second later than the certificate was made, so that whole days are one fewer.
    now = (datetime.now(UTC) + timedelta(seconds=60)).timestamp()
    found = validity(pem, "/etc/private-iot/certificate.pem", now)
    assert found.days_left == left
    assert (found.warning is None) if word is None else (word in str(found.warning))


def status_of_a_running_agent() -> dict[str, Any]:
    return {
        "running": True,
        "device": "pi-1",
        "startedAt": "2026-11-24T08:00:00+00:00",
        "tunnel": {
            "alive": True,
            "reason": "through tun0, the VPC's resolver answers",
            "since": "2026-11-24T08:00:01+00:00",
            "interface": "tun0",
            "address": "172.31.0.2",
            "restarts": 1,
            "error": None,
        },
        "connection": {
            "connected": True,
            "since": "2026-11-24T08:00:02+00:00",
            "endpoint": "a-ats.iot.ap-northeast-1.amazonaws.com",
            "vpcEndpointId": "vpce-1",
            "addresses": ["10.0.1.105"],
            "connections": 2,
            "lastError": None,
            "lastErrorAt": None,
        },
        "queue": {
            "depth": 3,
            "bytes": 300,
            "inFlight": 2,
            "sent": 40,
            "refused": 1,
            "deadLetters": 1,
            "droppedBySize": 5,
            "droppedByAge": 6,
            "received": 7,
            "receivedDropped": 8,
            "lastRefusal": "pi-1/x: not authorized",
            "error": None,
        },
        "certificates": [
            {"file": "/etc/private-iot/certificate.pem", "days_left": 29, "expires": "2026-12-23", "warning": "soon"}
        ],
    }


def test_the_status_is_one_screen() -> None:
    assert screen(status_of_a_running_agent()) == [
        "device       pi-1, agent running since 2026-11-24T08:00:00+00:00",
        "tunnel       up, tun0 172.31.0.2, since 2026-11-24T08:00:01+00:00",
        "             through tun0, the VPC's resolver answers",
        "             1 restart(s) by the agent",
        "endpoint     a-ats.iot.ap-northeast-1.amazonaws.com through vpce-1",
        "addresses    10.0.1.105",
        "connected    since 2026-11-24T08:00:02+00:00, connection 2",
        "queue        3 waiting (300 bytes), 2 of them in flight",
        "sent         40",
        "refused      1, 1 kept as dead letters",
        "dropped      5 to make room, 6 for their age",
        "received     7 wait for a local program, 8 dropped",
        "last error   none",
        "             pi-1/x: not authorized",
        "certificate  29 days left (/etc/private-iot/certificate.pem, until 2026-12-23)",
        "attention    soon",
    ]


def test_what_needs_attention_is_picked_out() -> None:
    status = status_of_a_running_agent()
    status["queue"]["error"] = "the disk is full"
    status["tunnel"]["error"] = "it cannot be restarted"
    assert troubles(status) == ["the disk is full", "it cannot be restarted", "soon"]


def test_status_without_an_agent_ends_with_3_and_says_so(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--json"], machine) == 3
    output = capsys.readouterr()
    assert json.loads(output.out) == {"running": False, "certificates": []}
    assert output.err.startswith("device-agent: no agent is running (")
    assert main(["status"], machine) == 3
    assert capsys.readouterr().out == "agent        not running\n"


def test_metrics_are_in_prometheuss_text_format() -> None:
    status = status_of_a_running_agent()
    status["tunnel"]["alive"] = None
    status["queue"]["error"] = "the disk is full"
    text = list(lines(status))
    assert 'private_iot_certificate_days_left{file="/etc/private-iot/certificate.pem"} 29' in text
    assert "private_iot_queue_error 1" in text
    assert "private_iot_tunnel_error 0" in text
    assert not [line for line in text if "tunnel_alive" in line], "what is not known is not told"
    form = r"# (HELP [a-z_]+ .+|TYPE [a-z_]+ (gauge|counter))|[a-z_]+(\{file=\".*\"\})? -?\d+"
    assert [line for line in text if not re.fullmatch(form, line)] == []


def local_broker(**more: Any) -> dict[str, Any]:
    counts = {"queued": 7, "refused": 2, "dropped": 1, "published": 5}
    return {"connected": True, "since": 1.0, "lastError": None, "waiting": 0, "held": None, **counts, **more}


GATEWAY = {
    "lan": "eth1",
    "allowed": "192.168.7.0/25",
    "loaded": True,
    "neighbours": [{"address": "192.168.7.20", "packets": 9, "bytes": 900}],
    "to_vpc": (9, 900),
    "from_vpc": (8, 800),
}


def test_the_status_shows_the_local_broker_and_the_gateway() -> None:
    shown = screen(status_of_a_running_agent() | {"localBroker": local_broker(), "gateway": GATEWAY})
    rows = [line for line in shown if line not in screen(status_of_a_running_agent())]
    assert rows == [
        "broker       connected; 0 wait for the queue",
        "             7 queued, 5 published, 2 refused, 1 dropped",
        "gateway      for 192.168.7.0/25 of eth1: 9 packets (900 bytes) out, 8 (800 bytes) back",
        "             192.168.7.20: 9 packets (900 bytes) out",
    ]


def test_a_broker_that_is_away_or_held_back_needs_attention() -> None:
    status = status_of_a_running_agent()
    before = troubles(status)
    assert troubles(status | {"localBroker": local_broker()}) == before
    status["localBroker"] = local_broker(connected=False, lastError="connection refused", waiting=3, held="it is full")
    assert [text for text in troubles(status) if text not in before] == [
        "the local MQTT broker: connection refused",
        "the local MQTT broker: nothing is acknowledged: it is full",
    ]
    assert "broker       NOT CONNECTED: connection refused; 3 wait for the queue" in screen(status)


def test_metrics_tell_of_the_local_broker_and_of_the_gateway() -> None:
    plain = list(lines(status_of_a_running_agent()))
    told = {"localBroker": local_broker(connected=False, held="it is full"), "gateway": GATEWAY}
    more = [line for line in lines(status_of_a_running_agent() | told) if line not in plain]
    values = dict(line.removeprefix("private_iot_").split() for line in more if not line.startswith("#"))
    assert values == {
        "broker_connected": "0",
        "broker_held": "1",
        "broker_waiting": "0",
        "broker_queued_total": "7",
        "broker_published_total": "5",
        "broker_refused_total": "2",
        "broker_dropped_total": "1",
        "gateway_neighbours": "1",
        "gateway_to_vpc_packets_total": "9",
        "gateway_to_vpc_bytes_total": "900",
        "gateway_from_vpc_packets_total": "8",
        "gateway_from_vpc_bytes_total": "800",
    }
    assert len(more) == 3 * len(values), "each with its help and its type"


def test_what_only_root_can_read_of_a_gateway_is_not_told_as_none() -> None:
    unread = {"localBroker": None, "gateway": GATEWAY | {"loaded": False, "neighbours": [], "to_vpc": (0, 0)}}
    assert list(lines(status_of_a_running_agent() | unread)) == list(lines(status_of_a_running_agent()))


def test_metrics_without_an_agent_say_that_it_is_down_and_replace_the_file(
    machine: Machine, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["metrics"], machine) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "private_iot_up 0"
    file = tmp_path / "private-iot.prom"
    file.write_text("old")
    assert main(["metrics", "--output", str(file)], machine) == 0
    assert file.read_text().endswith("private_iot_up 0\n")
    assert [item.name for item in tmp_path.glob("*.prom*")] == ["private-iot.prom"]
    assert main(["metrics", "--output", str(tmp_path / "nowhere/x.prom")], machine) == 2


def test_run_without_an_installation_ends_with_2_and_one_line(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run"], machine) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["publish"], "publish needs a topic"),
        (["publish", "t", "x", "--lines"], "--lines takes the messages from standard input"),
    ],
)
def test_a_publish_that_makes_no_sense_is_refused_in_one_line(
    machine: Machine, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    assert main(arguments, machine) == 2
    assert line in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--queue-mib", "0"], ["--queue-days", "0"]])
def test_an_option_of_an_earlier_release_is_checked_like_the_setting_that_it_became(
    machine: Machine, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(["run", *arguments], machine) == 2
    assert "device-agent: /etc/private-iot/agent.toml: queue.max_" in capsys.readouterr().err
