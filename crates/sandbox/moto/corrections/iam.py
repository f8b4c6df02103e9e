"""Corrections of IAM."""

import inspect
import json
import os

from moto.core.exceptions import AccessDeniedError
from moto.iam.exceptions import NotFoundException
from moto.iam.models import IAMBackend, ManagedPolicy, Role, iam_backends
from moto.utilities.utils import get_partition


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


def correct_managed_policies_of_roles_of_stacks():
    """AWS: a role of a stack has the managed policies that the template attaches to it."""
    create = Role.create_from_cloudformation_json.__func__
    delete = Role.delete_from_cloudformation_json.__func__

    def create_with_policies(cls, resource_name, cloudformation_json, account_id, region, **kwargs):
        role = create(cls, resource_name, cloudformation_json, account_id, region, **kwargs)
        attach_policies(role, cloudformation_json["Properties"])
        return role

    def delete_with_policies(cls, resource_name, cloudformation_json, account_id, region):
        for role in iam_backends[account_id][get_partition(region)].roles.values():
            if role.name == resource_name:
                attach_policies(role, {})
        delete(cls, resource_name, cloudformation_json, account_id, region)

    Role.create_from_cloudformation_json = classmethod(create_with_policies)
    Role.delete_from_cloudformation_json = classmethod(delete_with_policies)


def attach_policies(role, properties):
    """Attaches the managed policies that the properties name, and no others."""
    for policy in list(role.managed_policies.values()):
        policy.detach_from(role)
    backend = iam_backends[role.account_id][role.partition]
    for arn in properties.get("ManagedPolicyArns", []):
        backend.attach_role_policy(arn, role.name)


def correct_boundaries():
    """AWS: a permissions boundary must exist.

    With DEMANDED_BOUNDARY, a service control policy denies roles with another one, or with none.
    """
    create_role = IAMBackend.create_role
    signature = inspect.signature(create_role)
    demanded = os.environ.get("DEMANDED_BOUNDARY")

    def check_and_create(self, *args, **kwargs):
        role = signature.bind(self, *args, **kwargs).arguments
        boundary = role["permissions_boundary"]
        if demanded and boundary != demanded:
            account = f"arn:{self.partition}:iam::{self.account_id}"
            arn = f"{account}:role{role['path'] or '/'}{role['role_name']}"
            raise AccessDeniedError(
                f"{account}:user/sandbox",
                f"iam:CreateRole on resource: {arn} "
                "with an explicit deny in a service control policy",
            )
        if boundary and boundary not in self.managed_policies:
            raise NotFoundException(f"Scope ARN: {boundary} does not exist or is not attachable.")
        return create_role(self, *args, **kwargs)

    IAMBackend.create_role = check_and_create


def create_demanded_boundary():
    """Creates the policy that DEMANDED_BOUNDARY names. It allows everything."""
    boundary = os.environ.get("DEMANDED_BOUNDARY")
    if not boundary:
        return
    _, partition, _, _, account, policy = boundary.split(":", 5)
    path, _, name = policy.removeprefix("policy").rpartition("/")
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam_backends[account][partition].create_policy(
        description="", path=f"{path}/", policy_document=document, policy_name=name, tags=[]
    )


def correct_updates_of_stacks():
    """AWS: an update of a stack changes the policies and the boundary of a role.

    It changes the document of a managed policy. Another path replaces either.
    """

    @classmethod
    def update_role(
        cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name
    ):
        properties, role = cloudformation_json["Properties"], original_resource
        place = (account_id, region_name)
        if properties.get("Path", "/") != role.path:
            replaced = cls.create_from_cloudformation_json(
                new_resource_name, cloudformation_json, *place
            )
            cls.delete_from_cloudformation_json(role.name, cloudformation_json, *place)
            return replaced
        role.description = properties.get("Description", "")
        role.assume_role_policy_document = json.dumps(properties["AssumeRolePolicyDocument"])
        role.permissions_boundary_arn = properties.get("PermissionsBoundary")
        role.policies.clear()
        for policy in properties.get("Policies", []):
            role.put_policy(policy["PolicyName"], policy["PolicyDocument"])
        attach_policies(role, properties)
        return role

    @classmethod
    def update_policy(
        cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name
    ):
        backend = iam_backends[account_id][get_partition(region_name)]
        properties, policy = cloudformation_json["Properties"], original_resource
        if properties.get("Path", "/") != policy.path:
            replaced = cls.create_from_cloudformation_json(
                new_resource_name, cloudformation_json, account_id, region_name
            )
            backend.delete_policy(policy.arn)
            return replaced
        document = properties["PolicyDocument"]
        text = document if isinstance(document, str) else json.dumps(document)
        backend.create_policy_version(policy.arn, text, True)
        return policy

    Role.update_from_cloudformation_json = update_role
    ManagedPolicy.update_from_cloudformation_json = update_policy


def correct():
    correct_policies_of_stacks()
    correct_policies_of_roles_of_stacks()
    correct_managed_policies_of_roles_of_stacks()
    correct_boundaries()
    create_demanded_boundary()
    correct_updates_of_stacks()
