"""The S3 bucket of the functions' code and of the template."""

import json
import re
import tempfile

from aws_cli import AwsError, rights
from terminal import say, stop

# The objects of a deployment, below the stack's name. Only these are ever removed.
CODE = re.compile(r"(relay|sweep)-[0-9a-f]{32}\.zip|[0-9a-f]{32}\.template")
# The maximum of DeleteObjects.
REMOVED_AT_ONCE_MAX = 1000


def default_bucket(aws):
    """The name of the bucket that is made if none is given."""
    return f"run-command-relay-{aws.account}-{aws.region}"


def check_bucket(aws, bucket):
    """Stops unless the bucket is this account's, in this region, or can be made.

    Returns whether it is there.
    """
    default = bucket == default_bucket(aws)
    try:
        # Another account can have a bucket of any name, also of one that this account had before.
        location = _call(aws, bucket, "get-bucket-location")
    except AwsError as error:
        if default and error.code == "NoSuchBucket":
            return False
        # An empty BUCKET would be the stack's bucket again, if it has one.
        advice = f"To have one made: BUCKET={default_bucket(aws)}\n"
        stop(
            f"cannot use bucket {bucket}: expected a bucket of account {aws.account} that the "
            f"credentials can read, got: {error}\n"
            f"{'' if default else advice}"
            f"To use another: BUCKET=NAME{rights(error)}"
        )
    # S3 has other names for its oldest regions.
    region = location.get("LocationConstraint") or "us-east-1"
    region = {"EU": "eu-west-1"}.get(region, region)
    if region != aws.region:
        stop(
            f"cannot use bucket {bucket}: expected a bucket in {aws.region}, because Lambda "
            f"reads code only from its own region, got one in {region}\n"
            f"To use another: BUCKET=NAME. To have one made: BUCKET={default_bucket(aws)}"
        )
    return True


def make_bucket(aws, bucket, there, tags):
    """Makes the bucket of the default name, unless it is there, and lets nobody else use it."""
    try:
        if not there:
            say(f"creating bucket {bucket} in {aws.region}")
            # The only region that S3 does not take here.
            place = (
                {}
                if aws.region == "us-east-1"
                else {"create_bucket_configuration": f"LocationConstraint={aws.region}"}
            )
            aws.read("s3api", "create-bucket", bucket=bucket, **place)
        elif _has_policy(aws, bucket):
            return
        _protect(aws, bucket, tags)
    except AwsError as error:
        stop(
            f"cannot make bucket {bucket} for the functions' code: {error}\n"
            f"To use one of yours: BUCKET=NAME{rights(error)}"
        )


def _has_policy(aws, bucket):
    """Whether the bucket is finished: its policy comes last."""
    try:
        _call(aws, bucket, "get-bucket-policy")
    except AwsError as error:
        if error.code != "NoSuchBucketPolicy":
            raise
        return False
    return True


def _protect(aws, bucket, tags):
    blocked = ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"]
    _call(
        aws,
        bucket,
        "put-public-access-block",
        public_access_block_configuration=json.dumps(dict.fromkeys(blocked, True)),
    )
    by_default = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    _call(
        aws,
        bucket,
        "put-bucket-encryption",
        server_side_encryption_configuration=json.dumps({"Rules": [by_default]}),
    )
    if tags:
        tag_set = [{"Key": key, "Value": value} for key, value in tags.items()]
        _call(aws, bucket, "put-bucket-tagging", tagging=json.dumps({"TagSet": tag_set}))
    arn = f"arn:{aws.partition}:s3:::{bucket}"
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    _call(aws, bucket, "put-bucket-policy", policy=json.dumps(policy))


def upload(aws, content, bucket, key):
    say(f"uploading s3://{bucket}/{key} ({len(content) / 1_000_000:.1f} MB)")
    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        file.write(content)
        file.flush()
        try:
            _call(aws, bucket, "put-object", key=key, body=file.name)
        except AwsError as error:
            stop(f"uploading s3://{bucket}/{key} failed: {error}{rights(error)}")


def remove_code(aws, bucket, stack):
    """Removes what deployments of the stack uploaded, and then a bucket of the default name."""
    try:
        count = _remove_objects(aws, bucket, stack)
        say(f"removed {count} objects of stack {stack} from bucket {bucket}")
        if bucket == default_bucket(aws):
            _remove_bucket(aws, bucket)
    except AwsError as error:
        if error.code == "NoSuchBucket":
            say(f"there is no bucket {bucket}, so no code to remove")
            return
        stop(
            f"cannot remove the code of stack {stack} from bucket {bucket}: {error}\n"
            f"To try again, repeat the command{rights(error)}"
        )


def _remove_objects(aws, bucket, stack):
    prefix = f"{stack}/"
    # The CLI reads all pages. A bucket without versions has the version null of each object.
    listed = _call(
        aws,
        bucket,
        "list-object-versions",
        prefix=prefix,
        query="[Versions, DeleteMarkers][].{Key: Key, VersionId: VersionId}",
    )
    objects = [each for each in listed or [] if CODE.fullmatch(each["Key"].removeprefix(prefix))]
    for start in range(0, len(objects), REMOVED_AT_ONCE_MAX):
        part = {"Objects": objects[start : start + REMOVED_AT_ONCE_MAX], "Quiet": True}
        # Too long for an argument of a process.
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(part, file)
            file.flush()
            answer = _call(aws, bucket, "delete-objects", delete=f"file://{file.name}")
        for problem in answer.get("Errors", []):
            raise AwsError(f"{problem.get('Key')}: {problem.get('Message')}")
    return len(objects)


def _remove_bucket(aws, bucket):
    try:
        _call(aws, bucket, "delete-bucket")
    except AwsError as error:
        if error.code != "BucketNotEmpty":
            raise
        say(f"bucket {bucket} stays: it holds other objects")
    else:
        say(f"removed bucket {bucket}")


def _call(aws, bucket, operation, **options):
    """A call that fails if the bucket belongs to another account."""
    return aws.read("s3api", operation, bucket=bucket, expected_bucket_owner=aws.account, **options)
