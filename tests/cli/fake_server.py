# SPDX-License-Identifier: Apache-2.0
"""A server that only pretends: canned answers in the shapes of src/records/api.h, for tests of the
commands alone. Each test says what happens to a workload; misfortunes can be ordered."""
import hashlib
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

KEY = "fkey_00000000000000000000000000000000"
POOL = "cpu@home/local/a"


class Fake:
    """What the server knows. `story` is a list of (seconds or condition, event) for the next workload."""

    def __init__(self):
        self.workloads, self.events, self.logs, self.requests, self.archives = {}, [], {}, [], {}
        self.seq = 10
        self.changed = threading.Condition()
        self.drop_submits = 0       # connections closed after a submit was taken, before its answer
        self.cut_events_after = 0   # events after which each stream breaks
        self.cut_logs = 0           # log streams that break after what they first have to say
        self.forgotten = 0          # events of older numbers are answered with `reset`
        self.idempotent = {}
        self.refusals = {}          # (method, path) -> (status, error)
        self.answers = {}           # (method, path) -> value
        self.page_size = 1000

    def emit(self, type_, **data):
        with self.changed:
            self.seq += 1
            event = {"id": f"{self.seq}-0", "type": type_, "data": {"type": type_, "at_ms": now(), **data}}
            self.events.append(event)
            self.changed.notify_all()

    def add(self, request):
        work = f"work_{len(self.workloads):016d}"
        units = request["nodes"] * (request["choices"][0]["amounts"].get("gpu_milli") or request["choices"][0]["amounts"].get("core_milli", 0))
        shown = {k: v for k, v in request.items() if k != "secrets"}
        self.workloads[work] = {
            "id": work, "name": request.get("name", ""), "project": request.get("project", "default") or "default", "state": "waiting",
            "kind": "preemptible" if request.get("preemptible") else "firm", "attempt": 1, "nodes": request["nodes"],
            "units_milli": units, "pool": POOL, "limit_udollar_per_hour": request.get("limit_udollar_per_hour", 200000),
            "rate_udollar_per_hour": 0, "cost_udollar": 0, "submitted_ms": now(), "request": shown}
        self.emit("workload_submitted", workload=work, state="waiting", attempt=1)
        return work

    def set(self, work, type_, state, log="", **data):
        """Moves a workload on: a state, an event, more log of rank 0."""
        w = self.workloads[work]
        w["state"] = state
        w["attempt"] = data.get("attempt", w["attempt"])
        for name in ("exit_code", "signal", "reason"):
            if name in data:
                w[name] = data[name]
        if "exit_code" in data:
            w["exited"] = True
        if state == "running":
            w["started_ms"], w["rate_udollar_per_hour"] = now(), 20000
        if state in ("finished", "failed", "cancelled", "rejected"):
            w["ended_ms"], w["cost_udollar"] = now(), 1234
        self.print(work, log, w["attempt"])
        self.emit(type_, workload=work, state=state, **{"attempt": w["attempt"], **data})

    def print(self, work, text, attempt=1, rank=0):
        with self.changed:
            self.logs[work, attempt, rank] = self.logs.get((work, attempt, rank), b"") + text.encode()
            self.changed.notify_all()

    def wait(self, condition, seconds=20):
        end = time.monotonic() + seconds
        with self.changed:
            while not condition():
                left = end - time.monotonic()
                assert left > 0, "the pretended server waited in vain"
                self.changed.wait(min(left, 0.2))


