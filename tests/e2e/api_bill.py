# SPDX-License-Identifier: Apache-2.0
"""A bill can be recomputed from the events alone, and agrees with the workload's page, the ledger, the
project and the sum of every account."""
from fractions import Fraction
from math import floor

import harness
from api_events import Stream

HOUR_MS = 3_600_000
ASK = 2_000_000_000  # µ$ an hour: so that a second costs something

def run(cluster):
    events = Stream(cluster)
    work = cluster.submit({"name": "dear", "nodes": 2, "run": "sleep 2.5", "preemptible": True,
                           "limit_udollar_per_hour": 2_100_000_000, "choices": [{"amounts": {"core_milli": 200}}]})
    seen = events.until(lambda e: e[1] == "workload_finished" and e[2]["workload"] == work)
    events.close()
    return work, [e for e in seen if e[2].get("workload") == work]

def recompute(own):
    """MARKET.md section 7: each line is the difference of the floors of the exact running sum."""
    started = next(e[2]["at_ms"] for e in own if e[1] == "workload_started")
    finished = next(e[2]["at_ms"] for e in own if e[1] == "workload_finished")
    lines = [e[2] for e in own if e[1] == "charged"]
    exact, booked, at = Fraction(0), 0, started
    for line in lines:
        assert line["from_ms"] == at, (line, at)
        exact += Fraction(line["rate_udollar_per_hour"] * (line["to_ms"] - line["from_ms"]), HOUR_MS)
        assert line.get("amount_udollar", 0) == floor(exact) - booked, (line, exact, booked)
        booked, at = floor(exact), line["to_ms"]
    assert started < at <= finished, (started, at, finished)
    return booked

def check_open(cluster):
    """While it runs, lines and what is open are together what the workload's page says it cost."""
    work = cluster.submit({"name": "open", "run": "sleep 60", "preemptible": True,
                           "limit_udollar_per_hour": 2_100_000_000, "choices": [{"amounts": {"core_milli": 200}}]})
    harness.wait("two ticks of charges", lambda: cluster.status(work).get("cost_udollar", 0) > 250_000)
    least = cluster.status(work)["cost_udollar"]
    bill = cluster.request("GET", f"/v1/workloads/{work}/bill")
    most = cluster.status(work)["cost_udollar"]
    assert least <= bill["sum_udollar"] + bill["open_udollar"] <= most, (least, bill, most)
    cluster.request("POST", f"/v1/workloads/{work}/cancel", {})
    cluster.wait_state(work, "cancelled")

def main():
    with harness.Cluster(agents=2) as cluster:
        for n in (1, 2):
            cluster.request("POST", "/v1/asks", {"node": f"node-{n}", "ask_udollar_per_hour": ASK})
        work, own = run(cluster)
        booked = recompute(own)
        assert booked > 100_000, booked
        bill = cluster.request("GET", f"/v1/workloads/{work}/bill")
        assert bill["sum_udollar"] == booked and bill["open_udollar"] == 0, (bill, booked)
        assert [line["amount_udollar"] for line in bill["lines"]] == [e[2].get("amount_udollar", 0) for e in own if e[1] == "charged"]
        assert cluster.status(work)["cost_udollar"] == booked
        row = cluster.request("GET", "/v1/workloads?state=finished")["workloads"][0]
        assert row["id"] == work and row["cost_udollar"] == booked, row

        entries, cursor = [], ""
        while True:
            page = cluster.request("GET", f"/v1/ledger?limit=3{cursor and '&cursor=' + cursor}")
            entries += page["entries"]
            cursor = page.get("cursor")
            if not cursor:
                break
        assert len({e["id"] for e in entries}) == len(entries)
        accounts = {}
        for entry in entries:
            assert entry["amount_udollar"] >= 0, entry
            accounts[entry["debit"]] = accounts.get(entry["debit"], 0) - entry["amount_udollar"]
            accounts[entry["credit"]] = accounts.get(entry["credit"], 0) + entry["amount_udollar"]
        assert sum(accounts.values()) == 0
        assert accounts["project:default"] == -booked, accounts

        pairs = {}
        for entry in entries:
            pair = entry["debit"], entry["credit"]
            pairs[pair] = pairs.get(pair, 0) + entry["amount_udollar"]
        sums = cluster.request("GET", "/v1/ledger?sums=1&limit=1")["entries"]
        assert {(s["debit"], s["credit"]): s["amount_udollar"] for s in sums} == pairs, sums
        assert len(sums) == len(pairs) and all(not s["id"] and s["at_ms"] for s in sums), sums

        mine = cluster.request("GET", "/v1/ledger?project=default")["entries"]
        assert sum(e["amount_udollar"] for e in mine if e["debit"] == "project:default") == booked, mine
        assert cluster.request("GET", "/v1/projects/default")["spent_udollar"] == booked
        check_open(cluster)

if __name__ == "__main__":
    main()
