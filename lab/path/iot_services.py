"""The programs behind AWS IoT's addresses: MQTT gateway, broker and, where it is used, the credential provider."""

import json
from collections.abc import Iterable
from typing import Any

from lab.path import addresses
from lab.path.model import Cloud
from lab.path.parts import IOT, File, IotServer, Service, provisioning_socket, service_directory

Listener = dict[str, str | None]
"""``address``, ``vpcEndpointId`` and ``vpcId``, as the gateway's table has it."""


def gives_credentials(cloud: Cloud) -> bool:
    """Whether anything asks for the credential provider: a role alias or an interface endpoint of it."""
    return bool(cloud.iot.role_aliases) or any(
        endpoint.service_name == f"com.amazonaws.{cloud.region}.iot.credentials" for endpoint in cloud.vpc_endpoints
    )


def iot_services(
    cloud: Cloud, server: IotServer, private: Iterable[tuple[str, Listener]], *, python: str
) -> tuple[list[Service], list[str]]:
    """Describe the programs.

    Args:
        server: The certificate that they show.
        private: Interface endpoints' services, each with a listener on an address of theirs.
        python: The interpreter that runs them.

    Returns:
        The services, and notes of the endpoints that nothing answers for.
    """
    data, credentials = (f"com.amazonaws.{cloud.region}.iot.{name}" for name in ("data", "credentials"))
    listeners: dict[str, list[Listener]] = {
        data: [_public(addresses.IOT_PUBLIC)],
        credentials: [_public(addresses.CREDENTIALS_PUBLIC)],
    }
    notes: list[str] = []
    for service, listener in private:
        if service in listeners:
            listeners[service].append(listener)
        else:
            notes.append(f"{listener['vpcEndpointId']}: nothing answers for {service}")
    services = [*_gateway(cloud, server, listeners[data], python)]
    if gives_credentials(cloud):
        services.append(_credential_provider(cloud, server, listeners[credentials], python))
    return services, list(dict.fromkeys(notes))


def _public(address: str) -> Listener:
    return {"address": address, "vpcEndpointId": None, "vpcId": None}


def _gateway(cloud: Cloud, server: IotServer, listeners: list[Listener], python: str) -> list[Service]:
    broker, gateway = service_directory("broker"), service_directory("gateway")
    socket = f"{broker}/mosquitto.sock"
    # Imported here: the gateway is a program of its own, and only its broker's configuration is shared.
    from lab.path.gateway import mosquitto_configuration  # noqa: PLC0415

    return [
        Service(
            "broker",
            IOT,
            ("mosquitto", "-c", f"{broker}/mosquitto.conf"),
            (File(f"{broker}/mosquitto.conf", mosquitto_configuration(socket)),),
            ready=socket,
        ),
        Service(
            "gateway",
            IOT,
            (
                *(python, "-m", "lab.path.gateway", "--table", f"{gateway}/table.json"),
                *("--broker-socket", socket, "--control", f"{gateway}/control.sock"),
                *("--provisioning-socket", provisioning_socket()),
            ),
            _files(gateway, server, {**_table(cloud), "endpoint": cloud.iot.endpoint, "listeners": listeners}),
            ready=f"{gateway}/control.sock",
        ),
    ]


def _credential_provider(cloud: Cloud, server: IotServer, listeners: list[Listener], python: str) -> Service:
    name = "credential-provider"
    directory = service_directory(name)
    ready = f"{directory}/ready"
    table = {
        **_table(cloud),
        "endpoint": cloud.iot.credentials_endpoint,
        "listeners": listeners,
        "roleAliases": {
            alias.name: {"duration": alias.duration, "maxSession": alias.max_session}
            for alias in cloud.iot.role_aliases
        },
    }
    addresses_file = File(f"{directory}/addresses", "\n".join(str(each["address"]) for each in listeners) + "\n")
    return Service(
        name,
        IOT,
        (python, "-m", "lab.path.credential_provider", "--table", f"{directory}/table.json", "--ready", ready),
        # It reads its table for each connection, and listens anew only after a restart.
        (*_files(directory, server, table), addresses_file),
        ready=ready,
    )


def _table(cloud: Cloud) -> dict[str, Any]:
    iot = cloud.iot
    return {
        "region": cloud.region,
        "accountId": iot.account_id,
        "certificates": {
            item.certificate_id: {
                "status": item.status,
                "policies": list(item.policies),
                "things": list(item.things),
                "certificatePem": item.pem,
            }
            for item in iot.certificates
        },
        "things": {
            thing.name: {"thingTypeName": thing.thing_type_name, "attributes": dict(thing.attributes)}
            for thing in iot.things
        },
        "policies": dict(iot.policies),
    }


def _files(directory: str, server: IotServer, table: dict[str, Any]) -> tuple[File, ...]:
    # The file's name changes with the certificate, so that the table changes too and the program reads both again.
    identity = addresses.short(server.certificate)
    certificate, key = f"{directory}/server-{identity}.pem", f"{directory}/server-{identity}.key"
    roots = f"{directory}/device-roots.pem"
    table = {**table, "server": {"certificateFile": certificate, "privateKeyFile": key}, "deviceRootsFile": roots}
    return (
        File(certificate, server.certificate, "hangup"),
        File(key, server.private_key, "hangup"),
        File(roots, server.device_roots, "hangup"),
        File(f"{directory}/table.json", json.dumps(table, indent=2) + "\n", "hangup"),
    )
