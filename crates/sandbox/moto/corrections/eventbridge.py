"""Corrections of EventBridge."""

import json

from moto.events.models import EventPattern, EventPatternParser
from moto.events.responses import EventsHandler


def correct_test_event_pattern():
    """AWS: TestEventPattern returns whether a pattern matches an event."""

    def test_event_pattern(self):
        raw = self._get_param("EventPattern")
        event = json.loads(self._get_param("Event"))
        pattern = EventPattern(raw, EventPatternParser(raw).parse())
        return self._create_response({"Result": pattern.matches_event(event)})

    EventsHandler.test_event_pattern = test_event_pattern


def correct():
    correct_test_event_pattern()
