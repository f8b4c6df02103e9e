"""Deploys the stack into an AWS account, or deletes it. `make deploy` and `make destroy` run it.

    python infra/deploy.py deploy --stack NAME --region REGION --functions DIRECTORY
    python infra/deploy.py destroy --stack NAME --region REGION --confirm NAME

An option that is not given is read from the environment variable that make uses for it: STACK,
REGION, BUCKET, FUNCTIONS, ARCH, PARAMETERS, TAGS, CONFIRM, ALL.

It calls the AWS CLI, which finds credentials and endpoint in its environment. When something is
missing, one sentence says what it is and how to get it.
"""

import argparse
import base64
import hashlib
import itertools
import json
import os
import re
import shlex
import sys

from aws_cli import Aws, AwsError, rights
from bucket import check_bucket, default_bucket, make_bucket, remove_code, upload
from heartbeats import check_heartbeats, plain_name
from package import MACHINES, package
from template import TEMPLATE, check_parameters, defaults, values_of
from terminal import escape, say, stop

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
DOCUMENTS = {**COMMAND_DOCUMENTS, **AUTOMATION_DOCUMENTS}
# With these, the pattern of CommandEndedRule stays below the 2,048 characters of EventBridge.
EXTRA_DOCUMENTS_MAX = 20
EXTRA_DOCUMENTS_CHARACTERS_MAX = 1000
# The limits of AWS for tags.
TAGS_MAX = 50
TAG_KEY_CHARACTERS_MAX = 128
TAG_VALUE_CHARACTERS_MAX = 256
TAG = re.compile(r"[\w .:/=+@-]*")
# What Lambda leaves of an account's concurrency to functions without a reservation.
UNRESERVED_MIN = 100
# The states in which CloudFormation updates a stack.
UPDATABLE = {
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
}
# The state after a first creation that failed: nothing is left, but the name.
CREATION_FAILED = "ROLLBACK_COMPLETE"
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
        add_option(command, "bucket", "BUCKET", "S3 bucket in that region, for the code")
        if name == "deploy":
            add_option(command, "functions", "FUNCTIONS", "directory that contains NAME/bootstrap")
            add_option(command, "architecture", "ARCH", "arm64 (default) or x86_64")
            add_option(command, "parameters", "PARAMETERS", "template parameters as Key=Value")
            add_option(command, "tags", "TAGS", "tags of the stack and its resources as Key=Value")
            command.add_argument(
                "--only-check", action="store_true", help="check everything, and create nothing"
            )
        else:
            add_option(command, "confirm", "CONFIRM", "name of the stack, again")
            add_option(command, "all", "ALL", "1: also remove the code from the bucket")
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
    if not re.fullmatch(r"[a-z]+(-[a-z]+)+-[0-9]+", options.region):
        stop(f"expected REGION to be a region such as eu-central-1, got '{options.region}'")
    if options.command == "deploy":
        options.architecture = options.architecture or "arm64"
        if options.architecture not in ARCHITECTURES:
            stop(f"expected ARCH to be {' or '.join(ARCHITECTURES)}, got '{options.architecture}'")
        options.parameters = dict(parse_pairs(options.parameters, "PARAMETERS"))
        options.tags = dict(parse_pairs(options.tags, "TAGS"))
        check_own_parameters(options.parameters)
        check_parameters(options.parameters)
        check_extra_documents(options.parameters)
        check_tags(options.tags)
    elif options.all not in ("", "1"):
        stop(f"expected ALL to be 1 or empty, got '{options.all}'")


