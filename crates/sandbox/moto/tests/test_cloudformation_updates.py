"""Each correction of how stacks are updated is needed, and works."""

import json
from functools import partial

from harness import Correction, code

CHOICE = {
    "Parameters": {"Word": {"Type": "String", "Default": "a"}},
    "Conditions": {
        "IsA": {"Fn::Equals": [{"Ref": "Word"}, "a"]},
        "IsB": {"Fn::Not": [{"Condition": "IsA"}]},
    },
}


def group(name, days):
    properties = {"LogGroupName": name, "RetentionInDays": days}
    return {"Type": "AWS::Logs::LogGroup", "Properties": properties}


class CloudFormationUpdates(Correction):
    def update(self, moto, resources):
        """A stack that was created with Word=a, and updated with Word=b."""
        arguments = {
            "StackName": moto.name(),
            "TemplateBody": json.dumps({**CHOICE, "Resources": resources}),
            "Capabilities": ["CAPABILITY_NAMED_IAM"],
        }
        moto.stacks.create_stack(**arguments)
        moto.stacks.update_stack(
            Parameters=[{"ParameterKey": "Word", "ParameterValue": "b"}], **arguments
        )

    def groups(self, moto, prefix):
        groups = moto.logs.describe_log_groups(logGroupNamePrefix=prefix)["logGroups"]
        return [
            (group["logGroupName"].removeprefix(prefix), group["retentionInDays"])
            for group in groups
        ]

    def test_an_update_follows_conditions(self):
        def probe(moto):
            prefix = moto.name()
            days = {"Fn::If": ["IsA", 1, 3]}
            self.update(
                moto,
                {
                    "Changed": group(f"{prefix}changed", days),
                    "Gone": {**group(f"{prefix}gone", 1), "Condition": "IsA"},
                    "New": {**group(f"{prefix}new", 1), "Condition": "IsB"},
                },
            )
            return self.groups(moto, prefix)

        self.check(probe, moto=[("changed", 1), ("gone", 1)], aws=[("changed", 3), ("new", 1)])

    def test_an_update_follows_values_within_texts(self):
        def probe(moto):
            name = moto.name()
            properties = {
                "AssumeRolePolicyDocument": {},
                "Description": {"Fn::Sub": "word ${Word}"},
                "RoleName": name,
            }
            self.update(moto, {"R": {"Type": "AWS::IAM::Role", "Properties": properties}})
            return moto.iam.get_role(RoleName=name)["Role"]["Description"]

        self.check(probe, moto="word a", aws="word b")

    def test_what_a_resource_needs_is_updated_before_it(self):
        def probe(moto):
            prefix = moto.name()
            name = {"Fn::Sub": f"{prefix}-${{Word}}"}
            self.update(
                moto,
                {
                    "Second": {
                        "Type": "AWS::SQS::Queue",
                        "Properties": {
                            "QueueName": {
                                "Fn::Join": [
                                    "-",
                                    ["second", {"Fn::GetAtt": ["First", "QueueName"]}],
                                ]
                            }
                        },
                        "Condition": "IsB",
                    },
                    "First": {
                        "Type": "AWS::SQS::Queue",
                        "Properties": {"QueueName": name},
                        "Condition": "IsB",
                    },
                },
            )
            urls = moto.sqs.list_queues(QueueNamePrefix=f"second-{prefix}").get("QueueUrls", [])
            return [url.rpartition("-")[2] for url in urls]

        self.check(probe, moto=[], aws=["b"])

    def test_an_absent_element_is_left_out(self):
        def probe(moto):
            grant = {"Effect": "Allow", "Action": "ssm:SendCommand", "Resource": "*"}
            statements = [grant, {"Fn::If": ["IsA", {"Ref": "AWS::NoValue"}, grant]}]
            document = {"Version": "2012-10-17", "Statement": statements}
            policy = {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": document}}
            return code(partial(moto.stack, {"P": policy}, **CHOICE))

        self.check(probe, moto="MalformedPolicyDocument", aws="accepted")
