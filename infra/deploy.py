"""Deploys the stack into an AWS account, or deletes it. `make deploy` and `make destroy` run it.

    python infra/deploy.py deploy --stack NAME --region REGION --bucket BUCKET --functions DIRECTORY
    python infra/deploy.py destroy --stack NAME --region REGION --confirm NAME

An option that is not given is read from the environment variable that make uses for it: STACK,
REGION, BUCKET, FUNCTIONS, ARCH, PARAMETERS, CONFIRM.

It calls the AWS CLI, which finds credentials and endpoint in its environment. When something is
missing, one sentence says what it is and how to get it.
"""

import argparse
import base64
import hashlib
import json
import os
import re
import shlex
import sys
from pathlib import Path

from aws_cli import Aws, AwsError
from package import MACHINES, package
from terminal import escape, say, stop

TEMPLATE = Path(__file__).with_name("template.yaml")
# The functions, with the template's parameters for the keys of their code.
FUNCTIONS = {"relay": "RelayCodeKey", "sweep": "SweepCodeKey"}
# The outputs that name the functions. Only a stack of this project has them.
FUNCTION_OUTPUTS = {"relay": "RelayFunctionName", "sweep": "SweepFunctionName"}
# The parameters that this script sets, with the variables that users set instead.
OWN_PARAMETERS = {
    "CodeBucket": "BUCKET",
    "Architecture": "ARCH",
    **dict.fromkeys(FUNCTIONS.values(), "FUNCTIONS"),
}
ARCHITECTURES = sorted(MACHINES.values())
# The names of the documents after DocumentNamePrefix, with the outputs that name them.
COMMAND_DOCUMENTS = {
    "SfnRunShellScript": "RunShellScriptDocumentName",
    "SfnRunPowerShellScript": "RunPowerShellScriptDocumentName",
    "SfnRunDocument": "RunDocumentDocumentName",
}
AUTOMATION_DOCUMENTS = {
    "SfnRunCommandByInstanceIds": "RunCommandByInstanceIdsDocumentName",
    "SfnRunCommandByTargets": "RunCommandByTargetsDocumentName",
}
# With these, the pattern of CommandEndedRule stays below the 2,048 characters of EventBridge.
EXTRA_DOCUMENTS_MAX = 20
EXTRA_DOCUMENTS_CHARACTERS_MAX = 1000
EVENTS_MAX = 200
COMMANDS_MAX = 5000
HASH_CHARACTERS = 32
# Values of StateMachineArns that mean all state machines.
EVERY_STATE_MACHINE = re.compile(r"\*|arn:[^:]*:states:[^:]*:[^:]*:stateMachine:\*+")
STATE_MACHINE = re.compile(r"arn:[a-z-]+:states:[a-z0-9-]+:[0-9]{12}:stateMachine:[^\s,:/]+")


def main(arguments):
    options = parse(arguments)
    aws = Aws(options.region)
    if options.command == "deploy":
        deploy(aws, options)
    else:
        destroy(aws, options)


# ---- The command line ----------------------------------------------------------------------------


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("deploy", "destroy"):
        command = commands.add_parser(name)
        add_option(command, "stack", "STACK", "name of the stack")
        add_option(command, "region", "REGION", "region, such as eu-central-1")
        if name == "deploy":
            add_option(command, "bucket", "BUCKET", "your S3 bucket in that region, for the code")
            add_option(command, "functions", "FUNCTIONS", "directory that contains NAME/bootstrap")
            add_option(command, "architecture", "ARCH", "arm64 (default) or x86_64")
            add_option(command, "parameters", "PARAMETERS", "template parameters as Key=Value")
            command.add_argument(
                "--only-check", action="store_true", help="check the options and the bucket only"
            )
        else:
            add_option(command, "confirm", "CONFIRM", "name of the stack, again")
    options = parser.parse_args(arguments)
    check(options)
    return options


def add_option(command, name, variable, what):
    """Adds an option whose default is an environment variable. Make passes values that way."""
    default = os.environ.get(variable, "")
    command.add_argument(f"--{name}", default=default, help=f"{what} ({variable})")


