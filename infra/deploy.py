"""Puts the stack into an AWS account, or takes it out again. `make deploy` and `make destroy` run it.

    python infra/deploy.py deploy --stack NAME --region REGION --bucket BUCKET --functions DIRECTORY
    python infra/deploy.py destroy --stack NAME --region REGION

It calls the AWS CLI, with the credentials and the endpoint that the CLI finds in its environment.
Whatever is missing is told in one sentence, together with how to get it.
"""

import argparse
import hashlib
import io
import json
import re
import shlex
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

TEMPLATE = Path(__file__).with_name("template.yaml")
# The functions with the template's parameters that take the keys of their code.
FUNCTIONS = {"relay": "RelayCodeKey", "sweep": "SweepCodeKey"}
# The machine that an ELF file names, as Lambda calls it.
MACHINES = {0x3E: "x86_64", 0xB7: "arm64"}
# What this script gives itself.
OWN_PARAMETERS = {"CodeBucket": "BUCKET", "Architecture": "ARCH", **dict.fromkeys(FUNCTIONS.values(), "FUNCTIONS")}
EVENTS_MAX = 200
HASH_CHARACTERS = 32


def main(arguments):
    options = parse(arguments)
    aws = Aws(options.region)
    aws.check_credentials()
    if options.command == "deploy":
        deploy(aws, options)
    else:
        destroy(aws, options)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("deploy", "destroy"):
        command = commands.add_parser(name)
        command.add_argument("--stack", default="", help="the stack's name")
        command.add_argument("--region", default="", help="the region, such as eu-central-1")
        if name == "deploy":
            command.add_argument("--bucket", default="", help="an S3 bucket in that region, for the code")
            command.add_argument("--functions", default="", help="the directory that holds NAME/bootstrap")
            command.add_argument("--architecture", default="arm64", choices=sorted(MACHINES.values()))
            command.add_argument("--parameters", default="", help="parameters of the template, Key=Value")
            command.add_argument("--only-check", action="store_true", help="check what is given, and end")
    options = parser.parse_args(arguments)
    if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9-]{0,51}", options.stack):
        # Lambda's names have 64 characters at most, and the functions' begin with the stack's.
        stop(f"STACK is '{options.stack}', and must be a letter and up to 51 letters, digits and hyphens.")
    if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d+", options.region):
        stop(f"REGION is '{options.region}', and must be a region's name, such as eu-central-1.")
    if options.command == "deploy" and not options.bucket:
        stop(
            "BUCKET is missing: the name of an S3 bucket that holds the functions' code. "
            f"To make one: aws s3 mb s3://NAME --region {options.region}"
        )
    return options


# ---- Deploying -----------------------------------------------------------------------------------

def deploy(aws, options):
    parameters = given_parameters(options.parameters)
    aws.check_bucket(options.bucket)
    if options.only_check:
        return
    packages = {name: package(options.functions, name, options.architecture) for name in FUNCTIONS}
    parameters["CodeBucket"] = options.bucket
    parameters["Architecture"] = options.architecture
    for name, content in packages.items():
        key = f"{options.stack}/{name}-{hashlib.sha256(content).hexdigest()[:HASH_CHARACTERS]}.zip"
        aws.upload(content, options.bucket, key)
        parameters[FUNCTIONS[name]] = key
    say(f"deploying stack {options.stack} in {options.region}")
    deployed = aws.run(
        "cloudformation", "deploy",
        "--stack-name", options.stack,
        "--template-file", TEMPLATE,
        # The template is longer than what CloudFormation takes without a bucket.
        "--s3-bucket", options.bucket, "--s3-prefix", options.stack,
        "--capabilities", "CAPABILITY_NAMED_IAM",
        "--no-fail-on-empty-changeset",
        "--parameter-overrides", *(f"{key}={value}" for key, value in parameters.items()),
    )
    if not deployed:
        tell_failures(aws, options.stack)
        stop(f"Stack {options.stack} was not deployed: the reasons stand above.")
    tell_outputs(aws.stack(options.stack))


def given_parameters(text):
    """`Key=Value` pairs, with quotes as in a shell where a value holds spaces."""
    try:
        pairs = shlex.split(text)
    except ValueError as error:
        stop(f"PARAMETERS is '{text}', and must hold Key=Value pairs: {error}.")
    parameters = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            stop(f"PARAMETERS holds '{pair}', and must hold Key=Value pairs.")
        if key in OWN_PARAMETERS:
            stop(f"PARAMETERS holds {key}: say it with {OWN_PARAMETERS[key]}=.")
        parameters[key] = value
    return parameters


