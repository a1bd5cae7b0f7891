# SPDX-License-Identifier: Apache-2.0
"""What end-to-end tests share: a server and agents of one's own, a client, and waiting.

    with Cluster(agents=2) as c:
        work = c.submit({"nodes": 1, "run": "echo hi", "choices": [{"amounts": {"core_milli": 250}}]})
        c.wait_state(work, "finished")

Everything lies in a temporary folder, every process is one's own, and nothing waits for a fixed time."""
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

TESSERA = os.environ.get("TESSERA", "build/tessera")
SOURCE = pathlib.Path(os.environ.get("SOURCE", "."))
ENDED = ("finished", "failed", "cancelled", "rejected")


class Refused(Exception):
    """An answer that is not 2xx: status and the error record."""

    def __init__(self, status, body):
        super().__init__(f"{status} {body}")
        self.status = status
        try:
            self.body = json.loads(body)
        except ValueError:
            self.body = body
        try:
            self.error = json.loads(body)["error"]
        except (ValueError, KeyError, TypeError):
            self.error = {}


def skip(why):
    print("skipped:", why)
    sys.exit(77)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait(what, condition, seconds=30):
    """Asks until the condition gives something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"gave up after {seconds} s: {what}")
        time.sleep(0.02)


class Cluster:
    def __init__(self, agents=0, cpus="0.25", memory="256MiB", settings=None, serve_options=()):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tessera-test-"))
        self.data = self.folder / "data"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.serve_options = list(serve_options)
        self.server = None
        self.key = None
        self.agents = {}
        self.agent_options = ["--cpus", cpus, "--memory", memory]
        self.wanted_agents = agents
        self.settings = {"tick_ms": 1000, "minimum_run_ms": 1000} | (settings or {})

    def __enter__(self):
        try:
            self.start_server()
            self.request("PATCH", "/v1/settings", self.settings)
            for n in range(1, self.wanted_agents + 1):
                self.start_agent(n)
            self.wait_nodes(self.wanted_agents)
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, _value, _trace):
        for process in [*self.agents.values(), self.server]:
            if process and process.poll() is None:
                process.terminate()
        for process in [*self.agents.values(), self.server]:
            if process:
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self.kill_holders()
        self.remove_groups()
        if kind and kind is not SystemExit:
            for log in sorted(self.folder.glob("*.log")):
                print(f"---- {log.name}\n{log.read_text(errors='replace')[-4000:]}", file=sys.stderr)
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill_holders(self):
        """Work outlives its agents; what a test leaves behind is found by its data folder."""
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if str(self.folder).encode() in (entry / "cmdline").read_bytes():
                        os.kill(int(entry.name), signal.SIGKILL)

    def remove_groups(self):
        """The cgroups of holders that were killed: their agents would have removed them at the next start."""
        ours = {f"tessera-{installation.read_text().strip()}" for installation in self.folder.glob("agent-*/installation")}
        homes = [pathlib.Path(folder, name) for folder, names, _ in os.walk("/sys/fs/cgroup") for name in ours.intersection(names)]
        for group in [group for home in homes for group in (*home.glob("hold-*"), home)]:
            with contextlib.suppress(OSError):
                (group / "cgroup.kill").write_text("1")
            with contextlib.suppress(OSError):
                group.rmdir()

    # ---- processes

    def spawn(self, name, *command):
        with open(self.folder / f"{name}.log", "ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def start_server(self):
        self.server = self.spawn("server", TESSERA, "serve", "--data", str(self.data), "--port", str(self.port), *self.serve_options)
        wait("the server answers", self.healthy, 60)
        self.key = next(line.split(":", 1)[1].strip().strip("\"'")
                        for line in (self.data / "client.yaml").read_text().splitlines() if line.startswith("key:"))

    def healthy(self):
        if self.server.poll() is not None:
            raise AssertionError(f"the server ended with {self.server.returncode}")
        with contextlib.suppress(OSError, Refused, http.client.HTTPException):
            self.request("GET", "/healthz", key=None)
            return True
        return False

    def kill_server(self):
        self.server.kill()
        self.server.wait()

    def stop_server(self):
        self.server.terminate()
        return self.server.wait(60)

    def start_agent(self, n, *options, program=TESSERA):
        folder = self.folder / f"agent-{n}"
        if not (folder / "key").exists():
            folder.mkdir(exist_ok=True)
            token = self.request("POST", "/v1/node-tokens", {})["token"]
            joined = self.request("POST", "/v1/agent/join", {"name": f"node-{n}", "machine": "test"}, key=token)
            (folder / "key").write_text(joined["key"])
            (folder / "key").chmod(0o600)
        number = json.loads((self.data / "installation").read_text())["number"]
        self.agents[n] = self.spawn(
            f"agent-{n}", program, "agent", "--data", str(folder), "--server", self.url, "--key-file", str(folder / "key"),
            "--name", f"node-{n}", "--place", f"home/local/a/fabric-1/rack-{(n + 1) // 2}", "--ask", "0.04",
            "--address", f"127.0.{number}.{10 + n}", *self.agent_options, *options)

    def kill_agent(self, n):
        self.agents[n].kill()
        self.agents[n].wait()

    # ---- the API

    def request(self, method, path, body=None, key="own", headers=None, raw=False):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        head = dict(headers or {})
        if key:
            head["Authorization"] = f"Bearer {self.key if key == 'own' else key}"
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            head.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, body, head)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        self.status_of_last = answer.status
        if not 200 <= answer.status < 300:
            raise Refused(answer.status, data.decode(errors="replace"))
        if raw:
            return data
        return json.loads(data) if data[:1] in (b"{", b"[") else data

    def submit(self, workload, **headers):
        return self.request("POST", "/v1/workloads", workload, headers=headers)["id"]

    def status(self, work):
        return self.request("GET", f"/v1/workloads/{work}")

    def wait_state(self, work, *states, seconds=60):
        def reached():
            now = self.status(work)
            if now["state"] in ENDED and now["state"] not in states:
                raise AssertionError(f"{work} is {now}")
            return now if now["state"] in states else None

        return wait(f"{work} is {' or '.join(states)}", reached, seconds)

    def log(self, work, rank=0):
        return self.request("GET", f"/v1/workloads/{work}/logs?rank={rank}", raw=True).decode()

    def wait_nodes(self, count, seconds=60):
        def up():
            for n, agent in self.agents.items():
                if agent.poll() is not None:
                    raise AssertionError(f"agent {n} ended with {agent.returncode}")
            return sum(n["state"] == "up" for n in self.request("GET", "/v1/nodes").get("nodes", [])) >= count

        wait(f"{count} nodes are up", up, seconds)

    def run(self, *words, check=True, **options):
        """The command line, with this cluster's server and key."""
        environment = os.environ | {"TESSERA_SERVER": self.url, "TESSERA_KEY": self.key}
        done = subprocess.run([TESSERA, *words], env=environment, capture_output=True, text=True, check=False, timeout=120, **options)
        if check and done.returncode != 0:
            raise AssertionError(f"tessera {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done
