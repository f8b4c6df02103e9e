"""Each correction of what CloudFormation refuses is needed, and works."""

import json
from functools import partial

from harness import Correction, code

QUEUE = {"Q": {"Type": "AWS::SQS::Queue"}}
BOTH_OR_NONE = {
    "Both": {
        "RuleCondition": {"Fn::Not": [{"Fn::Equals": [{"Ref": "One"}, ""]}]},
        "Assertions": [
            {
                "Assert": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Two"}, ""]}]},
                "AssertDescription": "One needs Two.",
            }
        ],
    }
}


def text(default="", **constraints):
    return {"Type": "String", "Default": default, **constraints}


class CloudFormationChecks(Correction):
    def check_stack(self, parameters, rules, aws):
        def probe(moto):
            create = partial(moto.stack, QUEUE, Parameters=parameters, Rules=rules)
            return code(create)

        self.check(probe, moto="accepted", aws=aws)

    def test_a_rule_refuses_values(self):
        for one, two, aws in (
            ("x", "", "ValidationError"),
            ("", "", "accepted"),
            ("x", "y", "accepted"),
        ):
            self.check_stack({"One": text(one), "Two": text(two)}, BOTH_OR_NONE, aws)

    def test_a_rule_has_functions_of_its_own(self):
        split = {"Fn::Split": [":", {"Ref": "One"}]}
        rules = {"R": {"Assertions": [{"Assert": split, "AssertDescription": "d"}]}}
        self.check_stack({"One": text("x")}, rules, "ValidationError")

    def test_a_value_keeps_the_constraints_of_its_parameter(self):
        for parameter, aws in (
            (text("b", AllowedPattern="a"), "ValidationError"),
            (text("aa", AllowedPattern="a"), "ValidationError"),
            (text("b", AllowedValues=["a"]), "ValidationError"),
            (text("b", MinLength=2), "ValidationError"),
            (text("bbb", MaxLength=2), "ValidationError"),
            ({"Type": "Number", "Default": 1, "MinValue": 2}, "ValidationError"),
            ({"Type": "Number", "Default": 3, "MaxValue": 2}, "ValidationError"),
            (
                {"Type": "CommaDelimitedList", "Default": "a,b", "AllowedPattern": "a"},
                "ValidationError",
            ),
            (
                text("aa", AllowedPattern="a+", AllowedValues=["aa"], MinLength=2, MaxLength=2),
                "accepted",
            ),
            ({"Type": "Number", "Default": 2, "MinValue": 2, "MaxValue": 2}, "accepted"),
        ):
            with self.subTest(parameter):
                self.check_stack({"One": parameter}, {}, aws)

    def test_a_change_set_is_refused_before_there_is_a_stack(self):
        def probe(moto):
            name = moto.name()
            template = {
                "Parameters": {"One": text("x"), "Two": text()},
                "Rules": BOTH_OR_NONE,
                "Resources": QUEUE,
            }
            create = partial(
                moto.stacks.create_change_set,
                StackName=name,
                ChangeSetName=name,
                ChangeSetType="CREATE",
                TemplateBody=json.dumps(template),
            )
            return code(create), code(partial(moto.stacks.describe_stacks, StackName=name))

        self.check(probe, moto=("accepted", "accepted"), aws=("ValidationError", "ValidationError"))

    def test_iam_resources_need_capabilities(self):
        role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}}
        refused = "InsufficientCapabilitiesException"
        for name, given, aws in (
            ({}, [], refused),
            ({}, ["CAPABILITY_IAM"], "accepted"),
            ({}, ["CAPABILITY_NAMED_IAM"], "accepted"),
            ({"RoleName": True}, ["CAPABILITY_IAM"], refused),
            ({"RoleName": True}, ["CAPABILITY_NAMED_IAM"], "accepted"),
        ):

            def probe(moto, name=name, given=given):
                stack = moto.name()
                names = dict.fromkeys(name, stack)
                resource = {**role, "Properties": {**role["Properties"], **names}}
                template = json.dumps({"Resources": {"R": resource}})
                create = partial(moto.stacks.create_stack, StackName=stack, Capabilities=given)
                return code(partial(create, TemplateBody=template))

            with self.subTest(name=name, given=given):
                self.check(probe, moto="accepted", aws=aws)
