"""What CloudFormation refuses before it creates or changes anything."""

import re

from moto.cloudformation.exceptions import CloudFormationError, ValidationError
from moto.cloudformation.models import CloudFormationBackend, Stack
from moto.cloudformation.parsing import ResourceMap
from moto.cloudformation.responses import CloudFormationResponse

# The properties that give an IAM resource a name of the template's choice.
IAM_NAMES = ("GroupName", "InstanceProfileName", "ManagedPolicyName", "RoleName", "UserName")


class InsufficientCapabilities(CloudFormationError):
    code = "InsufficientCapabilitiesException"


def correct_values():
    """AWS: the values of parameters keep the template's constraints and rules.

    For change sets, this is checked when one is created. The words in which AWS refuses a rule are
    not known; they include the rule's own description.
    """
    load_parameters = ResourceMap.load_parameters
    create_change_set = CloudFormationBackend.create_change_set

    def load_and_check(self):
        load_parameters(self)
        for name, parameter in self._template.get("Parameters", {}).items():
            check_value(name, parameter, self.resolved_parameters[name])
        for name, rule in self._template.get("Rules", {}).items():
            check_rule(name, rule, self._parsed_resources)

    def check_and_create(self, stack_name, change_set_name, template, parameters, **arguments):
        ResourceMap(
            stack_id="",
            stack_name=stack_name,
            parameters=parameters,
            tags={},
            region_name=self.region_name,
            account_id=self.account_id,
            template=Stack.parse_template(template),
            cross_stack_resources={},
        ).load_parameters()
        return create_change_set(
            self, stack_name, change_set_name, template, parameters, **arguments
        )

    ResourceMap.load_parameters = load_and_check
    CloudFormationBackend.create_change_set = check_and_create


def check_value(name, parameter, value):
    for text in map(str, value if isinstance(value, list) else [value]):
        allowed = parameter.get("AllowedValues")
        pattern = parameter.get("AllowedPattern")
        if (
            (allowed is not None and text not in map(str, allowed))
            or (pattern is not None and not re.fullmatch(pattern, text))
            or len(text) < int(parameter.get("MinLength", 0))
            or len(text) > int(parameter.get("MaxLength", len(text)))
            or (
                parameter["Type"] == "Number"
                and not (
                    float(parameter.get("MinValue", text))
                    <= float(text)
                    <= float(parameter.get("MaxValue", text))
                )
            )
        ):
            constraint = parameter.get("ConstraintDescription", parameter.get("Description"))
            raise ValidationError(
                message=f"Parameter {name} failed to satisfy constraint: {constraint}"
            )


def check_rule(name, rule, values):
    if "RuleCondition" in rule and not holds(rule["RuleCondition"], values):
        return
    for assertion in rule["Assertions"]:
        if not holds(assertion["Assert"], values):
            raise ValidationError(
                message=f"Template validation error: rule {name}: {assertion['AssertDescription']}"
            )


def holds(expression, values):
    """Whether a condition of a rule holds. Rules have functions of their own, and no others."""

    def value(argument):
        return values[argument["Ref"]] if isinstance(argument, dict) else argument

    ((function, arguments),) = expression.items()
    if function == "Fn::And":
        return all(holds(argument, values) for argument in arguments)
    if function == "Fn::Or":
        return any(holds(argument, values) for argument in arguments)
    if function == "Fn::Not":
        return not holds(arguments[0], values)
    if function == "Fn::Equals":
        return value(arguments[0]) == value(arguments[1])
    if function == "Fn::Contains":
        return value(arguments[1]) in value(arguments[0])
    raise ValidationError(message=f"Template format error: {function} in Rules")


def correct_capabilities():
    """AWS: a stack with IAM resources needs CAPABILITY_IAM; with names, CAPABILITY_NAMED_IAM."""

    def check_before(respond):
        def check_and_respond(self):
            body, url = self._get_param("TemplateBody"), self._get_param("TemplateURL")
            if url:
                body = self._get_stack_from_s3_url(url)
            if body:
                check_capabilities(body, self._get_param("Capabilities", []))
            return respond(self)

        return check_and_respond

    for operation in ("create_stack", "update_stack", "create_change_set"):
        respond = getattr(CloudFormationResponse, operation)
        setattr(CloudFormationResponse, operation, check_before(respond))


def check_capabilities(template, given):
    resources = Stack.parse_template(template).get("Resources", {}).values()
    resources = [resource for resource in resources if resource["Type"].startswith("AWS::IAM::")]
    named = any(
        name in resource.get("Properties", {}) for resource in resources for name in IAM_NAMES
    )
    accepted = {"CAPABILITY_NAMED_IAM"} if named else {"CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"}
    if resources and not accepted & set(given):
        needed = "CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM"
        raise InsufficientCapabilities(f"Requires capabilities : [{needed}]")


def correct():
    correct_values()
    correct_capabilities()
