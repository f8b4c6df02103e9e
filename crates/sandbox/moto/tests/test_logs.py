"""Each correction of CloudWatch Logs is needed, and works."""

import json
from functools import partial

from harness import Correction, code


def key(moto, *statements):
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    return moto.keys.create_key(Policy=policy)["KeyMetadata"]["Arn"]


def group(name):
    return f"arn:aws:logs:us-east-1:123456789012:log-group:{name}"


def statement(**changed):
    """What lets CloudWatch Logs use a key for the log groups of these tests."""
    actions = ("Encrypt", "Decrypt", "ReEncrypt*", "GenerateDataKey*", "Describe*")
    return {
        "Effect": "Allow",
        "Principal": {"Service": "logs.us-east-1.amazonaws.com"},
        "Action": [f"kms:{action}" for action in actions],
        "Resource": "*",
        "Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": group("test-*")}},
        **changed,
    }


class Logs(Correction):
    def check_key(self, make, aws):
        def probe(moto):
            create = partial(moto.logs.create_log_group, logGroupName=moto.name())
            return code(partial(create, kmsKeyId=make(moto)))

        self.check(probe, moto="accepted", aws=aws)

    def test_a_key_must_let_the_service_use_it_for_the_group(self):
        context = {"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": group("other")}}
        denied = "AccessDeniedException"
        for changed, aws in (
            ({}, "accepted"),
            ({"Principal": {"Service": "logs.eu-west-1.amazonaws.com"}}, denied),
            ({"Action": ["kms:Encrypt", "kms:Decrypt"]}, denied),
            ({"Condition": context}, denied),
        ):
            with self.subTest(changed):
                self.check_key(lambda moto, changed=changed: key(moto, statement(**changed)), aws)
        self.check_key(lambda moto: moto.keys.create_key()["KeyMetadata"]["Arn"], denied)

    def test_a_key_must_exist_in_the_region(self):
        arn = "arn:aws:kms:us-east-1:123456789012:key/none"
        self.check_key(lambda moto: arn, "AccessDeniedException")
        self.check_key(
            lambda moto: key(moto, statement()).replace("us-east-1", "eu-west-1"),
            "AccessDeniedException",
        )

    def test_a_stack_sets_and_changes_the_key_and_the_retention(self):
        def probe(moto):
            def created(update):
                name = moto.name()
                properties = {
                    "LogGroupName": name,
                    "RetentionInDays": 1,
                    "KmsKeyId": key(moto, statement()),
                }
                update({"Type": "AWS::Logs::LogGroup", "Properties": properties})
                (found,) = moto.logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
                return "kmsKeyId" in found, found["retentionInDays"]

            changed = {"RetentionInDays": 3, "KmsKeyId": None}
            return (
                created(lambda group: moto.stack({"G": group})),
                created(lambda group: moto.updated(group, changed)),
            )

        self.check(probe, moto=((False, 1), (False, 1)), aws=((True, 1), (False, 3)))
