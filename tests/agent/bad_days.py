#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Agents that are killed, stopped or cut off; holders that are killed; and work that must never tick twice at a time."""
import contextlib
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

from fake import PROGRAM, Server, World, replica, wait

TIMEOUT_MS = 1500


class Ticks:
    """A file into which attempts write a line each 20 ms: which one, and when by the clock since boot."""

    def __init__(self, w, name):
        self.path = w.folder / name
        self.path.touch()
        self.path.chmod(0o666)

    def run(self):
        return f"""exec python3 -c 'import os, time
f = os.open("{self.path}", os.O_WRONLY | os.O_APPEND)
while True:
    os.write(f, b"%s %d\\n" % (os.environb[b"TESSERA_ATTEMPT"], time.clock_gettime_ns(time.CLOCK_BOOTTIME)))
    time.sleep(0.02)'"""

    def all(self):
        return [(int(a), int(t) / 1e9) for a, t in (line.split() for line in self.path.read_text().splitlines(True) if line.endswith("\n"))]

    def last(self, attempt=1):
        return max((t for a, t in self.all() if a == attempt), default=0)

    def goes_on(self, attempt=1, seconds=10):
        seen = self.last(attempt)
        wait(f"attempt {attempt} ticks", lambda: self.last(attempt) > seen, seconds)

    def stands(self, attempt=1, seconds=10):
        """Waits until a quarter of a second passes without a tick."""
        wait(f"attempt {attempt} stands still", lambda: time.clock_gettime(time.CLOCK_BOOTTIME) - self.last(attempt) > 0.25, seconds)

    def check_never_two(self):
        ticks = self.all()
        for attempt in sorted({a for a, _ in ticks})[1:]:
            first = min(t for a, t in ticks if a == attempt)
            before = max(t for a, t in ticks if a < attempt)
            assert before < first, f"attempt {attempt} began {before - first:.3f} s before an older one stood still"


def killed_agent():
    """kill -9 of an agent: work goes on and is found; what ended meanwhile is told with its code; nothing runs twice."""
    with World() as w:
        ticks = Ticks(w, "ticks")
        w.start_agent()
        wanted = [replica("work_on", run=ticks.run()), replica("work_ends", run=f"echo one; until [ -e {w.folder}/go ]; do sleep 0.05; done; echo two; exit 42"),
                  replica("work_dies", run=f"until [ -e {w.folder}/go ]; do sleep 0.05; done; kill -SEGV $$")]
        w.server.want(*wanted)
        for one in wanted:
            w.server.wait_report("started", one["workload"])
        wait("its first line is shipped", lambda: w.server.log("work_ends") == "one\n")
        ticks.goes_on()
        w.kill_agent()
        ticks.goes_on()
        (w.folder / "go").touch()
        wait("both have ended", lambda: all((w.data() / "replicas" / f"{n}.1.0.0" / "ended.json").exists() for n in ("work_ends", "work_dies")))
        time.sleep(0.5)
        w.start_agent()
        end = w.server.wait_report("ended", "work_ends")
        assert (end["exit_code"], end["last_lines"]) == (42, "one\ntwo\n") and end["ago_ms"] >= 500, end
        assert w.server.log("work_ends") == "one\ntwo\n", w.server.logs
        end = w.server.wait_report("ended", "work_dies")
        assert (end["exit_code"], end["signal"]) == (139, 11), end
        ticks.goes_on()
        assert len([r for r in w.server.reports if r["kind"] == "started"]) == 3, w.server.reports
        # what is not wanted any more when the agent comes back does not go on
        w.kill_agent()
        w.server.want()
        ticks.goes_on()
        w.start_agent()
        ticks.stands()
        wait("nothing is left", lambda: not w.replicas())
    print("killed agent")


