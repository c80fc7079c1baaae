"""Check and Diff by themselves, and the descriptions against the SDKs that programs import.

Cannot prove that the vendor's plugins judge alike; each description names the file of the provider that it follows.
"""

import importlib
import inspect
import re
import sys
import warnings
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi import _types

from lab.providers.aws.common import name_of, prefix_of, same_policy
from lab.providers.aws.provider import AwsProvider
from lab.providers.aws.route53_record import expand_name
from lab.providers.aws.security_group import atoms, atoms_of_permissions, rules_of_permissions
from lab.providers.aws.shapes import from_api
from lab.providers.check import check_properties, fill_defaults, make_name
from lab.providers.diff import differences, equal
from lab.providers.schema import (
    AutoName,
    Resource,
    boolean,
    integer,
    list_of,
    map_of_strings,
    object_of,
    set_of,
    string,
)
from lab.providers.tls.provider import TlsProvider
from lab.providers.values import UNKNOWN, Secret, decode, encode, reveal

pytestmark = pytest.mark.engine

ALL = {**AwsProvider().resources, **TlsProvider().resources}
# Inputs that the SDKs have and the stand-ins refuse: write-only arguments and what nothing here uses.
UNSERVED = {
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": {"revokeRulesOnDelete"},
    "aws:ec2/securityGroup:SecurityGroup": {"revokeRulesOnDelete"},
    "aws:ec2/routeTable:RouteTable": {"propagatingVgws"},
    "aws:ec2/vpcEndpoint:VpcEndpoint": {"autoAccept", "resourceConfigurationArn", "serviceNetworkArn"},
    "aws:route53/resolverFirewallRule:ResolverFirewallRule": {
        "confidenceThreshold",
        "dnsThreatProtection",
        "firewallThreatProtectionId",
    },
    "aws:route53/zone:Zone": {"delegationSetId", "enableAcceleratedRecovery"},
    "aws:acmpca/certificateAuthority:CertificateAuthority": {"revocationConfiguration"},
    "aws:cloudwatch/metricAlarm:MetricAlarm": {
        "evaluateLowSampleCountPercentiles",
        "evaluationCriteria",
        "evaluationInterval",
        "evaluationWindow",
        "extendedStatistic",
        "metricQueries",
        "thresholdMetricId",
        "unit",
        "warmUpConfiguration",
    },
    "aws:acm/certificate:Certificate": {
        "domainValidationOptions",
        "earlyRenewalDuration",
        "options",
        "privateKeyWo",
        "privateKeyWoVersion",
        "renewalSummaries",
        "validationEmails",
        "validationMethod",
        "validationOptions",
    },
    "aws:cloudwatch/logGroup:LogGroup": {"deletionProtectionEnabled", "kmsKeyId"},
    "aws:ec2/flowLog:FlowLog": {
        "deliverCrossAccountRole",
        "destinationOptions",
        "regionalNatGatewayId",
        "tagFieldSpecifications",
        "transitGatewayAttachmentId",
        "transitGatewayId",
    },
    "aws:ec2/subnet:Subnet": {
        "assignIpv6AddressOnCreation",
        "customerOwnedIpv4Pool",
        "enableDns64",
        "enableLniAtDeviceIndex",
        "enableResourceNameDnsAaaaRecordOnLaunch",
        "ipv4IpamPoolId",
        "ipv4NetmaskLength",
        "ipv6CidrBlock",
        "ipv6CidrBlockAssociationId",
        "ipv6IpamPoolId",
        "ipv6Native",
        "ipv6NetmaskLength",
        "mapCustomerOwnedIpOnLaunch",
        "outpostArn",
    },
    "aws:ec2/vpc:Vpc": {
        "assignGeneratedIpv6CidrBlock",
        "ipv4IpamPoolId",
        "ipv4NetmaskLength",
        "ipv6AssociationId",
        "ipv6CidrBlock",
        "ipv6CidrBlockNetworkBorderGroup",
        "ipv6IpamPoolId",
        "ipv6NetmaskLength",
    },
    "aws:route53/record:Record": {
        "cidrRoutingPolicy",
        "failoverRoutingPolicies",
        "healthCheckId",
        "latencyRoutingPolicies",
        "multivalueAnswerRoutingPolicy",
        "setIdentifier",
        "weightedRoutingPolicies",
        "geolocationRoutingPolicies",
        "geoproximityRoutingPolicy",
    },
    "tls:index/certRequest:CertRequest": {"privateKeyPemWo", "privateKeyPemWoVersion"},
    "tls:index/selfSignedCert:SelfSignedCert": {"privateKeyPemWo", "privateKeyPemWoVersion"},
    "tls:index/locallySignedCert:LocallySignedCert": {"caPrivateKeyPemWo", "caPrivateKeyPemWoVersion"},
}


def sdk_module(token: str) -> ModuleType:
    """The SDK's module of a type: `aws:ec2/vpcEndpoint:VpcEndpoint` is in pulumi_aws.ec2.vpc_endpoint."""
    package, path, name = token.split(":")
    module = importlib.import_module(f"pulumi_{package}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the SDK warns of its own deprecated types
        # By attribute, as a program does: the SDK's modules are lazy, and an import of an inner one leaves them half
        # made for every test that follows in the process.
        for part in path.split("/")[:-1]:
            module = module if part == "index" else getattr(module, snake(part))
        return sys.modules[getattr(module, name).__module__]


def snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda match: f"_{match[0].lower()}", name)


