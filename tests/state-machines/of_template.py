"""Prints the definition of the template's only state machine, as it is in the partition aws."""

from pathlib import Path

from cfnlint.decode import decode

TEMPLATE = Path(__file__).parents[2] / "infra/template.yaml"


def main():
    template, problems = decode(str(TEMPLATE))
    assert not problems, problems
    resources = template["Resources"].values()
    machines = [each for each in resources if each["Type"] == "AWS::StepFunctions::StateMachine"]
    assert len(machines) == 1, machines
    definition = machines[0]["Properties"]["DefinitionString"]["Fn::Sub"]
    print(definition.replace("${AWS::Partition}", "aws"))


main()