def killed_holder():
    with World() as w:
        ticks = Ticks(w, "ticks")
        w.start_agent()
        w.server.want(replica("work_h", run=f"(trap '' HUP; {ticks.run()[5:]}) & sleep 100"))
        w.server.wait_report("started", "work_h")
        ticks.goes_on()
        for pid in w.holders():
            with contextlib.suppress(ProcessLookupError):  # those that wait go with the first one
                os.kill(pid, signal.SIGKILL)
        end = w.server.wait_report("ended", "work_h")
        assert end["signal"] == 9 and "killed" in end["last_lines"], end
        ticks.stands()
        w.server.want(replica("work_next", run="exit 1"))
        assert w.server.wait_report("ended", "work_next")["exit_code"] == 1
    print("killed holder")


OWN_MOUNTS = pathlib.Path(__file__).resolve().parent.parent / "own-mounts"

# Machines that have mounted less than this one: what a program sees of /sys/fs/cgroup.
MACHINES = {
    "v1": "umount /sys/fs/cgroup/unified",
    "v2": "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup",
    "none": "umount -R /sys/fs/cgroup",
}


def machine(w, name):
    """A program that is ours on such a machine."""
    wrapper = w.folder / "machine"
    wrapper.write_text(f"#!/bin/sh\nexec {OWN_MOUNTS} sh -c '{MACHINES[name]}; exec {os.path.abspath(PROGRAM)} \"$@\"' sh \"$@\"\n")
    wrapper.chmod(0o755)
    return wrapper


def hybrid():
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        return " /sys/fs/cgroup/unified cgroup2 " in mounts.read()


def frozen(how, leave, back, on=None):
    """Out of contact for the timeout: frozen where asked, others go on; wanted still when contact returns: thawed."""
    with World(contact_timeout_ms=TIMEOUT_MS, renew_ms=300) as w:
        ticks, others = Ticks(w, "ticks"), Ticks(w, "others")
        w.start_agent(program=machine(w, on) if on else None)
        w.server.want(replica("work_f", run=ticks.run(), on_lost_contact="freeze"), replica("work_c", run=others.run()))
        w.server.wait_report("started", "work_f")
        ticks.goes_on()
        time.sleep(TIMEOUT_MS / 1000)  # longer than the timeout in contact: it does not freeze
        ticks.goes_on()
        left = time.clock_gettime(time.CLOCK_BOOTTIME)
        leave(w)
        ticks.stands()
        stood = ticks.last() - left
        assert TIMEOUT_MS / 1000 - 0.8 < stood < TIMEOUT_MS / 1000 + 0.2, f"stood still {stood:.3f} s after contact was lost"
        others.goes_on()
        back(w)
        ticks.goes_on()
        others.goes_on()
        # and gone for good when it is not wanted: not one tick more
        leave(w)
        ticks.stands()
        w.server.stale.add(("work_f", 1))
        w.server.want(replica("work_f", run=ticks.run(), attempt=2, on_lost_contact="freeze"))
        last = ticks.last()
        back(w)
        ticks.goes_on(attempt=2)
        assert ticks.last() == last, "the old attempt ticked again"
        ticks.check_never_two()
        others.stands()
        if on:
            print("goes without:", w.server.facts[0]["missing"])
    print("frozen:", how)


def two_nodes():
    """A node that is cut off while another one gets the next attempt."""
    with World(contact_timeout_ms=TIMEOUT_MS, renew_ms=300) as w:
        ticks, second = Ticks(w, "ticks"), Server(contact_timeout_ms=TIMEOUT_MS, renew_ms=300)
        w.start_agent(1)
        w.start_agent(2, server=second)
        w.server.want(replica("work_f", run=ticks.run(), on_lost_contact="freeze"))
        ticks.goes_on()
        w.server.cut_off()
        time.sleep(TIMEOUT_MS / 1000 + 0.5)  # what a server waits, with a smaller margin
        second.want(replica("work_f", run=ticks.run(), attempt=2, on_lost_contact="freeze"))
        ticks.goes_on(attempt=2)
        w.server.want()
        w.server.cut_off(False)
        wait("the old attempt is ended", lambda: not w.replicas(1))
        ticks.goes_on(attempt=2)
        ticks.check_never_two()
        second.close()
    print("two nodes")


