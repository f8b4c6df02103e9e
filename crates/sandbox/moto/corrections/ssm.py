"""Corrections of Systems Manager. The sandbox has its own Run Command and does not use moto's."""

import json

from moto.ssm.exceptions import DocumentAlreadyExists
from moto.ssm.models import Document, SimpleSystemManagerBackend


def correct_documents_of_stacks():
    """AWS: the content of a document that CloudFormation created from an object is JSON text."""
    initialize = Document.__init__

    def initialize_from_text(self, *args, **kwargs):
        content = kwargs.get("content")
        if isinstance(content, dict):
            kwargs["content"] = json.dumps(content)
        initialize(self, *args, **kwargs)

    Document.__init__ = initialize_from_text


def correct_second_documents():
    """AWS: the error of a second document of a name says the name."""
    create_document = SimpleSystemManagerBackend.create_document

    def create_first_document(self, *args, name, **kwargs):
        if self._documents.get(name):
            raise DocumentAlreadyExists(f"Document with same name {name} already exists")
        return create_document(self, *args, name=name, **kwargs)

    SimpleSystemManagerBackend.create_document = create_first_document


def correct():
    correct_documents_of_stacks()
    correct_second_documents()
