"""Each correction of CloudWatch is needed, and works."""

from datetime import UTC, datetime, timedelta

import botocore.session
from botocore.config import Config
from botocore.parsers import ResponseParserError

from harness import ACCESS_KEY_ID, Correction, corrected, refusal

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
                return refusal(call, MetricDataQueries=[], StartTime=NOW, EndTime=before)
            except ResponseParserError:
                return "not in CBOR"

        error = ("ValidationError", "The parameter EndTime must be greater than StartTime.")
        self.check(probe, moto="not in CBOR", aws=error)

    def test_a_new_alarm_was_not_evaluated(self):
        def probe(moto):
            name = moto.name()
            moto.metrics.put_metric_alarm(AlarmName=name, **ALARM)
            return moto.metrics.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"]

        self.check(probe, moto="OK", aws="INSUFFICIENT_DATA")

    def test_an_alarm_keeps_its_state_when_it_is_changed(self):
        def probe(moto):
            name = moto.name()
            moto.metrics.put_metric_alarm(AlarmName=name, **ALARM)
            state = {"StateValue": "ALARM", "StateReason": "a test"}
            moto.metrics.set_alarm_state(AlarmName=name, **state)
            moto.metrics.put_metric_alarm(AlarmName=name, **{**ALARM, "Threshold": 2})
            alarm = moto.metrics.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]
            return alarm["StateValue"], alarm["StateReason"], alarm["Threshold"]

        initial = "Unchecked: Initial alarm creation"
        self.check(probe, moto=("OK", initial, 2.0), aws=("ALARM", "a test", 2.0))

    def test_a_stack_changes_and_deletes_its_alarms(self):
        def probe(moto):
            alarm = {"Type": "AWS::CloudWatch::Alarm", "Properties": ALARM}
            stack = moto.updated(alarm, {"Threshold": "3", "AlarmActions": ["arn:aws:sns:::t"]})
            named = f"{stack}-R-"
            found = moto.metrics.describe_alarms(AlarmNamePrefix=named)["MetricAlarms"]
            moto.stacks.delete_stack(StackName=stack)
            left = moto.metrics.describe_alarms(AlarmNamePrefix=named)["MetricAlarms"]
            return [(each["Threshold"], each["AlarmActions"]) for each in found], left

        self.check(probe, moto=([], []), aws=([(3.0, ["arn:aws:sns:::t"])], []))

    def test_get_metric_data_reads_one_metric(self):
        def probe(moto):
            name = moto.name()
            for namespace, dimensions, value in (
                ("One", ["f"], 1),
                ("One", [], 10),
                ("Two", ["f"], 100),
            ):
                self.put(moto, namespace, name, dimensions, Value=value)
            asked = (("One", ["f"]), ("One", []), ("One", ["g"]))
            return [self.get(moto, *metric[:1], name, metric[1], "Sum") for metric in asked]

        # Moto takes the names of metrics for those of every namespace, if there are dimensions.
        self.check(probe, moto=[[101.0], [11.0], []], aws=[[1.0], [10.0], []])

    def test_values_of_a_minute_are_kept_as_their_statistics(self):
        def probe(moto):
            name = moto.name()
            for value in (3, 1):
                self.put(moto, "One", name, ["f"], Value=value)
            values = [6, 2]
            self.put(moto, "One", name, ["f"], Values=values, Counts=[1, 2])
            listed = moto.metrics.list_metrics(Namespace="One", MetricName=name)["Metrics"]
            statistics = ("Sum", "SampleCount", "Minimum", "Maximum", "Average")
            return len(listed), [
                self.get(moto, "One", name, ["f"], statistic)[0] for statistic in statistics
            ]

        expected = (1, [14.0, 5.0, 1.0, 6.0, 2.8])
        self.assertEqual(probe(corrected()), expected)

    def test_periods_begin_with_a_minute(self):
        def probe(moto):
            name = moto.name()
            for minutes in (1, 2, 6):
                time = NOW - timedelta(minutes=minutes)
                self.put(moto, "One", name, ["f"], Value=minutes, Timestamp=time)
            start = NOW - timedelta(minutes=6) + timedelta(seconds=30)
            answer = moto.metrics.get_metric_data(
                MetricDataQueries=[self.query("One", name, ["f"], "Sum", 300)],
                StartTime=start,
                EndTime=NOW,
            )["MetricDataResults"][0]
            ages = [(NOW - time).total_seconds() / 60 for time in answer["Timestamps"]]
            return ages, answer["Values"]

        # The newest comes first.
        self.check(probe, moto=([5.5], [3.0]), aws=([1, 6], [1.0, 8.0]))

    def put(self, moto, namespace, name, dimensions, **data):
        dimensions = [{"Name": "FunctionName", "Value": value} for value in dimensions]
        data = {"MetricName": name, "Dimensions": dimensions, "Timestamp": NOW, **data}
        moto.metrics.put_metric_data(Namespace=namespace, MetricData=[data])

    def query(self, namespace, name, dimensions, statistic, period):
        dimensions = [{"Name": "FunctionName", "Value": value} for value in dimensions]
        metric = {"Namespace": namespace, "MetricName": name, "Dimensions": dimensions}
        return {"Id": "q", "MetricStat": {"Metric": metric, "Period": period, "Stat": statistic}}

    def get(self, moto, namespace, name, dimensions, statistic):
        """The values in the five minutes around now."""
        return moto.metrics.get_metric_data(
            MetricDataQueries=[self.query(namespace, name, dimensions, statistic, 300)],
            StartTime=NOW - timedelta(minutes=2),
            EndTime=NOW + timedelta(minutes=3),
        )["MetricDataResults"][0]["Values"]

    def test_a_stack_has_alarms(self):
        def probe(moto):
            name = moto.name()
            properties = {"AlarmName": name, **ALARM, "Period": "60", "AlarmActions": ["arn:topic"]}
            moto.stack({"A": {"Type": "AWS::CloudWatch::Alarm", "Properties": properties}})
            alarms = moto.metrics.describe_alarms(AlarmNames=[name])["MetricAlarms"]
            return [[alarm["Period"], alarm["AlarmActions"]] for alarm in alarms]

        self.check(probe, moto=[], aws=[[60, ["arn:topic"]]])