def check(options):
    # A function's name starts with the stack's, and has at most 64 characters.
    if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9-]{0,51}", options.stack):
        stop(
            "expected STACK to be a letter and up to 51 letters, digits and hyphens, "
            f"got '{options.stack}'"
        )
    if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-[0-9]+", options.region):
        stop(f"expected REGION to be a region such as eu-central-1, got '{options.region}'")
    if options.command == "deploy":
        options.architecture = options.architecture or "arm64"
        if options.architecture not in ARCHITECTURES:
            stop(f"expected ARCH to be {' or '.join(ARCHITECTURES)}, got '{options.architecture}'")
        if not options.bucket:
            stop(
                "BUCKET is missing: expected the name of an S3 bucket for the functions' code\n"
                f"To create one: aws s3 mb s3://NAME --region {options.region}"
            )
        options.parameters = parse_parameters(options.parameters)
        check_extra_documents(options.parameters)


def parse_parameters(text):
    """Parses `Key=Value` pairs. A value with spaces is quoted as in a shell."""
    try:
        pairs = shlex.split(text)
    except ValueError as error:
        stop(f"expected Key=Value pairs in PARAMETERS, got '{text}': {error}")
    parameters = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        # The CLI would take a key that starts with a hyphen as an option.
        if not (equals and re.fullmatch("[a-zA-Z0-9]+", key)):
            stop(f"expected Key=Value pairs in PARAMETERS, got '{pair}'")
        if key in OWN_PARAMETERS:
            stop(f"unexpected {key} in PARAMETERS: set it with {OWN_PARAMETERS[key]}=")
        parameters[key] = value
    return parameters


def values_of(parameter):
    """Splits a list as CloudFormation does."""
    return [value.strip() for value in parameter.split(",")]


def check_extra_documents(parameters):
    """CloudFormation has no limit for a list. EventBridge rejects a pattern that is too long."""
    names = [name for name in values_of(parameters.get("ExtraDocumentNames", "")) if name]
    characters = sum(map(len, names))
    if len(names) > EXTRA_DOCUMENTS_MAX or characters > EXTRA_DOCUMENTS_CHARACTERS_MAX:
        stop(
            f"expected ExtraDocumentNames to be at most {EXTRA_DOCUMENTS_MAX} documents with "
            f"{EXTRA_DOCUMENTS_CHARACTERS_MAX:,} characters together, "
            f"got {len(names)} with {characters:,}\n"
            "To watch more documents, deploy a second stack with another DocumentNamePrefix"
        )


# ---- Any stack -----------------------------------------------------------------------------------


def outputs_of(stack):
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def parameters_of(stack):
    parameters = stack.get("Parameters", [])
    return {
        parameter["ParameterKey"]: parameter.get("ParameterValue", "") for parameter in parameters
    }


def check_ours(stack, region):
    """Stops if the stack is not of this project. Its resources would be replaced or deleted."""
    outputs = outputs_of(stack)
    if set(FUNCTION_OUTPUTS.values()) <= outputs.keys():
        return
    # A stack whose creation failed has no outputs.
    if not outputs and set(FUNCTIONS.values()) <= parameters_of(stack).keys():
        return
    expected = " and ".join(FUNCTION_OUTPUTS.values())
    got = ", ".join(sorted(outputs)) or "none"
    advice = "Choose another STACK"
    if stack["StackStatus"] == "REVIEW_IN_PROGRESS":
        # It may be a stack of this project whose first change set failed.
        advice = (
            "It has no resources yet; if you do not need it: "
            f"aws cloudformation delete-stack --stack-name {stack['StackName']} --region {region}"
        )
    stop(
        f"stack {stack['StackName']} in {region} is not a Run Command Relay and stays unchanged: "
        f"expected the outputs {expected}, got {got}\n{advice}"
    )


def print_failures(aws, stack):
    """Prints the reasons of failed resources, if they can be read."""
    try:
        answer = aws.read(
            "cloudformation", "describe-stack-events", stack_name=stack, max_items=EVENTS_MAX
        )
    except AwsError:
        return
    for event in reversed(answer.get("StackEvents", [])):
        if event["ResourceStatus"].endswith("_FAILED"):
            reason = event.get("ResourceStatusReason", "no reason given")
            print(f"  {event['LogicalResourceId']}: {escape(reason)}", file=sys.stderr)


# ---- Deploying -----------------------------------------------------------------------------------


