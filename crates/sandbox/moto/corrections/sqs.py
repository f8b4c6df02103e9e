"""Corrections of SQS."""

import json
import time

from moto.core.common_models import CloudFormationModel
from moto.sqs.exceptions import SQSException
from moto.sqs.models import Queue, SQSBackend, sqs_backends

from corrections.stack_resource import ResourceOfStack

# SQS API, DeleteQueue.
NAME_FREE_AFTER_SECONDS = 60


def correct_names_of_deleted_queues():
    """AWS: for 60 seconds after a queue was deleted, no other can be created with its name."""
    create_queue, delete_queue = SQSBackend.create_queue, SQSBackend.delete_queue

    def deletions(backend):
        """The time at which each queue was deleted, by name."""
        return backend.__dict__.setdefault("deletions", {})

    def create_queue_with_free_name(self, name, *args, **kwargs):
        deleted = deletions(self).get(name)
        if deleted is not None and time.monotonic() - deleted < NAME_FREE_AFTER_SECONDS:
            raise SQSException(
                "QueueDeletedRecently",
                "You must wait 60 seconds after deleting a queue before you can create another "
                "with the same name.",
            )
        return create_queue(self, name, *args, **kwargs)

    def delete_queue_and_note(self, queue_name):
        delete_queue(self, queue_name)
        deletions(self)[queue_name] = time.monotonic()

    SQSBackend.create_queue = create_queue_with_free_name
    SQSBackend.delete_queue = delete_queue_and_note


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


class QueuePolicyOfStack(ResourceOfStack, CloudFormationModel):
    """AWS: CloudFormation creates AWS::SQS::QueuePolicy. Moto ignores this type."""

    __module__ = "moto.sqs.models"

    @staticmethod
    def cloudformation_type():
        return "AWS::SQS::QueuePolicy"

    @classmethod
    def has_cfn_attr(cls, attr):
        return attr == "Id"

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name, cloudformation_json, account_id, region_name, **kwargs
    ):
        properties = cloudformation_json["Properties"]
        for url in properties["Queues"]:
            queue = sqs_backends[account_id][region_name].get_queue(url.rsplit("/", 1)[-1])
            queue.policy = json.dumps(properties["PolicyDocument"])
        return cls(resource_name)


def correct():
    correct_names_of_deleted_queues()
    correct_updates_of_stacks()
