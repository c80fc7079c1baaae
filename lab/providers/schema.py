"""How a resource type is described: its inputs, its outputs, and what to do with it.

The vocabulary is that of the Terraform plugin SDK's ``helper/schema`` (Required, Optional, Computed, ForceNew, Default,
ConflictsWith, RequiredWith), since the real plugins are bridged Terraform providers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from lab.providers.errors import Failure
from lab.providers.values import Properties
from lab.providers.waiting import Call

Kind = Literal["string", "integer", "number", "boolean", "list", "set", "map", "object"]


@dataclass(frozen=True)
class Property:
    """One property.

    Attributes:
        kind: The type; `set` is a list whose order means nothing; `object` has `fields`.
        element: For a list or a set, the type of its items. A map's values are strings.
        fields: For an object, its properties.
        required: Absent is refused.
        computed: The service fills it in where the program leaves it out, so absent is never a difference.
        default: What holds where the program is silent.
        allowed: The values that are accepted; empty means any.
        conflicts: Properties that cannot be given together with it.
        requires: Properties that must be given together with it.
        force_new: A change replaces the resource.
        secret: The output is a secret whatever the input was.
        minimum: Fewest items of a list or set, or the smallest integer.
        maximum: Most items of a list or set, or the largest integer.
        validate: Returns what is wrong with a known value, or None. Its text must not repeat a secret.
        same: Whether an old and a new value mean the same though they differ (DiffSuppressFunc).
        normal: The form in which the provider keeps a value (StateFunc).
    """

    kind: Kind = "string"
    element: "Property | None" = None
    fields: Mapping[str, "Property"] = field(default_factory=dict)
    required: bool = False
    computed: bool = False
    default: Any = None
    allowed: Sequence[Any] = ()
    conflicts: Sequence[str] = ()
    requires: Sequence[str] = ()
    force_new: bool = False
    secret: bool = False
    minimum: int | None = None
    maximum: int | None = None
    validate: Callable[[Any], str | None] | None = None
    same: Callable[[Any, Any], bool] | None = None
    normal: Callable[[Any], Any] | None = None

    @property
    def items(self) -> "Property":
        """The type of a list's or set's items; any string where it is not said."""
        return self.element or Property()


# Properties of each type; their arguments are the other attributes of `Property`.
string = partial(Property, "string")
integer = partial(Property, "integer")
number = partial(Property, "number")
boolean = partial(Property, "boolean")
map_of_strings = partial(Property, "map")


def list_of(element: Property, **rules: Any) -> Property:
    return Property("list", element=element, **rules)


def set_of(element: Property, **rules: Any) -> Property:
    return Property("set", element=element, **rules)


def object_of(fields: Mapping[str, Property], **rules: Any) -> Property:
    """An object, in Terraform a block that may appear once."""
    return Property("object", fields=fields, **rules)


@dataclass(frozen=True)
class AutoName:
    """How a name is made where the program gives none: the resource's own name, `separator`, seven hexadecimal digits.

    Source: pulumi-aws ``provider/autonaming.go`` (255 characters, "-") and the bridge's ``AutoName``.
    """

    property: str = "name"
    maximum: int = 255
    separator: str = "-"


@dataclass(frozen=True)
class Timeouts:
    """How long, in seconds, an operation may take unless `customTimeouts` say otherwise."""

    create: float = 600
    update: float = 600
    delete: float = 600


@dataclass(frozen=True)
class Created:
    """What only the answer to a creation holds: a key that the service never gives again, a certificate made here."""

    id: str
    outputs: Properties


def _kept_in_the_state(call: Call, identifier: str, state: Properties) -> Properties | None:
    return dict(state) or None


def _only_forgotten(call: Call, identifier: str, state: Properties) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class ResourceType:
    """What a plan has to know of a resource type.

    Attributes:
        type: The type token, `aws:ec2/vpc:Vpc`.
        title: The service's own name of the thing, for messages: `EC2 VPC`.
        inputs: What a program may give.
        outputs: What is only ever read.
        check: Rules that span several properties.
        autoname: How a missing name is made.
        exactly_one_of: Groups of which exactly one property must be given.
        framework: Whether the type is one of Terraform's plugin framework, which the bridge serves otherwise than those
            of the plugin SDK: no defaults among the inputs, no detailed diff, the old state after a failed update, and
            a refresh by the `id` of the outputs.
        timeouts: How long each operation may take.
        also_replaces: Properties whose change replaces only in some cases (Terraform's CustomizeDiff): takes the
            state, the inputs and the names that change, returns those that replace.
        due: Outputs that change, and replace the resource, though no input did (the framework's ModifyPlan): takes the
            state and the inputs.
        recomputed: Property → outputs that its change makes unknown in a preview (Terraform's SetNewComputed).
    """

    type: str
    title: str
    inputs: Mapping[str, Property]
    outputs: Mapping[str, Property] = field(default_factory=dict)
    check: Callable[[Properties], list[Failure]] = lambda _inputs: []
    autoname: AutoName | None = None
    exactly_one_of: Sequence[Sequence[str]] = ()
    framework: bool = False
    timeouts: Timeouts = field(default_factory=Timeouts)
    also_replaces: Callable[[Properties, Properties, frozenset[str]], frozenset[str]] = lambda *_: frozenset()
    due: Callable[[Properties, Properties], frozenset[str]] = lambda *_: frozenset()
    recomputed: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Resource(ResourceType):
    """One resource type.

    Attributes:
        create: Makes the thing by one call that yields its id (`Created` where reading it back is not all). Takes the
            checked inputs.
        settle: What must follow before the thing is usable: waiting, attributes that only a second call can set.
            When it fails, the engine still records the id.
        read: The thing as the cloud has it now, inputs and outputs, or None when it is gone. The third argument is the
            state last known; it is empty on import. An `id` in the answer is the thing's own; an import's may differ.
            Left out, the state is all there is.
        update: Changes the named properties in place. None: every change replaces.
        delete: Removes it; what is already gone is no error. Left out, there is nothing beside the state.
    """

    create: Callable[[Call, Properties], str | Created]
    read: Callable[[Call, str, Properties], Properties | None] = _kept_in_the_state
    delete: Callable[[Call, str, Properties], None] = _only_forgotten
    update: Callable[[Call, str, Properties, Properties, frozenset[str]], None] | None = None
    settle: Callable[[Call, str, Properties], None] | None = None

    def completed(self, inputs: Properties) -> Properties:
        """Inputs with the defaults of what the program left out."""
        unsaid = {
            name: rule.default
            for name, rule in self.inputs.items()
            if rule.default is not None and inputs.get(name) is None and not any(inputs.get(o) for o in rule.conflicts)
        }
        return {**unsaid, **present(inputs)}

    @property
    def secrets(self) -> frozenset[str]:
        """The properties that are secret whatever they were given as."""
        everything = {**self.inputs, **self.outputs}
        return frozenset(name for name, rules in everything.items() if rules.secret)


@dataclass(frozen=True)
class Function:
    """A data source, called by `Invoke`.

    Attributes:
        token: `aws:index/getRegion:getRegion`.
        inputs: Its arguments.
        call: Takes the checked arguments and returns the result.
    """

    token: str
    inputs: Mapping[str, Property]
    call: Callable[[Call, Properties], Properties]


def force_new(properties: Mapping[str, Property]) -> dict[str, Property]:
    """The same properties, each of which replaces the resource when it changes."""
    return {name: replace(rules, force_new=True) for name, rules in properties.items()}


def present(values: Properties) -> Properties:
    """An object without the fields that are not set."""
    return {name: value for name, value in values.items() if value is not None}
