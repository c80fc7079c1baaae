"""What a device comes through by itself, or doctor names: cables, addresses, wiped DNS, load, disks, upgrades.

It cannot prove what a Pi's wireless network or SD card do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.device.machine import words_of
from tests.device.pi import AGENT, AGENT_UNIT, TUNNEL, Pi, wait_for
from tests.path.agent_daemon.sandbox import Listener, say
from tests.path.walk_through_by_hand import inside_vpc

pytestmark = [pytest.mark.device, pytest.mark.slow, pytest.mark.timeout(1500)]


@contextmanager
def delivering(pi: Pi, count: int, seconds: float) -> Iterator[Listener]:
    """Expect so many messages at AWS IoT, so many seconds after the block at most."""
    listener = Listener()
    with listener.listening(pi.sandbox()):
        yield listener
        wait_for(lambda: len(listener.ids()) == count, f"{count} message(s)", seconds, pause=0.2)


def publish(pi: Pi, *payloads: str) -> None:
    done = pi.agent("publish", "data", "--lines", text="".join(f"{payload}\n" for payload in payloads))
    assert done.returncode == 0, words_of(done)


def resolves_inside(pi: Pi, name: str) -> bool:
    """Tell whether a name has an address, and that in the VPC: while the resolver is set anew it has none."""
    done = pi.machine.run("getent", "ahostsv4", name)
    return done.returncode == 0 and inside_vpc(done.stdout.split()[0])


def test_an_agent_that_hangs_is_started_anew_by_the_watchdog(pi: Pi) -> None:
    number, starts = pi.show(AGENT, "MainPID"), int(pi.show(AGENT, "NRestarts"))
    pi.machine.shell(f"kill -STOP {number}")
    wait_for(lambda: int(pi.show(AGENT, "NRestarts")) > starts, "the watchdog's restart", 300, pause=3)
    wait_for(lambda: pi.show(AGENT, "MainPID") not in ("0", number), "the new agent", 240)
    wait_for(pi.is_connected, "the connection", 240)


def test_a_cable_that_is_out_for_a_minute_loses_nothing(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    with delivering(pi, 3, 240) as listener:
        pi.machine.pull_cable()
        publish(pi, "one", "two", "three")
        time.sleep(60)
        assert listener.ids() == set()
        pi.machine.plug_cable()
        began = time.time()
    say(capsys, f"cable in after 60 s: the three messages after {listener.data()[-1]['at'] - began:.1f} s")


def test_another_address_of_the_home_network_loses_nothing(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    def address() -> str:
        return pi.machine.shell("ip -4 -o address show dev eth0")

    network = pi.machine.network
    other = network.device.network[77]
    with delivering(pi, 1, 240) as listener:
        network.serve_dhcp(77)
        pi.machine.pull_cable()
        wait_for(lambda: not address(), "the old address's end", 240)
        pi.machine.plug_cable()
        wait_for(lambda: f" {other}/" in address(), "the new address", 240, pause=0.2)
        began = time.time()
        publish(pi, "from another address")
    say(capsys, f"another address: the first message after {listener.data()[-1]['at'] - began:.1f} s")
    assert pi.doctor()["interface"]["result"] == "ok"
    with delivering(pi, 1, 240):
        network.serve_dhcp()
        pi.machine.pull_cable()
        wait_for(lambda: not address(), "the other address's end", 240)
        pi.machine.plug_cable()
        publish(pi, "from the first address")


def test_resolver_settings_that_are_wiped_come_back(pi: Pi) -> None:
    endpoint = pi.house.made.iot_endpoint
    # What NetworkManager itself does to its own connection leaves the tunnel's settings alone.
    pi.machine.shell("nmcli device reapply eth0; nmcli general reload")
    assert inside_vpc(pi.addresses(endpoint)[0])
    # As older releases of it are said to have done (update-systemd-resolved's issues 51 and 76).
    pi.machine.shell("resolvectl revert tun0")
    assert not inside_vpc(pi.addresses(endpoint)[0])
    # A connection that stands needs no name; the next one does.
    pi.machine.shell(f"systemctl restart {AGENT}")
    wait_for(lambda: resolves_inside(pi, endpoint), "the VPC's address", 240)
    wait_for(pi.is_connected, "the connection", 240)


def test_a_loaded_processor_restarts_no_tunnel_that_gets_on(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    def connections() -> int:
        return journal().count("Initialization Sequence Completed")

    def journal() -> str:
        return pi.machine.shell(f"journalctl -o short-monotonic -u {TUNNEL} -u {AGENT}")

    before, restarts = connections(), pi.status()["tunnel"]["restarts"]
    loops = "for loop in 1 2 3 4; do systemd-run --quiet --collect --unit=loop-$loop sh -c 'while :; do :; done'; done"
    pi.machine.shell(loops)
    try:
        pi.machine.shell(f"systemctl restart {TUNNEL}")
        began = time.monotonic()
        wait_for(lambda: connections() > before, "the tunnel", 400)
        wait_for(pi.is_connected, "the connection", 400)
        took = time.monotonic() - began
        # A livelock begins the tunnel anew every twenty seconds or so.
        time.sleep(60)
        assert connections() == before + 1, journal()[-6000:]
    finally:
        pi.machine.shell("systemctl stop 'loop-*'")
    assert pi.status()["tunnel"]["restarts"] == restarts
    say(capsys, f"beside four busy loops the tunnel was there after {took:.0f} s, and stayed")


def test_resolved_without_its_bus_name_is_named_by_doctor_and_mended_by_install(pi: Pi) -> None:
    # So Debian's packages leave it: dbus has read its policy without resolved's (row 1 of docs/fidelity/device.md).
    policy = "/usr/share/dbus-1/system.d/org.freedesktop.resolve1.conf"
    pi.machine.shell(f"mv {policy} /root/ && systemctl reload dbus && systemctl restart systemd-resolved")
    pi.machine.shell("mv /root/org.freedesktop.resolve1.conf /usr/share/dbus-1/system.d/ && systemctl reload dbus")
    row = pi.doctor()["home"]
    assert row["result"] == "failed"
    assert row["remedy"] == "`sudo systemctl restart systemd-resolved.service`"
    done = pi.install()
    assert done.returncode == 0, words_of(done)
    assert "start systemd-resolved.service anew, which does not answer on the bus" in done.stdout
    assert pi.machine.run("resolvectl", "status").returncode == 0
    wait_for(lambda: resolves_inside(pi, pi.house.made.iot_endpoint), "the VPC's address", 240)
    wait_for(pi.is_connected, "the connection", 240)


def test_dns_over_tls_is_what_doctor_names(pi: Pi) -> None:
    folder = "/etc/systemd/resolved.conf.d"
    pi.machine.shell(
        f"mkdir -p {folder} && printf '[Resolve]\\nDNSOverTLS=yes\\n' >{folder}/tls.conf &&"
        " systemctl restart systemd-resolved"
    )
    try:
        row = pi.doctor()["resolver"]
        assert row["result"] == "failed", row
        assert "(DNSOverTLS=yes)" in row["meaning"]
    finally:
        pi.machine.shell(
            f"rm {folder}/tls.conf && rmdir {folder} && systemctl restart systemd-resolved"
            f" && systemctl restart {TUNNEL}"
        )
    wait_for(pi.is_connected, "the connection", 240)


def test_networkd_that_removes_the_tunnels_routes_is_what_doctor_names(pi: Pi) -> None:
    folder = "/etc/systemd/network"
    pi.machine.shell(
        f"printf '[Match]\\nName=tun*\\n[Network]\\n' >{folder}/all.network && systemctl restart systemd-networkd"
    )
    try:
        wait_for(lambda: "tun0" not in pi.machine.shell("ip route get 10.0.0.2"), "the routes' end", 240)
        row = pi.doctor()["interface"]
        assert "`Unmanaged=yes`" in row["remedy"], row
        pi.machine.shell(
            f"printf '[Match]\\nName=tun*\\n[Link]\\nUnmanaged=yes\\n' >{folder}/05-private-iot.network && "
            f"systemctl restart systemd-networkd {TUNNEL}"
        )
        wait_for(lambda: pi.doctor()["interface"]["result"] == "ok", "the routes", 240)
    finally:
        pi.machine.shell(
            f"rm -f {folder}/all.network {folder}/05-private-iot.network;"
            f" systemctl stop systemd-networkd.socket systemd-networkd; systemctl restart {TUNNEL}"
        )
    wait_for(pi.is_connected, "the connection", 240)


def test_a_queue_that_lies_in_memory_is_what_install_and_doctor_say(pi: Pi) -> None:
    pi.machine.shell(
        "mkdir -p /run/overlay/upper /run/overlay/work"
        ' && echo "$(cat /proc/cmdline) overlayroot=tmpfs" >/run/overlay/cmdline'
        " && mount --bind /run/overlay/cmdline /proc/cmdline && mount -t overlay overlay"
        " -o lowerdir=/var/lib,upperdir=/run/overlay/upper,workdir=/run/overlay/work /var/lib"
    )
    try:
        row = pi.doctor()["files"]
        done = pi.install("--dry-run")
    finally:
        pi.machine.shell("umount /var/lib && umount /proc/cmdline && rm -r /run/overlay")
    assert (row["result"], row["meaning"]) == ("warning", "messages that wait there are lost with the power")
    assert "the queue is on an overlay in memory" in row["seen"]
    assert "warning: /var/lib/private-iot is on an overlay in memory" in done.stderr


def test_two_upgrades_of_the_package_keep_the_queue_and_the_identity(pi: Pi, packages: list[Path]) -> None:
    identity = pi.machine.shell("sha256sum /etc/private-iot/device.json /etc/private-iot/private-key.pem")
    unit = pi.machine.shell(f"cat {AGENT_UNIT}")
    with delivering(pi, 3, 240):
        pi.machine.pull_cable()
        publish(pi, "one", "two", "three")
        # As if an earlier release had written it.
        pi.machine.shell(f"sed -i 's/^WatchdogSec=.*/WatchdogSec=50/' {AGENT_UNIT}")
        for later in packages[1:]:
            number = pi.show(AGENT, "MainPID")
            pi.machine.shell(f"cd /root && tar xf /dev/vdb {later.name} && dpkg --install {later.name}", timeout=500)
            version = later.name.split("_")[1]
            assert pi.machine.shell("dpkg-query -W -f '${Version}' private-iot-agent") == version
            assert pi.show(AGENT, "MainPID") not in ("0", number), "the old code runs on"
            assert pi.machine.shell(f"cat {AGENT_UNIT}") == unit
            assert pi.show(AGENT, "WatchdogUSec") == "1min"
        pi.machine.plug_cable()
    assert pi.machine.shell("sha256sum /etc/private-iot/device.json /etc/private-iot/private-key.pem") == identity
    wait_for(pi.is_connected, "the connection", 240)
