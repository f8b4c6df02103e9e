"""Each correction of IAM is needed, and works."""

import json
from functools import partial

from harness import Correction, code


class Iam(Correction):
    def test_the_policy_of_a_stack_may_be_text(self):
        def probe(moto):
            statement = {"Effect": "Allow", "Action": "ssm:SendCommand", "Resource": "*"}
            document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            policy = {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": document}}
            return code(partial(moto.stack, {"P": policy}))

        self.check(probe, moto="MalformedPolicyDocument", aws="accepted")

    def test_a_policy_within_a_role_of_a_stack_is_json(self):
        def probe(moto):
            name = moto.name()
            document = {"Version": "2012-10-17", "Statement": []}
            properties = {
                "RoleName": name,
                "AssumeRolePolicyDocument": document,
                "Policies": [{"PolicyName": "p", "PolicyDocument": document}],
            }
            moto.stack({"R": {"Type": "AWS::IAM::Role", "Properties": properties}})
            kept = moto.iam.get_role_policy(RoleName=name, PolicyName="p")["PolicyDocument"]
            return kept["Version"] if isinstance(kept, dict) else "not JSON"

        self.check(probe, moto="not JSON", aws="2012-10-17")
