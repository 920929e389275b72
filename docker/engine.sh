#!/usr/bin/env bash
# A Docker engine for this machine's shell: the one that answers, or one started from the distribution's packages.
#
#   eval "$(docker/engine.sh)"       export DOCKER_HOST; starts an engine where none answers (takes root)
#   eval "$(docker/engine.sh find)"  the same, without starting one: exit status 1 where none answers
#   docker/engine.sh stop            ends the engine that this script started; its layers stay
#
# An engine that it starts keeps its layers in a cache folder, so that the next start builds on them.
# Settings: DOCKER_HOST (the engine to use), ENGINE_HOME (~/.cache/inference-custom-blocks/docker),
# ENGINE_START_SECONDS (60), ENGINE_STORAGE_DRIVER (overlay2), ENGINE_KEEP_STORAGE (20GB: what builds may leave behind).
set -euo pipefail
verb=${1:-start}
home=${ENGINE_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/inference-custom-blocks/docker}
socket=$home/docker.sock
start_seconds=${ENGINE_START_SECONDS:-60}
keep=${ENGINE_KEEP_STORAGE:-20GB}

say() { printf 'engine: %s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 1
}

# The API's own sign of life: a client of any version, or none, gives the same answer.
answers() {
  case $1 in
    unix://*) [ -S "${1#unix://}" ] && curl --fail --silent --max-time 5 --unix-socket "${1#unix://}" --output /dev/null http://docker/_ping ;;
    tcp://*) curl --fail --silent --max-time 5 --output /dev/null "http://${1#tcp://}/_ping" || DOCKER_HOST=$1 docker version >/dev/null 2>&1 ;;
    *) DOCKER_HOST=$1 docker version >/dev/null 2>&1 ;;
  esac
}

use() {
  say "$2, $1"
  printf 'export DOCKER_HOST=%q\n' "$1"
  exit 0
}

find_engine() {
  if [ -n "${DOCKER_HOST:-}" ]; then
    answers "$DOCKER_HOST" && use "$DOCKER_HOST" "the one that DOCKER_HOST names"
    [ "$DOCKER_HOST" = "unix://$socket" ] || fail "DOCKER_HOST=$DOCKER_HOST does not answer; start that engine, or unset DOCKER_HOST"
  fi
  local candidate
  for candidate in /var/run/docker.sock "${XDG_RUNTIME_DIR:-/run/user/$(id -u)}/docker.sock"; do
    if answers "unix://$candidate"; then use "unix://$candidate" "the one that runs here"; fi
  done
  if answers "unix://$socket"; then use "unix://$socket" "started before, layers in $home"; fi
}

install_engine() {
  command -v apt-get >/dev/null || fail "dockerd is not installed and there is no apt-get here: install Docker Engine, https://docs.docker.com/engine/install/"
  say "installing docker.io and iptables from the distribution's packages"
  {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io iptables curl ca-certificates
  } >"$home/install.log" 2>&1 || fail "the packages can't be installed; the end of $home/install.log: $(tail -n 3 "$home/install.log")"
}

start_engine() {
  [ "$(id -u)" = 0 ] || fail "none answers, and starting one takes root: start Docker, or run sudo docker/engine.sh"
  mkdir -p "$home"
  exec 9>"$home/lock"
  flock 9
  find_engine # another run may have started one meanwhile; where the packages were installed, so may the distribution
  if ! command -v dockerd >/dev/null || ! command -v iptables >/dev/null; then
    install_engine
    find_engine
  fi
  rm -f "$home/dockerd.pid"
  say "starting dockerd, layers in $home"
  printf '{"builder": {"gc": {"enabled": true, "defaultKeepStorage": "%s"}}}\n' "$keep" >"$home/daemon.json"
  setsid dockerd --config-file "$home/daemon.json" --data-root "$home/data" --exec-root "$home/run" --pidfile "$home/dockerd.pid" \
    --host "unix://$socket" --storage-driver "${ENGINE_STORAGE_DRIVER:-overlay2}" \
    </dev/null >"$home/dockerd.log" 2>&1 9>&- &
  local engine=$!
  local deadline=$((SECONDS + start_seconds))
  until answers "unix://$socket"; do
    kill -0 "$engine" 2>/dev/null || fail "dockerd ended; the end of $home/dockerd.log: $(tail -n 3 "$home/dockerd.log")"
    [ "$SECONDS" -lt "$deadline" ] || fail "dockerd does not answer after $start_seconds s; see $home/dockerd.log"
    sleep 0.2
  done
  use "unix://$socket" "started, layers in $home"
}

case $verb in
  start)
    find_engine
    start_engine
    ;;
  find)
    find_engine
    fail "none answers; docker/engine.sh starts one"
    ;;
  stop)
    pid=$(cat "$home/dockerd.pid" 2>/dev/null) || fail "none was started by this script"
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] || fail "the one that was started no longer runs"
    kill "$pid"
    tail --pid="$pid" --follow /dev/null
    say "stopped; its layers are in $home"
    ;;
  *) fail "no verb $verb: start, find or stop" ;;
esac