def sdk_inputs(token: str) -> set[str]:
    arguments = getattr(sdk_module(token), f"{token.rsplit(':', 1)[-1]}Args")
    return set(_types.input_type_py_to_pulumi_names(arguments).values())


def sdk_outputs(token: str) -> set[str]:
    return set(_types.resource_types(getattr(sdk_module(token), token.rsplit(":", 1)[-1])))


@pytest.mark.parametrize("token", sorted(ALL))
def test_a_type_takes_the_inputs_and_promises_the_outputs_of_the_sdk(token: str) -> None:
    resource = ALL[token]
    unserved = UNSERVED.get(token, set())
    # tagsAll is worked out before Check (pulumi-aws provider/tags.go) and is no input of a program.
    assert set(resource.inputs) - {"tagsAll"} == sdk_inputs(token) - unserved
    assert set(resource.inputs) | set(resource.outputs) == sdk_outputs(token) - unserved


@pytest.mark.parametrize("token", sorted(ALL))
def test_what_a_type_requires_the_sdk_requires(token: str) -> None:
    source = inspect.getsource(sdk_module(token))
    for name, rule in ALL[token].inputs.items():
        missing = f"Missing required property '{snake(name)}'" in source
        # The write-only twin makes the SDK's key optional; the twin is not served, so the key is required here.
        if name in {"privateKeyPem", "caPrivateKeyPem"} and rule.required:
            continue
        # An alarm by a metric query needs neither; queries are not served.
        if token.endswith(":MetricAlarm") and rule.required:
            continue
        assert rule.required == missing, name


RULES = {
    "text": string(),
    "count": integer(minimum=0, maximum=9),
    "on": boolean(),
    "items": list_of(string()),
    "bag": set_of(string()),
    "labels": map_of_strings(),
    "block": object_of({"name": string(required=True), "size": integer(default=3)}),
}


def nothing(*arguments: Any) -> Any:
    raise AssertionError(f"no cloud is touched here: {arguments}")


def resource(**more: Any) -> Resource:
    return Resource(
        type="test:index:It",
        title="It",
        inputs={**RULES, **more},
        outputs={},
        create=nothing,
        read=nothing,
        update=nothing,
        delete=nothing,
    )


texts = st.text(max_size=5)
inputs = st.fixed_dictionaries(
    {},
    optional={
        "text": texts,
        "count": st.integers(0, 9),
        "on": st.booleans(),
        "items": st.lists(texts, max_size=4),
        "bag": st.lists(texts, max_size=4, unique=True),
        "labels": st.dictionaries(texts, texts, max_size=3),
        "block": st.fixed_dictionaries({"name": texts, "size": st.integers(1, 5)}),
    },
)


@given(inputs)
def test_good_inputs_pass_check_unchanged_and_differ_from_themselves_in_nothing(given_inputs: dict[str, Any]) -> None:
    checked, failures = check_properties(RULES, given_inputs)
    assert not failures
    assert checked == given_inputs
    assert differences(resource(), checked, checked) == {}


@given(inputs)
def test_the_order_of_a_set_means_nothing(given_inputs: dict[str, Any]) -> None:
    turned = {**given_inputs, "bag": list(reversed(given_inputs.get("bag", [])))}
    assert differences(resource(), given_inputs, turned) == {}


@given(inputs, inputs)
def test_a_difference_is_found_exactly_where_values_differ(old: dict[str, Any], new: dict[str, Any]) -> None:
    changed = {change.property for change in differences(resource(), old, new).values()}
    for name, rule in RULES.items():
        before, after = old.get(name) or None, new.get(name) or None
        if name == "bag":
            before, after = sorted(before or []), sorted(after or [])
        if name == "items":  # an empty text in a list is as good as none
            continue
        if name == "block":
            before = {key: value for key, value in (before or {}).items() if value}
            after = {key: value for key, value in (after or {}).items() if value}
            if not before or not after:
                continue
        assert (name in changed) == (before != after), rule


@given(st.recursive(texts | st.booleans() | st.integers(-999, 999), lambda x: st.lists(x) | st.dictionaries(texts, x)))
def test_values_survive_the_wire(value: Any) -> None:
    if isinstance(value, str) and len(value) == 36:
        return
    assert reveal(decode(encode({"it": Secret(value)}))["it"]) == value


@given(texts, st.binary(min_size=1, max_size=8), st.integers(10, 300))
def test_a_made_name_fits_and_begins_with_the_resources(name: str, seed: bytes, room: int) -> None:
    made = make_name(AutoName(maximum=room), name, seed)
    assert len(made) <= room
    assert made.startswith(name[: room - 8])
    assert make_name(AutoName(maximum=room), name, seed) == made


def test_a_name_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 8 characters leaves no room"):
        make_name(AutoName(maximum=8), "x", b"s")


