"""Corrections of SQS."""

from moto.sqs.models import Queue


def correct_updates_of_stacks():
    """AWS: an update of a stack changes all attributes of a queue, its encryption included."""
    update = Queue.update_from_cloudformation_json.__func__

    @classmethod
    def update_from_cloudformation_json(
        cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name
    ):
        place = (account_id, region_name)
        queue = update(cls, original_resource, new_resource_name, cloudformation_json, *place)
        properties = cloudformation_json["Properties"]
        queue.kms_master_key_id = properties.get("KmsMasterKeyId")
        queue.sqs_managed_sse_enabled = properties.get("SqsManagedSseEnabled")
        if "MessageRetentionPeriod" in properties:
            queue.message_retention_period = int(properties["MessageRetentionPeriod"])
        return queue

    Queue.update_from_cloudformation_json = update_from_cloudformation_json


def correct():
    correct_updates_of_stacks()
