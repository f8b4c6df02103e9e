"""Corrections of moto where it differs from AWS in what this project depends on.

One module for each AWS service. Each function `correct_...` says what AWS does. The tests in
../tests show that moto alone still differs: when one fails, remove its correction.
"""

from corrections import cloudformation, eventbridge, iam, lambda_, s3, ssm, step_functions


def correct_all():
    for service in (cloudformation, eventbridge, iam, lambda_, s3, ssm, step_functions):
        service.correct()
