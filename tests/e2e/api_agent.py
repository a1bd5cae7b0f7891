# SPDX-License-Identifier: Apache-2.0
"""What agents are told: joining, registration, desired state, long polls, reports, contact. The agents
here are this program."""
import threading
import time

import harness

GANG = {"name": "gang", "nodes": 2, "run": "train", "setup": "prepare", "preemptible": True, "level": "rack", "notice_ms": 60000,
        "envs": {"A": "1"}, "secrets": {"TOKEN": "very-secret"}, "on_lost_contact": "freeze",
        "choices": [{"accelerator": "H100", "amounts": {"gpu_milli": 2000, "core_milli": 1000, "memory_mib": 1024}}]}


class Agent:
    def __init__(self, cluster, n):
        self.cluster, self.n = cluster, n
        token = cluster.request("POST", "/v1/node-tokens", {})["token"]
        self.key = cluster.request("POST", "/v1/agent/join", {"name": f"gpu-{n}", "machine": "test"}, key=token)["key"]
        self.facts = {"name": f"gpu-{n}", "version": "0", "boot": "b1", "address": f"10.0.0.{n}", "sku": "h100-4x", "accelerator": "H100",
                      "place": {"provider": "own", "region": "eu", "zone": "a", "fabric": "f", "rack": "r1"},
                      "amounts": {"gpu_milli": 4000, "core_milli": 8000, "memory_mib": 65536, "disk_mib": 1000},
                      "gpus": [{"index": i, "uuid": f"GPU-{n}-{i}", "model": "H100", "memory_mib": 81920} for i in range(4)],
                      "ask_udollar_per_hour": 1_000_000}
        self.version = 0

    def ask(self, path, body):
        return self.cluster.request("POST", f"/v1/agent/{path}", body, key=self.key)

    def register(self):
        return self.ask("register", self.facts)

    def poll(self, wait_ms=0):
        answer = self.ask("poll", {"since": self.version, "wait_ms": wait_ms})
        self.version = answer["version"]
        return answer

    def report(self, replica, kind, **more):
        body = {"reports": [{"kind": kind, "workload": replica["workload"], "attempt": replica["attempt"], "rank": replica["rank"]} | more]}
        return self.ask("report", body)["outcomes"][0]["verdict"]


def told(agents, work):
    """Polls both until each has a replica of this workload."""
    found = {}

    def both():
        for agent in agents:
            agent.version = 0
            for replica in agent.poll()["replicas"]:
                if replica["workload"] == work:
                    found[agent] = replica
        return len(found) == len(agents)

    harness.wait("both are told", both)
    return [found[agent] for agent in agents]


def desired(cluster, agents):
    work = cluster.submit(GANG)
    replicas = told(agents, work)
    assert sorted(r["rank"] for r in replicas) == [0, 1]
    first = next(i for i, r in enumerate(replicas) if r["rank"] == 0)
    order = [agents[first], agents[1 - first]]
    for replica in replicas:
        spec = replica["spec"]
        assert replica["action"] == "run" and replica["attempt"] == 1, replica
        assert len(replica["gpus"]) == 2 and replica["amounts"]["gpu_milli"] == 2000, replica
        assert replica["ips"] == [a.facts["address"] for a in order], replica
        assert replica["master_address"] == order[0].facts["address"] and replica["master_port"] > 1024, replica
        assert spec["run"] == "train" and spec["setup"] == "prepare" and spec["project"] == "default" and spec["name"] == "gang", spec
        assert spec["envs"] == {"A": "1"} and spec["secrets"] == {"TOKEN": "very-secret"}, spec
        assert spec["nodes"] == 2 and spec["gpus_per_node"] == 2 and spec["notice_ms"] == 60000 and spec["on_lost_contact"] == "freeze", spec
    assert "very-secret" not in str(cluster.status(work)), "secrets are for agents"
    return work, dict(zip(agents, replicas))


