"""`aws:route53/record:Record`. Source: terraform-provider-aws ``internal/service/route53/record.go``.

Of the routing policies it serves weighted, latency, failover and multivalue. The id is `ZONEID_name_TYPE` and, with
routing policies, `_identifier` after it.
"""

import re

from lab.providers.aws.clients import attempt, has_code, unless_gone
from lab.providers.aws.description import Answer, Description, settled
from lab.providers.aws.route53_zone import clean_zone_id, same_name, wait_in_sync
from lab.providers.errors import Failure, ProviderError
from lab.providers.schema import Timeouts, boolean, integer, list_of, object_of, set_of, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_GONE = ("NoSuchHostedZone",)
_TYPES = ("A", "AAAA", "CAA", "CNAME", "DS", "HTTPS", "MX", "NAPTR", "NS", "PTR", "SOA", "SPF", "SRV", "SSHFP", "SVCB")
_ALL_TYPES = (*_TYPES, "TLSA", "TXT")
# Routing policy → its field, and where the record has it.
_POLICIES = {
    "failoverRoutingPolicies": ("type", "Failover"),
    "latencyRoutingPolicies": ("region", "Region"),
    "weightedRoutingPolicies": ("weight", "Weight"),
}


def expand_name(name: str, zone: str) -> str:
    """The full name of a record: what is given where it ends with the zone's name, else with that appended."""
    name, zone = name.lower().removesuffix("."), zone.lower().removesuffix(".")
    if not name:
        return zone
    return name if name == zone or name.endswith(f".{zone}") else f"{name}.{zone}"


def _unescape(name: str) -> str:
    r"""Route 53 answers `\052` for `*` and other characters by their octal codes."""
    return re.sub(r"\\(\d{3})", lambda match: chr(int(match.group(1), 8)), name)


def _zone_name(call: Call, zone: str) -> str | None:
    route53 = call.client("route53")
    answer = unless_gone(
        f"reading Route53 Hosted Zone ({zone})", _GONE, lambda: route53.get_hosted_zone(Id=zone)["HostedZone"]["Name"]
    )
    return None if answer is None else str(answer).removesuffix(".")


def _record_set(inputs: Properties, name: str) -> Answer:
    record: Answer = {"Name": name, "Type": inputs["type"]}
    if inputs.get("aliases"):
        alias = inputs["aliases"][0]
        record["AliasTarget"] = {
            "DNSName": alias["name"],
            "HostedZoneId": clean_zone_id(alias["zoneId"]),
            "EvaluateTargetHealth": alias["evaluateTargetHealth"],
        }
    else:
        record.update({"TTL": inputs["ttl"]} if inputs.get("ttl") is not None else {})
        record["ResourceRecords"] = [{"Value": _quoted(value, inputs["type"])} for value in inputs["records"]]
    for name_, field in (("setIdentifier", "SetIdentifier"), ("healthCheckId", "HealthCheckId")):
        record.update({field: inputs[name_]} if inputs.get(name_) else {})
    for policy, (key, field) in _POLICIES.items():
        record.update({field: inputs[policy][0][key]} if inputs.get(policy) else {})
    record.update({"MultiValueAnswer": True} if inputs.get("multivalueAnswerRoutingPolicy") else {})
    return record


def _quoted(value: str, kind: str) -> str:
    return f'"{value}"' if kind in ("TXT", "SPF") and not value.startswith('"') else value


def _create(call: Call, inputs: Properties) -> str:
    zone = clean_zone_id(inputs["zoneId"])
    zone_name = _zone_name(call, zone)
    if zone_name is None:
        raise ProviderError(f"creating Route53 Record ({inputs['name']}): no hosted zone {zone}")
    name = expand_name(inputs["name"], zone_name)
    action = "UPSERT" if inputs.get("allowOverwrite") else "CREATE"
    _change(call, zone, f"creating Route53 Record ({name})", [(action, _record_set(inputs, name))])
    parts = [zone, inputs["name"].lower(), inputs["type"], inputs.get("setIdentifier")]
    return "_".join(part for part in parts if part)


def _change(call: Call, zone: str, what: str, actions: list[tuple[str, Answer]]) -> None:
    route53 = call.client("route53")
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": record} for action, record in actions]}
    answer = attempt(
        what,
        lambda: call.retry(
            what,
            lambda: route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch),
            while_error=has_code("PriorRequestNotComplete"),
        ),
    )
    wait_in_sync(call, answer["ChangeInfo"])


def _parts(identifier: str) -> tuple[str, str, str, str | None]:
    """Zone, name, type and set identifier out of an id; names may hold underscores, types do not."""
    match = re.fullmatch(rf"([^_]+)_(.*?)_({'|'.join(_ALL_TYPES)})(?:_(.+))?", clean_zone_id(identifier))
    if match is None:
        raise ProviderError(
            f"unexpected format for ID ({identifier}), expected ZONEID_NAME_TYPE or ZONEID_NAME_TYPE_SETID"
        )
    zone, name, kind, tail = match.groups()
    return zone, name, kind, tail


