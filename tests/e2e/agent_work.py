#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Work on nodes: found again after the agent was killed, held in, served with its files, side by side."""
import os
import sys

from harness import SOURCE, TESSERA, Cluster, skip, wait
from ticks import Ticks

SMALL = [{"amounts": {"core_milli": 100, "memory_mib": 64}}]


def killed_agent():
    """kill -9 of an agent: work goes on and is found, and what ended meanwhile is told with its code."""
    with Cluster(agents=1) as c:
        ticks = Ticks(c, "ticks")
        go = c.folder / "go"
        on = c.submit({"nodes": 1, "run": ticks.run(), "choices": SMALL})
        ends = c.submit({"nodes": 1, "run": f"echo one; until [ -e {go} ]; do sleep 0.05; done; echo two; exit 42", "choices": SMALL})
        for work in (on, ends):
            c.wait_state(work, "running")
        wait("its first line is there", lambda: c.log(ends) == "one\n")
        c.kill_agent(1)
        ticks.goes_on()
        go.touch()
        wait("its end is on disk", lambda: list((c.folder / "agent-1").glob(f"replicas/{ends}.*/ended.json")))
        c.start_agent(1)
        end = c.wait_state(ends, "failed")
        assert (end["exit_code"], end["attempt"], end["last_lines"]) == (42, 1, "one\ntwo\n"), end
        assert c.log(ends) == "one\ntwo\n"
        ticks.goes_on()
        assert c.status(on)["attempt"] == 1 and {a for a, _ in ticks.all()} == {1}
        c.request("POST", f"/v1/workloads/{on}/cancel", {})
        c.wait_state(on, "cancelled")
        ticks.stands()
    print("killed agent")


def held_in():
    """Killed for memory; a user of its own without new rights; nothing to read of a neighbour's."""
    with Cluster(agents=1, cpus="0.5") as c:
        eats = c.submit({"nodes": 1, "run": "exec python3 -c 'x = bytearray(500 << 20)'", "choices": SMALL})
        end = c.wait_state(eats, "failed")
        assert end["exit_code"] == 137 and "memory" in str(end).lower(), end
        first = c.submit({"nodes": 1, "run": "echo secret >~/file; id -u; grep NoNewPrivs /proc/self/status; sleep 60", "choices": SMALL})
        wait("it is there", lambda: "NoNewPrivs" in c.log(first))
        log = c.log(first).split()
        assert int(log[0]) >= 1900000000 and log[2] == "1", log
        c.folder.chmod(0o755)
        spies = c.submit({"nodes": 1, "run": f"cat {c.folder}/agent-1/replicas/{first}.1.0.0/home/file; cat {c.folder}/agent-1/key; id -u; true", "choices": SMALL})
        c.wait_state(spies, "finished")
        log = c.log(spies)
        assert "secret" not in log and "fkey_" not in log and log.split()[-1] != c.log(first).split()[0], log
    print("held in")


def hidden_files():
    """Files come from the server: the nodes do not see the submitter's folder."""
    with Cluster() as c:
        folder = c.folder / "submitter"
        c.folder.chmod(0o755)
        folder.mkdir(mode=0o755)
        (folder / "data.txt").write_text("from the submitter\n")
        (folder / "task.yaml").write_text("workdir: .\nfile_mounts:\n  ~/deep/copy.txt: ./data.txt\nresources:\n  cpus: 0.1\n  memory: 0.0625\n"
                                          f"run: |\n  cat data.txt ~/deep/copy.txt\n  ls {folder}\n")
        wrapper = c.folder / "elsewhere"
        wrapper.write_text(f"#!/bin/sh\nexec {SOURCE.resolve()}/tests/own-mounts sh -c 'mount -t tmpfs none {folder} && exec {os.path.abspath(TESSERA)} \"$@\"' sh \"$@\"\n")
        wrapper.chmod(0o755)
        c.start_agent(1, program=str(wrapper))
        c.wait_nodes(1)
        work = c.run("submit", str(folder / "task.yaml"), cwd=folder).stdout.split()[0]
        c.wait_state(work, "finished")
        assert c.log(work) == "from the submitter\nfrom the submitter\n", c.log(work)
    print("hidden files")


def two_gangs():
    """Two gangs at once with rank 0 of both on one agent: each has a port of its own there."""
    with Cluster(agents=2, cpus="0.5") as c:
        met = c.folder / "met"
        met.mkdir(mode=0o777)
        met.chmod(0o777)
        c.folder.chmod(0o755)
        run = f"""if [ $SKYPILOT_NODE_RANK = 0 ]; then exec python3 -c '
import os, socket, time
door = socket.create_server((os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])))
door.settimeout(60)
print("heard", door.accept()[0].recv(100).decode().strip(), flush=True)
open("{met}/" + os.environ["TESSERA_WORKLOAD"], "w")
while len(os.listdir("{met}")) < 2:
    time.sleep(0.05)'
else until echo $TESSERA_WORKLOAD >/dev/tcp/$MASTER_ADDR/$MASTER_PORT; do sleep 0.1; done 2>/dev/null; fi"""
        works = [c.submit({"nodes": 2, "run": run, "choices": SMALL}) for _ in range(2)]
        heads = set()
        for work in works:
            end = c.wait_state(work, "finished")
            assert c.log(work) == f"heard {work}\n", c.log(work)
            heads.add(next(p["node_name"] for p in end["placements"] if p["rank"] == 0))
        assert len(heads) == 1, heads
    print("two gangs")


if os.geteuid() != 0:
    skip("confinement takes root")
which = sys.argv[1:] or ["killed_agent", "held_in", "hidden_files", "two_gangs"]
for name in which:
    globals()[name]()
