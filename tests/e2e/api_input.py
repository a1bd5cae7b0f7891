# SPDX-License-Identifier: Apache-2.0
"""Wrong input: a 4xx that names the field's path and what is allowed, and a state that is as before."""
import json

import harness

GOOD = {"nodes": 1, "run": "true", "preemptible": True, "choices": [{"amounts": {"core_milli": 100}}]}
AMOUNTS = {"amounts": {"core_milli": 100}}

# body or changes to GOOD, path of the field, words of the message
SUBMITS = [
    ({"colour": "blue"}, "colour", ""),
    ({"nodes": "one"}, "nodes", ""),
    ({"nodes": -1}, "nodes", "1 to 100000"),
    ({"nodes": 10**30}, "nodes", ""),
    ({"nodes": 1.5}, "nodes", ""),
    ({"preemptible": "yes"}, "preemptible", ""),
    ({"priority": "urgent"}, "priority", "low, normal, high, critical"),
    ({"limit_udollar_per_hour": -1}, "limit_udollar_per_hour", "0 to"),
    ({"choices": []}, "choices", "at least one"),
    ({"choices": [AMOUNTS | {"sku": "no-such-make"}]}, "choices[0].sku", "cpu"),
    ({"choices": [AMOUNTS, AMOUNTS | {"zone": "mars"}]}, "choices[1].zone", "a"),
    ({"choices": [{"amounts": {"core_milli": -5}}]}, "choices[0].amounts.core_milli", ""),
    ({"choices": [{"amounts": {"gpu_milli": 1500, "core_milli": 1}}]}, "choices[0].amounts.gpu_milli", "whole"),
    ({"choices": [{"amounts": {}}]}, "choices[0].amounts", "needed"),
    ({"nodes": 50}, "nodes", "stand together"),
    ({"choices": [{"amounts": {"core_milli": 10**9}}]}, "choices[0].amounts", "no node"),
    ({"name": "two words"}, "name", "letters"),
    ({"project": "nobodys"}, "project", "no such"),
    ({"run": ""}, "run", "missing"),
    ({"envs": {"1A": "x"}}, "envs", "variable"),
    ({"workdir": "w"}, "archive", "missing"),
    ({"archive": "0" * 64}, "archive", "upload"),
    ({"deadline_ms": 5, "earliest_ms": 10}, "deadline_ms", ""),
    ({"notice_ms": 10**12}, "notice_ms", "0 to"),
]
OTHERS = [
    ("PATCH", "/v1/settings", {"tick_ms": 1}, "tick_ms", "100 to"),
    ("PATCH", "/v1/settings", {"tock_ms": 1000}, "tock_ms", ""),
    ("PATCH", "/v1/settings", {}, "", "no setting"),
    ("POST", "/v1/projects", {"name": "Big Team"}, "name", "small letters"),
    ("POST", "/v1/projects", {}, "name", ""),
    ("POST", "/v1/projects", {"name": "default"}, "name", ""),
    ("PATCH", "/v1/projects/default", {}, "budget_udollar", "one of"),
    ("PATCH", "/v1/projects/default", {"budget_udollar": 1, "unlimited": True}, "budget_udollar", "one of"),
    ("POST", "/v1/keys", {"role": "king"}, "role", "admin"),
    ("POST", "/v1/keys", {"role": "admin", "project": "default"}, "project", "viewer"),
    ("POST", "/v1/asks", {"ask_udollar_per_hour": 1}, "pool", "one of"),
    ("POST", "/v1/asks", {"ask_udollar_per_hour": 1, "pool": "x"}, "pool", "cpu@home/local/a"),
    ("POST", "/v1/asks", {"ask_udollar_per_hour": -1, "node": "node-1"}, "ask_udollar_per_hour", ""),
    ("POST", "/v1/nodes", {"nodes": []}, "nodes", ""),
    ("POST", "/v1/nodes", {"nodes": [{"name": "n"}]}, "nodes[0].address", ""),
    ("POST", "/v1/node-tokens", {"valid_ms": 600001}, "valid_ms", "600000"),
    ("GET", "/v1/workloads?state=happy", None, "state", "waiting"),
    ("GET", "/v1/workloads?limit=0", None, "limit", "1 to"),
    ("GET", "/v1/workloads?cursor=zzz", None, "cursor", ""),
    ("GET", "/v1/workloads?colour=blue", None, "query", "project"),
    ("GET", "/v1/workloads?after=x", None, "after", ""),
    ("GET", "/v1/prices/history?pool=x", None, "pool", "cpu@home/local/a"),
    ("GET", "/v1/events?types=party", None, "types", "workload_started"),
    ("GET", "/v1/events?after=x-y", None, "after", "SEQ-POSITION"),
    ("GET", "/v1/ledger?from_ms=-1", None, "from_ms", ""),
    ("PUT", "/v1/archives/abc", b"x", "sha256", "64"),
    ("PUT", "/v1/archives/" + "0" * 64, b"x", "sha256", "another"),
]


