"""Corrections of Lambda."""

import json
import os

from moto.awslambda import urls
from moto.awslambda.exceptions import InvalidParameterValueException
from moto.awslambda.models import EventInvokeConfig, LambdaBackend, LambdaFunction
from moto.awslambda.utils import get_backend
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.common_models import CloudFormationModel

import moto_api

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


class EventInvokeConfigOfStack(CloudFormationModel):
    """AWS: CloudFormation creates AWS::Lambda::EventInvokeConfig. Moto ignores this type.

    Moto finds the class by itself, because it is a subclass of CloudFormationModel.
    """

    # Moto groups its models by the module that defines them.
    __module__ = "moto.awslambda.models"

    def __init__(self, function_name):
        self.physical_resource_id = function_name

    @staticmethod
    def cloudformation_name_type():
        return ""

    @staticmethod
    def cloudformation_type():
        return "AWS::Lambda::EventInvokeConfig"

    @classmethod
    def has_cfn_attr(cls, attr):
        return False

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

    @classmethod
    def update_from_cloudformation_json(
        cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name
    ):
        return cls.create_from_cloudformation_json(
            new_resource_name, cloudformation_json, account_id, region_name
        )

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name, cloudformation_json, account_id, region_name
    ):
        """Nothing to do: the configuration is deleted with its function."""

    def is_created(self):
        return True


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
    correct_event_invoke_config()
    correct_code_location()
    correct_reservations()
    correct_account_settings()
