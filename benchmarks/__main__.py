"""The command: measures and prints, each figure beside what it is compared with, and its goal."""

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass
from typing import Any

from benchmarks import memory, scale
from benchmarks.planes import COMMAND_SECONDS, Plane, plane, run
from benchmarks.statistics import Times
from modal_app.smoke.environment import SERVER

APP = ("-m", "modal_app.app")
UNSHARED = ("-m", "benchmarks.unshared")
CLIENT_SECONDS = 600
PREFORK = 2

IMPORT = "from modal_app.sandbox.preload import preload; preload()"
"""What a container that isn't forked from a snapshot has to do first."""

COLD_GOAL_MS, PREFORKED_GOAL_MS, THROUGHPUT_GOAL, MEMORY_GOAL_MB = 45.0, 20.0, 35.0, 900.0
RESULT_IMAGE_GOAL_MS = 5.0
BUSY_LOAD = 1.0


@dataclass(frozen=True)
class Measured:
    """What one control plane gave: `answers` by name of the measurement, memory of its processes in MB."""

    answers: dict[str, Any]
    megabytes: float

    def times(self, name: str) -> Times:
        return Times.of(self.answers[name])


def measure(running: Plane, *measurements: str, environment: str | None = None) -> Measured:
    """Runs measurements in a client process, then reads the memory of the control plane's processes."""
    variables = {**running.variables, **SERVER, **({"MODAL_ENVIRONMENT": environment} if environment else {})}
    printed = run([sys.executable, "-m", "benchmarks.client", *measurements], variables, CLIENT_SECONDS)
    time.sleep(scale.SETTLE_SECONDS)
    return Measured(json.loads(printed.splitlines()[-1]), memory.megabytes(running.pid))


def import_times() -> Times:
    """A fresh process imports what blocks need."""
    times = []
    for _ in range(scale.IMPORTS):
        begin = time.perf_counter()
        run([sys.executable, "-c", IMPORT], {"DISABLE_VERSION_CHECK": "True"}, COMMAND_SECONDS)
        times.append(1000 * (time.perf_counter() - begin))
    return Times.of(times)


def main() -> int:
    """Measures everything; exit status 1 if a call failed."""
    argparse.ArgumentParser("python -m benchmarks", description=__doc__).parse_args()
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} processors, load {load:.1f}" + (": BUSY, figures are worse" if load > BUSY_LOAD else ""))
    imports = import_times()
    with plane(prefork=0) as running:
        running.deploy(*APP)
        cold = measure(running, "first_calls", "latency", "throughput", "input_paths", "result_image")
        running.deploy(*UNSHARED, environment="unshared")
        unshared = measure(running, "unshared_first_calls", environment="unshared")
    with plane(prefork=PREFORK) as running:
        running.deploy(*APP)
        ahead = measure(running, "first_calls", "latency", "throughput")
    report_latency(imports, cold.times("latency"), ahead.times("latency"))
    failures = report_throughput({"cold": cold, f"{PREFORK} ahead": ahead})
    report_memory(cold, ahead)
    report_inputs(cold.answers["input_paths"])
    report_results(cold.times("result_image"))
    report_workspaces(cold, unshared)
    return 1 if failures else 0


def report_latency(imports: Times, cold: Times, ahead: Times) -> None:
    """A call of a trivial block, from the server's executor to its result."""
    heading("latency of a fresh single-use container with inference imported, 20 workspaces in turn")
    line("import in a fresh process", str(imports))
    line("forked when called", f"{cold}   {times_less(imports.p50, cold.p50)}   {verdict(cold.p50, COLD_GOAL_MS)}")
    line(
        f"{PREFORK} forked ahead",
        f"{ahead}   {times_less(imports.p50, ahead.p50)}   {verdict(ahead.p50, PREFORKED_GOAL_MS)}",
    )


def report_throughput(measured: dict[str, Measured]) -> int:
    """Calls a second; gives how many failed."""
    heading(f"throughput, {scale.THREADS} threads over {scale.WORKSPACES} workspaces")
    failures = 0
    for name, each in measured.items():
        answer = each.answers["throughput"]
        failures += answer["failures"]
        met = "met" if answer["per_second"] >= THROUGHPUT_GOAL and not answer["failures"] else "MISSED"
        line(
            name,
            f"{answer['per_second']:6.1f} a second, {answer['failures']} of {answer['calls']} failed   "
            f"goal {THROUGHPUT_GOAL:g}: {met}",
        )
    return failures


def report_memory(cold: Measured, ahead: Measured) -> None:
    """Of the control plane and all its containers, after calls of every workspace."""
    heading(f"memory of local Modal after calls of {scale.WORKSPACES} workspaces")
    line("without spares", f"{cold.megabytes:6.0f} MB   {verdict(cold.megabytes, MEMORY_GOAL_MB)}")
    line(
        f"{PREFORK} forked ahead",
        f"{ahead.megabytes:6.0f} MB   {(ahead.megabytes - cold.megabytes) / PREFORK:.0f} each",
    )


def report_inputs(paths: dict[str, list[float]]) -> None:
    """From the array in the caller to the array in the block."""
    heading("a 1080p image into a block (6.2 MB)")
    first = Times.of(next(iter(paths.values())))
    for name, milliseconds in paths.items():
        times = Times.of(milliseconds)
        line(name, f"{times}   {times.p50 / first.p50:4.1f} x the first")


def report_results(times: Times) -> None:
    """From the image in a block's result to the image that the engine gets, without the way between."""
    heading("a 1080p image of a result, encoded and decoded without loss (processor time)")
    line("as it is", f"{times}   {verdict(times.p50, RESULT_IMAGE_GOAL_MS)}")


def report_workspaces(shared: Measured, unshared: Measured) -> None:
    """First calls of workspaces after that of the first one."""
    heading("first call of a workspace, after the first workspace's")
    one, each = Times.of(shared.answers["first_calls"][1:]), Times.of(unshared.answers["unshared_first_calls"][1:])
    line("one zygote for all", f"{one}   {times_less(each.p50, one.p50)}")
    line("one for each workspace", str(each))
    per_workspace = (unshared.megabytes - shared.megabytes) / scale.UNSHARED_WORKSPACES
    line("memory of each further one", f"{per_workspace:.0f} MB, none where one zygote serves all")


def heading(text: str) -> None:
    print(f"\n{text}")


def line(name: str, text: str) -> None:
    print(f"  {name:<30} {text}")


def times_less(slow: float, fast: float) -> str:
    return f"{slow / fast:6.0f} x faster"


def verdict(value: float, goal: float) -> str:
    return f"goal {goal:g}: {'met' if value <= goal else 'MISSED'}"


if __name__ == "__main__":
    sys.exit(main())
