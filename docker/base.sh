#!/usr/bin/env bash
# Sees to it that the engine has the base image of the Dockerfiles here, says where it comes from, and prints its name.
#
#   docker/base.sh [IMAGE]
#
# It is pulled where a registry answers. Where none does, the same name is given to an equivalent that is put together
# from Debian's packages: Debian 12 with its Python 3.11, at the path where the official image has it. An image pinned
# by digest can only be pulled. Settings: PYTHON_IMAGE (what docker/Dockerfile.onnx.cpu names), PULL_SECONDS (300).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
image=${1:-${PYTHON_IMAGE:-$(sed -n 's/^ARG PYTHON_IMAGE=//p' "$here/Dockerfile.onnx.cpu" | head -n 1)}}
label=inference-custom-blocks.base

say() { printf 'base: %s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 1
}

origin() {
  local packages
  packages=$(docker image inspect --format "{{index .Config.Labels \"$label\"}}" "$image" 2>/dev/null) || return 1
  case $packages in '' | '<no value>') printf 'a pulled image' ;; *) printf "put together from Debian's packages" ;; esac
}

from_packages() {
  case $image in *@*) fail "$image is pinned by digest and can't be pulled: $1" ;; esac
  [ "$(id -u)" = 0 ] || fail "$image can't be pulled ($1), and putting it together takes root"
  if ! command -v mmdebstrap >/dev/null; then
    command -v apt-get >/dev/null || fail "$image can't be pulled ($1), and there is no apt-get here to install mmdebstrap with"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mmdebstrap debian-archive-keyring; } \
      >/dev/null 2>&1 || fail "mmdebstrap can't be installed: apt-get install mmdebstrap says why"
  fi
  say "$image can't be pulled ($1); putting it together from Debian's packages, about a minute"
  tar=$(mktemp --suffix=.tar)
  trap 'rm -f "$tar"' EXIT
  mmdebstrap --quiet --variant=minbase \
    --include=ca-certificates,python3-minimal,python3.11-venv,netbase,tzdata \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --customize-hook='for name in python python3 python3.11; do ln -s /usr/bin/python3.11 "$1/usr/local/bin/$name"; done' \
    bookworm "$tar"
  docker import \
    --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8' \
    --change 'CMD ["python3"]' --change "LABEL $label=mmdebstrap" "$tar" "$image" >/dev/null
}

exec 9<"$here" # two runs at once would put it together twice
flock 9
if ! origin >/dev/null; then
  if ! answer=$(timeout "${PULL_SECONDS:-300}" docker pull --quiet "$image" 2>&1); then
    from_packages "$(tail -n 1 <<<"$answer" | cut -c 1-120)"
  fi
fi
say "$image is $(origin), $(docker image inspect --format '{{.Id}}' "$image")"
printf '%s\n' "$image"
