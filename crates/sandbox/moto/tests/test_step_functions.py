"""Each correction of Step Functions is needed, and works."""

import json
import time

from harness import ACCESS_KEY_ID, ROLE, Correction, code

DATA_LIMIT = "States.DataLimitExceeded"
HALVES = {
    "Type": "Pass",
    "Parameters": {"one.$": "$.half", "other.$": "$.half"},
}
HALVES_IN_JSONATA = {
    "Type": "Pass",
    "QueryLanguage": "JSONata",
    "Output": {"one": "{% $states.input.half %}", "other": "{% $states.input.half %}"},
}
ECHO = {"StartAt": "Echo", "States": {"Echo": {"Type": "Pass", "End": True}}}
TWICE = {"StartAt": "Twice", "States": {"Twice": {**HALVES, "End": True}}}
# States whose input is 150,000 bytes, and whose output is twice that.
TOO_LARGE = {
    "Pass": HALVES,
    "Pass in JSONata": HALVES_IN_JSONATA,
    "Map": {
        "Type": "Map",
        "ItemsPath": "$.items",
        "ItemSelector": {"half.$": "$.half"},
        "ItemProcessor": ECHO,
    },
    "Map in JSONata": {
        "Type": "Map",
        "QueryLanguage": "JSONata",
        "Items": "{% $states.input.items %}",
        "ItemSelector": {"half": "{% $states.input.half %}"},
        "ItemProcessor": ECHO,
    },
    "Parallel": {"Type": "Parallel", "Branches": [ECHO, ECHO]},
    "Parallel in JSONata": {
        "Type": "Parallel",
        "QueryLanguage": "JSONata",
        "Branches": [ECHO, ECHO],
    },
}
# States that contain one, and whose own output is small.
TOO_LARGE_INSIDE = {
    "in Map": {
        "Type": "Map",
        "ItemsPath": "$.items",
        "ItemSelector": {"half.$": "$.half"},
        "ItemProcessor": TWICE,
        "ResultSelector": {},
    },
    "in Parallel": {"Type": "Parallel", "Branches": [TWICE], "ResultSelector": {}},
}


