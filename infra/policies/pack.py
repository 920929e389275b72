"""The rules of the pack."""

from pulumi_policy import Policy

from infra.policies.pinned import PINNED
from infra.policies.plaintext import PLAINTEXT
from infra.policies.restricted import RESTRICTED
from infra.policies.scoped import OWN_TOKEN, SCOPED

POLICIES: list[Policy] = [PLAINTEXT, PINNED, RESTRICTED, SCOPED, OWN_TOKEN]
