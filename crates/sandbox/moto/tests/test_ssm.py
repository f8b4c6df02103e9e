"""Each correction of Systems Manager is needed, and works."""

import json

from harness import HANDLER, Correction, refusal


class SystemsManager(Correction):
    def test_the_content_of_a_document_of_a_stack_is_json(self):
        def probe(moto):
            name = moto.name()
            properties = {
                "Name": name,
                "DocumentType": "Command",
                "DocumentFormat": "JSON",
                "Content": {"schemaVersion": "2.2", "description": "d", "mainSteps": []},
            }
            moto.stack({"D": {"Type": "AWS::SSM::Document", "Properties": properties}})
            content = moto.ssm.get_document(Name=name)["Content"]
            try:
                return json.loads(content)["schemaVersion"]
            except ValueError:
                return "not JSON"

        self.check(probe, moto="not JSON", aws="2.2")

    def test_a_second_document_of_a_name_is_refused_by_its_name(self):
        content = {"schemaVersion": "2.2", "description": "d", "mainSteps": []}

        def probe(moto):
            name = moto.name()
            document = {"Name": name, "DocumentType": "Command", "DocumentFormat": "JSON"}
            as_text = {**document, "Content": json.dumps(content)}
            moto.ssm.create_document(**as_text)
            properties = {**document, "Content": content}
            resource = {"Type": "AWS::SSM::Document", "Properties": properties}
            code, message = refusal(moto.ssm.create_document, **as_text)
            told = [message, moto.failure({"D": resource})]
            return [code, *(text.replace(name, "NAME") for text in told)]

        code, words = "DocumentAlreadyExists", "Document with same name NAME already exists"
        self.check(
            probe,
            moto=[code, *["The specified document already exists."] * 2],
            aws=[code, words, f"{HANDLER}{code}: {words}"],
        )

    def test_an_update_of_a_stack_adds_a_version_to_a_document(self):
        def probe(moto):
            name = moto.name()
            for operation, word in [
                (moto.stacks.create_stack, "one"),
                (moto.stacks.update_stack, "two"),
            ]:
                content = {"schemaVersion": "2.2", "description": word, "mainSteps": []}
                properties = {
                    "Name": name,
                    "DocumentType": "Command",
                    "DocumentFormat": "JSON",
                    "UpdateMethod": "NewVersion",
                    "Content": json.dumps(content),
                }
                resources = {"D": {"Type": "AWS::SSM::Document", "Properties": properties}}
                operation(StackName=name, TemplateBody=json.dumps({"Resources": resources}))
            document = moto.ssm.describe_document(Name=name)["Document"]
            return [document["LatestVersion"], document["DefaultVersion"]]

        # Moto deletes the document and creates it again.
        self.check(probe, moto=["1", "1"], aws=["2", "1"])
