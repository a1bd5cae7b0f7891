# SPDX-License-Identifier: Apache-2.0
"""A server that sells machines by Mithril's API, as faulty as a test wants it: what it sells is a process on this
machine that runs the startup script, in a folder in place of a disk."""
import contextlib
import http.server
import json
import os
import re
import signal
import subprocess
import threading
import urllib.parse

KEY = "fkey_the-key-at-the-seller-0123456789"


class Seller:
    def __init__(self, folder, cents=10, capacity=4, cores=1, memory_gb=1):
        self.folder, self.cents, self.capacity, self.cores, self.memory_gb = folder, cents, capacity, cores, memory_gb
        self.bids, self.calls, self.scripts = {}, [], {}
        self.hold_answers = threading.Event()  # set: POSTs of bids are taken and never answered
        self.swallow = False  # POSTs of bids never arrive
        self.lock = threading.RLock()
        self.processes = {}
        stand = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size)) if size else None
                url = urllib.parse.urlsplit(self.path)
                status, answer = 401, {"detail": "Unauthorized"}
                if self.headers["Authorization"] == f"Bearer {KEY}":
                    with stand.lock:
                        stand.calls.append((self.command, url.path))
                        status, answer = stand.answer(self.command, url.path, dict(urllib.parse.parse_qsl(url.query)), body)
                if status is None:
                    stand.released.wait()
                    self.close_connection = True
                    return
                data = json.dumps(answer).encode() if answer is not None else b""
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_DELETE = handle_any

            def log_message(self, *_):
                pass

        self.released = threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # its buyers are killed
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    # ---- what it answers

    def answer(self, method, path, query, body):
        if path == "/v2/projects":
            return 200, [{"fid": "proj_other", "name": "other"}, {"fid": "proj_mine", "name": "mine"}]
        if path == "/v2/ssh-keys":
            return (200, []) if method == "GET" else (201, {"fid": "sshkey_1", "name": body["name"], "private_key": "not for keeping"})
        if path == "/v2/instance-types":
            return 200, [{"fid": "it_1", "name": "cpu.small", "num_cpus": self.cores, "ram_gb": self.memory_gb, "num_gpus": 0, "gpu_type": "",
                          "local_storage_gb": 0}, {"fid": "it_2", "name": "$(touch /bad)", "num_cpus": 1, "ram_gb": 1}]
        if path == "/v2/spot/availability":
            return 200, [{"fid": f"auc_{t}", "instance_type": t, "region": "eu-a", "capacity": self.free()} for t in ("it_1", "it_2")]
        if path == "/v2/pricing/current":
            return 200, {"spot_price_cents": self.cents, "dynamic_win_price_cents": self.cents if self.free() else None}
        if path == "/v2/spot/bids" and method == "GET":
            return 200, {"data": [b for b in self.bids.values() if b["name"] == query.get("name") and query["project"] == "proj_mine"]}
        if path == "/v2/spot/bids":
            return self.make(body)
        fid = path.split("/")[-1]
        if path.startswith("/v2/spot/bids/") and fid in self.bids and self.bids[fid]["status"] != "Terminated":
            bid = self.bids[fid]
            if method == "PATCH":
                bid["limit_price"] = body["limit_price"]
                return 200, bid
            self.stop(fid)
            bid["status"] = "Terminated"
            return 204, None
        return 404, {"detail": "bid not found"}

    def free(self):
        return self.capacity - sum(b["status"] == "Allocated" for b in self.bids.values())

    def live(self):
        return [b for b in self.bids.values() if b["status"] != "Terminated"]

    def make(self, body):
        if self.swallow:
            return None, None
        assert body["project"] == "proj_mine" and body["launch_specification"]["ssh_keys"] == ["sshkey_1"], body
        assert body["instance_quantity"] == 1 and body["instance_type"] == "it_1" and body["region"] == "eu-a", body
        if any(b["name"] == body["name"] for b in self.live()):
            return 400, {"detail": "name already used"}
        fid = f"bid_{len(self.bids) + 1}"
        self.bids[fid] = {"fid": fid, "name": body["name"], "status": "Open", "limit_price": body["limit_price"]}
        self.scripts[fid] = body["launch_specification"]["startup_script"]
        assert len(self.scripts[fid]) <= 10000
        if self.free() > 0:
            self.allocate(fid)
        return (None, None) if self.hold_answers.is_set() else (201, self.bids[fid])

    # ---- its machines

    def allocate(self, fid):
        """Boots it: the startup script the first time, what that left in rc.local later."""
        disk = self.folder / f"disk-{fid}"
        again = disk.exists()
        disk.mkdir(exist_ok=True)
        script = disk / ("rc.local" if again else "startup.sh")
        if not again:
            text = self.scripts[fid].replace("/var/lib/tessera-agent", str(disk / "home")).replace("/etc/rc.local", str(disk / "rc.local"))
            script.write_text(text.replace("/run/systemd/system", str(disk / "none")))
        with open(disk / "boot.log", "ab") as log:
            self.processes[fid] = subprocess.Popen(["bash", str(script)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.bids[fid]["status"] = "Allocated"

    def stop(self, fid):
        """The machine is switched off: all that its folder has started, too."""
        process = self.processes.pop(fid, None)
        disk = str(self.folder / f"disk-{fid}").encode()
        for entry in os.listdir("/proc"):
            with contextlib.suppress(OSError, ValueError):
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    line = file.read()
                if disk in line or (os.readlink(f"/proc/{entry}/cwd").encode().startswith(disk)):
                    os.kill(int(entry), signal.SIGKILL)
        if process:
            process.kill()
            process.wait()

    def preempt(self, fid):
        with self.lock:
            self.bids[fid]["status"] = "Preempting"

    def off(self, fid):
        with self.lock:
            self.stop(fid)
            self.bids[fid]["status"] = "Open"

    def on(self, fid):
        with self.lock:
            self.allocate(fid)

    def close(self):
        self.released.set()
        self.server.shutdown()
        for fid in list(self.processes):
            self.stop(fid)

    def token(self, fid):
        return re.search(r"fkey_\w{32}", self.scripts[fid])[0]
