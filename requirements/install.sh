#!/usr/bin/env bash
# Makes a virtual environment hold exactly what the given requirement files pin, bytecode included.
#
#   requirements/install.sh VENV STAMP FILE...
#
# STAMP, a file inside VENV, says that VENV is complete. It goes before anything is touched and comes back last, so
# that an environment without it is one that an interrupted run left, and is made anew from uv's cache.
# Settings: PYTHON (python3.11), MIN_FREE_GB (12: packages, Pulumi's build, the image).
set -euo pipefail
venv=$1 stamp=$2
shift 2
python=${PYTHON:-python3.11}
min_free_gb=${MIN_FREE_GB:-12}
unset PYTHONDONTWRITEBYTECODE # imports of the engine take twice as long without bytecode

fail() {
  printf 'set-up: %s\n' "$*" >&2
  exit 1
}

platform=$(uname -sm)
[ "$platform" = "Linux x86_64" ] || fail "the pinned packages are those of Linux x86_64; this is $platform"

exec 9<"$(dirname "$0")"
flock --nonblock 9 || { echo "set-up: waiting for another run" && flock 9; }

if [ -e "$stamp" ] && "$venv/bin/python" -c '' 2>/dev/null; then
  rm -f "$stamp"
else
  command -v "$python" >/dev/null || fail "$python is not on PATH; install Python 3.11 (Debian: apt-get install python3.11 python3.11-venv), or name it: make PYTHON=/path/to/python3.11"
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>&1) || fail "$python does not run: $version"
  [ "$version" = 3.11 ] || fail "$python is Python $version; the engine and the image need 3.11 (make PYTHON=/path/to/python3.11)"
  "$python" -c 'import ensurepip, venv' 2>/dev/null || fail "$python has no venv module (Debian: apt-get install python3.11-venv)"
  free_kb=$(df --output=avail -k "$(dirname "$venv")" | tail -n 1)
  free_gb=$((free_kb / 1048576))
  [ "$free_gb" -ge "$min_free_gb" ] 2>/dev/null || fail "$free_gb GB are free here and about $min_free_gb are needed, most of them for torch; make room, or set MIN_FREE_GB to a whole number"
  echo "set-up: $venv with $("$python" --version), from nothing"
  rm -rf "$venv"
  "$python" -m venv "$venv"
fi

# Of what uv says: its steps, the largest downloads while they go on, and errors; not each package and each small file.
steps() { grep --line-buffered -vE '^ [-+~] |^ +Downloaded |^Downloading .*\(([0-9]{1,2}\.[0-9]M|[0-9.]+K)iB\)$' || :; }

packages=$(cat "$@" | grep -oE '^[a-z0-9._-]+==[^ ;]+' | sort -u | wc -l)
echo "set-up: installing $packages pinned packages (minutes the first time, seconds from uv's cache)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$(dirname "$0")/requirements.uv.txt"
"$venv/bin/uv" pip sync --python "$venv/bin/python" --require-hashes --compile-bytecode "$@" 2>&1 | steps >&2
touch "$stamp"
echo "set-up: done, $SECONDS s"
