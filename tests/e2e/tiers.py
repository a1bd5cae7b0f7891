#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tight starts from end to end: an operator subscribes a project, headroom is held while others wait for the fleet, and a task
that names the tier runs at once. Also after the server was killed: the journal has it all."""
from harness import Cluster, Refused, wait

CHOICE = {"amounts": {"core_milli": 1000, "memory_mib": 64}}
SLEEP = "exec sleep 600"
TASK = """name: answer
resources: {cpus: 1}
run: exec sleep 600
market: {preemptible: true, limit: 0.30, notice: 1s, tier: instant%s}
"""


def refused(status, field, words, call):
    try:
        call()
    except Refused as e:
        error = e.body["error"]
        assert e.status == status and error["field"] == field and words in error["message"], (e.status, error)
        return
    raise AssertionError(f"{field}: not refused")


def subscriptions(cluster, **options):
    return cluster.request("GET", "/v1/subscriptions", **options)["subscriptions"]


def what_is_refused(cluster):
    def put(**fields):
        return cluster.request("PUT", "/v1/subscriptions", {"project": "default", "tier": "instant", "units": 1} | fields)

    refused(404, "project", "", lambda: put(project="nobody"))
    refused(400, "tier", "instant", lambda: put(tier="none"))
    refused(400, "tier", "instant", lambda: put(tier="soon"))
    refused(400, "units_milli", "2000 in all", lambda: put(units=3))
    refused(400, "sku", "known are cpu", lambda: put(sku="h100"))
    refused(404, "subscription", "", lambda: put(units=0))
    work = {"run": SLEEP, "choices": [CHOICE], "limit_udollar_per_hour": 300000, "preemptible": True, "tier": "instant"}
    refused(400, "tier", "not subscribed to so many units", lambda: cluster.submit(work))
    refused(400, "tier", "preemptible", lambda: cluster.submit(work | {"preemptible": False}))
    assert subscriptions(cluster) == []


def who_may(cluster):
    cluster.request("POST", "/v1/projects", {"name": "other"})
    key = cluster.request("POST", "/v1/keys", {"role": "member", "project": "other", "name": "o"})["key"]
    try:
        cluster.request("PUT", "/v1/subscriptions", {"project": "other", "tier": "instant", "units": 1}, key=key)
        raise AssertionError("a member subscribed itself")
    except Refused as e:
        assert e.status == 403, e.status
    assert subscriptions(cluster, key=key) == [], "a project sees its own"
    return key


def held(cluster, tier="instant"):
    pool = cluster.request("GET", "/v1/prices")["pools"][0]
    return next((h for h in pool.get("headroom", []) if h["tier"] == tier and h["held_milli"] == 1000), None)


def full_fleet(cluster, submit_other, others, work):
    """Every unit runs for somebody who leaves in time, and pays less for that; who is subscribed has one of them at once."""
    cluster.request("POST", f"/v1/workloads/{work}/cancel")
    for other in others:
        cluster.wait_state(other, "running")
    others = [*others, submit_other()]  # one more waits: units are scarce, and a credit is off what that costs
    cluster.run("tier", "set", "default", "minute", "1", "--rate", "0.10")
    held_by_work = wait("a unit that is in use is held, and credited", lambda: (held(cluster, "minute") or {}).get("credit_udollar_per_hour")
                        and held(cluster, "minute"))
    assert held_by_work["free_milli"] == 0 and held_by_work["eligible_milli"] == 2000, held_by_work
    quote = cluster.run("quote", "--preemptible", "--limit", "0.90", "--cpus", "1", "--", "true").stdout
    assert "its flexibility -$" in quote, quote
    tight = cluster.run("submit", "--tier", "minute", "--preemptible", "--limit", "0.30", "--cpus", "1", "--", "sleep", "600").stdout.strip()
    assert cluster.status(tight)["state"] != "waiting", "it does not wait, at a third of what the others pay"
    cluster.wait_state(tight, "running")
    assert sorted(cluster.status(other)["state"] for other in others) == ["running", "waiting", "waiting"]
    return tight


with Cluster(agents=2, cpus="1") as cluster:
    what_is_refused(cluster)
    key = who_may(cluster)
    said = cluster.run("tier", "set", "default", "instant", "1", "--rate", "0.10").stdout
    assert "default" in said and "instant" in said and "$0.1000" in said, said
    wait("a unit is held", lambda: held(cluster))
    one = {"run": SLEEP, "choices": [CHOICE], "limit_udollar_per_hour": 900000, "preemptible": True, "notice_ms": 1000}

    def submit_other():
        return cluster.request("POST", "/v1/workloads", one, key=key)["id"]

    others = [submit_other() for _ in range(2)]
    cluster.wait_state(others[0], "running")
    assert cluster.status(others[1])["state"] == "waiting", "the other unit is held"
    why = cluster.run("why", others[1]).stdout
    assert "held for others" in why, why
    before = subscriptions(cluster)
    assert [(s["project"], s["tier"], s["units_milli"], s["start_ms"]) for s in before] == [("default", "instant", 1000, 2000)], before
    assert subscriptions(cluster, key=key) == [], "and not those of others"
    assert "instant" in cluster.run("prices").stdout
    charged = wait("it is charged for", lambda: [e for e in cluster.request("GET", "/v1/ledger?sums=1")["entries"]
                                                 if e["debit"] == "project:default" and e["amount_udollar"] > 0])
    assert charged[0]["credit"].startswith("pool:"), charged
    assert subscriptions(cluster)[0]["charged_udollar"] >= charged[0]["amount_udollar"], "the entry is for what was held"

    cluster.kill_server()
    cluster.start_server()
    cluster.wait_nodes(2)
    after = subscriptions(cluster)
    assert [{k: v for k, v in s.items() if k in ("project", "tier", "units_milli", "rate_udollar_per_hour")} for s in after] == \
        [{k: v for k, v in s.items() if k in ("project", "tier", "units_milli", "rate_udollar_per_hour")} for s in before], after

    file = cluster.folder / "answer.yaml"
    file.write_text(TASK % "")
    quote = cluster.run("quote", str(file)).stdout
    assert "tier instant" in quote and "now" in quote, quote
    work = cluster.run("submit", str(file)).stdout.strip()
    assert cluster.status(work)["state"] in ("assigned", "running"), "it does not wait"
    cluster.wait_state(work, "running")
    status = cluster.status(work)
    assert status["tier"] == "instant" and status["tight"], status
    assert "tier instant, from headroom" in cluster.run("status", work).stdout
    assert cluster.status(others[1])["state"] == "waiting"
    assert subscriptions(cluster)[0]["used_milli"] == 1000
    listed = cluster.run("tier", "list").stdout
    assert "instant" in listed and "default" in listed, listed
    file.write_text(TASK % ", finish_by: 2100-01-01T00:00Z")
    bad = cluster.run("submit", str(file), check=False)
    assert bad.returncode == 2 and "market.tier" in bad.stderr, (bad.returncode, bad.stderr)

    cluster.run("settings", "tier_instant_start_ms=1s", "tier_instant_loss_udollar_per_hour=30000000")
    assert subscriptions(cluster)[0]["start_ms"] == 1000
    refused(400, "tier_minute_start_ms", "0 to 3600000", lambda: cluster.request("PATCH", "/v1/settings", {"tier_minute_start_ms": 3600001}))
    cluster.run("tier", "set", "default", "instant", "0")
    assert subscriptions(cluster) == [] and cluster.status(work)["state"] == "running"
    tight = full_fleet(cluster, submit_other, others, work)
    assert cluster.status(tight)["tight"]
    events = cluster.run("events", "--after", "0-0", "--types", "subscription,headroom_posted").stdout
    assert "may start 1 unit within tier instant" in events and "holds 1 unit for tier instant" in events, events
    assert "not subscribed to tier instant any more" in events, events
print("tight starts, end to end")