def deploy(aws, options):
    aws.check_bucket(options.bucket)
    stack = aws.stack(options.stack)
    if stack is not None:
        check_ours(stack, options.region)
    # As CloudFormation does: a parameter that is not given keeps its value.
    parameters = {**parameters_of(stack or {}), **options.parameters}
    check_state_machines(aws, parameters)
    check_documents(aws, options, stack or {}, parameters)
    if options.only_check:
        return
    # Every object is uploaded each time. Its key can be guessed, so an object that exists already
    # may come from somebody else, and would run with the rights of the stack.
    packages = {name: package(options.functions, name, options.architecture) for name in FUNCTIONS}
    parameters = {
        **options.parameters,
        "CodeBucket": options.bucket,
        "Architecture": options.architecture,
    }
    for name, content in packages.items():
        digest = hashlib.sha256(content).hexdigest()[:HASH_CHARACTERS]
        key = f"{options.stack}/{name}-{digest}.zip"
        aws.upload(content, options.bucket, key)
        parameters[FUNCTIONS[name]] = key
    say(f"deploying stack {options.stack} in {options.region}")
    deployed = aws.run(
        "cloudformation",
        "deploy",
        stack_name=options.stack,
        template_file=TEMPLATE,
        # The template is too long for CloudFormation to take it without a bucket.
        s3_bucket=options.bucket,
        s3_prefix=options.stack,
        force_upload=True,
        capabilities="CAPABILITY_IAM",
        no_fail_on_empty_changeset=True,
        parameter_overrides=[f"{key}={value}" for key, value in parameters.items()],
    )
    if not deployed:
        print_failures(aws, options.stack)
        stop(f"deploying stack {options.stack} failed for the reasons above")
    stack = aws.stack(options.stack)
    print_outputs(stack)
    check_code(aws, stack, packages, parameters)
    report_reach(aws, stack)


def check_state_machines(aws, parameters):
    """Stops unless it is said whose tasks the stack may answer. There is no default."""
    arns = values_of(parameters.get("StateMachineArns", ""))
    bad = [arn for arn in arns if arn != "*" and not STATE_MACHINE.fullmatch(arn)]
    if not bad and ("*" not in arns or len(arns) == 1):
        return
    got = "none" if arns == [""] else f"'{','.join(arns)}'"
    arn = f"arn:{aws.partition}:states:{aws.region}:{aws.account}:stateMachine"
    stop(
        "expected StateMachineArns in PARAMETERS: the state machines whose tasks the stack may "
        f"answer, got {got}\n"
        f'Some of them:     PARAMETERS="StateMachineArns={arn}:nightly-job,{arn}:ops-*"\n'
        'All of them:      PARAMETERS="StateMachineArns=*"'
    )


def check_documents(aws, options, stack, parameters):
    """Stops if a document that the stack would create is there already, and not the stack's."""
    wanted = dict(COMMAND_DOCUMENTS)
    if parameters.get("AutomationDocuments") != "none":
        wanted |= AUTOMATION_DOCUMENTS
    prefix = parameters.get("DocumentNamePrefix", "")
    ours = outputs_of(stack)
    names = [prefix + name for name, output in wanted.items() if ours.get(output) != prefix + name]
    found = [name for name in names if has_document(aws, name)]
    if not found:
        return
    sample = ""
    if any(name in AUTOMATION_DOCUMENTS for name in found):
        sample = (
            "The sample of AWS that this stack replaces has documents of these names: see "
            '"Moving over from AWS\'s sample" in infra/README.md\n'
        )
    stop(
        f"cannot create the documents of stack {options.stack}: expected no document "
        f"{' or '.join(names)} in {options.region} outside the stack, got {', '.join(found)}\n"
        f"{sample}"
        f"To see whose they are: aws cloudformation describe-stack-resources "
        f"--physical-resource-id {found[0]} --region {options.region}\n"
        'To deploy beside them: PARAMETERS="DocumentNamePrefix=Relay-"'
    )


def has_document(aws, name):
    try:
        aws.read("ssm", "describe-document", name=name)
    except AwsError as error:
        if "(InvalidDocument)" in str(error):
            return False
        stop(f"cannot check whether there is a document {name}: {error}")
    return True


def print_outputs(stack):
    rows = sorted(outputs_of(stack).items())
    width = max((len(key) for key, _ in rows), default=0)
    print()
    for key, value in rows:
        print(f"  {key:<{width}}  {escape(value)}")
    print(flush=True)


