# SPDX-License-Identifier: Apache-2.0
"""A server that agents believe in, and a world with agents in it:

    with World() as w:
        w.start_agent()
        w.server.want(replica("work_a", run="echo hi"))
        w.server.wait_report("ended", "work_a")

It answers /v1/agent/* and archives, can be cut off the network and keeps all that it was told."""
import contextlib
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

PROGRAM = os.environ.get("AGENT", "build/tests/agent/agent_program")
KEY = "fkey_" + "a" * 32


def wait(what, condition, seconds=30):
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"gave up after {seconds} s: {what}")
        time.sleep(0.01)


def replica(work, run="true", attempt=1, rank=0, action="run", core_milli=500, memory_mib=256, **spec):
    """One entry of the desired state. `spec` goes to its spec; ips, gpus, master_port and stop_in_ms to itself."""
    entry = {"workload": work, "attempt": attempt, "role": 0, "rank": rank, "action": action,
             "amounts": {"gpu_milli": 0, "core_milli": core_milli, "memory_mib": memory_mib, "disk_mib": 0},
             "gpus": spec.pop("gpus", []), "ips": spec.pop("ips", ["127.0.0.1"]),
             "master_address": spec.pop("master_address", "127.0.0.1"), "master_port": spec.pop("master_port", 0)}
    if "stop_in_ms" in spec:
        entry["stop_in_ms"] = spec.pop("stop_in_ms")
    entry["spec"] = {"name": "test", "project": "default", "setup": "", "run": run, "envs": {}, "secrets": {}, "archive": "",
                     "workdir": "", "mounts": {}, "nodes": 1, "gpus_per_node": 0, "notice_ms": 2000, "signal": 15,
                     "on_lost_contact": "continue"} | spec
    return entry


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def answer(self, status, body, kind="application/json"):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        server = self.server.world
        if not server.reachable():
            return self.drop()
        name = self.path.rsplit("/", 1)[1]
        if name in server.failing:
            return self.answer(503, {"error": {"code": "unavailable", "field": "", "message": "not now"}})
        if name in server.archives:
            return self.answer(200, server.archives[name], "application/x-tar")
        return self.answer(404, {"error": {"code": "not_found", "field": "", "message": "no such archive"}})

    def drop(self):
        self.close_connection = True
        self.connection.close()

    def do_POST(self):
        server = self.server.world
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not server.reachable():
            return self.drop()
        path = urllib.parse.urlsplit(self.path)
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if path.path == "/v1/agent/join":
            if bearer != server.token:
                return self.answer(401, {"error": {"code": "unauthorized", "field": "", "message": "no"}})
            server.token = None
            return self.answer(200, {"key": KEY})
        if bearer != KEY:
            return self.answer(401, {"error": {"code": "unauthorized", "field": "", "message": "no"}})
        handler = {"/v1/agent/register": server.register, "/v1/agent/poll": server.poll, "/v1/agent/report": server.report}
        if path.path == "/v1/agent/logs":
            found = server.take_log(dict(urllib.parse.parse_qsl(path.query)), body)
        else:
            found = handler[path.path](json.loads(body))
        if found is None or not server.reachable():
            return self.drop()
        with contextlib.suppress(OSError):  # it may have gone away meanwhile
            return self.answer(*found)


class Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Agents are killed in the middle of a sentence here."""


class Server:
    def __init__(self, contact_timeout_ms=120000, renew_ms=2000):
        self.contact_timeout_ms, self.renew_ms = contact_timeout_ms, renew_ms
        self.lock = threading.Condition()
        self.version, self.replicas = 1, []
        self.facts, self.reports, self.logs, self.archives = [], [], {}, {}
        self.stale = set()  # (workload, attempt) whose reports are refused
        self.cut = False
        self.refused = set()  # workloads of whose reports the server understands nothing
        self.failing = set()  # archives that are not to be had now
        self.token = "token"
        self.polls = 0
        self.http = Listener(("127.0.0.1", 0), Handler)
        self.http.world = self
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def reachable(self):
        return not self.cut

    # ---- what agents ask

    def register(self, facts):
        with self.lock:
            self.facts.append(facts)
        return 200, {"node": "node_0000000000000001", "contact_timeout_ms": self.contact_timeout_ms, "renew_ms": self.renew_ms,
                     "now_ms": int(time.time() * 1000)}

    def poll(self, ask):
        with self.lock:
            self.polls += 1
            if ask["since"] == self.version:
                self.lock.wait_for(lambda: self.version != ask["since"] or self.cut, ask["wait_ms"] / 1000)
            changed = ask["since"] != self.version
            return 200, {"version": self.version, "contact_timeout_ms": self.contact_timeout_ms, "changed": changed,
                         "replicas": self.replicas if changed else []}

    def report(self, told):
        verdicts = []
        if any(one["workload"] in self.refused for one in told["reports"]):
            return 400, {"error": {"code": "invalid", "field": "reports[0]", "message": "not this one"}}
        with self.lock:
            for one in told["reports"]:
                self.reports.append(one | {"came": time.monotonic()})
                verdicts.append({"verdict": "stale" if (one["workload"], one["attempt"]) in self.stale else "ok"})
            self.lock.notify_all()
        return 200, {"outcomes": verdicts}

    def take_log(self, query, body):
        with self.lock:
            name = (query["workload"], int(query["attempt"]), int(query["rank"]))
            log = self.logs.get(name, b"")
            offset = int(query["offset"])
            if offset <= len(log):
                log = log[:offset] + body if len(body) > len(log) - offset else log
                self.logs[name] = log
            return 200, {"size": len(log), "full": False}

    # ---- what tests say and see

    def want(self, *replicas):
        with self.lock:
            self.replicas = list(replicas)
            self.version += 1
            self.lock.notify_all()

    def cut_off(self, cut=True):
        with self.lock:
            self.cut = cut
            self.lock.notify_all()

    def add_archive(self, data):
        name = hashlib.sha256(data).hexdigest()
        self.archives[name] = data
        return name

    def found(self, kind, work, attempt=1, rank=0):
        with self.lock:
            return next((r for r in self.reports if (r["kind"], r["workload"], r["attempt"], r["rank"]) == (kind, work, attempt, rank)), None)

    def wait_report(self, kind, work, attempt=1, rank=0, seconds=30):
        return wait(f"{work} attempt {attempt} rank {rank} {kind}", lambda: self.found(kind, work, attempt, rank), seconds)

    def log(self, work, attempt=1, rank=0):
        with self.lock:
            return self.logs.get((work, attempt, rank), b"").decode(errors="replace")


class World:
    def __init__(self, **server):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tessera-agent-"))
        self.folder.chmod(0o755)
        self.server = Server(**server)
        self.agents = {}

    def __enter__(self):
        return self

    def __exit__(self, kind, _value, _trace):
        for agent in self.agents.values():
            if agent.poll() is None:
                agent.send_signal(signal.SIGCONT)
                agent.terminate()
        for agent in self.agents.values():
            agent.wait(20)
        self.kill_holders()
        self.remove_groups()
        self.server.close()
        if kind and kind is not SystemExit:
            for log in sorted([*self.folder.glob("*.log"), *self.folder.glob("*/holder.log")]):
                print(f"---- {log}\n{log.read_text(errors='replace')[-6000:]}", file=sys.stderr)
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill_holders(self):
        """A holder told to end takes all that it holds with it."""
        for pid in self.holders():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGTERM)
        with contextlib.suppress(AssertionError):
            wait("holders end", lambda: not self.holders(), 10)
        for pid in self.holders():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def remove_groups(self):
        """What killed holders leave: their agents would have removed it at the next start."""
        for installation in self.folder.glob("agent-*/installation"):
            for home in pathlib.Path("/sys/fs/cgroup").glob(f"**/tessera-{installation.read_text().strip()}"):
                for group in [*home.glob("hold-*"), home]:
                    with contextlib.suppress(OSError):
                        (group / "cgroup.kill").write_text("1")
                    with contextlib.suppress(OSError):
                        group.rmdir()

    def holders(self):
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    if b"hold" in words and any(str(self.folder).encode() in w for w in words):
                        found.append(int(entry.name))
        return found

    def data(self, n=1):
        return self.folder / f"agent-{n}"

    def start_agent(self, n=1, *options, program=None, join=False, server=None):
        self.data(n).mkdir(exist_ok=True)
        if not join and not (self.data(n) / "key").exists():
            (self.data(n) / "key").write_text(KEY)
            (self.data(n) / "key").chmod(0o600)
        with open(self.folder / f"agent-{n}.log", "ab") as log:
            self.agents[n] = subprocess.Popen(
                [program or PROGRAM, "agent", "--data", str(self.data(n)), "--server", (server or self.server).url, "--name", f"node-{n}",
                 "--address", f"127.0.9.{n}", "--verbose", *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        return self.agents[n]

    def kill_agent(self, n=1):
        self.agents[n].kill()
        self.agents[n].wait()

    def replicas(self, n=1):
        with contextlib.suppress(OSError):
            return sorted(p.name for p in (self.data(n) / "replicas").iterdir())
        return []
