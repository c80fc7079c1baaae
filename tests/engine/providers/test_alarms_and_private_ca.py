"""What the stand-ins of CloudWatch's alarms and of AWS Private CA take and refuse, before any call.

The rules are those of terraform-provider-aws (`cloudwatch/metric_alarm.go`, `acmpca/*.go`), read in November 2026; the
vendor's plugin was never run. What they do with AWS: `tests/engine/test_certificate_sources.py`.
"""

from typing import Any

import pytest
from botocore.session import get_session

from lab.providers.aws.metric_alarm import RESOURCES as ALARMS
from lab.providers.aws.private_ca import RESOURCES as PRIVATE_CA
from lab.providers.check import check_properties
from lab.providers.schema import Property

pytestmark = pytest.mark.engine

ALL = {**ALARMS, **PRIVATE_CA}
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
AUTHORITY = "aws:acmpca/certificateAuthority:CertificateAuthority"
CERTIFICATE = "aws:acmpca/certificate:Certificate"
PERMISSION = "aws:acmpca/permission:Permission"
AUTHORITY_ARN = "arn:aws:acm-pca:eu-west-1:123456789012:certificate-authority/1"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:operators"

GOOD: dict[str, dict[str, Any]] = {
    ALARM: {
        "alarmActions": [TOPIC],
        "comparisonOperator": "LessThanThreshold",
        "evaluationPeriods": 1,
        "metricName": "DaysToExpiry",
        "namespace": "AWS/CertificateManager",
        "period": 86_400,
        "statistic": "Minimum",
        "threshold": 30,
    },
    AUTHORITY: {
        "certificateAuthorityConfiguration": {
            "keyAlgorithm": "RSA_2048",
            "signingAlgorithm": "SHA256WITHRSA",
            "subject": {"commonName": "VPN"},
        },
        "type": "ROOT",
    },
    CERTIFICATE: {
        "certificateAuthorityArn": AUTHORITY_ARN,
        "certificateSigningRequest": "request",
        "signingAlgorithm": "SHA256WITHRSA",
        "templateArn": "arn:aws:acm-pca:::template/RootCACertificate/V1",
        "validity": {"type": "DAYS", "value": "825"},
    },
    PERMISSION: {
        "actions": ["IssueCertificate", "GetCertificate", "ListPermissions"],
        "certificateAuthorityArn": AUTHORITY_ARN,
        "principal": "acm.amazonaws.com",
    },
}


def changed(kind: str, path: str, value: Any) -> dict[str, Any]:
    """The good inputs of a type with another value at a path."""
    *parents, last = path.split(".")
    inputs: dict[str, Any] = {**GOOD[kind]}
    inner = inputs
    for name in parents:
        inner[name] = {**inner[name]}
        inner = inner[name]
    inner[last] = value
    return inputs


def refusals(kind: str, inputs: dict[str, Any]) -> dict[str, str]:
    checked, failures = check_properties(ALL[kind].inputs, inputs)
    return {each.property: each.reason for each in failures or ALL[kind].check(checked)}


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        *((kind, next(iter(inputs)), inputs[next(iter(inputs))]) for kind, inputs in GOOD.items()),
        (ALARM, "threshold", 0.5),
        (ALARM, "period", 10),
        (ALARM, "period", 172_800),
        (ALARM, "alarmActions", [f"{TOPIC}{number}" for number in range(6)]),
        (ALARM, "alarmActions", ["arn:aws:automate:eu-west-1:ec2:recover"]),
        (ALARM, "comparisonOperator", "GreaterThanUpperThreshold"),
        (AUTHORITY, "certificateAuthorityConfiguration.keyAlgorithm", "ML_DSA_65"),
        (AUTHORITY, "certificateAuthorityConfiguration.subject", {"givenName": "A" * 16, "title": "T"}),
        (AUTHORITY, "permanentDeletionTimeInDays", 7),
        (AUTHORITY, "keyStorageSecurityStandard", "CCPC_LEVEL_1_OR_HIGHER"),
        (CERTIFICATE, "validity", {"type": "END_DATE", "value": "2027-01-01T00:00:00Z"}),
        (CERTIFICATE, "signingAlgorithm", "SHA256WITHRSA_PSS"),
        (CERTIFICATE, "apiPassthrough", '{"Subject": {}}'),
    ],
)
def test_what_the_provider_takes_is_taken(kind: str, path: str, value: Any) -> None:
    assert refusals(kind, changed(kind, path, value)) == {}


SUBJECT = "certificateAuthorityConfiguration.subject"


