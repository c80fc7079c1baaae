"""What AWS IoT checks of a policy's document when it is stored."""

import json
import re
from typing import Any

from lab.cloud.iot.exceptions import MalformedPolicyError

MAX_DOCUMENT_CHARACTERS = 2048
"""White space not counted (AWS IoT Core endpoints and quotas, "Maximum policy document size")."""
VERSIONS = ("2012-10-17", "2008-10-17")
EFFECTS = ("Allow", "Deny")
ACTION = re.compile(r"\*|(iot|iotjobsdata|greengrass|execute-api|iotdata|s3):[A-Za-z*]+")


def check_document(document: str) -> None:
    """Refuse a document that AWS IoT would refuse.

    Args:
        document: JSON text.

    Raises:
        MalformedPolicyError: it is not JSON, too long, or lacks a part that every statement needs.
    """
    characters = len("".join(document.split()))
    if characters > MAX_DOCUMENT_CHARACTERS:
        # CreatePolicy and CreatePolicyVersion list no LimitExceededError for this (AWS IoT API reference).
        raise MalformedPolicyError(
            f"it has {characters} characters without white space; the limit is {MAX_DOCUMENT_CHARACTERS}"
        )
    try:
        policy = json.loads(document)
    except ValueError as error:
        raise MalformedPolicyError(f"it is not JSON: {error}") from error
    if not isinstance(policy, dict):
        raise MalformedPolicyError("it is not a JSON object")
    unknown = policy.keys() - {"Version", "Id", "Statement"}
    if unknown:
        raise MalformedPolicyError(f"unknown element {sorted(unknown)[0]}")
    if policy.get("Version") not in VERSIONS:
        raise MalformedPolicyError(f"Version has to be one of {', '.join(VERSIONS)}; got {policy.get('Version')!r}")
    statements = policy.get("Statement")
    for statement in statements if isinstance(statements, list) else [statements]:
        _check_statement(statement)
    if statements == []:
        raise MalformedPolicyError("Statement is empty")


def _check_statement(statement: Any) -> None:
    if not isinstance(statement, dict):
        raise MalformedPolicyError("a Statement is not a JSON object")
    unknown = statement.keys() - {"Sid", "Effect", "Action", "Resource", "Condition"}
    if unknown:
        raise MalformedPolicyError(f"unknown element {sorted(unknown)[0]} in a Statement")
    if statement.get("Effect") not in EFFECTS:
        raise MalformedPolicyError(f"Effect has to be Allow or Deny; got {statement.get('Effect')!r}")
    for action in _strings(statement, "Action"):
        if not ACTION.fullmatch(action):
            raise MalformedPolicyError(f"{action!r} is not an action of AWS IoT")
    _strings(statement, "Resource")
    condition = statement.get("Condition", {})
    if not isinstance(condition, dict) or not all(isinstance(keys, dict) for keys in condition.values()):
        raise MalformedPolicyError("a Condition is not a JSON object of JSON objects")


def _strings(statement: dict[str, Any], element: str) -> list[str]:
    value = statement.get(element)
    values: list[Any] = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(item, str) and item for item in values):
        raise MalformedPolicyError(f"a Statement needs {element}, a string or a list of strings")
    return values
