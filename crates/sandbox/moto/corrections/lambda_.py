"""Corrections of Lambda."""

import json
import os

from moto.awslambda import urls
from moto.awslambda.exceptions import InvalidParameterValueException
from moto.awslambda.models import EventInvokeConfig, LambdaBackend, LambdaFunction
from moto.awslambda.utils import get_backend
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.common_models import CloudFormationModel
from moto.ec2.exceptions import InvalidSubnetIdError
from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends

import moto_api
import policies
from corrections import kms
from corrections.stack_resource import ResourceOfStack

# What Lambda calls under the role of a function in a VPC.
NETWORK_CALLS = ("CreateNetworkInterface", "DescribeNetworkInterfaces", "DeleteNetworkInterface")

# What must stay for functions without a reservation.
UNRESERVED_MIN = 100


def correct_event_invoke_config():
    """AWS: a later EventInvokeConfig of a function replaces the earlier one."""

    def put_function_event_invoke_config(self, function_name, config):
        function = self.get_function(function_name)
        function.event_invoke_config = [
            EventInvokeConfig(function.function_arn, function.last_modified, config)
        ]
        return function.event_invoke_config[0].response()

    LambdaBackend.put_function_event_invoke_config = put_function_event_invoke_config


class EventInvokeConfigOfStack(ResourceOfStack, CloudFormationModel):
    """AWS: CloudFormation creates AWS::Lambda::EventInvokeConfig. Moto ignores this type."""

    __module__ = "moto.awslambda.models"

    @staticmethod
    def cloudformation_type():
        return "AWS::Lambda::EventInvokeConfig"

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name, cloudformation_json, account_id, region_name, **kwargs
    ):
        properties = dict(cloudformation_json["Properties"])
        function_name = properties.pop("FunctionName")
        properties.pop("Qualifier", None)
        for name in ("MaximumRetryAttempts", "MaximumEventAgeInSeconds"):
            if name in properties:
                properties[name] = int(properties[name])
        get_backend(account_id, region_name).put_function_event_invoke_config(
            function_name, properties
        )
        return cls(function_name)


def correct_environments():
    """AWS: the value of a variable is text, also if it is a number in a template."""
    get_configuration = LambdaFunction.get_configuration

    def get_configuration_in_texts(self, *args, **kwargs):
        configuration = get_configuration(self, *args, **kwargs)
        variables = configuration.get("Environment", {}).get("Variables")
        if variables:
            texts = {name: str(value) for name, value in variables.items()}
            configuration["Environment"] = {"Variables": texts}
        return configuration

    LambdaFunction.get_configuration = get_configuration_in_texts


def correct_code_location():
    """AWS: the location that GetFunction returns is a URL that serves the code."""
    get_code = LambdaFunction.get_code

    def get_code_with_location(self):
        response = get_code(self)
        location = f"http://127.0.0.1:{os.environ['MOTO_PORT']}/lambda-code"
        key = os.environ["AWS_ACCESS_KEY_ID"]
        if getattr(self, "code_bytes", None) is not None:
            signed = f"X-Amz-Credential={key}/20200101/{self.region}/s3/aws4_request"
            response["Code"] = {
                "Location": f"{location}/{self.region}/{self.function_name}?{signed}",
                "RepositoryType": "S3",
            }
        return response

    def serve_code(request, full_url, headers):
        region, name = request.path.split("/")[-2:]
        function = get_backend(DEFAULT_ACCOUNT_ID, region).get_function(name)
        return 200, {"content-type": "application/zip"}, function.code_bytes

    LambdaFunction.get_code = get_code_with_location
    moto_api.serve("lambda-code/(?P<region>[^/]+)/(?P<name>[^/]+)", serve_code)


def correct_networks_and_keys():
    """AWS: the network and the key of a function exist, and its role may use the network."""
    create_function = LambdaBackend.create_function
    update_configuration = LambdaFunction.update_configuration

    def check_and_create(self, spec):
        network, key, role = spec.get("VpcConfig"), spec.get("KMSKeyArn"), spec["Role"]
        check_network(network, role, self.account_id, self.region_name)
        check_key(key, self.account_id, self.region_name)
        return create_function(self, spec)

    def check_and_update(self, config_updates):
        role = config_updates.get("Role", self.role)
        network = config_updates.get("VpcConfig", self._vpc_config)
        key = config_updates.get("KMSKeyArn", self.kms_key_arn)
        check_network(network, role, self.account_id, self.region)
        check_key(key, self.account_id, self.region)
        self.kms_key_arn = key
        return update_configuration(self, config_updates)

    LambdaBackend.create_function = check_and_create
    LambdaFunction.update_configuration = check_and_update


