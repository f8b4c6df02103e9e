"""Corrections of CloudWatch."""

import json

from botocore.parsers import RpcV2CBORParser, create_parser
from botocore.serialize import RpcV2CBORSerializer
from moto.cloudwatch import urls
from moto.cloudwatch.models import Alarm
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.request import Request, normalize_request
from moto.core.utils import get_service_model

TARGET = "GraniteServiceVersion20100801"
JSON = "application/x-amz-json-1.0"


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


def correct_first_states():
    """AWS: an alarm has no data until it was evaluated for the first time."""
    initialize = Alarm.__init__

    def initialize_without_data(self, *args, **kwargs):
        initialize(self, *args, **kwargs)
        self.state_value = "INSUFFICIENT_DATA"

    Alarm.__init__ = initialize_without_data


def correct():
    correct_protocol()
    correct_first_states()
