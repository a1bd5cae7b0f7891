# SPDX-License-Identifier: Apache-2.0
"""Lists and boards of the Mithril API, which are answered from memory while nothing changes: a read sees every write
that was answered before it, a revoked key is refused at once, and nobody is shown what was rendered for others."""
import http.client
import json
import threading

import harness
from mithril_client import KEY, Client, Node

ROUNDS = 25


class Connection:
    """One that stays open."""

    def __init__(self, cluster, key):
        self.key = key
        self.line = http.client.HTTPConnection("127.0.0.1", cluster.port, timeout=30)

    def call(self, method, path, body=None):
        self.line.request(method, path, json.dumps(body) if body is not None else None, {"Authorization": f"Bearer {self.key}"})
        answer = self.line.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None, answer.headers

    def get(self, path):
        status, answer, _ = self.call("GET", path)
        assert status == 200, (path, status, answer)
        return answer


def hammer(cluster, stop, failures):
    """Keeps what is kept filled, from both readers."""
    line = Connection(cluster, cluster.key)
    while not stop.is_set():
        for path in ("/v2/spot/bids?limit=100", "/v2/spot/availability"):
            status, _, _ = line.call("GET", path)
            if status != 200:
                failures.append((path, status))


def write_and_read(cluster, body):
    writer, reader = Connection(cluster, cluster.key), Connection(cluster, cluster.key)
    stop, failures = threading.Event(), []
    threads = [threading.Thread(target=hammer, args=(cluster, stop, failures)) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for n in range(ROUNDS):
            status, made, headers = writer.call("POST", "/v2/spot/bids", body | {"name": f"seen-{n}"})
            assert status == 201, made
            status, shown, read = reader.call("GET", "/v2/spot/bids?limit=100")
            assert status == 200 and shown["data"][0]["fid"] == made["fid"], (n, shown["data"][:1])
            assert int(read["Tessera-Seq"]) >= int(headers["Tessera-Seq"]), (read["Tessera-Seq"], headers["Tessera-Seq"])
            assert writer.call("DELETE", f"/v2/spot/bids/{made['fid']}")[0] == 204
            assert reader.get("/v2/spot/bids?limit=100")["data"][0]["status"] == "Terminated", n
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures, failures


def repeated(cluster):
    """Twice the same bytes from one state, each answer with a number of its own."""
    line = Connection(cluster, cluster.key)

    def same():
        first, second = line.call("GET", "/v2/spot/bids"), line.call("GET", "/v2/spot/bids")
        if first[2]["Tessera-Seq"] != second[2]["Tessera-Seq"]:
            return False
        assert first[1] == second[1] and first[2]["X-Request-Id"] != second[2]["X-Request-Id"], (first[2], second[2])
        return kept(cluster) > before

    before = kept(cluster)
    harness.wait("an answer from memory", same)
    assert line.get("/v2/spot/bids?limit=1")["next_cursor"] and not line.get("/v2/spot/bids")["next_cursor"]


def kept(cluster):
    text = cluster.request("GET", "/metrics", raw=True)
    text = text.decode() if isinstance(text, bytes) else text
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("tessera_reads_kept_total ")))


def rights(cluster):
    """The same words from others: another project, no project at all, a key that was revoked."""
    own = Connection(cluster, cluster.key)
    made = cluster.request("POST", "/v1/keys", {"role": "member", "project": "other", "name": "eve"})
    other = Connection(cluster, made["key"])
    for _ in range(3):
        assert len(own.get("/v2/spot/bids")["data"]) >= ROUNDS
        assert other.get("/v2/spot/bids") == {"data": [], "next_cursor": None}
        assert len(own.get("/v2/projects")) == 2 and [p["name"] for p in other.get("/v2/projects")] == ["other"]
    assert other.call("GET", f"/v2/ssh-keys?project={own.get('/v2/projects')[0]['fid']}")[0] == 404
    cluster.request("DELETE", f"/v1/keys/{made['id']}")
    for path in ("/v2/spot/bids", "/v2/projects", "/v2/spot/availability"):
        assert other.call("GET", path)[0] == 401, path
    assert Connection(cluster, "fkey_" + "x" * 32).call("GET", "/v2/spot/bids")[0] == 401


def main():
    with harness.Cluster(settings={"tick_ms": 5000}) as cluster:
        client = Client(cluster)
        Node(cluster, 1)
        cluster.request("POST", "/v1/projects", {"name": "other"})
        project = client.get("/projects")[0]["fid"]
        key = client.call("POST", "/ssh-keys", {"project": project, "name": "own", "public_key": KEY}, 201)
        body = {"project": project, "region": "us-central1-a", "instance_type": "h100-2x", "limit_price": "$3.00", "instance_quantity": 1,
                "launch_specification": {"volumes": [], "ssh_keys": [key["fid"]]}}
        write_and_read(cluster, body)
        repeated(cluster)
        rights(cluster)


main()
