"""The provider protocol: what the engine calls, answered from the descriptions of the resource types.

Source: ``pulumi/proto/pulumi/provider.proto`` and, where it leaves room, the Terraform bridge's
``pkg/tfbridge/provider.go``.
"""
# ruff: noqa: N802  # the methods' names are the protocol's

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf import any_pb2, empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2_grpc, status_pb2
from pulumi.runtime.proto import provider_pb2 as pb

from lab.providers import check, diff, values
from lab.providers.definition import Provider
from lab.providers.errors import Failure, ProviderError
from lab.providers.schema import Resource
from lab.providers.values import UNKNOWN, Properties
from lab.providers.waiting import Call

Context: TypeAlias = grpc.ServicerContext


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """Serves one provider.

    Args:
        provider: What it offers.
    """

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._cancelled = threading.Event()

    # The provider itself

    def Handshake(self, request: pb.ProviderHandshakeRequest, context: Context) -> pb.ProviderHandshakeResponse:
        """Says what the provider understands."""
        return pb.ProviderHandshakeResponse(accept_secrets=True, supports_autonaming_configuration=True)

    def GetPluginInfo(self, request: Any, context: Context) -> plugin_pb2.PluginInfo:
        """Names the version that the stand-in stands in for."""
        return plugin_pb2.PluginInfo(version=self._provider.version)

    def Attach(self, request: Any, context: Context) -> empty_pb2.Empty:
        """Accepts a debugging engine; nothing is sent back to it."""
        return empty_pb2.Empty()

    def GetSchema(self, request: pb.GetSchemaRequest, context: Context) -> pb.GetSchemaResponse:
        """The smallest valid schema: the SDKs that programs import carry the whole one."""
        schema = {"name": self._provider.name, "version": self._provider.version}
        return pb.GetSchemaResponse(schema=json.dumps(schema))

    def CheckConfig(self, request: pb.CheckRequest, context: Context) -> pb.CheckResponse:
        """Refuses configuration that the provider does not know."""
        failures = self._provider.check_configuration(_plain(request.news))
        return pb.CheckResponse(inputs=request.news, failures=_failures(failures))

    def DiffConfig(self, request: pb.DiffRequest, context: Context) -> pb.DiffResponse:
        """Says which changes of the configuration mean other resources: another Region does."""
        olds = _plain(request.old_inputs) or _plain(request.olds)
        news = _plain(request.news)
        changed = [name for name in sorted({*olds, *news}) if olds.get(name) != news.get(name)]
        return pb.DiffResponse(
            changes=_some(changed),
            diffs=changed,
            replaces=[name for name in changed if name in self._provider.configuration_that_replaces],
        )

    def Configure(self, request: pb.ConfigureRequest, context: Context) -> pb.ConfigureResponse:
        """Takes the configuration; the credentials in it go no further than the clients."""
        with self._errors(context):
            self._provider.configure(_plain(request.args))
        return pb.ConfigureResponse(acceptSecrets=True, supportsPreview=True, supports_autonaming_configuration=True)

    def Cancel(self, request: Any, context: Context) -> empty_pb2.Empty:
        """Ends every wait."""
        self._cancelled.set()
        return empty_pb2.Empty()

    # Resources

    def Check(self, request: pb.CheckRequest, context: Context) -> pb.CheckResponse:
        """Checks a resource's inputs and fills in a name and the defaults."""
        with self._errors(context):
            resource = self._resource(request.urn)
            given = values.decode(request.news)
            checked, failures = check.check_properties(
                resource.inputs, self._provider.before_check(resource, values.reveal(given)), resource.exactly_one_of
            )
            if not failures:
                failures = resource.check(checked)
            autonaming = request.autonaming if request.HasField("autonaming") else None
            disabled = autonaming is not None and autonaming.mode == pb.CheckRequest.AutonamingOptions.DISABLE
            auto, name = resource.autoname, _name_of(request.urn)
            if auto is not None and disabled and checked.get(auto.property) is None:
                reason = "automatic naming is disabled: a name has to be given"
                failures = [*failures, Failure(auto.property, reason)]
            checked = check.fill_defaults(
                resource,
                checked,
                _plain(request.olds),
                resource_name=name,
                seed=request.randomSeed,
                proposed_name=autonaming.proposed_name if autonaming is not None else None,
            )
            inputs = values.mark_secrets(checked, values.secret_names(given))
            # Without the property, as the bridge does: the engine would show it twice.
            told = [pb.CheckFailure(reason=failure.told(name)) for failure in failures]
            return pb.CheckResponse(inputs=values.encode(inputs), failures=told)

    def Diff(self, request: pb.DiffRequest, context: Context) -> pb.DiffResponse:
        """Says what changes, and whether it takes a new resource."""
        with self._errors(context):
            resource = self._resource(request.urn)
            state = _plain(request.olds)
            given = _plain(request.news)
            inputs = self._wanted(resource, given)
            changes = diff.differences(resource, state, inputs, request.ignoreChanges)
            due = resource.due(state, inputs)
            replaces = diff.replacing(resource, state, inputs, changes) | due
            changed = {change.property for change in changes.values()} | due
            detailed = {
                path: pb.PropertyDiff(kind=_kind(change.kind, replaces=change.property in replaces))
                for path, change in changes.items()
            }
            return pb.DiffResponse(
                changes=_some(changed),
                diffs=sorted(changed),
                replaces=sorted(replaces),
                deleteBeforeReplace=bool(replaces) and diff.must_delete_first(resource, state, given),
                hasDetailedDiff=not resource.framework,
                detailedDiff={} if resource.framework else detailed,
            )

    def Create(self, request: pb.CreateRequest, context: Context) -> pb.CreateResponse:
        """Makes a resource, waits until it is usable, and reads it back."""
        with self._errors(context):
            resource = self._resource(request.urn)
            given = values.decode(request.properties)
            inputs = self._wanted(resource, values.reveal(given))
            secrets = resource.secrets | values.secret_names(given)
            if request.preview:
                planned = _plan({}, inputs, resource, frozenset(resource.inputs) | frozenset(resource.outputs))
                planned["id"] = UNKNOWN
                return pb.CreateResponse(properties=_marked(planned, secrets))
            call = self._call(request.timeout or resource.timeouts.create, inputs)
            made = resource.create(call, inputs)
            identifier, known = (made, inputs) if isinstance(made, str) else (made.id, {**inputs, **made.outputs})
            try:
                if resource.settle is not None:
                    resource.settle(call, identifier, inputs)
                _, state = self._read(call, resource, identifier, known) or (identifier, None)
                if state is None:
                    raise ProviderError(f"reading {resource.title} ({identifier}): not found right after its creation")
            except Exception as error:  # noqa: BLE001 - whatever it is, the engine has to learn the id
                half = values.mark_secrets({**known, "id": identifier}, secrets)
                self._abort_half_done(context, error, identifier, given, half)
            return pb.CreateResponse(id=identifier, properties=_marked(state, secrets))

    def Read(self, request: pb.ReadRequest, context: Context) -> pb.ReadResponse:
        """Reads a resource as the cloud has it, for a refresh or an import; an empty id says that it is gone."""
        with self._errors(context):
            resource = self._resource(request.urn)
            olds = values.decode(request.properties)
            old_inputs = values.decode(request.inputs)
            known = values.reveal(olds)
            call = self._call(request.timeout or resource.timeouts.create, known)
            identifier = str(known.get("id", "")) if known and resource.framework else request.id
            seen = self._read(call, resource, identifier, known)
            if seen is None:
                return pb.ReadResponse()
            identifier, state = seen
            secrets = resource.secrets | values.secret_names(olds) | values.secret_names(old_inputs)
            inputs = _inputs_seen(resource, state, values.reveal(old_inputs))
            marked = {"properties": _marked(state, secrets), "inputs": _marked(inputs, secrets)}
            return pb.ReadResponse(id=identifier, **marked)

    def Update(self, request: pb.UpdateRequest, context: Context) -> pb.UpdateResponse:
        """Changes a resource in place and reads it back."""
        with self._errors(context):
            resource = self._resource(request.urn)
            given = values.decode(request.news)
            inputs = self._wanted(resource, values.reveal(given))
            state = _plain(request.olds)
            secrets = resource.secrets | values.secret_names(given)
            changes = diff.differences(resource, state, inputs, request.ignoreChanges)
            changed = frozenset(change.property for change in changes.values())
            if request.preview:
                unknown = frozenset(name for trigger in changed for name in resource.recomputed.get(trigger, ()))
                planned = _plan(state, inputs, resource, unknown)
                return pb.UpdateResponse(properties=_marked(planned, secrets))
            call = self._call(request.timeout or resource.timeouts.update, inputs)
            if changed and resource.update is not None:
                try:
                    resource.update(call, request.id, state, inputs, changed)
                except Exception as error:
                    if resource.framework:
                        raise
                    # The plugin SDK keeps what was planned: the state has the new value, whatever AWS has.
                    planned = values.mark_secrets(_plan(state, inputs, resource, frozenset()), secrets)
                    self._abort_half_done(context, error, request.id, given, planned)
            _, fresh = self._read(call, resource, request.id, {**state, **_given(inputs)}, inputs) or (request.id, None)
            if fresh is None:
                raise ProviderError(f"reading {resource.title} ({request.id}): not found after its update")
            return pb.UpdateResponse(properties=_marked(fresh, secrets))

    def Delete(self, request: pb.DeleteRequest, context: Context) -> empty_pb2.Empty:
        """Deletes a resource; what is gone already is no error."""
        with self._errors(context):
            resource = self._resource(request.urn)
            state = _plain(request.properties)
            call = self._call(request.timeout or resource.timeouts.delete, state)
            resource.delete(call, request.id, state)
        return empty_pb2.Empty()

    # Functions

    def Invoke(self, request: pb.InvokeRequest, context: Context) -> pb.InvokeResponse:
        """Calls a data source."""
        with self._errors(context):
            function = self._provider.functions.get(request.tok)
            if function is None:
                known = ", ".join(sorted(self._provider.functions))
                raise ProviderError(
                    f"{request.tok}: the stand-in provider does not serve this function; it serves {known}"
                )
            arguments, failures = check.check_properties(function.inputs, _plain(request.args))
            if failures:
                return pb.InvokeResponse(failures=_failures(failures))
            result = function.call(self._call(60, arguments), arguments)
            return pb.InvokeResponse(**{"return": values.encode(result)})

    # What all of them share

    def _resource(self, urn: str) -> Resource:
        token = urn.split("::")[2].rsplit("$", 1)[-1]  # urn:pulumi:STACK::PROJECT::PARENT$TYPE::NAME
        resource = self._provider.resources.get(token)
        if resource is None:
            known = ", ".join(sorted(self._provider.resources))
            raise ProviderError(f"{token}: the stand-in provider does not serve this resource type; it serves {known}")
        return resource

    def _call(self, timeout: float, properties: Mapping[str, Any]) -> Call:
        region = properties.get("region")
        return Call(self._provider.session, timeout, self._cancelled, region if isinstance(region, str) else None)

    def _read(
        self, call: Call, resource: Resource, identifier: str, known: Properties, inputs: Properties | None = None
    ) -> tuple[str, Properties] | None:
        """Reads, then lets the provider finish the state (tags); `inputs` are the program's, where there are any.

        Returns:
            The id, which for an import may be another than the one given, and the state; None when it is gone.
        """
        state = resource.read(call, identifier, known)
        if state is None:
            return None
        identifier = str(state.get("id", identifier))
        for name, rule in resource.inputs.items():
            if rule.normal is not None and state.get(name) is not None:
                state[name] = rule.normal(state[name])
        state = self._provider.after_read(resource, state, known if inputs is None else inputs)
        return identifier, {**state, "id": identifier}

    @contextmanager
    def _errors(self, context: Context) -> Iterator[None]:
        """Turns an exception into the call's error, in one line and without a trace."""
        try:
            yield
        except Exception as error:
            if context.code() is not None:  # aborted already
                raise
            context.abort(grpc.StatusCode.UNKNOWN, self._provider.explain(error))

    def _wanted(self, resource: Resource, given: Properties) -> Properties:
        """What the program asks for with what it leaves to the provider: defaults, and a framework type's tags."""
        return self._provider.complete(resource, resource.completed(given))

    def _abort_half_done(
        self, context: Context, error: Exception, identifier: str, given: Properties, known: Properties
    ) -> NoReturn:
        """Reports a failure of what exists, so that the engine records the id and the state that is said to be."""
        reason = self._provider.explain(error)
        detail = any_pb2.Any()
        detail.Pack(
            pb.ErrorResourceInitFailed(
                id=identifier,
                properties=values.encode(_given(known)),
                inputs=values.encode(given),
                reasons=[reason],
            )
        )
        status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=reason, details=[detail])
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(grpc.StatusCode.UNKNOWN, reason)
        raise AssertionError("unreachable: abort raises")  # pragma: no cover


