"""Puts the stack into an AWS account, or takes it out again. `make deploy` and `make destroy` run it.

    python infra/deploy.py deploy --stack NAME --region REGION --bucket BUCKET --functions DIRECTORY
    python infra/deploy.py destroy --stack NAME --region REGION --confirm NAME

An option that is not given is read from the environment variable that make calls it by: STACK,
REGION, BUCKET, FUNCTIONS, ARCH, PARAMETERS, CONFIRM.

It calls the AWS CLI, with the credentials and the endpoint that the CLI finds in its environment.
Whatever is missing is told in one sentence, together with how to get it.
"""

import argparse
import base64
import hashlib
import io
import json
import os
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

TEMPLATE = Path(__file__).with_name("template.yaml")
# The functions with the template's parameters that take the keys of their code.
FUNCTIONS = {"relay": "RelayCodeKey", "sweep": "SweepCodeKey"}
# The outputs that name the functions. A stack that has them is one of ours.
FUNCTION_OUTPUTS = {"relay": "RelayFunctionName", "sweep": "SweepFunctionName"}
# The machine that an ELF file names, as Lambda calls it.
MACHINES = {0x3E: "x86_64", 0xB7: "arm64"}
# What this script gives itself.
OWN_PARAMETERS = {
    "CodeBucket": "BUCKET",
    "Architecture": "ARCH",
    **dict.fromkeys(FUNCTIONS.values(), "FUNCTIONS"),
}
EVENTS_MAX = 200
COMMANDS_MAX = 5000
HASH_CHARACTERS = 32
# ESC, BEL and the like, and their forms of one byte, which terminals obey.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# What the CLI says may have several lines.
CONTROL_IN_LINES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# ARNs that stand for all state machines, as in the policies of the functions.
EVERY_STATE_MACHINE = re.compile(r"|\*|arn:[^:]*:states:[^:]*:[^:]*:(stateMachine:)?\*+")


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
        add_option(command, "stack", "STACK", "the stack's name")
        add_option(command, "region", "REGION", "the region, such as eu-central-1")
        if name == "deploy":
            add_option(
                command, "bucket", "BUCKET", "an S3 bucket of yours in that region, for the code"
            )
            add_option(command, "functions", "FUNCTIONS", "the directory that holds NAME/bootstrap")
            add_option(command, "architecture", "ARCH", "arm64, which is the default, or x86_64")
            add_option(command, "parameters", "PARAMETERS", "parameters of the template, Key=Value")
            command.add_argument(
                "--only-check", action="store_true", help="check what is given, and end"
            )
        else:
            add_option(command, "confirm", "CONFIRM", "the stack's name once more")
    options = parser.parse_args(arguments)
    if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9-]{0,51}", options.stack):
        # Lambda's names have 64 characters at most, and the functions' begin with the stack's.
        stop(
            f"STACK is '{options.stack}', and must be a letter and up to 51 letters, digits and hyphens."
        )
    if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-[0-9]+", options.region):
        stop(f"REGION is '{options.region}', and must be a region's name, such as eu-central-1.")
    if options.command == "deploy":
        options.architecture = options.architecture or "arm64"
        if options.architecture not in MACHINES.values():
            stop(
                f"ARCH is '{options.architecture}', and must be {' or '.join(sorted(MACHINES.values()))}."
            )
        if not options.bucket:
            stop(
                "BUCKET is missing: the name of an S3 bucket that holds the functions' code. "
                f"To make one: aws s3 mb s3://NAME --region {options.region}"
            )
    return options


def add_option(command, name, variable, what):
    """An option whose default is in the environment, so that make need not write it into a command."""
    command.add_argument(
        f"--{name}", default=os.environ.get(variable, ""), help=f"{what} ({variable})"
    )


