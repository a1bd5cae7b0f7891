#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Webhooks, with a stand-in for their receiver: HTTPS under an authority of its own. It refuses at first, the server is
killed in between, and everything arrives: in order, at least once, signed, under the event's id."""
import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import socket
import sqlite3
import ssl
import threading
import time

import harness
from mithril_clusters import certificate

TYPES = ("workload_started", "workload_preempting", "workload_finished", "workload_failed", "workload_cancelled", "budget")


class Receiver:
    """Notes what it is sent, path by path; `answers` says what it says to the next ones, then 200."""

    def __init__(self, folder):
        self.got, self.answers, self.lock = {}, {}, threading.Lock()
        stand = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with stand.lock:
                    stand.got.setdefault(self.path, []).append((dict(self.headers), body))
                    answers = stand.answers.get(self.path, [])
                    status = answers.pop(0) if answers else 200
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "100000")
                self.end_headers()
                self.wfile.write(b"x" * 100000)  # more than anybody wants to know

            def log_message(self, *_):
                pass

        own, key = certificate(folder, "receiver", "-addext", f"subjectAltName=IP:127.0.0.1,DNS:{socket.gethostname()}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own, key)
        self.server = http.server.ThreadingHTTPServer(("", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port, self.authority = self.server.server_address[1], own
        self.url = f"https://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, path):
        with self.lock:
            return list(self.got.get(path, []))

    def ids(self, path):
        return [headers["webhook-id"] for headers, _ in self.of(path)]


def first_seen(ids):
    return list(dict.fromkeys(ids))


def position(event):
    return tuple(int(n) for n in event.split("-"))


def check_signature(secret, headers, body):
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    want = base64.b64encode(hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{want}", headers
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 300 and headers["Content-Type"] == "application/json", headers


def decided(c, types=TYPES):
    lines = c.run("events", "--after", "0-0", "--types", ",".join(types), "--json").stdout.splitlines()
    return [e["event"] | {"id": e["id"]} for e in map(json.loads, lines)]


def hook(c, name):
    return c.request("GET", f"/v1/webhooks/{name}")


def work(run, **more):
    return {"run": run, "choices": [{"amounts": {"core_milli": 250}}]} | more


def order_and_resumption(c, receiver):
    """The first message is refused twice, the server dies in between, others queue up behind it."""
    receiver.answers["/all"] = [503, 302]
    made = c.request("POST", "/v1/webhooks", {"name": "all", "url": receiver.url + "/all?token=T0p"})
    receiver.answers["/all?token=T0p"] = receiver.answers.pop("/all")
    path, secret = "/all?token=T0p", made["secret"]
    assert made["types"] == list(TYPES) and made["state"] == "active" and made["project"] == "default", made
    c.wait_state(c.submit(work("exit 0", name="good")), "finished")
    c.wait_state(c.submit(work("exit 3", name="bad")), "failed")
    failing = harness.wait("it fails", lambda: (h := hook(c, "all"))["state"] == "failing" and h)
    assert failing["attempts"] >= 1 and failing["waiting"] >= 1 and failing["next_ms"] and "answered" in failing["error"], failing
    c.kill_server()
    c.start_server()
    c.wait_state(c.submit(work("exit 0", name="late")), "finished")
    events = decided(c)
    assert [e["type"] for e in events] == ["workload_started", "workload_finished", "workload_started", "workload_failed"] + [
        "workload_started", "workload_finished"], events
    ids = [e["id"] for e in events]
    harness.wait("all have arrived", lambda: first_seen(receiver.ids(path)) == ids, 90)
    sent = receiver.of(path)
    assert receiver.ids(path)[:3] == [ids[0]] * 3, "refused twice, and nothing overtook it"
    for headers, body in sent:
        check_signature(secret, headers, body)
    bodies = {headers["webhook-id"]: json.loads(body) for headers, body in sent}
    for event in events:
        body = bodies[event["id"]]
        assert body["id"] == event["id"] and body["type"] == event["type"], (event, body)
        assert body["data"]["text"] == event["text"] and body["data"]["workload"] == event["workload"], (event, body)
        assert body["timestamp"].endswith("Z"), body
    active = harness.wait("it is well again", lambda: (h := hook(c, "all"))["delivered"] == len(ids) and h)
    assert active["state"] == "active" and not active.get("waiting") and active["status"] == 200 and not active.get("error"), active
    assert receiver.of("/elsewhere") == [], "a redirect was followed"
    c.stop_server()
    c.start_server()
    c.run("webhook", "test", "all")
    assert receiver.ids(path).count(ids[-1]) == 1 and receiver.ids(path)[-1].startswith("test_"), "sent anew after a clean stop"
    print("in order, at least once, over a kill")
    return secret


def commands(c, receiver):
    done = c.run("webhook", "add", "some", receiver.url + "/some", "--types", "workload_failed,workload_cancelled")
    secret = done.stdout.strip()
    assert secret.startswith("whsec_") and "shown this once" in done.stderr, done
    assert c.run("webhook", "add", "some", receiver.url + "/x", check=False).returncode == 6, "the name is taken"
    listed = c.run("webhook", "list").stdout
    assert "some" in listed and receiver.url + "/some" in listed and "whsec_" not in listed, listed
    assert "whsec_" not in json.dumps(c.request("GET", "/v1/webhooks")) + json.dumps(hook(c, "some"))
    assert "has arrived" in c.run("webhook", "test", "some").stdout
    headers, body = receiver.of("/some")[-1]
    check_signature(secret, headers, body)
    assert json.loads(body)["type"] == "test", body
    c.wait_state(c.submit(work("exit 0")), "finished")
    bad = c.submit(work("exit 3"))
    c.wait_state(bad, "failed")
    harness.wait("the failure is told", lambda: len(receiver.of("/some")) == 2)
    body = json.loads(receiver.of("/some")[1][1])
    assert body["type"] == "workload_failed" and body["data"]["workload"] == bad, body
    c.run("webhook", "remove", "some")
    assert c.run("webhook", "test", "some", check=False).returncode == 5
    return secret


def gone(c, receiver):
    receiver.answers["/gone"] = [410]
    c.request("POST", "/v1/webhooks", {"name": "gone", "url": receiver.url + "/gone"})
    done = c.run("webhook", "test", "gone", check=False)
    assert done.returncode == 1 and "410" in done.stderr, done
    assert hook(c, "gone")["state"] == "disabled" and hook(c, "gone")["disabled_ms"], hook(c, "gone")
    c.wait_state(c.submit(work("exit 0")), "finished")
    harness.wait("others are told", lambda: receiver.ids("/all?token=T0p")[-1] == decided(c)[-1]["id"])
    assert len(receiver.of("/gone")) == 1, "it was told that it wants nothing more"
    with contextlib.suppress(harness.Refused):
        c.request("POST", "/v1/webhooks/gone/test")
        raise AssertionError("a test of what was given up")
    assert c.status_of_last == 409
    c.kill_server()
    c.start_server()
    harness.wait("that is kept", lambda: hook(c, "gone")["state"] == "disabled")
    c.run("webhook", "remove", "gone")
    print("410 ends it")


def given_up(c, receiver):
    """After three days in vain, and where too much waits: the outbox is set so while no server is there."""
    made = {}
    for name in ("old", "full"):
        receiver.answers["/" + name] = [500] * 1000
        made[name] = c.request("POST", "/v1/webhooks", {"name": name, "url": f"{receiver.url}/{name}", "types": ["workload_finished"]})
    c.wait_state(c.submit(work("exit 0")), "finished")
    harness.wait("both fail", lambda: all(hook(c, name).get("attempts") for name in made))
    c.stop_server()
    with contextlib.closing(sqlite3.connect(c.data / "delivery.db", isolation_level=None)) as outbox:
        full, old = (row[0] for row in outbox.execute("SELECT id FROM lanes ORDER BY id DESC LIMIT 2").fetchall())
        outbox.execute("UPDATE lanes SET due_ms = 0, failing_ms = failing_ms - 3 * 86400000 WHERE id = ?", (old,))
        outbox.execute("UPDATE lanes SET due_ms = due_ms + 3600000 WHERE id = ?", (full,))
        outbox.executemany("INSERT INTO items(lane, id, type, recipient, subject, body, at_ms) VALUES(?, ?, 'test', '', '', '{}', 1)",
                           [(full, f"x-{n}") for n in range(9999)])
    c.start_server()
    harness.wait("three days are enough", lambda: hook(c, "old")["state"] == "disabled")
    assert "500" in hook(c, "old")["error"] and not hook(c, "old").get("waiting"), hook(c, "old")
    assert hook(c, "full")["state"] == "failing" and hook(c, "full")["waiting"] == 10000, hook(c, "full")
    c.wait_state(c.submit(work("exit 0")), "finished")
    harness.wait("too much waits", lambda: hook(c, "full")["state"] == "disabled")
    assert "10000" in hook(c, "full")["error"] and not hook(c, "full").get("waiting"), hook(c, "full")
    for name in made:
        c.run("webhook", "remove", name)
    print("given up in the end")


def budget(c, receiver):
    """Of the project alone whose webhook it is; others neither see nor take it away."""
    c.request("POST", "/v1/projects", {"name": "small"})
    key = c.request("POST", "/v1/keys", {"role": "member", "project": "small"})["key"]
    made = c.request("POST", "/v1/webhooks", {"name": "all", "url": receiver.url + "/budget", "types": ["budget"]}, key=key)
    assert made["project"] == "small", made
    assert [h["id"] for h in c.request("GET", "/v1/webhooks", key=key)["webhooks"]] == [made["id"]]
    other = next(h for h in c.request("GET", "/v1/webhooks")["webhooks"] if h["project"] == "default")
    for method, path in (("GET", other["id"]), ("DELETE", other["id"]), ("POST", other["id"] + "/test")):
        with contextlib.suppress(harness.Refused):
            c.request(method, f"/v1/webhooks/{path}", key=key)
            raise AssertionError(f"{method} of another project's")
        assert c.status_of_last == 404
    with contextlib.suppress(harness.Refused):
        c.request("GET", "/v1/webhooks/all")
        raise AssertionError("which of the two?")
    assert c.status_of_last == 409
    spending = c.request("POST", "/v1/workloads", work("sleep 1", project="small"), key=key)["id"]
    harness.wait("something is owed", lambda: c.status(spending)["state"] == "finished" and c.status(spending).get("cost_udollar"), 60)
    c.request("PATCH", "/v1/projects/small", {"budget_udollar": 1})
    harness.wait("the budget is spent", lambda: len(receiver.of("/budget")) == 2, 60)
    assert [json.loads(body)["data"]["value"] for _, body in receiver.of("/budget")] == [80, 100], receiver.of("/budget")
    print("budget at 80 and 100 per cent")


def refusals(c, receiver, allowed):
    good = {"name": "x", "url": receiver.url + "/x"}
    for wrong, field in (({"url": "http://127.0.0.1/x"}, "url"), ({"url": "https://u:p@127.0.0.1/x"}, "url"), ({"name": "a b"}, "name"),
                         ({"types": ["price_posted"]}, "types"), ({"url": ""}, "url"), ({"types": [7]}, "types[0]"),
                         *(() if allowed else ((good, "url"), ({"url": "https://localhost/x"}, "url"), ({"url": "https://[::1]/"}, "url")))):
        try:
            c.request("POST", "/v1/webhooks", good | wrong)
            raise AssertionError(f"taken: {wrong}")
        except harness.Refused as refused:
            assert refused.status == 400 and refused.error["field"] == field, (wrong, refused)


def private(folder_of_ca, receiver):
    """Without the option no private address is called, by whatever name."""
    name = socket.gethostname()
    with harness.Cluster(serve_options=["--webhook-ca", str(folder_of_ca)]) as c:
        refusals(c, receiver, False)
        try:
            socket.getaddrinfo(name, None)
        except OSError:
            print("this machine's name has no address: no webhook by name")
            return
        c.request("POST", "/v1/webhooks", {"name": "named", "url": f"https://{name}:{receiver.port}/named"})
        done = c.run("webhook", "test", "named", check=False)
        assert done.returncode == 1 and "not at an address of the public internet" in done.stderr, done
        assert receiver.of("/named") == []
        print("no private address is called")


def main():
    options = ["--webhook-allow-private"]
    with harness.Cluster(agents=1) as c:
        receiver = Receiver(c.folder)
        c.stop_server()
        c.serve_options = [*options, "--webhook-ca", str(receiver.authority)]
        c.start_server()
        c.wait_nodes(1)
        secrets = [order_and_resumption(c, receiver), commands(c, receiver)]
        gone(c, receiver)
        given_up(c, receiver)
        budget(c, receiver)
        refusals(c, receiver, True)
        log = (c.folder / "server.log").read_text()
        assert not any(secret in log for secret in secrets) and "T0p" not in log, "a secret stands in the log"
        private(receiver.authority, receiver)


main()
