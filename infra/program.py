"""The whole program: settings → components → outputs."""

import os
from collections.abc import Mapping
from dataclasses import replace

import pulumi
from pulumi.runtime import get_config_env, get_config_secret_keys_env

from infra.app_facts import AppFacts, AppFactsError, app_facts
from infra.components.access import Access, Credentials
from infra.components.executor_app import ExecutorApp
from infra.components.executor_secrets import ExecutorSecrets
from infra.components.server_env import server_env, server_url
from infra.components.server_images import ServerImages, planned
from infra.converge.environment import state_home
from infra.credentials import CredentialsError, require_credentials
from infra.keys import stack_keys
from infra.rotations import RotationsError, rotations
from infra.server_images.errors import ImageError
from infra.settings import PROJECT, Settings, SettingsError, plain_text_problems, read_settings, stack_path
from infra.stack_file import StackFileError, read_stack_file


def main() -> None:
    """Declares what the stack is to be.

    Raises:
        pulumi.RunError: settings or credentials don't allow it; nothing is declared then.
    """
    try:
        require_credentials(pulumi.get_stack(), os.environ)
        settings = _settings()
        images = planned(settings)
    except (SettingsError, StackFileError, AppFactsError, CredentialsError, RotationsError, ImageError) as error:
        raise pulumi.RunError(str(error)) from None
    access = Access(settings)
    secrets = ExecutorSecrets(settings, access.environment)
    executor = ExecutorApp(settings, access.environment, secrets)
    _export(settings, access, executor)
    if images:
        pulumi.export("serverImages", ServerImages(settings, images).outputs)


def _settings() -> Settings:
    stack, facts, prefix = pulumi.get_stack(), app_facts(), f"{PROJECT}:"
    values = {key.removeprefix(prefix): text for key, text in get_config_env().items() if key.startswith(prefix)}
    secret = {key.removeprefix(prefix) for key in get_config_secret_keys_env()}
    settings = read_settings(stack, values, secret, facts)
    if stack_path(stack).exists():
        problems = plain_text_problems(read_stack_file(stack_path(stack), PROJECT), stack_keys(facts))
        if problems:
            raise SettingsError(stack, problems)
    return replace(settings, rotation=settings.rotation + rotations(stack, state_home()))


def _export(settings: Settings, access: Access, executor: ExecutorApp) -> None:
    app = executor.app
    pulumi.export("environment", access.environment.name)
    pulumi.export("appId", app.app_id)
    pulumi.export("appVersion", app.version)
    pulumi.export("appUrl", app.url)
    pulumi.export("imageTag", executor.promotable_tag)
    pulumi.export("anonymous", "allow" if settings.anonymous else "refuse")
    pulumi.export("serverEnv", server_env(settings))
    pulumi.export("doors", app.endpoints.apply(lambda endpoints: doors(settings.facts, endpoints or {})))
    if url := server_url():
        pulumi.export("serverUrl", url)
    if settings.server_secrets:
        pulumi.export("serverSecrets", pulumi.Output.secret(dict(settings.server_secrets)))
    for name, credentials in (("serviceUser", access.service_user), ("proxyToken", access.proxy_token)):
        if credentials:
            pulumi.export(name, _shown(credentials))
    pulumi.export("next", next_commands(settings))


def _shown(credentials: Credentials) -> pulumi.Output[dict[str, str]]:
    """Secret as a whole."""
    both = pulumi.Output.all(tokenId=credentials.token_id, tokenSecret=credentials.token_secret)
    return pulumi.Output.secret(both)


def doors(facts: AppFacts, endpoints: Mapping[str, str]) -> dict[str, str]:
    """Address of the web endpoint of each transport, as Modal gave it."""
    return {transport: endpoints[name] for transport, name in facts.doors.items() if name in endpoints}


def next_commands(settings: Settings) -> dict[str, str]:
    """What one does after a deployment."""
    stack = f" STACK={settings.stack}"
    return {
        "check it": f"make smoke{stack}",
        "connect a server": f"make server-env TRANSPORT=native{stack}",
        "try one here": f"make serve TRANSPORT=http{stack}",
        "see what differs from the code": f"make drift{stack}",
        "go back": f"make rollback{stack}",
    }
