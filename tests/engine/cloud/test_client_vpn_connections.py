"""Connections that the data plane reports, their end, and revocation lists.

Cannot prove: how AWS shows a connection that it could not end.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from lab.cloud.server import CloudServer
from tests.engine.cloud.certificates import Pair, revocation_list
from tests.engine.cloud.conftest import REGION, refused

pytestmark = pytest.mark.engine

Make = Callable[..., str]
CONNECTION = {
    "connectionId": "cvpn-connection-1",
    "commonName": "pi-1",
    "clientIp": "172.31.0.2",
    "connectionEstablishedTime": "2026-11-24 07:00:00",
    "ingressBytes": 10,
    "egressBytes": 20,
    "ingressPackets": 1,
    "egressPackets": 2,
    "status": "active",
}


def report(cloud: CloudServer, endpoint_id: str, *connections: dict[str, Any], region: str = REGION) -> Any:
    body = {"region": region, "clientVpnEndpointId": endpoint_id, "connections": connections}
    request = urllib.request.Request(  # noqa: S310 - loopback
        f"{cloud.url}/_lab/ec2/client-vpn-connections", json.dumps(body).encode(), method="PUT"
    )
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - loopback
        return json.load(response)


def terminating(cloud: CloudServer, *, known: str = "") -> Any:
    query = f"region={REGION}&known={known}&wait=60"
    with urllib.request.urlopen(f"{cloud.url}/_lab/ec2/client-vpn-terminations?{query}", timeout=50) as response:  # noqa: S310 - loopback
        return json.load(response)["terminating"]


def connections(ec2: Any, endpoint_id: str, **parameters: Any) -> list[dict[str, Any]]:
    answer = ec2.describe_client_vpn_connections(ClientVpnEndpointId=endpoint_id, **parameters)
    found: list[dict[str, Any]] = answer["Connections"]
    return found


def test_a_reported_connection_is_described(cloud: CloudServer, ec2: Any, make_endpoint: Make) -> None:
    endpoint_id = make_endpoint()
    assert connections(ec2, endpoint_id) == []
    assert report(cloud, endpoint_id, CONNECTION) == {"connections": 1}
    (connection,) = connections(ec2, endpoint_id)
    assert connection.pop("Timestamp")
    assert connection == {
        "ClientVpnEndpointId": endpoint_id,
        "ConnectionId": "cvpn-connection-1",
        "Username": "N/A",
        "ConnectionEstablishedTime": "2026-11-24 07:00:00",
        "IngressBytes": "10",
        "EgressBytes": "20",
        "IngressPackets": "1",
        "EgressPackets": "2",
        "ClientIp": "172.31.0.2",
        "CommonName": "pi-1",
        "Status": {"Code": "active"},
    }


def test_reports_are_merged_by_connection(cloud: CloudServer, ec2: Any, make_endpoint: Make) -> None:
    endpoint_id = make_endpoint()
    report(cloud, endpoint_id, CONNECTION)
    second = CONNECTION | {"connectionId": "cvpn-connection-2", "clientIp": "172.31.0.3"}
    assert report(cloud, endpoint_id, {"connectionId": "cvpn-connection-1", "ingressBytes": 99}, second) == {
        "connections": 2
    }
    first, other = connections(ec2, endpoint_id)
    assert (first["IngressBytes"], first["EgressBytes"], first["ClientIp"]) == ("99", "20", "172.31.0.2")
    assert other["ClientIp"] == "172.31.0.3"
    chosen = connections(ec2, endpoint_id, Filters=[{"Name": "connection-id", "Values": ["*-2"]}])
    assert [one["ConnectionId"] for one in chosen] == ["cvpn-connection-2"]


def test_a_terminated_connection_is_terminating_until_the_data_plane_reports_its_end(
    cloud: CloudServer, ec2: Any, make_endpoint: Make
) -> None:
    endpoint_id = make_endpoint()
    report(cloud, endpoint_id, CONNECTION)
    answer = ec2.terminate_client_vpn_connections(ClientVpnEndpointId=endpoint_id, ConnectionId="cvpn-connection-1")
    assert answer["ConnectionStatuses"] == [
        {
            "ConnectionId": "cvpn-connection-1",
            "PreviousStatus": {"Code": "active"},
            "CurrentStatus": {"Code": "terminating"},
        }
    ]
    assert terminating(cloud) == ["cvpn-connection-1"]
    report(cloud, endpoint_id, CONNECTION)
    assert connections(ec2, endpoint_id)[0]["Status"]["Code"] == "terminating"
    assert terminating(cloud) == ["cvpn-connection-1"]
    report(cloud, endpoint_id, CONNECTION | {"status": "terminated"})
    (ended,) = connections(ec2, endpoint_id)
    assert ended["Status"]["Code"] == "terminated"
    assert ended["ConnectionEndTime"]
    assert terminating(cloud, known="cvpn-connection-1") == []


def test_a_connection_that_does_not_exist_cannot_be_terminated(ec2: Any, make_endpoint: Make) -> None:
    endpoint_id = make_endpoint()
    with refused("InvalidClientVpnConnection.IdNotFound", "cvpn-connection-9"):
        ec2.terminate_client_vpn_connections(ClientVpnEndpointId=endpoint_id, ConnectionId="cvpn-connection-9")
    with refused("InvalidClientVpnConnection.UserNotFound", "alice"):
        ec2.terminate_client_vpn_connections(ClientVpnEndpointId=endpoint_id, Username="alice")
    with refused("InvalidParameterCombination"):
        ec2.terminate_client_vpn_connections(ClientVpnEndpointId=endpoint_id)


@pytest.mark.parametrize(
    ("region", "endpoint_id", "connection"),
    [
        (REGION, "cvpn-endpoint-0123456789abcdef0", CONNECTION),
        ("xx-none-1", None, CONNECTION),
        (REGION, None, {"connectionId": "cvpn-connection-1"}),
        (REGION, None, CONNECTION | {"status": "dead"}),
    ],
)
def test_a_report_that_cannot_be_read_is_refused(  # noqa: PLR0917 - fixtures and cases
    cloud: CloudServer, ec2: Any, make_endpoint: Make, region: str, endpoint_id: str | None, connection: dict[str, Any]
) -> None:
    made = make_endpoint()
    with pytest.raises(urllib.error.HTTPError) as caught:
        report(cloud, endpoint_id or made, connection, region=region)
    with caught.value as error:
        assert error.code == 400
        assert json.load(error)["error"]
    assert connections(ec2, made) == []


def test_a_revocation_list_is_imported_exported_and_overwritten(ec2: Any, authority: Pair, make_endpoint: Make) -> None:
    endpoint_id = make_endpoint()
    assert "CertificateRevocationList" not in ec2.export_client_vpn_client_certificate_revocation_list(
        ClientVpnEndpointId=endpoint_id
    )
    for pem in (revocation_list(authority, 1), revocation_list(authority, 1, 2)):
        answer = ec2.import_client_vpn_client_certificate_revocation_list(
            ClientVpnEndpointId=endpoint_id, CertificateRevocationList=pem
        )
        assert answer["Return"]
        exported = ec2.export_client_vpn_client_certificate_revocation_list(ClientVpnEndpointId=endpoint_id)
        assert (exported["CertificateRevocationList"], exported["Status"]["Code"]) == (pem, "active")


def test_a_text_that_is_no_revocation_list_is_refused(ec2: Any, authority: Pair, make_endpoint: Make) -> None:
    endpoint_id = make_endpoint()
    for text in ("nonsense", authority.pem.decode()):
        with refused("InvalidParameterValue", "revocation list"):
            ec2.import_client_vpn_client_certificate_revocation_list(
                ClientVpnEndpointId=endpoint_id, CertificateRevocationList=text
            )


def test_more_than_20000_revoked_certificates_are_refused(ec2: Any, authority: Pair, make_endpoint: Make) -> None:
    with refused("ClientVpnCertificateRevocationListLimitExceeded", "20001", "20000"):
        ec2.import_client_vpn_client_certificate_revocation_list(
            ClientVpnEndpointId=make_endpoint(),
            CertificateRevocationList=revocation_list(authority, *range(1, 20002)),
        )
