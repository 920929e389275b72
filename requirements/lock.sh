#!/usr/bin/env bash
# Compiles requirements/*.in into pinned, hashed *.txt for Python 3.11 on Linux x86_64.
#
#   requirements/lock.sh UV [--upgrade]
#
# The versions of inference, modal and uv come from modal_app/settings.py. The server's list is compiled first and
# constrains the others, so that one environment can hold them all; the GPU server's, which has an image of its own, only
# shares Modal's client with them. Without --upgrade, pins stay where they can.
set -euo pipefail
cd "$(dirname "$0")"
uv=$1
[ "${uv:0:1}" = / ] || uv=../$uv
shift
versions=$(cd .. && "${PYTHON:-python3.11}" -c '
from modal_app import settings
print(f"inference-cpu=={settings.INFERENCE_VERSION}\ninference-gpu=={settings.INFERENCE_VERSION}\nmodal=={settings.MODAL_VERSION}\nuv=={settings.UV_VERSION}")')
export UV_CUSTOM_COMPILE_COMMAND="make lock"
new=$(mktemp .lock.XXXXXX)
trap 'rm -f "$new"' EXIT

compile() { # LIST SOURCE... [OPTION...]; the old list is replaced last, so that a failure leaves it
  local list=$1
  shift
  cat "$list" >"$new" 2>/dev/null || : >"$new" # uv keeps the pins that it finds in the file it writes
  "$uv" pip compile --quiet --output-file "$new" -c - --override overrides.txt \
    --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
    --generate-hashes --no-emit-index-url --annotation-style line "$@" <<<"$versions"
  cmp --silent "$new" "$list" || { cat "$new" >"$list.part" && mv "$list.part" "$list"; }
  echo "lock: requirements/$list, $(grep -c '==' "$list") packages"
}

compile requirements.server.txt requirements.{modal,server}.in "$@"
compile requirements.uv.txt requirements.uv.in "$@"
compile requirements.modal.txt requirements.modal.in -c requirements.server.txt "$@"
compile requirements.server-cpu.txt requirements.{modal,server,server-cpu}.in --override overrides.torch-cpu.txt -c requirements.server.txt "$@"
compile requirements.server-gpu.txt requirements.{modal,server-gpu}.in --override overrides.gpu.txt -c requirements.modal.txt "$@"
compile requirements.local-modal.txt requirements.{modal,uv,local-modal}.in -c requirements.server.txt -c requirements.uv.txt "$@"
compile requirements.infra.txt requirements.{modal,infra}.in -c requirements.server.txt -c requirements.local-modal.txt "$@"
compile requirements.gateway.txt requirements.gateway.in -c requirements.server.txt "$@"
compile requirements.testing.txt requirements.testing.in -c requirements.server.txt -c requirements.local-modal.txt -c requirements.infra.txt "$@"
compile requirements.dev.txt requirements.dev.in -c requirements.testing.txt -c requirements.server.txt -c requirements.local-modal.txt -c requirements.infra.txt "$@"
