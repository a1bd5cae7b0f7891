# SPDX-License-Identifier: Apache-2.0
"""Logs: followed while they grow, to the end; from a byte on; by rank and attempt; large ones whole."""
import hashlib
import http.client
import os
import pathlib
import shutil
import tempfile
import threading
import time

import harness

SMALL = {"nodes": 1, "preemptible": True, "choices": [{"amounts": {"core_milli": 100}}]}


def follow(cluster, work, query="follow=1"):
    connection = http.client.HTTPConnection("127.0.0.1", cluster.port, timeout=60)
    connection.request("GET", f"/v1/workloads/{work}/logs?{query}", headers={"Authorization": f"Bearer {cluster.key}"})
    answer = connection.getresponse()
    assert answer.status == 200 and answer.getheader("Content-Type").startswith("text/plain"), answer.status
    return connection, answer


def grows(cluster):
    """What was said is read while the work still runs; the stream ends when it does."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tessera-test-"))
    folder.chmod(0o755)  # work runs as a user of its own
    flag = folder / "go"
    work = cluster.submit(SMALL | {"nodes": 2, "run": f"echo first $SKYPILOT_NODE_RANK; while [ ! -e {flag} ]; do sleep 0.05; done; echo last"})
    connections = [follow(cluster, work, f"rank={rank}&follow=1") for rank in (0, 1)]
    for rank, (_, answer) in enumerate(connections):
        line = answer.readline()
        assert line == f"first {rank}\n".encode(), (rank, line, cluster.status(work))
    assert cluster.status(work)["state"] == "running"
    flag.touch()
    for connection, answer in connections:
        assert answer.read() == b"last\n"
        connection.close()
    shutil.rmtree(folder)
    cluster.wait_state(work, "finished")
    assert cluster.log(work, 1) == "first 1\nlast\n"
    connection, answer = follow(cluster, work)
    assert answer.read() == b"first 0\nlast\n"
    connection.close()
    assert cluster.request("GET", f"/v1/workloads/{work}/logs?offset=6", raw=True) == b"0\nlast\n"
    assert cluster.request("GET", f"/v1/workloads/{work}/logs?offset=600", raw=True) == b""
    for query, field in (("rank=2", "rank"), ("attempt=2", "attempt"), ("rank=-1", "rank")):
        try:
            cluster.request("GET", f"/v1/workloads/{work}/logs?{query}")
            raise AssertionError(query)
        except harness.Refused as refused:
            assert refused.status in (400, 404) and refused.error["field"] == field, refused


def waits(cluster):
    """Followed from before it starts: a log without a word ends with its work."""
    blocker = cluster.submit(SMALL | {"run": "sleep 1000", "nodes": 2, "limit_udollar_per_hour": 2_000_000, "choices": [{"amounts": {"core_milli": 250}}]})
    cluster.wait_state(blocker, "running")
    work = cluster.submit(SMALL | {"run": "echo at last", "limit_udollar_per_hour": 1_000_000})
    connection, answer = follow(cluster, work)
    text = []
    reader = threading.Thread(target=lambda: text.append(answer.read()))
    reader.start()
    assert cluster.status(work)["state"] == "waiting"
    cluster.request("POST", f"/v1/workloads/{blocker}/cancel")
    reader.join(60)
    assert text == [b"at last\n"], text
    connection.close()


def large(cluster):
    work = cluster.submit(SMALL | {"run": "head -c 9000000 /dev/urandom | base64"})
    connection, answer = follow(cluster, work)
    followed = answer.read()
    connection.close()
    whole = cluster.request("GET", f"/v1/workloads/{work}/logs", raw=True)
    assert len(whole) == 12_157_895, len(whole)
    assert hashlib.sha256(followed).digest() == hashlib.sha256(whole).digest(), (len(followed), len(whole))


def cancelled(cluster):
    work = cluster.submit(SMALL | {"run": "echo x; sleep 1000", "choices": [{"amounts": {"core_milli": 100}}], "notice_ms": 0})
    connection, answer = follow(cluster, work)
    assert answer.readline() == b"x\n"
    cluster.request("POST", f"/v1/workloads/{work}/cancel")
    answer.read()
    connection.close()


def pruned(cluster):
    """A month after the last line of ended work its logs go; those of live work and later ones stay."""
    logs = cluster.data / "logs"
    live = cluster.submit(SMALL | {"run": "echo here; sleep 1000"})
    connection, answer = follow(cluster, live)
    assert answer.readline() == b"here\n"
    old, late = (cluster.submit(SMALL | {"run": "echo there"}) for _ in range(2))
    for work in (old, late):
        cluster.wait_state(work, "finished")
        assert cluster.log(work) == "there\n"
    month = time.time() - 31 * 24 * 3600
    for path in [logs / live, *(logs / live).iterdir(), logs / old, *(logs / old).iterdir(), logs / late]:
        os.utime(path, (month, month))
    (logs / "mine").mkdir()
    os.utime(logs / "mine", (month, month))
    cluster.stop_server()
    cluster.start_server()
    harness.wait("old logs are gone", lambda: not (logs / old).exists())
    assert cluster.log(late) == "there\n" and (logs / live).exists() and (logs / "mine").exists()
    connection.close()


def main():
    with harness.Cluster(agents=2) as cluster:
        pruned(cluster)
        grows(cluster)
        waits(cluster)
        cancelled(cluster)
        large(cluster)


if __name__ == "__main__":
    main()