def parse_pairs(text, variable):
    """Parses `Key=Value` pairs. A value with spaces is quoted as in a shell."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        stop(f"expected Key=Value pairs in {variable}, got '{text}': {error}")
    pairs = []
    for word in words:
        key, equals, value = word.partition("=")
        # The CLI would take a key that starts with a hyphen as an option.
        if not (equals and key and not key.startswith("-")):
            stop(f"expected Key=Value pairs in {variable}, got '{word}'")
        pairs.append((key, value))
    return pairs


def check_own_parameters(parameters):
    for key in parameters.keys() & OWN_PARAMETERS.keys():
        stop(f"unexpected {key} in PARAMETERS: set it with {OWN_PARAMETERS[key]}=")


def check_tags(tags):
    if len(tags) > TAGS_MAX:
        stop(f"expected at most {TAGS_MAX} tags in TAGS, got {len(tags)}")
    for key, value in tags.items():
        if key.lower().startswith("aws:"):
            stop(f"unexpected tag {key} in TAGS: AWS reserves keys that begin with aws:")
        for what, text, most in [
            ("key", key, TAG_KEY_CHARACTERS_MAX),
            ("value", value, TAG_VALUE_CHARACTERS_MAX),
        ]:
            if len(text) > most or not TAG.fullmatch(text):
                stop(
                    f"expected the {what} of a tag in TAGS to be up to {most} letters, digits, "
                    f"spaces and _.:/=+-@, got '{text}'"
                )


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
        advice = next_step(stack, region)
    stop(
        f"stack {stack['StackName']} in {region} is not a Run Command Relay and stays unchanged: "
        f"expected the outputs {expected}, got {got}\n{advice}"
    )


def check_state(stack, region):
    """Stops if CloudFormation would neither update the stack nor let it be created again."""
    status = stack["StackStatus"]
    if status not in UPDATABLE | {CREATION_FAILED}:
        stop(
            f"stack {stack['StackName']} in {region} cannot be updated now: expected a stack that "
            f"is complete, got {status}\n{next_step(stack, region)}"
        )


def next_step(stack, region):
    """What to do about a stack that cannot be updated."""
    status, name = stack["StackStatus"], f"--stack-name {stack['StackName']} --region {region}"
    if status == "REVIEW_IN_PROGRESS":
        return (
            "It has no resources yet; if you do not need it: "
            f"aws cloudformation delete-stack {name}"
        )
    if status.endswith("_IN_PROGRESS"):
        return (
            "Wait until that has ended, then repeat the command. "
            f"To see what happens: aws cloudformation describe-stack-events {name} --max-items 5"
        )
    if status == "UPDATE_ROLLBACK_FAILED":
        return (
            f"Continue the rollback: aws cloudformation continue-update-rollback {name}\n"
            "When it has ended, repeat the command"
        )
    if status == "UPDATE_FAILED":
        return (
            f"Roll it back: aws cloudformation rollback-stack {name}\n"
            "When that has ended, repeat the command"
        )
    return f"Delete it: {destroy_command(stack['StackName'], region)}\nThen repeat the command"


def destroy_command(stack, region):
    return f"make destroy STACK={stack} REGION={region} CONFIRM={stack}"


def newest_event(aws, stack):
    """The id of the stack's newest event, before something is done. None if it cannot be read."""
    try:
        answer = aws.read(
            "cloudformation", "describe-stack-events", stack_name=stack["StackId"], max_items=1
        )
    except AwsError:
        return None
    return next((event["EventId"] for event in answer.get("StackEvents", [])), None)


def print_failures(aws, stack, newest):
    """Prints the reasons of resources that failed after that event, if they can be read."""
    try:
        answer = aws.read(
            "cloudformation", "describe-stack-events", stack_name=stack, max_items=EVENTS_MAX
        )
    except AwsError:
        return
    # The newest comes first.
    events = answer.get("StackEvents", [])
    recent = itertools.takewhile(lambda event: event["EventId"] != newest, events)
    for event in reversed(list(recent)):
        if event["ResourceStatus"].endswith("_FAILED"):
            reason = event.get("ResourceStatusReason", "no reason given")
            print(f"  {event['LogicalResourceId']}: {escape(reason)}", file=sys.stderr)


# ---- Deploying -----------------------------------------------------------------------------------


def deploy(aws, options):
    stack = aws.stack(options.stack)
    failed = None
    if stack is not None:
        check_ours(stack, options.region)
        check_state(stack, options.region)
        if stack["StackStatus"] == CREATION_FAILED:
            stack, failed = None, stack
    previous = parameters_of(stack or {})
    bucket = options.bucket or previous.get("CodeBucket") or default_bucket(aws)
    there = check_bucket(aws, bucket)
    # As CloudFormation does: a parameter that is not given keeps its value.
    values = {**defaults(), **previous, **options.parameters}
    check_state_machines(aws, values)
    check_network(values)
    check_key(values, options.region)
    check_documents(aws, options, stack or {}, values)
    check_heartbeats(aws, values, watched_documents(values))
    reservation = check_reservation(aws, options, stack, values)
    if failed is not None:
        delete_failed(aws, options, failed)
    if options.only_check:
        return
    packages = {name: package(options.functions, name, options.architecture) for name in FUNCTIONS}
    # Everything has been checked. From here on, things are created.
    if bucket == default_bucket(aws):
        make_bucket(aws, bucket, there, options.tags)
    parameters = {
        **options.parameters,
        **reservation,
        "CodeBucket": bucket,
        "Architecture": options.architecture,
    }
    # Every object is uploaded each time. Its key can be guessed, so an object that exists already
    # may come from somebody else, and would run with the rights of the stack.
    for name, content in packages.items():
        digest = hashlib.sha256(content).hexdigest()[:HASH_CHARACTERS]
        key = f"{options.stack}/{name}-{digest}.zip"
        upload(aws, content, bucket, key)
        parameters[FUNCTIONS[name]] = key
    say(f"deploying stack {options.stack} in {options.region}")
    newest = newest_event(aws, stack) if stack else None
    deployed = aws.run(
        "cloudformation",
        "deploy",
        stack_name=options.stack,
        template_file=TEMPLATE,
        # The template is too long for CloudFormation to take it without a bucket.
        s3_bucket=bucket,
        s3_prefix=options.stack,
        force_upload=True,
        capabilities="CAPABILITY_IAM",
        no_fail_on_empty_changeset=True,
        parameter_overrides=[f"{key}={value}" for key, value in parameters.items()],
        tags=[f"{key}={value}" for key, value in tags_of(stack, options.tags).items()],
    )
    if not deployed:
        print_failures(aws, options.stack, newest)
        stop(
            f"deploying stack {options.stack} failed for the reasons above\n"
            "Mend what they name, then run `make deploy` again"
        )
    stack = aws.stack(options.stack)
    print_outputs(stack)
    set_default_versions(aws, stack)
    check_code(aws, stack, packages, parameters)
    report_reach(aws, stack)


