"""Corrections of moto where it differs from AWS in what this project depends on.

One module for each AWS service, three for CloudFormation and two for IAM. Each function
`correct_...` says what AWS does. The tests in ../tests show that moto alone still differs: when one
fails, remove its correction.
"""

from corrections import (
    cloudformation,
    cloudformation_checks,
    cloudformation_updates,
    cloudwatch,
    eventbridge,
    iam,
    iam_simulation,
    lambda_,
    logs,
    s3,
    sqs,
    ssm,
    step_functions,
)


def correct_all():
    for service in (
        cloudformation,
        cloudformation_checks,
        cloudformation_updates,
        cloudwatch,
        eventbridge,
        iam,
        iam_simulation,
        lambda_,
        logs,
        s3,
        sqs,
        ssm,
        step_functions,
    ):
        service.correct()