@pytest.mark.parametrize(
    ("given_inputs", "property_", "reason"),
    [
        ({"txet": "x"}, "txet", 'An argument named "txet" is not expected here; known: bag, block'),
        ({"count": 10}, "count", "to be in the range (0 - 9), got 10"),
        ({"count": "many"}, "count", "expected type integer, got string"),
        ({"on": 1}, "on", "expected type boolean, got number"),
        ({"items": "x"}, "items", "expected type list, got string"),
        ({"items": [[]]}, "items[0]", "expected type string, got list"),
        ({"labels": {"a": []}}, "labels", "expected type map, got object"),
        ({"block": {}}, "block.name", 'The argument "name" is required'),
        ({"block": {"name": "x", "other": 1}}, "block.other", "is not expected here"),
    ],
)
def test_a_bad_input_is_refused_by_its_path(given_inputs: dict[str, Any], property_: str, reason: str) -> None:
    _, [failure] = check_properties(RULES, given_inputs)
    assert failure.property == property_
    assert reason in failure.reason


def test_types_bend_as_the_bridge_bends_them() -> None:
    checked, failures = check_properties(
        RULES, {"text": 8883, "count": "7", "on": "true", "labels": {"a": 1, "b": True}, "block": {"name": "x"}}
    )
    assert not failures
    assert checked == {
        "text": "8883",
        "count": 7,
        "on": True,
        "labels": {"a": "1", "b": "true"},
        "block": {"name": "x", "size": 3},
    }


def test_unknowns_pass_check_wherever_they_stand() -> None:
    unknowns = {"text": UNKNOWN, "count": UNKNOWN, "items": ["a", UNKNOWN], "block": {"name": UNKNOWN, "size": 1}}
    assert check_properties(RULES, unknowns) == (unknowns, [])


def test_defaults_are_filled_in_and_listed() -> None:
    filled = fill_defaults(resource(mode=string(default="auto")), {}, {}, resource_name="it", seed=b"s")
    assert filled == {"mode": "auto", "__defaults": ["mode"]}


def test_what_is_computed_is_no_difference_when_it_is_left_out() -> None:
    rules = {"seen": string(computed=True), "own": string()}
    kind = resource(**rules)
    state = {"seen": "by the service", "own": "x"}
    assert set(differences(kind, state, {})) == {"own"}
    assert equal(rules["seen"], "a", None)
    assert not equal(rules["seen"], "a", "b")


PORTS = st.tuples(st.sampled_from(["tcp", "udp"]), st.integers(0, 9), st.sampled_from(["", "note"]))
PEERS = st.sets(st.sampled_from(["10.0.0.0/8", "192.0.2.0/24"]), min_size=1)


@given(st.dictionaries(PORTS, PEERS, max_size=4), st.booleans())
def test_rules_taken_apart_and_put_together_are_the_same(given_rules: dict[Any, set[str]], itself: bool) -> None:
    permissions = [
        {
            "IpProtocol": protocol,
            "FromPort": port,
            "ToPort": port,
            "IpRanges": [{"CidrIp": peer, **({"Description": text} if text else {})} for peer in sorted(peers)],
            "UserIdGroupPairs": [{"GroupId": "sg-1"}] if itself and not text else [],
        }
        for (protocol, port, text), peers in given_rules.items()
    ]
    together = rules_of_permissions(permissions, "sg-1")
    assert atoms(together, "sg-1") == atoms_of_permissions(permissions)


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("", "a.test"),
        ("a.test", "a.test"),
        ("A.Test.", "a.test"),
        ("www", "www.a.test"),
        ("www.a.test", "www.a.test"),
        ("ba.test", "ba.test.a.test"),
    ],
)
def test_a_records_name_is_relative_unless_it_ends_with_the_zones(name: str, full: str) -> None:
    assert expand_name(name, "a.test.") == full


def test_a_name_made_by_a_prefix_tells_the_prefix() -> None:
    assert prefix_of(name_of({"namePrefix": "pre-"})) == "pre-"
    assert prefix_of("pre-chosen") == ""
    assert name_of({"name": "chosen"}) == "chosen"


def test_policies_that_mean_the_same() -> None:
    assert same_policy('{"Action": ["b", "a"]}', '{ "Action": ["a", "b"] }')
    assert same_policy('{"Statement": {"Action": "a"}}', '{"Statement": [{"Action": ["a"]}]}')
    assert not same_policy('{"Action": "a"}', '{"Action": "b"}')
    assert not same_policy("{", "{")


def test_what_aws_leaves_out_of_an_answer_has_the_form_that_the_provider_keeps() -> None:
    options = object_of({"names": list_of(string()), "text": string(), "on": boolean(computed=True)})
    rules = {
        "text": string(),
        "names": list_of(string()),
        "off": boolean(),
        "chosen": boolean(computed=True),
        "options": options,
        "others": options,
        "absent": options,
    }
    assert from_api(rules, {"Options": {"On": True}, "Others": {"Text": ""}}, {}) == {
        "text": None,
        "names": [],
        "off": False,
        "chosen": None,
        "options": {"names": [], "text": "", "on": True},
        "others": None,
        "absent": None,
    }
