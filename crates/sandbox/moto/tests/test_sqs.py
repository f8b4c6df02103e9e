"""Each correction of SQS is needed, and works."""

from harness import Correction, refusal

REFUSED = (
    "AWS.SimpleQueueService.QueueDeletedRecently",
    "You must wait 60 seconds after deleting a queue before you can create another with the same "
    "name.",
)
# Creates a queue again, so many seconds after it was deleted.
CREATE_AGAIN = """
import time
from moto.sqs.models import SQSBackend
from moto.core.exceptions import ServiceException
clock = 0
time.monotonic = lambda: clock
queues = SQSBackend("us-east-1", "123456789012")
queues.create_queue("name")
queues.delete_queue("name")
for clock in (0, 59, 60):
    try:
        queues.create_queue("name")
        print(clock, "accepted", end=";")
    except ServiceException as error:
        print(clock, error.code, end=";")
"""


class Sqs(Correction):
    def test_the_name_of_a_deleted_queue_is_not_free_at_once(self):
        def probe(moto):
            name = moto.name()
            url = moto.sqs.create_queue(QueueName=name)["QueueUrl"]
            same = refusal(moto.sqs.create_queue, QueueName=name)
            moto.sqs.delete_queue(QueueUrl=url)
            other = refusal(moto.sqs.create_queue, QueueName=moto.name())
            return [same, other, refusal(moto.sqs.create_queue, QueueName=name)]

        accepted = ("accepted", "")
        self.check(probe, moto=[accepted] * 3, aws=[accepted, accepted, REFUSED])

    def test_the_name_of_a_deleted_queue_is_free_after_a_minute(self):
        self.check_program(
            "from corrections import sqs; sqs.correct()",
            CREATE_AGAIN,
            moto="0 accepted;59 accepted;60 accepted;",
            aws="0 QueueDeletedRecently;59 QueueDeletedRecently;60 accepted;",
        )

    def test_an_update_of_a_stack_changes_the_encryption_of_a_queue(self):
        def probe(moto, properties, changed):
            name = moto.name()
            named = {"QueueName": name, **properties}
            moto.updated({"Type": "AWS::SQS::Queue", "Properties": named}, changed)
            url = moto.sqs.get_queue_url(QueueName=name)["QueueUrl"]
            attributes = moto.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
            return attributes["Attributes"].get("KmsMasterKeyId")

        with_key, without = {"KmsMasterKeyId": "k"}, {"KmsMasterKeyId": None}
        self.check(lambda moto: probe(moto, without, with_key), moto=None, aws="k")
        self.check(lambda moto: probe(moto, with_key, without), moto="k", aws=None)

    def test_a_stack_gives_a_queue_its_policy(self):
        def probe(moto):
            name = moto.name()
            url = moto.sqs.create_queue(QueueName=name)["QueueUrl"]
            policy = {"Version": "2012-10-17", "Statement": [{"Sid": "Own", "Effect": "Deny"}]}
            properties = {"Queues": [url], "PolicyDocument": policy}
            moto.stack({"P": {"Type": "AWS::SQS::QueuePolicy", "Properties": properties}})
            asked = moto.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
            return "Own" in asked.get("Attributes", {}).get("Policy", "")

        self.check(probe, moto=False, aws=True)
