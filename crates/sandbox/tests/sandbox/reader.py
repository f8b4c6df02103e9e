# Assumes a role that may read some things of some names, asks for these and for others, and prints
# how each call ended.
import json
import sys

import botocore.session
from botocore.exceptions import ClientError

endpoint, key, secret = sys.argv[1:]
place = "us-east-1:123456789012"
mine = {
    "cloudformation:DescribeStacks": f"arn:aws:cloudformation:{place}:stack/mine/*",
    "cloudwatch:DescribeAlarms": f"arn:aws:cloudwatch:{place}:alarm:mine",
    "iam:GetRole": "arn:aws:iam::123456789012:role/mine",
    "lambda:GetFunction": f"arn:aws:lambda:{place}:function:mine",
    "s3:ListBucket": "arn:aws:s3:::mine",
    "sqs:GetQueueAttributes": f"arn:aws:sqs:{place}:mine",
    "ssm:DescribeDocument": f"arn:aws:ssm:{place}:document/mine",
}


def client(service, credentials, session=None):
    session = session or botocore.session.Session()
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    return session.create_client(
        service,
        region_name="us-east-1",
        endpoint_url=endpoint,
        **dict(zip(names, credentials, strict=False)),
    )


def in_cbor():
    session = botocore.session.Session()
    model = session.get_component("data_loader").load_service_model("cloudwatch", "service-2")
    model["metadata"]["protocols"] = ["smithy-rpc-v2-cbor"]
    return session


statements = [
    {"Effect": "Allow", "Action": action, "Resource": resource} for action, resource in mine.items()
]
owner = (key, secret)
iam = client("iam", owner)
role = iam.create_role(RoleName="reader", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
iam.put_role_policy(RoleName="reader", PolicyName="p", PolicyDocument=policy)
answer = client("sts", owner).assume_role(RoleArn=role, RoleSessionName="me")["Credentials"]
reader = (answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])

queue = "http://127.0.0.1/123456789012/{}"
calls = (
    ("DescribeStacks", client("cloudformation", reader).describe_stacks, "StackName", "{}"),
    ("DescribeAlarms", client("cloudwatch", reader).describe_alarms, "AlarmNames", ["{}"]),
    ("in CBOR", client("cloudwatch", reader, in_cbor()).describe_alarms, "AlarmNames", ["{}"]),
    ("GetRole", client("iam", reader).get_role, "RoleName", "{}"),
    ("GetFunction", client("lambda", reader).get_function, "FunctionName", "{}"),
    ("HeadBucket", client("s3", reader).head_bucket, "Bucket", "{}"),
    ("GetQueueAttributes", client("sqs", reader).get_queue_attributes, "QueueUrl", queue),
    ("DescribeDocument", client("ssm", reader).describe_document, "Name", "{}"),
)
for name, call, argument, value in calls:
    ends = []
    for whose in ("mine", "yours"):
        text = json.loads(json.dumps(value).replace("{}", whose))
        try:
            call(**{argument: text})
            ends.append("done")
        except ClientError as error:
            ends.append(error.response["Error"]["Code"])
    print(f"{name}: {', '.join(ends)}")
print(client("sts", reader).get_caller_identity()["Arn"])
try:
    client("ssm", (reader[0], "wrong", reader[2])).describe_document(Name="mine")
except ClientError as error:
    print(error.response["Error"]["Code"])
