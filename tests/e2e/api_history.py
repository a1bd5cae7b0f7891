# SPDX-License-Identifier: Apache-2.0
"""Workloads that have left the state are found in the tables: by id, in lists, with log, bill and answers to
repeated submits; lists show live and past ones in one order, page by page."""
import harness

SMALL = {"nodes": 1, "run": "echo said; exit 3", "preemptible": True, "choices": [{"amounts": {"core_milli": 20}}]}


def listed(cluster, query="", limit=4):
    """All pages of a list, as ids."""
    ids, cursor = [], ""
    while True:
        page = cluster.request("GET", f"/v1/workloads?limit={limit}{query}{cursor and '&cursor=' + cursor}")
        assert len(page["workloads"]) <= limit
        ids += [w["id"] for w in page["workloads"]]
        cursor = page.get("cursor")
        if not cursor:
            return ids


def in_state(cluster):
    text = cluster.request("GET", "/metrics", raw=True).decode()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("tessera_workloads{"))


def main():
    with harness.Cluster(agents=1) as cluster:
        long = cluster.submit(SMALL | {"name": "long", "run": "sleep 1000"})
        cluster.wait_state(long, "running")
        key = {"Idempotency-Key": "once"}
        past = [cluster.submit(SMALL | {"name": "w0"}, **key)]
        past += [cluster.submit(SMALL | {"name": f"w{i}"}) for i in range(1, 7)]
        pages = {work: cluster.wait_state(work, "failed") for work in past}
        cancelled = cluster.submit(SMALL | {"name": "never", "limit_udollar_per_hour": 0})
        cluster.request("POST", f"/v1/workloads/{cancelled}/cancel")
        all_ids = [cancelled, *reversed(past), long]
        assert listed(cluster) == all_ids

        cluster.request("PATCH", "/v1/settings", {"retain_ms": 0})
        harness.wait("the ended have left the state", lambda: in_state(cluster) == 1, 30)
        assert listed(cluster) == all_ids and listed(cluster, limit=1) == all_ids
        young = cluster.submit(SMALL | {"name": "young", "run": "sleep 1000"})
        all_ids.insert(0, young)
        assert listed(cluster, limit=3) == all_ids
        assert listed(cluster, "&state=failed") == past[::-1]
        assert listed(cluster, "&state=failed,cancelled", 2) == [cancelled, *reversed(past)]
        assert listed(cluster, "&state=running,waiting,assigned") == [young, long]
        assert listed(cluster, "&state=finished") == []
        assert listed(cluster, "&project=default") == all_ids

        for work, before in pages.items():
            now = cluster.status(work)
            for name in ("id", "name", "project", "state", "kind", "attempt", "nodes", "submitted_ms", "started_ms", "ended_ms", "reason",
                         "exit_code", "exit_rank", "last_lines", "cost_udollar", "placements", "request"):
                assert now.get(name) == before.get(name), (name, now.get(name), before.get(name))
            assert [s["type"] for s in now["steps"]] == ["submitted", "assigned", "started", "failed"], now["steps"]
            assert now["exit_code"] == 3 and now["last_lines"].endswith("said\n"), now
        work = past[0]
        assert cluster.log(work) == "said\n"
        assert cluster.request("GET", f"/v1/workloads/{work}/logs?follow=1", raw=True) == b"said\n"
        assert cluster.request("GET", f"/v1/workloads/{work}/bill")["id"] == work
        assert cluster.request("GET", f"/v1/workloads/{work}/why")["state"] == "failed"
        for method, path, body in (("POST", "/cancel", None), ("PATCH", "", {"limit_udollar_per_hour": 5})):
            try:
                cluster.request(method, f"/v1/workloads/{work}{path}", body)
                raise AssertionError("what has ended was changed")
            except harness.Refused as refused:
                assert refused.status == 409 and "failed" in refused.error["message"], refused
        again = cluster.request("POST", "/v1/workloads", SMALL | {"name": "w0"}, headers=key)
        assert again["id"] == work and again["repeated"] and again["state"] == "failed", again

        cluster.request("POST", "/v1/projects", {"name": "other"})
        other = cluster.request("POST", "/v1/keys", {"role": "viewer", "project": "other"})["key"]
        for path in ("", "/logs", "/bill", "/why"):
            try:
                cluster.request("GET", f"/v1/workloads/{work}{path}", key=other)
                raise AssertionError(path)
            except harness.Refused as refused:
                assert refused.status == 404, refused
        assert cluster.request("GET", "/v1/workloads", key=other)["workloads"] == []


if __name__ == "__main__":
    main()
