"""Calls are authorized for the resources that they name."""

import functools
import unittest

from botocore.credentials import Credentials

from harness import corrected


class Authorization(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.moto = corrected()

    def waiting(self):
        """The ARN of a state machine, and a token that belongs to it."""
        task, token = self.moto.waiting_task()
        execution = self.moto.execution({"Wait": task})
        return execution.replace(":execution:", ":stateMachine:").rpartition(":")[0], token()

    def test_a_token_belongs_to_its_state_machine(self):
        machine, token = self.waiting()
        _, other_token = self.waiting()
        role = self.moto.assumed_role({"states:SendTaskSuccess": machine})
        for action, arguments, expected in (
            ("states:SendTaskSuccess", {"taskToken": token}, "allowed"),
            ("states:SendTaskSuccess", {"taskToken": other_token}, "AccessDeniedException"),
            ("states:SendTaskFailure", {"taskToken": token}, "AccessDeniedException"),
        ):
            self.assertEqual(self.moto.decision(role, action, arguments), expected, action)

    def test_a_command_needs_its_document_and_each_of_its_nodes(self):
        role = self.moto.assumed_role(
            {
                "ssm:SendCommand": [
                    "arn:aws:ssm:us-east-1:123456789012:document/Own",
                    "arn:aws:ec2:us-east-1:123456789012:instance/i-1",
                ]
            }
        )
        for document, nodes, expected in (
            ("Own", ["i-1"], "allowed"),
            ("Own", ["i-1", "i-2"], "AccessDeniedException"),
            ("Own", [], "AccessDeniedException"),
            ("AWS-RunShellScript", ["i-1"], "AccessDeniedException"),
        ):
            arguments = {"DocumentName": document, "InstanceIds": nodes}
            decision = self.moto.decision(role, "ssm:SendCommand", arguments)
            self.assertEqual(decision, expected, arguments)

    def test_a_signature_is_checked(self):
        role = self.moto.assumed_role({"ssm:ListCommands": "*"})
        check = functools.partial(
            self.moto.decision, action="ssm:ListCommands", signed={"MaxResults": 5}
        )
        self.assertEqual(check(role), "allowed")
        self.assertEqual(check(role, sent={"MaxResults": 6}), "InvalidSignatureException")
        stranger = Credentials("ASIAEXAMPLEEXAMPLE12", "secret", "token")
        self.assertEqual(check(stranger), "UnrecognizedClientException")
