# SPDX-License-Identifier: Apache-2.0
"""The commands against a pretended server: what they ask for, print, and exit with."""
import base64
import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
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
    commands = re.findall(r"^  ([\w-]+(?: \w+)?)  +\S", overview.split("Commands:")[1].split("`tessera COMMAND")[0], re.MULTILINE)
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
        (["help", "serve"], "serve: has a command line of its own: `tessera serve --help`"),
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
        (["node", "add", "--place", "own/eu"], '--place: "own/eu" is not allowed, allowed is provider/region/zone/fabric/rack'),
        (["prices", "--since", "3x"], "--since: goes with --history POOL alone"),
        (["node", "add", "--ask", "$0.04"], '--ask: "$0.04" is not allowed, allowed are dollars per unit-hour'),
        (["key", "create", "--expires", "soon"], '--expires: "soon" is not allowed'),
        (["tier", "set", "chat", "soon", "1"], 'TIER: "soon" is unknown, allowed are instant, seconds, minute and minutes'),
        (["tier", "set", "chat", "minute", "x"], 'UNITS: "x" is not allowed'),
        (["tier", "set", "chat", "minute", "1", "--rate", "-1"], '--rate: "-1" is not allowed'),
        (["submit", "--tier", "soon", "--", "true"], '--tier: "soon" is unknown'),
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
    has(run("queue", expect=3, env=environment() | {"TESSERA_SERVER": "http://127.0.0.1:1"}).stderr,
        "nobody answers at http://127.0.0.1:1 (from TESSERA_SERVER)", "make up")
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
    for field, written in (("choices[0].amounts", "resources"), ("choices[1].accelerator", "resources.accelerators"), ("choices[0].labels", "choices[0].labels")):
        fake.refusals["POST", "/v1/workloads"] = 400, "invalid", "allowed is less", field
        assert run("submit", "--", "true", fake=fake, expect=2).stderr == f"tessera: {written}: allowed is less\n", field
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
    fake.cut_logs = 2

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


def test_names():
    fake = fake_server.start()
    gang = {"name": "gang", "nodes": 1, "choices": [{"amounts": {"core_milli": 250}}]}
    old, new = fake.add(gang), fake.add(gang)
    has(run("status", "gang", fake=fake).stdout, new)
    has(run("cancel", "gang", fake=fake, expect=6).stderr, "gang: 2 workloads of this name live; say which by its id")
    has(run("cancel", old, fake=fake).stdout, "cancelled")
    has(run("bid", "gang", "-l", "1", fake=fake).stdout, new)
    run("cancel", "gang", fake=fake)
    has(run("cancel", "gang", fake=fake, expect=5).stderr, "gang: no workload that lives has this name")
    has(run("status", "gang", fake=fake).stdout, new)
    has(run("status", "nobody", fake=fake, expect=5).stderr, "nobody: no workload has this name")


def test_tls():
    if not shutil.which("openssl"):
        print("no openssl: not tried")
        return
    key, certificate = HOME / "key.pem", HOME / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                    "/CN=tessera", "-keyout", key, "-out", certificate], check=True, capture_output=True)
    public = subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout
    pin = "sha256//" + base64.b64encode(hashlib.sha256(public).digest()).decode()
    fake = fake_server.start(certificate, key)
    run("queue", "--pin", pin, fake=fake)
    run("queue", env=environment(fake) | {"TESSERA_PIN": pin})
    has(run("queue", fake=fake, expect=3).stderr, "--pin")
    has(run("queue", "--pin", "sha256//" + "A" * 43 + "=", fake=fake, expect=3).stderr, "not the one that is pinned")
    assert len(fake.requests) == 2