def check_ours(stack, region):
    """Stops at a stack of somebody else's. A deployment would put the template in place of all that
    it holds, and deleting it would delete that."""
    outputs = outputs_of(stack)
    if set(FUNCTION_OUTPUTS.values()) <= outputs.keys():
        return
    # A stack whose creation failed has no outputs.
    if not outputs and set(FUNCTIONS.values()) <= parameters_of(stack).keys():
        return
    expected = " and ".join(FUNCTION_OUTPUTS.values())
    got = ", ".join(sorted(outputs)) or "none"
    way_out = "Choose another STACK."
    if stack["StackStatus"] == "REVIEW_IN_PROGRESS":
        # So is a stack of ours whose first change set failed.
        way_out = (
            "It holds nothing yet; if you do not need it: "
            f"aws cloudformation delete-stack --stack-name {stack['StackName']} --region {region}"
        )
    stop(
        f"Stack {stack['StackName']} in {region} is not a Run Command Relay, and stays as it is: "
        f"expected the outputs {expected}, got {got}. {way_out}"
    )


def outputs_of(stack):
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def parameters_of(stack):
    parameters = stack.get("Parameters", [])
    return {
        parameter["ParameterKey"]: parameter.get("ParameterValue", "") for parameter in parameters
    }


# ---- Deploying -----------------------------------------------------------------------------------


def deploy(aws, options):
    parameters = given_parameters(options.parameters)
    aws.check_bucket(options.bucket)
    stack = aws.stack(options.stack)
    if stack is not None:
        check_ours(stack, options.region)
    if options.only_check:
        return
    # Every object is uploaded each time. Their keys can be guessed, so what is there already may be
    # somebody else's, and would be deployed with the rights of the stack.
    packages = {name: package(options.functions, name, options.architecture) for name in FUNCTIONS}
    parameters["CodeBucket"] = options.bucket
    parameters["Architecture"] = options.architecture
    for name, content in packages.items():
        key = f"{options.stack}/{name}-{hashlib.sha256(content).hexdigest()[:HASH_CHARACTERS]}.zip"
        aws.upload(content, options.bucket, key)
        parameters[FUNCTIONS[name]] = key
    say(f"deploying stack {options.stack} in {options.region}")
    deployed = aws.run(
        "cloudformation",
        "deploy",
        "--stack-name",
        options.stack,
        "--template-file",
        TEMPLATE,
        # The template is longer than what CloudFormation takes without a bucket.
        "--s3-bucket",
        options.bucket,
        "--s3-prefix",
        options.stack,
        "--force-upload",
        "--capabilities",
        "CAPABILITY_NAMED_IAM",
        "--no-fail-on-empty-changeset",
        "--parameter-overrides",
        *(f"{key}={value}" for key, value in parameters.items()),
    )
    if not deployed:
        tell_failures(aws, options.stack)
        stop(f"Stack {options.stack} was not deployed: the reasons stand above.")
    stack = aws.stack(options.stack)
    tell_outputs(stack)
    check_code(aws, stack, packages, parameters)
    tell_reach(aws, stack)


def given_parameters(text):
    """`Key=Value` pairs, with quotes as in a shell where a value holds spaces."""
    try:
        pairs = shlex.split(text)
    except ValueError as error:
        stop(f"PARAMETERS is '{text}', and must hold Key=Value pairs: {error}.")
    parameters = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        # A key that begins with a hyphen would be an option of the CLI.
        if not (equals and re.fullmatch("[a-zA-Z0-9]+", key)):
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
        stop(
            f"{path} is a program for {built_for}, and {architecture} is wanted: make build ARCH={architecture}"
        )
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
    rows = sorted(outputs_of(stack).items())
    width = max((len(key) for key, _ in rows), default=0)
    print()
    for key, value in rows:
        print(f"  {key:<{width}}  {escape(value)}")
    print(flush=True)


