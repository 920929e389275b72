"""No image and no package without an exact version: what was tested is what runs."""

import re
from collections.abc import Mapping
from typing import Any

from pulumi_policy import ReportViolation, ResourceValidationArgs, ResourceValidationPolicy

from infra.policies.scoped import PRODUCTION
from infra.server_images.catalog import BASE

VERSION = re.compile(r"[0-9][0-9A-Za-z.!+-]*")
REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[^\]]*\])?==[0-9][0-9A-Za-z.!+]*")
COMMA = re.compile(r",(?![^\[]*\])")
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
MOVING = {"latest", "main", "master", "stable", "dev"}
"""Tags that name another image tomorrow."""


def _validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
    if args.resource_type == "modal:index:App":
        _tag(args.props.get("imageTag"), "imageTag", report)
    if args.resource_type == "modal:index:ServerImage":
        _server_image(args.props, args.urn.split("::")[0].rpartition(":")[2], report)
    if args.resource_type == "modal:index:Image":
        _tag(args.props.get("tag"), "tag", report)
        settings = args.props.get("settings") or {}
        if not VERSION.fullmatch(settings.get("CUSTOM_BLOCKS_INFERENCE_VERSION") or ""):
            report("the image has no exact version of inference: set inferenceVersion", None)
        for requirement in filter(None, COMMA.split(settings.get("CUSTOM_BLOCKS_PACKAGES") or "")):
            if not REQUIREMENT.fullmatch(requirement):
                report(f"package {requirement!r} has no exact version: write NAME==VERSION", None)


def _server_image(props: Mapping[str, Any], stack: str, report: ReportViolation) -> None:
    _tag(str(props.get("name") or "").rpartition("/")[2], "name", report)
    base = str((props.get("buildArgs") or {}).get(BASE) or "")
    if DIGEST.search(base):
        return
    if stack.partition("-")[0] == PRODUCTION:
        report(f"the base image {base!r} has no digest: set serverBase to NAME:TAG@sha256:…", None)
    else:
        _tag(base.rpartition("/")[2], "serverBase", report)


def _tag(name: str | None, what: str, report: ReportViolation) -> None:
    _, _, tag = (name or "").partition(":")
    if not tag or tag in MOVING:
        report(
            f"{what} {name!r} names no particular image: NAME:TAG, with a tag that stays (not {', '.join(MOVING)})",
            None,
        )


PINNED = ResourceValidationPolicy("no-unpinned-image", "Images and packages have exact versions.", _validate)
