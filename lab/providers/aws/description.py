"""A resource type as data: which calls make, find, change and remove it, and where in their answers its properties are.

A call is sent what it has an argument for, by botocore's model of it; what it is not sent, or not by that name, a
description says. What a type does beyond that is code, given as functions of an `Operation` that come after the calls.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from lab.providers.aws.clients import has_code, tolerated, trying
from lab.providers.aws.common import REGION, TAGS, document_of, name_of, prefix_of
from lab.providers.aws.shapes import Answer, arguments, at, from_api
from lab.providers.aws.tags import CALLS, at_creation, changes
from lab.providers.errors import ProviderError
from lab.providers.schema import Created, Property, Resource, ResourceType
from lab.providers.values import Properties
from lab.providers.waiting import Call

_BY_CALLS_OF_THEIR_OWN = frozenset({"tags", "tagsAll", "region"})


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


@dataclass(frozen=True)
class Operation:
    """What is done to one thing.

    Attributes:
        call: The engine's call.
        kind: The description.
        id: The thing's id; empty before its creation.
        state: The state last known; empty at a creation and an import.
        inputs: What the program asks for; empty where it is only read or removed.
        changed: The inputs that change; at a creation all that are given.
    """

    call: Call
    kind: "Description"
    id: str
    state: Properties = field(default_factory=dict)
    inputs: Properties = field(default_factory=dict)
    changed: frozenset[str] = frozenset()

    @property
    def api(self) -> Any:
        """The client of the type's service."""
        return self.call.client(self.kind.service)

    @property
    def region(self) -> str:
        """The Region that the resource is in."""
        return self.call.region or str(self.call.session.region)

    @property
    def known(self) -> Properties:
        """All that is known of the thing, what its id says above all."""
        return {**self.state, **self.inputs, "id": self.id, **self.kind.parts(self.id)}

    @property
    def thing(self) -> Answer:
        """The thing as AWS describes it now; empty when it is gone."""
        return self.kind.found(self) or {}

    def difference(self, name: str) -> tuple[list[Any], list[Any]]:
        """Of a list the items that go, and those that come."""
        old, new = (given.get(name) or [] for given in (self.state, self.inputs))
        return [item for item in old if item not in new], [item for item in new if item not in old]


