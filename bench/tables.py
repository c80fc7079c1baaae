"""The tables of each section."""

from collections.abc import Callable
from typing import Any

from bench.results import Column, number, table, times

Tables = list[tuple[str, str]]
_MIB = float(2**20)
_PEERS = [
    Column("peer", "peer"),
    Column("messages_per_second", "messages/s arrived", number()),
    Column("rate_ratio", "ratio", times),
    Column("accepted_per_second", "messages/s accepted", number()),
    Column("accepted_p50_ms", "accepted p50, ms", number(2)),
    Column("accepted_p99_ms", "p99, ms", number(2)),
    Column("arrival_p50_ms", "arrived p50, ms", number(2)),
    Column("arrival_p99_ms", "p99, ms", number(2)),
    Column("arrival_ratio", "ratio of p50", times),
]


def _engine(measured: dict[str, Any]) -> Tables:
    tables = [*_one_stack(measured["rows"])] if measured["rows"] else []
    return [*tables, *_device_stacks(measured)] if measured.get("beside") else tables


def _one_stack(rows: list[dict[str, Any]]) -> Tables:
    return [
        (
            "Engine: `pulumi up` against as many empty resources, the state written once",
            table([Column("devices", "devices"), Column("resources", "resources"), *_against("once", "up")], rows),
        ),
        (
            "Engine: the same, the state written after every step, as it is with a state in files",
            table(
                [Column("devices", "devices"), *_against("up", "up"), Column("up_over_once", "over once", times)], rows
            ),
        ),
        (
            "Engine: `pulumi preview` against as many empty resources",
            table([Column("devices", "devices"), *_against("preview", "preview")], rows),
        ),
        (
            "Engine: memory of Pulumi's own process, the state written once or after every step",
            table(
                [
                    Column("devices", "devices"),
                    Column("peak_bytes", "once, MiB", number(0, _MIB)),
                    Column("empty_peak_bytes", "empty, MiB", number(0, _MIB)),
                    Column("peak_ratio", "ratio", times),
                    Column("checkpoints_peak_bytes", "after every step, MiB", number(0, _MIB)),
                    Column("state_bytes", "state, MiB", number(2, _MIB)),
                ],
                rows,
            ),
        ),
    ]


def _device_stacks(measured: dict[str, Any]) -> Tables:
    title = f"Engine: device stacks of {measured['size']} beside a base stack, {measured['jobs']} side by side"
    return [
        (
            f"{title}, the state written after every step",
            table(
                [
                    Column("devices", "devices"),
                    Column("stacks", "stacks"),
                    Column("keys", "keys made"),
                    Column("seconds", "all up, s", number(1)),
                    Column("ratio", "to one stack", times),
                    Column("state_bytes", "largest state, MiB", number(2, _MIB)),
                ],
                measured["beside"],
            ),
        ),
    ]


def _against(key: str, title: str) -> list[Column]:
    """Return the columns that set a time against that of as many empty resources, with the growth of both."""
    return [
        Column(f"{key}_seconds", f"{title}, s", number(1)),
        Column(f"empty_{key}_seconds", "empty, s", number(1)),
        Column(f"{key}_ratio", "ratio", times),
        Column(f"{key}_growth", "growth a device", times),
        Column(f"empty_{key}_growth", "the empty one's", times),
    ]


def _fleet(measured: dict[str, Any]) -> Tables:
    columns = [
        Column("way", "way"),
        Column("devices", "devices", number()),
        Column("seconds", "s", number(1)),
        Column("rate", "devices/s", number(1)),
        Column("ratio", "ratio", times),
        *(
            Column(f"{part}_{name}_ms", f"{title} {name}, ms", number())
            for part, title in (("connect", "connected"), ("certificate", "certificate"), ("thing", "thing"))
            for name in ("p50", "p99")
        ),
    ]
    ups = [
        Column("provisioned", "provisioned", number()),
        Column("things", "things", number()),
        Column("seconds", "up, s (median)", number(1)),
        Column("ratio", "ratio", times),
        Column("least", "least", number(1)),
        Column("most", "most", number(1)),
    ]
    return [
        ("Fleet: devices provisioned by a claim", table(columns, measured["rows"])),
        ("Fleet: `pulumi up` of the same stack, which changes nothing", table(ups, measured["up"])),
    ]


