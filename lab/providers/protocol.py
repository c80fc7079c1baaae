"""The provider protocol: what the engine calls, answered from the descriptions of the resource types.

Source: ``pulumi/proto/pulumi/provider.proto`` and, where it leaves room, the Terraform bridge's
``pkg/tfbridge/provider.go``.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2, empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from lab.providers import check, diff, values
from lab.providers.definition import Provider
from lab.providers.errors import Failure, ProviderError
from lab.providers.schema import Resource
from lab.providers.values import UNKNOWN, Properties
from lab.providers.waiting import Call

_KINDS = {
    ("add", False): provider_pb2.PropertyDiff.ADD,
    ("add", True): provider_pb2.PropertyDiff.ADD_REPLACE,
    ("update", False): provider_pb2.PropertyDiff.UPDATE,
    ("update", True): provider_pb2.PropertyDiff.UPDATE_REPLACE,
    ("delete", False): provider_pb2.PropertyDiff.DELETE,
    ("delete", True): provider_pb2.PropertyDiff.DELETE_REPLACE,
}


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """Serves one provider.

    Args:
        provider: What it offers.
    """

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._cancelled = threading.Event()

    # The provider itself

    def Handshake(  # noqa: N802 - the protocol's name, as for the methods below
        self, request: provider_pb2.ProviderHandshakeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ProviderHandshakeResponse:
        """Says what the provider understands."""
        return provider_pb2.ProviderHandshakeResponse(
            accept_secrets=True, accept_resources=False, accept_outputs=False, supports_autonaming_configuration=True
        )

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:  # noqa: N802
        """Names the version that the stand-in stands in for."""
        return plugin_pb2.PluginInfo(version=self._provider.version)

    def Attach(self, request: Any, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802
        """Accepts a debugging engine; nothing is sent back to it."""
        return empty_pb2.Empty()

    def GetSchema(  # noqa: N802
        self, request: provider_pb2.GetSchemaRequest, context: grpc.ServicerContext
    ) -> provider_pb2.GetSchemaResponse:
        """The smallest valid schema: the SDKs that programs import carry the whole one."""
        schema = {"name": self._provider.name, "version": self._provider.version}
        return provider_pb2.GetSchemaResponse(schema=json.dumps(schema))

    def CheckConfig(  # noqa: N802
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        """Refuses configuration that the provider does not know."""
        news = values.decode(request.news)
        failures = self._provider.check_configuration(values.reveal(news))
        return provider_pb2.CheckResponse(inputs=request.news, failures=_failures(failures))

    def DiffConfig(  # noqa: N802
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        """Says which changes of the configuration mean other resources: another Region does."""
        olds = values.reveal(values.decode(request.old_inputs)) or values.reveal(values.decode(request.olds))
        news = values.reveal(values.decode(request.news))
        changed = [name for name in sorted({*olds, *news}) if olds.get(name) != news.get(name)]
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE,
            diffs=changed,
            replaces=[name for name in changed if name in self._provider.configuration_that_replaces],
        )

    def Configure(  # noqa: N802
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        """Takes the configuration; the credentials in it go no further than the clients."""
        with self._errors(context):
            self._provider.configure(values.reveal(values.decode(request.args)))
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True,
            supportsPreview=True,
            acceptResources=False,
            acceptOutputs=False,
            supports_autonaming_configuration=True,
        )

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802
        """Ends every wait."""
        self._cancelled.set()
        return empty_pb2.Empty()

    # Resources

    def Check(  # noqa: N802
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
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
            disabled = autonaming is not None and autonaming.mode == provider_pb2.CheckRequest.AutonamingOptions.DISABLE
            auto, name = resource.autoname, _name_of(request.urn)
            if auto is not None and disabled and checked.get(auto.property) is None:
                reason = "automatic naming is disabled: a name has to be given"
                failures = [*failures, Failure(auto.property, reason)]
            checked = check.fill_defaults(
                resource,
                checked,
                values.reveal(values.decode(request.olds)),
                resource_name=name,
                seed=request.randomSeed,
                proposed_name=autonaming.proposed_name if autonaming is not None else None,
            )
            inputs = values.mark_secrets(checked, values.secret_names(given))
            # Without the property, as the bridge does: the engine would show it twice.
            told = [provider_pb2.CheckFailure(reason=failure.told(name)) for failure in failures]
            return provider_pb2.CheckResponse(inputs=values.encode(inputs), failures=told)

    def Diff(  # noqa: N802
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        """Says what changes, and whether it takes a new resource."""
        with self._errors(context):
            resource = self._resource(request.urn)
            state = values.reveal(values.decode(request.olds))
            given = values.reveal(values.decode(request.news))
            inputs = self._wanted(resource, given)
            changes = diff.differences(resource, state, inputs, request.ignoreChanges)
            due = resource.due(state, inputs)
            replaces = diff.replacing(resource, state, inputs, changes) | due
            changed = {change.property for change in changes.values()} | due
            detailed = {
                path: provider_pb2.PropertyDiff(kind=_KINDS[change.kind, change.property in replaces])
                for path, change in changes.items()
            }
            return provider_pb2.DiffResponse(
                changes=provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE,
                diffs=sorted(changed),
                replaces=sorted(replaces),
                deleteBeforeReplace=bool(replaces) and diff.must_delete_first(resource, state, given),
                hasDetailedDiff=not resource.framework,
                detailedDiff={} if resource.framework else detailed,
            )

    def Create(  # noqa: N802
        self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CreateResponse:
        """Makes a resource, waits until it is usable, and reads it back."""
        with self._errors(context):
            resource = self._resource(request.urn)
            given = values.decode(request.properties)
            inputs = self._wanted(resource, values.reveal(given))
            secrets = resource.secrets | values.secret_names(given)
            if request.preview:
                planned = _plan({}, inputs, resource, frozenset(resource.inputs) | frozenset(resource.outputs))
                planned["id"] = UNKNOWN
                return provider_pb2.CreateResponse(properties=values.encode(values.mark_secrets(planned, secrets)))
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
            properties = values.encode(values.mark_secrets(state, secrets))
            return provider_pb2.CreateResponse(id=identifier, properties=properties)

    def Read(  # noqa: N802
        self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ReadResponse:
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
                return provider_pb2.ReadResponse()
            identifier, state = seen
            secrets = resource.secrets | values.secret_names(olds) | values.secret_names(old_inputs)
            inputs = _inputs_seen(resource, state, values.reveal(old_inputs))
            return provider_pb2.ReadResponse(
                id=identifier,
                properties=values.encode(values.mark_secrets(state, secrets)),
                inputs=values.encode(values.mark_secrets(inputs, secrets)),
            )

    def Update(  # noqa: N802
        self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.UpdateResponse:
        """Changes a resource in place and reads it back."""
        with self._errors(context):
            resource = self._resource(request.urn)
            given = values.decode(request.news)
            inputs = self._wanted(resource, values.reveal(given))
            state = values.reveal(values.decode(request.olds))
            secrets = resource.secrets | values.secret_names(given)
            changes = diff.differences(resource, state, inputs, request.ignoreChanges)
            changed = frozenset(change.property for change in changes.values())
            if request.preview:
                unknown = frozenset(name for trigger in changed for name in resource.recomputed.get(trigger, ()))
                planned = _plan(state, inputs, resource, unknown)
                return provider_pb2.UpdateResponse(properties=values.encode(values.mark_secrets(planned, secrets)))
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
            return provider_pb2.UpdateResponse(properties=values.encode(values.mark_secrets(fresh, secrets)))

    def Delete(  # noqa: N802
        self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        """Deletes a resource; what is gone already is no error."""
        with self._errors(context):
            resource = self._resource(request.urn)
            state = values.reveal(values.decode(request.properties))
            call = self._call(request.timeout or resource.timeouts.delete, state)
            resource.delete(call, request.id, state)
        return empty_pb2.Empty()

    # Functions

    def Invoke(  # noqa: N802
        self, request: provider_pb2.InvokeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.InvokeResponse:
        """Calls a data source."""
        with self._errors(context):
            function = self._provider.functions.get(request.tok)
            if function is None:
                known = ", ".join(sorted(self._provider.functions))
                raise ProviderError(
                    f"{request.tok}: the stand-in provider does not serve this function; it serves {known}"
                )
            given = values.decode(request.args)
            arguments, failures = check.check_properties(function.inputs, values.reveal(given))
            if failures:
                return provider_pb2.InvokeResponse(failures=_failures(failures))
            result = function.call(self._call(60, arguments), arguments)
            return provider_pb2.InvokeResponse(**{"return": values.encode(result)})

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
    def _errors(self, context: grpc.ServicerContext) -> Iterator[None]:
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
        self, context: grpc.ServicerContext, error: Exception, identifier: str, given: Properties, known: Properties
    ) -> NoReturn:
        """Reports a failure of what exists, so that the engine records the id and the state that is said to be."""
        reason = self._provider.explain(error)
        detail = any_pb2.Any()
        detail.Pack(
            provider_pb2.ErrorResourceInitFailed(
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


def _name_of(urn: str) -> str:
    return urn.split("::", 3)[3]


def _failures(failures: list[Failure]) -> list[provider_pb2.CheckFailure]:
    return [provider_pb2.CheckFailure(property=failure.property, reason=failure.reason) for failure in failures]


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