def tags_of(stack, given):
    """The tags to deploy with. The CLI removes those of the stack that it is not given again."""
    if given or stack is None:
        return given
    tags = {tag["Key"]: tag["Value"] for tag in stack.get("Tags", [])}
    return {key: value for key, value in tags.items() if not key.lower().startswith("aws:")}


def delete_failed(aws, options, stack):
    """Deletes what a failed creation has left, after asking. It can only be created again then."""
    problem = (
        f"stack {options.stack} in {options.region} cannot be updated: its creation failed, and "
        f"its state is {CREATION_FAILED}"
    )
    if ask(f"{problem}\nTo delete it and go on with a new one, type its name: ") != options.stack:
        stop(
            f"{problem}\nDelete it: {destroy_command(options.stack, options.region)}\n"
            "Then run `make deploy` again"
        )
    delete(aws, stack)


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


def check_network(values):
    """Stops if the functions would be half in a VPC."""
    subnets, groups = values.get("SubnetIds", ""), values.get("SecurityGroupIds", "")
    if bool(subnets) != bool(groups):
        given, missing = ("SubnetIds", "SecurityGroupIds")
        if groups:
            given, missing = missing, given
        stop(
            f"expected {missing} in PARAMETERS, because {given} is set: a function in a VPC needs "
            f"both, got none\nSet it with PARAMETERS, or set {given}= to leave the VPC"
        )


def check_key(values, region):
    arn = values.get("KmsKeyArn", "")
    if arn and arn.split(":")[3:4] != [region]:
        stop(
            f"expected KmsKeyArn in PARAMETERS to be a key in {region}, because services use only "
            f"keys of their own region, got '{arn}'\n"
            "Create a key or a replica of it there, or set KmsKeyArn= for keys of AWS"
        )


def check_reservation(aws, options, stack, values):
    """Returns the parameter that leaves out reservations that Lambda would refuse, if need be."""
    if values["ReserveConcurrency"] != "true":
        return {}
    try:
        limits = aws.read("lambda", "get-account-settings")["AccountLimit"]
        free = limits["UnreservedConcurrentExecutions"] + reserved(aws, stack)
    except AwsError as error:
        stop(
            f"cannot read the concurrency that Lambda allows account {aws.account}: {error}"
            f"{rights(error)}"
        )
    # One is for the sweep.
    wanted = int(values["RelayMaxConcurrency"]) + 1
    if free - wanted >= UNRESERVED_MIN:
        return {}
    problem = (
        f"Lambda allows account {aws.account} a concurrency of {limits['ConcurrentExecutions']} in "
        f"{aws.region}, and others have reserved {limits['ConcurrentExecutions'] - free} of it. "
        f"{UNRESERVED_MIN} must stay unreserved, and the stack would reserve {wanted}"
    )
    fitting = free - UNRESERVED_MIN - 1
    other = f", or RelayMaxConcurrency={fitting}" if fitting >= 1 else ""
    if options.parameters.get("ReserveConcurrency") == "true":
        stop(
            f"cannot reserve concurrency: {problem}\n"
            f"Leave ReserveConcurrency out of PARAMETERS, or set it to false{other}. "
            "AWS raises the limit on request"
        )
    say(f"setting ReserveConcurrency=false: {problem}")
    if other:
        say(f'to reserve less instead: PARAMETERS="RelayMaxConcurrency={fitting}"')
    return {"ReserveConcurrency": "false"}


