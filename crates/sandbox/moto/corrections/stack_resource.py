"""What moto asks of the class of a resource in a stack."""


class ResourceOfStack:
    """A resource that is known by its name, and that an update writes again.

    Of use in classes that also are subclasses of CloudFormationModel: moto finds those by itself,
    and groups them by `__module__`.
    """

    def __init__(self, name):
        self.physical_resource_id = name

    @staticmethod
    def cloudformation_name_type():
        return ""

    @classmethod
    def has_cfn_attr(cls, attr):
        return False

    @classmethod
    def update_from_cloudformation_json(
        cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name
    ):
        name = original_resource.physical_resource_id
        return cls.create_from_cloudformation_json(
            name, cloudformation_json, account_id, region_name
        )

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name, cloudformation_json, account_id, region_name
    ):
        """Nothing to do for what goes with another resource."""

    def is_created(self):
        return True
