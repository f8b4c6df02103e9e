"""Corrections of EventBridge."""

import json

from moto.core.exceptions import ServiceException
from moto.events.models import EventPattern, EventPatternParser, EventsBackend
from moto.events.responses import EventsHandler

# Characters (EventBridge user guide, "Amazon EventBridge quotas", Event pattern size).
PATTERN_CHARACTERS_MAX = 2048


def correct_test_event_pattern():
    """AWS: TestEventPattern returns whether a pattern matches an event."""

    def test_event_pattern(self):
        raw = self._get_param("EventPattern")
        event = json.loads(self._get_param("Event"))
        pattern = EventPattern(raw, EventPatternParser(raw).parse())
        return self._create_response({"Result": pattern.matches_event(event)})

    EventsHandler.test_event_pattern = test_event_pattern


class PatternTooLong(ServiceException):
    """The error that PutRule documents for an exceeded quota, with its usual words.

    Which error AWS uses for this quota is not documented.
    """

    # Moto finds the service of an error by the module that defines it.
    __module__ = "moto.events.exceptions"
    code = "LimitExceededException"
    message = "The requested resource exceeds the maximum number allowed."


def correct_long_patterns():
    """AWS: PutRule refuses a pattern that is longer than the quota."""
    put_rule = EventsBackend.put_rule

    def put_rule_with_short_pattern(self, name, *args, event_pattern=None, **kwargs):
        if len(event_pattern or "") > PATTERN_CHARACTERS_MAX:
            raise PatternTooLong()
        return put_rule(self, name, *args, event_pattern=event_pattern, **kwargs)

    EventsBackend.put_rule = put_rule_with_short_pattern


def correct():
    correct_test_event_pattern()
    correct_long_patterns()