def check_code(aws, stack, packages, parameters):
    """Stops if a function does not run the code that was uploaded.

    Somebody replaced the object before Lambda read it, or changed the function's code since, which
    CloudFormation does not notice.
    """
    for name, content in packages.items():
        function = outputs_of(stack)[FUNCTION_OUTPUTS[name]]
        expected = base64.b64encode(hashlib.sha256(content).digest()).decode()
        try:
            got = configuration_of(aws, function)["CodeSha256"]
        except AwsError as error:
            stop(f"cannot check the code of function {function}: {error}")
        if got != expected:
            stop(
                f"function {function} does not run the uploaded code: "
                f"expected CodeSha256 {expected}, got {got}\n"
                f"To install the uploaded code: aws lambda update-function-code "
                f"--region {aws.region} --function-name {function} "
                f"--s3-bucket {parameters['CodeBucket']} --s3-key {parameters[FUNCTIONS[name]]}"
            )


def configuration_of(aws, function):
    return aws.read("lambda", "get-function-configuration", function_name=function)


def report_reach(aws, stack):
    """Warns if the stack may answer the tasks of all state machines."""
    arns = values_of(parameters_of(stack).get("StateMachineArns", ""))
    if any(EVERY_STATE_MACHINE.fullmatch(arn) for arn in arns):
        say(
            f"stack {stack['StackName']} may answer the tasks of every state machine of account "
            f"{aws.account} in {aws.region}: anyone who may send its documents and has read the "
            "token of a task can have that task answered. To restrict it: "
            'PARAMETERS="StateMachineArns=ARN,ARN"'
        )


# ---- Destroying ----------------------------------------------------------------------------------


def destroy(aws, options):
    stack = aws.stack(options.stack)
    if stack is None:
        stop(f"there is no stack {options.stack} in {options.region}")
    check_ours(stack, options.region)
    report_executing(aws, stack)
    check_confirmed(options)
    say(f"deleting stack {options.stack} in {options.region}")
    name = {"stack_name": options.stack}
    deleted = aws.run("cloudformation", "delete-stack", **name) and aws.run(
        "cloudformation", "wait", "stack-delete-complete", **name
    )
    if not deleted:
        print_failures(aws, options.stack)
        stop(f"deleting stack {options.stack} failed for the reasons above")
    say(f"deleted; the functions' zip files stay in their bucket, below {options.stack}/")


def check_confirmed(options):
    given = options.confirm
    if not given and sys.stdin.isatty():
        question = f"To delete stack {options.stack} in {options.region}, type its name: "
        print(question, end="", flush=True)
        try:
            given = sys.stdin.readline().strip()
        except KeyboardInterrupt:
            print()
    if given != options.stack:
        got = f"'{given}'" if given else "none"
        stop(f"stack {options.stack} was not deleted: expected CONFIRM={options.stack}, got {got}")


def report_executing(aws, stack):
    """Says how many tasks the deletion affects. It never prevents the deletion."""
    try:
        number = count_executing(aws, stack)
    except AwsError as error:
        say(
            "cannot count the commands that are still executing, whose tasks will no longer be "
            f"answered: {error}"
        )
        return
    if number == "0":
        say("no command of the stack's documents is executing")
    else:
        say(
            f"commands of the stack's documents that are still executing: {number}; "
            "their tasks will no longer be answered, and their scripts will not be cancelled"
        )


def count_executing(aws, stack):
    """Counts the executing commands of the stack's documents. The result is text: `N or more`."""
    function = outputs_of(stack).get(FUNCTION_OUTPUTS["sweep"])
    if function is None:
        raise AwsError(f"the stack has no output {FUNCTION_OUTPUTS['sweep']}")
    variables = configuration_of(aws, function).get("Environment", {}).get("Variables", {})
    if "DOCUMENT_NAMES" not in variables:
        raise AwsError(f"function {function} has no variable DOCUMENT_NAMES")
    count, more = 0, False
    for name in dict.fromkeys(variables["DOCUMENT_NAMES"].split(",")):
        filters = [
            {"key": "DocumentName", "value": name},
            {"key": "ExecutionStage", "value": "Executing"},
        ]
        # The CLI reads all pages. A command's parameters contain its task's token, so only the
        # ids of commands leave the CLI.
        listed = aws.read(
            "ssm",
            "list-commands",
            filters=json.dumps(filters),
            max_items=COMMANDS_MAX,
            query="{Ids: Commands[].CommandId, More: NextToken}",
        )
        count += len(listed["Ids"] or [])
        more = more or listed["More"] is not None
    return f"{count} or more" if more else str(count)


if __name__ == "__main__":
    main(sys.argv[1:])
