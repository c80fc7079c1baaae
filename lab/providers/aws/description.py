"""A resource type as data: which calls make, find, change and remove it, and where in their answers its properties are.

What a type does beyond that is code, given as functions that come after the calls described here. Names are the rule:
the input `vpcId` is AWS's `VpcId` (in AWS IoT, which writes camelCase, its own name); `fields` holds the exceptions.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.providers.aws.clients import attempt, has_code, unless_gone
from lab.providers.aws.common import REGION, TAGS
from lab.providers.aws.tags import TAG_CALLS, changes
from lab.providers.errors import ProviderError
from lab.providers.schema import Created, Property, Resource
from lab.providers.values import Properties
from lab.providers.waiting import Call

Answer = dict[str, Any]


@dataclass(frozen=True)
class State:
    """A state that a thing passes through.

    Attributes:
        path: Where the thing has it, `Status.Code`.
        wanted: What a creation or a change waits for; empty: nothing is waited for.
        failed: What ends the wait with an error.
        reason: Where AWS says why, `Status.Message`.
        gone: What counts as no longer there.
    """

    path: str
    wanted: Sequence[str] = ()
    failed: Sequence[str] = ()
    reason: str = ""
    gone: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Description:
    """One AWS resource type; what `Resource` says of the same names holds here too.

    Attributes:
        service: boto3's name of the service.
        find: The call that describes one, its parameter for the id and where in the answer the thing is; `[]` after a
            name says that it is a list. An empty place is the whole answer. Or a function of the call, the id and what
            is known (state or inputs).
        gone: Error codes that say that there is none.
        create: The call that makes one, and where in its answer the id is. A function of the answer and the inputs
            stands for an id that is put together, a function of the call and the inputs for the whole.
        sent: The inputs that the creation sends; the provider's GetOk leaves empty values, `false` and 0 out.
        always: The inputs that it sends even so.
        modify: The call that changes one and its parameter for the id; None where tags are all that changes.
        modified: The inputs that it sends when they change.
        delete: The call that removes one, and its parameter for the id; or a function of call, id and state.
        busy: Error codes of a removal that pass by themselves.
        fields: Property → path in the answer (and name of the argument) where it is not the property's own name.
        kept: Inputs that AWS never gives back: the state keeps what the program gave.
        state: The state that is waited for.
        arn: The last part of the ARN, `vpc/{id}`, where the answer has none.
        arn_service: The ARN's service where it is not `service`.
        tags: The kind of tag calls (`lab.providers.aws.tags`), and for EC2 the kind of resource.
        key: The name of the property that holds the id too.
        stays: Whether the thing is still there after the removal, as what a VPC always has is.
        regional: Whether the service has Regions; IAM and Route 53 have none.
        arguments: More arguments of the creation, from the inputs.
        changed_arguments: More arguments of a change: takes state, inputs and the names that change.
        settle: What follows the creation, after the state is reached and before the tags.
        seen: More properties, over those that the paths gave: takes the call, the answer and the state last known.
        more: What follows a change.
        before_delete: What precedes a removal.
        identify: An id of another form (an import's) as the thing's own.
    """

    type: str
    title: str
    service: str
    inputs: Mapping[str, Property]
    outputs: Mapping[str, Property] = field(default_factory=dict)
    find: tuple[str, str, str] | Callable[[Call, str, Properties], Answer | None]
    gone: Sequence[str]
    create: tuple[str, str | Callable[[Answer, Properties], str]] | Callable[[Call, Properties], str | Created]
    sent: Sequence[str] = ()
    always: Sequence[str] = ()
    modify: tuple[str, str] | None = None
    modified: Sequence[str] = ()
    delete: tuple[str, str] | Callable[[Call, str, Properties], Any]
    busy: Sequence[str] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    kept: Sequence[str] = ()
    state: State | None = None
    arn: str = ""
    arn_service: str = ""
    tags: str = ""
    key: str = ""
    regional: bool = True
    stays: bool = False
    arguments: Callable[[Call, Properties], Answer] | None = None
    changed_arguments: Callable[[Properties, Properties, frozenset[str]], Answer] | None = None
    settle: Callable[[Call, str, Properties], None] | None = None
    seen: Callable[[Call, Answer, Properties], Properties] | None = None
    more: Callable[[Call, str, Properties, Properties, frozenset[str]], None] | None = None
    before_delete: Callable[[Call, str, Properties], None] | None = None
    identify: Callable[[Call, str, Properties], str] | None = None

    def resource(self, **rules: Any) -> Resource:
        """The type as the protocol serves it; `rules` are the other fields of `Resource`."""
        return Resource(
            type=self.type,
            title=self.title,
            inputs={**(REGION if self.regional else {}), **(TAGS if self.tags else {}), **self.inputs},
            outputs={"arn": Property(), **self.outputs} if self._has_arn() else self.outputs,
            create=self._create,
            settle=self._settle,
            read=self._read,
            update=self._update if self.modify or self.tags or self.more else None,
            delete=self._delete,
            **rules,
        )

    def found(self, call: Call, identifier: str, known: Properties) -> Answer | None:
        """The thing as AWS describes it, or None when it is gone."""
        thing = unless_gone(
            f"reading {self.title} ({identifier})", self.gone, lambda: self._find(call, identifier, known)
        )
        if self.state is not None and thing and str(at(thing, self.state.path)) in self.state.gone:
            return None
        return dict(thing) if thing else None

    def _find(self, call: Call, identifier: str, known: Properties) -> Answer | None:
        if callable(self.find):
            return self.find(call, identifier, known)
        operation, parameter, place = self.find
        answer: Answer | None = at(
            getattr(call.client(self.service), operation)(**_argument(parameter, identifier)), place
        )
        return answer

    def wait(self, call: Call, identifier: str, known: Properties, purpose: str) -> None:
        """Waits for the wanted state.

        Raises:
            ProviderError: The state is one that ends the wait; with AWS's reason.
        """
        state = self.state
        if state is None or not state.wanted:
            return

        def reached() -> Answer | None:
            thing = self.found(call, identifier, known)
            now = str(at(thing or {}, state.path) or "")
            if now.lower() in state.failed:
                why = at(thing or {}, state.reason) if state.reason else None
                raise ProviderError(
                    f"waiting for {self.title} ({identifier}) {purpose}: unexpected state {now}: "
                    f"{why or 'no reason given'}"
                )
            return thing if now.lower() in state.wanted else None

        call.wait_until(f"{self.title} ({identifier}) {purpose}", reached)

    def _has_arn(self) -> bool:
        return bool(self.arn) or "arn" in self.fields

    def argument(self, name: str) -> str:
        """AWS's name of an input."""
        return self.fields.get(name) or self._style(name)

    def _sent(self, name: str, value: Any) -> Answer:
        return {self.argument(name): to_api(self.inputs[name], value, self._style)}

    def _style(self, name: str) -> str:
        return name if self.service in ("iot", "logs") else name[0].upper() + name[1:]

    def _create(self, call: Call, inputs: Properties) -> str | Created:
        if callable(self.create):
            return self.create(call, inputs)
        arguments = self.creation(call, inputs)
        operation, place = self.create
        label = inputs.get("name") or inputs.get(self.key) or ""
        answer = attempt(
            f"creating {self.title}{f' ({label})' if label else ''}",
            lambda: getattr(call.client(self.service), operation)(**arguments),
        )
        return place(answer, inputs) if callable(place) else str(at(answer, place))

    def creation(self, call: Call, inputs: Properties) -> Answer:
        """The arguments of the creation."""
        arguments: Answer = {}
        for name in self.sent:
            if inputs.get(name):
                arguments.update(self._sent(name, inputs[name]))
        for name in self.always:
            if inputs.get(name) is not None:
                arguments.update(self._sent(name, inputs[name]))
        if self.arguments is not None:
            arguments.update(self.arguments(call, inputs))
        if self.tags and inputs.get("tagsAll"):
            arguments.update(TAG_CALLS[self.tags.partition(":")[0]].at_creation(self.tags, inputs["tagsAll"]))
        return arguments

    def _settle(self, call: Call, identifier: str, inputs: Properties) -> None:
        self.wait(call, identifier, inputs, "create")
        if self.settle is not None:
            self.settle(call, identifier, inputs)

    def _read(self, call: Call, identifier: str, state: Properties) -> Properties | None:
        if self.identify is not None:
            identifier = self.identify(call, identifier, state)
        thing = self.found(call, identifier, state)
        if thing is None:
            return None
        read: Properties = {"id": identifier}
        for name, rule in {**self.inputs, **self.outputs}.items():
            if name in self.kept:
                read[name] = state.get(name, rule.default)
            else:
                read[name] = from_api(rule, at(thing, self.argument(name)), self._style)
        if self._has_arn():
            read["arn"] = at(thing, self.fields.get("arn", "Arn")) or self._made_arn(call, thing, identifier)
        if self.key:
            read[self.key] = identifier
        if self.seen is not None:
            read.update(self.seen(call, thing, state))
        if self.tags:
            read["tagsAll"] = TAG_CALLS[self.tags.partition(":")[0]].read(call, self.title, thing, read)
        return read

    def _made_arn(self, call: Call, thing: Answer, identifier: str) -> str:
        owner = thing.get("OwnerId") or call.session.account
        region = call.region or call.session.region
        last = self.arn.format(id=identifier)
        return f"arn:{call.session.partition}:{self.arn_service or self.service}:{region}:{owner}:{last}"

    def _update(
        self, call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]
    ) -> None:
        arguments: Answer = {}
        for name in self.modified:
            if name in changed and inputs.get(name) is not None:
                arguments.update(self._sent(name, inputs[name]))
        if self.changed_arguments is not None:
            arguments.update(self.changed_arguments(state, inputs, changed))
        if self.modify is not None and arguments:
            operation, parameter = self.modify
            attempt(
                f"updating {self.title} ({identifier})",
                lambda: getattr(call.client(self.service), operation)(**_argument(parameter, identifier), **arguments),
            )
            self.wait(call, identifier, inputs, "update")
        if self.more is not None:
            self.more(call, identifier, state, inputs, changed)
        if "tagsAll" in changed:
            self.change_tags(call, identifier, state, inputs)

    def change_tags(self, call: Call, identifier: str, state: Properties, inputs: Properties) -> None:
        """Brings the tags from the state's to the inputs'."""
        calls = TAG_CALLS[self.tags.partition(":")[0]]
        put, removed = changes(state, inputs)
        target = str(state.get("arn") or identifier) if calls.by_arn else identifier
        what = f"updating tags of {self.title} ({identifier})"
        if removed:
            attempt(what, lambda: calls.remove(call, target, removed))
        if put:
            attempt(what, lambda: calls.put(call, target, put))

    def _delete(self, call: Call, identifier: str, state: Properties) -> None:
        if self.before_delete is not None:
            self.before_delete(call, identifier, state)
        what = f"deleting {self.title} ({identifier})"

        def remove() -> None:
            if callable(self.delete):
                self.delete(call, identifier, state)
                return
            operation, parameter = self.delete
            answer = getattr(call.client(self.service), operation)(**_argument(parameter, identifier))
            refuse_unsuccessful(answer, f"{what}: {operation}", self.gone)

        unless_gone(what, self.gone, lambda: call.retry(what, remove, while_error=has_code(*self.busy)))
        if not self.stays:
            found = f"{self.title} ({identifier}) delete"
            call.wait_until(found, lambda: None if self.found(call, identifier, state) else True)


