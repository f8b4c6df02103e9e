"""Each correction of Lambda is needed, and works."""

import io
import json
import urllib.request
import zipfile

from botocore.exceptions import ClientError

from harness import CONCURRENCY_LIMIT, ROLE, Correction, package


class Lambda(Correction):
    def test_a_stack_configures_asynchronous_invocation(self):
        def probe(moto):
            function = moto.function()
            properties = {
                "FunctionName": function,
                "Qualifier": "$LATEST",
                "MaximumRetryAttempts": 1,
                "MaximumEventAgeInSeconds": 600,
            }
            moto.stack({"C": {"Type": "AWS::Lambda::EventInvokeConfig", "Properties": properties}})
            try:
                config = moto.functions.get_function_event_invoke_config(FunctionName=function)
            except ClientError:
                return None
            return config["MaximumRetryAttempts"]

        self.check(probe, moto=None, aws=1)

    def test_a_later_configuration_of_asynchronous_invocation_replaces_the_earlier(self):
        def probe(moto):
            function = moto.function()
            for attempts in (2, 0):
                moto.functions.put_function_event_invoke_config(
                    FunctionName=function, MaximumRetryAttempts=attempts
                )
            config = moto.functions.get_function_event_invoke_config(FunctionName=function)
            return config["MaximumRetryAttempts"]

        self.check(probe, moto=2, aws=0)

    def test_the_code_of_a_function_can_be_fetched(self):
        def probe(moto):
            found = moto.functions.get_function(FunctionName=moto.function())
            location = found.get("Code", {}).get("Location", "")
            if not location.startswith(moto.endpoint):
                return "elsewhere"
            # In the sandbox, the gateway leads there.
            location = location.replace("/lambda-code/", "/moto-api/lambda-code/", 1)
            with urllib.request.urlopen(location) as response:
                return zipfile.ZipFile(io.BytesIO(response.read())).namelist()

        self.check(probe, moto="elsewhere", aws=["bootstrap"])

    def test_a_stack_reserves_only_what_leaves_100_unreserved(self):
        def probe(moto):
            bucket = moto.name()
            moto.buckets.create_bucket(Bucket=bucket)
            moto.buckets.put_object(Bucket=bucket, Key="code", Body=package())

            def reserved(operation, name, wanted):
                properties = {
                    "FunctionName": name,
                    "Runtime": "provided.al2023",
                    "Handler": "bootstrap",
                    "Role": ROLE,
                    "Code": {"S3Bucket": bucket, "S3Key": "code"},
                    "ReservedConcurrentExecutions": wanted,
                }
                resources = {"F": {"Type": "AWS::Lambda::Function", "Properties": properties}}
                operation(StackName=name, TemplateBody=json.dumps({"Resources": resources}))
                try:
                    found = moto.functions.get_function_concurrency(FunctionName=name)
                except ClientError:
                    return None
                return found["ReservedConcurrentExecutions"]

            most = CONCURRENCY_LIMIT - 100
            refused, created = moto.name(), moto.name()
            answers = [
                reserved(moto.stacks.create_stack, refused, most + 1),
                reserved(moto.stacks.create_stack, created, most),
                reserved(moto.stacks.update_stack, created, most - 1),
            ]
            for name in (refused, created):
                moto.stacks.delete_stack(StackName=name)
            return answers

        self.check(probe, moto=[61, 60, 60], aws=[None, 60, 59])

    def test_the_settings_of_the_account_tell_its_limit(self):
        def probe(moto):
            try:
                limit = moto.functions.get_account_settings()["AccountLimit"]
            except ClientError:
                return None
            return [limit["ConcurrentExecutions"], limit["UnreservedConcurrentExecutions"]]

        self.check(probe, moto=None, aws=[CONCURRENCY_LIMIT] * 2)
