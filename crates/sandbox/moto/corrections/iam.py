"""Corrections of IAM."""

import json

from moto.iam.models import ManagedPolicy, Role


def correct_policies_of_stacks():
    """AWS: the document of a managed policy of a stack may be JSON text."""
    create = ManagedPolicy.create_from_cloudformation_json.__func__

    def create_from_object(cls, resource_name, cloudformation_json, *args, **kwargs):
        properties = dict(cloudformation_json["Properties"])
        if isinstance(properties["PolicyDocument"], str):
            properties["PolicyDocument"] = json.loads(properties["PolicyDocument"])
        template = {**cloudformation_json, "Properties": properties}
        return create(cls, resource_name, template, *args, **kwargs)

    ManagedPolicy.create_from_cloudformation_json = classmethod(create_from_object)


def correct_policies_of_roles_of_stacks():
    """AWS: an inline policy of a role of a stack is kept as JSON, as for any role."""
    put_policy = Role.put_policy

    def put_policy_as_text(self, policy_name, policy):
        put_policy(self, policy_name, policy if isinstance(policy, str) else json.dumps(policy))

    Role.put_policy = put_policy_as_text


def correct():
    correct_policies_of_stacks()
    correct_policies_of_roles_of_stacks()
