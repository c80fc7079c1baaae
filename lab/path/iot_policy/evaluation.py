"""The decision: explicit deny, then allow, else deny.

Source: docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html; the elements of a statement
are those of reference_policies_elements.html. A document that IAM would refuse grants nothing here and never raises.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lab.path.iot_policy.conditions import condition_holds
from lab.path.iot_policy.template import Context, UnresolvedVariableError, matches, resolve

Document = Mapping[str, object]
"""A policy document, parsed from JSON."""

_VERSION_WITH_VARIABLES = "2012-10-17"
_TIME_KEYS = frozenset({"aws:currenttime", "aws:epochtime"})


@dataclass(frozen=True)
class Request:
    """One thing that a client asks for.

    Attributes:
        action: for instance ``iot:Publish``; compared without regard to case.
        resource: the ARN acted on, for instance ``arn:aws:iot:REGION:ACCOUNT:topic/T``.
        context: condition keys and policy variables; names are not case-sensitive, an absent key is left out.
    """

    action: str
    resource: str
    context: Context = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """What the policies say, and which of them said it.

    Attributes:
        allowed: whether the request may go on.
        reason: one line for people: ``explicit deny``, ``allowed`` or ``no statement allows``, and by which policy.
    """

    allowed: bool
    reason: str


def _listed(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _action_matches(patterns: Sequence[str], action: str) -> bool:
    return any(matches(resolve(text.lower(), {}, variables=False), action.lower()) for text in patterns)


def _resource_matches(text: str, resource: str, context: Context, *, variables: bool) -> bool:
    """Compare an ARN component by component; variables are replaced only after the fifth colon.

    Source: reference_policies_elements_resource.html (a wildcard does not cross a colon) and
    reference_policies_variables.html ("only in the resource portion of the ARN").
    """
    if text == "*":
        return True
    wanted, found = text.split(":", 5), resource.split(":", 5)
    if len(wanted) != 6 or len(found) != 6:
        return False
    heads = zip(wanted[:5], found[:5], strict=True)
    return all(matches(resolve(part, {}, variables=False), value) for part, value in heads) and matches(
        resolve(wanted[5], context, variables=variables), found[5]
    )


def _any_resource(statement: Document, request: Request, context: Context, *, variables: bool) -> bool:
    for text in _listed(statement.get("Resource")):
        try:
            if _resource_matches(text, request.resource, context, variables=variables):
                return True
        except UnresolvedVariableError:
            continue  # this resource is not there for this client; another one of the list may be
    return False


def _no_resource(statement: Document, request: Request, context: Context, *, variables: bool) -> bool:
    """NotResource; with a variable that cannot be resolved the statement says nothing, or it would allow everything."""
    excluded = _listed(statement.get("NotResource"))
    try:
        return bool(excluded) and not any(
            _resource_matches(text, request.resource, context, variables=variables) for text in excluded
        )
    except UnresolvedVariableError:
        return False


def _applies(statement: Document, request: Request, context: Context, *, variables: bool) -> bool:
    if ("Action" in statement) == ("NotAction" in statement) or ("Resource" in statement) == (
        "NotResource" in statement
    ):
        return False
    if "Action" in statement:
        if not _action_matches(_listed(statement["Action"]), request.action):
            return False
    else:
        excluded = _listed(statement["NotAction"])
        if not excluded or _action_matches(excluded, request.action):
            return False
    resource = _any_resource if "Resource" in statement else _no_resource
    return resource(statement, request, context, variables=variables) and condition_holds(
        statement.get("Condition"), context, variables=variables
    )


def _statements(document: object) -> Iterator[Document]:
    if not isinstance(document, Mapping):
        return
    listed = document.get("Statement")
    for statement in listed if isinstance(listed, list) else [listed]:
        if isinstance(statement, Mapping):
            yield statement


def evaluate(policies: Mapping[str, object], request: Request) -> Decision:
    """Decide one request.

    Args:
        policies: the documents attached to the principal, by name.

    Returns:
        The decision. It never raises: what cannot be understood does not apply.
    """
    context = {key.lower(): value for key, value in request.context.items()}
    allowed_by: str | None = None
    for name, document in policies.items():
        variables = isinstance(document, Mapping) and document.get("Version") == _VERSION_WITH_VARIABLES
        for statement in _statements(document):
            effect = statement.get("Effect")
            if effect not in ("Allow", "Deny") or not _applies(statement, request, context, variables=variables):
                continue
            if effect == "Deny":
                return Decision(allowed=False, reason=f"explicit deny in policy {name}")
            allowed_by = allowed_by or name
    if allowed_by is not None:
        return Decision(allowed=True, reason=f"allowed by policy {allowed_by}")
    return Decision(allowed=False, reason=f"no statement allows {request.action} on {request.resource}")


def depends_on_time(document: object) -> bool:
    """Whether a decision of this document may change by itself, so that it must not be kept."""
    for statement in _statements(document):
        condition = statement.get("Condition")
        for block in condition.values() if isinstance(condition, Mapping) else ():
            if isinstance(block, Mapping) and any(str(key).lower() in _TIME_KEYS for key in block):
                return True
    return False
