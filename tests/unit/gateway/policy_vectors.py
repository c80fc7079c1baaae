"""Decisions that AWS's own documentation states or shows, each with its source.

IAM = docs.aws.amazon.com/IAM/latest/UserGuide/, IOT = docs.aws.amazon.com/iot/latest/developerguide/.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ARN = "arn:aws:iot:us-east-1:123456789012"
THING = "${iot:Connection.Thing.ThingName}"
VPCE = {"aws:SourceVpce": "vpce-0bae8fd9e8c2b2879"}
IS_THING_1 = {
    "iot:ClientId": "thing1",
    "iot:Connection.Thing.ThingName": "thing1",
    "iot:Connection.Thing.IsAttached": "true",
}


@dataclass(frozen=True)
class Vector:
    """One request, the statements that judge it, and what the source says of it."""

    source: str
    about: str
    statements: Sequence[Mapping[str, Any]]
    action: str
    resource: str
    allowed: bool
    context: Mapping[str, Any] = field(default_factory=dict)
    version: str | None = "2012-10-17"

    @property
    def document(self) -> dict[str, Any]:
        """The policy document."""
        return {**({"Version": self.version} if self.version else {}), "Statement": list(self.statements)}


def allow(action: Any, resource: Any, condition: Any = None) -> dict[str, Any]:
    """A statement that allows."""
    found = {"Effect": "Allow", "Action": action, "Resource": resource}
    return found if condition is None else {**found, "Condition": condition}


def deny(action: Any, resource: Any, condition: Any = None) -> dict[str, Any]:
    """A statement that denies."""
    return {**allow(action, resource, condition), "Effect": "Deny"}


def connects(
    source: str, about: str, condition: Any, context: Mapping[str, Any], *, allowed: bool, statement: Any = allow
) -> Vector:
    """A vector whose only question is a condition; a denial stands before a statement that allows everything."""
    statements = [statement("iot:Connect", "*", condition)]
    if statement is deny:
        statements.append(allow("*", "*"))
    return Vector(source, about, statements, "iot:Connect", f"{ARN}:client/c", allowed, context)


WALK_THROUGH = [allow("iot:*", "*", {"StringEquals": VPCE})]
FIRST_TWO_DENIED = [
    deny("iot:Connect", [f"{ARN}:client/client1", f"{ARN}:client/client2"]),
    allow("iot:Connect", f"{ARN}:client/{THING}", {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}),
]
EXCEPT_BAR = [
    allow("iot:Publish", f"{ARN}:topic/${{iot:ClientId}}/*"),
    deny("iot:Publish", f"{ARN}:topic/${{iot:ClientId}}/bar"),
]
ROOMS = [
    allow("iot:Subscribe", f"{ARN}:topicfilter/{THING}/room*"),
    allow("iot:Receive", f"{ARN}:topic/{THING}/room*"),
]
MULTI = "IAM/reference_policies_condition-single-vs-multi-valued-context-keys.html"
OPERATORS = "IAM/reference_policies_elements_condition_operators.html"
ATTRIBUTES = "IOT/connect-policy.html#persistent-sessions-examples"
PERSISTENT, BOTH = ["PersistentConnect"], ["PersistentConnect", "LastWill"]
MUST_HAVE_BOTH = [
    allow("iot:Connect", "*", {"ForAllValues:StringEquals": {"iot:ConnectAttributes": BOTH}}),
    deny("iot:Connect", "*", {"ForAllValues:StringEquals": {"iot:ConnectAttributes": PERSISTENT}}),
    deny("iot:Connect", "*", {"ForAllValues:StringEquals": {"iot:ConnectAttributes": ["LastWill"]}}),
    deny("iot:Connect", "*", {"ForAllValues:StringEquals": {"iot:ConnectAttributes": []}}),
]


def attributes(about: str, statements: Sequence[Mapping[str, Any]], values: Sequence[str], *, allowed: bool) -> Vector:
    """A vector of the connect attributes; without attributes the key is absent."""
    context = {"iot:ConnectAttributes": list(values)} if values else {}
    return Vector(ATTRIBUTES, about, statements, "iot:Connect", f"{ARN}:client/c", allowed, context)


VECTORS = [
    # The order of decisions
    Vector("IAM/reference_policies_evaluation-logic.html", "default deny", [], "iot:Connect", f"{ARN}:client/c", False),
    Vector(
        "IAM/reference_policies_evaluation-logic.html",
        "an explicit deny overrides an allow",
        [allow("*", "*"), deny("iot:Publish", "*")],
        "iot:Publish",
        f"{ARN}:topic/t",
        False,
    ),
    Vector(
        "IAM/reference_policies_evaluation-logic.html",
        "a deny of another action leaves the allow",
        [allow("*", "*"), deny("iot:Publish", "*")],
        "iot:Connect",
        f"{ARN}:client/c",
        True,
    ),
    # The walk-through
    Vector(
        "IOT/IoTCore-VPC.html", "over the endpoint", WALK_THROUGH, "iot:Connect", f"{ARN}:client/test-1", True, VPCE
    ),
    Vector(
        "IOT/IoTCore-VPC.html",
        "over the internet the key is absent",
        WALK_THROUGH,
        "iot:Connect",
        f"{ARN}:client/test-1",
        False,
    ),
    Vector(
        "IOT/IoTCore-VPC.html",
        "over another endpoint",
        WALK_THROUGH,
        "iot:Publish",
        f"{ARN}:topic/test/topic",
        False,
        {"aws:SourceVpce": "vpce-11111111111111111"},
    ),
    # Connect
    Vector(
        "IOT/connect-policy.html",
        "client1 alone",
        [allow("iot:Connect", f"{ARN}:client/client1")],
        "iot:Connect",
        f"{ARN}:client/client1",
        True,
    ),
    Vector(
        "IOT/connect-policy.html",
        "not client2",
        [allow("iot:Connect", f"{ARN}:client/client1")],
        "iot:Connect",
        f"{ARN}:client/client2",
        False,
    ),
    Vector(
        "IOT/connect-policy.html",
        "a registered thing",
        FIRST_TWO_DENIED,
        "iot:Connect",
        f"{ARN}:client/thing1",
        True,
        IS_THING_1,
    ),
    Vector(
        "IOT/connect-policy.html",
        "client1 is denied even as a thing",
        FIRST_TWO_DENIED,
        "iot:Connect",
        f"{ARN}:client/client1",
        False,
        {"iot:Connection.Thing.ThingName": "client1", "iot:Connection.Thing.IsAttached": "true"},
    ),
    Vector(
        "IOT/thing-policy-variables.html",
        "a client ID that is no attached thing resolves no variable",
        FIRST_TWO_DENIED,
        "iot:Connect",
        f"{ARN}:client/thing2",
        False,
        {"iot:ClientId": "thing2", "iot:Connection.Thing.IsAttached": "false"},
    ),
    # Connect attributes
    attributes(
        "PersistentConnect allowed, and used",
        [allow("iot:Connect", "*", {"ForAllValues:StringEquals": {"iot:ConnectAttributes": PERSISTENT}})],
        PERSISTENT,
        allowed=True,
    ),
    attributes(
        "PersistentConnect allowed, LastWill used",
        [allow("iot:Connect", "*", {"ForAllValues:StringEquals": {"iot:ConnectAttributes": PERSISTENT}})],
        ["LastWill"],
        allowed=False,
    ),
    attributes(
        "PersistentConnect allowed, nothing used",
        [allow("iot:Connect", "*", {"ForAllValues:StringEquals": {"iot:ConnectAttributes": PERSISTENT}})],
        [],
        allowed=True,
    ),
    attributes(
        "PersistentConnect disallowed by NotEquals, and used",
        [allow("iot:Connect", "*", {"ForAllValues:StringNotEquals": {"iot:ConnectAttributes": PERSISTENT}})],
        PERSISTENT,
        allowed=False,
    ),
    attributes(
        "PersistentConnect disallowed by NotEquals, LastWill used",
        [allow("iot:Connect", "*", {"ForAllValues:StringNotEquals": {"iot:ConnectAttributes": PERSISTENT}})],
        ["LastWill"],
        allowed=True,
    ),
    attributes(
        "PersistentConnect denied by ForAnyValue, and used",
        [
            allow("iot:Connect", "*"),
            deny("iot:Connect", "*", {"ForAnyValue:StringEquals": {"iot:ConnectAttributes": PERSISTENT}}),
        ],
        BOTH,
        allowed=False,
    ),
    attributes(
        "PersistentConnect denied by ForAnyValue, clean connect",
        [
            allow("iot:Connect", "*"),
            deny("iot:Connect", "*", {"ForAnyValue:StringEquals": {"iot:ConnectAttributes": PERSISTENT}}),
        ],
        [],
        allowed=True,
    ),
    attributes(
        "both allowed, both used",
        [allow("iot:Connect", "*", {"ForAllValues:StringEquals": {"iot:ConnectAttributes": BOTH}})],
        BOTH,
        allowed=True,
    ),
    attributes(
        "only default features, persistent used",
        [allow("iot:Connect", "*", {"ForAllValues:StringEquals": {"iot:ConnectAttributes": []}})],
        PERSISTENT,
        allowed=False,
    ),
    attributes(
        "only default features, none used",
        [allow("iot:Connect", "*", {"ForAllValues:StringEquals": {"iot:ConnectAttributes": []}})],
        [],
        allowed=True,
    ),
    attributes(
        "only with PersistentConnect, clean connect",
        [allow("iot:Connect", "*", {"ForAnyValue:StringEquals": {"iot:ConnectAttributes": PERSISTENT}})],
        [],
        allowed=False,
    ),
    attributes(
        "only with PersistentConnect, with a will too",
        [allow("iot:Connect", "*", {"ForAnyValue:StringEquals": {"iot:ConnectAttributes": PERSISTENT}})],
        BOTH,
        allowed=True,
    ),
    attributes("must have both, has both", MUST_HAVE_BOTH, BOTH, allowed=True),
    attributes("must have both, has one", MUST_HAVE_BOTH, PERSISTENT, allowed=False),
    attributes("must have both, has none", MUST_HAVE_BOTH, [], allowed=False),
    Vector(
        ATTRIBUTES,
        "a will on the allowed topic",
        [allow("iot:Connect", "*", {"ArnEquals": {"iot:LastWillTopic": f"{ARN}:topic/my/lastwill/topicName"}})],
        "iot:Connect",
        f"{ARN}:client/c",
        True,
        {"iot:LastWillTopic": f"{ARN}:topic/my/lastwill/topicName"},
    ),
    Vector(
        ATTRIBUTES,
        "a will on another topic",
        [allow("iot:Connect", "*", {"ArnEquals": {"iot:LastWillTopic": f"{ARN}:topic/my/lastwill/topicName"}})],
        "iot:Connect",
        f"{ARN}:client/c",
        False,
        {"iot:LastWillTopic": f"{ARN}:topic/other"},
    ),
    # Publish, subscribe, receive
    Vector(
        "IOT/pub-sub-policy.html",
        "below the thing's name",
        [allow("iot:Publish", f"{ARN}:topic/{THING}/*")],
        "iot:Publish",
        f"{ARN}:topic/thing1/a/b",
        True,
        IS_THING_1,
    ),
    Vector(
        "IOT/pub-sub-policy.html",
        "below another thing's name",
        [allow("iot:Publish", f"{ARN}:topic/{THING}/*")],
        "iot:Publish",
        f"{ARN}:topic/thing2/a",
        False,
        IS_THING_1,
    ),
    Vector(
        "IOT/pub-sub-policy.html",
        "rooms: subscribe",
        ROOMS,
        "iot:Subscribe",
        f"{ARN}:topicfilter/thing1/room1",
        True,
        IS_THING_1,
    ),
    Vector(
        "IOT/pub-sub-policy.html", "rooms: receive", ROOMS, "iot:Receive", f"{ARN}:topic/thing1/room2", True, IS_THING_1
    ),
    Vector(
        "IOT/pub-sub-policy.html",
        "rooms: a topicfilter is no topic",
        ROOMS,
        "iot:Subscribe",
        f"{ARN}:topic/thing1/room1",
        False,
        IS_THING_1,
    ),
    Vector(
        "IOT/pub-sub-policy.html",
        "all but bar",
        EXCEPT_BAR,
        "iot:Publish",
        f"{ARN}:topic/client1/foo",
        True,
        {"iot:ClientId": "client1"},
    ),
    Vector(
        "IOT/pub-sub-policy.html",
        "all but bar: bar",
        EXCEPT_BAR,
        "iot:Publish",
        f"{ARN}:topic/client1/bar",
        False,
        {"iot:ClientId": "client1"},
    ),
    Vector(
        "IOT/pub-sub-policy.html",
        "+ in a policy is literal: the same filter",
        [allow("iot:Subscribe", f"{ARN}:topicfilter/some/+/topic")],
        "iot:Subscribe",
        f"{ARN}:topicfilter/some/+/topic",
        True,
    ),
    Vector(
        "IOT/pub-sub-policy.html",
        "+ in a policy is literal: a matching filter",
        [allow("iot:Subscribe", f"{ARN}:topicfilter/some/+/topic")],
        "iot:Subscribe",
        f"{ARN}:topicfilter/some/a/topic",
        False,
    ),
    Vector(
        "IOT/pub-sub-policy.html",
        "# in a policy is literal",
        [allow("iot:Subscribe", f"{ARN}:topicfilter/some/#")],
        "iot:Subscribe",
        f"{ARN}:topicfilter/some/a",
        False,
    ),
    Vector(
        "IOT/pub-sub-policy.html",
        "* covers a filter's #",
        [allow("iot:Subscribe", f"{ARN}:topicfilter/some/*")],
        "iot:Subscribe",
        f"{ARN}:topicfilter/some/#",
        True,
    ),
    Vector(
        "IOT/pub-sub-policy.html",
        "* crosses topic levels",
        [allow("iot:Publish", f"{ARN}:topic/some/*/topic")],
        "iot:Publish",
        f"{ARN}:topic/some/a/b/topic",
        True,
    ),
    Vector(
        "IOT/pub-sub-policy.html",
        "? is one character",
        [allow("iot:Publish", f"{ARN}:topic/some/?????/topic")],
        "iot:Publish",
        f"{ARN}:topic/some/topic/topic",
        True,
    ),
    Vector(
        "IOT/pub-sub-policy.html",
        "? is not two characters",
        [allow("iot:Publish", f"{ARN}:topic/some/?/topic")],
        "iot:Publish",
        f"{ARN}:topic/some/ab/topic",
        False,
    ),
    Vector(
        "IOT/basic-policy-variables.html",
        "a client ID of + opens my/+/topic",
        [allow("iot:Subscribe", f"{ARN}:topicfilter/my/${{iot:ClientId}}/topic")],
        "iot:Subscribe",
        f"{ARN}:topicfilter/my/+/topic",
        True,
        {"iot:ClientId": "+"},
    ),
    Vector(
        "IOT/retained-message-policy-examples.html",
        "retained publish",
        [allow(["iot:Publish", "iot:RetainPublish"], f"{ARN}:topic/device/sample/configuration")],
        "iot:RetainPublish",
        f"{ARN}:topic/device/sample/configuration",
        True,
    ),
    Vector(
        "IOT/iot-policy-actions.html",
        "publish alone is no retained publish",
        [allow("iot:Publish", f"{ARN}:topic/device/sample/configuration")],
        "iot:RetainPublish",
        f"{ARN}:topic/device/sample/configuration",
        False,
    ),
    # Elements
    Vector(
        "IAM/reference_policies_elements_action.html",
        "action names are not case-sensitive",
        [allow("IOT:connect", "*")],
        "iot:Connect",
        f"{ARN}:client/c",
        True,
    ),
    Vector(
        "IAM/reference_policies_elements_action.html",
        "wildcards in an action",
        [allow("iot:*ublish", "*")],
        "iot:RetainPublish",
        f"{ARN}:topic/t",
        True,
    ),
    Vector(
        "IAM/reference_policies_elements_notaction.html",
        "NotAction leaves the named action out",
        [{"Effect": "Allow", "NotAction": "iot:Publish", "Resource": "*"}],
        "iot:Publish",
        f"{ARN}:topic/t",
        False,
    ),
    Vector(
        "IAM/reference_policies_elements_notaction.html",
        "NotAction allows the rest",
        [{"Effect": "Allow", "NotAction": "iot:Publish", "Resource": "*"}],
        "iot:Connect",
        f"{ARN}:client/c",
        True,
    ),
    Vector(
        "IAM/reference_policies_elements_notresource.html",
        "NotResource denies all but the named",
        [allow("*", "*"), {"Effect": "Deny", "Action": "iot:Publish", "NotResource": f"{ARN}:topic/open/*"}],
        "iot:Publish",
        f"{ARN}:topic/closed",
        False,
    ),
    Vector(
        "IAM/reference_policies_elements_notresource.html",
        "NotResource spares the named",
        [allow("*", "*"), {"Effect": "Deny", "Action": "iot:Publish", "NotResource": f"{ARN}:topic/open/*"}],
        "iot:Publish",
        f"{ARN}:topic/open/t",
        True,
    ),
    Vector(
        "IAM/reference_policies_elements_resource.html",
        "another account's resource",
        [allow("iot:Connect", "arn:aws:iot:us-east-1:999999999999:client/*")],
        "iot:Connect",
        f"{ARN}:client/c",
        False,
    ),
    Vector(
        "IAM/reference_policies_elements_resource.html",
        "a wildcard Region",
        [allow("iot:Connect", "arn:aws:iot:*:123456789012:client/c")],
        "iot:Connect",
        f"{ARN}:client/c",
        True,
    ),
    # Variables
    Vector(
        "IAM/reference_policies_variables.html",
        "${*} is a literal *",
        [allow("iot:Publish", f"{ARN}:topic/a${{*}}b")],
        "iot:Publish",
        f"{ARN}:topic/a*b",
        True,
    ),
    Vector(
        "IAM/reference_policies_variables.html",
        "${*} is no wildcard",
        [allow("iot:Publish", f"{ARN}:topic/a${{*}}b")],
        "iot:Publish",
        f"{ARN}:topic/axb",
        False,
    ),
    Vector(
        "IAM/reference_policies_variables.html",
        "${$} is a literal $",
        [allow("iot:Publish", f"{ARN}:topic/${{$}}aws/things/t")],
        "iot:Publish",
        f"{ARN}:topic/$aws/things/t",
        True,
    ),
    Vector(
        "IAM/reference_policies_variables.html",
        "a default value",
        [allow("iot:Publish", f"{ARN}:topic/${{iot:ClientId, 'nobody'}}")],
        "iot:Publish",
        f"{ARN}:topic/nobody",
        True,
    ),
    Vector(
        "IAM/reference_policies_variables.html",
        "key names are not case-sensitive",
        [allow("iot:Publish", f"{ARN}:topic/${{IOT:clientid}}")],
        "iot:Publish",
        f"{ARN}:topic/c",
        True,
        {"iot:ClientId": "c"},
    ),
    Vector(
        "IAM/reference_policies_elements_version.html",
        "no variables before 2012-10-17",
        [allow("iot:Publish", f"{ARN}:topic/${{iot:ClientId}}")],
        "iot:Publish",
        f"{ARN}:topic/c",
        False,
        {"iot:ClientId": "c"},
        version="2008-10-17",
    ),
    Vector(
        "IAM/reference_policies_elements_version.html",
        "without a version the variable is plain text",
        [allow("iot:Publish", f"{ARN}:topic/${{iot:ClientId}}")],
        "iot:Publish",
        f"{ARN}:topic/${{iot:ClientId}}",
        True,
        version=None,
    ),
    # Operators
    connects(
        OPERATORS,
        "StringEquals is case-sensitive",
        {"StringEquals": {"aws:k": "john"}},
        {"aws:k": "John"},
        allowed=False,
    ),
    connects(
        OPERATORS,
        "StringEqualsIgnoreCase is not",
        {"StringEqualsIgnoreCase": {"aws:k": "john"}},
        {"aws:k": "John"},
        allowed=True,
    ),
    connects(
        OPERATORS,
        "StringEquals knows no wildcard",
        {"StringEquals": {"aws:k": "jo*"}},
        {"aws:k": "john"},
        allowed=False,
    ),
    connects(OPERATORS, "StringLike has *", {"StringLike": {"aws:k": "t1.*"}}, {"aws:k": "t1.micro"}, allowed=True),
    connects(OPERATORS, "StringLike has ?", {"StringLike": {"aws:k": "t?.micro"}}, {"aws:k": "t1.micro"}, allowed=True),
    connects(
        OPERATORS,
        "StringLike has variables",
        {"StringLike": {"aws:k": "home/${aws:username}/*"}},
        {"aws:k": "home/a/b", "aws:username": "a"},
        allowed=True,
    ),
    connects(
        OPERATORS, "values are joined by OR", {"StringEquals": {"aws:k": ["a", "b"]}}, {"aws:k": "b"}, allowed=True
    ),
    connects(
        OPERATORS,
        "keys are joined by AND",
        {"StringEquals": {"aws:k": "a", "aws:l": "b"}},
        {"aws:k": "a"},
        allowed=False,
    ),
    connects(
        OPERATORS,
        "operators are joined by AND",
        {"StringEquals": {"aws:k": "a"}, "Bool": {"aws:b": "true"}},
        {"aws:k": "a", "aws:b": "false"},
        allowed=False,
    ),
    connects(
        OPERATORS,
        "negated values are joined by NOR",
        {"StringNotEquals": {"aws:k": ["a", "b"]}},
        {"aws:k": "b"},
        allowed=False,
    ),
    connects(OPERATORS, "a missing key fails a positive operator", {"StringLike": {"aws:k": "*"}}, {}, allowed=False),
    connects(OPERATORS, "a missing key matches StringNotEquals", {"StringNotEquals": {"aws:k": "a"}}, {}, allowed=True),
    connects(OPERATORS, "a missing key matches StringNotLike", {"StringNotLike": {"aws:k": "*"}}, {}, allowed=True),
    connects(
        OPERATORS, "a missing key matches NotIpAddress", {"NotIpAddress": {"aws:k": "203.0.113.0/24"}}, {}, allowed=True
    ),
    connects(
        OPERATORS,
        "IfExists: a missing key is true",
        {"StringLikeIfExists": {"ec2:InstanceType": ["t1.*"]}},
        {},
        allowed=True,
    ),
    connects(
        OPERATORS,
        "IfExists: a present key counts",
        {"StringLikeIfExists": {"ec2:InstanceType": ["t1.*"]}},
        {"ec2:InstanceType": "c5.large"},
        allowed=False,
    ),
    connects(
        OPERATORS,
        "deny with StringNotEqualsIfExists denies without the key",
        {"StringNotEqualsIfExists": {"aws:k": "a"}},
        {},
        allowed=False,
        statement=deny,
    ),
    connects(
        OPERATORS, "Null true: the key must not exist", {"Null": {"aws:TokenIssueTime": "true"}}, {}, allowed=True
    ),
    connects(
        OPERATORS,
        "Null true: but it does",
        {"Null": {"aws:TokenIssueTime": "true"}},
        {"aws:TokenIssueTime": "2026-01-01T00:00:00Z"},
        allowed=False,
    ),
    connects(OPERATORS, "Null false: the key must exist", {"Null": {"aws:SourceVpce": False}}, VPCE, allowed=True),
    connects(
        OPERATORS,
        "Bool",
        {"Bool": {"aws:SecureTransport": "false"}},
        {"aws:SecureTransport": "false"},
        allowed=False,
        statement=deny,
    ),
    connects(
        OPERATORS,
        "Bool takes a JSON boolean",
        {"Bool": {"iot:Connection.Thing.IsAttached": True}},
        IS_THING_1,
        allowed=True,
    ),
    connects(
        OPERATORS,
        "IpAddress in the range",
        {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}},
        {"aws:SourceIp": "203.0.113.9"},
        allowed=True,
    ),
    connects(
        OPERATORS,
        "IpAddress: the default prefix is /32",
        {"IpAddress": {"aws:SourceIp": "203.0.113.0"}},
        {"aws:SourceIp": "203.0.113.9"},
        allowed=False,
    ),
    connects(
        OPERATORS,
        "IpAddress: absent over an endpoint",
        {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}},
        VPCE,
        allowed=False,
    ),
    connects(
        OPERATORS,
        "IpAddress: IPv6 and IPv4 mixed",
        {"IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "2001:DB8:1234:5678::/64"]}},
        {"aws:SourceIp": "2001:db8:1234:5678::1"},
        allowed=True,
    ),
    connects(
        OPERATORS,
        "NumericLessThanEquals",
        {"NumericLessThanEquals": {"s3:max-keys": "10"}},
        {"s3:max-keys": "10"},
        allowed=True,
    ),
    connects(
        OPERATORS,
        "NumericLessThanEquals: above",
        {"NumericLessThanEquals": {"s3:max-keys": "10"}},
        {"s3:max-keys": "11"},
        allowed=False,
    ),
    connects(
        OPERATORS,
        "DateGreaterThan",
        {"DateGreaterThan": {"aws:TokenIssueTime": "2020-01-01T00:00:01Z"}},
        {"aws:TokenIssueTime": "2026-01-01T00:00:00Z"},
        allowed=True,
    ),
    connects(
        OPERATORS,
        "DateLessThan in epoch time",
        {"DateLessThan": {"aws:EpochTime": "1000"}},
        {"aws:EpochTime": "1001"},
        allowed=False,
    ),
    connects(
        OPERATORS,
        "BinaryEquals",
        {"BinaryEquals": {"aws:k": "QmluYXJ5VmFsdWVJbkJhc2U2NA=="}},
        {"aws:k": "BinaryValueInBase64"},
        allowed=True,
    ),
    connects(
        OPERATORS,
        "ArnLike compares between colons",
        {"ArnLike": {"aws:SourceArn": "arn:aws:someservice:*:111122223333:finance/*"}},
        {"aws:SourceArn": "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt"},
        allowed=False,
    ),
    connects(
        OPERATORS,
        "StringLike does not",
        {"StringLike": {"aws:SourceArn": "arn:aws:someservice:*:111122223333:finance/*"}},
        {"aws:SourceArn": "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt"},
        allowed=True,
    ),
    connects(
        OPERATORS,
        "ArnEquals behaves as ArnLike",
        {"ArnEquals": {"aws:SourceArn": "arn:aws:sns:*:123456789012:*"}},
        {"aws:SourceArn": "arn:aws:sns:us-east-2:123456789012:t"},
        allowed=True,
    ),
    connects(
        MULTI,
        "ForAllValues: all are listed",
        {"ForAllValues:StringLike": {"dynamodb:k": ["PostDateTime", "Message", "Tags"]}},
        {"dynamodb:k": ["PostDateTime", "Message"]},
        allowed=True,
    ),
    connects(
        MULTI,
        "ForAllValues: one is not",
        {"ForAllValues:StringLike": {"dynamodb:k": ["PostDateTime", "Message", "Tags"]}},
        {"dynamodb:k": ["PostDateTime", "UserName"]},
        allowed=False,
    ),
    connects(
        MULTI,
        "ForAllValues: none at all",
        {"ForAllValues:StringLike": {"dynamodb:k": ["PostDateTime"]}},
        {},
        allowed=True,
    ),
    connects(
        MULTI,
        "ForAnyValue: one is listed",
        {"ForAnyValue:StringLike": {"dynamodb:k": ["ID", "PostDateTime"]}},
        {"dynamodb:k": ["UserName", "Message", "PostDateTime"]},
        allowed=False,
        statement=deny,
    ),
    connects(
        MULTI,
        "ForAnyValue: none is listed",
        {"ForAnyValue:StringLike": {"dynamodb:k": ["ID", "PostDateTime"]}},
        {"dynamodb:k": ["UserName"]},
        allowed=True,
        statement=deny,
    ),
    connects(MULTI, "ForAnyValue: none at all", {"ForAnyValue:StringLike": {"dynamodb:k": ["*"]}}, {}, allowed=False),
    connects(
        MULTI,
        "ForAnyValue negated: one other is enough",
        {"ForAnyValue:StringNotEquals": {"dynamodb:k": ["ID"]}},
        {"dynamodb:k": ["ID", "Name"]},
        allowed=True,
    ),
]
