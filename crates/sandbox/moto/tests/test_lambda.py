"""Each correction of Lambda is needed, and works."""

import io
import json
import urllib.request
import zipfile
from functools import partial

from botocore.exceptions import ClientError

from harness import CONCURRENCY_LIMIT, ROLE, Correction, code, package

CALLS = [
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DeleteNetworkInterface",
]


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

    def network(self, moto, cidr="10.0.0.0/16"):
        """A subnet and a security group in a VPC of their own."""
        vpc = moto.ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
        subnet = moto.ec2.create_subnet(VpcId=vpc, CidrBlock=cidr)["Subnet"]["SubnetId"]
        group = moto.ec2.create_security_group(VpcId=vpc, GroupName="g", Description="d")
        return subnet, group["GroupId"]

    def role(self, moto, *actions):
        name = moto.name()
        statement = {"Effect": "Allow", "Action": [*actions, "logs:PutLogEvents"], "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        arn = moto.iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        moto.iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy)
        return arn

    def check_network(self, choose, aws, actions=CALLS):
        def probe(moto):
            subnets, groups = choose(moto)
            network = {"SubnetIds": subnets, "SecurityGroupIds": groups}
            role = self.role(moto, *actions)
            created = code(partial(moto.function, VpcConfig=network, Role=role))
            function = moto.function(Role=role)
            update = partial(moto.functions.update_function_configuration, VpcConfig=network)
            return created, code(partial(update, FunctionName=function))

        self.check(probe, moto=("accepted", "accepted"), aws=(aws, aws))

    def test_the_network_of_a_function_exists(self):
        def mine(moto):
            subnet, group = self.network(moto)
            return [subnet], [group]

        refused = "InvalidParameterValueException"
        self.check_network(mine, "accepted")
        self.check_network(lambda moto: (["subnet-00000001"], mine(moto)[1]), refused)
        self.check_network(lambda moto: (mine(moto)[0], ["sg-00000001"]), refused)
        self.check_network(lambda moto: (mine(moto)[0], []), refused)
        self.check_network(lambda moto: ([], mine(moto)[1]), refused)
        self.check_network(lambda moto: (mine(moto)[0], mine(moto)[1]), refused)

    def test_the_role_of_a_function_may_use_the_network(self):
        def mine(moto):
            subnet, group = self.network(moto)
            return [subnet], [group]

        self.check_network(mine, "accepted", ["ec2:*"])
        for missing in CALLS:
            actions = [action for action in CALLS if action != missing]
            self.check_network(mine, "InvalidParameterValueException", actions)

    def test_the_key_of_a_function_exists_in_its_region(self):
        def check(make, aws):
            def probe(moto):
                key = make(moto)
                created = code(partial(moto.function, KMSKeyArn=key))
                function = moto.function()
                update = partial(moto.functions.update_function_configuration, KMSKeyArn=key)
                return created, code(partial(update, FunctionName=function))

            self.check(probe, moto=("accepted", "accepted"), aws=(aws, aws))

        def mine(moto):
            return moto.keys.create_key()["KeyMetadata"]["Arn"]

        refused = "InvalidParameterValueException"
        check(mine, "accepted")
        check(lambda moto: mine(moto).replace("us-east-1", "eu-west-1"), refused)
        check(lambda moto: "arn:aws:kms:us-east-1:123456789012:key/none", refused)

    def test_an_update_of_a_stack_changes_and_removes_what_a_function_has(self):
        def probe(moto):
            bucket, name = moto.name(), moto.name()
            moto.buckets.create_bucket(Bucket=bucket)
            moto.buckets.put_object(Bucket=bucket, Key="k", Body=package())
            subnet, group = self.network(moto)
            options = {
                "KmsKeyArn": moto.keys.create_key()["KeyMetadata"]["Arn"],
                "VpcConfig": {"SubnetIds": [subnet], "SecurityGroupIds": [group]},
                "ReservedConcurrentExecutions": 3,
            }
            properties = {
                "FunctionName": name,
                "Runtime": "provided.al2023",
                "Handler": "bootstrap",
                "Role": self.role(moto, *CALLS),
                "Code": {"S3Bucket": bucket, "S3Key": "k"},
            }

            def seen():
                found = moto.functions.get_function(FunctionName=name)
                configuration = found["Configuration"]
                return (
                    "KMSKeyArn" in configuration,
                    configuration.get("VpcConfig", {}).get("SubnetIds", []) != [],
                    "Concurrency" in found,
                )

            stack = {"StackName": moto.name(), "Capabilities": ["CAPABILITY_IAM"]}

            def template(properties):
                function = {"Type": "AWS::Lambda::Function", "Properties": properties}
                return json.dumps({"Resources": {"F": function}})

            states = []
            moto.stacks.create_stack(TemplateBody=template({**properties, **options}), **stack)
            states.append(seen())
            moto.stacks.update_stack(TemplateBody=template(properties), **stack)
            states.append(seen())
            moto.stacks.update_stack(TemplateBody=template({**properties, **options}), **stack)
            states.append(seen())
            # Its reservation would count for other tests.
            moto.functions.delete_function(FunctionName=name)
            return states

        on, off = (True, True, True), (False, False, False)
        stale = (False, True, True)
        self.check(probe, moto=[stale, stale, stale], aws=[on, off, on])

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

    def test_a_number_in_the_environment_of_a_function_is_text(self):
        def probe(moto):
            bucket, name = moto.name(), moto.name()
            moto.buckets.create_bucket(Bucket=bucket)
            moto.buckets.put_object(Bucket=bucket, Key="code", Body=package())
            properties = {
                "FunctionName": name,
                "Runtime": "provided.al2023",
                "Handler": "bootstrap",
                "Role": ROLE,
                "Code": {"S3Bucket": bucket, "S3Key": "code"},
                "Environment": {"Variables": {"HOURS": 49}},
            }
            moto.stack({"F": {"Type": "AWS::Lambda::Function", "Properties": properties}})
            found = moto.functions.get_function_configuration(FunctionName=name)
            return found["Environment"]["Variables"]["HOURS"]

        self.check(probe, moto=49, aws="49")
