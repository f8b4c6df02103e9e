"""SimulatePrincipalPolicy evaluates policies as IAM does."""

import json
from functools import partial

from botocore.parsers import ResponseParserError

from harness import Correction, code, corrected

DOCUMENT, NODE = "arn:aws:ssm:us-east-1:123456789012:document/Own", "arn:aws:ec2:::instance/i-1"
NO_ROLE = "arn:aws:iam::123456789012:role/none"


def statement(action, resource="*", effect="Allow", condition=None):
    basis = {"Effect": effect, "Action": action, "Resource": resource}
    return {**basis, "Condition": condition} if condition else basis


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


class Simulation(Correction):
    def role(self, *statements, **arguments):
        """The ARN of a role with an inline policy."""
        iam, name = corrected().iam, corrected().name()
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}", **arguments)["Role"]
        if statements:
            document = policy(*statements)
            iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document)
        return role["Arn"]

    def simulate(self, role, actions, resources=None, **context):
        entries = [
            {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
            for key, value in context.items()
        ]
        arguments = {"ResourceArns": resources} if resources else {}
        return corrected().iam.simulate_principal_policy(
            PolicySourceArn=role, ActionNames=actions, ContextEntries=entries, **arguments
        )["EvaluationResults"]

    def decision(self, role, action, resource=None, **context):
        (result,) = self.simulate(role, [action], resource and [resource], **context)
        return result["EvalDecision"]

    def test_moto_does_not_know_it(self):
        def probe(moto):
            role = moto.iam.get_role(RoleName="tester")["Role"]["Arn"]
            call = moto.iam.simulate_principal_policy
            try:
                return code(partial(call, PolicySourceArn=role, ActionNames=["ssm:SendCommand"]))
            except ResponseParserError:
                return "not known"

        self.check(probe, moto="not known", aws="accepted")

    def test_one_result_for_each_action_and_its_decisions_by_resource(self):
        role = self.role(
            statement("ssm:send*", [DOCUMENT, "arn:aws:ec2:*"]),
            statement("ssm:SendCommand", "arn:aws:ec2:::instance/i-?9", "Deny"),
        )
        first, second = self.simulate(
            role, ["ssm:SendCommand", "ssm:CancelCommand"], [DOCUMENT, NODE, f"{NODE}9", "*"]
        )
        by_resource = {
            each["EvalResourceName"]: each["EvalResourceDecision"]
            for each in first["ResourceSpecificResults"]
        }
        self.assertEqual(
            by_resource,
            {DOCUMENT: "allowed", NODE: "allowed", f"{NODE}9": "explicitDeny", "*": "implicitDeny"},
        )
        self.assertEqual(first["EvalActionName"], "ssm:SendCommand")
        self.assertEqual(first["EvalDecision"], "explicitDeny")
        self.assertEqual(second["EvalDecision"], "implicitDeny")

    def test_without_resources_all_are_meant(self):
        for resource, expected in (("*", "allowed"), (DOCUMENT, "implicitDeny")):
            role = self.role(statement("ssm:SendCommand", resource))
            (result,) = self.simulate(role, ["ssm:SendCommand"])
            self.assertEqual(result["EvalDecision"], expected)
            self.assertEqual(result["EvalResourceName"], "*")
            self.assertNotIn("ResourceSpecificResults", result)

    def test_conditions_hold_for_values_that_are_given(self):
        arn, pattern = "arn:aws:sns:us-east-1:1:topic", "arn:aws:sns:*:*:t*"
        for operator, wanted, given, expected in (
            ("StringEquals", "Web", "Web", "allowed"),
            ("StringEquals", ["Other", "Web"], "Web", "allowed"),
            ("StringEquals", "Web*", "Web1", "implicitDeny"),
            ("StringLike", "Web*", "Web1", "allowed"),
            ("StringNotEquals", "Web", "Web", "implicitDeny"),
            ("StringNotEquals", "Web", None, "allowed"),
            ("StringEqualsIfExists", "Web", None, "allowed"),
            ("StringEquals", "Web", None, "implicitDeny"),
            ("ArnLike", pattern, arn, "allowed"),
            ("ArnEquals", pattern, arn, "allowed"),
            ("ArnLike", "arn:aws:s*", arn, "implicitDeny"),
            ("Bool", "true", "TRUE", "allowed"),
            ("Bool", True, "false", "implicitDeny"),
            ("Null", "true", None, "allowed"),
            ("Null", "true", "Web", "implicitDeny"),
        ):
            condition = {operator: {"ssm:resourceTag/Role": wanted}}
            role = self.role(statement("ssm:SendCommand", condition=condition))
            context = {"SSM:resourceTag/role": given} if given else {}
            decision = self.decision(role, "ssm:SendCommand", NODE, **context)
            self.assertEqual(decision, expected, (operator, wanted, given))

    def test_keys_without_a_value_are_missing(self):
        condition = {"StringEquals": {"ssm:resourceTag/Role": "web", "aws:RequestedRegion": "r"}}
        role = self.role(
            statement("ssm:SendCommand", NODE, condition=condition),
            statement("ssm:SendCommand", DOCUMENT),
        )
        given = {"aws:RequestedRegion": "r"}
        (result,) = self.simulate(role, ["ssm:SendCommand"], [NODE, DOCUMENT], **given)
        missing = [each["MissingContextValues"] for each in result["ResourceSpecificResults"]]
        self.assertEqual(missing, [["ssm:resourceTag/Role"], []])
        self.assertEqual(result["MissingContextValues"], ["ssm:resourceTag/Role"])

    def test_managed_policies_count_too(self):
        role = self.role()
        iam, name = corrected().iam, corrected().name()
        document = policy(statement("ssm:SendCommand"))
        arn = iam.create_policy(PolicyName=name, PolicyDocument=document)["Policy"]["Arn"]
        iam.attach_role_policy(RoleName=role.rpartition("/")[2], PolicyArn=arn)
        (result,) = self.simulate(role, ["ssm:SendCommand"])
        self.assertEqual(result["EvalDecision"], "allowed")
        self.assertEqual(result["MatchedStatements"][0]["SourcePolicyId"], name)

    def test_a_user_has_the_policies_of_its_groups(self):
        iam, name = corrected().iam, corrected().name()
        user = iam.create_user(UserName=name)["User"]["Arn"]
        iam.create_group(GroupName=name)
        document = policy(statement("ssm:SendCommand"))
        iam.put_group_policy(GroupName=name, PolicyName="p", PolicyDocument=document)
        self.assertEqual(self.decision(user, "ssm:SendCommand"), "implicitDeny")
        iam.add_user_to_group(UserName=name, GroupName=name)
        self.assertEqual(self.decision(user, "ssm:SendCommand"), "allowed")

    def test_a_boundary_bounds(self):
        iam = corrected().iam
        document = policy(statement("ssm:SendCommand", DOCUMENT))
        created = iam.create_policy(PolicyName=corrected().name(), PolicyDocument=document)
        boundary = created["Policy"]["Arn"]
        role = self.role(statement("ssm:SendCommand"), PermissionsBoundary=boundary)
        (result,) = self.simulate(role, ["ssm:SendCommand"], [DOCUMENT, NODE])
        self.assertEqual(
            [
                (
                    each["EvalResourceDecision"],
                    each["PermissionsBoundaryDecisionDetail"]["AllowedByPermissionsBoundary"],
                )
                for each in result["ResourceSpecificResults"]
            ],
            [("allowed", True), ("implicitDeny", False)],
        )

    def test_results_come_in_pages(self):
        role = self.role(statement("ssm:*"))
        pages = (
            corrected()
            .iam.get_paginator("simulate_principal_policy")
            .paginate(
                PolicySourceArn=role,
                ActionNames=["ssm:A", "ssm:B", "ssm:C"],
                PaginationConfig={"PageSize": 2},
            )
        )
        counts = [len(page["EvaluationResults"]) for page in pages]
        self.assertEqual(counts, [2, 1])

    def test_who_and_what_must_be_there(self):
        role = self.role()
        session = role.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/") + "/session"
        for source, action, expected in (
            (NO_ROLE, "ssm:SendCommand", "NoSuchEntity"),
            (session, "ssm:SendCommand", "InvalidInput"),
            (role, "ssm:Send*", "InvalidInput"),
            (role, "SendCommand", "InvalidInput"),
        ):
            call = corrected().iam.simulate_principal_policy
            got = code(partial(call, PolicySourceArn=source, ActionNames=[action]))
            self.assertEqual(got, expected, (source, action))
