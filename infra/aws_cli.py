"""Calls the AWS CLI that is installed beside this Python."""

import json
import re
import subprocess
import sys
from pathlib import Path

from terminal import escape_lines, stop

# The CLI's output need not be valid UTF-8.
TEXT = {"encoding": "utf-8", "errors": "backslashreplace"}


class AwsError(Exception):
    """A call failed, or its answer lacks what was expected. Its text is the reason."""

    @property
    def code(self):
        """The code of AWS's error, such as NoSuchBucket."""
        found = re.search(r"An error occurred \(([A-Za-z0-9.]+)\)", str(self))
        return found[1] if found else ""


def rights(error):
    """What to do about a call that is not allowed, as another line of a message."""
    if not re.fullmatch(r"AccessDenied(Exception)?|UnauthorizedOperation|403", error.code):
        return ""
    return '\nThe rights that this needs: see "Who may deploy" in infra/README.md'


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
        """`stack_name="a"` becomes `--stack-name a`. True stands for an option without a value.

        An empty list leaves the option out.
        """
        command = [self.program, "--region", self.region, *words]
        for name, value in options.items():
            if value == []:
                continue
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
                "or run `aws configure`\n"
                f"If they work elsewhere, check that REGION={self.region} is right and enabled in "
                "the account"
            )

    def stack(self, name):
        """Returns the stack's description, or None if there is no such stack."""
        try:
            return self.read("cloudformation", "describe-stacks", stack_name=name)["Stacks"][0]
        except AwsError as error:
            if "does not exist" in str(error):
                return None
            stop(f"cannot read stack {name}: {error}{rights(error)}")
