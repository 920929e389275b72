"""Known vulnerabilities of the pinned requirements, by pip-audit; a database that doesn't answer is never a pass.

pip-audit ends well where an index has no vulnerability data at all. A package with long-known ones is therefore asked
about first, and what was skipped counts as not audited.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NOT_RUN = 2
"""Exit status where the audit couldn't be made."""
VULNERABLE = ("jinja2", "2.4.1")
"""A release with vulnerabilities that every database has, known since 2014 and never withdrawn (CVE-2014-0012)."""
TIMEOUT_SECONDS = 15
"""Of one request."""
NAMED = 5
"""Packages that a line names."""

Report = list[dict[str, Any]]
"""pip-audit's: by package, `vulns` with `id` and `fix_versions`, or a `skip_reason`."""


class NotAudited(Exception):
    """The database can't be asked; the message says why."""


def audit(lists: Sequence[Path], osv_url: str | None = None) -> int:
    """Prints a line for each list, and one for each vulnerability.

    Args:
        lists: compiled requirements, pinned and hashed.
        osv_url: an OSV service to ask in place of PyPI.

    Returns:
        0 where nothing is known of anything, 1 where something is, NOT_RUN where it couldn't be asked about all.
    """
    database = osv_url or "the database of pypi.org"
    try:
        with tempfile.TemporaryDirectory() as folder:  # also of answers, which aren't asked for again in one audit
            _check(Path(folder), osv_url)
            reports = {path: _ask(path, Path(folder), osv_url, "--require-hashes") for path in lists}
    except NotAudited as error:
        sys.stdout.write(f"audit: NOT RUN, {database} gave no answer to trust: {error}\n")
        return NOT_RUN
    statuses = [_verdict(path, report) for path, report in reports.items()]
    return NOT_RUN if NOT_RUN in statuses else max(statuses, default=0)


def _verdict(path: Path, report: Report) -> int:
    skipped = [item for item in report if "skip_reason" in item]
    known = [(item, vulnerability) for item in report for vulnerability in item.get("vulns", ())]
    for item, vulnerability in known:
        fixed = ", ".join(vulnerability["fix_versions"]) or "no release"
        sys.stdout.write(f"  {item['name']} {item['version']}: {vulnerability['id']}, fixed in {fixed}\n")
    counted = f"{len(report)} packages, {len(known)} known vulnerabilities"
    if skipped:
        names = ", ".join(item["name"] for item in skipped[:NAMED]) + (", …" if len(skipped) > NAMED else "")
        sys.stdout.write(f"audit: NOT RUN for {len(skipped)} of {path.name} ({names}); {counted} in the others\n")
        return NOT_RUN
    if not report:
        sys.stdout.write(f"audit: NOT RUN for {path.name}, which names no package\n")
        return NOT_RUN
    sys.stdout.write(f"audit: {path.name}: {counted}\n")
    return 1 if known else 0


def _check(folder: Path, osv_url: str | None) -> None:
    """Raises NotAudited where the database doesn't know what it must know."""
    name, version = VULNERABLE
    path = folder / "requirements.txt"
    path.write_text(f"{name}=={version}\n", "utf-8")
    if not any(item.get("vulns") for item in _ask(path, folder, osv_url, "--no-deps")):
        raise NotAudited(f"it says nothing of {name} {version}, which has known vulnerabilities")


def _ask(requirements: Path, cache: Path, osv_url: str | None, *options: str) -> Report:
    """pip-audit's report; its exit status is 1 both for vulnerabilities and for errors, which have no report."""
    service = ["--vulnerability-service", "osv", "--osv-url", osv_url] if osv_url else []
    output = ["--format", "json", "--progress-spinner", "off", "--timeout", str(TIMEOUT_SECONDS)]
    source = ["--cache-dir", str(cache), "--requirement", str(requirements), "--disable-pip"]
    asked = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-m", "pip_audit", *source, *output, *service, *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        report: Report = json.loads(asked.stdout)["dependencies"]
    except (ValueError, KeyError):
        lines = asked.stderr.strip().splitlines() or ["pip-audit says nothing"]
        raise NotAudited(lines[-1][:300]) from None
    return report
