"""Corrections of CloudWatch Logs."""

from moto.logs.exceptions import LogsClientError
from moto.logs.models import LogGroup, LogsBackend

from corrections import kms


def correct_keys():
    """AWS: the key of a log group is in its region, and its policy lets CloudWatch Logs use it."""
    create_log_group = LogsBackend.create_log_group

    def check_and_create(self, log_group_name, tags, **arguments):
        # A stack gives the property instead of the argument.
        key = arguments.get("kmsKeyId") or arguments.get("KmsKeyId")
        check_key(key, log_group_name, self.account_id, self.region_name)
        return create_log_group(self, log_group_name, tags, **{**arguments, "kmsKeyId": key})

    LogsBackend.create_log_group = check_and_create


def check_key(arn, log_group_name, account, region):
    if not arn:
        return
    group = f"arn:aws:logs:{region}:{account}:log-group:{log_group_name}"
    key = kms.key_of(arn, account, region)
    service, context = f"logs.{region}.amazonaws.com", {"aws:logs:arn": group}
    if key is None or not all(
        kms.allows(key, service, f"kms:{action}", context)
        for action in ("Encrypt", "Decrypt", "ReEncryptFrom", "GenerateDataKey", "DescribeKey")
    ):
        raise LogsClientError(
            "AccessDeniedException",
            f"The specified KMS key does not exist or is not allowed to be used with Arn '{group}'",
        )


def correct_updates_of_stacks():
    """AWS: an update of a stack changes the key and the retention of a log group."""

    @classmethod
    def update_from_cloudformation_json(
        cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name
    ):
        properties = cloudformation_json["Properties"]
        key = properties.get("KmsKeyId")
        check_key(key, original_resource.name, account_id, region_name)
        original_resource.kms_key_id = key
        original_resource.retention_in_days = properties.get("RetentionInDays")
        return original_resource

    LogGroup.update_from_cloudformation_json = update_from_cloudformation_json


def correct():
    correct_keys()
    correct_updates_of_stacks()
