"""Two processes of moto, alone and corrected, and what the tests do with them."""

import atexit
import functools
import io
import json
import os
import socket
import subprocess
import sys
import time
import unittest
import urllib.request
import zipfile
from pathlib import Path
from urllib.parse import quote

import boto3
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

MODULES = Path(__file__).parent.parent
ALONE = """
import sys, moto.server
from moto.core.config import default_user_config
default_user_config["stepfunctions"] = {"execute_state_machine": True}
moto.server.main(["-H", "127.0.0.1", "-p", sys.argv[1]])
"""
# As the sandbox runs it, except for its door.
CORRECTED = """
import sys, moto.server, moto_launcher
moto_launcher.prepare()
moto.server.main(["-H", "127.0.0.1", "-p", sys.argv[1]])
"""
ACCESS_KEY_ID = "test"
ROLE = "arn:aws:iam::123456789012:role/tester"
# Enough for what the tests reserve, and for no more than 60 at once.
CONCURRENCY_LIMIT = 160
# What CloudFormation puts before the error of a service.
HANDLER = "Resource handler returned message: "
START_SECONDS_MAX = 90
PATIENCE_SECONDS = 10


class Correction(unittest.TestCase):
    """Asks moto alone and the corrected moto the same. Both start once, for all tests."""

    maxDiff = None

    def check(self, probe, moto, aws):
        """Expects `aws` from the corrected moto, and `moto` from moto alone."""
        self.assertEqual(probe(corrected()), aws, "the corrected moto differs from AWS")
        self.assertEqual(
            probe(alone()), moto, "moto alone has changed: is its correction still needed?"
        )

    def check_program(self, correction, program, moto, aws):
        """The same, for what a Python program prints: after the correction, and without it."""
        self.assertEqual(printed(f"{correction}\n{program}"), aws, "differs from AWS")
        self.assertEqual(
            printed(program), moto, "moto alone has changed: is its correction still needed?"
        )


@functools.cache
def alone():
    return Moto(ALONE)


@functools.cache
def corrected():
    return Moto(CORRECTED)


def printed(program):
    arguments = [sys.executable, "-c", program]
    return subprocess.check_output(arguments, env=environment(), text=True).strip()


def environment(**others):
    return {
        **os.environ,
        "PYTHONPATH": str(MODULES),
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": "test",
        "MOTO_LAMBDA_CONCURRENCY_QUOTA": str(CONCURRENCY_LIMIT),
        **others,
    }


