# SPDX-License-Identifier: Apache-2.0
"""An Idempotency-Key makes one workload, however often and from however many at once it is sent; another
body under it is a conflict; keys of two projects do not meet; a restart forgets none."""
import concurrent.futures
import http.client
import json

import harness

BODY = {"nodes": 1, "run": "sleep 1000", "preemptible": True, "choices": [{"amounts": {"core_milli": 100}}]}


def send(cluster, key, body, secret=None):
    connection = http.client.HTTPConnection("127.0.0.1", cluster.port, timeout=30)
    headers = {"Authorization": f"Bearer {secret or cluster.key}", "Content-Type": "application/json", "Idempotency-Key": key}
    connection.request("POST", "/v1/workloads", json.dumps(body), headers)
    answer = connection.getresponse()
    data = json.loads(answer.read())
    connection.close()
    return answer.status, data


def main():
    with harness.Cluster(agents=1) as cluster:
        status, first = send(cluster, "a", BODY)
        assert status == 201 and not first.get("repeated"), first
        status, again = send(cluster, "a", BODY)
        assert status == 200 and again["repeated"] and again["id"] == first["id"], again
        status, other = send(cluster, "a", BODY | {"nodes": 1, "name": "another"})
        assert status == 409 and other["error"]["code"] == "conflict", other
        status, long = send(cluster, "x" * 129, BODY)
        assert status == 400 and long["error"]["field"] == "Idempotency-Key", long

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: send(cluster, "b", BODY), range(64)))
        assert {data["id"] for _, data in answers} == {answers[0][1]["id"]}
        assert sorted(status for status, _ in answers).count(201) == 1, answers
        assert len(cluster.request("GET", "/v1/workloads")["workloads"]) == 2

        cluster.request("POST", "/v1/projects", {"name": "other"})
        secret = cluster.request("POST", "/v1/keys", {"role": "member", "project": "other"})["key"]
        status, theirs = send(cluster, "a", BODY | {"name": "theirs"}, secret)
        assert status == 201 and theirs["id"] != first["id"], theirs

        cluster.kill_server()
        cluster.start_server()
        status, later = send(cluster, "a", BODY)
        assert status == 200 and later["id"] == first["id"] and later["repeated"], later


if __name__ == "__main__":
    main()
