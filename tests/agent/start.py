#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How an agent starts: joining with a token, what it refuses, what it records, several on one machine."""
import json
import os
import subprocess

from fake import KEY, PROGRAM, Server, World, replica, wait


def run(*words, **options):
    return subprocess.run([PROGRAM, "agent", *map(str, words)], capture_output=True, text=True, timeout=30, check=False, **options)


def joins(w):
    token = w.folder / "token"
    token.write_text("token\n")
    w.start_agent(1, "--join", "--token-file", str(token), join=True)
    wait("it registers", lambda: w.server.facts)
    key = w.data() / "key"
    assert key.read_text() == KEY and key.stat().st_mode & 0o777 == 0o600
    # again with the same command line: the key is there, no token is used
    w.kill_agent()
    w.start_agent(1, "--join", "--token-file", str(token), join=True)
    wait("it registers again", lambda: len(w.server.facts) == 2)
    used = run("--data", w.folder / "other", "--server", w.server.url, "--join", env=os.environ | {"TESSERA_TOKEN": "token"})
    assert used.returncode == 1 and "works once" in used.stderr, used
    for line in (w.folder / "agent-1.log").read_text().splitlines() + used.stderr.splitlines():
        assert KEY not in line
    print("joins")


def refuses(w):
    for words, says in {
        ("--data", w.folder): "--server URL is missing",
        ("--server", "http://127.0.0.1:1"): "--data FOLDER is missing",
        ("--nonsense",): "no such option",
        ("--cpus", "-1"): "--cpus",
        ("--memory", "1.5"): "--memory",
        ("--place", "a/b"): "PROVIDER/REGION",
        ("--ask", "0.0000001"): "--ask",
    }.items():
        done = run(*words)
        assert done.returncode == 2 and says in done.stderr, (words, done)
    base = ("--data", w.folder / "x", "--server", w.server.url)
    assert "no key" in run(*base).stderr
    assert "more than" in run(*base, "--cpus", "100000").stderr
    assert "not loopback" in run("--data", w.data(2), "--server", "http://10.1.2.3:7070", "--key-file", w.data() / "key").stderr
    assert "another agent runs" in run("--data", w.data(), "--server", w.server.url).stderr
    assert "Makes this machine" in run("--help").stdout
    print("refuses")


def tells(w):
    """What is recorded can be told again, on any machine."""
    recorded = w.folder / "facts.json"
    done = run("--record", recorded, "--name", "recorded")
    assert done.returncode == 0, done
    facts = json.loads(recorded.read_text())
    assert facts["amounts"]["core_milli"] >= 1000 and facts["sku"], facts
    facts |= {"sku": "h100-8x", "accelerator": "H100", "gpus": [{"index": i, "uuid": f"GPU-{i}", "model": "H100", "memory_mib": 81559} for i in range(8)]}
    facts["amounts"] |= {"gpu_milli": 8000}
    recorded.write_text(json.dumps(facts))
    server = Server()
    w.start_agent(2, "--facts", str(recorded), "--ask", "2.5", "--label", "green", server=server)
    told = wait("it registers", lambda: server.facts)[0]
    assert (told["sku"], len(told["gpus"]), told["amounts"]["gpu_milli"], told["ask_udollar_per_hour"], told["labels"]) == ("h100-8x", 8, 8000, 2500000, ["green"]), told
    server.want(replica("work_gpu", run="echo $CUDA_VISIBLE_DEVICES", gpus=[2, 5]))
    assert server.wait_report("ended", "work_gpu")["last_lines"] == "GPU-2,GPU-5\n"
    server.want()
    wait("gone", lambda: not w.replicas(2))
    server.close()
    print("tells")


def several(w):
    """Two on one machine: users and cgroups of their own."""
    w.start_agent(3, "--cpus", "0.5", "--memory", "256MiB")
    told = wait("it registers", lambda: [f for f in w.server.facts if f["name"] == "node-3"])[0]
    assert (told["amounts"]["core_milli"], told["amounts"]["memory_mib"], told["address"]) == (500, 256, "127.0.9.3"), told
    numbers = {(w.data(n) / "installation").read_text() for n in (1, 2, 3)}
    assert len(numbers) == 3
    if os.geteuid() == 0:
        with open("/var/lib/tessera/users", encoding="ascii") as claims:
            firsts = [line.split()[0] for line in claims if str(w.folder) in line]
        assert len(firsts) == len(set(firsts)) >= 3, firsts
    print("several")


with World() as world:
    joins(world)
    refuses(world)
    tells(world)
    several(world)
