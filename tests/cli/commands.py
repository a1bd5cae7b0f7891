# SPDX-License-Identifier: Apache-2.0
"""The commands against a pretended server: what they ask for, print, and exit with."""
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

import fake_server

TESSERA = os.environ["COMMANDS"]
SOURCE = pathlib.Path(os.environ["SOURCE"])
SCRATCH = tempfile.TemporaryDirectory(prefix="tessera-cli-")
HOME = pathlib.Path(SCRATCH.name)
LONG = "work_" + "9" * 16


def environment(fake=None, key=fake_server.KEY):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TESSERA_") and k not in ("COMMANDS", "SOURCE")}
    kept |= {"HOME": str(HOME), "TZ": "UTC"}
    return kept | ({"TESSERA_SERVER": fake.url, "TESSERA_KEY": key} if fake else {})


def run(*words, fake=None, expect=0, key=fake_server.KEY, **options):
    options.setdefault("cwd", HOME)
    options.setdefault("env", environment(fake, key))
    done = subprocess.run([TESSERA, *words], capture_output=True, text=True, check=False, timeout=60, **options)
    assert done.returncode == expect, f"tessera {' '.join(words)}: {done.returncode}, not {expect}\n{done.stdout}{done.stderr}"
    return done


def has(text, *parts):
    for part in parts:
        assert part in text, f"no {part!r} in\n{text}"


def amounts(sent):
    return {k: v for k, v in sent["choices"][0]["amounts"].items() if v}


def requests(fake, method, path):
    return [r for r in fake.requests if r["method"] == method and r["path"] == path]


@contextlib.contextmanager
def story(fake, tell):
    """Runs `tell(work)` beside the test as soon as there is a workload."""
    failed = []

    def main():
        try:
            fake.wait(lambda: fake.workloads)
            tell(next(iter(fake.workloads)))
        except BaseException as error:  # noqa: BLE001 (shown by the test)
            failed.append(error)

    thread = threading.Thread(target=main)
    thread.start()
    yield
    thread.join(30)
    assert not failed, failed


# ---- the command line


def test_help():
    overview = run("--help").stdout
    assert run(expect=2).stdout == overview
    assert run("help").stdout == overview
    commands = re.findall(r"^  (\w+(?: \w+)?)  +\S", overview.split("Commands:")[1].split("`tessera COMMAND")[0], re.MULTILINE)
    assert len(commands) > 20, commands
    for name in commands:
        text = run(*name.split(), "--help").stdout
        has(text, f"Usage: tessera {name}", "--json", "--server URL")
        assert run("help", *name.split()).stdout == text
    has(run("--version").stdout, "tessera 0.")


def test_wrong_command_lines():
    for words, said in (
        (["quue"], "quue: no such command; did you mean `tessera queue`?"),
        (["zzzzzz"], "zzzzzz: no such command; `tessera --help` lists them"),
        (["key"], "key: half a command; there is `tessera key create`, `tessera key list`, `tessera key revoke`"),
        (["queue", "--jsn"], "--jsn: no such option; did you mean --json?"),
        (["queue", "-x"], "-x: no such option"),
        (["queue", "--project"], "--project: needs a value: --project NAME"),
        (["queue", "--watch=yes"], "--watch: takes no value"),
        (["status"], "status: something is missing; usage: tessera status ID"),
        (["status", "a", "b"], "status: `b` is one too many"),
        (["run"], "run: what? Give a task file, or `-- COMMAND`"),
        (["run", "--"], "run: nothing stands after `--`"),
        (["run", "a.yaml", "--", "true"], "give a task file or a command, not both"),
        (["run", "python3", "train.py"], "a command goes after `--`: tessera run -- python3 train.py"),
        (["submit", "nowhere.yaml"], "nowhere.yaml: No such file or directory"),
        (["submit", "--cpus", "-1", "--", "true"], "resources.cpus"),
        (["submit", "--limit", "much", "--", "true"], '--limit: "much" is not allowed'),
        (["submit", "--priority", "top", "--", "true"], "allowed are low, normal, high and critical"),
        (["submit", "--limit", "1", "--priority", "low", "--", "true"], "give one of the two"),
        (["submit", "--nodes", "0", "--", "true"], '--nodes: "0" is not allowed, allowed is 1 to 100000'),
        (["submit", "--env", "1X=2", "--", "true"], "not a variable's name"),
        (["bid", LONG], "--limit PRICE is missing"),
        (["key", "create", "--expires", "soon"], '--expires: "soon" is not allowed'),
        (["settings", "tick_m=3"], "tick_m: no such setting; did you mean tick_ms?"),
        (["settings", "tick_ms=1"], 'tick_ms: "1" is not allowed, allowed is 100 to 3600000 (ms)'),
        (["settings", "tick_ms"], "a change is NAME=VALUE"),
    ):
        done = run(*words, expect=2, env=environment() | {"TESSERA_SERVER": "http://127.0.0.1:1"})
        has(done.stderr, said)
        assert done.stdout == "", done.stdout


