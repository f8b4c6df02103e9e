"""Starts moto, an emulator of AWS, with its differences from AWS corrected.

    python moto_launcher.py --port 5001

Environment: MOTO_PORT is the port of the sandbox, through which state machines call every service.
They use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. MOTO_LAMBDA_CONCURRENCY_QUOTA is Lambda's
limit of the account. Only requests that carry SANDBOX_SECRET are answered. DEMANDED_BOUNDARY, if it
is set, is the ARN of the boundary without which no role can be created. Standard output tells what
Step Functions does (history.py). Moto ends when its stdin closes, so that it never outlives the
sandbox.
"""

import argparse
import os
import sys
import threading

import moto.server
from moto.core.config import default_user_config

import authorization
import corrections
import door
import history
import moto_api

VARIABLES = (
    "MOTO_PORT",
    "MOTO_LAMBDA_CONCURRENCY_QUOTA",
    "SANDBOX_SECRET",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", required=True, help="port of moto, on 127.0.0.1")
    arguments = parser.parse_args()
    for name in VARIABLES:
        if name not in os.environ:
            parser.error(f"{name} is not set")
    prepare()
    history.tell()
    door.close(os.environ.pop("SANDBOX_SECRET"))
    end_with_stdin()
    moto.server.main(["-H", "127.0.0.1", "-p", arguments.port])


def prepare():
    """Turns moto into what the sandbox needs, except for its door."""
    moto_api.remove_all()
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    default_user_config["lambda"] = {"use_docker": False}
    corrections.correct_all()
    authorization.serve()
    moto_api.serve("ready", lambda request, full_url, headers: (200, {}, "{}"))


def end_with_stdin():
    """Ends this process when the process that started it ends, however that happens."""

    def wait():
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    main()