def package(directory, name, architecture):
    """A deployment package. The same program always gives the same bytes, and so the same key."""
    path = Path(directory, name, "bootstrap")
    if not path.is_file():
        stop(f"{path} is missing: make build ARCH={architecture} makes it.")
    program = path.read_bytes()
    built_for = machine(program)
    if built_for != architecture:
        stop(f"{path} is a program for {built_for}, and {architecture} is wanted: make build ARCH={architecture}")
    entry = zipfile.ZipInfo("bootstrap")
    entry.external_attr = 0o100755 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(entry, program, compresslevel=9)
    return content.getvalue()


def machine(program):
    """The machine that a program was built for, by the header of its ELF file."""
    if program[:4] != b"\x7fELF" or len(program) < 20:
        return "something that is not Linux"
    (number,) = struct.unpack_from("<H", program, 18)
    return MACHINES.get(number, f"machine {number}")


def tell_outputs(stack):
    rows = sorted((output["OutputKey"], output["OutputValue"]) for output in stack.get("Outputs", []))
    width = max((len(key) for key, _ in rows), default=0)
    print()
    for key, value in rows:
        print(f"  {key:<{width}}  {value}")


def tell_failures(aws, stack):
    events = aws.read("cloudformation", "describe-stack-events", "--stack-name", stack, "--max-items", str(EVENTS_MAX))
    for event in reversed((events or {}).get("StackEvents", [])):
        if event["ResourceStatus"].endswith("_FAILED"):
            reason = event.get("ResourceStatusReason", "no reason given")
            print(f"  {event['LogicalResourceId']}: {reason}", file=sys.stderr)


# ---- Destroying ----------------------------------------------------------------------------------

def destroy(aws, options):
    if aws.stack(options.stack) is None:
        stop(f"There is no stack {options.stack} in {options.region}.")
    say(f"deleting stack {options.stack} in {options.region}")
    gone = aws.run("cloudformation", "delete-stack", "--stack-name", options.stack) and aws.run(
        "cloudformation", "wait", "stack-delete-complete", "--stack-name", options.stack
    )
    if not gone:
        tell_failures(aws, options.stack)
        stop(f"Stack {options.stack} was not deleted: the reasons stand above.")
    say(f"deleted; the functions' zip files stay in their bucket, below {options.stack}/")


# ---- The AWS CLI ---------------------------------------------------------------------------------

class Aws:
    """The AWS CLI beside this Python, in one region."""

    def __init__(self, region):
        self.program = Path(sys.executable).with_name("aws")
        if not self.program.is_file():
            stop(f"{self.program} is missing: make venv installs it.")
        self.region = region

    def command(self, *arguments):
        return [self.program, "--region", self.region, *arguments]

    def run(self, *arguments):
        """Whether it went well; what it says is shown."""
        return subprocess.run(self.command(*arguments)).returncode == 0

    def read(self, *arguments):
        """The answer, or None when there is none. Why not is in `self.problem`."""
        done = subprocess.run(
            self.command(*arguments, "--output", "json"), capture_output=True, text=True
        )
        self.problem = done.stderr.strip()
        if done.returncode != 0:
            return None
        return json.loads(done.stdout or "{}")

    def check_credentials(self):
        if self.read("sts", "get-caller-identity") is None:
            stop(
                f"AWS does not take the credentials: {self.problem}\n"
                "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run aws configure."
            )

    def check_bucket(self, bucket):
        location = self.read("s3api", "get-bucket-location", "--bucket", bucket)
        if location is None:
            stop(
                f"Bucket {bucket} cannot be used: {self.problem}\n"
                f"To make one: aws s3 mb s3://NAME --region {self.region}"
            )
        # S3 calls its oldest regions by other names.
        region = location.get("LocationConstraint") or "us-east-1"
        region = {"EU": "eu-west-1"}.get(region, region)
        if region != self.region:
            stop(f"Bucket {bucket} is in {region}, and Lambda takes code from a bucket in {self.region} only.")

    def upload(self, content, bucket, key):
        if self.read("s3api", "head-object", "--bucket", bucket, "--key", key) is not None:
            say(f"s3://{bucket}/{key} is there already")
            return
        say(f"uploading s3://{bucket}/{key} ({len(content) / 1_000_000:.1f} MB)")
        done = subprocess.run(
            self.command("s3", "cp", "--only-show-errors", "-", f"s3://{bucket}/{key}"),
            input=content,
        )
        if done.returncode != 0:
            stop(f"s3://{bucket}/{key} was not uploaded: the reason stands above.")

    def stack(self, name):
        described = self.read("cloudformation", "describe-stacks", "--stack-name", name)
        if described is None:
            if "does not exist" not in self.problem:
                stop(f"Stack {name} cannot be read: {self.problem}")
            return None
        return described["Stacks"][0]


def say(what):
    print(f"==> {what}", flush=True)


def stop(problem):
    sys.exit(problem)


main(sys.argv[1:])
