#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A replica's life: told, prepared, started, seen, ended, told to end, forgotten."""
import socket
import time

from fake import World, replica, wait


def exits(w):
    """Codes as they are, signals as 128 and more, the last words of setup where that failed."""
    w.server.want(replica("work_code", run='echo "hello from $TESSERA_WORKLOAD"; exit 3'),
                  replica("work_signal", run="kill -KILL $$"),
                  replica("work_setup", setup="echo first; exit 7", run="echo second"),
                  replica("work_both", setup="echo first >~/made", run="cat ~/made"),
                  replica("work_perl", run="#!/usr/bin/env perl\nprint \"I am perl\\n\"; exit 5;"),
                  replica("work_none", run="#!/does/not/exist"))
    end = w.server.wait_report("ended", "work_code")
    assert (end["exit_code"], end.get("signal", 0)) == (3, 0), end
    assert end["last_lines"] == "hello from work_code\n", end
    assert w.server.log("work_code") == "hello from work_code\n", w.server.logs
    assert 0 <= end["ago_ms"] < 20000 and abs(end["at_ms"] - time.time() * 1000) < 60000, end
    assert w.server.found("started", "work_code")
    end = w.server.wait_report("ended", "work_signal")
    assert (end["exit_code"], end["signal"]) == (137, 9) and not end.get("oom"), end
    end = w.server.wait_report("ended", "work_setup")
    assert (end["exit_code"], end["last_lines"]) == (7, "first\n"), end
    end = w.server.wait_report("ended", "work_both")
    assert (end["exit_code"], end["last_lines"]) == (0, "first\n"), end
    end = w.server.wait_report("ended", "work_perl")
    assert (end["exit_code"], end["last_lines"]) == (5, "I am perl\n"), end
    end = w.server.wait_report("ended", "work_none")
    assert "interpreter" in end["text"], end
    assert not w.server.found("started", "work_none")
    w.server.want()
    wait("the folders are removed", lambda: not w.replicas())
    print("exit codes, signals, setup, interpreters")


def environment(w):
    w.server.want(replica("work_env", run="env", rank=1, nodes=3, ips=["10.0.0.1", "10.0.0.2", "10.0.0.3"],
                          master_address="10.0.0.1", master_port=4711, gpus_per_node=2, gpus=[1],
                          envs={"GREETING": "hello\nworld", "SKYPILOT_NODE_RANK": "9"}, secrets={"TOKEN": "secret"}))
    w.server.wait_report("ended", "work_env", rank=1)
    log = w.server.log("work_env", rank=1)
    for line in ("SKYPILOT_NODE_RANK=1\n", "SKYPILOT_NUM_NODES=3\n", "SKYPILOT_NUM_GPUS_PER_NODE=2\n",
                 "SKYPILOT_NODE_IPS=10.0.0.1\n10.0.0.2\n10.0.0.3\n", "MASTER_ADDR=10.0.0.1\n", "MASTER_PORT=4711\n",
                 "TESSERA_WORKLOAD=work_env\n", "TESSERA_ATTEMPT=1\n", "GREETING=hello\nworld\n", "TOKEN=secret\n",
                 "CUDA_VISIBLE_DEVICES=1\n", "PATH=/usr/local/sbin"):
        assert line in log, (line, log)
    # what is secret is on no disk while it runs, and in nobody's log but the workload's own
    w.server.want(replica("work_quiet", run="sleep 60", secrets={"TOKEN": "very-secret"}))
    w.server.wait_report("started", "work_quiet")
    for path in w.data().rglob("*"):
        if path.is_file():
            assert b"very-secret" not in path.read_bytes(), path
    assert "very-secret" not in (w.folder / "agent-1.log").read_text()
    w.server.want()
    wait("it is gone", lambda: not w.replicas())
    print("environment")


def output(w):
    """Last lines are few, whole and valid; a log that grows is shipped while it does."""
    w.server.want(replica("work_words", run=r"for i in $(seq 2000); do echo line $i; done; printf 'caf\303\251 \377 end\n'; exit 1"),
                  replica("work_long", run=r"head -c 9000 /dev/zero | tr '\0' x; exit 1"),
                  replica("work_slow", run="echo one; sleep 60"))
    end = w.server.wait_report("ended", "work_words")
    lines = end["last_lines"]
    assert len(lines.encode()) <= 4096 and lines.startswith("line ") and lines.endswith("line 2000\ncafé ? end\n"), lines
    assert b"caf\xc3\xa9 \xff end\n" in w.server.logs["work_words", 1, 0]
    end = w.server.wait_report("ended", "work_long")
    assert end["last_lines"] == "x" * 4096, end
    wait("the log is shipped while it grows", lambda: w.server.log("work_slow") == "one\n")
    w.server.want()
    wait("all gone", lambda: not w.replicas())
    print("output")


