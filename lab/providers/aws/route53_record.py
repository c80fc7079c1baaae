"""`aws:route53/record:Record`. Source: terraform-provider-aws ``internal/service/route53/record.go``.

Of the routing policies it serves weighted, latency, failover and multivalue.

The id is `ZONEID_name_TYPE` and, with routing policies, `_identifier` after it.
"""

import re
from typing import Any

from lab.providers.aws.common import attempt, has_code, unless_gone
from lab.providers.aws.route53_zone import clean_zone_id, same_name, wait_in_sync
from lab.providers.errors import Failure, ProviderError
from lab.providers.schema import Resource, Timeouts, boolean, integer, list_of, object_of, set_of, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_GONE = ("NoSuchHostedZone",)
_TYPES = ("A", "AAAA", "CAA", "CNAME", "DS", "HTTPS", "MX", "NAPTR", "NS", "PTR", "SOA", "SPF", "SRV", "SSHFP", "SVCB")
_ALL_TYPES = (*_TYPES, "TLSA", "TXT")
_POLICIES = (
    "failoverRoutingPolicies",
    "latencyRoutingPolicies",
    "multivalueAnswerRoutingPolicy",
    "weightedRoutingPolicies",
)


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


def _record_set(call: Call, inputs: Properties, name: str) -> dict[str, Any]:
    record: dict[str, Any] = {"Name": name, "Type": inputs["type"]}
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
    if inputs.get("setIdentifier"):
        record["SetIdentifier"] = inputs["setIdentifier"]
    if inputs.get("healthCheckId"):
        record["HealthCheckId"] = inputs["healthCheckId"]
    if inputs.get("weightedRoutingPolicies"):
        record["Weight"] = inputs["weightedRoutingPolicies"][0]["weight"]
    if inputs.get("multivalueAnswerRoutingPolicy"):
        record["MultiValueAnswer"] = True
    if inputs.get("latencyRoutingPolicies"):
        record["Region"] = inputs["latencyRoutingPolicies"][0]["region"]
    if inputs.get("failoverRoutingPolicies"):
        record["Failover"] = inputs["failoverRoutingPolicies"][0]["type"]
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
    change = _change(call, zone, f"creating Route53 Record ({name})", [(action, _record_set(call, inputs, name))])
    wait_in_sync(call, change)
    parts = [zone, inputs["name"].lower(), inputs["type"], inputs.get("setIdentifier")]
    return "_".join(part for part in parts if part)


