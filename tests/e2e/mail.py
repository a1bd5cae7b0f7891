#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Mail to whom an order names, with a stand-in for the mail server: it is away at first and the server is killed
meanwhile, then it asks to come back later, refuses one recipient for good, and takes the rest."""
import base64
import contextlib
import email
import json
import socketserver
import sqlite3
import threading

import harness
from mithril_bids import bid
from mithril_client import KEY, Client, Node

PASSWORD = "a pass:word-that-nobody-logs"


class MailServer:
    """Speaks as much SMTP as a client needs; notes what it takes."""

    def __init__(self, port):
        self.mails, self.logins, self.refused, self.later = [], [], [], 1
        stand = self

        class Handler(socketserver.StreamRequestHandler):
            def say(self, text):
                self.wfile.write(text.encode() + b"\r\n")

            def handle(self):
                self.say("220 stand-in")
                sender, recipient = None, None
                while line := self.rfile.readline().decode().strip():
                    word = line.split()[0].upper()
                    if word == "EHLO":
                        self.say("250-stand-in\r\n250-8BITMIME\r\n250 AUTH PLAIN")
                    elif word == "AUTH":
                        if len(line.split()) < 3:
                            self.say("334 ")
                            line = f"AUTH PLAIN {self.rfile.readline().decode().strip()}"
                        stand.logins.append(base64.b64decode(line.split()[2]).decode().split("\0"))
                        self.say("235 welcome")
                    elif word == "MAIL":
                        sender = line
                        self.say("250 ok")
                    elif word == "RCPT":
                        recipient = line[line.index("<") + 1 : line.index(">")]
                        if recipient.startswith("nobody@"):
                            stand.refused.append(recipient)
                            self.say("550 no such user")
                        elif stand.later:
                            stand.later -= 1
                            self.say("451 come back later")
                        else:
                            self.say("250 ok")
                    elif word == "DATA":
                        self.say("354 go on")
                        text = b""
                        while not text.endswith(b"\r\n.\r\n"):
                            text += self.rfile.readline()
                        stand.mails.append((sender, recipient, text.removesuffix(b".\r\n")))
                        self.say("250 taken")
                    elif word == "QUIT":
                        self.say("221 bye")
                        return
                    else:
                        self.say("502 what?")

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def subjects(self, recipient):
        return [email.message_from_bytes(text)["Subject"] for _, to, text in list(self.mails) if to == recipient]


def note_of(client, order):
    return client.get(f"/spot/bids/{order['fid']}/history")["events"][0].get("note")


def steps_of(c, order):
    work = next(w["id"] for w in c.request("GET", "/v1/workloads")["workloads"] if w["name"] == order["name"])
    return [(s["type"], s["text"]) for s in c.status(work)["steps"]]


def without(c, client, project, key):
    """The order is taken, and its history says it."""
    order = client.call("POST", "/spot/bids", bid(client, project, [key], "silent", notification_email="sam@example.org"), 201)
    assert "no mail goes out" in harness.wait("its history says it", lambda: note_of(client, order))
    assert ("mail", note_of(client, order)) in steps_of(c, order), steps_of(c, order)
    assert "no mail goes out" in c.run("status", "silent").stdout
    plain = client.call("POST", "/spot/bids", bid(client, project, [key], "plain"), 201)
    assert note_of(client, plain) is None and "mail" not in dict(steps_of(c, plain))
    for wrong in ("ann@example.org\r\nBcc: all@example.org", "ann", "@example.org", "a@b@c", "ann <ann@example.org>", "a b@example.org", "ä@example.org"):
        assert "notification_email" in str(client.call("POST", "/spot/bids", bid(client, project, [key], "bad", notification_email=wrong), 422)), wrong
    for made in (order, plain):
        client.call("DELETE", f"/spot/bids/{made['fid']}?project={project}", expect=204)


def main():
    port = harness.free_port()
    with harness.Cluster(settings={"tick_ms": 500}) as c:
        node, client = Node(c, 1), Client(c)
        project = client.get("/projects")[0]["fid"]
        key = client.call("POST", "/ssh-keys", {"project": project, "name": "mine", "public_key": KEY}, 201)["fid"]
        without(c, client, project, key)
        with contextlib.closing(sqlite3.connect(c.data / "delivery.db")) as outbox:
            assert outbox.execute("SELECT seq FROM cursor").fetchall() == [(0,)], "the disk is written for nobody"
        node.stop_all()
        c.stop_server()
        secret = c.folder / "smtp-password"
        secret.write_text(PASSWORD + "\n")
        secret.chmod(0o644)
        c.serve_options = ["--smtp", f"smtp://op@127.0.0.1:{port}", "--smtp-password-file", str(secret), "--smtp-from", "gpus@example.org"]
        open_to_others = c.spawn("refused", harness.TESSERA, "serve", "--data", str(c.data), *c.serve_options)
        assert open_to_others.wait(60) == 1 and "chmod 600" in (c.folder / "refused.log").read_text()
        secret.chmod(0o600)
        c.start_server()
        order = client.call("POST", "/spot/bids", bid(client, project, [key], "train", notification_email="ann@example.org", limit_price="$5"), 201)
        replica = node.told("run")[0]
        node.boot(replica)
        assert note_of(client, order) is None and "mail" not in dict(steps_of(c, order))
        log = c.folder / "server.log"
        harness.wait("the mail server is away", lambda: "mail about" in log.read_text())
        c.kill_server()
        c.start_server()
        stand = MailServer(port)
        harness.wait("the mail arrives", lambda: stand.subjects("ann@example.org") == ["train: started"], 60)
        assert stand.later == 0, "it was not asked to come back"
        assert stand.logins and all(login == ["", "op", PASSWORD] for login in stand.logins), stand.logins
        sender, _, text = next(m for m in stand.mails if m[1] == "ann@example.org")
        mail = email.message_from_bytes(text)
        assert "<gpus@example.org>" in sender and mail["From"] == "Tessera <gpus@example.org>" and mail["To"] == "ann@example.org", text
        assert mail["Date"].endswith("+0000") and mail["Message-ID"].endswith("@example.org>") and mail["Auto-Submitted"] == "auto-generated", text
        body = mail.get_payload(decode=True).decode()
        assert body.startswith("train ") and "default" in body and b"\n" not in text.replace(b"\r\n", b""), text

        other = client.call("POST", "/spot/bids", bid(client, project, [key], "hurry", notification_email="nobody@example.org", limit_price="$40"), 201)
        harness.wait("preemption is told", lambda: stand.subjects("ann@example.org")[1:] == ["train: preempting"], 60)
        assert "until" in email.message_from_bytes(stand.mails[-1][2]).get_payload(decode=True).decode(), stand.mails[-1]
        node.stop_all()
        node.boot(node.told("run")[0])
        harness.wait("a recipient is refused", lambda: stand.refused, 60)
        client.call("DELETE", f"/spot/bids/{order['fid']}?project={project}", expect=204)
        harness.wait("the end is told, behind the one that was refused", lambda: stand.subjects("ann@example.org")[2:] == ["train: cancelled"], 60)
        assert stand.refused == ["nobody@example.org"], "it was asked again"
        assert other and PASSWORD not in log.read_text() and "no such user" not in json.dumps(c.request("GET", "/v1/webhooks"))
        print("mail")


main()
