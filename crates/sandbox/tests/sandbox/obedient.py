# A function that does what its event says, under the Lambda Runtime API. The first line, which
# names the Python, is added by the test.
import json
import os
import sys
import time
import urllib.request

API = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime"


def post(path, body):
    urllib.request.urlopen(f"{API}/{path}", data=json.dumps(body).encode()).read()


print("started", flush=True)
while True:
    with urllib.request.urlopen(f"{API}/invocation/next") as response:
        event, headers = json.load(response), response.headers
    request_id = headers["Lambda-Runtime-Aws-Request-Id"]
    print(f"event {event.get('detail-type')} {event.get('id')}", flush=True)
    match event.get("do", event.get("detail", {}).get("do")):
        case "fail":
            post(f"invocation/{request_id}/error", {"errorType": "Told", "errorMessage": "to fail"})
        case "exit":
            sys.exit(7)
        case "sleep":
            time.sleep(60)
        case "measure":
            metrics = [{"Name": "Measured", "Unit": "Count"}]
            directive = {"Namespace": "Own", "Dimensions": [["Stack"]], "Metrics": metrics}
            aws = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}
            print(json.dumps({"_aws": aws, "Stack": "s", "Measured": 7}), flush=True)
            post(f"invocation/{request_id}/response", {})
        case "environment":
            post(f"invocation/{request_id}/response", {"pid": os.getpid(), **os.environ})
        case "headers":
            lower = {name.lower(): value for name, value in headers.items()}
            post(f"invocation/{request_id}/response", lower)
        case _:
            post(f"invocation/{request_id}/response", {"echo": event})