def now():
    return int(time.time() * 1000)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake = None

    def log_message(self, *_):
        pass

    def setup(self):
        super().setup()
        self.closed = False

    # ---- answers

    def answer(self, value, status=200):
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code, message, field=""):
        self.answer({"error": {"code": code, "field": field, "message": message}}, status)

    def stream(self, type_):
        self.send_response(200)
        self.send_header("Content-Type", type_)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    # ---- routes

    def handle_any(self):
        fake, url = self.fake, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = {k: v[0] for k, v in parse_qs(url.query).items()}
        path = unquote(url.path)
        with fake.changed:
            fake.requests.append({"method": self.command, "path": path, "query": query, "body": body, "headers": dict(self.headers)})
            fake.changed.notify_all()
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            return self.refuse(401, "unauthorized", "a key is needed")
        if (self.command, path) in fake.refusals:
            status, *rest = fake.refusals[self.command, path]
            return self.refuse(status, *rest)
        if (self.command, path) in fake.answers:
            return self.answer(fake.answers[self.command, path])
        return self.route(path, query, body)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = handle_any

    def route(self, path, query, body):
        fake = self.fake
        parts = path.strip("/").split("/")
        if path == "/v1/workloads" and self.command == "POST":
            return self.submit(json.loads(body))
        if path == "/v1/workloads":
            return self.list(query)
        if path == "/v1/whoami":
            return self.answer({"role": "admin", "version": "0", "seq": fake.seq, "now_ms": now()})
        if path == "/v1/events":
            return self.events(query)
        if parts[:2] == ["v1", "archives"]:
            return self.archive(parts[2], body)
        if parts[:2] == ["v1", "workloads"] and parts[2] in fake.workloads:
            work = fake.workloads[parts[2]]
            if parts[3:] == ["logs"]:
                return self.log(parts[2], query)
            if parts[3:] == ["cancel"]:
                fake.set(parts[2], "workload_cancelled", "cancelled")
                return self.answer({"seq": fake.seq, "state": "cancelled"})
            if self.command == "PATCH":
                work |= json.loads(body)
                return self.answer({"seq": fake.seq, "state": work["state"]})
            return self.answer(work)
        return self.refuse(404, "not_found", "no such thing")

    def submit(self, request):
        fake, key = self.fake, self.headers.get("Idempotency-Key")
        with fake.changed:
            repeated = key in fake.idempotent
            work = fake.idempotent.get(key) or fake.add(request)
            fake.idempotent[key] = work
            dropped = fake.drop_submits > 0
            fake.drop_submits -= dropped
        if dropped:
            self.close_connection = True
            self.connection.close()
            return None
        return self.answer({"id": work, "seq": fake.seq, "state": "waiting", "repeated": repeated}, 200 if repeated else 201)

    def list(self, query):
        states = query.get("state", "").split(",") if "state" in query else None
        found = [{k: v for k, v in w.items() if k != "request"} for w in self.fake.workloads.values() if states is None or w["state"] in states]
        found.reverse()
        start = int(query.get("cursor", 0))
        page = {"workloads": found[start:start + self.fake.page_size]}
        if start + self.fake.page_size < len(found):
            page["cursor"] = str(start + self.fake.page_size)
        return self.answer(page)

    def archive(self, name, body):
        fake = self.fake
        if self.command == "HEAD":
            return self.answer(None, 200 if name in fake.archives else 404)
        assert hashlib.sha256(body).hexdigest() == name
        fake.archives[name] = body
        return self.answer({}, 201)

    def events(self, query):
        fake = self.fake
        after = self.headers.get("Last-Event-ID") or query.get("after")
        self.stream("text/event-stream")
        seen = int(after.split("-")[0]) if after else fake.seq
        left = fake.cut_events_after or -1
        if after and seen < fake.forgotten:
            seen = fake.seq
            self.chunk(f'id: {fake.seq}-0\nevent: reset\ndata: {{"type":"reset","at_ms":{now()}}}\n\n'.encode())
        while True:
            with fake.changed:
                more = [e for e in fake.events if int(e["id"].split("-")[0]) > seen]
                if not more:
                    fake.changed.wait(0.2)
            for event in more:
                seen = int(event["id"].split("-")[0])
                if query.get("workload") not in (None, event["data"].get("workload")):
                    continue
                if "types" in query and event["type"] not in query["types"].split(","):
                    continue
                try:
                    self.chunk(f"id: {event['id']}\nevent: {event['type']}\ndata: {json.dumps(event['data'])}\n\n".encode())
                except OSError:
                    return
                left -= 1
                if left == 0:
                    self.close_connection = True
                    self.connection.close()
                    return

    def log(self, work, query):
        fake = self.fake
        attempt = int(query.get("attempt", fake.workloads[work]["attempt"]))
        key = work, attempt, int(query.get("rank", 0))
        if key not in fake.logs and "follow" not in query:
            return self.refuse(404, "not_found", "no such log")
        offset = int(query.get("offset", 0))
        self.stream("text/plain")
        while True:
            with fake.changed:
                w = fake.workloads[work]
                over = "follow" not in query or w["state"] not in ("running", "preempting", "assigned") or w["attempt"] != attempt
                more = fake.logs.get(key, b"")[offset:]
                if not more and not over:
                    fake.changed.wait(0.2)
            try:
                if more:
                    self.chunk(more)
                    if fake.cut_logs > 0:
                        fake.cut_logs -= 1
                        self.close_connection = True
                        self.connection.close()
                        return None
                elif over:
                    self.chunk(b"")
                    return None
            except OSError:
                return None
            offset += len(more)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Clients that hang up are part of the tests."""


def start(certificate=None, key=None):
    fake = Fake()
    server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"fake": fake}))
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    fake.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}"
    return fake