def _change(call: Call, zone: str, what: str, actions: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
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
    return dict(answer["ChangeInfo"])


def _parts(identifier: str) -> tuple[str, str, str, str | None]:
    """Zone, name, type and set identifier out of an id; names may hold underscores, types do not."""
    match = re.fullmatch(rf"([^_]+)_(.*?)_({'|'.join(_ALL_TYPES)})(?:_(.+))?", clean_zone_id(identifier))
    if match is None:
        raise ProviderError(
            f"unexpected format for ID ({identifier}), expected ZONEID_NAME_TYPE or ZONEID_NAME_TYPE_SETID"
        )
    zone, name, kind, tail = match.groups()
    return zone, name, kind, tail


def _find(call: Call, zone: str, name: str, kind: str, set_identifier: str | None) -> dict[str, Any] | None:
    route53 = call.client("route53")
    what = f"reading Route53 Record ({name} {kind})"
    pages = unless_gone(
        what,
        _GONE,
        lambda: route53.list_resource_record_sets(HostedZoneId=zone, StartRecordName=name, StartRecordType=kind),
    )
    for record in (pages or {}).get("ResourceRecordSets") or []:
        if (
            same_name(_unescape(record["Name"]), name)
            and record["Type"] == kind
            and (record.get("SetIdentifier") or None) == (set_identifier or None)
        ):
            return dict(record)
    return None


def _read(call: Call, identifier: str, state: Properties) -> Properties | None:
    if state.get("zoneId"):
        zone, kind = clean_zone_id(state["zoneId"]), state["type"]
        given, set_identifier = state["name"], state.get("setIdentifier")
    else:
        zone, given, kind, set_identifier = _parts(identifier)
    zone_name = _zone_name(call, zone)
    if zone_name is None:
        return None
    full = expand_name(given, zone_name)
    record = _find(call, zone, full, kind, set_identifier)
    if record is None:
        return None
    seen: Properties = {
        "allowOverwrite": state.get("allowOverwrite", False),
        "fqdn": full,
        "healthCheckId": record.get("HealthCheckId"),
        "name": given,
        "setIdentifier": record.get("SetIdentifier"),
        "ttl": record.get("TTL"),
        "type": kind,
        "zoneId": zone,
    }
    alias = record.get("AliasTarget")
    if alias:
        seen["aliases"] = [
            {
                "name": alias["DNSName"].lower().removesuffix("."),
                "zoneId": alias["HostedZoneId"],
                "evaluateTargetHealth": alias.get("EvaluateTargetHealth", False),
            }
        ]
    else:
        values = [entry["Value"] for entry in record.get("ResourceRecords") or []]
        seen["records"] = [value.strip('"') if kind in ("TXT", "SPF") else value for value in values]
    if record.get("Weight") is not None:
        seen["weightedRoutingPolicies"] = [{"weight": record["Weight"]}]
    if record.get("Region"):
        seen["latencyRoutingPolicies"] = [{"region": record["Region"]}]
    if record.get("Failover"):
        seen["failoverRoutingPolicies"] = [{"type": record["Failover"]}]
    if record.get("MultiValueAnswer"):
        seen["multivalueAnswerRoutingPolicy"] = True
    return seen


def _update(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    zone = clean_zone_id(inputs["zoneId"])
    name = expand_name(inputs["name"], _zone_name(call, zone) or "")
    actions = [("UPSERT", _record_set(call, inputs, name))]
    if changed & {"type", "setIdentifier"}:
        old = _find(call, zone, name, state["type"], state.get("setIdentifier"))
        actions = [("DELETE", old), ("CREATE", actions[0][1])] if old else actions
    wait_in_sync(call, _change(call, zone, f"updating Route53 Record ({identifier})", actions))


def _delete(call: Call, identifier: str, state: Properties) -> None:
    zone = clean_zone_id(state["zoneId"])
    zone_name = _zone_name(call, zone)
    if zone_name is None:
        return
    name = expand_name(state["name"], zone_name)
    record = _find(call, zone, name, state["type"], state.get("setIdentifier"))
    if record is None:
        return
    change = unless_gone(
        f"deleting Route53 Record ({identifier})",
        _GONE,
        lambda: _change(call, zone, f"deleting Route53 Record ({identifier})", [("DELETE", record)]),
    )
    if change:
        wait_in_sync(call, change)


def _check(inputs: Properties) -> list[Failure]:
    failures = []
    if any(inputs.get(name) for name in _POLICIES) and not inputs.get("setIdentifier"):
        policy = next(name for name in _POLICIES if inputs.get(name))
        failures.append(Failure(policy, f'"{policy}": all of `setIdentifier,{policy}` must be specified'))
    return failures


_ALIAS = object_of(
    {
        "evaluateTargetHealth": boolean(required=True),
        "name": string(required=True, same=same_name),
        "zoneId": string(required=True),
    }
)

RESOURCES = {
    "aws:route53/record:Record": Resource(
        type="aws:route53/record:Record",
        title="Route53 Record",
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
        exactly_one_of=(("aliases", "records"),),
        check=_check,
        create=_create,
        read=_read,
        update=_update,
        delete=_delete,
        timeouts=Timeouts(create=1800, update=1800, delete=1800),
        import_id="ZONEID_NAME_TYPE",
    )
}
