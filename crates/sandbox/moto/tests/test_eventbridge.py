"""Each correction of EventBridge is needed, and works."""

import json

from harness import HANDLER, Correction, code


class EventBridge(Correction):
    def test_a_pattern_can_be_tested(self):
        def probe(moto):
            event = json.dumps({"source": "aws.ssm", "detail": {"status": "Success"}})
            results = []
            for pattern in ({"source": ["aws.ssm"]}, {"detail": {"status": ["Failed"]}}):
                try:
                    answer = moto.events.test_event_pattern(
                        EventPattern=json.dumps(pattern), Event=event
                    )
                    results.append(answer.get("Result"))
                except Exception:
                    results.append(None)
            return results

        self.check(probe, moto=[None, None], aws=[True, False])

    def test_a_pattern_has_at_most_2048_characters(self):
        def pattern(characters):
            frame = len(json.dumps({"source": [""]}))
            return {"source": ["x" * (characters - frame)]}

        def probe(moto):
            refusals = []
            for characters in (2048, 2049):
                text = json.dumps(pattern(characters))
                put = code(moto.events.put_rule, Name=moto.name(), EventPattern=text)
                properties = {"EventPattern": pattern(characters)}
                rule = {"Type": "AWS::Events::Rule", "Properties": properties}
                refusals.append((put, moto.failure({"R": rule})))
            return refusals

        accepted = ("accepted", None)
        refused = "LimitExceededException"
        words = "The requested resource exceeds the maximum number allowed."
        self.check(
            probe,
            moto=[accepted, accepted],
            aws=[accepted, (refused, f"{HANDLER}{refused}: {words}")],
        )
