"""Corrections of S3."""

from moto.s3.exceptions import BucketAccessDeniedError
from moto.s3.models import s3_backends
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


def correct():
    correct_bucket_owner()
