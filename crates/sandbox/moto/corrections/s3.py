"""Corrections of S3."""

import json

from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3.exceptions import BucketAccessDeniedError
from moto.s3.models import FakeBucket, s3_backends
from moto.s3.responses import S3Response


def correct_bucket_owner():
    """AWS: a request is denied if the bucket's account is not the x-amz-expected-bucket-owner."""

    def check_owner_before(respond):
        def check_and_respond(self, request, full_url):
            expected = request.headers.get("x-amz-expected-bucket-owner")
            bucket = self.parse_bucket_name_from_url(request, full_url)
            if expected and bucket in s3_backends.bucket_accounts:
                _, owner = s3_backends.bucket_accounts[bucket]
                if expected != owner:
                    raise BucketAccessDeniedError(bucket)
            return respond(self, request, full_url)

        return check_and_respond

    S3Response._bucket_response = check_owner_before(S3Response._bucket_response)
    S3Response._key_response = check_owner_before(S3Response._key_response)


def correct_policies_about_tls():
    """AWS: a statement about requests without TLS says nothing about others.

    The endpoint of the sandbox stands for one with TLS. Moto applies a statement whatever its
    condition is.
    """
    without_tls = {"Bool": {"aws:SecureTransport": "false"}}

    def get_permission(self, action, resource):
        if self.policy is None:
            return PermissionResult.NEUTRAL
        policy = json.loads(self.policy)
        policy["Statement"] = [
            each for each in policy["Statement"] if each.get("Condition") != without_tls
        ]
        return IAMPolicy(json.dumps(policy)).is_action_permitted(action, resource)

    FakeBucket.get_permission = get_permission


def correct():
    correct_bucket_owner()
    correct_policies_about_tls()
