# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: the machine in words, the load program, the floor, the other load on the
machine while a sample is taken. Each benchmark prints one JSON object on standard output, its progress
on standard error, and keeps its data under the build folder (a disk, where /tmp may be memory)."""
import contextlib
import json
import os
import pathlib
import platform
import signal
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(os.environ.get("SOURCE") or pathlib.Path(__file__).resolve().parent.parent)
BUILD = pathlib.Path(os.environ.get("BUILD") or SOURCE / "build")
TESSERA = os.environ.setdefault("TESSERA", str(BUILD / "tessera"))
sys.path.insert(0, str(SOURCE / "tests" / "e2e"))
tempfile.tempdir = str(BUILD)
TICK = os.sysconf("SC_CLK_TCK")


def say(*words):
    print("bench:", *words, file=sys.stderr, flush=True)


def median(values):
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def rounded(value, digits=3):
    return None if value is None else round(value, digits)


def machine():
    def first(path, key):
        with contextlib.suppress(OSError):
            for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
                if line.startswith(key):
                    return line.split(":", 1)[1].strip()
        return None

    kib = first("/proc/meminfo", "MemTotal") or "0 kB"
    filesystem = subprocess.run(["stat", "-f", "-c", "%T", str(BUILD)], capture_output=True, text=True, check=False).stdout.strip()
    return {"cpu": first("/proc/cpuinfo", "model name"), "cores": len(os.sched_getaffinity(0)),
            "memory_mib": int(kib.split()[0]) // 1024, "kernel": platform.release(), "filesystem": filesystem}


def cpu_seconds(pid):
    """User and system time of a process with its threads, 0 once it is gone."""
    with contextlib.suppress(OSError):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK
    return 0.0


def busy_seconds():
    """Time that all cores together have spent on anything since the boot."""
    user, nice, system, _idle, _wait, irq, soft, steal = map(int, pathlib.Path("/proc/stat").read_text(encoding="utf-8").split()[1:9])
    return (user + nice + system + irq + soft + steal) / TICK


class Meter:
    """How many cores others were using meanwhile: all busy time less that of the processes named. A sample
    with more than a few tenths here was taken on a busy machine."""

    def __init__(self, *pids):
        self.pids = pids
        self.start = time.monotonic()
        self.busy = busy_seconds()
        self.own = {pid: cpu_seconds(pid) for pid in pids}
        children = os.times()
        self.children = children.children_user + children.children_system

    def read(self):
        span = time.monotonic() - self.start
        times = os.times()
        own = sum(cpu_seconds(pid) - before for pid, before in self.own.items())
        own += times.children_user + times.children_system - self.children
        result = {pid: (cpu_seconds(pid) - before) / span for pid, before in self.own.items()}
        result["others"] = max(0.0, (busy_seconds() - self.busy - own) / span)
        return result


def load(mode, **options):
    """Runs the load program to its end and returns what it printed; its exit code as "code"."""
    done = subprocess.run(load_command(mode, options), stdout=subprocess.PIPE, text=True, check=False)
    try:
        return json.loads(done.stdout) | {"code": done.returncode}
    except ValueError:
        raise SystemExit(f"bench: load {mode} ended with {done.returncode} and said {done.stdout!r}") from None


def load_command(mode, options):
    words = [str(BUILD / "bench" / "load"), mode]
    for name, value in options.items():
        words += [f"--{name}", str(value)]
    return words


@contextlib.contextmanager
def background(mode, **options):
    process = subprocess.Popen(load_command(mode, options), stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


@contextlib.contextmanager
def floor_server(answer_bytes=0):
    with subprocess.Popen([str(BUILD / "bench" / "floor"), str(answer_bytes)], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline()), process.pid
        finally:
            process.kill()


@contextlib.contextmanager
def stopped(*pids):
    """Nothing of these runs meanwhile: what they put off must not slow down what is measured beside them."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def result(name, values, **more):
    print(json.dumps({"bench": name} | values | more | {"machine": machine()}), flush=True)
