#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The server is away longer than the contact timeout, stopped (SIGSTOP), ended or killed: no node is
given up for it and work goes on. A node that is really away is given up at the timeout, and ten seconds
later where it carries work that must never run twice."""
import signal
import time

from harness import Cluster, wait

TIMEOUT_MS = 2000


def ticker(path, **more):
    return {"name": "ticker", "nodes": 1, "preemptible": True, "choices": [{"amounts": {"core_milli": 10, "memory_mib": 8}}],
            "limit_udollar_per_hour": 400000, "run": f"while :; do echo $TESSERA_ATTEMPT >> {path}; sleep 0.05; done"} | more


def ticks(path):
    return path.read_text().split() if path.exists() else []


def goes_on(path, attempt="1"):
    seen = len(ticks(path))
    wait("the work ticks", lambda: len(ticks(path)) > seen + 2, 20)
    assert set(ticks(path)) == {attempt}, set(ticks(path))


def undisturbed(cluster, work, path):
    """After the server is back: time for a wrong verdict to show, and none does."""
    cluster.wait_nodes(1)
    time.sleep(TIMEOUT_MS / 1000 * 1.5)
    goes_on(path)
    now = cluster.status(work)
    assert now["state"] == "running" and now["attempt"] == 1, now
    lost = [n for n in cluster.request("GET", "/v1/nodes")["nodes"] if n["state"] != "up"]
    assert not lost, lost


def stopped(cluster):
    cluster.server.send_signal(signal.SIGSTOP)
    time.sleep(TIMEOUT_MS / 1000 * 2)
    cluster.server.send_signal(signal.SIGCONT)


def ended(cluster):
    assert cluster.stop_server() == 0
    time.sleep(TIMEOUT_MS / 1000 * 2)
    cluster.start_server()


def killed(cluster):
    cluster.kill_server()
    time.sleep(TIMEOUT_MS / 1000 * 2)
    cluster.start_server()


def given_up(cluster, least, most):
    """The agent goes away; how long after that its node is given up."""
    cluster.kill_agent(1)
    begin = time.monotonic()
    wait("the node is given up", lambda: cluster.request("GET", "/v1/nodes/node-1")["state"] == "lost", most)
    took = time.monotonic() - begin
    assert took >= least, f"given up after {took:.1f} s"
    return took


def main():
    with Cluster(agents=1, settings={"contact_timeout_ms": TIMEOUT_MS}) as cluster:
        cluster.folder.chmod(0o755)
        runs = cluster.folder / "runs"
        runs.mkdir()
        runs.chmod(0o777)
        path = runs / "ticks"
        work = cluster.submit(ticker(path))
        cluster.wait_state(work, "running")
        for away in (stopped, ended, killed):
            away(cluster)
            undisturbed(cluster, work, path)
            print(away.__name__, "and back: undisturbed", flush=True)
        # a poll may just have been answered when the agent goes: it is the last renewal
        print(f"given up after {given_up(cluster, TIMEOUT_MS / 1000 - 1, 30):.1f} s", flush=True)
        cluster.wait_state(work, "waiting")
        cluster.start_agent(1)
        cluster.wait_nodes(1)
        cluster.request("POST", f"/v1/workloads/{work}/cancel")
        cluster.wait_state(work, "cancelled", seconds=60)
        frozen = runs / "frozen"
        work = cluster.submit(ticker(frozen, on_lost_contact="freeze"))
        cluster.wait_state(work, "running")
        took = given_up(cluster, TIMEOUT_MS / 1000 + 9, 60)
        cluster.wait_state(work, "waiting")
        print(f"with work that freezes: after {took:.1f} s", flush=True)


main()
