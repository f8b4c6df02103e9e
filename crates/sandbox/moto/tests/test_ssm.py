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
