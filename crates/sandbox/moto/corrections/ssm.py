"""Corrections of Systems Manager. The sandbox has its own Run Command and does not use moto's."""

import json

from moto.ssm.exceptions import DocumentAlreadyExists
from moto.ssm.models import Document, SimpleSystemManagerBackend, ssm_backends


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


def correct_updates_of_documents():
    """AWS: an update of a stack adds a version to a document with the UpdateMethod NewVersion.

    AWS documents that this version becomes the default one. There is a report that it does not
    always, so here it never does.
    """
    replace = Document.update_from_cloudformation_json.__func__

    def update(
        cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name
    ):
        properties = cloudformation_json["Properties"]
        if (
            properties.get("UpdateMethod") != "NewVersion"
            or properties["Name"] != original_resource.name
        ):
            return replace(
                cls,
                original_resource,
                new_resource_name,
                cloudformation_json,
                account_id,
                region_name,
            )
        backend = ssm_backends[account_id][region_name]
        documents = backend._get_documents(properties["Name"])
        content = properties["Content"]
        if isinstance(content, dict):
            content = json.dumps(content)
        if documents.get_latest_version().content == content:
            return documents.get_latest_version()
        backend.update_document(
            content=content,
            attachments=properties.get("Attachments"),
            name=properties["Name"],
            version_name=properties.get("VersionName"),
            document_version="$LATEST",
            document_format=properties.get("DocumentFormat", "JSON"),
            target_type=properties.get("TargetType"),
        )
        return documents.get_latest_version()

    Document.update_from_cloudformation_json = classmethod(update)


def correct():
    correct_documents_of_stacks()
    correct_second_documents()
    correct_updates_of_documents()