def check_network(network, role, account, region):
    subnets = (network or {}).get("SubnetIds", [])
    groups = (network or {}).get("SecurityGroupIds", [])
    if bool(subnets) != bool(groups):
        raise InvalidParameterValueException(
            "SubnetIds and SecurityIds must coexist or be both empty list."
        )
    ec2 = ec2_backends[account][region]
    vpcs = set()
    for subnet in subnets:
        try:
            vpcs.add(ec2.get_subnet(subnet).vpc_id)
        except InvalidSubnetIdError:
            refuse_network("DescribeSubnets", "InvalidSubnetID", f"subnet ID '{subnet}'")
    for group in groups:
        found = ec2.get_security_group_from_id(group)
        if found is None:
            refuse_network("DescribeSecurityGroups", "InvalidGroup", f"security group '{group}'")
        vpcs.add(found.vpc_id)
    if len(vpcs) > 1:
        raise InvalidParameterValueException("Security Groups are required to be in the same VPC.")
    for call in NETWORK_CALLS if subnets else ():
        if not may(role, f"ec2:{call}", account):
            raise InvalidParameterValueException(
                f"The provided execution role does not have permissions to call {call} on EC2"
            )


def refuse_network(call, code, what):
    raise InvalidParameterValueException(
        f"Error occurred while {call}. EC2 Error Code: {code}.NotFound. EC2 Error Message: "
        f"The {what} does not exist"
    )


def may(role, action, account):
    """Whether the policies of the role allow an action on all resources."""
    role = iam_backends[account]["aws"].get_role(role.rpartition("/")[2])
    held = [*role.policies.values(), *role.managed_policies.values()]
    named = [("", policies.document_of(policy)) for policy in held]
    return policies.decide(named, action, "*").decision == policies.ALLOWED


def check_key(arn, account, region):
    if arn and kms.key_of(arn, account, region) is None:
        raise InvalidParameterValueException(
            f"The KMS key {arn} does not exist in {region}, or is disabled."
        )


def correct_functions_of_stacks():
    """AWS: a stack sets the key of a function, and its updates change network and key."""
    create = LambdaFunction.create_from_cloudformation_json.__func__
    update = LambdaFunction.update_from_cloudformation_json.__func__

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name, cloudformation_json, account_id, region_name, **kwargs
    ):
        key = cloudformation_json["Properties"].get("KmsKeyArn")
        check_key(key, account_id, region_name)
        place = (account_id, region_name)
        function = create(cls, resource_name, cloudformation_json, *place, **kwargs)
        function.kms_key_arn = key
        return function

    @classmethod
    def update_from_cloudformation_json(
        cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name
    ):
        properties = cloudformation_json["Properties"]
        whole = {
            **properties,
            "VpcConfig": properties.get("VpcConfig"),
            "KMSKeyArn": properties.get("KmsKeyArn"),
        }
        return update(
            cls,
            original_resource,
            new_resource_name,
            {"Properties": whole},
            account_id,
            region_name,
        )

    LambdaFunction.create_from_cloudformation_json = create_from_cloudformation_json
    LambdaFunction.update_from_cloudformation_json = update_from_cloudformation_json


def unreserved(backend, without=None):
    """What functions, except this one, leave of the account's limit."""
    functions = backend.list_functions()
    reserved = [each.reserved_concurrency for each in functions if each.function_name != without]
    limit = int(os.environ["MOTO_LAMBDA_CONCURRENCY_QUOTA"])
    return limit - sum(int(each) for each in reserved if each)


def correct_reservations():
    """AWS: a stack reserves concurrency only as far as 100 of the account's limit stay unreserved.

    Moto sees to that in PutFunctionConcurrency alone, and ignores reservations that change.
    """
    create_function = LambdaBackend.create_function
    update = LambdaFunction.update_from_cloudformation_json.__func__

    def check(backend, name, wanted):
        if wanted and unreserved(backend, without=name) - int(wanted) < UNRESERVED_MIN:
            raise InvalidParameterValueException(
                "Specified ReservedConcurrentExecutions for function decreases account's "
                f"UnreservedConcurrentExecution below its minimum value of [{UNRESERVED_MIN}]."
            )

    def create_function_if_allowed(self, spec):
        check(self, spec.get("FunctionName"), spec.get("ReservedConcurrentExecutions"))
        return create_function(self, spec)

    def update_with_reservation(
        cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name
    ):
        wanted = cloudformation_json["Properties"].get("ReservedConcurrentExecutions")
        check(get_backend(account_id, region_name), original_resource.function_name, wanted)
        original_resource.reserved_concurrency = wanted
        return update(
            cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name
        )

    LambdaBackend.create_function = create_function_if_allowed
    LambdaFunction.update_from_cloudformation_json = classmethod(update_with_reservation)


def correct_account_settings():
    """AWS: GetAccountSettings tells the limit. Moto does not know this operation."""

    def get_account_settings(request, full_url, headers):
        region = headers["Authorization"].split("/")[2]
        backend = get_backend(DEFAULT_ACCOUNT_ID, region)
        limit = {
            "ConcurrentExecutions": int(os.environ["MOTO_LAMBDA_CONCURRENCY_QUOTA"]),
            "UnreservedConcurrentExecutions": unreserved(backend),
        }
        return 200, {}, json.dumps({"AccountLimit": limit, "AccountUsage": {}})

    urls.url_paths["{0}/(?P<api_version>[^/]+)/account-settings/?$"] = get_account_settings


def correct():
    correct_networks_and_keys()
    correct_functions_of_stacks()
    correct_event_invoke_config()
    correct_environments()
    correct_code_location()
    correct_reservations()
    correct_account_settings()
