"""Who reaches what: the environment of the stack, and the inference server's own tokens, good for it alone."""

from collections.abc import Callable
from dataclasses import dataclass

import pulumi

from infra.components.options import child
from infra.keys import MAIN
from infra.resources import Environment, ProxyToken, ServiceUser
from infra.settings import Settings

TOKEN_NAME = "custom-blocks-{environment}"  # noqa: S105 - a name, and no token
CONTRIBUTOR = "contributor"
"""The least role that may call a function: a viewer may not."""


@dataclass(frozen=True)
class Credentials:
    """A token for a server: what it sends as MODAL_TOKEN_ID and MODAL_TOKEN_SECRET."""

    token_id: pulumi.Output[str]
    token_secret: pulumi.Output[str]


class Access(pulumi.ComponentResource):
    """The environment, with a service user and a proxy token where the stack wants them."""

    def __init__(self, settings: Settings, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("custom-blocks:index:Access", "access", {}, opts)
        self._settings = settings
        # The account's first environment was there before the stack, and stays.
        is_main = settings.environment == MAIN
        self.environment = Environment(
            settings.environment,
            restricted=settings.restricted,
            opts=child(self, protect=settings.protect, retain=settings.protect or is_main),
        )
        self.service_user = self._rotated(self._service_user) if settings.service_user else None
        self.proxy_token = self._rotated(self._proxy_token) if settings.proxy_token else None
        self.register_outputs({})

    def _rotated(self, make: Callable[[str, int, pulumi.ResourceOptions], ServiceUser | ProxyToken]) -> Credentials:
        """The token of this generation; the one before stays, for servers that still use it, until the next rotation.

        That one can't be protected, as the next rotation deletes it. The new one depends on it instead: a destroy that
        stops at what is protected then stops before it.
        """
        name, generation = TOKEN_NAME.format(environment=self._settings.environment), self._settings.rotation
        needs: list[pulumi.Resource] = [self.environment]
        if generation > 1:
            needs.append(make(name, generation - 1, child(self, needs=[self.environment])))
        token = make(name, generation, child(self, protect=self._settings.protect, needs=needs))
        return Credentials(token.token_id, token.token_secret)

    def _service_user(self, name: str, generation: int, opts: pulumi.ResourceOptions) -> ServiceUser:
        return ServiceUser(
            f"{name}-{generation}",
            name=name,
            roles={self._settings.environment: CONTRIBUTOR},
            generation=generation,
            expires_in_days=self._settings.service_user_days or None,
            opts=opts,
        )

    def _proxy_token(self, name: str, generation: int, opts: pulumi.ResourceOptions) -> ProxyToken:
        return ProxyToken(
            f"{name}-{generation}",
            name=name,
            environments=[self._settings.environment],
            generation=generation,
            opts=opts,
        )