def settled(resources: Iterable[Resource]) -> dict[str, Resource]:
    """Type token → description, as each module has it."""
    return {resource.type: resource for resource in resources}


def refuse_unsuccessful(answer: Any, what: str, gone: Sequence[str]) -> None:
    """Raises what a batch call tells inside its answer with status 200.

    Raises:
        ProviderError: With AWS's code and message.
    """
    for refused in (answer or {}).get("Unsuccessful") or []:
        told = refused.get("Error") or {}
        if told.get("Code") not in gone:
            raise ProviderError(f"{what}: {told.get('Code')}: {told.get('Message')}", code=str(told.get("Code")))


def _argument(parameter: str, identifier: str) -> Answer:
    return {parameter[:-2]: [identifier]} if parameter.endswith("[]") else {parameter: identifier}


def at(answer: Any, path: str) -> Any:
    """What is at a path of an answer, `Status.Code`; a name with `[]` after it is a list of which the first counts."""
    for name in filter(None, path.split(".")):
        if answer is None:
            return None
        answer = answer.get(name.removesuffix("[]"))
        if name.endswith("[]"):
            answer = answer[0] if answer else None
    return answer


def to_api(rule: Property, value: Any, style: Callable[[str], str]) -> Any:
    """A value as AWS takes it: the names of an object's fields in AWS's style, empty texts left out."""
    if rule.kind == "object":
        return {
            style(name): to_api(rule.fields[name], item, style)
            for name, item in value.items()
            if name in rule.fields and item not in (None, "", [])
        }
    if rule.kind in ("list", "set"):
        return [to_api(rule.items, item, style) for item in value]
    return value


def from_api(rule: Property, value: Any, style: Callable[[str], str]) -> Any:
    """A value as the state has it: what AWS leaves out is None, but a list or a text in an object empty."""
    if rule.kind == "object":
        fields = {name: from_api(inner, (value or {}).get(style(name)), style) for name, inner in rule.fields.items()}
        return (
            {n: "" if v is None and rule.fields[n].kind == "string" else v for n, v in fields.items()}
            if value
            else None
        )
    if rule.kind in ("list", "set"):
        items = [from_api(rule.items, item, style) for item in value or []]
        return sorted(items, key=str) if rule.kind == "set" else items
    if rule.kind == "map":
        return value or None
    if rule.kind == "boolean" and value is None and not rule.computed:
        return False
    return value
