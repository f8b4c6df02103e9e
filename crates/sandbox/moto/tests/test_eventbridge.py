"""Each correction of EventBridge is needed, and works."""

import json

from harness import Correction


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
