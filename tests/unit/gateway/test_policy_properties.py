"""What holds for every policy document and every request, however odd.

What this cannot prove: that a strange document is refused by CreatePolicy; the cloud's side does that.
"""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lab.path.iot_policy import Request, depends_on_time, evaluate
from lab.path.iot_policy.template import matches, resolve

ARN = "arn:aws:iot:us-east-1:123456789012"
OPERATORS = ["StringEquals", "StringNotLike", "Bool", "IpAddress", "NotIpAddress", "ArnLike", "Null", "DateLessThan"]
OPERATORS += ["NumericEquals", "BinaryEquals", "ForAllValues:StringLike", "ForAnyValue:StringNotEquals", "Nonsense"]
OPERATORS += ["StringEqualsIfExists", "NullIfExists", "ForAllValues:Null", "ForNoValue:StringEquals"]
KEYS = ["aws:SourceVpce", "iot:ClientId", "aws:CurrentTime", "iot:ConnectAttributes"]

texts = st.text("ab:*?${}/+#0.,'t", max_size=12) | st.sampled_from(
    [f"{ARN}:topic/a", "*", "${iot:ClientId}", "iot:Publish"]
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
conditions = st.dictionaries(
    st.sampled_from(OPERATORS), st.dictionaries(st.sampled_from(KEYS), anything, max_size=2), max_size=2
)
statements = st.fixed_dictionaries(
    {"Effect": st.sampled_from(["Allow", "Deny", "Perhaps"])},
    optional={
        "Action": st.just("*") | texts | st.lists(texts, max_size=2) | anything,
        "NotAction": texts,
        "Resource": st.just("*") | texts | st.lists(texts, max_size=2) | anything,
        "NotResource": texts,
        "Condition": conditions | anything,
    },
)
documents = st.fixed_dictionaries(
    {
        "Version": st.sampled_from(["2012-10-17", "2008-10-17", None]),
        "Statement": st.lists(statements, max_size=3) | anything,
    }
)
contexts = st.dictionaries(st.sampled_from(KEYS), texts | st.lists(texts, max_size=2), max_size=4)
requests = st.builds(
    Request, st.sampled_from(["iot:Publish", "iot:Connect", ""]), texts | st.just(f"{ARN}:topic/a"), contexts
)


@given(documents | anything, requests)
def test_the_evaluator_never_raises(document: Any, request: Request) -> None:
    assert evaluate({"policy": document}, request).allowed in (True, False)
    assert depends_on_time(document) in (True, False)


@given(st.lists(documents, max_size=3), requests, st.integers(0, 3))
def test_an_explicit_deny_always_wins(others: list[Any], request: Request, place: int) -> None:
    deny = {"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}
    policies = [*others[:place], deny, *others[place:]]
    assert not evaluate({str(number): policy for number, policy in enumerate(policies)}, request).allowed


@given(st.lists(documents, max_size=3), requests)
def test_the_order_of_policies_does_not_matter(policies: list[Any], request: Request) -> None:
    named = {str(number): policy for number, policy in enumerate(policies)}
    assert evaluate(named, request).allowed is evaluate(dict(reversed(named.items())), request).allowed


@given(requests)
def test_without_a_policy_everything_is_denied(request: Request) -> None:
    assert not evaluate({}, request).allowed


@given(documents, requests)
def test_a_statement_more_that_denies_never_opens_anything(document: Any, request: Request) -> None:
    closed = {"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "iot:Publish", "Resource": "*"}}
    if evaluate({"a": document, "b": closed}, request).allowed:
        assert evaluate({"a": document}, request).allowed


@given(st.text(max_size=30))
def test_a_value_put_in_for_a_variable_matches_only_itself(value: str) -> None:
    pattern = resolve("x/${iot:ClientId}/*", {"iot:clientid": value}, variables=True)
    assert matches(pattern, f"x/{value}/anything")
    assert not matches(pattern, f"x/{value}0/anything")


@given(st.text("ab*?", max_size=12), st.text("ab*?", max_size=12))
def test_wildcards_match_what_their_definition_says(pattern: str, text: str) -> None:
    def defined(left: str, right: str) -> bool:
        if not left:
            return not right
        if left[0] == "*":
            return defined(left[1:], right) or (bool(right) and defined(left, right[1:]))
        return bool(right) and left[0] in ("?", right[0]) and defined(left[1:], right[1:])

    assert matches(resolve(pattern, {}, variables=False), text) is defined(pattern, text)


@settings(deadline=2000)
@given(st.integers(1, 100))
def test_a_pattern_of_many_wildcards_cannot_hold_up_the_gateway(stars: int) -> None:
    assert not matches(resolve("*a" * stars + "b", {}, variables=False), "a" * 256)