def run(cluster, work, replicas):
    for i, (agent, replica) in enumerate(replicas.items()):
        assert cluster.status(work)["state"] == "assigned", i
        assert agent.report(replica, "started") == "ok"
    assert cluster.status(work)["state"] == "running"
    assert next(iter(replicas)).report(replica, "started") == "stale", "of a rank that is another node's"
    cluster.request("POST", f"/v1/workloads/{work}/cancel")
    for agent, replica in replicas.items():
        agent.version = 0
        now = agent.poll()["replicas"][0]
        assert now["action"] == "stop" and 50000 < now["stop_in_ms"] <= 60000, now
        assert agent.report(replica, "ended", exit_code=143, signal=15, last_lines="bye") == "ok"
        assert agent.report(replica, "ended", exit_code=0) == "stale"
        agent.version = 0
        assert agent.poll()["replicas"] == []
    assert cluster.status(work)["state"] == "cancelled"


def polls(cluster, agents):
    agent = agents[0]
    agent.version = 0
    agent.poll()
    begin = time.monotonic()
    answer = agent.poll(700)
    assert not answer["changed"] and 0.65 < time.monotonic() - begin < 3, (answer, time.monotonic() - begin)

    answers = []
    held = [threading.Thread(target=lambda: answers.append(agent.poll(20000)))]
    held[0].start()
    harness.wait("the poll is held", lambda: "tessera_agent_polls 1" in cluster.request("GET", "/metrics", raw=True).decode())
    held.append(threading.Thread(target=lambda: answers.append(agent.poll(20000))))
    held[1].start()
    held[0].join(10)
    assert len(answers) == 1 and not answers[0]["changed"], "a newer poll takes the older's place"
    begin = time.monotonic()
    work = cluster.submit(GANG | {"nodes": 2})
    held[1].join(10)
    assert answers[1]["changed"] and answers[1]["replicas"][0]["workload"] == work, answers
    assert time.monotonic() - begin < 5
    cluster.request("POST", f"/v1/workloads/{work}/cancel")


def lost(cluster, agents):
    """Silent past the timeout: given up, and told so when it comes back."""
    cluster.request("PATCH", "/v1/settings", {"contact_timeout_ms": 2000})
    other = agents[1]

    def given_up():
        other.version = 0
        other.poll()
        states = {n["name"]: n["state"] for n in cluster.request("GET", "/v1/nodes")["nodes"]}
        return states == {"gpu-1": "lost", "gpu-2": "up"}

    harness.wait("the silent one is given up", given_up, 20)
    try:
        agents[0].poll()
        raise AssertionError("a node that was given up was told its work")
    except harness.Refused as refused:
        assert refused.status == 409, refused
    assert agents[0].register()["node"], "and registers again"
    agents[0].version = 0
    agents[0].poll()


def main():
    with harness.Cluster() as cluster:
        agents = [Agent(cluster, n) for n in (1, 2)]
        ids = [agent.register() for agent in agents]
        assert ids[0]["node"] != ids[1]["node"] and ids[0]["renew_ms"] == 30000 and ids[0]["now_ms"] > 0, ids
        assert agents[0].register()["node"] == ids[0]["node"], "the same name is the same node"
        work, replicas = desired(cluster, agents)
        run(cluster, work, replicas)
        polls(cluster, agents)
        lost(cluster, agents)
        added = cluster.request("POST", "/v1/nodes", {"nodes": [agents[0].facts | {"name": f"many-{i}"} for i in range(300)]})
        assert len(set(added["nodes"])) == 300
        renewed = cluster.request("POST", "/v1/nodes/renew", {"nodes": added["nodes"] + ["node_0000000000000000", "x"]})
        assert renewed == {"renewed": 300, "unknown": ["node_0000000000000000", "x"]}, renewed
        names, cursor = [], ""
        while True:
            page = cluster.request("GET", f"/v1/nodes?limit=100{cursor and '&cursor=' + cursor}")
            names += [n["name"] for n in page["nodes"]]
            cursor = page.get("cursor")
            if not cursor:
                break
        assert len(names) == len(set(names)) == 302, len(names)
        assert cluster.request("POST", "/v1/nodes/many-7/drain", {})["state"] == "draining"
        assert cluster.request("GET", "/v1/nodes/many-7")["state"] == "draining"
        assert cluster.request("POST", "/v1/nodes/many-7/undrain", {})["state"] == "up"


if __name__ == "__main__":
    main()
