"""Makes docker/local-modal.seccomp.json: Docker's default seccomp profile, and the calls that local Modal's jail takes.

    python docker/seccomp.py           write it
    python docker/seccomp.py --check   exit status 1 where the file is another one

The default profile is the Moby project's (Apache License 2.0), out of its published Go module, pinned by version and
hash; it allows these calls to containers with CAP_SYS_ADMIN or CAP_SYS_CHROOT only. Here they are allowed without:
the kernel lets a process use them in a user namespace of its own, and the jail is made of such. Needs `go`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MODULE = "github.com/moby/profiles/seccomp@v0.3.0"
MODULE_HASH = "h1:1vJ94fIWXz206DLWq7ddPD6qLP82N7351JI/9iGy3IY="
PROFILE = Path(__file__).with_name("local-modal.seccomp.json")
ADDED = (
    "unshare",  # fresh namespaces
    "setns",  # back into the pid namespace that a zygote forks from
    "sethostname",
    "open_tree",  # the read-only tree: copies of mounts,
    "mount_setattr",  # made read only,
    "move_mount",  # put in their place
    "mount",  # scratch, and what covers /proc
    "chroot",  # so that no link leads out while the tree is laid out
    "pivot_root",
    "umount2",
)


def default_profile() -> dict[str, Any]:
    """Docker's own, at the pinned version.

    Raises:
        SystemExit: without Go, without the module, or where its content is another one.
    """
    with tempfile.TemporaryDirectory() as folder:  # outside of any Go module
        try:
            done = subprocess.run(  # noqa: S603 - what is downloaded is a constant
                ["go", "mod", "download", "-json", MODULE],  # noqa: S607 - whichever Go is installed
                cwd=folder,
                env={**os.environ, "GOFLAGS": "-mod=mod", "GOWORK": "off"},
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError:
            sys.exit("seccomp: go is not on PATH; install Go, https://go.dev/doc/install")
    answer = json.loads(done.stdout or "{}")
    if done.returncode or "Dir" not in answer:
        sys.exit(f"seccomp: {MODULE} can't be downloaded: {answer.get('Error') or done.stderr.strip()}")
    if answer["Sum"] != MODULE_HASH:
        sys.exit(f"seccomp: {MODULE} has the hash {answer['Sum']}, pinned is {MODULE_HASH}")
    profile: dict[str, Any] = json.loads((Path(answer["Dir"]) / "default.json").read_text())
    return profile


def with_jail(profile: dict[str, Any]) -> dict[str, Any]:
    """The profile with one rule more."""
    comment = f"Added to the default profile of {MODULE}: what local Modal's jail is made with"
    rule = {"names": list(ADDED), "action": "SCMP_ACT_ALLOW", "comment": comment}
    return {**profile, "syscalls": [*profile["syscalls"], rule]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    made = json.dumps(with_jail(default_profile()), indent=1) + "\n"
    if not options.check:
        PROFILE.write_text(made)
    elif made != PROFILE.read_text():
        sys.exit(f"seccomp: {PROFILE} is not what this script makes: run it without --check")


if __name__ == "__main__":
    main()
