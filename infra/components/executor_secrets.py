"""What every block may read: the stack's plain and secret variables for executors, as Modal Secrets."""

import pulumi

from infra.components.options import child
from infra.resources import Environment, Secret
from infra.settings import Settings

ENV_NAME = "custom-blocks-env"
SECRETS_NAME = "custom-blocks-secrets"


class ExecutorSecrets(pulumi.ComponentResource):
    """A Modal Secret for each of the two that holds anything."""

    def __init__(
        self, settings: Settings, environment: Environment, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("custom-blocks:index:ExecutorSecrets", "executor-secrets", {}, opts)
        held = {ENV_NAME: settings.executor_env, SECRETS_NAME: settings.executor_secrets}
        self.secrets = [
            Secret(
                name,
                environment=environment.name,
                values=values,
                opts=child(self, protect=settings.protect),
            )
            for name, values in held.items()
            if values
        ]
        self.register_outputs({})
