"""The IAM action of a call, and the resources that AWS requires a permission for.

Service Authorization Reference, "Actions, resources, and condition keys for AWS services". What is
not listed here requires a permission for every resource, "*".
"""

import json
from urllib.parse import parse_qsl

from botocore.parsers import RpcV2CBORParser
from moto.cloudformation.models import cloudformation_backends
from moto.core.request import Request
from moto.core.routing import NotFound, get_service_router
from moto.iam.models import iam_backends

from corrections.step_functions import ISSUED

# Where the name in a signature is not the prefix of actions.
PREFIXES = {"monitoring": "cloudwatch"}
# Operations of REST protocols, whose names are in no request.
REST = {"lambda", "s3"}
# Where an action is not called as its operation.
ACTIONS = {
    "lambda:Invoke": "lambda:InvokeFunction",
    # SQS developer guide, "Amazon SQS API permissions": a batch needs the right of the single call.
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListBuckets": "s3:ListAllMyBuckets",
    "s3:ListObjects": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
}


class Call:
    """A call of an API: its IAM action, and its arguments as far as they name resources."""

    def __init__(self, service, region, account, question, body):
        self.service, self.region, self.account = PREFIXES.get(service, service), region, account
        self.operation = question["operation"]
        if service in REST:
            self.operation, self.arguments = rest_call(service, question, body)
        elif question["headers"].get("smithy-protocol"):
            self.arguments = RpcV2CBORParser()._initial_body_parse(body) or {}
        elif body.startswith(b"{"):
            self.arguments = json.loads(body)
        else:
            self.arguments = dict(parse_qsl(body.decode()))
        name = f"{self.service}:{self.operation}"
        self.action = ACTIONS.get(name, name)

    def arn(self, resource, service=None):
        return f"arn:aws:{service or self.service}:{self.region}:{self.account}:{resource}"

    def resources(self):
        find = RESOURCES.get(self.service)
        return (find(self) if find else None) or ["*"]


def rest_call(service, question, body):
    """The operation that method and path stand for, and the values in the path."""
    url = f"http://127.0.0.1{question['path']}"
    request = Request.from_primitives(question["method"], url, question["headers"], body)
    try:
        operation, values = get_service_router(service).match(request)
    except NotFound:
        return question["operation"], {}
    return operation.name, {**request.args, **values}


def of_stack(call):
    name = call.arguments.get("StackName")
    if name is None or name.startswith("arn:"):
        return [name or "*"]
    backend = cloudformation_backends[call.account][call.region]
    ids = [stack.stack_id for stack in backend.stacks.values() if stack.name == name]
    return ids or [call.arn(f"stack/{name}/*")]


def of_function(call):
    name = call.arguments.get("FunctionName")
    if name is None:
        return None
    # A name, an ARN, or the end of an ARN, each with or without a qualifier.
    name = name.rpartition("function:")[2]
    name, _, qualifier = name.partition(":")
    qualifier = call.arguments.get("Qualifier") or qualifier
    qualified = f"{name}:{qualifier}" if qualifier and call.operation == "Invoke" else name
    return [call.arn(f"function:{qualified}")]


def of_rule(call):
    name = call.arguments.get("Rule")
    if call.operation in ("DescribeRule", "PutRule", "EnableRule", "DisableRule", "DeleteRule"):
        name = call.arguments.get("Name")
    if name is None:
        return None
    bus = call.arguments.get("EventBusName", "default").rpartition("/")[2]
    return [call.arn(f"rule/{name}" if bus == "default" else f"rule/{bus}/{name}")]


def of_queue(call):
    name = call.arguments.get("QueueUrl", "").rpartition("/")[2] or call.arguments.get("QueueName")
    return [call.arn(name)] if name else None


def of_state_machine(call):
    if call.operation.startswith("SendTask"):
        endpoint = ISSUED.get(call.arguments.get("taskToken"))
        if endpoint is None:
            # The API rejects a token that was never issued: it belongs to no state machine.
            return [call.arn("stateMachine:*")]
        context = endpoint.environment.states.context_object.context_object_data
        return [context["StateMachine"]["Id"]]
    arn = call.arguments.get("executionArn") or call.arguments.get("stateMachineArn")
    return [arn] if arn else None


def of_alarm(call):
    """Of several alarms, AWS may ask for each; here, all are asked for at once."""
    if "Alarm" not in call.operation:
        return None
    names = call.arguments.get("AlarmNames") or [call.arguments.get("AlarmName", "*")]
    return [call.arn(f"alarm:{names[0] if len(names) == 1 else '*'}")]


def of_identity(call):
    arguments, entities = call.arguments, iam_backends[call.account]["aws"]
    for argument in ("PolicySourceArn", "PolicyArn"):
        if argument in arguments and "RoleName" not in arguments:
            return [arguments[argument]]
    for kind, known in (("Role", entities.roles), ("User", entities.users)):
        name = arguments.get(f"{kind}Name")
        if name is not None:
            arns = [each.arn for each in known.values() if each.name == name]
            return arns or [f"arn:aws:iam::{call.account}:{kind.lower()}/{name}"]
    return None


def of_session(call):
    arn = call.arguments.get("RoleArn")
    return [arn] if arn else None


def of_document_or_node(call):
    arguments = call.arguments
    if call.operation in ("DescribeDocument", "GetDocument", "ListDocumentVersions"):
        return [of_document(call, arguments.get("Name", ""))]
    if call.operation in ("GetAutomationExecution", "StopAutomationExecution"):
        return [call.arn(f"automation-execution/{arguments.get('AutomationExecutionId')}")]
    if call.operation != "SendCommand":
        return None
    # Targets may select any node.
    nodes = arguments.get("InstanceIds") or ["*"]
    return [
        of_document(call, arguments.get("DocumentName", "")),
        *(of_node(call, node) for node in nodes),
    ]


def of_document(call, name):
    if name.startswith("arn:"):
        return name
    owner = "" if name.startswith("AWS-") else call.account
    return f"arn:aws:ssm:{call.region}:{owner}:document/{name}"


def of_node(call, node):
    if node.startswith("mi-"):
        return call.arn(f"managed-instance/{node}")
    return call.arn(f"instance/{node}", "ec2")


def of_bucket(call):
    bucket, key = call.arguments.get("Bucket"), call.arguments.get("Key")
    if not bucket:
        return None
    return [f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"]


RESOURCES = {
    "cloudformation": of_stack,
    "cloudwatch": of_alarm,
    "events": of_rule,
    "iam": of_identity,
    "lambda": of_function,
    "s3": of_bucket,
    "sqs": of_queue,
    "ssm": of_document_or_node,
    "states": of_state_machine,
    "sts": of_session,
}
