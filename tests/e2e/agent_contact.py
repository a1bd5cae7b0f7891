#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Contact that is lost: an agent stopped, a link cut, a server away. Work with `on_lost_contact: freeze`
ticks into a shared file, and no two attempts ever tick at once; other work goes on, and an old attempt is
refused and ended when contact returns."""
import os
import select
import signal
import socket
import sys
import threading
import time

from harness import Cluster, skip, wait
from ticks import Ticks

TIMEOUT_MS = 2000
MARGIN_S = 10  # what the server waits beyond the timeout, for holders to have frozen


class Link:
    """A relay in front of the server that can be cut: bytes are held back, nobody is told."""

    def __init__(self, port):
        self.port, self.whole = port, threading.Event()
        self.whole.set()
        self.door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.door.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.door.accept()
                far = socket.create_connection(("127.0.0.1", self.port))
            except OSError:
                return
            threading.Thread(target=self.relay, args=(near, far), daemon=True).start()

    def relay(self, near, far):
        ends = {near: far, far: near}
        with near, far:
            while True:
                ready, _, _ = select.select(list(ends), [], [], 1)
                for end in ready:
                    data = end.recv(65536)
                    self.whole.wait()
                    if not data:
                        return
                    ends[end].sendall(data)


def submit(c, ticks, freeze):
    return c.submit({"nodes": 1, "run": ticks.run(), "choices": [{"amounts": {"core_milli": 100, "memory_mib": 64}}],
                     "preemptible": True, "on_lost_contact": "freeze" if freeze else "continue"})


def lost_node(how, prepare, leave, back):
    """A node is away for longer than the timeout while another one is there to take its work."""
    with Cluster(settings={"contact_timeout_ms": TIMEOUT_MS}) as c:
        freezing, other = Ticks(c, "freezing"), Ticks(c, "other")
        c.start_agent(1, *prepare(c))
        c.wait_nodes(1)
        works = [submit(c, freezing, True), submit(c, other, False)]
        for work in works:
            c.wait_state(work, "running")
        c.start_agent(2)
        c.wait_nodes(2)
        freezing.goes_on()
        left = time.clock_gettime(time.CLOCK_BOOTTIME)
        leave(c)
        freezing.stands()
        assert freezing.last() - left < TIMEOUT_MS / 1000 + 0.3, "frozen too late"
        other.goes_on()
        other.goes_on(attempt=2)  # it may run twice, and the old one goes on
        other.goes_on()
        freezing.goes_on(attempt=2, seconds=MARGIN_S + 30)
        last = freezing.last()
        back(c)
        other.stands(seconds=60)
        wait("the old attempts are gone", lambda: not list((c.folder / "agent-1" / "replicas").iterdir()), 60)
        assert freezing.last() == last, "a frozen attempt ticked when contact returned"
        freezing.goes_on(attempt=2)
        other.goes_on(attempt=2)
        freezing.check_never_two()
        for work in works:
            assert c.status(work)["attempt"] == 2, c.status(work)
            c.request("POST", f"/v1/workloads/{work}/cancel", {})
            c.wait_state(work, "cancelled")
    print("lost node:", how)


def server_away():
    """The server is gone for longer than the timeout: everything goes on with what it had."""
    with Cluster(agents=2, settings={"contact_timeout_ms": TIMEOUT_MS}) as c:
        freezing, other = Ticks(c, "freezing"), Ticks(c, "other")
        works = [submit(c, freezing, True), submit(c, other, False)]
        for work in works:
            c.wait_state(work, "running")
        other.goes_on()
        c.kill_server()
        freezing.stands()
        other.goes_on()
        time.sleep(MARGIN_S / 2)  # the server's own time stands still meanwhile: how long does not matter
        other.goes_on()
        c.start_server()
        freezing.goes_on(seconds=60)
        other.goes_on()
        assert {a for a, _ in freezing.all() + other.all()} == {1}
        for work in works:
            assert c.status(work)["state"] == "running", c.status(work)
    print("server away")


if os.geteuid() != 0:
    skip("freezing takes cgroups, and those root")
which = sys.argv[1:] or ["stopped", "cut", "server"]
if "stopped" in which:
    lost_node("agent stopped", lambda c: (), lambda c: c.agents[1].send_signal(signal.SIGSTOP), lambda c: c.agents[1].send_signal(signal.SIGCONT))
if "cut" in which:
    links = []

    def prepare_link(c):
        links.append(Link(c.port))
        return "--server", links[0].url

    lost_node("link cut", prepare_link, lambda c: links[0].whole.clear(), lambda c: links[0].whole.set())
if "server" in which:
    server_away()