def test_options_anywhere():
    fake = fake_server.start()
    for words in (["--json", "queue", "-a"], ["queue", "-a", "--json"], ["queue", "--server", fake.url, "-a", "--json"],
                  ["--server=" + fake.url, "queue", "--all", "--json"]):
        assert json.loads(run(*words, fake=fake).stdout) == {"workloads": []}
    run("queue", "-ppaint", fake=fake)
    assert fake.requests[-1]["query"]["project"] == "paint"


# ---- which server, which key


def write(path, text, mode=0o600):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def test_configuration():
    near, far = fake_server.start(), fake_server.start()
    local, home = HOME / "var/client.yaml", HOME / ".config/tessera/client.yaml"
    has(run("queue", expect=3).stderr, "no server is known", "make up")
    write(home, f"server: {far.url}\nkey: {fake_server.KEY}\n")
    run("queue")
    assert len(far.requests) == 1
    write(local, f"server: {near.url}\nkey: {fake_server.KEY}\n")
    run("queue")
    assert len(near.requests) == 1 and len(far.requests) == 1
    run("queue", "--server", far.url + "/")  # the key of the file that names this server
    assert len(far.requests) == 2
    other = fake_server.start()
    has(run("queue", "--server", other.url, expect=4).stderr, "wants a key")
    assert "Authorization" not in other.requests[0]["headers"], "a key went to a server that it is not for"
    run("queue", env=environment() | {"TESSERA_SERVER": far.url})
    has(run("queue", env=environment() | {"TESSERA_KEY": "fkey_wrong"}, expect=4).stderr, "key from TESSERA_KEY")
    write(local, f"server: {near.url}\nkey: {fake_server.KEY}\n", 0o644)
    has(run("queue").stderr, "can be read by others", "chmod 600")
    write(local, "sever: x\n")
    has(run("queue", expect=2).stderr, "var/client.yaml: sever: is unknown, allowed are server, key and pin")
    local.unlink()
    home.unlink()


