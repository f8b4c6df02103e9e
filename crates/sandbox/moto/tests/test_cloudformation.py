"""Each correction of CloudFormation is needed, and works."""

import json
from functools import partial

from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from harness import Correction, code

QUEUE = {"Type": "AWS::SQS::Queue"}


def change(moto, name, kind, resources, **options):
    """Creates a change set and executes it, and returns the stack."""
    template = json.dumps({"Resources": resources})
    change_set = moto.name()
    moto.stacks.create_change_set(
        StackName=name,
        ChangeSetName=change_set,
        ChangeSetType=kind,
        TemplateBody=template,
        **options,
    )
    moto.stacks.execute_change_set(StackName=name, ChangeSetName=change_set)
    return moto.stacks.describe_stacks(StackName=name)["Stacks"][0]


def failing(moto):
    """A resource that cannot be created: there is such a log group already."""
    name = moto.name()
    moto.client("logs").create_log_group(logGroupName=name)
    return {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": name}}


def answer(call):
    """Like `code`, for answers that moto does not even write as XML."""
    try:
        call()
    except (ClientError, ResponseParserError):
        return "refused"
    return "accepted"


def end(moto, name):
    """What failed in the stack, its state, and whether it takes an update."""
    events = moto.stacks.describe_stack_events(StackName=name)["StackEvents"]
    states = [f"{each['LogicalResourceId']} {each['ResourceStatus']}" for each in events]
    stack = moto.stacks.describe_stacks(StackName=name)["Stacks"][0]
    update = partial(change, moto, name, "UPDATE", {"Q": QUEUE, "P": QUEUE})
    return [*(each for each in states if "FAILED" in each), stack["StackStatus"], answer(update)]


class CloudFormation(Correction):
    def test_the_default_of_a_list_parameter_is_a_list(self):
        def probe(moto):
            outputs = moto.stack(
                {"Q": {"Type": "AWS::SQS::Queue"}},
                Parameters={"Names": {"Type": "CommaDelimitedList", "Default": "a,b"}},
                Outputs={"Second": {"Value": {"Fn::Select": [1, {"Ref": "Names"}]}}},
            )
            return outputs["Second"]

        self.check(probe, moto=",", aws="b")

    def test_a_condition_compares_texts(self):
        def probe(moto):
            outputs = moto.stack(
                {"Q": {"Type": "AWS::SQS::Queue"}},
                Parameters={"Seconds": {"Type": "Number", "Default": 0}},
                Conditions={"IsZero": {"Fn::Equals": [{"Ref": "Seconds"}, "0"]}},
                Outputs={"IsZero": {"Value": {"Fn::If": ["IsZero", "yes", "no"]}}},
            )
            return outputs["IsZero"]

        self.check(probe, moto="no", aws="yes")

    def test_the_value_of_a_list_parameter_is_text(self):
        def probe(moto):
            name = moto.name()
            template = {
                "Parameters": {"Names": {"Type": "CommaDelimitedList"}},
                "Resources": {"Q": {"Type": "AWS::SQS::Queue"}},
            }
            moto.stacks.create_stack(
                StackName=name,
                TemplateBody=json.dumps(template),
                Parameters=[{"ParameterKey": "Names", "ParameterValue": "a,b"}],
            )
            stack = moto.stacks.describe_stacks(StackName=name)["Stacks"][0]
            return stack["Parameters"][0]["ParameterValue"]

        self.check(probe, moto="['a', 'b']", aws="a,b")

    def test_a_template_is_read_from_the_bucket_in_the_path_of_its_url(self):
        def probe(moto):
            bucket = moto.name()
            template = json.dumps({"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}})
            moto.buckets.create_bucket(Bucket=bucket)
            moto.buckets.put_object(Bucket=bucket, Key="template", Body=template.encode())
            url = f"{moto.endpoint}/{bucket}/template"
            return code(partial(moto.stacks.create_stack, StackName=moto.name(), TemplateURL=url))

        self.check(probe, moto="NoSuchBucket", aws="accepted")

    def test_a_stack_has_the_outputs_of_its_change_set(self):
        def probe(moto):
            name = moto.name()
            template = {
                "Resources": {"Q": {"Type": "AWS::SQS::Queue"}},
                "Outputs": {"Word": {"Value": "hello"}},
            }
            moto.stacks.create_change_set(
                StackName=name,
                ChangeSetName=name,
                ChangeSetType="CREATE",
                TemplateBody=json.dumps(template),
            )
            moto.stacks.execute_change_set(StackName=name, ChangeSetName=name)
            stack = moto.stacks.describe_stacks(StackName=name)["Stacks"][0]
            return [output["OutputValue"] for output in stack.get("Outputs", [])]

        self.check(probe, moto=[], aws=["hello"])

    def test_a_stack_has_the_tags_of_its_change_set(self):
        def probe(moto):
            name = moto.name()
            one, two = ([{"Key": "Stage", "Value": value}] for value in ("one", "two"))
            change(moto, name, "CREATE", {"Q": QUEUE}, Tags=one)
            stack = change(moto, name, "UPDATE", {"Q": QUEUE, "P": QUEUE}, Tags=two)
            return [tag["Value"] for tag in stack["Tags"]]

        self.check(probe, moto=["one"], aws=["two"])

    def test_other_tags_are_a_change(self):
        def probe(moto):
            name = moto.name()
            change(moto, name, "CREATE", {"Q": QUEUE}, Tags=[{"Key": "Stage", "Value": "one"}])
            statuses = []
            for value in ("one", "two"):
                change_set = moto.name()
                moto.stacks.create_change_set(
                    StackName=name,
                    ChangeSetName=change_set,
                    ChangeSetType="UPDATE",
                    TemplateBody=json.dumps({"Resources": {"Q": QUEUE}}),
                    Tags=[{"Key": "Stage", "Value": value}],
                )
                described = moto.stacks.describe_change_set(
                    StackName=name, ChangeSetName=change_set
                )
                statuses.append(described["Status"])
            return statuses

        self.check(probe, moto=["FAILED"] * 2, aws=["FAILED", "CREATE_COMPLETE"])

    def test_a_stack_whose_creation_failed_is_rolled_back_and_takes_no_update(self):
        def probe(moto):
            queue = {**QUEUE, "Properties": {"QueueName": moto.name()}}
            template = json.dumps({"Resources": {"Q": queue, "Group": failing(moto)}})
            name = moto.name()
            create = partial(moto.stacks.create_stack, StackName=name, TemplateBody=template)
            created = answer(create)
            left = code(moto.sqs.get_queue_url, QueueName=queue["Properties"]["QueueName"])
            return [created, left, *end(moto, name)]

        self.check(
            probe,
            moto=["refused", "accepted", "CREATE_IN_PROGRESS", "accepted"],
            aws=[
                "accepted",
                "AWS.SimpleQueueService.NonExistentQueue",
                "Group CREATE_FAILED",
                "ROLLBACK_COMPLETE",
                "refused",
            ],
        )

    def test_a_change_set_that_fails_is_rolled_back(self):
        def probe(moto):
            answers = []
            for kind in ("CREATE", "UPDATE"):
                name = moto.name()
                if kind == "UPDATE":
                    change(moto, name, "CREATE", {"Q": QUEUE})
                resources = {"Q": QUEUE, "Group": failing(moto)}
                answers.append(answer(partial(change, moto, name, kind, resources)))
                answers.append(end(moto, name))
            return answers

        self.check(
            probe,
            moto=[
                *("refused", ["REVIEW_IN_PROGRESS", "refused"]),
                *("refused", ["CREATE_COMPLETE", "accepted"]),
            ],
            aws=[
                *("accepted", ["Group CREATE_FAILED", "ROLLBACK_COMPLETE", "refused"]),
                *("accepted", ["Group UPDATE_FAILED", "UPDATE_ROLLBACK_COMPLETE", "accepted"]),
            ],
        )
