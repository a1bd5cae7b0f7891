#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the server, again and again, with work going on: every acknowledged submit is there, nothing
runs twice, the journal replays to what the live server wrote, and running processes never notice.

    kill_server.py [KILLS]        default: 50"""
import http.client
import json
import os
import random
import subprocess
import sys
import threading
import time

from harness import ENDED, TESSERA, Cluster, Refused, wait

KILLS = int(sys.argv[1]) if len(sys.argv) > 1 else int(os.environ.get("KILLS", "50"))
SEED = int(os.environ.get("SEED", "7"))


class Runs:
    """Where what runs leaves its traces: a folder that every uid may write to."""

    def __init__(self, cluster):
        self.folder = cluster.folder / "runs"
        self.folder.mkdir()
        self.folder.chmod(0o777)
        cluster.folder.chmod(0o755)

    def job(self, name):
        return {"name": name, "nodes": 1, "preemptible": True, "choices": [{"amounts": {"core_milli": 10, "memory_mib": 8}}],
                "limit_udollar_per_hour": 400000, "minimum_run_ms": 60000, "run": f"echo $TESSERA_ATTEMPT $$ >> {self.folder}/{name}"}

    def ticker(self):
        job = self.job("ticker")
        job["run"] = f"while :; do echo $TESSERA_ATTEMPT $$ >> {self.folder}/ticker; sleep 0.02; done"
        return job

    def lines(self, name):
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


class Submitter(threading.Thread):
    """Submits without a pause, each job under a key of its own, and asks again under the same key until
    it is acknowledged: what a client does that has lost its connection."""

    def __init__(self, cluster, runs, number):
        super().__init__(daemon=True)
        self.cluster, self.runs, self.number = cluster, runs, number
        self.acked, self.repeated, self.stop, self.problem = {}, 0, False, None

    def submit(self, name):
        while True:
            try:
                body = json.dumps(self.runs.job(name))
                headers = {"Idempotency-Key": name, "Content-Type": "application/json"}
                made = self.cluster.request("POST", "/v1/workloads", body, headers=headers)
                self.repeated += bool(made.get("repeated"))
                return made["id"]
            except (OSError, http.client.HTTPException):
                time.sleep(0.005)
            except Refused as refused:
                if refused.status != 503:
                    raise
                time.sleep(0.005)

    def run(self):
        try:
            while not self.stop:
                name = f"job-{self.number}-{len(self.acked)}"
                self.acked[name] = self.submit(name)
                time.sleep(0.02)
        except Exception as problem:  # shown by the main thread
            self.problem = problem


def replay(cluster):
    done = subprocess.run([TESSERA, "replay", "--data", str(cluster.data), "--verify", "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def kill_often(cluster, submitters, chance):
    for kill in range(KILLS):
        before = sum(len(s.acked) for s in submitters)
        # Sometimes before anything was acknowledged, sometimes in the middle of much.
        if chance.random() < 0.7:
            wait("something is acknowledged", lambda: sum(len(s.acked) for s in submitters) > before, 30)
        time.sleep(chance.uniform(0, 0.15))
        cluster.kill_server()
        if kill % 10 == 9:
            replay(cluster)
        cluster.start_server()
        for s in submitters:
            assert s.problem is None, s.problem


def every_workload(cluster):
    found, cursor = {}, ""
    while True:
        page = cluster.request("GET", "/v1/workloads?limit=500" + (f"&cursor={cursor}" if cursor else ""))
        for w in page["workloads"]:
            found.setdefault(w["name"], []).append(w)
        cursor = page.get("cursor")
        if not cursor:
            return found


def check(cluster, runs, acked, ticker):
    def all_ended():
        found = every_workload(cluster)
        waiting = [n for n in acked if any(w["state"] not in ENDED for w in found.get(n, [{"state": "lost"}]))]
        return not waiting

    wait("everything has ended", all_ended, 120)
    found = every_workload(cluster)
    for name, work in acked.items():
        assert [w["id"] for w in found.get(name, [])] == [work], f"{name}: acknowledged as {work}, there are {found.get(name)}"
        assert found[name][0]["state"] == "finished" and found[name][0]["attempt"] == 1, found[name]
        assert len(runs.lines(name)) == 1, f"{name} ran {runs.lines(name)}"
    ticks = runs.lines("ticker")
    assert len(set(ticks)) == 1, f"the ticker was disturbed: {sorted(set(ticks))}"
    now = cluster.status(ticker)
    assert now["state"] == "running" and now["attempt"] == 1, now
    wait("the ticker goes on", lambda: len(runs.lines("ticker")) > len(ticks), 10)


def main():
    chance = random.Random(SEED)
    with Cluster(agents=2, cpus="0.5", settings={"minimum_run_ms": 60000}, serve_options=["--snapshot-every", "60"]) as cluster:
        runs = Runs(cluster)
        ticker = cluster.submit(runs.ticker())
        cluster.wait_state(ticker, "running")
        submitters = [Submitter(cluster, runs, n) for n in range(3)]
        for s in submitters:
            s.start()
        kill_often(cluster, submitters, chance)
        for s in submitters:
            s.stop = True
        for s in submitters:
            s.join(60)
            assert s.problem is None and not s.is_alive(), s.problem
        acked = {name: work for s in submitters for name, work in s.acked.items()}
        check(cluster, runs, acked, ticker)
        cluster.kill_server()
        told = replay(cluster)
        print(f"{KILLS} kills, {len(acked)} acknowledged ({sum(s.repeated for s in submitters)} by asking again), none lost, none twice; "
              f"replay of {told['groups']} groups agrees at {told['seq']}")
        cluster.start_server()


main()