def check_code(aws, stack, packages, parameters):
    """Stops when a function runs other code than was built: somebody replaced the object before
    Lambda read it, or the function's code since, which CloudFormation does not notice."""
    for name, content in packages.items():
        function = outputs_of(stack)[FUNCTION_OUTPUTS[name]]
        expected = base64.b64encode(hashlib.sha256(content).digest()).decode()
        configuration = aws.read(
            "lambda", "get-function-configuration", "--function-name", function
        )
        if configuration is None:
            stop(f"The code of function {function} cannot be checked: {aws.problem}")
        if configuration["CodeSha256"] != expected:
            stop(
                f"Function {function} runs other code than was built: "
                f"expected CodeSha256 {expected}, got {configuration['CodeSha256']}.\n"
                f"To put the code there: aws lambda update-function-code --region {aws.region} "
                f"--function-name {function} --s3-bucket {parameters['CodeBucket']} "
                f"--s3-key {parameters[FUNCTIONS[name]]}"
            )


def tell_reach(aws, stack):
    arns = parameters_of(stack).get("StateMachineArns", "").split(",")
    if any(EVERY_STATE_MACHINE.fullmatch(arn.strip()) for arn in arns):
        say(
            f"stack {stack['StackName']} may answer the tasks of every state machine of account "
            f"{aws.account} in {aws.region}: whoever may send its documents and has read a task's "
            'token can have that task answered; PARAMETERS="StateMachineArns=ARN,ARN" narrows it'
        )


def tell_failures(aws, stack):
    events = aws.read(
        "cloudformation",
        "describe-stack-events",
        "--stack-name",
        stack,
        "--max-items",
        str(EVENTS_MAX),
    )
    for event in reversed((events or {}).get("StackEvents", [])):
        if event["ResourceStatus"].endswith("_FAILED"):
            reason = event.get("ResourceStatusReason", "no reason given")
            print(f"  {event['LogicalResourceId']}: {escape(reason)}", file=sys.stderr)


# ---- Destroying ----------------------------------------------------------------------------------


def destroy(aws, options):
    stack = aws.stack(options.stack)
    if stack is None:
        stop(f"There is no stack {options.stack} in {options.region}.")
    check_ours(stack, options.region)
    tell_executing(aws, stack)
    check_confirmed(options)
    say(f"deleting stack {options.stack} in {options.region}")
    gone = aws.run("cloudformation", "delete-stack", "--stack-name", options.stack) and aws.run(
        "cloudformation", "wait", "stack-delete-complete", "--stack-name", options.stack
    )
    if not gone:
        tell_failures(aws, options.stack)
        stop(f"Stack {options.stack} was not deleted: the reasons stand above.")
    say(f"deleted; the functions' zip files stay in their bucket, below {options.stack}/")


def check_confirmed(options):
    given = options.confirm
    if not given and sys.stdin.isatty():
        print(
            f"To delete stack {options.stack} in {options.region}, type its name: ",
            end="",
            flush=True,
        )
        try:
            given = sys.stdin.readline().strip()
        except KeyboardInterrupt:
            print()
    if given != options.stack:
        got = f"got '{given}'" if given else "got none"
        stop(
            f"Stack {options.stack} was not deleted, for want of a confirmation: "
            f"expected CONFIRM={options.stack}, {got}."
        )


def tell_executing(aws, stack):
    """Says whom the deletion leaves alone. That it cannot be found out is no reason to keep a stack."""
    number, problem = executing(aws, stack)
    if problem:
        say(
            "cannot count the commands that are still executing, whose tasks will no longer be "
            f"answered: {problem}"
        )
    elif number == "0":
        say("no command of the stack's documents is executing")
    else:
        say(
            f"commands of the stack's documents that are still executing: {number}; "
            "their tasks will no longer be answered, and their scripts will not be cancelled"
        )


