"""Whether a key of KMS can be used. Corrections of other services ask."""

import fnmatch
import json

from moto.kms.models import kms_backends

from policies import listed


def key_of(arn, account, region):
    """The key of this ARN, if it is enabled and in this region."""
    keys = kms_backends[account][region].keys.values()
    return next((key for key in keys if key.arn == arn and key.enabled), None)


def allows(key, service, action, context):
    """Whether the key policy lets a service use the key with this encryption context."""
    statements = json.loads(key.policy)["Statement"]
    return any(
        statement["Effect"] == "Allow"
        and "Service" in (principal := statement["Principal"])
        and service in listed(principal["Service"])
        and any(fnmatch.fnmatchcase(action, pattern) for pattern in listed(statement["Action"]))
        and all(
            holds(key, values, context)
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        )
        for statement in statements
        if isinstance(statement.get("Principal"), dict)
    )


def holds(key, values, context):
    """Whether a condition holds, which compares texts or ARNs."""
    value = context.get(key.removeprefix("kms:EncryptionContext:"))
    return value is not None and any(fnmatch.fnmatchcase(value, text) for text in listed(values))
