# SPDX-License-Identifier: Apache-2.0
"""The event stream: live, resumed from memory and from the tables, reset where it must be, filtered,
ended with its key."""
import http.client
import json
import sqlite3

import harness

SMALL = {"nodes": 1, "run": "true", "preemptible": True, "choices": [{"amounts": {"core_milli": 50}}]}


class Stream:
    """One connection; events come as (id, type, data)."""

    def __init__(self, cluster, query="", last=None, key=None):
        self.connection = http.client.HTTPConnection("127.0.0.1", cluster.port, timeout=20)
        head = {"Authorization": f"Bearer {key or cluster.key}"}
        if last:
            head["Last-Event-ID"] = last
        self.connection.request("GET", "/v1/events" + query, headers=head)
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200, (self.answer.status, self.answer.read())

    def next(self):
        """The next event; None where the stream has ended."""
        event = {}
        while True:
            raw = self.answer.readline()
            if not raw:
                return None
            line = raw.decode().rstrip("\n")
            if not line and event.get("event"):
                return event["id"], event["event"], json.loads(event["data"])
            name, _, value = line.partition(":")
            if name:
                event[name] = value.removeprefix(" ")

    def until(self, condition):
        seen = []
        while not seen or not condition(seen[-1]):
            event = self.next()
            assert event, f"the stream ended after {seen}"
            seen.append(event)
        return seen

    def close(self):
        self.connection.close()


def position(event):
    seq, place = event[0].split("-")
    return int(seq), int(place)


def ended(work):
    return lambda event: event[1] == "workload_finished" and event[2]["workload"] == work


def live(cluster):
    stream = Stream(cluster)
    work = cluster.submit(SMALL | {"name": "watched"})
    seen = stream.until(ended(work))
    stream.close()
    own = [e for e in seen if e[2].get("workload") == work]
    types = [e[1] for e in own if e[1].startswith("workload_")]
    assert types == ["workload_submitted", "workload_assigned", "workload_started", "workload_finished"], types
    assert all(position(a) < position(b) for a, b in zip(seen, seen[1:])), [e[0] for e in seen]
    assert all(e[2]["type"] == e[1] and e[2]["at_ms"] > 0 for e in seen)
    assert own[0][2]["name"] == "watched" and own[0][2]["project"] == "default", own[0]
    return work, seen


def resumed(cluster, seen, work):
    """From any id on the stream goes on as it was."""
    for at in (0, len(seen) // 2, len(seen) - 2):
        stream = Stream(cluster, last=seen[at][0])
        again = stream.until(ended(work))
        stream.close()
        assert again == seen[at + 1:], (at, [e[0] for e in again], [e[0] for e in seen[at + 1:]])
    stream = Stream(cluster, f"?workload={work}&after={seen[0][0]}")
    again = stream.until(ended(work))
    stream.close()
    assert again == [e for e in seen[1:] if e[2].get("workload") == work], again


def filtered(cluster):
    stream = Stream(cluster, "?types=workload_finished,price_posted")
    work = cluster.submit(SMALL)
    seen = stream.until(ended(work))
    stream.close()
    assert {e[1] for e in seen} <= {"workload_finished", "price_posted"}, seen
    assert "name" not in seen[-1][2], ("a name that nobody gave it", seen[-1])


def foreign(cluster, first):
    """A key of another project: public prices, nothing of others, neither live nor from the past."""
    cluster.request("POST", "/v1/projects", {"name": "other"})
    made = cluster.request("POST", "/v1/keys", {"role": "member", "project": "other"})
    for last in (None, first, "0-0"):
        stream = Stream(cluster, last=last, key=made["key"])
        cluster.submit(SMALL)
        work = cluster.request("POST", "/v1/workloads", SMALL | {"name": "mine"}, key=made["key"])["id"]
        seen = stream.until(ended(work))
        stream.close()
        strange = [e for e in seen if e[2].get("project", "") not in ("", "other") or e[1].startswith(("node_", "key_"))]
        assert not strange, strange
        assert any(e[1] == "charged" or e[1] == "workload_started" for e in seen)
    stream = Stream(cluster, key=made["key"])
    cluster.request("DELETE", f"/v1/keys/{made['id']}")
    harness.wait("the stream ends with its key", lambda: stream.next() is None, 15)
    stream.close()


def lost(cluster, work, seen):
    """What is too old, or of another life, begins with a reset."""
    stream = Stream(cluster, last="999999999-0")
    assert stream.next()[1] == "reset"
    later = cluster.submit(SMALL)
    stream.until(ended(later))
    stream.close()
    cluster.stop_server()
    tables = sqlite3.connect(cluster.data / "tables.db")
    tables.execute("DELETE FROM events WHERE seq <= ?", [position(seen[-1])[0]])
    tables.commit()
    tables.close()
    cluster.start_server()
    stream = Stream(cluster, last=seen[0][0])
    event = stream.next()
    assert event[1] == "reset", event
    again = cluster.submit(SMALL)
    more = stream.until(ended(again))
    stream.close()
    assert all(position(event) < position(e) for e in more), (event, more)
    assert not any(e[2].get("workload") == work for e in more)


def main():
    with harness.Cluster(agents=1) as cluster:
        work, seen = live(cluster)
        resumed(cluster, seen, work)
        filtered(cluster)
        cluster.kill_server()
        cluster.start_server()
        resumed(cluster, seen, work)
        foreign(cluster, seen[0][0])
        lost(cluster, work, seen)


if __name__ == "__main__":
    main()
