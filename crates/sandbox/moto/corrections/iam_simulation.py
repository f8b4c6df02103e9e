"""IAM's SimulatePrincipalPolicy, which moto does not know."""

import re

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.iam.exceptions import NotFoundException
from moto.iam.models import iam_backends
from moto.iam.responses import IamResponse

import policies

ITEMS = 100


class InvalidInput(ServiceException):
    # Moto finds the service of an error by the module that defines it.
    __module__ = "moto.iam.exceptions"
    code = "InvalidInput"


class PolicyEvaluation(ServiceException):
    __module__ = "moto.iam.exceptions"
    code = "PolicyEvaluation"


class Principal:
    """A role, user or group: its policies, each with its name and kind, and its boundary."""

    def __init__(self, arn, account):
        backend = iam_backends[account]["aws"]
        kind, _, name = arn.partition(f":iam::{account}:")[2].partition("/")
        self.kind, name = kind, name.rpartition("/")[2]
        if not name or kind not in ("role", "user", "group"):
            raise InvalidInput(
                f"Invalid Entity Arn: {arn} does not clearly define entity type and name."
            )
        if kind == "role":
            entity = backend.get_role(name)
            inline = entity.policies.items()
            managed = list(entity.managed_policies.values())
        elif kind == "user":
            entity = backend.get_user(name)
            groups = backend.get_groups_for_user(name)
            inline = [item for one in (entity, *groups) for item in one.policies.items()]
            managed = [each for one in (entity, *groups) for each in one.managed_policies.values()]
        else:
            entity = backend.get_group(name)
            inline = entity.policies.items()
            managed = list(entity.managed_policies.values())
        if entity.arn != arn:
            raise NotFoundException(f"The entity with ARN {arn} cannot be found.")
        self.policies = [
            *((f"{kind}_{name}_{policy}", policies.document_of(text)) for policy, text in inline),
            *((policy.name, policies.document_of(policy)) for policy in managed),
        ]
        boundary = getattr(entity, "permissions_boundary_arn", None)
        self.boundary = boundary and policies.document_of(backend.get_policy(boundary))


def simulate(principal, boundary, action, resource, context):
    """The members of a result that are the same for one resource and for all."""
    try:
        decided = policies.decide(principal.policies, action, resource, context)
        decision, details = decided.decision, {}
        missing = decided.missing
        if boundary:
            bounded = policies.decide([("", boundary)], action, resource, context)
            allowed = bounded.decision == policies.ALLOWED
            details = {"AllowedByPermissionsBoundary": allowed}
            missing = list(dict.fromkeys([*missing, *bounded.missing]))
            if not allowed and decision == policies.ALLOWED:
                decision = bounded.decision
    except policies.UnknownOperator as error:
        raise PolicyEvaluation(
            f"the sandbox does not know the condition operator {error}"
        ) from error
    return decision, {
        "MatchedStatements": [
            {"SourcePolicyId": name, "SourcePolicyType": kind_of(principal, name)}
            for name in dict.fromkeys(decided.matched)
        ],
        "MissingContextValues": missing,
        **({"PermissionsBoundaryDecisionDetail": details} if details else {}),
    }


def kind_of(principal, name):
    return principal.kind if name.startswith(f"{principal.kind}_") else "user-managed"


# The most restrictive decision comes first.
RESTRICTIVE = (policies.EXPLICIT_DENY, policies.IMPLICIT_DENY, policies.ALLOWED)


def result_of(principal, boundary, action, resources, context):
    """AWS: one result for each action, with the most restrictive decision of all resources. The
    decision about each is in ResourceSpecificResults.

    So says the API's description of today. Clients relied on one result for each resource, whose
    EvalResourceName was its ARN. Which of the two AWS gives was not tried.
    """
    if resources == ["*"]:
        decision, members = simulate(principal, boundary, action, "*", context)
        return {
            "EvalActionName": action,
            "EvalResourceName": "*",
            "EvalDecision": decision,
            **members,
        }
    specific, matched, missing = [], [], []
    for resource in resources:
        decision, members = simulate(principal, boundary, action, resource, context)
        specific.append({"EvalResourceName": resource, "EvalResourceDecision": decision, **members})
        matched += [each for each in members["MatchedStatements"] if each not in matched]
        missing += [each for each in members["MissingContextValues"] if each not in missing]
    decisions = [each["EvalResourceDecision"] for each in specific]
    return {
        "EvalActionName": action,
        "EvalResourceName": "*",
        "EvalDecision": next(each for each in RESTRICTIVE if each in decisions),
        "MatchedStatements": matched,
        "MissingContextValues": missing,
        "ResourceSpecificResults": specific,
    }


def correct():
    """AWS: SimulatePrincipalPolicy evaluates the policies and the boundary of a role or user.

    Left out: resource policies, exclusions, policies of organizations, positions of statements.
    """

    def simulate_principal_policy(self):
        actions = self._get_param("ActionNames", [])
        resources = self._get_param("ResourceArns", []) or ["*"]
        for action in actions:
            # The operation takes no wildcards.
            if not re.fullmatch(r"[a-zA-Z0-9-]+:[a-zA-Z0-9]+", action):
                raise InvalidInput(f"Invalid action name: {action}")
        for resource in resources:
            if resource != "*" and len(resource.split(":", 5)) != 6:
                raise InvalidInput(f"Invalid resource: {resource}")
        principal = Principal(self._get_param("PolicySourceArn"), self.current_account)
        principal.policies += [
            (f"PolicyInputList.{number}", text)
            for number, text in enumerate(self._get_param("PolicyInputList", []), 1)
        ]
        boundaries = self._get_param("PermissionsBoundaryPolicyInputList", [])
        boundary = boundaries[0] if boundaries else principal.boundary
        context = {
            entry["ContextKeyName"].lower(): entry["ContextKeyValues"]
            for entry in self._get_param("ContextEntries", [])
        }
        first = int(self._get_param("Marker", "0"))
        end = first + int(self._get_param("MaxItems", ITEMS))
        results = [
            result_of(principal, boundary, action, resources, context)
            for action in actions[first:end]
        ]
        truncated = end < len(actions)
        answer = {"EvaluationResults": results, "IsTruncated": truncated}
        return ActionResult({**answer, "Marker": str(end)} if truncated else answer)

    IamResponse.simulate_principal_policy = simulate_principal_policy
