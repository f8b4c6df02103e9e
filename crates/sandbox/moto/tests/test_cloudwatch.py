"""Each correction of CloudWatch is needed, and works."""

from datetime import UTC, datetime, timedelta

import botocore.session
from botocore.config import Config
from botocore.parsers import ResponseParserError

from harness import ACCESS_KEY_ID, Correction, code

NOW = datetime.now(UTC).replace(second=0, microsecond=0)
ALARM = {
    "Namespace": "Test",
    "MetricName": "Failed",
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 0.5,
    "ComparisonOperator": "GreaterThanThreshold",
}


def speaking_cbor(moto):
    """A client that speaks as the SDK for Rust does."""
    session = botocore.session.Session()
    model = session.get_component("data_loader").load_service_model("cloudwatch", "service-2")
    model["metadata"]["protocols"] = ["smithy-rpc-v2-cbor"]
    return session.create_client(
        "cloudwatch",
        region_name="us-east-1",
        endpoint_url=moto.endpoint,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )


class CloudWatch(Correction):
    def test_calls_may_be_in_cbor(self):
        def probe(moto):
            name = moto.name()
            moto.metrics.put_metric_alarm(AlarmName=name, **ALARM)
            try:
                answer = speaking_cbor(moto).describe_alarms(AlarmNames=[name])
            except ResponseParserError:
                return "not in CBOR"
            alarm = answer["MetricAlarms"][0]
            in_json = moto.metrics.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]
            return alarm == in_json and isinstance(alarm["StateUpdatedTimestamp"], datetime)

        self.check(probe, moto="not in CBOR", aws=True)

    def test_errors_are_in_cbor_too(self):
        def probe(moto):
            call = speaking_cbor(moto).get_metric_data
            before = NOW - timedelta(minutes=5)
            try:
                return code(call, MetricDataQueries=[], StartTime=NOW, EndTime=before)
            except ResponseParserError:
                return "not in CBOR"

        self.check(probe, moto="not in CBOR", aws="ValidationError")

    def test_a_new_alarm_was_not_evaluated(self):
        def probe(moto):
            name = moto.name()
            moto.metrics.put_metric_alarm(AlarmName=name, **ALARM)
            return moto.metrics.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"]

        self.check(probe, moto="OK", aws="INSUFFICIENT_DATA")
