"""What a long run says of itself. Cannot prove that what it was given is what happened."""

from datetime import UTC, datetime
from typing import Any

import pytest

from soak import figures
from soak.__main__ import main
from soak.accounting import Arrival, Sample
from soak.border import Crossed, Destination
from soak.run import Options
from soak.watch import Seen

STATUS = {"queue": {"depth": 0, "refused": 0, "dropped": 0}}
LEAK = Crossed(1, (Destination("203.0.113.80", "tcp", 8883, 1),))


def seen() -> Seen:
    return Seen(
        published=[0, 1, 2],
        arrivals=[Arrival(float(number), number) for number in range(3)],
        agent=[Sample(0, 1, 30_000_000)],
        status=STATUS,
    )


def collect(device: Seen) -> dict[str, Any]:
    return figures.collect(
        options={"seconds": 40.0, "seed": 7, "rate": 20.0, "devices": 1},
        started=datetime(2026, 11, 24, tzinfo=UTC),
        seconds=40.0,
        drained=0.5,
        seen={"pi-1": device},
        faults=[],
        reconnections=2,
        allowed={"pi-1": ["ip daddr 192.168.1.1 udp dport 53"]},
    )


def test_a_run_passes_when_everything_came_and_nothing_went_outside() -> None:
    found = collect(seen())
    assert found["passed"]
    assert found["repeat"] == "python -m soak --seconds 40 --seed 7 --rate 20 --devices 1"
    assert "passed: nothing lost, nothing outside" in figures.table(found)


def test_a_run_of_a_site_is_repeated_as_one() -> None:
    options = Options(40.0, 7, 20.0, 3, site=True).document()
    assert figures.repeat(options) == "python -m soak --seconds 40 --seed 7 --rate 20 --site"
    assert "site" not in Options(40.0, 7, 20.0, 3).document()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"arrivals": [Arrival(0, 0), Arrival(1, 2)]}, "LOST on pi-1: 1"),
        ({"outside": LEAK}, "OUTSIDE on pi-1: 1 packet(s) to 203.0.113.80, tcp 8883"),
        ({"published": []}, "FAILED"),
    ],
)
def test_a_run_fails_when_a_message_is_lost_or_a_packet_went_outside_or_there_was_nothing(
    change: dict[str, Any], said: str
) -> None:
    device = seen()
    for name, value in change.items():
        setattr(device, name, value)
    found = collect(device)
    assert not found["passed"]
    lines = list(figures.table(found))
    assert said in lines
    assert "FAILED" in lines


def test_a_program_that_was_never_seen_has_no_memory() -> None:
    found = collect(seen())["devices"]["pi-1"]["memory"]
    assert found["agent"] == {"startMb": 30.0, "endMb": 30.0, "maxMb": 30.0, "slopeMbPerHour": None, "processes": 1}
    assert found["openvpn"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seconds", "5"], "5: use 30 to 86400"),
        (["--rate", "200"], "200: use 0.1 to 50"),
        (["--devices", "9"], "invalid choice: 9"),
        (["--seconds", "soon"], "invalid number value: 'soon'"),
    ],
)
def test_bad_numbers_are_refused_with_the_limits(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_json_file_without_a_directory_is_refused_before_anything_is_started(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--json", "/nowhere/figures.json", "--seed", "3"]) == 2
    assert "there is no directory /nowhere (seed 3)" in capsys.readouterr().err
