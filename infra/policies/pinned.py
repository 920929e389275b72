"""No image and no package without an exact version: what was tested is what runs."""

import re

from pulumi_policy import ReportViolation, ResourceValidationArgs, ResourceValidationPolicy

VERSION = re.compile(r"[0-9][0-9A-Za-z.!+-]*")
REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[^\]]*\])?==[0-9][0-9A-Za-z.!+]*")
COMMA = re.compile(r",(?![^\[]*\])")
MOVING = {"latest", "main", "master", "stable", "dev"}
"""Tags that name another image tomorrow."""


def _validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
    if args.resource_type == "modal:index:App":
        _tag(args.props.get("imageTag"), "imageTag", report)
    if args.resource_type == "modal:index:Image":
        _tag(args.props.get("tag"), "tag", report)
        settings = args.props.get("settings") or {}
        if not VERSION.fullmatch(settings.get("CUSTOM_BLOCKS_INFERENCE_VERSION") or ""):
            report("the image has no exact version of inference: set inferenceVersion", None)
        for requirement in filter(None, COMMA.split(settings.get("CUSTOM_BLOCKS_PACKAGES") or "")):
            if not REQUIREMENT.fullmatch(requirement):
                report(f"package {requirement!r} has no exact version: write NAME==VERSION", None)


def _tag(name: str | None, what: str, report: ReportViolation) -> None:
    _, _, tag = (name or "").partition(":")
    if not tag or tag in MOVING:
        report(
            f"{what} {name!r} names no particular image: NAME:TAG, with a tag that stays (not {', '.join(MOVING)})",
            None,
        )


PINNED = ResourceValidationPolicy("no-unpinned-image", "Images and packages have exact versions.", _validate)
