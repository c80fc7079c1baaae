"""A client of a provider plugin: what the engine says and hears, without an engine."""

import re
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from lab.providers.values import Properties, decode, encode, reveal

TIMEOUT = 240


class Refused(Exception):  # noqa: N818 - what the plugin did, not what went wrong here
    """A call that the plugin answered with an error."""

    def __init__(self, error: grpc.RpcError) -> None:
        super().__init__(str(error.details()))
        self.text = str(error.details())
        self.code = error.code()
        self.half_made = _half_made(error)


def _half_made(error: grpc.RpcError) -> provider_pb2.ErrorResourceInitFailed | None:
    """What a failed creation has left, out of the status details where the engine looks for it."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value)
            left = provider_pb2.ErrorResourceInitFailed()
            assert status.details[0].Unpack(left)
            return left
    return None


@dataclass
class Made:
    """A resource as the engine would have it in its state."""

    type: str
    id: str
    inputs: Properties
    state: Properties


@dataclass(frozen=True)
class Plan:
    """What a diff says."""

    changes: bool
    replaces: list[str]
    properties: list[str]
    detail: dict[str, str]
    delete_before_replace: bool


def _place(failure: provider_pb2.CheckFailure, name: str) -> str:
    """The property that a refusal is about, out of its text: the bridge leaves the field for it empty."""
    assert failure.property == ""
    found = re.search(rf"Examine values at '{re.escape(name)}\.(.+)'\.$", failure.reason) or re.match(
        r"Missing required property '([^']+)'", failure.reason
    )
    assert found, failure.reason
    return found[1]


def urn(kind: str, name: str = "it") -> str:
    return f"urn:pulumi:test::project::{kind}::{name}"


class Plugin:
    """A plugin that listens on a port."""

    def __init__(self, port: int) -> None:
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.stub = provider_pb2_grpc.ResourceProviderStub(self._channel)

    def close(self) -> None:
        self._channel.close()

    def _call(self, method: str, request: Any) -> Any:
        try:
            return getattr(self.stub, method)(request, timeout=TIMEOUT)
        except grpc.RpcError as error:
            raise Refused(error) from None

    def handshake(self) -> provider_pb2.ProviderHandshakeResponse | None:
        """What the plugin says of itself; None where it has no handshake, as older bridges have none."""
        request = provider_pb2.ProviderHandshakeRequest(engine_address="127.0.0.1:1")
        try:
            answer: provider_pb2.ProviderHandshakeResponse = self._call("Handshake", request)
        except Refused as refused:
            if refused.code is not grpc.StatusCode.UNIMPLEMENTED:
                raise
            return None
        return answer

    def version(self) -> str:
        return str(self._call("GetPluginInfo", empty_pb2.Empty()).version)

    def schema(self) -> str:
        return str(self._call("GetSchema", provider_pb2.GetSchemaRequest()).schema)

    def cancel(self) -> None:
        self._call("Cancel", empty_pb2.Empty())

    def check_config(self, given: Properties) -> dict[str, str]:
        request = provider_pb2.CheckRequest(urn=urn("pulumi:providers:it"), news=encode(given))
        return {failure.property: failure.reason for failure in self._call("CheckConfig", request).failures}

    def diff_config(self, old: Properties, new: Properties) -> list[str]:
        request = provider_pb2.DiffRequest(olds=encode(old), old_inputs=encode(old), news=encode(new))
        return list(self._call("DiffConfig", request).replaces)

    def configure(self, given: Properties) -> None:
        self._call("Configure", provider_pb2.ConfigureRequest(args=encode(given), acceptSecrets=True))

    def check(
        self,
        kind: str,
        news: Properties,
        olds: Properties | None = None,
        *,
        name: str = "it",
        seed: bytes = b"seed",
        autonaming: provider_pb2.CheckRequest.AutonamingOptions | None = None,
    ) -> tuple[Properties, dict[str, str]]:
        request = provider_pb2.CheckRequest(
            urn=urn(kind, name),
            olds=encode(olds or {}),
            news=encode(news),
            randomSeed=seed,
            autonaming=autonaming,
        )
        answer = self._call("Check", request)
        return decode(answer.inputs), {_place(failure, name): failure.reason for failure in answer.failures}

    def checked(self, kind: str, news: Properties, olds: Properties | None = None, *, name: str = "it") -> Properties:
        inputs, failures = self.check(kind, news, olds, name=name)
        assert not failures, failures
        return inputs

    def create(self, kind: str, news: Properties, *, name: str = "it", timeout: float = 0) -> Made:
        inputs = self.checked(kind, news, name=name)
        request = provider_pb2.CreateRequest(urn=urn(kind, name), properties=encode(inputs), timeout=timeout)
        answer = self._call("Create", request)
        return Made(kind, answer.id, inputs, decode(answer.properties))

    def preview(self, kind: str, news: Properties, *, name: str = "it") -> Properties:
        """The state that a preview of a creation promises."""
        inputs = self.checked(kind, news, name=name)
        request = provider_pb2.CreateRequest(urn=urn(kind, name), properties=encode(inputs), preview=True)
        answer = self._call("Create", request)
        assert answer.id == ""
        return decode(answer.properties)

    def plan(self, made: Made, news: Properties, ignore: tuple[str, ...] = ()) -> Plan:
        """What changes from what was made to new inputs."""
        inputs = self.checked(made.type, news, made.inputs)
        request = provider_pb2.DiffRequest(
            id=made.id,
            urn=urn(made.type),
            olds=encode(made.state),
            old_inputs=encode(made.inputs),
            news=encode(inputs),
            ignoreChanges=ignore,
        )
        answer = self._call("Diff", request)
        kinds = provider_pb2.PropertyDiff.Kind
        return Plan(
            changes=answer.changes == provider_pb2.DiffResponse.DIFF_SOME,
            replaces=list(answer.replaces),
            properties=list(answer.diffs),
            detail={path: kinds.Name(entry.kind) for path, entry in answer.detailedDiff.items()},
            delete_before_replace=answer.deleteBeforeReplace,
        )

    def update(self, made: Made, news: Properties, *, preview: bool = False) -> Made:
        inputs = self.checked(made.type, news, made.inputs)
        request = provider_pb2.UpdateRequest(
            id=made.id,
            urn=urn(made.type),
            olds=encode(made.state),
            old_inputs=encode(made.inputs),
            news=encode(inputs),
            preview=preview,
        )
        answer = self._call("Update", request)
        return Made(made.type, made.id, inputs, decode(answer.properties))

    def refresh(self, made: Made) -> Made | None:
        """What a refresh sees; None when it is gone."""
        request = provider_pb2.ReadRequest(
            id=made.id, urn=urn(made.type), properties=encode(made.state), inputs=encode(made.inputs)
        )
        return self._seen(made.type, request)

    def import_(self, kind: str, identifier: str) -> Made | None:
        """What an import sees; None where there is nothing of that id."""
        return self._seen(kind, provider_pb2.ReadRequest(id=identifier, urn=urn(kind)))

    def _seen(self, kind: str, request: provider_pb2.ReadRequest) -> Made | None:
        answer = self._call("Read", request)
        if not answer.id:
            return None
        return Made(kind, answer.id, decode(answer.inputs), decode(answer.properties))

    def delete(self, made: Made, *, timeout: float = 0) -> None:
        request = provider_pb2.DeleteRequest(
            id=made.id, urn=urn(made.type), properties=encode(made.state), timeout=timeout
        )
        self._call("Delete", request)

    def invoke(self, token: str, arguments: Properties | None = None) -> Properties:
        answer = self._call("Invoke", provider_pb2.InvokeRequest(tok=token, args=encode(arguments or {})))
        assert not answer.failures, list(answer.failures)
        return decode(getattr(answer, "return"))

    def invoke_failures(self, token: str, arguments: Properties) -> dict[str, str]:
        answer = self._call("Invoke", provider_pb2.InvokeRequest(tok=token, args=encode(arguments)))
        return {failure.property: failure.reason for failure in answer.failures}


def assert_settled(plugin: Plugin, made: Made, news: Properties) -> None:
    """Nothing is left to do: a refresh sees what the state has, and the same program changes nothing."""
    seen = plugin.refresh(made)
    assert seen is not None
    assert reveal(seen.state) == reveal(made.state)
    assert reveal(seen.inputs) == reveal(made.inputs)
    plan = plugin.plan(made, news)
    assert not plan.changes, plan.detail
