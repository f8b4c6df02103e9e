"""Each correction of SQS is needed, and works."""

from harness import Correction


class Sqs(Correction):
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
