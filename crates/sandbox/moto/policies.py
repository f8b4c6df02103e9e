"""What IAM policies allow: decides for calls of roles, and for SimulatePrincipalPolicy.

IAM user guide, "Policy evaluation logic" and "IAM JSON policy elements". Left out: policy variables
such as ${aws:username}, and operators on numbers, dates, addresses and binary values.
"""

import functools
import json
import re
from dataclasses import dataclass, field

from moto.iam.models import Policy

ALLOWED, EXPLICIT_DENY, IMPLICIT_DENY = "allowed", "explicitDeny", "implicitDeny"


class UnknownOperator(Exception):
    """A condition that cannot be evaluated here."""


@dataclass
class Decision:
    decision: str
    # The names of the policies that decided.
    matched: list = field(default_factory=list)
    # Keys of conditions for which no value was given.
    missing: list = field(default_factory=list)


def decide(policies, action, resource, context=None):
    """Decides about an action on a resource. Without a context, nobody knows which conditions hold:
    those of statements that allow are taken as true, and those of statements that deny as false.

    `policies` are pairs of a name and a document, as text. The names of the context's keys are in
    lower case, and its values are lists.
    """
    allowing, denying, missing = [], [], []
    for name, document in policies:
        for statement in listed(json.loads(document)["Statement"]):
            if not concerns(statement, action, resource):
                continue
            condition = statement.get("Condition", {})
            if context is None:
                holds = not condition or statement["Effect"] == "Allow"
            else:
                holds = all_hold(condition, context)
                keys = {key for keys in condition.values() for key in keys}
                missing += [key for key in sorted(keys) if key.lower() not in context]
            if holds:
                (allowing if statement["Effect"] == "Allow" else denying).append(name)
    missing = list(dict.fromkeys(missing))
    if denying:
        return Decision(EXPLICIT_DENY, denying, missing)
    if allowing:
        return Decision(ALLOWED, allowing, missing)
    return Decision(IMPLICIT_DENY, [], missing)


def document_of(policy):
    """The document of a policy of moto: a managed one, the text of an inline one, or a user's."""
    if isinstance(policy, Policy):
        return next(version.document for version in policy.versions if version.is_default)
    return policy if isinstance(policy, str) else policy["policy_document"]


def listed(value):
    return value if isinstance(value, list) else [value]


def concerns(statement, action, resource):
    def any_of(patterns, value):
        return any(matches(pattern, value) for pattern in listed(patterns))

    if "Action" in statement:
        lower = [pattern.lower() for pattern in listed(statement["Action"])]
        if not any_of(lower, action.lower()):
            return False
    else:
        lower = [pattern.lower() for pattern in listed(statement["NotAction"])]
        if any_of(lower, action.lower()):
            return False
    if "Resource" in statement:
        return any_of(statement["Resource"], resource)
    return not any_of(statement["NotResource"], resource)


def matches(pattern, value):
    return expression(pattern).fullmatch(value) is not None


@functools.lru_cache(maxsize=4096)
def expression(pattern):
    """A pattern with * and ? as a regular expression. All other characters are themselves."""
    parts = (
        ".*" if part == "*" else "." if part == "?" else re.escape(part)
        for part in re.split(r"([*?])", pattern)
    )
    return re.compile("".join(parts), re.DOTALL)


def arn_matches(pattern, value):
    """Each of the six parts of an ARN is compared by itself."""
    patterns, values = pattern.split(":", 5), value.split(":", 5)
    return len(patterns) == len(values) and all(map(matches, patterns, values))


OPERATORS = {
    "StringEquals": lambda pattern, value: pattern == value,
    "StringEqualsIgnoreCase": lambda pattern, value: pattern.lower() == value.lower(),
    "StringLike": matches,
    "ArnEquals": arn_matches,
    "ArnLike": arn_matches,
    "Bool": lambda pattern, value: pattern.lower() == value.lower(),
}


def all_hold(condition, context):
    return all(
        holds(
            operator, [as_text(pattern) for pattern in listed(patterns)], context.get(key.lower())
        )
        for operator, keys in condition.items()
        for key, patterns in keys.items()
    )


def as_text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def holds(operator, patterns, values):
    """Whether one condition holds for the values of its key; None if the key is missing."""
    of_all, operator = operator.startswith("ForAllValues:"), operator.split(":")[-1]
    if operator == "Null":
        return (values is None) == (patterns == ["true"])
    optional, operator = operator.endswith("IfExists"), operator.removesuffix("IfExists")
    negated = "Not" in operator
    compare = OPERATORS.get(operator.replace("Not", ""))
    if compare is None:
        raise UnknownOperator(operator)
    if values is None:
        return optional or negated or of_all
    found = [any(compare(pattern, value) for pattern in patterns) != negated for value in values]
    # Without a qualifier, a negated operator must hold for each value.
    return all(found) if of_all or negated else any(found)
