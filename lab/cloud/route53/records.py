"""Changes of a zone's records: all of a batch, or none."""

from collections.abc import Callable, Iterable
from typing import Any

from moto.route53.models import RecordSet
from moto.route53.utils import validate_domain_name

from lab.cloud.route53.exceptions import InvalidChangeBatchError

Change = dict[str, Any]
Key = tuple[str, str, str | None]
ACTIONS = ("CREATE", "UPSERT", "DELETE")


def changed_records(
    zone_name: str,
    records: Iterable[RecordSet],
    changes: Iterable[Change],
    check_alias: Callable[[str, dict[str, Any]], None],
) -> list[RecordSet]:
    """Apply a batch to a zone's records.

    Args:
        zone_name: with the final dot.
        records: the zone's.
        changes: of the request.
        check_alias: refuses an alias to a target that does not exist; gets the record's type and the alias target.

    Returns:
        The records after the batch; those given are left as they are.

    Raises:
        InvalidChangeBatchError: a change cannot be made.
    """
    after = {(record.name, str(record.type), record.set_identifier): record for record in records}
    for change in changes:
        action, wanted = change["Action"], _normal(change["ResourceRecordSet"])
        name, kind = wanted["Name"], wanted["Type"]
        key: Key = (name, kind, wanted.get("SetIdentifier"))
        what = f"resource record set [name='{name}', type='{kind}']"
        validate_domain_name(name, code="InvalidChangeBatch")
        if action not in ACTIONS:
            raise InvalidChangeBatchError(f"Action has to be one of {', '.join(ACTIONS)}; got {action}")
        if name != zone_name and not name.endswith(f".{zone_name}"):
            raise InvalidChangeBatchError(f"RRSet with DNS name {name} is not permitted in zone {zone_name}")
        if action == "DELETE":
            if key not in after:
                raise InvalidChangeBatchError(f"Tried to delete {what} but it was not found")
            if _values(wanted) != _values(_as_request(after[key])):
                raise InvalidChangeBatchError(
                    f"Tried to delete {what} but the values provided do not match the current values"
                )
            del after[key]
            continue
        if action == "CREATE" and key in after:
            raise InvalidChangeBatchError(f"Tried to create {what} but it already exists")
        _check_form(wanted)
        if "AliasTarget" in wanted:
            check_alias(kind, wanted["AliasTarget"])
        values = [one["Value"] for one in wanted.get("ResourceRecords", [])]
        after[key] = RecordSet(wanted | {"ResourceRecords": values})  # type: ignore[abstract] # moto makes it so too
    _check_cname(after)
    return list(after.values())


def _normal(record: dict[str, Any]) -> dict[str, Any]:
    """Write names as Route 53 answers with them: in lower case, with the final dot."""
    normal = dict(record)
    normal["Name"] = _name(record["Name"])
    if record.get("AliasTarget"):
        normal["AliasTarget"] = record["AliasTarget"] | {"DNSName": _name(record["AliasTarget"]["DNSName"])}
    return normal


def _name(name: str) -> str:
    return name.lower().rstrip(".") + "."


def _as_request(record: RecordSet) -> dict[str, Any]:
    return {
        "TTL": record.ttl,
        "ResourceRecords": record.resource_records or [],
        "AliasTarget": record.alias_target,
    }


def _values(record: dict[str, Any]) -> tuple[Any, ...]:
    alias = record.get("AliasTarget") or {}
    records = sorted(one["Value"] for one in record.get("ResourceRecords") or [])
    return (record.get("TTL"), records, alias.get("HostedZoneId"), alias.get("DNSName"))


def _check_form(record: dict[str, Any]) -> None:
    is_alias = bool(record.get("AliasTarget"))
    has_values = bool(record.get("ResourceRecords")) and record.get("TTL") is not None
    if is_alias == has_values or (is_alias and record.get("TTL") is not None):
        raise InvalidChangeBatchError(
            "Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or "
            "TrafficPolicyInstanceId] in Change with "
            f"[Name={record['Name']}, Type={record['Type']}, SetIdentifier={record.get('SetIdentifier', 'null')}]"
        )


def _check_cname(records: dict[Key, RecordSet]) -> None:
    names = [name for name, _, _ in records]
    for name, kind, _ in records:
        if kind == "CNAME" and names.count(name) > 1:
            raise InvalidChangeBatchError(
                f"RRSet of type CNAME with DNS name {name} is not permitted as it conflicts with other records "
                f"with the same DNS "
                "name"
            )
