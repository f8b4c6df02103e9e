"""Each correction of IAM is needed, and works."""

import json
from functools import partial

from harness import Correction, code


def document(action):
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


class Iam(Correction):
    def test_the_policy_of_a_stack_may_be_text(self):
        def probe(moto):
            text = json.dumps(document("ssm:SendCommand"))
            policy = {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": text}}
            return code(partial(moto.stack, {"P": policy}))

        self.check(probe, moto="MalformedPolicyDocument", aws="accepted")

    def test_a_policy_within_a_role_of_a_stack_is_json(self):
        def probe(moto):
            name = moto.name()
            empty = {"Version": "2012-10-17", "Statement": []}
            properties = {
                "RoleName": name,
                "AssumeRolePolicyDocument": empty,
                "Policies": [{"PolicyName": "p", "PolicyDocument": empty}],
            }
            moto.stack({"R": {"Type": "AWS::IAM::Role", "Properties": properties}})
            kept = moto.iam.get_role_policy(RoleName=name, PolicyName="p")["PolicyDocument"]
            return kept["Version"] if isinstance(kept, dict) else "not JSON"

        self.check(probe, moto="not JSON", aws="2012-10-17")

    def test_a_role_of_a_stack_has_its_managed_policies(self):
        def probe(moto):
            def policy():
                text = json.dumps(document("ssm:SendCommand"))
                return moto.iam.create_policy(PolicyName=moto.name(), PolicyDocument=text)

            def attached(role):
                listed = moto.iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
                return [policy["PolicyArn"] for policy in listed]

            first, second = (policy()["Policy"]["Arn"] for _ in range(2))
            properties = {"AssumeRolePolicyDocument": {}, "ManagedPolicyArns": [first]}
            name = moto.name()
            role = {"Type": "AWS::IAM::Role", "Properties": {**properties, "RoleName": name}}
            moto.stack({"R": role})
            before = attached(name) == [first]
            resource = {"Type": "AWS::IAM::Role", "Properties": properties}
            stack = moto.updated(resource, {"ManagedPolicyArns": [second]})
            return before, attached(moto.physical(stack)) == [second]

        self.check(probe, moto=(False, False), aws=(True, True))

    def test_a_boundary_must_exist(self):
        def probe(moto):
            create = partial(moto.iam.create_role, AssumeRolePolicyDocument="{}")
            none = "arn:aws:iam::123456789012:policy/none"
            return code(partial(create, RoleName=moto.name(), PermissionsBoundary=none))

        self.check(probe, moto="accepted", aws="NoSuchEntity")

    def test_an_account_can_demand_a_boundary(self):
        correction = """
import os
os.environ["DEMANDED_BOUNDARY"] = "arn:aws:iam::123456789012:policy/boundary"
from corrections import iam
iam.correct()
"""
        program = """
import json
import boto3, moto
from botocore.exceptions import ClientError
with moto.mock_aws():
    iam = boto3.client("iam", region_name="us-east-1")
    statement = {"Effect": "Allow", "Action": "ssm:SendCommand", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    for name in ("boundary", "other"):
        iam.create_policy(PolicyName=name, PolicyDocument=document)
    for policy in ("boundary", "other", None):
        boundary = f"arn:aws:iam::123456789012:policy/{policy}"
        arguments = {"PermissionsBoundary": boundary} if policy else {}
        try:
            iam.create_role(RoleName=f"r-{policy}", AssumeRolePolicyDocument="{}", **arguments)
            print("accepted")
        except ClientError as error:
            print(error.response["Error"]["Code"], error.response["Error"]["Message"])
"""
        denied = "\n".join(
            "AccessDenied User: arn:aws:iam::123456789012:user/sandbox is not authorized to "
            f"perform: iam:CreateRole on resource: arn:aws:iam::123456789012:role/r-{name} with an "
            "explicit deny in a service control policy"
            for name in ("other", None)
        )
        self.check_program(
            correction,
            program,
            moto="accepted\naccepted\naccepted",
            aws=f"accepted\n{denied}",
        )

    def test_an_update_of_a_stack_changes_a_role(self):
        def probe(moto):
            def policies(action):
                return [{"PolicyName": "p", "PolicyDocument": document(action)}]

            text = json.dumps(document("ssm:SendCommand"))
            policy = moto.iam.create_policy(PolicyName=moto.name(), PolicyDocument=text)
            properties = {"AssumeRolePolicyDocument": {}, "Policies": policies("a:First")}
            stack = moto.updated(
                {"Type": "AWS::IAM::Role", "Properties": properties},
                {"Policies": policies("a:Second"), "PermissionsBoundary": policy["Policy"]["Arn"]},
            )
            role = moto.physical(stack)
            kept = moto.iam.get_role_policy(RoleName=role, PolicyName="p")["PolicyDocument"]
            boundary = moto.iam.get_role(RoleName=role)["Role"].get("PermissionsBoundary")
            return "a:Second" in str(kept), boundary is not None

        self.check(probe, moto=(False, False), aws=(True, True))

    def test_another_path_replaces_a_role_and_a_managed_policy(self):
        def role(moto):
            resource = {
                "Type": "AWS::IAM::Role",
                "Properties": {"AssumeRolePolicyDocument": {}, "Path": "/one/"},
            }
            name = moto.physical(moto.updated(resource, {"Path": "/two/"}))
            return moto.iam.get_role(RoleName=name)["Role"]["Path"]

        def policy(moto):
            properties = {"PolicyDocument": document("ssm:SendCommand"), "Path": "/one/"}
            policy = {"Type": "AWS::IAM::ManagedPolicy", "Properties": properties}
            return self.policies_after(moto, policy, {"Path": "/two/"})[0]["Path"]

        self.check(role, moto="/one/", aws="/two/")
        self.check(policy, moto="/one/", aws="/two/")

    def test_an_update_of_a_stack_changes_a_managed_policy(self):
        def probe(moto):
            properties = {"PolicyDocument": document("ssm:SendCommand")}
            policy = {"Type": "AWS::IAM::ManagedPolicy", "Properties": properties}
            changed = {"PolicyDocument": document("ssm:CancelCommand")}
            return self.policies_after(moto, policy, changed)[0]["DefaultVersionId"]

        self.check(probe, moto="v1", aws="v2")

    def policies_after(self, moto, policy, changed):
        """The managed policies of a stack after an update of its only one."""
        stack = moto.updated(policy, changed)
        policies = moto.iam.list_policies(Scope="Local")["Policies"]
        return [policy for policy in policies if policy["PolicyName"].startswith(f"{stack}-")]
