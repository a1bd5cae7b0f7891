# SPDX-License-Identifier: Apache-2.0
"""A live server's journal in the simulator: as it was, bit for bit and to the µ$; and as it would have been."""
import json
import subprocess

import harness

CORE = {"nodes": 1, "preemptible": True, "limit_udollar_per_hour": 1_000_000, "notice_ms": 2000, "choices": [{"amounts": {"core_milli": 250}}]}


def sim(cluster, *words):
    done = subprocess.run([harness.TESSERA, "sim", "--journal", str(cluster.data), "--json", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def main():
    with harness.Cluster(agents=2) as cluster:
        for code in (0, 3):
            cluster.wait_state(cluster.submit(CORE | {"run": f"sleep 0.2; exit {code}"}), "finished", "failed")
        low = cluster.submit(CORE | {"nodes": 2, "run": "sleep 1000"})
        cluster.wait_state(low, "running")
        high = cluster.submit(CORE | {"nodes": 2, "limit_udollar_per_hour": 9_000_000, "run": "sleep 0.5"})
        cluster.wait_state(high, "finished")
        cluster.wait_state(low, "running")
        cluster.request("POST", f"/v1/workloads/{cluster.submit(CORE | {'run': 'sleep 1000', 'limit_udollar_per_hour': 1})}/cancel")
        live = {}
        for sums in cluster.request("GET", "/v1/ledger?sums=1")["entries"]:
            live[sums["debit"], sums["credit"]] = sums["amount_udollar"]
        cluster.stop_server()
        # the agents hear nothing more, and what is journalled is all there is
        replayed = json.loads(subprocess.run([harness.TESSERA, "replay", "--data", str(cluster.data), "--verify", "--json"],
                                             capture_output=True, text=True, check=True).stdout)
        past = sim(cluster)
        assert past["digest"] == replayed["digest"] and past["seq"] == replayed["seq"], (past, replayed)
        assert (past["workloads"], past["nodes"]) == (5, 2), past
        booked = sum(amount for (debit, _), amount in live.items() if debit == "project:default")
        assert past["charged_usd"] * 1e6 >= booked > 0, (past, live)
        same = sim(cluster, "--policy", "market")
        assert same["submitted"] == 5 and same["rejected"] == 0, same
        assert same["submitted"] == sum(same[k] for k in ("finished", "running", "waiting", "rejected", "cancelled")), same
        assert same["lengths_drawn"] == 1 and same["charged_live_usd"] == past["charged_usd"], same
        dear = sim(cluster, "--set", "ask=0.9")
        assert dear["cost_per_useful_hour_usd"] > 2 * same["cost_per_useful_hour_usd"] > 0, (dear, same)
        assert sim(cluster, "--set", "ask=0.9") == dear
        assert sim(cluster, "--policy", "fifo")["finished"] >= 2
    print("a journal, as it was and as it would have been")


if __name__ == "__main__":
    main()
