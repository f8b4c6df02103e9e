"""Corrections of Systems Manager. The sandbox has its own Run Command and does not use moto's."""

import json

from moto.ssm.models import Document


def correct_documents_of_stacks():
    """AWS: the content of a document that CloudFormation created from an object is JSON text."""
    initialize = Document.__init__

    def initialize_from_text(self, *args, **kwargs):
        content = kwargs.get("content")
        if isinstance(content, dict):
            kwargs["content"] = json.dumps(content)
        initialize(self, *args, **kwargs)

    Document.__init__ = initialize_from_text


def correct():
    correct_documents_of_stacks()
