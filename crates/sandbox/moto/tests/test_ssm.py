"""Each correction of Systems Manager is needed, and works."""

import json

from harness import Correction


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
