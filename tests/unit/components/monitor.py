"""A Pulumi monitor that answers as a cloud would and writes down everything that a program asked of it.

It sees what the engine sees: types, names, parents, inputs with their secrets, dependencies, aliases, providers. It
cannot prove that AWS or the providers accept any of it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pytest
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime import mocks, resource, rpc, settings, stack
from pulumi.runtime.config import set_all_config
from pulumi.runtime.proto import resource_pb2, source_pb2

from tests.unit.components.authority import authority_pem

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"
UNKNOWN = rpc.UNKNOWN
ACCOUNT = "123456789012"
OFFERED = {"iot.data": ["a", "c"], "iot.credentials": ["a", "c"]}
"""Zones, by their last letter, in which the fake Region offers the endpoint services; `d` is not among them."""
PRIVATE_KEY_MARK = "-----BEGIN FAKE PRIVATE KEY-----"


@dataclass(frozen=True)
class Secret:
    """A value that travelled as a secret."""

    value: Any


@dataclass(frozen=True)
class Registration:
    """One resource as the engine was asked for it."""

    urn: str
    type: str
    name: str
    parent: str
    custom: bool
    inputs: dict[str, Any]
    dependencies: frozenset[str]
    aliases: tuple[str, ...]
    provider: str
    secret_outputs: frozenset[str]
    state: dict[str, Any]
    place: int


@dataclass
class Deployment:
    """What a program did."""

    registrations: list[Registration] = field(default_factory=list)
    component_outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    stack_outputs: dict[str, Any] = field(default_factory=dict)
    invokes: list[tuple[str, dict[str, Any], str]] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)

    def of(self, kind: str) -> list[Registration]:
        """Every resource of a type, in the order of registration; `kind` is the end of the type's token."""
        return [one for one in self.registrations if one.type.rsplit(":", 1)[1] == kind]

    def one(self, kind: str, name: str | None = None) -> Registration:
        """The only resource of a type, or the only one of a name among them."""
        found = [one for one in self.of(kind) if name is None or one.name == name]
        assert len(found) == 1, [one.name for one in self.of(kind)]
        return found[0]

    def counts(self) -> Counter[str]:
        """Number of resources by type, the stack left out."""
        return Counter(one.type for one in self.registrations)

    def urn(self, kind: str, name: str | None = None) -> str:
        return self.one(kind, name).urn

    def as_state(self) -> dict[str, Any]:
        """What the engine tells of a stack that was deployed: URN → type and outputs."""
        return {
            one.urn: {"type": one.type, "outputs": one.state if one.custom else self.component_outputs[one.urn]}
            for one in self.registrations
        }


