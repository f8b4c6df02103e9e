"""Decides for the sandbox whether a call is signed and authorized.

Moto's own check covers only the calls that moto answers, and ignores resources.
"""

import json

from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.exceptions import (
    AccessDeniedError,
    InvalidClientTokenIdError,
    SignatureDoesNotMatchError,
)
from moto.iam.access_control import IAMRequest

import moto_api
from corrections.step_functions import ISSUED


def resources_of(service, operation, body, region, account):
    """The resources that AWS requires a permission for. Moto itself only asks for "*"."""
    if service == "states" and operation.startswith("SendTask"):
        endpoint = ISSUED.get(body.get("taskToken"))
        if endpoint is None:
            # The API rejects a token that was never issued: it belongs to no state machine.
            return [f"arn:aws:states:{region}:{account}:stateMachine:*"]
        context = endpoint.environment.states.context_object.context_object_data
        return [context["StateMachine"]["Id"]]
    if service == "ssm" and operation == "SendCommand":
        document = body.get("DocumentName", "")
        if not document.startswith("arn:"):
            owner = "" if document.startswith("AWS-") else account
            document = f"arn:aws:ssm:{region}:{owner}:document/{document}"
        # Targets may select any node.
        nodes = body.get("InstanceIds") or ["*"]
        return [document, *(node_arn(node, region, account) for node in nodes)]
    return ["*"]


def node_arn(node, region, account):
    if node.startswith("mi-"):
        return f"arn:aws:ssm:{region}:{account}:managed-instance/{node}"
    return f"arn:aws:ec2:{region}:{account}:instance/{node}"


def serve():
    """Adds the path that the sandbox asks."""

    def refusal(code, message):
        return 200, {}, json.dumps({"allowed": False, "code": code, "message": message})

    def authorize(request, full_url, headers):
        question = json.loads(request.data)
        operation, body = question["operation"], question["body"].encode()
        try:
            call = IAMRequest(
                account_id=DEFAULT_ACCOUNT_ID,
                method=question["method"],
                path=question["path"],
                data={},
                body=body,
                # Moto expects the names as Python's web servers write them.
                headers={name.title(): value for name, value in question["headers"].items()},
                action=operation,
            )
            if question["signed"]:
                call.check_signature()
        except InvalidClientTokenIdError as error:
            return refusal("UnrecognizedClientException", error.message)
        except SignatureDoesNotMatchError as error:
            return refusal("InvalidSignatureException", error.message)
        arguments = json.loads(body) if body.startswith(b"{") else {}
        service, region = call._service, call._region
        for resource in resources_of(service, operation, arguments, region, DEFAULT_ACCOUNT_ID):
            try:
                call.check_action_permitted(resource)
            except AccessDeniedError:
                return refusal(
                    "AccessDeniedException",
                    f"User: {call._access_key.arn} is not authorized to perform: "
                    f"{service}:{operation} on resource: {resource} because no identity-based "
                    f"policy allows the {service}:{operation} action",
                )
        return 200, {}, json.dumps({"allowed": True})

    moto_api.serve("authorize", authorize)
