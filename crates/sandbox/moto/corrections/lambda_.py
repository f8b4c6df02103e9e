"""Corrections of Lambda."""

import os

from moto.awslambda.models import EventInvokeConfig, LambdaBackend, LambdaFunction
from moto.awslambda.utils import get_backend
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.common_models import CloudFormationModel

import moto_api


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


def correct():
    correct_event_invoke_config()
    correct_code_location()