def plain(value: Any) -> Any:
    """Take secrets' wrappings off, at every depth."""
    if isinstance(value, Secret):
        return plain(value.value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def exposed_texts(value: Any) -> Iterator[str]:
    """Every text that does not lie within a secret."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from exposed_texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from exposed_texts(item)


def _read(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get(SIGNATURE) == SECRET:
            return Secret(_read(value["value"]))
        return {key: _read(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_read(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def read_struct(message: struct_pb2.Struct) -> dict[str, Any]:
    """A protocol message as plain Python, secrets as `Secret`."""
    read: dict[str, Any] = _read(json_format.MessageToDict(message))
    return read


def _is_stack(urn: str) -> bool:
    return urn.split("::")[2] == "pulumi:pulumi:Stack"


class _Answers(mocks.Mocks):
    """Unused: `Recorder` answers itself, but its base class wants one."""

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        raise NotImplementedError

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        raise NotImplementedError


class Recorder(mocks.MockMonitor):
    """The monitor: answers like a small cloud, writes everything down."""

    def __init__(
        self,
        *,
        preview: bool,
        region: str,
        dns_entries: list[dict[str, str]] | None,
        deployed: Mapping[str, Any],
        lookups: Mapping[str, Mapping[str, Any]],
    ) -> None:
        super().__init__(_Answers())
        self.deployment = Deployment()
        self.deployed = deployed
        self.lookups = lookups
        self.preview = preview
        self.region = region
        self.dns_entries = dns_entries

    def Invoke(self, request: Any) -> Any:  # noqa: N802 # the protocol's name
        arguments = read_struct(request.args)
        self.deployment.invokes.append((request.tok, arguments, request.provider))
        answer = struct_pb2.Struct()
        answer.update(self._invoke(request.tok.rsplit(":", 1)[1], arguments))
        return resource_pb2.ResourceInvokeResponse(**{"return": answer})

    def _invoke(self, function: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        if function == "readStackResourceOutputs":
            assert arguments["stackName"] == "organization/private-iot/test", arguments
            return {"name": arguments["stackName"], "outputs": self.deployed}
        if function in ("getVpc", "getSubnet"):
            return dict(self.lookups[arguments["id"]])
        if function == "getRegion":
            return {"id": self.region, "region": self.region, "name": self.region, "description": "", "endpoint": ""}
        if function == "getCallerIdentity":
            partitions = {"us-gov": "aws-us-gov", "cn": "aws-cn"}
            partition = next((known for start, known in partitions.items() if self.region.startswith(start)), "aws")
            arn = f"arn:{partition}:sts::{ACCOUNT}:assumed-role/deployer/session"
            return {"id": ACCOUNT, "accountId": ACCOUNT, "arn": arn, "userId": "AROA:session"}
        if function == "getCertificateAuthority":
            return {
                "id": arguments["arn"],
                "arn": arguments["arn"],
                "certificate": authority_pem(),
                "certificateChain": "",
            }
        if function == "getVpcEndpointService":
            name = arguments["serviceName"]
            letters = OFFERED[name.removeprefix(f"com.amazonaws.{self.region}.")]
            # Not sorted, as AWS does not promise an order; GovCloud gives the name and no details.
            zones = [f"{self.region}{letter}" for letter in reversed(letters)]
            return {"serviceName": name, **({} if "-gov-" in self.region else {"availabilityZones": zones})}
        assert function == "getEndpoint", function
        kind = {
            "iot:Data-ATS": f"a1b2c3-ats.iot.{self.region}",
            "iot:CredentialProvider": f"c9.credentials.iot.{self.region}",
        }
        return {"id": "endpoint", "endpointAddress": f"{kind[arguments['endpointType']]}.amazonaws.com"}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 # the protocol's name
        if request.type == "pulumi:pulumi:Stack":
            return resource_pb2.RegisterResourceResponse(urn=self.make_urn("", request.type, request.name))
        urn = self.make_urn("" if _is_stack(request.parent) else request.parent, request.type, request.name)
        inputs = read_struct(request.object)
        computed = self._computed(request.type, request.name, plain(inputs)) if request.custom else {}
        if self.preview:
            computed = dict.fromkeys(computed, UNKNOWN)
        state = {**plain(inputs), **computed}
        self.deployment.registrations.append(
            Registration(
                urn=urn,
                type=request.type,
                name=request.name,
                parent=request.parent,
                custom=request.custom,
                inputs=inputs,
                dependencies=frozenset(request.dependencies),
                aliases=tuple(str(alias) for alias in (*request.aliases, *request.aliasURNs)),
                provider=request.provider,
                secret_outputs=frozenset(request.additionalSecretOutputs),
                state=state,
                place=len(self.deployment.registrations),
            )
        )
        # The engine gives back as secrets what came as secrets, and what the resource declares to be one.
        secrets = request.additionalSecretOutputs
        answer = struct_pb2.Struct()
        answer.update(
            {
                key: {SIGNATURE: SECRET, "value": value}
                if key in secrets or isinstance(inputs.get(key), Secret)
                else value
                for key, value in state.items()
                if value is not None
            }
        )
        identifier = "" if self.preview or not request.custom else str(computed.get("id") or f"{request.name}-id")
        self.resources[urn] = mocks.MockMonitor.ResourceRegistration(urn, identifier, state)
        return resource_pb2.RegisterResourceResponse(urn=urn, id=identifier, object=answer)

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802 # the protocol's name
        outputs = read_struct(request.outputs)
        if _is_stack(request.urn):
            self.deployment.stack_outputs = outputs
        else:
            self.deployment.component_outputs[request.urn] = outputs
        return empty_pb2.Empty()

    def _computed(self, token: str, name: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """What the provider adds to a resource's inputs."""
        kind = token.rsplit(":", 1)[1]
        digest = hashlib.sha256(f"{token} {name}".encode()).hexdigest()
        if token.startswith("tls:"):
            pem = f"-----BEGIN FAKE {kind}-----\n{name}\n-----END FAKE {kind}-----\n"
            key = f"{PRIVATE_KEY_MARK}\n{name}\n-----END FAKE PRIVATE KEY-----\n"
            return {
                "PrivateKey": {
                    "privateKeyPem": key,
                    "privateKeyPemPkcs8": key,
                    "privateKeyOpenssh": key,
                    "publicKeyPem": "public",
                },
                "CertRequest": {"certRequestPem": pem},
            }.get(kind, {"certPem": pem})
        arn = f"arn:aws:fake:{self.region}:{ACCOUNT}:{kind}/{name}-id"
        vpce = f"vpce-{digest[:17]}"
        suffix = f"data.iot.{self.region}.vpce.amazonaws.com"
        computed: dict[str, Any] = {
            "VpcEndpoint": {
                "id": vpce,
                "dnsEntries": self.dns_entries
                or [
                    {"dnsName": f"{vpce}-0abc1def-{self.region}a.{suffix}", "hostedZoneId": "ZONAL"},
                    {"dnsName": f"{vpce}-0abc1def.{suffix}", "hostedZoneId": "REGIONAL"},
                ],
            },
            "Zone": {"zoneId": f"Z{digest[:12].upper()}"},
            "Endpoint": {
                "id": f"cvpn-endpoint-{digest[:17]}",
                "dnsName": f"*.cvpn-endpoint-{digest[:17]}.prod.clientvpn.{self.region}.amazonaws.com",
            },
            "Certificate": {
                "arn": arn,
                **({"id": digest, "certificatePem": f"-----BEGIN FAKE IOT-----\n{name}\n"} if "csr" in inputs else {}),
            },
        }
        if token.startswith("aws:acmpca"):
            issued = {"certificate": authority_pem(), "certificateChain": "", "certificateSigningRequest": "request"}
            computed["Certificate"] = computed["CertificateAuthority"] = {"arn": arn, **issued}
        named = {} if "name" in inputs else {"name": f"{name}-0a1b2c3"}
        return {"id": f"{name}-id", "arn": arn, **named, **computed.get(kind, {})}


class _AtOnce(ThreadPoolExecutor):
    """Asks the monitor where the SDK would in a thread: it answers from memory, without anything to wait for."""

    def submit(self, fn: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*arguments, **named))
        except Exception as error:  # noqa: BLE001 # handed on to whoever asks for the result
            done.set_exception(error)
        return done


