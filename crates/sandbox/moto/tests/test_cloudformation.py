"""Each correction of CloudFormation is needed, and works."""

import json
from functools import partial

from harness import Correction, code


class CloudFormation(Correction):
    def test_the_default_of_a_list_parameter_is_a_list(self):
        def probe(moto):
            outputs = moto.stack(
                {"Q": {"Type": "AWS::SQS::Queue"}},
                Parameters={"Names": {"Type": "CommaDelimitedList", "Default": "a,b"}},
                Outputs={"Second": {"Value": {"Fn::Select": [1, {"Ref": "Names"}]}}},
            )
            return outputs["Second"]

        self.check(probe, moto=",", aws="b")

    def test_the_value_of_a_list_parameter_is_text(self):
        def probe(moto):
            name = moto.name()
            template = {
                "Parameters": {"Names": {"Type": "CommaDelimitedList"}},
                "Resources": {"Q": {"Type": "AWS::SQS::Queue"}},
            }
            moto.stacks.create_stack(
                StackName=name,
                TemplateBody=json.dumps(template),
                Parameters=[{"ParameterKey": "Names", "ParameterValue": "a,b"}],
            )
            stack = moto.stacks.describe_stacks(StackName=name)["Stacks"][0]
            return stack["Parameters"][0]["ParameterValue"]

        self.check(probe, moto="['a', 'b']", aws="a,b")

    def test_a_template_is_read_from_the_bucket_in_the_path_of_its_url(self):
        def probe(moto):
            bucket = moto.name()
            template = json.dumps({"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}})
            moto.buckets.create_bucket(Bucket=bucket)
            moto.buckets.put_object(Bucket=bucket, Key="template", Body=template.encode())
            url = f"{moto.endpoint}/{bucket}/template"
            return code(partial(moto.stacks.create_stack, StackName=moto.name(), TemplateURL=url))

        self.check(probe, moto="NoSuchBucket", aws="accepted")

    def test_a_stack_has_the_outputs_of_its_change_set(self):
        def probe(moto):
            name = moto.name()
            template = {
                "Resources": {"Q": {"Type": "AWS::SQS::Queue"}},
                "Outputs": {"Word": {"Value": "hello"}},
            }
            moto.stacks.create_change_set(
                StackName=name,
                ChangeSetName=name,
                ChangeSetType="CREATE",
                TemplateBody=json.dumps(template),
            )
            moto.stacks.execute_change_set(StackName=name, ChangeSetName=name)
            stack = moto.stacks.describe_stacks(StackName=name)["Stacks"][0]
            return [output["OutputValue"] for output in stack.get("Outputs", [])]

        self.check(probe, moto=[], aws=["hello"])