def _find(call: Call, identifier: str, known: Properties) -> Answer | None:
    """The record with the name as given and in full, by what is known or by the parts of an import's id."""
    if known.get("zoneId"):
        zone, name, kind = clean_zone_id(known["zoneId"]), known["name"], known["type"]
        set_identifier = known.get("setIdentifier")
    else:
        zone, name, kind, set_identifier = _parts(identifier)
    zone_name = _zone_name(call, zone)
    if zone_name is None:
        return None
    full = expand_name(name, zone_name)
    records = call.client("route53").list_resource_record_sets(
        HostedZoneId=zone, StartRecordName=full, StartRecordType=kind
    )
    for record in records["ResourceRecordSets"]:
        same = same_name(_unescape(record["Name"]), full) and record["Type"] == kind
        if same and (record.get("SetIdentifier") or None) == (set_identifier or None):
            return {"given": name, "full": full, "zone": zone, "record": dict(record)}
    return None


def _seen(call: Call, found: Answer, state: Properties) -> Properties:
    del call
    record = found["record"]
    seen: Properties = {
        "allowOverwrite": state.get("allowOverwrite", False),
        "fqdn": found["full"],
        "healthCheckId": record.get("HealthCheckId"),
        "multivalueAnswerRoutingPolicy": record.get("MultiValueAnswer"),
        "name": found["given"],
        "setIdentifier": record.get("SetIdentifier"),
        "ttl": record.get("TTL"),
        "type": record["Type"],
        "zoneId": found["zone"],
    }
    alias = record.get("AliasTarget")
    if alias:
        target = {"name": alias["DNSName"].lower().removesuffix("."), "zoneId": alias["HostedZoneId"]}
        seen["aliases"] = [{**target, "evaluateTargetHealth": alias.get("EvaluateTargetHealth", False)}]
    values = [entry["Value"] for entry in record.get("ResourceRecords") or []]
    seen["records"] = [value.strip('"') if record["Type"] in ("TXT", "SPF") else value for value in values]
    for policy, (key, field) in _POLICIES.items():
        if record.get(field) is not None:
            seen[policy] = [{key: record[field]}]
    return seen


def _update(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    zone = clean_zone_id(inputs["zoneId"])
    record = _record_set(inputs, expand_name(inputs["name"], _zone_name(call, zone) or ""))
    old = _find(call, identifier, state) if changed & {"type", "setIdentifier"} else None
    actions = [("DELETE", old["record"]), ("CREATE", record)] if old else [("UPSERT", record)]
    _change(call, zone, f"updating Route53 Record ({identifier})", actions)


def _delete(call: Call, identifier: str, state: Properties) -> None:
    found = _find(call, identifier, state)
    if found is not None:
        what = f"deleting Route53 Record ({identifier})"
        _change(call, found["zone"], what, [("DELETE", found["record"])])


def _check(inputs: Properties) -> list[Failure]:
    for policy in (*_POLICIES, "multivalueAnswerRoutingPolicy"):
        if inputs.get(policy) and not inputs.get("setIdentifier"):
            return [Failure(policy, f'"{policy}": all of `setIdentifier,{policy}` must be specified')]
    return []


_ALIAS = object_of(
    {
        "evaluateTargetHealth": boolean(required=True),
        "name": string(required=True, same=same_name),
        "zoneId": string(required=True),
    }
)

RESOURCES = settled(
    [
        Description(
            type="aws:route53/record:Record",
            title="Route53 Record",
            service="route53",
            regional=False,
            inputs={
                "aliases": list_of(_ALIAS, maximum=1, conflicts=("ttl",)),
                "allowOverwrite": boolean(computed=True),
                "failoverRoutingPolicies": list_of(object_of({"type": string(required=True)}), maximum=1),
                "healthCheckId": string(),
                "latencyRoutingPolicies": list_of(object_of({"region": string(required=True)}), maximum=1),
                "multivalueAnswerRoutingPolicy": boolean(),
                "name": string(required=True, force_new=True, same=same_name),
                "records": set_of(string()),
                "setIdentifier": string(),
                "ttl": integer(conflicts=("aliases",), requires=("records",)),
                "type": string(required=True, allowed=_ALL_TYPES),
                "weightedRoutingPolicies": list_of(object_of({"weight": integer(required=True)}), maximum=1),
                "zoneId": string(required=True, force_new=True),
            },
            outputs={"fqdn": string()},
            find=_find,
            gone=_GONE,
            create=_create,
            seen=_seen,
            more=_update,
            delete=_delete,
        ).resource(
            exactly_one_of=(("aliases", "records"),),
            check=_check,
            timeouts=Timeouts(create=1800, update=1800, delete=1800),
        )
    ]
)