class Moto:
    """A moto process whose state machines call moto itself, with clients for it."""

    def __init__(self, program):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, str(port)],
            env=environment(MOTO_PORT=str(port)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        atexit.register(self.process.kill)
        self.wait(port)
        self.client = client = functools.partial(
            boto3.client,
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
        )
        self.states, self.sqs, self.events = (
            client("stepfunctions"),
            client("sqs"),
            client("events"),
        )
        self.stacks, self.functions, self.ssm = (
            client("cloudformation"),
            client("lambda"),
            client("ssm"),
        )
        self.buckets, self.iam, self.tokens = client("s3"), client("iam"), client("sts")
        self.keys, self.logs, self.ec2 = client("kms"), client("logs"), client("ec2")
        self.metrics = client("cloudwatch")
        self.iam.create_role(RoleName="tester", AssumeRolePolicyDocument="{}")
        self.count = 0

    def wait(self, port):
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"expected moto to listen within {START_SECONDS_MAX} s")

    def name(self):
        self.count += 1
        return f"test-{self.count}"

    def machine(self, states, start="Wait"):
        definition = json.dumps({"StartAt": start, "States": states})
        answer = self.states.create_state_machine(
            name=self.name(), definition=definition, roleArn=ROLE
        )
        return answer["stateMachineArn"]

    def execution(self, states, start="Wait", **arguments):
        machine = self.machine(states, start)
        arguments.setdefault("name", self.name())
        answer = self.states.start_execution(stateMachineArn=machine, **arguments)
        return answer["executionArn"]

    def waiting_task(self, **task):
        """A task that waits for its token, and a function that returns each token that it sends."""
        queue = self.sqs.create_queue(QueueName=self.name())["QueueUrl"]
        state = {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:sqs:sendMessage.waitForTaskToken",
            "Parameters": {"QueueUrl": queue, "MessageBody.$": "$$.Task.Token"},
            "TimeoutSeconds": 60,
            "End": True,
            **task,
        }
        return state, lambda: self.message(queue)

    def message(self, queue, seconds=PATIENCE_SECONDS):
        for _ in range(int(seconds / 0.1)):
            for message in self.sqs.receive_message(QueueUrl=queue).get("Messages", []):
                self.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
                return message["Body"]
            time.sleep(0.1)
        return None

    def ended(self, execution, seconds=PATIENCE_SECONDS):
        for _ in range(int(seconds / 0.1)):
            described = self.states.describe_execution(executionArn=execution)
            if described["status"] != "RUNNING":
                break
            time.sleep(0.1)
        return described

    def end_of(self, execution):
        """The error's name, or the status of an execution that did not fail."""
        described = self.ended(execution)
        return described.get("error", described["status"])

    def end(self, states, **arguments):
        return self.end_of(self.execution(states, **arguments))

    def stack(self, resources, **sections):
        name = self.name()
        template = {"Resources": resources, **sections}
        self.stacks.create_stack(
            StackName=name,
            TemplateBody=json.dumps(template),
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
        outputs = self.stacks.describe_stacks(StackName=name)["Stacks"][0].get("Outputs", [])
        return {output["OutputKey"]: output["OutputValue"] for output in outputs}

    def failure(self, resources):
        """Why a stack of these resources cannot be created. None if it can."""
        name, template = self.name(), json.dumps({"Resources": resources})
        message = refusal(self.stacks.create_stack, StackName=name, TemplateBody=template)[1]
        if message:
            return message
        events = self.stacks.describe_stack_events(StackName=name)["StackEvents"]
        failed = (each for each in events if each["ResourceStatus"].endswith("_FAILED"))
        return next((each["ResourceStatusReason"] for each in failed), None)

    def updated(self, resource, changed):
        """The stack of a resource, after an update that changes the resource's properties."""
        name = self.name()
        arguments = {"StackName": name, "Capabilities": ["CAPABILITY_NAMED_IAM"]}
        for call, properties in (
            (self.stacks.create_stack, resource["Properties"]),
            (self.stacks.update_stack, {**resource["Properties"], **changed}),
        ):
            given = {key: value for key, value in properties.items() if value is not None}
            template = {"Resources": {"R": {**resource, "Properties": given}}}
            call(TemplateBody=json.dumps(template), **arguments)
        return name

    def physical(self, stack):
        """The name of the resource of a stack that has only one."""
        described = self.stacks.describe_stack_resource(StackName=stack, LogicalResourceId="R")
        return described["StackResourceDetail"]["PhysicalResourceId"]

    def function(self, **arguments):
        name = self.name()
        self.functions.create_function(
            **{
                "FunctionName": name,
                "Runtime": "provided.al2023",
                "Handler": "bootstrap",
                "Role": ROLE,
                "Code": {"ZipFile": package()},
                **arguments,
            }
        )
        return name

    def assumed_role(self, grants, denied=None):
        """Credentials of a new role with these rights: actions with their resources."""
        name = self.name()
        statements = [
            {"Effect": effect, "Action": action, "Resource": resources}
            for effect, actions in (("Allow", grants), ("Deny", denied or {}))
            for action, resources in actions.items()
        ]
        role = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        self.iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy)
        answer = self.tokens.assume_role(RoleArn=role["Arn"], RoleSessionName="tester")
        keys = answer["Credentials"]
        return Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])

    def decision(self, credentials, action, signed, sent=None):
        """Whether a call with these arguments is allowed, or the code of its error."""
        service, operation = action.split(":")
        encoded = [json.dumps(body).encode() for body in (signed, sent or signed)]
        return self.decided(credentials, service, operation, *encoded)

    def decided(
        self, credentials, service, operation, signed, sent=None, method="POST", path="/", **headers
    ):
        """The same for a request of any protocol."""
        url = f"http://127.0.0.1{path}"
        request = AWSRequest(method, url, data=signed, headers=headers)
        signer = S3SigV4Auth if service == "s3" else SigV4Auth
        signer(credentials, service, "us-east-1").add_auth(request)
        question = {
            "method": method,
            "path": path,
            "headers": {"host": "127.0.0.1", **request.headers},
            "body": quote(sent or signed),
            "operation": operation,
            "signed": True,
        }
        request = urllib.request.Request(
            f"{self.endpoint}/moto-api/authorize",
            json.dumps(question).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as response:
            answer = json.load(response)
        return "allowed" if answer["allowed"] else answer["code"]


def package():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("bootstrap", "#!/bin/sh\n")
    return content.getvalue()


def code(call, *arguments, **named):
    """The code of the call's error, or "accepted"."""
    return refusal(call, *arguments, **named)[0]


def refusal(call, *arguments, **named):
    """The code and the message of the call's error, or "accepted" and nothing."""
    try:
        call(*arguments, **named)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["Error"]["Message"]
    return "accepted", ""