@pytest.mark.parametrize(
    ("kind", "path", "value", "reason"),
    [
        (ALARM, "comparisonOperator", "Less", "to be one of"),
        (ALARM, "evaluationPeriods", 0, "in the range (1 - None), got 0"),
        (ALARM, "datapointsToAlarm", 0, "in the range (1 - None), got 0"),
        (ALARM, "period", 45, "one of [10 20 30] or divisible by 60"),
        (ALARM, "statistic", "Median", "to be one of"),
        (ALARM, "statistic", None, "One of `statistic` or `extended_statistic` must be set"),
        (ALARM, "threshold", "high", "expected type number, got string"),
        (ALARM, "treatMissingData", "maybe", "to be one of"),
        (ALARM, "metricName", "", "(1 - 255)"),
        (ALARM, "namespace", "n" * 256, "(1 - 255)"),
        (ALARM, "name", "n" * 256, "(1 - 255)"),
        (ALARM, "alarmDescription", "d" * 1025, "(0 - 1024)"),
        (ALARM, "okActions", [f"{TOPIC}{number}" for number in range(6)], "supports 5 item maximum, config has 6"),
        (ALARM, "insufficientDataActions", [TOPIC] * 6, "supports 5 item maximum"),
        (AUTHORITY, "certificateAuthorityConfiguration.keyAlgorithm", "RSA_1024", "to be one of"),
        (AUTHORITY, "certificateAuthorityConfiguration.signingAlgorithm", "MD5WITHRSA", "to be one of"),
        (AUTHORITY, f"{SUBJECT}.commonName", "c" * 65, "(0 - 64)"),
        (AUTHORITY, f"{SUBJECT}.country", "GER", "(0 - 2)"),
        (AUTHORITY, f"{SUBJECT}.initials", "ABCDEF", "(0 - 5)"),
        (AUTHORITY, "permanentDeletionTimeInDays", 6, "(7 - 30), got 6"),
        (AUTHORITY, "keyStorageSecurityStandard", "NONE", "to be one of"),
        (AUTHORITY, "type", "LEAF", "to be one of"),
        (AUTHORITY, "usageMode", "ANY", "to be one of"),
        (AUTHORITY, "certificateAuthorityConfiguration", None, "is required"),
        (CERTIFICATE, "validity.type", "WEEKS", "to be one of"),
        (CERTIFICATE, "validity.value", "0", "positive integer or an RFC 3339 date"),
        (CERTIFICATE, "validity.value", "2027-01-01", "positive integer or an RFC 3339 date"),
        (CERTIFICATE, "apiPassthrough", "{", "invalid JSON"),
        (CERTIFICATE, "templateArn", "arn:aws:acm-pca:eu-west-1::template/RootCACertificate/V1", "region must be"),
        (CERTIFICATE, "templateArn", AUTHORITY_ARN.replace("eu-west-1:123456789012", ":"), "start with"),
        (CERTIFICATE, "certificateAuthorityArn", "1", "invalid ARN"),
        (PERMISSION, "principal", "iot.amazonaws.com", "to be one of"),
    ],
)
def test_what_the_provider_refuses_is_refused_by_its_property(kind: str, path: str, value: Any, reason: str) -> None:
    found = refusals(kind, changed(kind, path, value))
    assert list(found) == [path]
    assert reason in found[path]


def test_an_action_of_a_permission_or_an_alarm_is_refused_by_its_place() -> None:
    assert list(refusals(PERMISSION, changed(PERMISSION, "actions", ["Sign"]))) == ["actions[0]"]
    assert list(refusals(ALARM, changed(ALARM, "alarmActions", ["topic"]))) == ["alarmActions[0]"]


def leaves(rules: dict[str, Property], prefix: str = "") -> dict[str, Property]:
    found: dict[str, Property] = {}
    for name, rule in rules.items():
        inner = leaves(dict(rule.fields), f"{prefix}{name}.")
        found |= inner or {f"{prefix}{name}": rule}
    return found


def test_the_enumerations_are_awss() -> None:
    """Those that the provider takes from AWS's SDK for Go, compared with those of botocore."""
    shapes = {
        ALARM: ("cloudwatch", {"comparisonOperator": "ComparisonOperator", "statistic": "Statistic"}),
        AUTHORITY: (
            "acm-pca",
            {
                "certificateAuthorityConfiguration.keyAlgorithm": "KeyAlgorithm",
                "certificateAuthorityConfiguration.signingAlgorithm": "SigningAlgorithm",
                "keyStorageSecurityStandard": "KeyStorageSecurityStandard",
                "type": "CertificateAuthorityType",
                "usageMode": "CertificateAuthorityUsageMode",
            },
        ),
        CERTIFICATE: ("acm-pca", {"signingAlgorithm": "SigningAlgorithm", "validity.type": "ValidityPeriodType"}),
    }
    for kind, (service, named) in shapes.items():
        model = get_session().get_service_model(service)
        rules = leaves(dict(ALL[kind].inputs))
        for path, shape in named.items():
            assert set(rules[path].allowed) == set(model.shape_for(shape).enum), path


@pytest.mark.parametrize(
    ("kind", "in_place"),
    [
        (ALARM, set(ALARMS[ALARM].inputs) - {"name", "region"}),
        (AUTHORITY, {"enabled", "permanentDeletionTimeInDays", "usageMode", "tags", "tagsAll"}),
        (CERTIFICATE, set()),
        (PERMISSION, set()),
    ],
)
def test_what_replaces(kind: str, in_place: set[str]) -> None:
    assert {path for path, rule in leaves(dict(ALL[kind].inputs)).items() if not rule.force_new} - in_place <= {
        # A block replaces by what is in it, or by itself.
        "validity.type",
        "validity.value",
    }
    assert in_place.isdisjoint(path for path, rule in leaves(dict(ALL[kind].inputs)).items() if rule.force_new)