@dataclass(frozen=True, kw_only=True)
class Description(ResourceType):
    """One AWS resource type.

    Attributes:
        service: boto3's name of the service.
        find: The call that describes one, its parameter for the id and where in the answer the thing is; `[]` after a
            name says that it is a list. An empty place is the whole answer. Or a function.
        match: For a call that lists (`find`'s place): field of an entry → property whose value it has.
        gone: Error codes that say that there is none.
        create: The call that makes one, and where in its answer the id is: a path or a function of the answer; empty
            where it is put together (`identity`) or the program's (`key`). A function stands for the whole.
        identity: For an id of several parts what stands between them and their names; `id` among them is the thing's
            own, which an import has with others.
        form: How such an id is described to whom it is asked of.
        always: Inputs that a creation sends though they are `false`, 0 or empty, which the provider's GetOk leaves out.
        modify: The call that changes one and its parameter for the id.
        whole: Whether that call is sent all of the inputs when one changes.
        emptied: Inputs that a change sends as an empty text when the program leaves them out.
        switch: A call that changes one input at a time, also after a creation, and its parameter for the id.
        delete: The call that removes one, and its parameter for the id; or a function.
        busy: Error codes of a removal that pass by themselves.
        fields: Property → path in the answer (its last name is the argument's) where it is not the property's own name.
        kept: Inputs that AWS never gives back: the state keeps what the program gave.
        state: The state that is waited for.
        arn: The last part of the ARN, `vpc/{id}`, where the answer has none.
        tags: Whether it has tags, or for EC2 the kind of resource that a creation names with them.
        tags_after: Whether they are put by a call of their own after the creation.
        key: The name of the property that holds the id too.
        stays: Whether the thing is still there after the removal, as what a VPC always has is.
        regional: Whether the service has Regions; IAM and Route 53 have none.
        arguments: More arguments of the creation, over those that the inputs give; None takes one away.
        changed_arguments: The same for a change.
        settle: What follows the creation, after the state is reached and before the tags.
        seen: More properties, over those that the paths gave: takes the thing as AWS describes it.
        more: What follows a change.
        before_delete: What precedes a removal.
        identify: An id of another form (an import's) as the thing's own.
    """

    service: str
    find: tuple[str, str, str] | Callable[[Operation], Answer | None]
    match: Mapping[str, str] = field(default_factory=dict)
    gone: Sequence[str]
    create: tuple[str, str | Callable[[Operation, Answer], str]] | Callable[[Operation], str | Created]
    identity: Sequence[str] = ()
    form: str = ""
    always: Sequence[str] = ()
    modify: tuple[str, str] | None = None
    whole: bool = False
    emptied: Sequence[str] = ()
    switch: tuple[str, str] | None = None
    delete: tuple[str, str] | Callable[[Operation], Any]
    busy: Sequence[str] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    kept: Sequence[str] = ()
    state: State | None = None
    arn: str = ""
    tags: str | bool = False
    tags_after: bool = False
    key: str = ""
    stays: bool = False
    regional: bool = True
    arguments: Callable[[Operation], Answer] | None = None
    changed_arguments: Callable[[Operation], Answer] | None = None
    settle: Callable[[Operation], None] | None = None
    seen: Callable[[Operation, Answer], Properties] | None = None
    more: Callable[[Operation], None] | None = None
    before_delete: Callable[[Operation], None] | None = None
    identify: Callable[[Operation], str] | None = None

    def resource(self) -> Resource:
        """The type as the protocol serves it."""
        plan = {trait.name: getattr(self, trait.name) for trait in fields(ResourceType)}
        region, tags = (REGION if self.regional else {}), (TAGS if self.tags else {})
        plan["inputs"] = {**region, **tags, **self.inputs}
        plan["outputs"] = {**({"arn": Property()} if self._has_arn() else {}), **self.outputs}
        return Resource(
            **plan,
            create=self._create,
            settle=self._settle,
            read=self._read,
            update=self._update if self.modify or self.switch or self.tags or self.more else None,
            delete=self._delete,
        )

    def _has_arn(self) -> bool:
        return bool(self.arn) or "arn" in self.fields or self.key == "arn"

    def parts(self, identifier: str) -> Properties:
        """What an id of several parts says; nothing where it has not that form."""
        separator, *names = self.identity or ("",)
        if not separator or separator not in identifier:
            return {}
        return dict(zip(names, identifier.split(separator, len(names) - 1), strict=False))

    def found(self, op: Operation) -> Answer | None:
        """The thing as AWS describes it, or None when it is gone."""
        thing = None
        with tolerated(*self.gone), trying(f"reading {self.title} ({op.id})"):
            thing = self.find(op) if callable(self.find) else self._find(op, *self.find)
        if self.state is not None and thing and str(at(thing, self.state.path)) in self.state.gone:
            return None
        return dict(thing) if thing else None

    def _find(self, op: Operation, operation: str, parameter: str, place: str) -> Answer | None:
        arguments = self._naming(op, operation, parameter)
        if not self.match:
            answer: Answer | None = at(getattr(op.api, operation)(**arguments), place)
            return answer
        wanted = {member: op.known.get(name) or None for member, name in self.match.items()}
        pages = op.api.get_paginator(operation).paginate(**arguments)
        entries = (entry for page in pages for entry in page[place])
        return next((e for e in entries if all((e.get(m) or None) == value for m, value in wanted.items())), None)

    def _naming(self, op: Operation, operation: str, parameter: str) -> Answer:
        """The arguments that name the thing.

        Raises:
            ProviderError: For an id that lacks a part.
        """
        known = op.known
        parts = {name: known.get(name) for name in self.identity[1:] if name in self.inputs}
        for name, value in parts.items():
            if value is None and self.inputs[name].required:
                form = self.form or self.identity[0].join(self.identity[1:])
                raise ProviderError(f"unexpected format for ID ({op.id}), expected {form}")
        own = [known["id"]] if parameter.endswith("[]") else known["id"]
        given = {parameter.removesuffix("[]"): own} if parameter else {}
        named = {name: value for name, value in parts.items() if value}
        return {**arguments(op.api, operation, named, self.fields), **given}

    def wait(self, op: Operation, purpose: str) -> None:
        """Waits for the wanted state.

        Raises:
            ProviderError: The state is one that ends the wait; with AWS's reason.
        """
        state = self.state
        if state is None or not state.wanted:
            return

        def reached() -> Answer | None:
            thing = op.thing
            now = str(at(thing, state.path) or "")
            if now.lower() in state.failed:
                why = at(thing, state.reason) if state.reason else None
                raise ProviderError(
                    f"waiting for {self.title} ({op.id}) {purpose}: unexpected state {now}: {why or 'no reason given'}"
                )
            return thing if now.lower() in state.wanted else None

        op.call.wait_until(f"{self.title} ({op.id}) {purpose}", reached)

    def _create(self, call: Call, inputs: Properties) -> str | Created:
        if "namePrefix" in self.inputs:
            inputs = {**inputs, "name": name_of(inputs)}
        op = Operation(call, self, "", {}, inputs, frozenset(inputs))
        label = inputs.get("name") or inputs.get(self.key) or ""
        with trying(f"creating {self.title}{f' ({label})' if label else ''}"):
            if callable(self.create):
                return self.create(op)
            operation, place = self.create
            answer = getattr(op.api, operation)(**self.creation(op, operation))
            if callable(place):
                return place(op, answer)
        if place:
            return str(at(answer, place))
        if self.identity:
            return self.identity[0].join(str(inputs[name]) for name in self.identity[1:] if inputs.get(name))
        return str(inputs[self.key])

    def creation(self, op: Operation, operation: str) -> Answer:
        """The arguments of the creation."""
        given = self._sendable(op.inputs)
        given = {name: v for name, v in given.items() if v or (name in self.always and v is not None)}
        found = arguments(op.api, operation, given, self.fields)
        if self.arguments is not None:
            found.update(self.arguments(op))
        if self.tags and not self.tags_after and op.inputs.get("tagsAll"):
            found.update(at_creation(op.api, operation, self.tags, op.inputs["tagsAll"]))
        return {name: value for name, value in found.items() if value is not None}

    def _sendable(self, values: Mapping[str, Any]) -> Properties:
        """Inputs in the form in which the provider keeps them."""
        normal = {name: rule.normal for name, rule in self.inputs.items() if name in values}
        return {name: form(values[name]) if form and values[name] else values[name] for name, form in normal.items()}

    def _settle(self, call: Call, identifier: str, inputs: Properties) -> None:
        op = Operation(call, self, identifier, {}, inputs, frozenset(inputs))
        self.wait(op, "create")
        with trying(f"updating {self.title} ({identifier})"):
            if self.switch is not None:
                self._switch(op, *self.switch)
            if self.settle is not None:
                self.settle(op)
            if self.tags_after:
                self.change_tags(op)

    def _read(self, call: Call, identifier: str, state: Properties) -> Properties | None:
        op = Operation(call, self, identifier, state)
        own = self.identify(op) if self.identify is not None else str(op.known["id"])
        op = Operation(call, self, own, {**self.parts(identifier), **state})
        thing = self.found(op)
        return None if thing is None else self.properties(op, thing)

    def properties(self, op: Operation, thing: Answer) -> Properties:
        """Inputs and outputs, out of a thing as AWS describes it."""
        rules = {**self.inputs, **self.outputs}
        with trying(f"reading {self.title} ({op.id})"):
            read = {"id": op.id, **from_api(rules, thing, self.fields)}
            read.update({name: op.state.get(name, rules[name].default) for name in self.kept})
            read.update({name: value for name, value in self.parts(op.id).items() if name in rules and value})
            if self._has_arn():
                read["arn"] = at(thing, self.fields.get("arn", "Arn")) or self._made_arn(op, thing)
            if self.key:
                read[self.key] = op.id
            if "namePrefix" in self.inputs:
                read["namePrefix"] = prefix_of(read["name"])
            if self.seen is not None:
                read.update(self.seen(op, thing))
            for name, rule in self.inputs.items():
                if rule.normal is not None:
                    read[name] = document_of(read[name], op.state.get(name)) if read.get(name) else None
            if self.tags:
                read["tagsAll"] = CALLS[self.service].read(op.api, thing, self._tagged(op, read))
        return read

    def _made_arn(self, op: Operation, thing: Answer) -> str:
        if self.key == "arn":
            return op.id
        owner = thing.get("OwnerId") or op.call.session.account
        return f"arn:{op.call.session.partition}:{self.service}:{op.region}:{owner}:{self.arn.format(id=op.id)}"

    def _update(
        self, call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]
    ) -> None:
        op = Operation(call, self, identifier, state, inputs, changed)
        with trying(f"updating {self.title} ({identifier})"):
            if self.modify is not None:
                self._modify(op, *self.modify)
            if self.switch is not None:
                self._switch(op, *self.switch)
            if self.more is not None and changed - _BY_CALLS_OF_THEIR_OWN:
                self.more(op)
            if "tagsAll" in changed:
                self.change_tags(op)

    def _modify(self, op: Operation, operation: str, parameter: str) -> None:
        given = {**dict.fromkeys(self.emptied, ""), **{n: v for n, v in op.inputs.items() if v is not None}}
        sent = self._sendable(given)
        found = arguments(op.api, operation, {n: v for n, v in sent.items() if n in op.changed}, self.fields)
        if found and self.whole:
            found = arguments(op.api, operation, sent, self.fields)
        if self.changed_arguments is not None:
            found.update(self.changed_arguments(op))
        found = {name: value for name, value in found.items() if value is not None}
        if found:
            getattr(op.api, operation)(**{**found, **self._naming(op, operation, parameter)})
            self.wait(op, "update")

    def _switch(self, op: Operation, operation: str, parameter: str) -> None:
        """Sends each input that changes; after a creation those that are not as AWS makes them."""
        values = {name: value for name, value in self._sendable(op.inputs).items() if name in op.changed}
        if not op.state:
            unlike = {name: self.inputs[name].default or False for name in values}
            values = {name: value for name, value in values.items() if value not in (None, unlike[name])}
        for argument, value in arguments(op.api, operation, values, self.fields).items():
            getattr(op.api, operation)(**{parameter: op.id, argument: value})

    def _tagged(self, op: Operation, properties: Properties) -> str:
        return str(properties["arn"]) if CALLS[self.service].by_arn else op.id

    def change_tags(self, op: Operation, present: Mapping[str, str] | None = None) -> None:
        """Brings the tags from the state's, or those that are `present`, to the inputs'."""
        calls = CALLS[self.service]
        put, removed = changes(op.state if present is None else {"tagsAll": present}, op.inputs)
        if put or removed:
            known = op.state if op.state.get("arn") or not calls.by_arn else {"arn": at(op.thing, self.fields["arn"])}
            calls.change(op.api, self._tagged(op, known), put, removed)

    def _delete(self, call: Call, identifier: str, state: Properties) -> None:
        op = Operation(call, self, identifier, state)
        what = f"deleting {self.title} ({identifier})"

        def remove() -> None:
            if callable(self.delete):
                self.delete(op)
                return
            operation, parameter = self.delete
            answer = getattr(op.api, operation)(**self._naming(op, operation, parameter))
            refuse_unsuccessful(answer, f"{what}: {operation}", self.gone)

        if self.before_delete is not None:
            with tolerated(*self.gone), trying(what):
                self.before_delete(op)
        with tolerated(*self.gone), trying(what):
            call.retry(what, remove, while_error=has_code(*self.busy))
        if not self.stays:
            call.wait_until(f"{self.title} ({identifier}) delete", lambda: None if self.found(op) else True)


def served(*kinds: Description) -> dict[str, Resource]:
    """Type token → resource type, as each module has it."""
    return {kind.type: kind.resource() for kind in kinds}


def refuse_unsuccessful(answer: Any, what: str, gone: Sequence[str]) -> None:
    """Raises what a batch call tells inside its answer with status 200.

    Raises:
        ProviderError: With AWS's code and message.
    """
    for refused in (answer or {}).get("Unsuccessful") or []:
        told = refused.get("Error") or {}
        if told.get("Code") not in gone:
            raise ProviderError(f"{what}: {told.get('Code')}: {told.get('Message')}", code=str(told.get("Code")))
