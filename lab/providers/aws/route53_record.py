"""`aws:route53/record:Record`. Source: terraform-provider-aws ``internal/service/route53/record.go``.

Left out: routing policies and health checks. The id is `ZONEID_name_TYPE`.
"""

import re

from lab.providers.aws.clients import has_code
from lab.providers.aws.description import Description, Operation, served
from lab.providers.aws.route53_zone import clean_zone_id, same_name, wait_in_sync
from lab.providers.aws.shapes import Answer
from lab.providers.errors import ProviderError
from lab.providers.schema import Timeouts, boolean, integer, list_of, object_of, set_of, string
from lab.providers.values import Properties

_TYPES = ("A", "AAAA", "CAA", "CNAME", "DS", "HTTPS", "MX", "NAPTR", "NS", "PTR", "SOA", "SPF", "SRV", "SSHFP", "SVCB")
_ALL_TYPES = (*_TYPES, "TLSA", "TXT")
_QUOTED = ("TXT", "SPF")


def expand_name(name: str, zone: str) -> str:
    """The full name of a record: what is given where it ends with the zone's name, else with that appended."""
    name, zone = name.lower().removesuffix("."), zone.lower().removesuffix(".")
    if not name:
        return zone
    return name if name == zone or name.endswith(f".{zone}") else f"{name}.{zone}"


def _unescape(name: str) -> str:
    r"""Route 53 answers `\052` for `*` and other characters by their octal codes."""
    return re.sub(r"\\(\d{3})", lambda match: chr(int(match.group(1), 8)), name)


def _zone_name(op: Operation, zone: str) -> str:
    return str(op.api.get_hosted_zone(Id=zone)["HostedZone"]["Name"])


def _record_set(inputs: Properties, name: str) -> Answer:
    record: Answer = {"Name": name, "Type": inputs["type"]}
    if inputs.get("aliases"):
        [alias] = inputs["aliases"]
        zone, health = clean_zone_id(alias["zoneId"]), alias["evaluateTargetHealth"]
        target = {"DNSName": alias["name"], "HostedZoneId": zone, "EvaluateTargetHealth": health}
        return {**record, "AliasTarget": target}
    values = [_quoted(value, inputs["type"]) for value in inputs["records"]]
    ttl = {} if inputs.get("ttl") is None else {"TTL": inputs["ttl"]}
    return {**record, **ttl, "ResourceRecords": [{"Value": value} for value in values]}


def _quoted(value: str, kind: str) -> str:
    return f'"{value}"' if kind in _QUOTED and not value.startswith('"') else value


def _create(op: Operation) -> str:
    zone = clean_zone_id(op.inputs["zoneId"])
    record = _record_set(op.inputs, expand_name(op.inputs["name"], _zone_name(op, zone)))
    _change(op, zone, [("UPSERT" if op.inputs.get("allowOverwrite") else "CREATE", record)])
    return f"{zone}_{op.inputs['name'].lower()}_{op.inputs['type']}"


def _change(op: Operation, zone: str, actions: list[tuple[str, Answer]]) -> None:
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": record} for action, record in actions]}
    answer = op.call.retry(
        "Route 53",
        lambda: op.api.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch),
        while_error=has_code("PriorRequestNotComplete"),
    )
    wait_in_sync(op, answer)


def _find(op: Operation) -> Answer | None:
    """The record with the name as given and in full, by what is known or by the parts of an import's id."""
    zone, name, kind = (op.state.get(property_, "") for property_ in ("zoneId", "name", "type"))
    if not zone:
        # Names may hold underscores, types do not.
        match = re.fullmatch(rf"([^_]+)_(.*?)_({'|'.join(_ALL_TYPES)})", clean_zone_id(op.id))
        if match is None:
            raise ProviderError(f"unexpected format for ID ({op.id}), expected ZONEID_NAME_TYPE")
        zone, name, kind = match.groups()
    zone = clean_zone_id(zone)
    full = expand_name(name, _zone_name(op, zone))
    records = op.api.list_resource_record_sets(HostedZoneId=zone, StartRecordName=full, StartRecordType=kind)
    for record in records["ResourceRecordSets"]:
        if same_name(_unescape(record["Name"]), full) and record["Type"] == kind:
            return {"given": name, "full": full, "zone": zone, "record": dict(record)}
    return None


def _seen(op: Operation, found: Answer) -> Properties:
    record, alias = found["record"], found["record"].get("AliasTarget")
    seen: Properties = {
        "allowOverwrite": op.state.get("allowOverwrite", False),
        "fqdn": found["full"],
        "name": found["given"],
        "ttl": record.get("TTL"),
        "type": record["Type"],
        "zoneId": found["zone"],
    }
    if alias:
        target = {"name": alias["DNSName"].lower().removesuffix("."), "zoneId": alias["HostedZoneId"]}
        seen["aliases"] = [{**target, "evaluateTargetHealth": alias.get("EvaluateTargetHealth", False)}]
    values = [entry["Value"] for entry in record.get("ResourceRecords") or []]
    seen["records"] = [value.strip('"') if record["Type"] in _QUOTED else value for value in values]
    return seen


def _update(op: Operation) -> None:
    zone = clean_zone_id(op.inputs["zoneId"])
    record = _record_set(op.inputs, expand_name(op.inputs["name"], _zone_name(op, zone)))
    old = _find(op) if "type" in op.changed else None
    _change(op, zone, [("DELETE", old["record"]), ("CREATE", record)] if old else [("UPSERT", record)])


def _delete(op: Operation) -> None:
    found = _find(op)
    if found is not None:
        _change(op, found["zone"], [("DELETE", found["record"])])


_ALIAS = {
    "evaluateTargetHealth": boolean(required=True),
    "name": string(required=True, same=same_name),
    "zoneId": string(required=True),
}
_RECORD = Description(
    type="aws:route53/record:Record",
    title="Route53 Record",
    exactly_one_of=(("aliases", "records"),),
    timeouts=Timeouts(create=1800, update=1800, delete=1800),
    service="route53",
    regional=False,
    inputs={
        "aliases": list_of(object_of(_ALIAS), maximum=1, conflicts=("ttl",)),
        "allowOverwrite": boolean(computed=True),
        "name": string(required=True, force_new=True, same=same_name),
        "records": set_of(string()),
        "ttl": integer(conflicts=("aliases",), requires=("records",)),
        "type": string(required=True, allowed=_ALL_TYPES),
        "zoneId": string(required=True, force_new=True),
    },
    outputs={"fqdn": string()},
    find=_find,
    gone=("NoSuchHostedZone",),
    create=_create,
    seen=_seen,
    more=_update,
    delete=_delete,
)

RESOURCES = served(_RECORD)