def executing(aws, stack):
    """How many commands of the stack's documents are executing, or why that is not known."""
    function = outputs_of(stack).get(FUNCTION_OUTPUTS["sweep"])
    if function is None:
        return None, f"the stack has no output {FUNCTION_OUTPUTS['sweep']}"
    configuration = aws.read("lambda", "get-function-configuration", "--function-name", function)
    if configuration is None:
        return None, aws.problem
    names = configuration.get("Environment", {}).get("Variables", {}).get("DOCUMENT_NAMES")
    if names is None:
        return None, f"function {function} has no variable DOCUMENT_NAMES"
    count, more = 0, False
    for name in dict.fromkeys(names.split(",")):
        filters = [
            {"key": "DocumentName", "value": name},
            {"key": "ExecutionStage", "value": "Executing"},
        ]
        # The CLI reads all pages. The parameters of a command hold its task's token, so nothing of a
        # command but its id leaves the CLI.
        listed = aws.read(
            "ssm",
            "list-commands",
            "--filters",
            json.dumps(filters),
            "--max-items",
            str(COMMANDS_MAX),
            "--query",
            "{Ids: Commands[].CommandId, More: NextToken}",
        )
        if listed is None:
            return None, aws.problem
        count += len(listed["Ids"] or [])
        more = more or listed["More"] is not None
    return f"{count} or more" if more else str(count), None


# ---- The AWS CLI ---------------------------------------------------------------------------------

# What a program says need not be UTF-8.
TEXT = {"encoding": "utf-8", "errors": "backslashreplace"}


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
        done = subprocess.run(self.command(*arguments), stderr=subprocess.PIPE, **TEXT)
        if done.stderr:
            print(escape_lines(done.stderr.rstrip()), file=sys.stderr, flush=True)
        return done.returncode == 0

    def read(self, *arguments):
        """The answer, or None when there is none. Why not is in `self.problem`."""
        done = subprocess.run(
            self.command(*arguments, "--output", "json"), capture_output=True, **TEXT
        )
        self.problem = done.stderr.strip()
        if done.returncode != 0:
            return None
        return json.loads(done.stdout or "{}")

    def check_credentials(self):
        caller = self.read("sts", "get-caller-identity")
        if caller is None:
            stop(
                f"AWS does not take the credentials: {self.problem}\n"
                "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run aws configure."
            )
        self.account = caller["Account"]

    def check_bucket(self, bucket):
        # The name of a bucket that was deleted can be taken by another account.
        location = self.read(
            "s3api",
            "get-bucket-location",
            "--bucket",
            bucket,
            "--expected-bucket-owner",
            self.account,
        )
        if location is None:
            stop(
                f"Bucket {bucket} cannot be used: expected a bucket of account {self.account} that the "
                f"credentials may read, got: {self.problem}\n"
                f"To make one: aws s3 mb s3://NAME --region {self.region}"
            )
        # S3 calls its oldest regions by other names.
        region = location.get("LocationConstraint") or "us-east-1"
        region = {"EU": "eu-west-1"}.get(region, region)
        if region != self.region:
            stop(
                f"Bucket {bucket} is in {region}, and Lambda takes code from a bucket in {self.region} only."
            )

    def upload(self, content, bucket, key):
        say(f"uploading s3://{bucket}/{key} ({len(content) / 1_000_000:.1f} MB)")
        with tempfile.NamedTemporaryFile(suffix=".zip") as file:
            file.write(content)
            file.flush()
            put = self.read(
                "s3api",
                "put-object",
                "--bucket",
                bucket,
                "--key",
                key,
                "--body",
                file.name,
                "--expected-bucket-owner",
                self.account,
            )
        if put is None:
            stop(f"s3://{bucket}/{key} was not uploaded: {self.problem}")

    def stack(self, name):
        described = self.read("cloudformation", "describe-stacks", "--stack-name", name)
        if described is None:
            if "does not exist" not in self.problem:
                stop(f"Stack {name} cannot be read: {self.problem}")
            return None
        return described["Stacks"][0]


# ---- Telling -------------------------------------------------------------------------------------


def say(what):
    print(f"==> {escape_lines(what)}", flush=True)


def stop(problem):
    sys.exit(escape_lines(problem))


def escape(text):
    """What others wrote, for a terminal: with its control characters to be read and not obeyed."""
    return CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def escape_lines(text):
    """Like `escape`, with the lines and tabs as they are."""
    return CONTROL_IN_LINES.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


main(sys.argv[1:])