def stop_while_frozen():
    """Told to end while it stands still without contact: it does not run on, and is killed at its deadline."""
    with World(contact_timeout_ms=TIMEOUT_MS, renew_ms=300) as w:
        ticks = Ticks(w, "ticks")
        w.start_agent()
        wanted = replica("work_f", run=ticks.run(), on_lost_contact="freeze")
        w.server.want(wanted)
        ticks.goes_on()
        w.agents[1].send_signal(signal.SIGSTOP)
        ticks.stands()
        w.server.want(wanted | {"action": "stop", "stop_in_ms": 600})
        w.agents[1].send_signal(signal.SIGCONT)
        end = w.server.wait_report("ended", "work_f")
        assert end["signal"] == 15, end
    print("stop while frozen")


def full_disk():
    """No room for records: what must end is killed all the same, and an end is told once there is room."""
    with World() as w:
        w.data().mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", w.data()], check=True)
        filler = w.data() / "filler"
        try:
            ticks = Ticks(w, "ticks")
            w.start_agent()
            w.server.want(replica("work_t", run=ticks.run()), replica("work_e", run=f"until [ -e {w.folder}/go ]; do sleep 0.05; done; exit 9"))
            ticks.goes_on()
            w.server.wait_report("started", "work_e")
            with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
            w.server.want(replica("work_e"), replica("work_n"))  # work_t is not wanted any more
            ticks.stands()
            (w.folder / "go").touch()
            time.sleep(0.3)
            assert not w.server.found("ended", "work_e")
            filler.unlink()
            assert w.server.wait_report("ended", "work_e")["exit_code"] == 9
            assert "space" in w.server.wait_report("ended", "work_n")["text"]
            w.server.want()
            wait("nothing is left", lambda: not w.replicas())
        finally:
            w.agents[1].terminate()
            w.agents[1].wait()
            w.kill_holders()
            subprocess.run(["umount", "-l", w.data()], check=True)
    print("full disk")


def many_kills(seed):
    """An agent that is killed over and over: each replica runs once, and every end is told as it was."""
    rng = random.Random(seed)
    print("many kills, seed", seed)
    with World() as w:
        ran = w.folder / "ran"
        ran.touch()
        ran.chmod(0o666)
        wanted = [replica(f"work_{i}", run=f"echo {i} >>{ran}; sleep 0.{rng.randrange(10)}; exit {i}") for i in range(30)]
        w.server.want(*wanted)
        end = time.monotonic() + 60
        while sum(bool(w.server.found("ended", f"work_{i}")) for i in range(30)) < 30 and time.monotonic() < end:
            w.start_agent()
            time.sleep(rng.uniform(0.02, 0.5))
            w.kill_agent()
        w.start_agent()
        for i in range(30):
            assert w.server.wait_report("ended", f"work_{i}")["exit_code"] == i
        assert sorted(map(int, ran.read_text().split())) == list(range(30)), ran.read_text()
        w.server.want()
        wait("nothing is left", lambda: not w.replicas())


def main():
    killed_agent()
    killed_holder()
    frozen("agent stopped", lambda w: w.agents[1].send_signal(signal.SIGSTOP), lambda w: w.agents[1].send_signal(signal.SIGCONT))
    frozen("agent killed", lambda w: w.kill_agent(), lambda w: w.start_agent())
    frozen("server away", lambda w: w.server.cut_off(), lambda w: w.server.cut_off(False))
    if hybrid():
        for name in MACHINES:
            frozen(f"server away, cgroups: {name}", lambda w: w.server.cut_off(), lambda w: w.server.cut_off(False), on=name)
    two_nodes()
    stop_while_frozen()
    full_disk()
    many_kills(int(os.environ.get("SEED", "1")))


if os.geteuid() != 0:
    print("skipped: takes root")
    sys.exit(77)
main()