def deploy(
    program: Callable[[], object],
    *,
    preview: bool = False,
    region: str = "ap-northeast-1",
    config: Mapping[str, str] | None = None,
    dns_entries: list[dict[str, str]] | None = None,
    deployed: Deployment | Mapping[str, Any] | None = None,
    lookups: Mapping[str, Mapping[str, Any]] | None = None,
    refused: type[Exception] | None = None,
) -> Deployment:
    """Run a program to its end, until every registration has drained.

    Args:
        program: Registers resources and may export outputs.
        preview: Whether the provider's answers are unknown, as before the first deployment.
        region: The Region of the fake cloud.
        config: The stack's configuration.
        dns_entries: DNS entries of interface endpoints in place of the usual two.
        deployed: What the stack's last deployment did, or its state: URN → type and outputs.
        lookups: What AWS says of a VPC or a subnet that is there already, by its identifier.
        refused: An exception that the program is expected to raise; what was registered until then is returned.

    Returns:
        What the program did.
    """
    recorder = Recorder(
        preview=preview,
        region=region,
        dns_entries=dns_entries,
        deployed=deployed.as_state() if isinstance(deployed, Deployment) else deployed or {},
        lookups=lookups or {},
    )

    features = set(recorder.GetDeploymentInfo(None).supportedFeatures)  # type: ignore[no-untyped-call] # the SDK leaves it untyped

    async def run() -> None:
        asyncio.get_running_loop().set_default_executor(_AtOnce())
        if refused is not None:
            # What depended on the refused value fails with it; asyncio would report each at some later collection.
            asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        settings.configure(
            mocks.MockSettings(  # type: ignore[no-untyped-call] # as above
                monitor=recorder,
                monitor_features=features,
                engine=mocks.MockEngine(None),
                project="private-iot",
                stack="test",
                dry_run=preview,
                organization="organization",
                callbacks=None,
            )
        )
        set_all_config({"aws:region": region, **(config or {})})
        await stack.run_in_stack(lambda: _call(program))

    try:
        with pytest.MonkeyPatch.context() as patch:
            # For the processor time alone: the SDK reads the stack of every resource, here with all of pytest's.
            patch.setattr(resource, "_get_stack_trace", source_pb2.StackTrace)
            asyncio.run(run())
    except Exception as error:
        if refused is None or not isinstance(error, refused):
            raise
        recorder.deployment.logged.append(str(error))
    else:
        assert refused is None, f"{refused} was expected"
    finally:
        settings.reset_options()
    return recorder.deployment


def _call(program: Callable[[], object]) -> None:
    """Discard the program's result: the stack would take an awaitable for more of the program."""
    program()


def export(**values: Any) -> None:
    """Export values as stack outputs, where a test reads them after everything has drained."""
    for name, value in values.items():
        pulumi.export(name, value)
