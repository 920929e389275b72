"""What the app and its image are made of, as hashes: a change of them is what a preview shows."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from infra.app_facts import ROOT

APP = "modal_app"
IMAGE_SOURCE = Path(APP, "image.py")
GATEWAY_LIST = Path("requirements", "requirements.gateway.txt")
"""The packages of the Gateway's image, which a deployment of the app builds."""
SHOWN_CHARS = 12


def app_hash(root: Path = ROOT) -> str:
    """Of every Python file of the app, and of the packages that its doors are built with."""
    files = [*sorted((root / APP).rglob("*.py")), root / GATEWAY_LIST]
    return _hash((path.relative_to(root), path.read_bytes()) for path in files)


def image_hash(settings: Mapping[str, str], versions: Mapping[str, str | int], root: Path = ROOT) -> str:
    """Of what the image is built from: its description, settings and versions; the app's source isn't in it."""
    made_of = json.dumps([dict(settings), {name: versions[name] for name in ("modal", "uv", "python")}], sort_keys=True)
    return _hash([(IMAGE_SOURCE, (root / IMAGE_SOURCE).read_bytes()), (Path("settings"), made_of.encode())])


def image_name(app: str, inference_version: str, digest: str) -> str:
    """The name that a built image is published under, `NAME:TAG`; another image has another one."""
    return f"{app}:{re.sub(r'[^A-Za-z0-9._-]', '-', inference_version)}-{digest[:SHOWN_CHARS]}"


def _hash(files: Iterable[tuple[Path, bytes]]) -> str:
    digest = hashlib.sha256()
    for path, content in files:
        digest.update(f"{path.as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
