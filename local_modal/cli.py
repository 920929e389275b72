"""The command line: start, stop, status, logs, env, prune, reset."""

import argparse
import json
import logging
import shlex
import shutil
import sqlite3
import sys
import time
from dataclasses import replace
from pathlib import Path

from local_modal import daemon
from local_modal.credentials import Credentials
from local_modal.errors import LocalModalError
from local_modal.runtime.isolation import Isolation, probe
from local_modal.settings import CLIENT_VERSION, Settings

STATE_ENTRIES = ("blobs", "files", "layouts", "run", "credentials.json", "control-plane.log")


def main(arguments: list[str] | None = None) -> int:
    """Run a command; a user's mistake is one line on stderr and exit status 1."""
    options = _parser().parse_args(arguments)
    try:
        settings = Settings.from_env(bind=getattr(options, "bind", None), port=getattr(options, "port", None))
        status: int = options.command(options, settings)
    except LocalModalError as error:
        print(f"local-modal: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, BrokenPipeError):
        return 130
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else error
        print(f"local-modal: {what}; LOCAL_MODAL_HOME and LOCAL_MODAL_CACHE say where its files are", file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("local-modal", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    start = commands.add_parser("start", help="start in the background (idempotent), or in the foreground")
    start.add_argument("--foreground", action="store_true")
    start.add_argument("--bind", help="address to listen on (default 127.0.0.1)")
    start.add_argument("--port", type=int, help="port to listen on (default 9171; 0 draws one)")
    start.set_defaults(command=_start)
    commands.add_parser("stop", help="stop it, with every container").set_defaults(command=_stop)
    status = commands.add_parser("status", help="what runs, and in which isolation")
    status.add_argument("--json", action="store_true")
    status.set_defaults(command=_status)
    logs = commands.add_parser("logs", help="the control plane's own log")
    logs.add_argument("-f", "--follow", action="store_true")
    logs.set_defaults(command=_logs)
    env = commands.add_parser("env", help="variables that connect a modal client, for eval or as JSON")
    env.add_argument("--format", choices=("shell", "json"), default="shell")
    env.set_defaults(command=_env)
    prune = commands.add_parser("prune", help="delete what no deployment needs and nobody used lately; done daily too")
    prune.add_argument("--days", type=int, help="unused for so long (default LOCAL_MODAL_KEEP_DAYS, 30)")
    prune.set_defaults(command=_prune)
    reset = commands.add_parser("reset", help="delete apps, secrets, logs and credentials; --images also built images")
    reset.add_argument("--images", action="store_true")
    reset.set_defaults(command=_reset)
    return parser


def _start(options: argparse.Namespace, settings: Settings) -> int:
    if options.foreground:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        logging.getLogger("grpclib").setLevel(logging.CRITICAL)
        uid = settings.container_uid
        daemon.run(settings, probe(uid=uid).policy(settings.allow_missing, uid=uid))
        return 0
    arguments = []
    for name in ("bind", "port"):
        if (given := getattr(options, name)) is not None:
            arguments += [f"--{name}", str(given)]
    running = daemon.start(arguments, settings)
    print(f"local Modal serves at {running.url} (pid {running.pid})")
    return 0


def _stop(_options: argparse.Namespace, settings: Settings) -> int:
    print("local Modal stopped" if daemon.stop(settings.home) else "local Modal was not running")
    return 0


def _status(options: argparse.Namespace, settings: Settings) -> int:
    running = daemon.Running.find(settings.home)
    healthy = bool(running and running.healthy())
    facts: dict[str, object] = {
        "running": healthy,
        "url": running.url if running else None,
        "pid": running.pid if running else None,
        "client_version": CLIENT_VERSION,
        "home": str(settings.home),
        "images": str(settings.cache),
        "prefork": settings.prefork,
        "isolation": _isolation(probe(uid=settings.container_uid)),
        "unserved": _unserved(settings.home),
    }
    if options.json:
        print(json.dumps({**facts, "listens": [settings.bind, settings.port]}, indent=2))
    else:
        _print_facts(facts)
    return 0 if healthy else 3


def _isolation(found: Isolation) -> dict[str, str]:
    """Layer → active or what is missing, and what containers run as."""
    layers = dict.fromkeys(found.active, "active") | {layer: f"MISSING: {why}" for layer, why in found.missing.items()}
    facts = {"containers run as": found.user, **layers, "a snapshot's /proc": found.snapshot_proc}
    return {**facts, "limits in all": found.aggregate_limits}


def _print_facts(facts: dict[str, object]) -> None:
    for name, value in facts.items():
        if isinstance(value, dict):
            print(f"{name}:" if value else f"{name + ':':<16} nothing")
            for key, detail in value.items():
                print(f"  {key:<20} {detail}")
        else:
            print(f"{name:<16} {value}")


def _unserved(home: Path) -> dict[str, int]:
    """RPCs that clients asked for and that aren't served, with how often."""
    path = home / "store.sqlite3"
    if not path.exists():
        return {}
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return dict(connection.execute("SELECT method, calls FROM unserved ORDER BY method").fetchall())
    except sqlite3.DatabaseError:
        return {}
    finally:
        connection.close()


def _logs(options: argparse.Namespace, settings: Settings) -> int:
    path = settings.home / "control-plane.log"
    if not path.exists():
        raise LocalModalError(f"there is no log yet in {settings.home}: `local-modal start`.")
    with path.open() as file:
        while True:
            if line := file.readline():
                print(line, end="", flush=True)
            elif not options.follow:
                return 0
            else:
                time.sleep(0.2)


def _env(options: argparse.Namespace, settings: Settings) -> int:
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    credentials = Credentials.load(settings.home)
    running = daemon.Running.find(settings.home)
    url = running.client_url if running else settings.advertised_url or settings.url
    variables = credentials.client_variables(url, settings.environment)
    if options.format == "json":
        print(json.dumps(variables))
    else:
        for name, value in variables.items():
            print(f"export {name}={shlex.quote(value)}")
    return 0


def _prune(options: argparse.Namespace, settings: Settings) -> int:
    from local_modal.server import STORE_FILE, collector  # noqa: PLC0415 - half a second that no other command needs
    from local_modal.store.database import Database  # noqa: PLC0415
    from local_modal.store.retention import Freed, Retention  # noqa: PLC0415

    retention = Retention.of(settings)
    if options.days is not None:
        retention = replace(retention, days=max(0, options.days))
    running = daemon.Running.find(settings.home)
    if running and retention.days < 1:
        raise LocalModalError("what runs may use what was made today: `local-modal stop` first, or --days 1")
    if not (settings.home / STORE_FILE).exists():
        raise LocalModalError(f"there is nothing yet in {settings.home}: `local-modal start`.")
    database, freed = Database(settings.home / STORE_FILE), Freed()
    collection = collector(settings, database, retention)
    collection.files(collection.rows(freed), freed)
    if not running:
        database.run("VACUUM")
    database.close()
    print(f"freed: {freed}")
    return 0


def _reset(options: argparse.Namespace, settings: Settings) -> int:
    daemon.stop(settings.home)
    for entry in [*STATE_ENTRIES, *(path.name for path in settings.home.glob("store.sqlite3*"))]:
        path = settings.home / entry
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if options.images and settings.cache.exists():
        shutil.rmtree(settings.cache)
    print(f"local Modal starts anew in {settings.home}" + (", without images" if options.images else ""))
    return 0
