"""What is at Modal, asked with the public objects of the client, as JSON on stdout: names only, no secrets."""

import json
import sys

import modal


def main() -> None:
    workspace = modal.Workspace.from_context()
    environments = sorted(str(item.name) for item in modal.Environment.objects.list())
    secrets: dict[str, list[str]] = {}
    apps: dict[str, list[str]] = {}
    for name in environments:
        secrets[name] = sorted(str(item.name) for item in modal.Secret.objects.list(environment_name=name))
        apps[name] = sorted(app.name for app in modal.Environment.from_name(name).apps.list() if app.name)
    found = {
        "environments": environments,
        "service users": sorted(user.name for user in workspace.service_users.list()),
        "proxy tokens": sorted(token.name for token in workspace.proxy_tokens.list()),
        "secrets": secrets,
        "apps": apps,
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
