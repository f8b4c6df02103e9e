"""Corrections of CloudFormation. Those of a resource type are in the module of its service."""

from moto.cloudformation import parsing
from moto.cloudformation import responses as stack_responses
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import (
    ChangeSet,
    CloudFormationBackend,
    Event,
    Stack,
)
from moto.cloudformation.parsing import OutputMap, ResourceMap


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


def correct_comparisons():
    """AWS: a condition compares texts, also where a parameter is a number."""
    parse_condition = parsing.parse_condition

    def text(value):
        return str(value).lower() if isinstance(value, bool) else str(value)

    def parse(condition, resources_map, condition_map):
        if isinstance(condition, dict) and "Fn::Equals" in condition:
            one, other = (
                parsing.clean_json(each, resources_map) for each in condition["Fn::Equals"]
            )
            return text(one) == text(other)
        return parse_condition(condition, resources_map, condition_map)

    parsing.parse_condition = parse


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
    """AWS: a stack has the parameters, tags and outputs of its last executed change set."""
    apply = ChangeSet.apply

    def apply_all(self):
        apply(self)
        stack = self.stack
        stack.template_dict = self.template_dict
        stack.parameters = stack.resource_map.input_parameters = stack.stack_parameters
        stack.tags = self.tags
        stack.output_map = stack._create_output_map()

    ChangeSet.apply = apply_all


def correct_changes_of_tags():
    """AWS: other tags are a change."""
    create_change_set = CloudFormationBackend.create_change_set

    def create_with_tags(self, *arguments, **named):
        ids = create_change_set(self, *arguments, **named)
        change_set = self.change_sets[ids[0]]
        if change_set.status == "FAILED" and (change_set.tags or {}) != change_set.stack.tags:
            change_set.status, change_set.execution_status = "CREATE_COMPLETE", "AVAILABLE"
            change_set.status_reason = None
        return ids

    CloudFormationBackend.create_change_set = create_with_tags


def correct_states_without_update():
    """AWS: in some states, a stack takes no change set."""
    create_change_set = CloudFormationBackend.create_change_set
    states = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED", "UPDATE_ROLLBACK_FAILED")

    def create_if_updatable(self, stack_name, *arguments, **named):
        if named.get("change_set_type") == "UPDATE":
            stack = self.get_stack(stack_name)
            if stack.status in states or stack.status.endswith("_IN_PROGRESS"):
                state = f"is in {stack.status} state and can not be updated."
                raise ValidationError(message=f"Stack:{stack.stack_id} {state}")
        return create_change_set(self, stack_name, *arguments, **named)

    CloudFormationBackend.create_change_set = create_if_updatable


def correct_failures():
    """AWS: a resource that fails is an event, and the stack is rolled back; the call succeeds."""
    create_resources = Stack.create_resources
    execute_change_set = CloudFormationBackend.execute_change_set

    def create_or_roll_back(self):
        try:
            create_resources(self)
        except Exception as problem:
            roll_back_creation(self, problem)

    def execute_or_roll_back(self, change_set_name, stack_name=None):
        change_set = self.describe_change_set(change_set_name)
        stack = change_set.stack
        before = stack.template_dict, stack.parameters
        try:
            execute_change_set(self, change_set_name, stack_name)
        except Exception as problem:
            change_set.execution_status = "EXECUTE_FAILED"
            if change_set.change_set_type == "CREATE":
                roll_back_creation(stack, problem)
            else:
                roll_back_update(stack, problem, *before)

    Stack.create_resources = create_or_roll_back
    CloudFormationBackend.execute_change_set = execute_or_roll_back
    for name in ("parse_and_create_resource", "parse_and_update_resource"):
        setattr(parsing, name, naming_what_fails(getattr(parsing, name)))


def naming_what_fails(parse):
    def parse_and_name(logical_id, *arguments, **named):
        try:
            return parse(logical_id, *arguments, **named)
        except Exception as problem:
            if not hasattr(problem, "logical_id"):
                problem.logical_id = logical_id
            raise

    return parse_and_name


def roll_back_creation(stack, problem):
    add_failure(stack, "CREATE_FAILED", problem)
    stack._add_stack_event("ROLLBACK_IN_PROGRESS")
    stack.resource_map.delete()
    stack.output_map = OutputMap(stack.resource_map, {}, stack.stack_id)
    stack._add_stack_event("ROLLBACK_COMPLETE")
    stack.status = "ROLLBACK_COMPLETE"


def roll_back_update(stack, problem, template, parameters):
    add_failure(stack, "UPDATE_FAILED", problem)
    stack._add_stack_event("UPDATE_ROLLBACK_IN_PROGRESS")
    stack.resource_map.update(template, parameters)
    stack._add_stack_event("UPDATE_ROLLBACK_COMPLETE")
    stack.status = "UPDATE_ROLLBACK_COMPLETE"


def add_failure(stack, status, problem):
    logical_id = getattr(problem, "logical_id", stack.name)
    reason = f"Resource handler returned message: {problem}"
    stack.events.append(Event(stack.stack_id, stack.name, logical_id, "", "", status, reason, None))


def correct():
    correct_list_defaults()
    correct_comparisons()
    correct_parameters_of_stacks()
    correct_template_urls()
    correct_change_sets()
    correct_changes_of_tags()
    correct_states_without_update()
    correct_failures()