def prepared(w):
    """PREPARE starts nothing; RUN does."""
    w.server.want(replica("work_prep", run="echo ran", action="prepare"))
    wait("its folder is there", lambda: w.replicas() == ["work_prep.1.0.0"])
    w.server.want(replica("work_prep", run="echo ran", action="prepare"), replica("work_other"))
    w.server.wait_report("ended", "work_other")
    assert not w.server.found("started", "work_prep")
    w.server.want(replica("work_prep", run="echo ran", action="run"))
    assert w.server.wait_report("ended", "work_prep")["last_lines"] == "ran\n"
    w.server.want()
    wait("all gone", lambda: not w.replicas())
    print("prepared")


def stopped(w):
    """Signal to all processes, time to go, kill at the end; what is absent is killed at once."""
    ready = "echo ready; "
    trap = "trap 'echo told; exit 0' TERM; " + ready + "while :; do sleep 0.1; done"
    child = ready + "python3 -c 'import signal,sys,time\nsignal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), print(\"saved\"), sys.exit(0)))\nprint(\"child ready\", flush=True)\ntime.sleep(60)'; echo after"
    deaf = "trap '' TERM; " + ready + "while :; do sleep 0.1; done"
    runs = {"work_trap": trap, "work_child": child, "work_deaf": deaf}
    w.server.want(*(replica(n, run=r) for n, r in runs.items()))
    for n in runs:
        wait(f"{n} is ready", lambda n=n: "ready" in w.server.log(n))
    wait("the child is ready", lambda: "child ready" in w.server.log("work_child"))
    begin = time.monotonic()
    w.server.want(*(replica(n, run=r, action="stop", stop_in_ms=1500) for n, r in runs.items()))
    end = w.server.wait_report("ended", "work_trap")
    assert end["exit_code"] == 0 and "told" in end["last_lines"], end
    end = w.server.wait_report("ended", "work_child")
    assert "saved" in end["last_lines"], end
    assert time.monotonic() - begin < 1.5, "not before the deadline"
    end = w.server.wait_report("ended", "work_deaf")
    assert (end["exit_code"], end["signal"]) == (137, 9), end
    assert end["came"] - begin >= 1.5, "killed before its notice was over"
    # asked again: told again
    count = len(w.server.reports)
    w.server.want(replica("work_trap", action="stop", stop_in_ms=1000))
    wait("told again", lambda: len(w.server.reports) > count)
    # asked about what was never here
    w.server.want(replica("work_ghost", action="stop", stop_in_ms=1000))
    assert "not on this node" in w.server.wait_report("ended", "work_ghost")["text"]
    w.server.want(replica("work_run", run=ready + "trap '' TERM; while :; do sleep 0.1; done"))
    wait("it is ready", lambda: "ready" in w.server.log("work_run"))
    begin = time.monotonic()
    w.server.want()
    wait("it is gone", lambda: not w.replicas())
    assert time.monotonic() - begin < 1.5
    print("stopped")


def ports(w):
    """Rank 0's port is probed; a busy one is told, another one is taken."""
    with socket.create_server(("127.0.9.1", 0)) as busy:
        port = busy.getsockname()[1]
        w.server.want(replica("work_port", run="echo $MASTER_PORT", nodes=2, master_address="127.0.9.1", master_port=port))
        assert w.server.wait_report("port_busy", "work_port")["port"] == port
        assert not w.server.found("started", "work_port")
        free = port + 1 if port < 65000 else port - 1
        w.server.want(replica("work_port", run="echo $MASTER_PORT", nodes=2, master_address="127.0.9.1", master_port=free))
        assert w.server.wait_report("ended", "work_port")["last_lines"] == f"{free}\n"
    # two gangs at once with rank 0 of both here
    w.server.want(*(replica(f"work_gang{i}", run="echo $MASTER_PORT", nodes=2, master_address="127.0.9.1", master_port=free + i) for i in (2, 3)))
    for i in (2, 3):
        assert w.server.wait_report("ended", f"work_gang{i}")["last_lines"] == f"{free + i}\n"
    w.server.want()
    wait("all gone", lambda: not w.replicas())
    print("ports")


def refused(w):
    """A report that the server will not take holds up no other."""
    w.server.refused = {"work_bad"}
    names = [f"work_good{i}" for i in range(5)]
    w.server.want(replica("work_bad", run="exit 1"), *(replica(n, run="exit 2") for n in names))
    for n in names:
        assert w.server.wait_report("ended", n)["exit_code"] == 2
    assert not w.server.found("ended", "work_bad")
    w.server.refused = set()
    w.server.want()
    wait("all gone", lambda: not w.replicas())
    print("refused")


with World() as world:
    world.start_agent()
    wait("the agent registers", lambda: world.server.facts)
    exits(world)
    environment(world)
    output(world)
    prepared(world)
    stopped(world)
    ports(world)
    refused(world)
    agent = world.agents[1]
    began = time.monotonic()
    agent.terminate()
    assert agent.wait(5) == 0
    assert time.monotonic() - began < 1.5, "a slow shutdown"