def test_logs():
    fake = fake_server.start()
    work = fake.add({"name": "a", "nodes": 2, "choices": [{"amounts": {"core_milli": 250}}]})
    has(run("logs", work, fake=fake, expect=5).stderr, "has no log")
    fake.set(work, "workload_started", "running", "one\n")
    fake.print(work, "of rank one\n", 1, 1)
    assert run("logs", work, fake=fake).stdout == "one\n"
    assert run("logs", work, "--rank", "1", fake=fake).stdout == "of rank one\n"
    fake.cut_logs = 1
    process = subprocess.Popen([TESSERA, "logs", "-f", work], env=environment(fake), cwd=HOME, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    fake.wait(lambda: fake.cut_logs == 0)
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


# ---- every other command, for people and with --json

WORK = "work_0123456789abcdef"
NOW = 1_700_000_000_000
PLACE = {"provider": "home", "region": "local", "zone": "a", "fabric": "fabric-1", "rack": "rack-1"}
POOL_ANSWER = {"id": "pool_1", "name": fake_server.POOL, "sku": "cpu", "provider": "home", "region": "local", "zone": "a", "unit": "core",
               "price_udollar_per_hour": 40000, "marginal_udollar_per_hour": 40000, "scarcity_udollar_per_hour": 0,
               "guide_udollar_per_hour": 40000, "lowest_ask_udollar_per_hour": 40000, "units_milli": 2000, "used_milli": 500,
               "free_milli": 1500, "wanted_milli": 0, "nodes": 4, "running": 1, "waiting": 0}
SUBSCRIPTIONS = {"subscriptions": [
    {"project": "chat", "tier": "seconds", "start_ms": 10000, "sku": "cpu", "zone": "a", "labels": ["soc2"], "units_milli": 16000,
     "held_milli": 12000, "used_milli": 4000, "ready_milli": 8000, "rate_udollar_per_hour": 500000, "charged_udollar": 1230000}]}
ANSWERS = {
    ("POST", "/v1/quote"): {"name": "q", "kind": "firm", "nodes": 2, "limit_udollar_per_hour": 200000, "lines": [
        {"freedom": "as_is", "text": "It starts now.", "offered": True, "fits": True, "starts_now": True, "pool": fake_server.POOL,
         "units_milli": 500, "rate_udollar_per_hour": 30000, "unit_rate_udollar_per_hour": 60000, "saves_udollar_per_hour": 0,
         "ask_udollar_per_hour": 20000, "scarcity_udollar_per_hour": 0, "premium_udollar_per_hour": 10000, "credit_udollar_per_hour": 0,
         "transfer_udollar_per_hour": 0, "displacement_udollar_per_hour": 0},
        {"freedom": "preemptible", "text": "Others may take the place.", "offered": True, "fits": True, "starts_now": True,
         "pool": fake_server.POOL, "units_milli": 500, "rate_udollar_per_hour": 20000, "unit_rate_udollar_per_hour": 40000,
         "saves_udollar_per_hour": 10000},
        {"freedom": "any_rack", "text": "Anywhere.", "offered": True, "fits": True, "starts_now": False, "above_limit": True,
         "pool": fake_server.POOL, "units_milli": 500, "rate_udollar_per_hour": 20000, "unit_rate_udollar_per_hour": 400000},
        {"freedom": "later", "text": "It would change nothing.", "offered": False, "fits": True, "starts_now": False}]},
    ("GET", f"/v1/workloads/{WORK}/why"): {
        "id": WORK, "state": "waiting", "obstacle": "price", "text": "Its place is held by work that is worth more.", "has_limit": True,
        "start_limit_udollar_per_hour": 610000, "soonest_ms": int(time.time() * 1000) + 90_000},
    ("GET", f"/v1/workloads/{WORK}"): {
        "id": WORK, "name": "hello", "project": "default", "state": "failed", "kind": "preemptible", "attempt": 2, "nodes": 2,
        "units_milli": 500, "pool": fake_server.POOL, "limit_udollar_per_hour": 200000, "rate_udollar_per_hour": 0, "cost_udollar": 1234567,
        "submitted_ms": NOW, "started_ms": NOW + 1000, "ended_ms": NOW + 61000, "exited": True, "exit_code": 3, "exit_rank": 1,
        "last_lines": "giving up\n", "request": {"choices": [{"amounts": {"core_milli": 250}}]},
        "placements": [{"rank": 0, "node": "node_1", "node_name": "n-1", "address": "127.0.1.11", "state": "ended", "ended": True}],
        "steps": [{"at_ms": NOW, "type": "submitted", "attempt": 1, "text": "submitted"}]},
    ("PATCH", f"/v1/workloads/{WORK}"): {"seq": 5, "state": "waiting"},
    ("POST", f"/v1/workloads/{WORK}/cancel"): {"seq": 5, "state": "preempting"},
    ("GET", "/v1/prices"): {"at_ms": NOW, "tick_ms": 1000, "pools": [POOL_ANSWER],
                            "gap": {"surplus_udollar_per_hour": 100000, "bound_udollar_per_hour": 110000, "at_ms": NOW}},
    ("GET", "/v1/prices/history"): {"pool": fake_server.POOL, "points": [
        {"at_ms": NOW + i * 1000, "price_udollar_per_hour": 40000 + i * i * 100, "marginal_udollar_per_hour": 40000,
         "scarcity_udollar_per_hour": 0, "guide_udollar_per_hour": 0, "free_milli": 0, "wanted_milli": 0} for i in range(20)]},
    ("GET", "/v1/nodes"): {"nodes": [
        {"id": "node_1", "name": "n-1", "state": "up", "sku": "cpu", "address": "127.0.1.11", "pool": fake_server.POOL, "place": PLACE,
         "amounts": {"gpu_milli": 0, "core_milli": 500, "memory_mib": 1536, "disk_mib": 0},
         "free": {"gpu_milli": 0, "core_milli": 250, "memory_mib": 512, "disk_mib": 0}, "ask_udollar_per_hour": 40000, "contact_age_ms": 100,
         "replicas": [{"workload": WORK, "name": "hello", "project": "default", "attempt": 1, "rank": 1, "state": "running",
                       "amounts": {"core_milli": 250}}]},
        {"id": "node_2", "name": "n-2", "state": "lost", "sku": "h100-8x", "address": "10.0.0.2", "place": PLACE,
         "amounts": {"gpu_milli": 8000, "core_milli": 96000, "memory_mib": 1048576, "disk_mib": 0},
         "free": {"gpu_milli": 8000, "core_milli": 96000, "memory_mib": 1048576, "disk_mib": 0}, "ask_udollar_per_hour": 1500000,
         "contact_age_ms": 200000}]},
    ("POST", "/v1/node-tokens"): {"token": "t", "expires_ms": int(time.time() * 1000) + 600_000, "command": "sh -c 'curl …'", "text": ""},
    ("POST", "/v1/nodes/n-1/drain"): {"seq": 5}, ("POST", "/v1/nodes/n-1/undrain"): {"seq": 5},
    ("POST", "/v1/asks"): {"seq": 5, "nodes": 4},
    ("GET", "/v1/settings"): {"tick_ms": 15000, "fee_permille": 100}, ("PATCH", "/v1/settings"): {"tick_ms": 1000},
    ("GET", "/v1/projects"): {"projects": [
        {"id": "proj_1", "name": "default", "limited": False, "spent_udollar": 12}, {"id": "proj_2", "name": "vision", "limited": True,
         "budget_udollar": 500000000, "spent_udollar": 1500000}]},
    ("POST", "/v1/projects"): {"id": "proj_2", "name": "vision", "limited": True, "budget_udollar": 500000000, "spent_udollar": 0},
    ("PATCH", "/v1/projects/vision"): {"id": "proj_2", "name": "vision", "limited": False, "spent_udollar": 0},
    ("GET", "/v1/keys"): {"keys": [{"id": "key_1", "snippet": "fkey_ab", "role": "admin", "created_ms": NOW, "principal": "admin"},
                                   {"id": "key_2", "snippet": "fkey_cd", "role": "member", "project": "vision", "created_ms": NOW,
                                    "expires_ms": NOW + 1, "revoked": False},
                                   {"id": "key_9", "snippet": "fkey_sp", "role": "join", "created_ms": NOW, "revoked": True}]},
    ("POST", "/v1/keys"): {"id": "key_3", "key": "fkey_new"}, ("DELETE", "/v1/keys/key_3"): {"seq": 5},
    ("GET", "/v1/ledger"): {"entries": [{"id": "9-0", "at_ms": NOW, "debit": "project:default", "credit": "pool:cpu", "amount_udollar": 111,
                                         "workload": WORK},
                                        {"id": "9-1", "at_ms": NOW, "debit": "pool:cpu", "credit": "fee", "amount_udollar": 11}]},
    ("GET", f"/v1/workloads/{WORK}/bill"): {"id": WORK, "sum_udollar": 222, "open_udollar": 3, "lines": [
        {"attempt": 1, "kind": "menu", "pool": fake_server.POOL, "from_ms": NOW, "to_ms": NOW + 5000, "units_milli": 500,
         "rate_udollar_per_hour": 20000, "amount_udollar": 222}]},
    ("GET", "/v1/subscriptions"): SUBSCRIPTIONS,
    ("PUT", "/v1/subscriptions"): SUBSCRIPTIONS,
    ("POST", "/v1/console/codes"): {"code": "ABCD-1234", "url": "http://127.0.0.1:7070/#code=ABCD-1234",
                                    "expires_ms": int(time.time() * 1000) + 120_000},
}
# Words, what people read, and what was asked of the server.
COMMANDS = [
    (["quote", "-N", "2", "--", "true"], ["PER UNIT-HOUR", "as it stands", "$0.06000", "preemptible", "$0.01000", "not at this limit", "being firm $0.01000"], "POST"),
    (["why", WORK], ["is waiting.", "held by work that is worth more", f"tessera bid {WORK} --limit 0.61"], "GET"),
    (["status", WORK], ["failed, attempt 2, exit code 3, rank 1", "2 × 0.25 cores in cpu@home/local/a", "$0.2000 per core-hour", "$1.234",
                        "127.0.1.11", "giving up"], "GET"),
    (["bid", WORK, "--limit", "0.61"], ["at most $0.6100 per unit-hour, waiting"], {"limit_udollar_per_hour": 610000}),
    (["cancel", WORK], ["killed when its notice is over"], "POST"),
    (["prices"], ["cpu@home/local/a", "$0.04000", "core-hour", "1.5"], "GET"),
    (["prices", "--history", fake_server.POOL, "--since", "1h"], ["dollars per unit-hour", "$0.07610", "█", "▁"], "GET"),
    (["prices", "--settings"], ["tick_ms", "15s"], "GET"),
    (["nodes"], ["n-1", "home/local/a/fabric-1/rack-1", "0.5 cores, 1.5 GiB", "hello:1", "8 GPUs, 96 cores, 1024 GiB", "3m 20s", "$1.500"], "GET"),
    (["node", "add"], ["sh -c 'curl …'\n", "will ask $0"], "POST"),
    (["node", "add", "--place", "v/w/x/y/z", "--ask", "0.04"], ["sh -c 'curl … --place v/w/x/y/z --ask 0.04'\n", "within 9m"], "POST"),
    (["drain", "n-1", "--evict"], ["gets its notice"], {"evict": True}),
    (["undrain", "n-1"], ["takes work again"], "POST"),
    (["ask", "set", fake_server.POOL, "0.04"], ["4 nodes now ask $0.04000"], {"pool": fake_server.POOL, "ask_udollar_per_hour": 40000}),
    (["ask", "set", "n-1", "0"], ["4 nodes"], {"node": "n-1", "ask_udollar_per_hour": 0}),
    (["settings"], ["tick_ms", "15000", "15s", "Time between two postings"], "GET"),
    (["settings", "tick_ms=1s", "fee_permille=50"], ["tick_ms"], {"tick_ms": 1000, "fee_permille": 50}),
    (["project", "list"], ["vision", "$500.00", "$1.500", "no limit", "$498.50"], "GET"),
    (["project", "create", "vision", "--budget", "500"], ["vision: $0 spent, budget $500.00"], {"name": "vision", "budget_udollar": 500000000}),
    (["project", "set", "vision", "--budget", "none"], ["no limit"], {"unlimited": True}),
    (["tier", "list", "--project", "chat"], ["STARTS WITHIN", "seconds", "10s", "16", "12", "$0.5000", "$1.230", "cpu, zone a, soc2"], {"project": "chat"}),
    (["tier", "set", "chat", "seconds", "16", "--rate", "0.5", "--zone", "a", "--label", "soc2"], ["chat", "seconds", "16"],
     {"project": "chat", "tier": "seconds", "units": 16, "rate_udollar_per_hour": 500000, "zone": "a", "labels": ["soc2"]}),
    (["key", "list"], ["fkey_ab…", "expired", "never", "vision", "and 1 spent join token, shown by --all"], "GET"),
    (["key", "list", "--all"], ["fkey_ab…", "fkey_sp…", "revoked"], "GET"),
    (["key", "create", "ci", "--role", "viewer", "--expires", "90d"], ["fkey_new\n"], {"role": "viewer", "name": "ci", "valid_ms": 7776000000}),
    (["key", "revoke", "key_3"], ["is revoked"], "DELETE"),
    (["ledger"], ["project:default  pool:cpu  2023-11-14 22:13  $0.000111", "pool:cpu         fee", "$0.000011"], {"sums": "1"}),
    (["ledger", "--entries", "--since", "1h"], ["2023-11-14 22:13", "$0.000111", WORK], {"limit": "1000"}),
    (["ledger", "--workload", WORK], ["menu", "$0.02000", "in all $0.000225, of which $0.000003 is not yet a line"], "GET"),
    (["console"], ["http://127.0.0.1:7070/#code=ABCD-1234", "code ABCD-1234, good once, for 1m"], "POST"),
]


def test_every_command():
    fake = fake_server.start()
    fake.answers = ANSWERS
    tried = set()
    for words, shown, sent in COMMANDS:
        text = run(*words, fake=fake).stdout
        has(text, *shown)
        assert not re.search(r"[ \t]$", text, re.MULTILINE), f"{words}: space at a line's end\n{text}"
        last = fake.requests[-1]
        if isinstance(sent, dict) and last["method"] == "GET":
            assert last["query"].items() >= sent.items(), last
        elif isinstance(sent, dict):
            assert json.loads(last["body"]) == sent, last
        else:
            assert last["method"] == sent, last
        plain = json.loads(run("--json", *words, fake=fake).stdout)
        assert plain == ANSWERS[last["method"], last["path"]], words
        tried.add(" ".join(words[:2]) if words[0] in ("node", "ask", "project", "key", "tier") else words[0])
    named = set(re.findall(r"^  ([\w-]+(?: \w+)?)  +\S", run("--help").stdout.split("Commands:")[1].split("`tessera")[0], re.MULTILINE))
    elsewhere = {"run", "submit", "queue", "logs", "events", "version"}
    on_machines = {"ssh", "mithril-config"} | {c for c in named if c.split()[0] in ("instance", "volume", "reserve", "control-plane", "provider", "webhook")}  # tests/e2e
    assert named - tried == elsewhere | on_machines, named - tried


def test_events():
    fake = fake_server.start()
    fake.emit("node_registered", node_name="n-1", text="n-1 joined")
    fake.emit("workload_started", workload=WORK, text="all replicas run")
    fake.emit("price_posted", pool=fake_server.POOL, price_udollar_per_hour=40000, free_milli=1500)
    has(run("events", fake=fake).stdout, "11-0", "n-1 joined", "12-0", "workload_started", "$0.04000 per unit-hour, free 1.5")
    assert run("events", "--types", "workload_started", fake=fake).stdout.count("\n") == 1
    after = run("events", "--after", "11-0", "--json", fake=fake).stdout.splitlines()
    assert [json.loads(line)["id"] for line in after] == ["12-0", "13-0"], after
    fake.cut_events_after = 1
    process = subprocess.Popen([TESSERA, "events", "-f", "--after", "10-0"], env=environment(fake), cwd=HOME, stdout=subprocess.PIPE, text=True)
    try:
        got = [process.stdout.readline() for _ in range(3)]
        fake.emit("node_lost", node_name="n-1")
        got.append(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()
    assert [re.search(r" (\d+-0) ", line)[1] for line in got] == ["11-0", "12-0", "13-0", "14-0"], got


# ---- what is written from the table


def test_man_pages():
    folder = HOME / "man"
    folder.mkdir()
    run("--man", str(folder))
    names = {page.stem for page in folder.iterdir()}
    overview = run("--help").stdout.split("Commands:")[1].split("`tessera")[0]
    commands = re.findall(r"^  ([\w-]+(?: \w+)?)  +\S", overview, re.MULTILINE)
    assert names == {"tessera"} | {"tessera-" + c.replace(" ", "-") for c in commands}, names
    for page in folder.iterdir():
        text = page.read_text()
        has(text, ".TH ", ".SH NAME", ".SH EXIT STATUS")
        for line in text.splitlines():
            assert not line.startswith(".") or re.match(r"\.(TH|SH|PP|TP|nf|fi)\b", line), f"{page.name}: {line}"
        done = subprocess.run(["man", "-l", "--warnings", str(page)], capture_output=True, text=True, check=False) if has_man() else None
        assert done is None or (done.returncode == 0 and done.stderr == ""), done


def has_man():
    return any((pathlib.Path(p) / "man").exists() for p in os.environ["PATH"].split(":"))


def test_reference():
    kept = (SOURCE / "docs/commands.md").read_text()
    assert "CPU@" not in kept, "pools of machines without GPUs begin with cpu@"
    assert run("--man", "-").stdout == kept, "docs/commands.md is another one: tools/command-docs writes it"


def test_documents():
    """What documents and examples tell people to type exists."""
    overview = run("--help").stdout
    known = set(re.findall(r"^  ([\w-]+(?: \w+)?)  +\S", overview, re.MULTILINE)) | {"help"}
    seen = 0
    for page in [SOURCE / "README.md", *SOURCE.glob("docs/*.md"), *SOURCE.glob("examples/*.yaml")]:
        for line in re.findall(r"(?:`|\$ |/|^ *#? *)tessera ((?!$)[a-z][a-z-]*(?: [a-z]+)?)", page.read_text(), re.MULTILINE):
            seen += 1
            assert line in known or line.split()[0] in known or line.split()[0] == "hold", f"{page.name}: there is no `tessera {line}`"
    assert seen > 20, seen
    for name in re.findall(r"\]\(([^)#]+)\)", (SOURCE / "README.md").read_text()):
        assert (SOURCE / name).exists(), f"README.md: {name} is not there"


def complete(*words):
    """What bash would offer for the last word."""
    script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tessera; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", script, "bash", str(SOURCE / "packaging/completion/tessera.bash"), TESSERA, *words], cwd=HOME,
                          env=environment(), capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_completion():
    overview = run("--help").stdout
    commands = re.findall(r"^  ([\w-]+(?: \w+)?)  +\S", overview.split("Commands:")[1].split("`tessera")[0], re.MULTILINE)
    offered = complete("")
    assert {c.split()[0] for c in commands} | {"serve", "agent", "replay", "sim"} <= offered, offered
    assert complete("qu") == {"queue", "quote"}
    assert complete("key", "") >= {"create", "list", "revoke"}
    for name in commands:
        options = set(re.findall(r"--[a-z][a-z-]*", "\n".join(
            line for line in run(*name.split(), "--help").stdout.splitlines() if re.match(r" +(-\w, )?--", line))))
        assert {o for o in complete(*name.split(), "--") if o.startswith("--")} == options, name


def main():
    wanted = sys.argv[1:]
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_") and (not wanted or name in wanted)]
    for name, test in tests:
        begin = time.monotonic()
        test()
        print(f"{name} ({time.monotonic() - begin:.1f} s)", flush=True)


main()
