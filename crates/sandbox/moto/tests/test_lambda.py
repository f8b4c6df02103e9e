"""Each correction of Lambda is needed, and works."""

import io
import urllib.request
import zipfile

from botocore.exceptions import ClientError

from harness import Correction


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
