"""Each correction of S3 is needed, and works."""

import json

from harness import Correction, code


class S3(Correction):
    def test_a_bucket_of_another_account_than_expected_is_denied(self):
        def probe(moto):
            bucket = moto.name()
            role = "arn:aws:iam::210987654321:role/tester"
            keys = moto.tokens.assume_role(RoleArn=role, RoleSessionName="tester")["Credentials"]
            moto.client(
                "s3",
                aws_access_key_id=keys["AccessKeyId"],
                aws_secret_access_key=keys["SecretAccessKey"],
                aws_session_token=keys["SessionToken"],
            ).create_bucket(Bucket=bucket)
            codes = []
            for owner in ("123456789012", "210987654321"):
                expected = {"Bucket": bucket, "ExpectedBucketOwner": owner}
                codes += [
                    code(moto.buckets.get_bucket_location, **expected),
                    code(moto.buckets.head_bucket, **expected),
                    code(moto.buckets.put_object, Key="key", Body=b"", **expected),
                    code(moto.buckets.head_object, Key="key", **expected),
                ]
            return codes

        # The answer to a HEAD has no body, and so no name for the error.
        denied = ["AccessDenied", "403", "AccessDenied", "403"]
        self.check(probe, moto=["accepted"] * 8, aws=denied + ["accepted"] * 4)

    def test_a_policy_about_requests_without_tls_refuses_no_others(self):
        def probe(moto):
            bucket = moto.name()
            moto.buckets.create_bucket(Bucket=bucket)
            codes = []
            for condition in ({"Bool": {"aws:SecureTransport": "false"}}, None):
                statement = {
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "s3:PutObject",
                    "Resource": f"arn:aws:s3:::{bucket}/*",
                }
                if condition:
                    statement["Condition"] = condition
                policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
                moto.buckets.put_bucket_policy(Bucket=bucket, Policy=policy)
                codes.append(code(moto.buckets.put_object, Bucket=bucket, Key="key", Body=b""))
            return codes

        self.check(probe, moto=["403", "403"], aws=["accepted", "403"])
