"""Corrections of CloudWatch."""

import json
import threading
from datetime import UTC, datetime, timedelta

from botocore.parsers import RpcV2CBORParser, create_parser
from botocore.serialize import RpcV2CBORSerializer
from moto.cloudwatch import urls
from moto.cloudwatch.models import (
    Alarm,
    CloudWatchBackend,
    MetricAggregatedDatum,
    Statistics,
    cloudwatch_backends,
)
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.common_models import CloudFormationModel
from moto.core.request import Request, normalize_request
from moto.core.utils import get_service_model, utcnow

import moto_api
from corrections.stack_resource import ResourceOfStack

TARGET = "GraniteServiceVersion20100801"
JSON = "application/x-amz-json-1.0"
# CloudWatch user guide, "Metrics retention": data points of a minute.
RETENTION = timedelta(days=15)
# More than a sandbox has. What comes when there are so many is dropped.
MINUTES_MAX = 500_000


def correct_protocol():
    """AWS: SDKs may speak the RPC v2 protocol with CBOR. Moto knows JSON, so it is asked in JSON.

    https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html
    """

    def answer(request, full_url, headers):
        request = normalize_request(request)
        name = request.path.rsplit("/", 1)[-1]
        operation = get_service_model("cloudwatch").operation_model(name)
        asked = RpcV2CBORParser()._initial_body_parse(request.data) or {}
        in_json = Request.from_primitives(
            "POST",
            request.url_root,
            {
                "Authorization": request.headers["Authorization"],
                "X-Amz-Target": f"{TARGET}.{name}",
                "Content-Type": JSON,
            },
            # All that JSON does not know: times.
            json.dumps(asked, default=lambda time: time.timestamp()),
        )
        status, headers, body = CloudWatchResponse.dispatch(in_json, in_json.url, in_json.headers)
        content = json.loads(body or "{}")
        if status < 400:
            content = in_cbor(content, operation.output_shape)
        else:
            content = error_in_cbor(content["__type"], content.get("Message", ""))
        kept = {
            name: value for name, value in headers.items() if name.lower() == "x-amzn-query-error"
        }
        return (
            status,
            {**kept, "Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"},
            content,
        )

    urls.url_paths[f"{{0}}/service/{TARGET}/operation/(?P<operation>[^/]+)$"] = answer


def in_cbor(content, shape):
    """The output of an operation, which is given as it is in JSON."""
    if shape is None:
        return b"\xa0"
    parsed = create_parser("json")._parse_shape(shape, content)
    return RpcV2CBORSerializer()._serialize_body_params(parsed, shape)


def error_in_cbor(code, message):
    encoded = bytearray(b"\xa2")
    for text in ("__type", code, "message", message):
        RpcV2CBORSerializer()._serialize_type_string(encoded, text, None, None)
    return bytes(encoded)


def correct_states():
    """AWS: an alarm has no data until it was evaluated, and keeps its state when it is changed."""
    initialize, put = Alarm.__init__, CloudWatchBackend.put_metric_alarm

    def initialize_without_data(self, *args, **kwargs):
        initialize(self, *args, **kwargs)
        self.state_value = "INSUFFICIENT_DATA"

    def put_and_keep_state(self, name, *args, **kwargs):
        before = self.alarms.get(name)
        alarm = put(self, name, *args, **kwargs)
        if before is not None:
            for member in ("value", "reason", "reason_data", "updated_timestamp"):
                setattr(alarm, f"state_{member}", getattr(before, f"state_{member}"))
        return alarm

    Alarm.__init__ = initialize_without_data
    CloudWatchBackend.put_metric_alarm = put_and_keep_state


class AlarmOfStack(ResourceOfStack, CloudFormationModel):
    """AWS: CloudFormation creates AWS::CloudWatch::Alarm. Moto ignores this type."""

    __module__ = "moto.cloudwatch.models"

    @staticmethod
    def cloudformation_name_type():
        return "AlarmName"

    @staticmethod
    def cloudformation_type():
        return "AWS::CloudWatch::Alarm"

    @classmethod
    def has_cfn_attr(cls, attr):
        return attr == "Arn"

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name, cloudformation_json, account_id, region_name, **kwargs
    ):
        properties = cloudformation_json["Properties"]

        def number(name, kind):
            return kind(properties[name]) if name in properties else None

        cloudwatch_backends[account_id][region_name].put_metric_alarm(
            name=resource_name,
            description=properties.get("AlarmDescription"),
            namespace=properties.get("Namespace"),
            metric_name=properties.get("MetricName"),
            dimensions=properties.get("Dimensions", []),
            statistic=properties.get("Statistic"),
            period=number("Period", int),
            evaluation_periods=number("EvaluationPeriods", int),
            datapoints_to_alarm=number("DatapointsToAlarm", int),
            threshold=number("Threshold", float),
            comparison_operator=properties["ComparisonOperator"],
            treat_missing_data=properties.get("TreatMissingData"),
            alarm_actions=properties.get("AlarmActions", []),
            ok_actions=properties.get("OKActions", []),
        )
        return cls(resource_name)

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name, cloudformation_json, account_id, region_name
    ):
        cloudwatch_backends[account_id][region_name].alarms.pop(resource_name, None)


