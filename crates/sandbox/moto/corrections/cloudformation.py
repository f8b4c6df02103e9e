"""Corrections of CloudFormation. Those of a resource type are in the module of its service."""

from moto.cloudformation import responses as stack_responses
from moto.cloudformation.models import ChangeSet, Stack
from moto.cloudformation.parsing import ResourceMap


def correct_list_defaults():
    """AWS: the default of a list parameter is split at its commas, as a passed value is."""
    load_parameters = ResourceMap.load_parameters

    def load_and_split(self):
        load_parameters(self)
        for name, parameter in self._template.get("Parameters", {}).items():
            kind = parameter.get("Type", "String")
            value = self.resolved_parameters.get(name)
            if isinstance(value, str) and (
                kind == "CommaDelimitedList" or kind.startswith("List<")
            ):
                self.resolved_parameters[name] = value.split(",")
        self._parsed_resources.update(self.resolved_parameters)

    ResourceMap.load_parameters = load_and_split


def correct_parameters_of_stacks():
    """AWS: the value of a parameter is text, both in DescribeStacks and when it is used again."""

    def text(value):
        return ",".join(map(str, value)) if isinstance(value, list) else str(value)

    def texts(self):
        values = self.resource_map.resolved_parameters
        return {name: text(value) for name, value in values.items()}

    def described(self):
        return [
            {"ParameterKey": name, "ParameterValue": value} for name, value in texts(self).items()
        ]

    Stack.stack_parameters = property(texts)
    Stack.parameter_list = property(described)


def correct_template_urls():
    """AWS: the URL of a template may have its bucket in the path."""
    get_template = stack_responses.get_stack_from_s3_url

    def get_template_by_path(template_url, **account):
        # Moto looks for the bucket in the path only if the host has this name.
        return get_template(template_url.replace("//127.0.0.1", "//localhost", 1), **account)

    stack_responses.get_stack_from_s3_url = get_template_by_path


def correct_change_sets():
    """AWS: a stack has the parameters and outputs of its last executed change set."""
    apply = ChangeSet.apply

    def apply_all(self):
        apply(self)
        stack = self.stack
        stack.template_dict = self.template_dict
        stack.parameters = stack.resource_map.input_parameters = stack.stack_parameters
        stack.output_map = stack._create_output_map()

    ChangeSet.apply = apply_all


def correct():
    correct_list_defaults()
    correct_parameters_of_stacks()
    correct_template_urls()
    correct_change_sets()