def _lab_up(measured: dict[str, Any]) -> Tables:
    stages = [Column("stage", "stage"), Column("seconds", "s", number(2)), Column("share", "share", "{:.0%}".format)]
    memory = [
        Column("what", "what"),
        Column("bytes", "MiB (PSS)", number(1, _MIB)),
        Column("share", "share", "{:.0%}".format),
    ]
    return [
        ("`python -m lab up` from nothing, one device", table(stages, measured["rows"])),
        ("Memory of a lab with one device", table(memory, measured["memory"])),
    ]


def _messages(measured: dict[str, Any]) -> Tables:
    disk = f"The disk makes {measured['fsyncs_per_second']:,.0f} small writes a second durable, one by one."
    costs = [
        Column("peer", "peer"),
        Column("processor_us", "processor, µs a message", number()),
        Column("processor_ratio", "ratio", times),
        Column("written_bytes_burst", "written a message, kB: in a burst", number(2, 1000)),
        Column("written_bytes_paced", "100 a second", number(2, 1000)),
        Column("written_bytes_alone", "alone", number(2, 1000)),
    ]
    return [
        (f"{_messages_of(measured)}, through one tunnel", f"{table(_PEERS, measured['rows'])}\n\n{disk}"),
        ("What a message costs the process that sends it on", table(costs, measured["rows"])),
    ]


def _site(measured: dict[str, Any]) -> Tables:
    return [
        (f"{_messages_of(measured)}, by awsiotsdk", table(_PEERS, measured["neighbours"])),
        (f"{_messages_of(measured)}, by a broker on the device", table(_PEERS, measured["brokers"])),
    ]


def _messages_of(measured: dict[str, Any]) -> str:
    return f"{measured['count']:,} messages of {measured['payload_bytes']} bytes, QoS 1"


def _recovery(measured: dict[str, Any]) -> Tables:
    bound = f"not within {measured['bound_seconds']:g} s"
    rows = [{**row, "notes": {"seconds": bound, "silence": "to the end"}} for row in measured["rows"]]
    columns = [
        Column("peer", "peer"),
        Column("outage", "outage, s", number()),
        Column("seconds", "back after, s", number(1)),
        Column("ratio", "ratio", times),
        Column("silence", "silence, s", number(1)),
        Column("published", "published", number()),
        Column("arrived", "arrived", number()),
        Column("lost", "not arrived", number()),
        Column("twice", "twice", number()),
        Column("tunnel_unit", "tunnel's unit"),
    ]
    return [("From the end of an outage to the first message", table(columns, rows))]


def _footprint(measured: dict[str, Any]) -> Tables:
    columns = [
        Column("peer", "peer"),
        Column("import_ms", "import, ms", number()),
        Column("import_ms_ratio", "ratio", times),
        Column("idle_bytes", "idle, MiB", number(1, _MIB)),
        Column("idle_bytes_ratio", "ratio", times),
        Column("idle_cpu_ms", "CPU ms a minute", number(1)),
        Column("idle_cpu_ms_ratio", "ratio", times),
        Column("idle_written_bytes", "kB written a minute", number(1, 1000)),
        Column("backlog_bytes", f"{measured['backlog']:,} waiting, MiB", number(1, _MIB)),
        Column("backlog_bytes_ratio", "ratio", times),
    ]
    return [("Connected and idle, and with a backlog", table(columns, measured["rows"]))]


TABLES: dict[str, Callable[[dict[str, Any]], Tables]] = {
    "engine": _engine,
    "fleet": _fleet,
    "lab-up": _lab_up,
    "messages": _messages,
    "site": _site,
    "recovery": _recovery,
    "footprint": _footprint,
}
