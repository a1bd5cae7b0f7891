# SPDX-License-Identifier: Apache-2.0
"""Every command against a real server with agents: what people read, --json, exit codes."""
import contextlib
import datetime
import json
import os
import re
import signal
import subprocess

from harness import SOURCE, TESSERA, Cluster, wait

HELLO = str(SOURCE / "examples/hello-gang.yaml")
SMALL = ["--cpus", "0.25", "--memory", "0.06"]


def expect(c, code, *words, **options):
    done = c.run(*words, check=False, **options)
    assert done.returncode == code, f"tessera {' '.join(words)}: {done.returncode}, not {code}\n{done.stdout}{done.stderr}"
    return done


def has(text, *parts):
    for part in parts:
        assert part in text, f"no {part!r} in\n{text}"


def plain(c, *words):
    return json.loads(c.run("--json", *words).stdout)


def submit(c, *words):
    return c.run("submit", *SMALL, *words).stdout.strip()


@contextlib.contextmanager
def background(c, *words):
    environment = os.environ | {"TESSERA_SERVER": c.url, "TESSERA_KEY": c.key}
    process = subprocess.Popen([TESSERA, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


# ---- running


def runs(c):
    done = c.run("run", HELLO)
    has(done.stdout, "hello from rank 0 of 2", "step 5 of 5")
    has(done.stderr, "hello-gang, 2 × 0.25 cores, preemptible, priority normal", "started", "finished", "exit code 0", "cost $0.000")
    assert "step" not in done.stderr, "the log belongs to standard output"
    expect(c, 7, "run", *SMALL, "--", "sh", "-c", "echo seven; exit 7")
    has(expect(c, 7, "run", *SMALL, "--", "sh", "-c", "echo seven; exit 7").stderr, "failed", "exit code 7")
    lines = [json.loads(line) for line in c.run("run", "--json", *SMALL, "--", "true").stdout.splitlines()]
    assert lines[0]["state"] and lines[-1]["state"] == "finished", lines
    assert {"workload_started", "workload_finished"} <= {line.get("type") for line in lines}, lines


def run_of_what_is_cancelled(c):
    with background(c, "run", *SMALL, "--name", "endless", "--", "sleep", "1000") as process:
        work = wait("it runs", lambda: [w["id"] for w in plain(c, "queue")["workloads"] if w["name"] == "endless" and w["state"] == "running"])[0]
        has(c.run("cancel", "endless").stdout, work)
        assert process.wait(60) == 125, process.returncode
        has(process.stderr.read(), "cancelled")
    expect(c, 6, "cancel", work)


def run_through_a_restart(c):
    """The server dies and comes back: work and the one who follows it go on."""
    script = "for i in $(seq 40); do echo tick $i; sleep 0.1; done"
    with background(c, "run", *SMALL, "--", "sh", "-c", script) as process:
        assert process.stdout.readline() == "tick 1\n"
        c.kill_server()
        c.start_server()
        out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    assert out == "".join(f"tick {i}\n" for i in range(2, 41)), out


def interrupted(c):
    with background(c, "run", *SMALL, "--", "sh", "-c", "echo going; sleep 1000") as process:
        assert process.stdout.readline() == "going\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        work = re.search(r"work_\w+", process.stderr.read())[0]
    assert c.status(work)["state"] == "running", "leaving ended it"
    c.run("cancel", work)
    c.wait_state(work, "cancelled")


def files_go_along(c):
    folder = c.folder / "code"
    folder.mkdir()
    (folder / "main.sh").write_text("echo from the workdir\n")
    (c.folder / "task.yaml").write_text("workdir: code\nresources: {cpus: 0.25, memory: 0.06}\nrun: sh main.sh\n")
    assert c.run("run", "task.yaml", cwd=c.folder).stdout == "from the workdir\n"
    has(expect(c, 2, "submit", str(SOURCE / "tests/data/skypilot/image.yaml")).stderr, "resources.image_id: is not supported")


# ---- looking


def looks(c):
    work = submit(c, "--name", "looked-at", "--preemptible", "--limit", "0.25", "--", "sh", "-c", "echo one; sleep 1000")
    c.wait_state(work, "running")
    has(c.run("queue").stdout, work, "looked-at", "running", "1 × 0.25", "preemptible", "$0.2500")
    assert [w["id"] for w in plain(c, "queue")["workloads"]] == [work]
    has(c.run("status", "looked-at").stdout, work, "running", "1 × 0.25 cores in ", "at most $0.2500 per core-hour", "node-", "submitted", "started")
    assert plain(c, "status", work)["state"] == "running"
    has(c.run("why", work).stdout, work, "running")
    has(c.run("nodes").stdout, "node-1", "node-4", "home/local/a/fabric-1/rack-1", "looked-at:0", "$0.04000")
    assert len(plain(c, "nodes")["nodes"]) == 4
    wait("its log", lambda: c.run("logs", work, check=False).stdout == "one\n")
    with background(c, "logs", "-f", "looked-at") as process:
        assert process.stdout.readline() == "one\n"
        has(c.run("bid", work, "--limit", "0.3").stdout, "at most $0.3000 per unit-hour")
        c.run("cancel", work)
        assert process.wait(60) == 0
    has(c.run("queue").stdout, "Nothing waits or runs")
    has(c.run("queue", "--all").stdout, work, "cancelled")
    has(c.run("ledger", "--workload", work).stdout, "menu", "in all $")
    has(c.run("ledger").stdout, "project:default", "pool:cpu@home/local/a")
    assert plain(c, "ledger", "--workload", work)["id"] == work


def prices(c):
    pool = plain(c, "prices")["pools"][0]["name"]
    has(c.run("prices").stdout, pool, "$0.04000", "core-hour")
    wait("a posted price", lambda: plain(c, "prices", "--history", pool)["points"])
    has(c.run("prices", "--history", pool, "--since", "1h").stdout, pool, "$0.04000", "│")
    has(c.run("prices", "--settings").stdout, "tick_ms", "1s")
    has(c.run("ask", "set", pool, "0.05").stdout, "4 nodes now ask $0.05000")
    has(c.run("ask", "set", "node-1", "0.04").stdout, "1 node now ask")
    c.run("ask", "set", pool, "0.04")
    has(c.run("settings", "fee_permille=50").stdout, "fee_permille")
    assert plain(c, "settings")["fee_permille"] == 50
    has(expect(c, 2, "settings", "fee_permille=1001").stderr, "allowed is 0 to 1000")


def quotes(c):
    text = c.run("quote", HELLO).stdout
    has(text, "hello-gang: 2 replicas, preemptible", "as it stands", "$0.04000", "$0.02000", "any rack",
        "it is preemptible already", "it takes any already", "it does not say how long it runs (run_time)")
    has(c.run("quote", "--cpus", "0.25", "--limit", "0.001", "--", "true").stdout, "as it stands", "not at this limit")
    quote = plain(c, "quote", "--cpus", "0.25", "--", "true")
    assert quote["lines"][0]["freedom"] == "as_is" and quote["kind"] == "firm", quote


def due(c, seconds):
    by = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    task = c.folder / "due.yaml"
    task.write_text("resources: {cpus: 0.25}\nrun: 'true'\nmarket: {limit: 0.5, preemptible: true, run_time: 60s, "
                    f"finish_by: {by:%Y-%m-%dT%H:%M:%SZ}}}\n")
    return str(task)


def promises(c):
    quote = plain(c, "quote", due(c, 3600))
    line = quote["lines"][0]
    assert quote["kind"] == "deadline" and line["promised"] and line["latest_start_ms"] < line["finish_by_ms"], quote
    work = c.run("submit", due(c, 3600)).stdout.strip()
    assert c.wait_state(work, "finished")["cost_udollar"] <= line["most_udollar"], quote
    has(c.run("status", work).stdout, "deadline, at most", "promised to be done by", "for at most $0.0001")
    has(expect(c, 2, "submit", due(c, 20)).stderr, "Z, allowed is 20")


def waits(c):
    holder = submit(c, "--nodes", "4", "--cpus", "0.5", "--limit", "0.5", "--", "sleep", "1000")
    c.wait_state(holder, "running")
    late = submit(c, "--nodes", "4", "--cpus", "0.5", "--limit", "0.1", "--preemptible", "--", "true")
    has(c.run("why", late).stdout, late, "waiting")
    assert plain(c, "why", late)["state"] == "waiting"
    c.run("cancel", holder)
    c.wait_state(late, "finished")


def watches(c):
    with background(c, "queue", "--watch") as process, background(c, "events", "-f", "--types", "workload_started") as events:
        lines = iter(process.stdout.readline, "")
        has(next(lines), "Nothing waits or runs")
        work = submit(c, "--", "sleep", "1000")
        assert any(work in line and "running" in line for line in lines)
        has(events.stdout.readline(), "workload_started", work)
        c.run("cancel", work)
        assert any("Nothing waits or runs" in line for line in lines)
    has(c.run("events", "--workload", work).stdout, "workload_submitted", "workload_cancelled")


# ---- the fleet, projects, keys


def operates(c):
    has(c.run("drain", "node-4").stdout, "takes nothing new")
    assert plain(c, "nodes")["nodes"] and [n["state"] for n in plain(c, "nodes")["nodes"] if n["name"] == "node-4"] == ["draining"]
    has(c.run("undrain", "node-4").stdout, "takes work again")
    has(c.run("node", "add", "--ask", "0.04").stdout, "loopback", "--listen", "TESSERA_TOKEN=", f"--server {c.url} --ask 0.04\n")
    has(c.run("console").stdout, c.url, "good once")
    has(c.run("version").stdout, "tessera 0.")


def projects_and_keys(c):
    has(c.run("project", "create", "vision", "--budget", "500").stdout, "vision: $0 spent, budget $500.00")
    expect(c, 6, "project", "create", "vision")
    has(c.run("project", "set", "vision", "--budget", "none").stdout, "no limit")
    has(c.run("project", "list").stdout, "vision", "default")
    key = c.run("key", "create", "ci", "--role", "viewer", "--project", "vision", "--expires", "1d").stdout.strip()
    made = next(k for k in plain(c, "key", "list")["keys"] if k["principal"] == "ci")
    assert key.startswith("fkey_") and key.startswith(made["snippet"]), made
    assert key not in c.run("key", "list").stdout
    environment = {"TESSERA_SERVER": c.url, "TESSERA_KEY": key, "PATH": os.environ["PATH"]}

    def as_viewer(code, *words):
        done = subprocess.run([TESSERA, *words], env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == code, f"{words}: {done.returncode}, not {code}\n{done.stdout}{done.stderr}"
        assert key not in done.stdout + done.stderr
        return done

    as_viewer(0, "queue")
    as_viewer(4, "submit", "--", "true")
    as_viewer(4, "nodes")
    c.run("key", "revoke", made["id"])
    has(as_viewer(4, "queue").stderr, "revoked")


def refusals(c):
    nobody = "work_" + "0" * 16
    for words in (["status", nobody], ["why", nobody], ["cancel", nobody], ["bid", nobody, "-l", "1"], ["logs", nobody],
                  ["drain", "nowhere"], ["ask", "set", "nowhere", "1"]):
        has(expect(c, 5, *words).stderr, "tessera: ")
    has(expect(c, 2, "submit", "--gpus", "H9000:8", "--", "true").stderr, "resources.accelerators: nothing of that name")
    done = subprocess.run([TESSERA, "queue"], env={"TESSERA_SERVER": "http://127.0.0.1:1", "TESSERA_KEY": "x"}, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done


PARTS = (runs, run_of_what_is_cancelled, interrupted, files_go_along, looks, quotes, promises, prices, waits, watches, operates, projects_and_keys,
         refusals, run_through_a_restart)

with Cluster(agents=4, cpus="0.5", memory="256MiB") as cluster:
    for part in PARTS:
        print(part.__name__, flush=True)
        part(cluster)