def test_key_is_hidden():
    fake = fake_server.start()
    process = subprocess.Popen([TESSERA, "events", "-f", "--server", fake.url, "--key", fake_server.KEY], env=environment(),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        fake.wait(lambda: fake.requests)
        shown = pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert fake_server.KEY.encode() not in shown, shown
        assert fake_server.KEY not in fake.requests[0]["path"] and fake_server.KEY not in str(fake.requests[0]["query"])
    finally:
        process.kill()
        process.communicate()


def test_unreached():
    has(run("queue", expect=3, env=environment() | {"TESSERA_SERVER": "http://127.0.0.1:1"}).stderr, "server from TESSERA_SERVER")
    has(run("queue", expect=2, env=environment() | {"TESSERA_SERVER": "http://10.0.0.1:1"}).stderr, "use https", "--insecure")
    has(run("queue", expect=2, env=environment() | {"TESSERA_SERVER": "nonsense"}).stderr, "TESSERA_SERVER", "http://HOST:PORT")


# ---- submit


def test_submit():
    fake = fake_server.start()
    done = run("submit", "--name", "one", "-N", "2", "-c", "0.5", "-m", "1", "--limit", "0.25", "--preemptible", "-e", "A=b c",
               "--secret", "TOKEN=hush", "-p", "paint", "--", "sh", "-c", "echo 'hi there'; exit 3", fake=fake)
    assert done.stdout == "work_0000000000000000\n", done.stdout
    sent = json.loads(requests(fake, "POST", "/v1/workloads")[0]["body"])
    assert sent["run"] == "exec sh -c 'echo '\\''hi there'\\''; exit 3'", sent["run"]
    assert (sent["name"], sent["nodes"], sent["project"], sent["limit_udollar_per_hour"]) == ("one", 2, "paint", 250000)
    assert amounts(sent) == {"core_milli": 500, "memory_mib": 1024}
    assert sent["envs"] == {"A": "b c"} and sent["secrets"] == {"TOKEN": "hush"} and sent["preemptible"] is True
    key = requests(fake, "POST", "/v1/workloads")[0]["headers"]["Idempotency-Key"]
    assert re.fullmatch("[0-9a-f]{32}", key), key
    created = json.loads(run("submit", "--json", "--", "true", fake=fake).stdout)
    assert created["id"] == "work_0000000000000001" and created["state"] == "waiting"


def test_submit_from_a_file():
    fake = fake_server.start()
    (HOME / "task.yaml").write_text("name: filed\nnum_nodes: 2\nresources: {cpus: 1}\nenvs: {RATE: null}\nrun: echo $RATE\n")
    has(run("submit", "task.yaml", fake=fake, expect=2).stderr, "envs.RATE: has no value", "--env RATE=VALUE")
    run("submit", "task.yaml", "--env", "RATE=3", "--cpus", "0.5", "--priority", "high", "--nodes", "3", fake=fake)
    sent = json.loads(requests(fake, "POST", "/v1/workloads")[-1]["body"])
    assert amounts(sent) == {"core_milli": 500} and sent["nodes"] == 3 and sent["priority"] == "high"
    run("submit", "-", input="run: echo from a pipe\n", fake=fake)
    assert json.loads(fake.requests[-1]["body"])["run"] == "echo from a pipe"
    (HOME / "task.yaml").write_text("run: true\nresources: {ports: 80}\n")
    has(run("submit", "task.yaml", fake=fake, expect=2).stderr, "task.yaml: resources.ports: is not supported")


def test_files_go_along():
    fake = fake_server.start()
    (HOME / "code").mkdir()
    (HOME / "code/main.py").write_text("print('hi')\n")
    (HOME / "data.txt").write_text("data\n")
    (HOME / "task.yaml").write_text("workdir: code\nfile_mounts:\n  /data/in.txt: ~/data.txt\nrun: python3 main.py\n")
    for _ in range(2):
        run("submit", "task.yaml", fake=fake)
    assert len(fake.archives) == 1 and len([r for r in fake.requests if r["method"] == "PUT"]) == 1, "sent twice"
    name, archive = next(iter(fake.archives.items()))
    assert json.loads(fake.requests[-1]["body"])["archive"] == name
    has(archive.decode(errors="replace"), "workdir/main.py", "mounts/0")
    (HOME / "task.yaml").write_text("workdir: nowhere\nrun: true\n")
    has(run("submit", "task.yaml", fake=fake, expect=2).stderr, "workdir", "nowhere")
    assert not list(pathlib.Path("/tmp").glob("tessera-??????/archive.tar"))


def test_submit_survives_a_lost_answer():
    fake = fake_server.start()
    fake.drop_submits = 2
    assert run("submit", "--", "true", fake=fake).stdout == "work_0000000000000000\n"
    posts = requests(fake, "POST", "/v1/workloads")
    assert len(fake.workloads) == 1 and len(posts) == 3 and len({p["headers"]["Idempotency-Key"] for p in posts}) == 1


def test_refusals():
    fake = fake_server.start()
    for status, code in ((400, 2), (413, 2), (403, 4), (404, 5), (409, 6), (500, 1)):
        fake.refusals["POST", "/v1/workloads"] = status, "invalid", "allowed is less", "nodes"
        done = run("submit", "--", "true", fake=fake, expect=code)
        assert done.stdout == "" and done.stderr == "tessera: nodes: allowed is less\n", done
    has(run("status", LONG, fake=fake, expect=5).stderr, LONG, "no such thing")


# ---- run


def test_run():
    fake = fake_server.start()

    def tell(work):
        fake.set(work, "workload_assigned", "assigned", text="given node-1")
        fake.set(work, "workload_started", "running", "line 1\n")
        fake.print(work, "line 2\n")
        fake.set(work, "workload_failed", "failed", "the end\n", exit_code=3, reason="exit")

    with story(fake, tell):
        done = run("run", "--name", "one", "--", "true", fake=fake, expect=3)
    assert done.stdout == "line 1\nline 2\nthe end\n", done.stdout
    has(done.stderr, "work_0000000000000000: one, 1 × 1 core, firm, priority normal", "assigned   given node-1", "failed     exit code 3",
        "cost $0.001234")


def test_run_through_a_preemption():
    fake = fake_server.start()
    fake.cut_events_after = 1  # the stream breaks after each event

    def tell(work):
        fake.set(work, "workload_started", "running", "first try\n")
        fake.set(work, "workload_preempting", "preempting", "told to go\n", text="a higher bid takes the place")
        fake.set(work, "workload_waiting", "waiting")
        fake.set(work, "workload_started", "running", "second try\n", attempt=2)
        fake.set(work, "workload_finished", "finished", "done\n", exit_code=0)

    with story(fake, tell):
        done = run("run", "--", "true", fake=fake)
    assert done.stdout == "first try\ntold to go\nsecond try\ndone\n", done.stdout
    has(done.stderr, "preempting a higher bid takes the place", "waiting", "finished   exit code 0")


def test_run_without_an_exit_code():
    for event, state, code in (("workload_cancelled", "cancelled", 125), ("workload_rejected", "rejected", 125)):
        fake = fake_server.start()
        with story(fake, lambda work: fake.set(work, event, state, reason="because")):
            has(run("run", "--", "true", fake=fake, expect=code).stderr, state, "because")


def test_run_where_events_were_lost():
    fake = fake_server.start()
    fake.forgotten = 1000
    with story(fake, lambda work: fake.set(work, "workload_finished", "finished", "all of it\n", exit_code=0)):
        has(run("run", "--", "true", fake=fake).stderr, "finished")


def test_run_interrupted():
    fake = fake_server.start()
    process = subprocess.Popen([TESSERA, "run", "--", "true"], env=environment(fake), cwd=HOME, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    fake.wait(lambda: requests(fake, "GET", "/v1/events"))
    fake.set("work_0000000000000000", "workload_started", "running", "going\n")
    fake.wait(lambda: [r for r in fake.requests if r["path"].endswith("/logs")])
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, process.returncode
    has(err, "goes on without you", "tessera logs -f work_0000000000000000", "tessera cancel work_0000000000000000")
    assert fake.workloads["work_0000000000000000"]["state"] == "running"


def test_run_json():
    fake = fake_server.start()

    def tell(work):
        fake.set(work, "workload_started", "running", "not shown\n")
        fake.set(work, "workload_finished", "finished", exit_code=0)

    with story(fake, tell):
        lines = [json.loads(line) for line in run("run", "--json", "--", "true", fake=fake).stdout.splitlines()]
    assert lines[0]["id"] == "work_0000000000000000" and lines[-1]["state"] == "finished", lines
    assert [e["type"] for e in lines[1:-1]][-1] == "workload_finished"


# ---- looking


def test_queue():
    fake = fake_server.start()
    has(run("queue", fake=fake).stdout, "Nothing waits or runs", "--all")
    for name in ("a", "bb", "ccc"):
        fake.add({"name": name, "nodes": 2, "choices": [{"amounts": {"core_milli": 250}}], "limit_udollar_per_hour": 60000})
    fake.set("work_0000000000000001", "workload_started", "running")
    fake.page_size = 2
    lines = run("queue", fake=fake).stdout.splitlines()
    assert len(lines) == 4 and len({line.index("default") for line in lines[1:]}) == 1, lines
    has(lines[2], "bb", "running", "2 × 0.25", "$0.06000", "$0.02000")
    assert len(json.loads(run("queue", "--json", fake=fake).stdout)["workloads"]) == 3
    process = subprocess.Popen([TESSERA, "queue", "--watch"], env=environment(fake), cwd=HOME, stdout=subprocess.PIPE, text=True)
    try:
        fake.wait(lambda: requests(fake, "GET", "/v1/events"))
        first = [process.stdout.readline() for _ in range(4)]
        has(first[2], "running")
        fake.set("work_0000000000000001", "workload_finished", "finished", exit_code=0)
        line = ""
        while "bb" not in line and line != "\n":
            line = process.stdout.readline()
        rest = [process.stdout.readline() for _ in range(3)]
        assert not any("bb" in r for r in rest), rest
    finally:
        process.kill()
        process.communicate()


def test_logs():
    fake = fake_server.start()
    work = fake.add({"name": "a", "nodes": 2, "choices": [{"amounts": {"core_milli": 250}}]})
    has(run("logs", work, fake=fake, expect=5).stderr, "has no log")
    fake.set(work, "workload_started", "running", "one\n")
    fake.print(work, "of rank one\n", 1, 1)
    assert run("logs", work, fake=fake).stdout == "one\n"
    assert run("logs", work, "--rank", "1", fake=fake).stdout == "of rank one\n"
    process = subprocess.Popen([TESSERA, "logs", "-f", work], env=environment(fake), cwd=HOME, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    fake.wait(lambda: [r for r in fake.requests if r["query"].get("follow")])
    fake.print(work, "two\n")
    fake.set(work, "workload_waiting", "waiting")
    fake.set(work, "workload_started", "running", "again\n", attempt=2)
    fake.set(work, "workload_finished", "finished", "end\n", exit_code=0)
    out, err = process.communicate(timeout=20)
    assert out == "one\ntwo\nagain\nend\n" and "attempt 2" in err, (out, err)
    assert run("logs", work, "--attempt", "1", fake=fake).stdout == "one\ntwo\n"


def test_a_reader_that_goes_away():
    fake = fake_server.start()
    work = fake.add({"name": "a", "nodes": 1, "choices": [{"amounts": {"core_milli": 250}}]})
    fake.set(work, "workload_started", "running", "line\n" * 100000)
    process = subprocess.Popen([TESSERA, "logs", "-f", work], env=environment(fake), cwd=HOME, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(20) == -signal.SIGPIPE and process.stderr.read() == ""
    with open("/dev/full", "w") as full:
        done = subprocess.run([TESSERA, "--help"], env=environment(), stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1 and "cannot write" in done.stderr, done


def main():
    wanted = sys.argv[1:]
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_") and (not wanted or name in wanted)]
    for name, test in tests:
        begin = time.monotonic()
        test()
        print(f"{name} ({time.monotonic() - begin:.1f} s)", flush=True)


main()