def refused(cluster, method, path, body, **options):
    try:
        answer = cluster.request(method, path, body, **options)
    except harness.Refused as refusal:
        return refusal
    raise AssertionError(f"{method} {path} {str(body)[:200]} was taken: {answer}")


def state_of(cluster):
    """Everything that a refused request could have changed."""
    paths = ("/v1/workloads", "/v1/settings", "/v1/projects", "/v1/keys", "/v1/ledger")
    nodes = [n["name"] for n in cluster.request("GET", "/v1/nodes")["nodes"]]
    return [cluster.request("GET", path) for path in paths], nodes


def check(refusal, field, words, what):
    assert 400 <= refusal.status < 500, (what, refusal)
    assert refusal.error.get("code") in ("invalid", "not_found", "conflict"), (what, refusal)
    assert refusal.error.get("field", "") == field, (what, refusal)
    assert words in refusal.error["message"], (what, refusal)


def raw_bodies(cluster):
    for body, words in ((b"", ""), (b"{", ""), (b"[]", ""), (b'{"nodes":1}x', ""), (b'{"name":"\xff\xfe"}', "UTF-8"), (b'{"nodes":1,"nodes":2}', "")):
        refusal = refused(cluster, "POST", "/v1/workloads", body)
        assert refusal.status == 400 and words in refusal.error["message"], (body, refusal)
    deep = b'{"choices":' + b"[" * 100 + b"]" * 100 + b"}"
    assert refused(cluster, "POST", "/v1/workloads", deep).status == 400
    large = json.dumps(GOOD | {"run": "x" * (2 << 20)}).encode()
    assert refused(cluster, "POST", "/v1/workloads", large).status == 413
    yaml = {"Content-Type": "application/yaml"}
    refusal = refused(cluster, "POST", "/v1/workloads", b"run: true\nimage_id: x\n", headers=yaml)
    assert refusal.status == 400 and "image_id" in refusal.error["field"] + refusal.error["message"], refusal
    refusal = refused(cluster, "POST", "/v1/workloads", b"run: [1\n", headers=yaml)
    assert refusal.status == 400, refusal


def main():
    with harness.Cluster(agents=1) as cluster:
        before = state_of(cluster)
        for change, field, words in SUBMITS:
            check(refused(cluster, "POST", "/v1/workloads", GOOD | change), field, words, change)
            if not set(change) & {"archive", "workdir"}:  # a price needs no files
                check(refused(cluster, "POST", "/v1/quote", GOOD | change), field, words, change)
        for method, path, body, field, words in OTHERS:
            check(refused(cluster, method, path, body), field, words, (method, path, body))
        raw_bodies(cluster)
        assert refused(cluster, "GET", "/v1/nowhere", None).status == 404
        assert refused(cluster, "DELETE", "/v1/workloads", None).status == 405
        after = state_of(cluster)
        assert after == before, (before, after)


if __name__ == "__main__":
    main()
