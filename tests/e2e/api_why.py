# SPDX-License-Identifier: Apache-2.0
"""What blocks a workload, in words: others only as a class; and the limit that is said to start it does, a
cent less does not."""
import harness

HELD = {"nodes": 1, "run": "sleep 1000", "preemptible": True, "notice_ms": 0, "choices": [{"amounts": {"core_milli": 250}}]}


def why(cluster, work, key="own"):
    return cluster.request("GET", f"/v1/workloads/{work}/why", key=key)


def bid(cluster, work, limit):
    return cluster.request("PATCH", f"/v1/workloads/{work}", {"limit_udollar_per_hour": limit})


def main():
    with harness.Cluster(agents=1) as cluster:
        cluster.request("POST", "/v1/projects", {"name": "rivals"})
        rival = cluster.request("POST", "/v1/keys", {"role": "member", "project": "rivals"})["key"]
        holder = cluster.request("POST", "/v1/workloads", HELD | {"name": "secret-plan", "limit_udollar_per_hour": 500_000}, key=rival)["id"]
        cluster.wait_state(holder, "running")
        answer = why(cluster, holder)
        assert answer["obstacle"] == "none" and answer["text"] == "It runs.", answer

        work = cluster.submit(HELD | {"name": "patient", "limit_udollar_per_hour": 100_000})
        answer = harness.wait("the minimum run is over", lambda: (a := why(cluster, work)).get("has_limit") and a, 20)
        assert answer["state"] == "waiting" and answer["obstacle"] == "price" and answer["needed_milli"] == 250 and answer.get("free_milli", 0) == 0, answer
        assert answer["pool"] == "cpu@home/local/a", answer
        assert "would start it now" in answer["text"] and "core" in answer["text"], answer
        for secret in ("secret-plan", "rivals", holder):
            assert secret not in str(answer), answer

        enough = answer["start_limit_udollar_per_hour"]
        bid(cluster, work, enough - 10_000)
        assert cluster.status(work)["state"] == "waiting"
        bid(cluster, work, enough)
        cluster.wait_state(work, "running")
        assert cluster.status(holder)["state"] == "waiting"
        answer = why(cluster, holder, rival)
        assert answer["state"] == "waiting" and answer["text"] and "patient" not in str(answer), answer

        poor = cluster.submit(HELD | {"limit_udollar_per_hour": 1})
        answer = why(cluster, poor)
        assert answer["obstacle"] in ("menu", "price", "protected") and answer["text"], answer


if __name__ == "__main__":
    main()
