"""Calls the AWS CLI that is installed beside this Python."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from terminal import escape_lines, say, stop

# The CLI's output need not be valid UTF-8.
TEXT = {"encoding": "utf-8", "errors": "backslashreplace"}


class AwsError(Exception):
    """A call failed, or its answer lacks what was expected. Its text is the reason."""


class Aws:
    """The AWS CLI in one region."""

    def __init__(self, region):
        self.program = Path(sys.executable).with_name("aws")
        if not self.program.is_file():
            stop(f"{self.program} is missing: run `make venv`")
        self.region = region
        identity = self._check_credentials()
        # The account id of the credentials.
        self.account = identity["Account"]
        # aws, aws-cn, aws-us-gov and so on.
        self.partition = identity["Arn"].split(":")[1]

    def read(self, service, operation, **options):
        """Returns the answer of a call. Raises AwsError if the call fails."""
        command = self._command(service, operation, **options, output="json")
        done = subprocess.run(command, check=False, capture_output=True, **TEXT)
        if done.returncode != 0:
            raise AwsError(done.stderr.strip())
        return json.loads(done.stdout or "{}")

    def run(self, service, operation, *words, **options):
        """Returns whether a call succeeded. Shows what it prints."""
        command = self._command(service, operation, *words, **options)
        done = subprocess.run(command, check=False, stderr=subprocess.PIPE, **TEXT)
        if done.stderr:
            print(escape_lines(done.stderr.rstrip()), file=sys.stderr, flush=True)
        return done.returncode == 0

    def _command(self, *words, **options):
        """`stack_name="a"` becomes `--stack-name a`. True stands for an option without a value."""
        command = [self.program, "--region", self.region, *words]
        for name, value in options.items():
            command.append(f"--{name.replace('_', '-')}")
            if value is not True:
                command += map(str, value if isinstance(value, list) else [value])
        return command

    def _check_credentials(self):
        try:
            return self.read("sts", "get-caller-identity")
        except AwsError as error:
            stop(
                f"AWS rejected the credentials: {error}\n"
                "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "or run `aws configure`"
            )

    def check_bucket(self, bucket):
        """Stops unless the bucket is this account's, in this region."""
        try:
            # After a bucket was deleted, another account can take its name.
            location = self.read(
                "s3api",
                "get-bucket-location",
                bucket=bucket,
                expected_bucket_owner=self.account,
            )
        except AwsError as error:
            stop(
                f"cannot use bucket {bucket}: expected a bucket of account {self.account} that the "
                f"credentials can read, got: {error}\n"
                f"To create one: aws s3 mb s3://NAME --region {self.region}"
            )
        # S3 has other names for its oldest regions.
        region = location.get("LocationConstraint") or "us-east-1"
        region = {"EU": "eu-west-1"}.get(region, region)
        if region != self.region:
            stop(
                f"cannot use bucket {bucket}: expected a bucket in {self.region}, because Lambda "
                f"reads code only from its own region, got one in {region}"
            )

    def upload(self, content, bucket, key):
        say(f"uploading s3://{bucket}/{key} ({len(content) / 1_000_000:.1f} MB)")
        with tempfile.NamedTemporaryFile(suffix=".zip") as file:
            file.write(content)
            file.flush()
            try:
                self.read(
                    "s3api",
                    "put-object",
                    bucket=bucket,
                    key=key,
                    body=file.name,
                    expected_bucket_owner=self.account,
                )
            except AwsError as error:
                stop(f"uploading s3://{bucket}/{key} failed: {error}")

    def stack(self, name):
        """Returns the stack's description, or None if there is no such stack."""
        try:
            return self.read("cloudformation", "describe-stacks", stack_name=name)["Stacks"][0]
        except AwsError as error:
            if "does not exist" in str(error):
                return None
            stop(f"cannot read stack {name}: {error}")
