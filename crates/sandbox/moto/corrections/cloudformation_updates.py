"""How CloudFormation creates and updates the resources of a stack."""

import re

from moto.cloudformation import parsing
from moto.cloudformation.parsing import ResourceMap


def correct_absent_elements():
    """AWS: an element of a list that is AWS::NoValue is left out, as a property is."""
    clean = parsing.clean_json

    def clean_and_leave_out(resource_json, resources_map):
        cleaned = clean(resource_json, resources_map)
        if isinstance(resource_json, list):
            return [value for value in cleaned if value is not None]
        return cleaned

    parsing.clean_json = clean_and_leave_out


def correct_updates():
    """AWS: an update creates, changes and deletes what differs with the new values and conditions.

    Moto compares the texts of the templates, and looks for parameters that a resource names itself.
    """

    def update(self, template, parameters=None):
        before = {
            name: properties(self, name)
            for name in self._resource_json_map
            if name in self._parsed_resources
        }
        kept_json = self._resource_json_map
        self._template = template
        if parameters:
            self.input_parameters = parameters
        self.resolved_parameters = {}
        self.load_mapping()
        self.load_parameters()
        self.load_conditions()
        self._resource_json_map = template["Resources"]
        for name in in_order(template["Resources"]):
            if not is_wanted(self, name):
                continue
            if name not in before:
                # The map creates what is asked for.
                self[name]
            elif properties(self, name) != before[name]:
                self._parsed_resources[name] = changed(self, name)
        for name in before:
            if not is_wanted(self, name):
                self._delete_resource(self._parsed_resources.pop(name), kept_json[name])

    ResourceMap.update = update


def is_wanted(stack, name):
    resource = stack._resource_json_map.get(name)
    if resource is None:
        return False
    condition = resource.get("Condition")
    return condition is None or stack.lazy_condition_map[condition]


def properties(stack, name):
    """The properties of a resource with the values of now."""
    resource = parsing.clean_json(stack._resource_json_map[name], stack)
    return resource.get("Properties", {})


def changed(stack, name):
    """The resource after its update. A type without one is replaced."""
    arguments = (name, stack._resource_json_map[name], stack)
    place = {"account_id": stack._account_id, "region_name": stack._region_name}
    resource = parsing.parse_and_update_resource(*arguments, **place)
    if resource is None:
        stack._delete_resource(stack._parsed_resources[name], stack._resource_json_map[name])
        resource = parsing.parse_and_create_resource(*arguments, **place)
    return resource


def in_order(resources):
    """The names of the resources, each after those that it needs."""
    ordered = []

    def visit(name):
        if name in ordered:
            return
        for needed in names_in(resources[name]):
            if needed in resources and needed != name:
                visit(needed)
        if name not in ordered:
            ordered.append(name)

    for name in resources:
        visit(name)
    return ordered


def names_in(value):
    """The names to which this part of a template refers."""
    if isinstance(value, list):
        return [name for element in value for name in names_in(element)]
    if not isinstance(value, dict):
        return []
    names = []
    for key, element in value.items():
        if key in ("Ref", "DependsOn"):
            names += element if isinstance(element, list) else [element]
        elif key == "Fn::GetAtt":
            names.append(element.split(".")[0] if isinstance(element, str) else element[0])
        else:
            if key == "Fn::Sub":
                text = element if isinstance(element, str) else element[0]
                names += re.findall(r"\$\{([A-Za-z0-9]+)", text)
            names += names_in(element)
    return names


def correct():
    correct_absent_elements()
    correct_updates()
