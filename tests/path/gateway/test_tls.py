"""Who gets through the TLS handshake of the gateway.

What this cannot prove: which alert AWS IoT sends in each case; no page says so.
"""

import ssl

import pytest

from lab.path.gateway.packets import V5, V311, Connect
from lab.path.gateway.tls import MQTT_ALPN
from tests.path.gateway.authority import Authority
from tests.path.gateway.raw_client import RawClient
from tests.path.gateway.stack import ALPN_PORT, Stack

pytestmark = pytest.mark.path

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_registered_certificate_is_served_by_both_versions(stack: Stack, version: ssl.TLSVersion) -> None:
    credential = stack.device("open")
    stack.reload()
    with RawClient(stack, stack.endpoint, credential, version=version) as client:
        assert client.tls.version() == version.name.replace("_", ".")
        assert client.open(Connect(V311, f"tls-{version}", clean=True, keep_alive=60)) == (False, 0, {})


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("server_name", [None, "example.com", "iot.ap-northeast-1.amazonaws.com"])
def test_without_the_endpoints_server_name_the_handshake_is_refused(
    stack: Stack, version: ssl.TLSVersion, server_name: str | None
) -> None:
    credential = stack.device("open")
    stack.reload()
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        RawClient(stack, stack.public, credential, version=version, server_name=server_name)
    assert (
        stack.event("handshake-refused", listener=stack.public)["reason"] == "server name missing or not the endpoint's"
    )


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("who", "alert"),
    [
        ("nobody", "HANDSHAKE_FAILURE|CERTIFICATE_REQUIRED"),
        ("expired", "CERTIFICATE_EXPIRED"),
        ("stranger", "UNKNOWN_CA"),
    ],
)
def test_a_certificate_that_cannot_be_trusted_is_refused_with_an_alert(
    stack: Stack, version: ssl.TLSVersion, who: str, alert: str
) -> None:
    credential = {
        "nobody": None,
        "expired": stack.authority.issue("expired", days=-1),
        "stranger": Authority(stack.directory, f"Stranger {version.name}").issue("stranger"),
    }[who]
    if credential is not None:
        stack.register(credential, "open", things=("pi-1",))  # registration alone does not help
    stack.reload()
    with (
        pytest.raises(ssl.SSLError, match=alert),
        RawClient(stack, stack.endpoint, credential, version=version) as client,
    ):
        client.open(Connect(V311, "refused", clean=True, keep_alive=60))


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (None, "certificate is not registered"),
        ("INACTIVE", "certificate is INACTIVE"),
        ("REVOKED", "certificate is REVOKED"),
    ],
)
def test_a_certificate_that_is_not_active_is_hung_up_on_before_connect(
    stack: Stack, status: str | None, reason: str
) -> None:
    credential = stack.authority.issue("device")
    if status is not None:
        stack.register(credential, "open", status=status)
    stack.reload()
    with RawClient(stack, stack.endpoint, credential) as client:
        assert client.closed()
    assert stack.event("certificate-refused", certificateId=credential.certificate_id)["reason"] == reason


def test_a_registered_certificate_of_another_authority_is_served_when_the_table_holds_it(stack: Stack) -> None:
    credential = Authority(stack.directory, "Own Authority").issue("own")
    stack.register(credential, "open", pem=True)
    stack.reload()
    with RawClient(stack, stack.endpoint, credential) as client:
        assert client.open(Connect(V5, "own", clean=True, keep_alive=60))[1] == 0


def test_port_443_serves_mqtt_by_alpn_only(stack: Stack) -> None:
    credential = stack.device("open")
    stack.reload()
    with RawClient(stack, stack.endpoint, credential, port=ALPN_PORT, alpn=(MQTT_ALPN,)) as client:
        assert client.tls.selected_alpn_protocol() == MQTT_ALPN
        assert client.open(Connect(V5, "alpn", clean=True, keep_alive=60))[1] == 0
    with RawClient(stack, stack.endpoint, credential, port=ALPN_PORT) as client:
        assert client.closed()
    refusal = stack.event("certificate-refused", certificateId=credential.certificate_id)
    assert refusal["reason"] == "port 443 without the ALPN protocol x-amzn-mqtt-ca"
