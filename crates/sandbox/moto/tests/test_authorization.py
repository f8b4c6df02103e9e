"""Calls are authorized for the resources that they name."""

import functools
import json
import unittest
from urllib.parse import urlencode

from botocore.credentials import Credentials

from harness import corrected

EMPTY = {"Resources": {"R": {"Type": "AWS::SQS::Queue"}}}


class Authorization(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.moto = corrected()

    def waiting(self):
        """The ARN of a state machine, and a token that belongs to it."""
        task, token = self.moto.waiting_task()
        execution = self.moto.execution({"Wait": task})
        return execution.replace(":execution:", ":stateMachine:").rpartition(":")[0], token()

    def test_a_token_belongs_to_its_state_machine(self):
        machine, token = self.waiting()
        _, other_token = self.waiting()
        role = self.moto.assumed_role({"states:SendTaskSuccess": machine})
        for action, arguments, expected in (
            ("states:SendTaskSuccess", {"taskToken": token}, "allowed"),
            ("states:SendTaskSuccess", {"taskToken": other_token}, "AccessDeniedException"),
            ("states:SendTaskFailure", {"taskToken": token}, "AccessDeniedException"),
        ):
            self.assertEqual(self.moto.decision(role, action, arguments), expected, action)

    def test_a_command_needs_its_document_and_each_of_its_nodes(self):
        role = self.moto.assumed_role(
            {
                "ssm:SendCommand": [
                    "arn:aws:ssm:us-east-1:123456789012:document/Own",
                    "arn:aws:ec2:us-east-1:123456789012:instance/i-1",
                ]
            }
        )
        for document, nodes, expected in (
            ("Own", ["i-1"], "allowed"),
            ("Own", ["i-1", "i-2"], "AccessDeniedException"),
            ("Own", [], "AccessDeniedException"),
            ("AWS-RunShellScript", ["i-1"], "AccessDeniedException"),
        ):
            arguments = {"DocumentName": document, "InstanceIds": nodes}
            decision = self.moto.decision(role, "ssm:SendCommand", arguments)
            self.assertEqual(decision, expected, arguments)

    def test_calls_name_the_resources_that_aws_asks_for(self):
        stack = self.moto.name()
        self.moto.stacks.create_stack(StackName=stack, TemplateBody=json.dumps(EMPTY))
        described = self.moto.stacks.describe_stacks(StackName=stack)["Stacks"][0]
        stack_id = described["StackId"]
        place = "us-east-1:123456789012"
        machine, execution = f"arn:aws:states:{place}:stateMachine:m", f"arn:aws:states:{place}:e:x"
        alarms = f"arn:aws:cloudwatch:{place}:alarm"
        role, queue = "arn:aws:iam::123456789012:role/tester", f"arn:aws:sqs:{place}:q"
        rule = f"arn:aws:events:{place}:rule"
        function = f"arn:aws:lambda:{place}:function:f"
        of_f = "/2015-03-31/functions/f"
        escaped = function.replace(":", "%3A")
        json_call, query, rest = self.json_call, self.query, self.rest
        for action, resource, ask in (
            ("cloudformation:DescribeStacks", stack_id, query(StackName=stack)),
            ("cloudformation:ListStackResources", stack_id, query(StackName=stack_id)),
            ("cloudformation:ListStacks", "*", query()),
            ("lambda:GetFunction", function, rest("GET", of_f)),
            ("lambda:GetFunction", function, rest("GET", f"/2015-03-31/functions/{escaped}")),
            ("lambda:GetFunctionConfiguration", function, rest("GET", f"{of_f}/configuration")),
            (
                "lambda:GetFunctionConcurrency",
                function,
                rest("GET", "/2019-09-30/functions/f/concurrency"),
            ),
            (
                "lambda:GetFunctionEventInvokeConfig",
                function,
                rest("GET", "/2019-09-25/functions/f/event-invoke-config"),
            ),
            ("lambda:GetPolicy", function, rest("GET", f"{of_f}/policy")),
            ("lambda:InvokeFunction", function, rest("POST", f"{of_f}/invocations")),
            ("lambda:GetAccountSettings", "*", rest("GET", "/2016-08-19/account-settings")),
            ("events:DescribeRule", f"{rule}/r", json_call(Name="r")),
            ("events:ListTargetsByRule", f"{rule}/r", json_call(Rule="r")),
            ("events:PutTargets", f"{rule}/b/r", json_call(Rule="r", EventBusName="b")),
            ("events:DisableRule", f"{rule}/r", json_call(Name="r")),
            ("sqs:GetQueueAttributes", queue, json_call(QueueUrl="http://host/123456789012/q")),
            ("states:DescribeExecution", execution, json_call(executionArn=execution)),
            ("states:StartExecution", machine, json_call(stateMachineArn=machine, input="{}")),
            ("states:ListStateMachines", "*", json_call()),
            ("cloudwatch:DescribeAlarms", f"{alarms}:a", json_call(AlarmNames=["a"])),
            ("cloudwatch:DescribeAlarms", f"{alarms}:*", json_call(AlarmNames=["a", "b"])),
            ("cloudwatch:DescribeAlarms", f"{alarms}:*", self.cbor_call()),
            ("cloudwatch:GetMetricData", "*", json_call()),
            ("iam:SimulatePrincipalPolicy", role, query(PolicySourceArn=role)),
            ("iam:GetRole", role, query(RoleName="tester")),
            (
                "ssm:DescribeDocument",
                f"arn:aws:ssm:{place}:document/Own",
                json_call(Name="Own"),
            ),
            ("ssm:ListCommands", "*", json_call()),
            (
                "ssm:GetAutomationExecution",
                f"arn:aws:ssm:{place}:automation-execution/1",
                json_call(AutomationExecutionId="1"),
            ),
            ("s3:ListBucket", "arn:aws:s3:::bucket", rest("HEAD", "/bucket")),
            ("s3:GetBucketLocation", "arn:aws:s3:::bucket", rest("GET", "/bucket?location")),
            ("s3:GetObject", "arn:aws:s3:::bucket/a/key", rest("GET", "/bucket/a/key")),
        ):
            allowed = self.moto.assumed_role({action: resource})
            self.assertEqual(ask(allowed, action), "allowed", f"{action} on {resource}")
            # An action on all resources is not allowed by one that is.
            other = "arn:aws:sqs:::q" if resource == "*" else f"{resource}-other"
            for others in ({action: other}, {f"{action}Other": "*"}):
                refused = ask(self.moto.assumed_role(others), action)
                self.assertEqual(refused, "AccessDeniedException", others)

    def test_several_alarms_are_asked_for_at_once(self):
        alarm = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:a"
        role = self.moto.assumed_role({"cloudwatch:DescribeAlarms": alarm})
        decisions = [
            self.json_call(AlarmNames=names)(role, "cloudwatch:DescribeAlarms")
            for names in (["a"], ["a", "b"], [])
        ]
        self.assertEqual(decisions, ["allowed", *["AccessDeniedException"] * 2])

    # Requests, as the protocols have them: functions of credentials and an action.

    def json_call(self, **arguments):
        def ask(credentials, action):
            service, operation = action.split(":")
            service = {"cloudwatch": "monitoring"}.get(service, service)
            body = json.dumps(arguments).encode()
            return self.moto.decided(credentials, service, operation, body)

        return ask

    def cbor_call(self):
        def ask(credentials, action):
            headers = {"smithy-protocol": "rpc-v2-cbor"}
            # {"MaxRecords": 100}
            body = b"\xa1\x6aMaxRecords\x18\x64"
            operation = action.split(":")[1]
            return self.moto.decided(credentials, "monitoring", operation, body, **headers)

        return ask

    def query(self, **arguments):
        def ask(credentials, action):
            service, operation = action.split(":")
            body = urlencode({"Action": operation, **arguments}).encode()
            return self.moto.decided(credentials, service, operation, body)

        return ask

    def rest(self, method, path):
        def ask(credentials, action):
            service = action.split(":")[0]
            operation = f"{method} {path}"
            return self.moto.decided(credentials, service, operation, b"", None, method, path)

        return ask

    def test_an_identity_needs_no_permission_to_be_told(self):
        role = self.moto.assumed_role({"ssm:ListCommands": "*"})
        self.assertEqual(self.query()(role, "sts:GetCallerIdentity"), "allowed")

    def test_what_is_denied_is_not_allowed(self):
        role = self.moto.assumed_role({"ssm:*": "*"}, denied={"ssm:List*": "*"})
        self.assertEqual(self.json_call()(role, "ssm:DescribeDocument"), "allowed")
        self.assertEqual(self.json_call()(role, "ssm:ListCommands"), "AccessDeniedException")

    def test_a_signature_is_checked(self):
        role = self.moto.assumed_role({"ssm:ListCommands": "*"})
        check = functools.partial(
            self.moto.decision, action="ssm:ListCommands", signed={"MaxResults": 5}
        )
        self.assertEqual(check(role), "allowed")
        self.assertEqual(check(role, sent={"MaxResults": 6}), "InvalidSignatureException")
        stranger = Credentials("ASIAEXAMPLEEXAMPLE12", "secret", "token")
        self.assertEqual(check(stranger), "UnrecognizedClientException")
