"""Describes the settings, as data for other programs and for the docs: what `python -m modal_app.settings` prints.

What a setting is for is said by the docstring of its field.
"""

import argparse
import ast
import inspect
import json
import sys
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from modal_app import settings


def describe() -> dict[str, Any]:
    """Names, versions, defaults, and what each setting may be; JSON holds it as it is.

    `defaults` are those of the deployed app, its doors included, `server_defaults` those of the inference server;
    `server_needs` names what the server must be given of the former. `allowed` has for each setting its variable, its
    group (app or server), its type (integer, number, string, boolean, list), what of minimum, maximum, unit, choices,
    pattern and items applies, whether it may have no value, the same in words, and a description.
    """
    return {
        "app": settings.APP_NAME,
        "versions": {
            "inference": settings.INFERENCE_VERSION,
            "modal": settings.MODAL_VERSION,
            "contract": settings.CONTRACT_VERSION,
            "uv": settings.UV_VERSION,
            "python": settings.PYTHON_VERSION,
        },
        "doors": settings.DOORS,
        "defaults": asdict(settings.AppSettings()) | asdict(settings.WebSettings()),
        "server_defaults": asdict(settings.ServerSettings()) | asdict(settings.Limits()),
        "server_needs": settings.SERVER_NEEDS,
        "allowed": {name: facts for group in settings.GROUPS for name, facts in _group(group).items()},
    }


def _group(group: type[settings.Settings]) -> dict[str, dict[str, Any]]:
    descriptions = _field_docstrings(group)
    return {
        setting.name: {
            "variable": setting.variable,
            "group": "app" if group in (settings.AppSettings, settings.WebSettings) else "server",
            **setting.kind.schema,
            "optional": setting.optional,
            "allowed": setting.kind.allowed,
            "description": descriptions[setting.name],
        }
        for setting in group.settings()
    }


def _field_docstrings(group: type[settings.Settings]) -> dict[str, str]:
    """The text below each field, on one line. Python keeps no such text: it is read from the source."""
    (definition,) = ast.parse(inspect.getsource(group)).body
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def main() -> int:
    """Prints the description; with --check, says what is wrong with the environment's settings instead."""
    parser = argparse.ArgumentParser("python -m modal_app.settings", description="Print the app's settings as JSON.")
    parser.add_argument("--check", action="store_true", help="check the CUSTOM_BLOCKS_* variables instead")
    if not parser.parse_args().check:
        sys.stdout.write(json.dumps(describe(), indent=2) + "\n")
        return 0
    try:
        settings.check_environment()
    except settings.SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0