class StepFunctions(Correction):
    def test_the_cause_of_a_failed_task_is_kept(self):
        def probe(moto):
            state, token = moto.waiting_task()
            execution = moto.execution({"Wait": state})
            moto.states.send_task_failure(taskToken=token(), error="E", cause="why")
            return moto.ended(execution).get("cause")

        self.check(probe, moto=None, aws="why")

    def test_a_closed_task_is_told_from_garbage(self):
        def probe(moto):
            state, token = moto.waiting_task()
            execution = moto.execution({"Wait": state})
            token = token()
            moto.states.send_task_success(taskToken=token, output="{}")
            moto.ended(execution)
            calls = moto.states
            return [
                code(calls.send_task_success, taskToken=token, output="{}"),
                code(calls.send_task_failure, taskToken=token),
                code(calls.send_task_heartbeat, taskToken=token),
                code(calls.send_task_success, taskToken="garbage", output="{}"),
            ]

        closed = ["TaskTimedOut"] * 3 + ["InvalidToken"]
        alone = ["InvalidToken", "accepted", "InvalidToken", "InvalidToken"]
        self.check(probe, moto=alone, aws=closed)

    def test_a_task_that_timed_out_is_closed_while_its_execution_goes_on(self):
        def probe(moto):
            state, token = moto.waiting_task(
                TimeoutSeconds=1, Catch=[{"ErrorEquals": ["States.Timeout"], "Next": "Rest"}]
            )
            moto.execution({"Wait": state, "Rest": {"Type": "Wait", "Seconds": 9, "End": True}})
            token = token()
            time.sleep(1.5)
            return code(moto.states.send_task_success, taskToken=token, output="{}")

        self.check(probe, moto="accepted", aws="TaskTimedOut")

    def test_a_heartbeat_of_a_task_without_heartbeat_seconds_is_accepted(self):
        def probe(moto):
            state, token = moto.waiting_task()
            moto.execution({"Wait": state})
            return code(moto.states.send_task_heartbeat, taskToken=token())

        self.check(probe, moto="InvalidToken", aws="accepted")

    def test_output_and_cause_have_limits(self):
        def probe(moto):
            at_limit = '"' + "x" * 262_142 + '"'
            answers = [
                (moto.states.send_task_failure, {"cause": "x" * 32_769}),
                (moto.states.send_task_success, {"output": at_limit + " "}),
                (moto.states.send_task_success, {"output": at_limit}),
            ]
            codes = []
            for call, answer in answers:
                state, token = moto.waiting_task()
                moto.execution({"Wait": state})
                codes.append(code(call, taskToken=token(), **answer))
            return codes

        limited = ["ValidationException", "InvalidOutput", "accepted"]
        self.check(probe, moto=["accepted"] * 3, aws=limited)

    def test_an_object_becomes_a_text_where_the_api_has_one(self):
        correction = "from corrections import step_functions\nstep_functions.correct_texts()"
        program = """
import boto3, json, types
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_aws_sdk as sdk,
)

class Client:
    meta = boto3.client("ssm", region_name="us-east-1").meta

    def start_automation_execution(self, **request):
        print(json.dumps(request))
        raise SystemExit

sdk.boto_client_for = lambda **_: Client()
task = object.__new__(sdk.StateTaskServiceAwsSdk)
task.resource = types.SimpleNamespace(api_name="ssm", api_action="startAutomationExecution")
task._eval_service_task(
    env=None,
    resource_runtime_part=types.SimpleNamespace(region="us-east-1"),
    normalised_parameters={"Parameters": {"Targets": [{"Key": "K"}], "Seconds": ["5"]}},
    state_credentials=None,
)
"""
        sent = {"Parameters": {"Targets": [{"Key": "K"}], "Seconds": ["5"]}}
        alone = json.dumps(sent)
        sent["Parameters"]["Targets"] = [json.dumps({"Key": "K"})]
        self.check_program(correction, program, moto=alone, aws=json.dumps(sent))

    def test_each_attempt_has_a_token_of_its_own(self):
        def probe(moto):
            retry = [{"ErrorEquals": ["Again"], "IntervalSeconds": 1, "MaxAttempts": 1}]
            state, token = moto.waiting_task(Retry=retry)
            moto.execution({"Wait": state})
            first = token()
            moto.states.send_task_failure(taskToken=first, error="Again")
            return token() != first

        self.check(probe, moto=False, aws=True)

    def test_an_answer_before_the_wait_counts_with_heartbeats_too(self):
        self.check_program(
            "from corrections import step_functions; step_functions.correct_attempts()",
            """
from moto.stepfunctions.parser.asl.eval.callback import callback
endpoint = callback.CallbackEndpoint("token")
endpoint.notify(callback.CallbackOutcomeSuccess("token", "{}"))
print(endpoint.setup_heartbeat_endpoint(0.1).clear_and_wait())
""",
            moto="False",
            aws="True",
        )

    def test_state_machines_call_with_the_key_of_the_environment(self):
        self.check_program(
            "from corrections import step_functions; step_functions.correct_credentials()",
            """
from moto.stepfunctions.parser.asl.utils.boto_client import boto_client_for
url = boto_client_for("us-east-1", "sts").generate_presigned_url("get_caller_identity")
print(url.partition("X-Amz-Credential=")[2].partition("%2F")[0])
""",
            moto="ak",
            aws=ACCESS_KEY_ID,
        )

    def test_a_stopped_execution_ends_at_once_with_its_reason(self):
        def probe(moto):
            state, token = moto.waiting_task()
            execution = moto.execution({"Wait": state})
            token()
            moto.states.stop_execution(executionArn=execution, error="E", cause="why")
            described = moto.ended(execution, seconds=2)
            return [described["status"], described.get("error"), described.get("cause")]

        self.check(probe, moto=["RUNNING", None, None], aws=["ABORTED", "E", "why"])

    def test_an_execution_without_a_name_gets_one(self):
        def probe(moto):
            states = {"Rest": {"Type": "Pass", "End": True}}
            machine = moto.machine(states, start="Rest")
            execution = moto.states.start_execution(stateMachineArn=machine)["executionArn"]
            return len(execution.split(":")[-1])

        self.check(probe, moto=len("None"), aws=36)

    def test_an_output_is_compact_json_text(self):
        def probe(moto):
            outputs = []
            for value in ("text", {"a": ["ä"]}):
                state = {"Type": "Pass", "Result": value, "End": True}
                execution = moto.execution({"Rest": state}, start="Rest")
                outputs.append(moto.ended(execution)["output"])
            return outputs

        self.check(probe, moto=["text", '{"a": ["\\u00e4"]}'], aws=['"text"', '{"a":["ä"]}'])

    def test_a_state_machine_of_a_stack_can_be_executed(self):
        def probe(moto):
            definition = {"StartAt": "Rest", "States": {"Rest": {"Type": "Pass", "End": True}}}
            properties = {"DefinitionString": json.dumps(definition), "RoleArn": ROLE}
            outputs = moto.stack(
                {"M": {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}},
                Outputs={"Arn": {"Value": {"Ref": "M"}}},
            )
            return code(moto.states.start_execution, stateMachineArn=outputs["Arn"])

        self.check(probe, moto="StateMachineDoesNotExist", aws="accepted")

    def test_jsonata_is_evaluated(self):
        def probe(moto):
            state = {
                "Type": "Pass",
                "QueryLanguage": "JSONata",
                "Assign": {"said": "{% $states.input.said %}"},
                "Output": {"list": "{% [$states.input.said] %}"},
                "Next": "Say",
            }
            say = {
                "Type": "Pass",
                "QueryLanguage": "JSONata",
                "Output": "{% $append($states.input.list, $said) %}",
                "End": True,
            }
            text = json.dumps({"said": 'a "quoted" 😀'})
            execution = moto.execution({"First": state, "Say": say}, start="First", input=text)
            described = moto.ended(execution)
            return json.loads(described["output"]) if "output" in described else None

        self.check(probe, moto=None, aws=['a "quoted" 😀'] * 2)

    def test_an_output_is_measured_in_bytes_of_utf_8(self):
        def probe(moto):
            statuses = []
            for characters in (65_534, 65_536):
                state, token = moto.waiting_task()
                execution = moto.execution({"Wait": state})
                # Four bytes each, two brackets and two quotes.
                output = json.dumps(["\U0001f980" * characters], ensure_ascii=False)
                code(moto.states.send_task_success, taskToken=token(), output=output)
                statuses.append(moto.ended(execution, seconds=2)["status"])
            return statuses

        # One that is too long is not taken at all.
        self.check(probe, moto=["FAILED", "FAILED"], aws=["SUCCEEDED", "RUNNING"])

    def test_an_output_is_measured_as_compact_json(self):
        def probe(moto):
            ends = []
            # A lone text: two bytes for each quote, and two around them.
            for quotes in (131_071, 131_072):
                state = {"Type": "Pass", "InputPath": "$.text", "End": True}
                given = json.dumps({"text": '"' * quotes})
                ends.append(moto.end({"Rest": state}, start="Rest", input=given))
            # 262,144 bytes without the spaces that Python writes.
            given = json.dumps({"text": "x" * 262_120, "n": [1, 2]})
            state = {"Type": "Pass", "End": True}
            ends.append(moto.end({"Rest": state}, start="Rest", input=given))
            return ends

        aws = ["SUCCEEDED", DATA_LIMIT, "SUCCEEDED"]
        self.check(probe, moto=["SUCCEEDED", "SUCCEEDED", DATA_LIMIT], aws=aws)

    def test_the_output_of_every_state_has_the_limit_which_no_wildcard_catches(self):
        def probe(moto):
            given = json.dumps({"half": "x" * 150_000, "items": [1, 2]})
            ends = {}
            for name, state in {**TOO_LARGE, **TOO_LARGE_INSIDE}.items():
                states = {"Large": {**state, "End": True}, "Caught": {"Type": "Succeed"}}
                if state["Type"] != "Pass":
                    wildcards = ["States.TaskFailed"], ["States.ALL"]
                    catch = [{"ErrorEquals": names, "Next": "Caught"} for names in wildcards]
                    retry = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 60}]
                    states["Large"] |= {"Catch": catch, "Retry": retry}
                ends[name] = moto.end(states, start="Large", input=given)
            return ends

        aws = dict.fromkeys([*TOO_LARGE, *TOO_LARGE_INSIDE], DATA_LIMIT)
        # Moto waits to try a Map again, and loses the name of an error in a branch. It evaluates no
        # JSONata.
        alone = aws | {
            "in Map": "RUNNING",
            "in Parallel": "States.Runtime",
            "Pass in JSONata": "States.Runtime",
            "Map in JSONata": "RUNNING",
        }
        self.check(probe, moto=alone, aws=aws)

    def test_a_task_that_keeps_its_input_beside_its_result_has_the_limit(self):
        def probe(moto):
            ends = []
            for path in ("$.result", "$"):
                catch = [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}]
                state, token = moto.waiting_task(ResultPath=path, Catch=catch)
                given = json.dumps({"half": "x" * 150_000})
                states = {"Wait": state, "Caught": {"Type": "Succeed"}}
                execution = moto.execution(states, input=given)
                result = json.dumps({"half": "x" * 113_000})
                moto.states.send_task_success(taskToken=token(), output=result)
                ends.append(moto.end_of(execution))
            return ends

        # Moto counts as AWS does here: both have the limit.
        self.check(probe, moto=[DATA_LIMIT, "SUCCEEDED"], aws=[DATA_LIMIT, "SUCCEEDED"])

    def test_errors_of_systems_manager_have_its_name_as_step_functions_writes_it(self):
        def probe(moto):
            execution = moto.execution(
                {
                    "Wait": {
                        "Type": "Task",
                        "Resource": "arn:aws:states:::aws-sdk:ssm:getDocument",
                        "Parameters": {"Name": "none"},
                        "End": True,
                    }
                }
            )
            return moto.ended(execution)["error"]

        name = "InvalidDocumentException"
        self.check(probe, moto=f"ssm.{name}", aws=f"Ssm.{name}")

    def test_a_path_through_an_item_of_a_list_gives_one_value(self):
        def probe(moto):
            values = {
                "one.$": "$.a[0].b",
                "all.$": "$.a[*].b",
                "list.$": "$.a[0].c",
                "item.$": "$.a[0]",
            }
            execution = moto.execution(
                {
                    "Rest": {
                        "Type": "Pass",
                        "Result": {"a": [{"b": 1, "c": [2]}]},
                        "Next": "Take",
                    },
                    "Take": {"Type": "Pass", "Parameters": values, "End": True},
                },
                start="Rest",
            )
            return json.loads(moto.ended(execution)["output"])

        others = {"all": [1], "item": {"b": 1, "c": [2]}}
        self.check(
            probe,
            moto={"one": [1], "list": [[2]], **others},
            aws={"one": 1, "list": [2], **others},
        )

    def test_errors_of_ec2_are_named_as_on_aws(self):
        def probe(moto):
            execution = moto.execution(
                {
                    "Wait": {
                        "Type": "Task",
                        "Resource": "arn:aws:states:::aws-sdk:ec2:terminateInstances",
                        "Parameters": {"InstanceIds": ["i-00000000000000001"]},
                        "End": True,
                    }
                }
            )
            return moto.ended(execution)["error"]

        self.check(probe, moto="ec2.ec2Exception", aws="Ec2.Ec2Exception")

    def test_executions_tell_their_status(self):
        def probe(moto):
            queue = moto.sqs.create_queue(QueueName=moto.name())["QueueUrl"]
            target = f"arn:aws:sqs:us-east-1:123456789012:{queue.split('/')[-1]}"
            rule, execution = moto.name(), moto.name()
            pattern = {"source": ["aws.states"], "detail": {"name": [execution]}}
            moto.events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
            moto.events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": target}])
            fail = {"Type": "Fail", "Error": "E", "Cause": "why"}
            moto.execution({"Rest": fail}, start="Rest", name=execution)
            first, second = moto.message(queue, seconds=1), moto.message(queue, seconds=1)
            moto.events.remove_targets(Rule=rule, Ids=["queue"])
            details = [json.loads(message)["detail"] for message in (first, second) if message]
            return sorted((detail["status"], detail["error"]) for detail in details)

        self.check(probe, moto=[], aws=[("FAILED", "E"), ("RUNNING", None)])
