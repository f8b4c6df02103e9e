"""Corrections of moto where it differs from AWS in what this project depends on.

One module for each AWS service. Each function `correct_...` says what AWS does. The tests in
../tests show that moto alone still differs: when one fails, remove its correction.
"""

from corrections import cloudformation, eventbridge, iam, lambda_, s3, sqs, ssm, step_functions


def correct_all():
    services = (cloudformation, eventbridge, iam, lambda_, s3, sqs, ssm, step_functions)
    for service in services:
        service.correct()