def dimensions_of(dimensions):
    return tuple(sorted((each.name, each.value) for each in dimensions))


def correct_metric_data():
    """AWS: metrics are kept as the statistics of each minute, for 15 days.

    GetMetricData reads the metric that has exactly these dimensions, in this namespace. Its
    periods begin with a minute. Moto keeps every value for ever. It ignores the namespace, or the
    dimensions if the query has none.
    """
    put, get = CloudWatchBackend.put_metric_data, CloudWatchBackend.get_metric_data
    lock = threading.Lock()

    def put_metric_data(self, namespace, metric_data):
        # It checks the data, and others may be reading those that are kept.
        added = CloudWatchBackend(self.region_name, self.account_id)
        put(added, namespace, metric_data)
        with lock:
            for datum in added.metric_data:
                keep(self, minute_of(datum))

    def keep(self, datum):
        """Adds a minute to those that are kept."""
        minutes = self.__dict__.setdefault("minutes", {})
        dimensions = dimensions_of(datum.dimensions)
        key = (datum.namespace, datum.name, dimensions, datum.unit, datum.timestamp)
        same = minutes.get(key)
        if same is not None:
            same.min, same.max = min(same.min, datum.min), max(same.max, datum.max)
            same.sum += datum.sum
            same.sample_count += datum.sample_count
            return
        if len(minutes) >= MINUTES_MAX:
            expired = utcnow() - RETENTION
            for old in [old for old in minutes if old[-1] < expired]:
                del minutes[old]
            self.metric_data = list(minutes.values())
        if len(minutes) < MINUTES_MAX:
            minutes[key] = datum
            self.metric_data.append(datum)

    def get_metric_data(self, queries, start_time, end_time, scan_by="TimestampAscending"):
        start = start_time.replace(second=0, microsecond=0)
        # It checks the times, and knows expressions.
        results = get(self, queries, start, end_time, scan_by)
        by_id = {query["Id"]: query["MetricStat"] for query in queries if "MetricStat" in query}
        for result in results:
            if result["id"] in by_id:
                points = points_of(self, by_id[result["id"]], start, end_time)
                if scan_by == "TimestampDescending":
                    points.reverse()
                result["timestamps"] = [time for time, _ in points]
                result["values"] = [value for _, value in points]
        return results

    CloudWatchBackend.put_metric_data = put_metric_data
    CloudWatchBackend.get_metric_data = get_metric_data


def minute_of(datum):
    """A value, or statistics, as the statistics of their minute."""
    if isinstance(datum, MetricAggregatedDatum):
        statistics = (datum.min, datum.max, datum.sample_count, datum.sum)
    else:
        statistics = (datum.value, datum.value, 1, datum.value)
    dimensions = [{"Name": each.name, "Value": each.value} for each in datum.dimensions]
    minute = datum.timestamp.replace(second=0, microsecond=0)
    return MetricAggregatedDatum(
        datum.namespace, datum.name, *statistics, dimensions, minute, datum.unit
    )


def points_of(backend, wanted, start, end):
    """The times at which periods begin that have data, and the statistic of each."""
    metric, period = wanted["Metric"], timedelta(seconds=int(wanted["Period"]))
    dimensions = tuple(
        sorted((each["Name"], each["Value"]) for each in metric.get("Dimensions", []))
    )
    periods = {}
    for datum in backend.get_all_metrics():
        if (
            (datum.namespace, datum.name) == (metric["Namespace"], metric["MetricName"])
            and dimensions_of(datum.dimensions) == dimensions
            and wanted.get("Unit") in (None, datum.unit)
            and start <= datum.timestamp < end
        ):
            periods.setdefault((datum.timestamp - start) // period, []).append(datum)
    points = []
    for number in sorted(periods):
        statistics = Statistics([wanted["Stat"]], start + number * period)
        statistics.metric_data = periods[number]
        points.append((statistics.timestamp, statistics.get_statistics_for_type(wanted["Stat"])))
    return points


def serve_own_metrics():
    """Takes the metrics of functions from the sandbox."""

    def take(request, full_url, headers):
        told = json.loads(request.data)
        backend = cloudwatch_backends[DEFAULT_ACCOUNT_ID][told["region"]]
        for each in told["data"]:
            time = datetime.fromtimestamp(each.pop("Timestamp"), UTC).replace(tzinfo=None)
            backend.put_metric_data(each.pop("Namespace"), [{**each, "Timestamp": time}])
        return 200, {}, ""

    moto_api.serve("metrics", take)


def correct():
    correct_protocol()
    correct_metric_data()
    serve_own_metrics()
    correct_states()
