"""Decides for the sandbox whether a call is signed and authorized.

Moto's own check covers only the calls that moto answers, and ignores resources.
"""

import json
from urllib.parse import unquote_to_bytes

from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.exceptions import InvalidClientTokenIdError, SignatureDoesNotMatchError
from moto.iam.access_control import IAMRequest, S3IAMRequest
from moto.s3.exceptions import (
    BucketInvalidTokenError,
    S3InvalidAccessKeyIdError,
    S3InvalidTokenError,
    S3SignatureDoesNotMatchError,
)

import moto_api
import policies
from resources import Call

UNKNOWN_KEY = (
    InvalidClientTokenIdError,
    BucketInvalidTokenError,
    S3InvalidAccessKeyIdError,
    S3InvalidTokenError,
)
WRONG_SIGNATURE = (SignatureDoesNotMatchError, S3SignatureDoesNotMatchError)


def serve():
    """Adds the path that the sandbox asks."""

    def refusal(code, message):
        return 200, {}, json.dumps({"allowed": False, "code": code, "message": message})

    def authorize(request, full_url, headers):
        question = json.loads(request.data)
        body = unquote_to_bytes(question["body"])
        # Moto expects the names as Python's web servers write them.
        headers = {name.title(): value for name, value in question["headers"].items()}
        kind = S3IAMRequest if "/s3/aws4_request" in headers["Authorization"] else IAMRequest
        try:
            signed = kind(
                account_id=DEFAULT_ACCOUNT_ID,
                method=question["method"],
                path=question["path"],
                data={},
                body=body,
                headers=headers,
                action=question["operation"],
            )
            if question["signed"]:
                signed.check_signature()
        except UNKNOWN_KEY as error:
            return refusal("UnrecognizedClientException", error.message)
        except WRONG_SIGNATURE as error:
            return refusal("InvalidSignatureException", error.message)
        call = Call(signed._service, signed._region, DEFAULT_ACCOUNT_ID, question, body)
        if call.action == "sts:GetCallerIdentity":
            # It needs no permission.
            return 200, {}, json.dumps({"allowed": True})
        key = signed._access_key
        held = [("", policies.document_of(policy)) for policy in key.collect_policies()]
        for resource in call.resources():
            decision = policies.decide(held, call.action, resource).decision
            if decision != policies.ALLOWED:
                reason = (
                    "with an explicit deny in an identity-based policy"
                    if decision == policies.EXPLICIT_DENY
                    else f"because no identity-based policy allows the {call.action} action"
                )
                return refusal(
                    "AccessDeniedException",
                    f"User: {key.arn} is not authorized to perform: {call.action} "
                    f"on resource: {resource} {reason}",
                )
        return 200, {}, json.dumps({"allowed": True})

    moto_api.serve("authorize", authorize)
