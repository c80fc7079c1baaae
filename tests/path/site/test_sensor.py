"""A sensor that has only mosquitto_pub, and the gateway's broker between it and AWS IoT.

mosquitto 2.0 acknowledges what it has in its memory: of what it acknowledged just before it was killed, and the agent
had not taken yet, nobody knows any more. So a sensor whose publishing failed begins again with its batch, as here.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.path.path_lab import wait_for

from .sensor import TOPIC, Arrivals, Batch, arrivals, client, open_to_sensor, publish
from .site import AGENT, GATEWAY, SENSOR, LabSite, running_site

pytestmark = pytest.mark.path

WHOLE, BATCH = 10_000, 500


@pytest.fixture(scope="module")
def site() -> Iterator[LabSite]:
    with running_site() as running:
        open_to_sensor(running)
        yield running


@pytest.fixture(scope="module")
def prefix(site: LabSite) -> str:
    found: str = site.house.bundle(GATEWAY)["topicPrefix"]
    return found


def status(site: LabSite) -> dict[str, object]:
    found: dict[str, object] = json.loads(site.run(GATEWAY, "device-agent", "status", "--json").stdout)
    return found


def broker(site: LabSite) -> dict[str, object]:
    found = status(site).get("localBroker")
    return found if isinstance(found, dict) else {"connected": False}


def metrics(site: LabSite) -> dict[str, str]:
    shown = site.do(GATEWAY, "device-agent", "metrics").splitlines()
    return dict(line.split() for line in shown if not line.startswith("#"))


def test_a_host_of_the_lan_without_a_password_publishes_nothing(site: LabSite) -> None:
    done = site.run(SENSOR, "mosquitto_pub", "-h", site.own[GATEWAY], "-q", "1", "-t", TOPIC, "-m", "x")
    assert done.returncode != 0
    assert "not authorised" in done.stderr


def test_what_aws_iot_sends_reaches_a_subscriber_in_the_lan(site: LabSite, prefix: str) -> None:
    listener = site.start(
        SENSOR, "stdbuf", "-oL", *client(site, "mosquitto_sub", "-t", "lamp/#", "-F", "%t %q %r %p", "-C", "1", "-d")
    )
    try:
        listener.wait_for("SUBACK")
        wait_for(lambda: site.run(GATEWAY, "device-agent", "status").returncode == 0, "the agent at both brokers")
        # What is sent before AWS IoT has taken the subscription is nobody's.
        publish_anew = threading.Event()
        data = site.house.aws.client("iot-data")

        def came() -> bool:
            data.publish(topic=f"{prefix}/commands/set", qos=1, payload=b"on")
            publish_anew.wait(2)
            return "lamp/set 1 0 on" in listener.text

        wait_for(came, "the command in the LAN")
    finally:
        listener.close()


def test_status_and_metrics_say_whether_the_broker_is_there(site: LabSite) -> None:
    wait_for(lambda: broker(site)["connected"], "the agent at the broker")
    assert "connected; 0 wait for the queue" in site.do(GATEWAY, "device-agent", "status")
    assert metrics(site)["private_iot_broker_connected"] == "1"
    with site.house.fault("mosquitto-killed"):
        wait_for(lambda: not broker(site)["connected"], "the loss of the broker")
        wait_for(lambda: broker(site).get("lastError"), "what is wrong with the broker")
        shown = site.run(GATEWAY, "device-agent", "status")
        assert shown.returncode == 1
        assert "NOT CONNECTED" in shown.stdout
        assert "attention    the local MQTT broker: " in shown.stdout
        assert metrics(site)["private_iot_broker_connected"] == "0"
    wait_for(lambda: broker(site)["connected"], "the broker's return")
    assert site.run(GATEWAY, "device-agent", "status").returncode == 0


def test_ten_thousand_messages_come_through_three_faults_and_a_killed_agent(
    site: LabSite, prefix: str, record_property: Callable[[str, object], None]
) -> None:
    def killed() -> bool:
        return not broker(site)["connected"]

    def off() -> bool:
        return GATEWAY in site.hop()["off"]

    def no_tunnel() -> bool:
        connection = status(site).get("connection")
        return isinstance(connection, dict) and not connection["connected"]

    faults: dict[int, tuple[str, Callable[[], bool]]] = {
        2_500: ("mosquitto-killed", killed),
        5_000: ("gateway-killed", off),
        7_500: ("tunnel-down", no_tunnel),
    }
    with arrivals(site, prefix) as came:
        for start in range(0, WHOLE, BATCH):
            numbers = range(start, start + BATCH)
            if start in faults:
                _publish_through(site, numbers, came, *faults[start])
            elif start == 9_000:
                batch = Batch(site, numbers)
                site.do(GATEWAY, "systemctl", "kill", "-s", "KILL", AGENT)
                assert batch.finish(120), "the broker takes what the agent is away for"
            else:
                publish(site, numbers)
        came.wait_for(range(WHOLE))
        count = came.count()
    assert set(count) == set(range(WHOLE)), "all, and nothing else"
    record_property("again", count.total() - WHOLE)


def _publish_through(site: LabSite, numbers: range, came: Arrivals, fault: str, has_begun: Callable[[], bool]) -> None:
    came.wait_for(range(numbers.start))
    batch = Batch(site, numbers)
    with site.house.fault(fault):
        wait_for(has_begun, f"{fault} in force")
    if not batch.finish():
        publish(site, numbers)