def reserved(aws, stack):
    """The concurrency that the stack has reserved already."""
    outputs = outputs_of(stack or {})
    functions = [outputs[name] for name in FUNCTION_OUTPUTS.values() if name in outputs]
    answers = [
        aws.read("lambda", "get-function-concurrency", function_name=function)
        for function in functions
    ]
    return sum(answer.get("ReservedConcurrentExecutions", 0) for answer in answers)


def check_documents(aws, options, stack, parameters):
    """Stops if a document that the stack would create is there already, and not the stack's."""
    none = parameters.get("AutomationDocuments") == "none"
    wanted = COMMAND_DOCUMENTS if none else DOCUMENTS
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


def watched_documents(parameters):
    """The plain names of the documents whose commands the stack looks after."""
    prefix = parameters["DocumentNamePrefix"]
    extra = values_of(parameters["ExtraDocumentNames"])
    ours = [prefix + name for name in DOCUMENTS]
    return {*ours, *(plain_name(name) for name in extra if name)}


def has_document(aws, name):
    try:
        aws.read("ssm", "describe-document", name=name)
    except AwsError as error:
        if error.code == "InvalidDocument":
            return False
        stop(f"cannot check whether there is a document {name}: {error}{rights(error)}")
    return True


def print_outputs(stack):
    rows = sorted(outputs_of(stack).items())
    width = max((len(key) for key, _ in rows), default=0)
    print()
    for key, value in rows:
        print(f"  {key:<{width}}  {escape(value)}")
    print(flush=True)


def set_default_versions(aws, stack):
    """Makes the latest version of each document the default one, which commands use.

    CloudFormation documents that it does so itself. There is a report that it does not always.
    """
    outputs = outputs_of(stack)
    for name in [outputs[output] for output in DOCUMENTS.values() if output in outputs]:
        try:
            document = aws.read("ssm", "describe-document", name=name)["Document"]
            latest, default = document["LatestVersion"], document["DefaultVersion"]
            if default == latest:
                continue
            aws.read("ssm", "update-document-default-version", name=name, document_version=latest)
        except AwsError as error:
            stop(
                f"cannot check that the default version of document {name} is its latest: {error}"
                f"\nCommands may run an older version. To try again, repeat the command"
                f"{rights(error)}"
            )
        say(f"made version {latest} of document {name} its default, which was {default}")


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
            stop(f"cannot check the code of function {function}: {error}{rights(error)}")
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
    if stack is None and not options.all:
        stop(
            f"there is no stack {options.stack} in {options.region}\n"
            "To remove the code of a stack that is deleted: ALL=1"
        )
    if stack is not None:
        check_ours(stack, options.region)
        report_executing(aws, stack)
    bucket = parameters_of(stack or {}).get("CodeBucket") or options.bucket or default_bucket(aws)
    if options.all:
        say(f"the code of stack {options.stack} in bucket {bucket} will be removed, too")
    check_confirmed(options)
    if stack is not None:
        delete(aws, stack)
    if options.all:
        remove_code(aws, bucket, options.stack)
    else:
        given = "" if bucket == default_bucket(aws) else f" BUCKET={bucket}"
        say(
            f"the functions' zip files stay in bucket {bucket}, below {options.stack}/; to remove "
            f"them: {destroy_command(options.stack, options.region)}{given} ALL=1"
        )


def delete(aws, stack):
    name = stack["StackName"]
    newest = newest_event(aws, stack)
    say(f"deleting stack {name} in {aws.region}")
    # A name would be that of the next stack, once this one is deleted.
    by_id = {"stack_name": stack["StackId"]}
    deleted = aws.run("cloudformation", "delete-stack", **by_id) and aws.run(
        "cloudformation", "wait", "stack-delete-complete", **by_id
    )
    if not deleted:
        print_failures(aws, stack["StackId"], newest)
        stop(
            f"deleting stack {name} failed for the reasons above\n"
            "Mend what they name, such as a policy that is still attached to a role of yours, "
            f"then: {destroy_command(name, aws.region)}"
        )
    say("deleted")


def check_confirmed(options):
    given = options.confirm or ask(
        f"To delete stack {options.stack} in {options.region}, type its name: "
    )
    if given != options.stack:
        got = f"'{given}'" if given else "none"
        stop(f"stack {options.stack} was not deleted: expected CONFIRM={options.stack}, got {got}")


def ask(question):
    """What is typed at the terminal. Nothing if there is none."""
    if not sys.stdin.isatty():
        return ""
    print(question, end="", flush=True)
    try:
        return sys.stdin.readline().strip()
    except KeyboardInterrupt:
        print()
        return ""


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