def _kind(change: str, *, replaces: bool) -> Any:
    return pb.PropertyDiff.Kind.Value(f"{change.upper()}_REPLACE" if replaces else change.upper())


def _plain(message: Any) -> Properties:
    """A message's properties without the markers of secrets."""
    return dict(values.reveal(values.decode(message)))


def _some(changed: Any) -> Any:
    return pb.DiffResponse.DIFF_SOME if changed else pb.DiffResponse.DIFF_NONE


def _marked(properties: Mapping[str, Any], secrets: frozenset[str]) -> Any:
    return values.encode(values.mark_secrets(properties, secrets))


def _name_of(urn: str) -> str:
    return urn.split("::", 3)[3]


def _failures(failures: list[Failure]) -> list[pb.CheckFailure]:
    return [pb.CheckFailure(property=failure.property, reason=failure.reason) for failure in failures]


def _given(inputs: Mapping[str, Any]) -> Properties:
    """The inputs without the bridge's own bookkeeping."""
    return {name: value for name, value in inputs.items() if not name.startswith("__")}


def _plan(state: Properties, inputs: Properties, resource: Resource, unknown: frozenset[str]) -> Properties:
    """The state that a preview promises: what is given, what stays, and unknown for what only the service can say."""
    planned = _given(inputs) | ({"id": state["id"]} if "id" in state else {})
    for name, rule in {**resource.inputs, **resource.outputs}.items():
        if name in planned:
            continue
        settable = name in resource.inputs and not rule.computed
        if name in unknown and not settable:
            planned[name] = UNKNOWN
        elif name in state and not settable:
            planned[name] = state[name]
    return planned


def _inputs_seen(resource: Resource, state: Properties, old_inputs: Properties) -> Properties:
    """The inputs as the cloud has them.

    On a refresh an input that still means the same keeps its text; one that drifted takes the cloud's value; one that
    was not set and is now (and that the service does not set by itself) is added. On an import all that is set counts.
    """
    seen: Properties = {}
    for name, rule in resource.inputs.items():
        if name == "tagsAll" and resource.framework:
            continue
        old, now = old_inputs.get(name), state.get(name)
        if old is not None and diff.equal(rule, now, old):
            seen[name] = old
        elif (old is not None and now is not None) or (
            now is not None and not diff.empty(now) and now != rule.default and not (rule.computed and old_inputs)
        ):
            seen[name] = now
    return seen if resource.framework else {**seen, check.DEFAULTS: old_inputs.get(check.DEFAULTS) or []}
