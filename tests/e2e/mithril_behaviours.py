# SPDX-License-Identifier: Apache-2.0
"""What unmodified clients of the Mithril API depend on: one test for each behaviour,
driven in the order of a SkyPilot adapter's calls. What only a guest can show (sudo, mounts, the notice file, the
metadata service) is tried on a real one by instances.py; here it is what the agent is told."""
import datetime
import http.client
import json
import re

import harness
from mithril_client import KEY, Client, Node

INSTANCE = ("fid", "name", "status", "ssh_destination", "instance_type", "created_at", "bid", "private_ip", "region")


def bid(project, key, name, **more):
    return {"project": project, "region": "us-central1-a", "instance_type": "h100-2x", "limit_price": "$32.00", "instance_quantity": 1,
            "name": name, "launch_specification": {"volumes": [], "ssh_keys": [key["fid"]]}} | more


def raw(client, method, path, body=None, **headers):
    """Status, headers and bytes, as a client without our harness sees them."""
    connection = http.client.HTTPConnection("127.0.0.1", client.cluster.port, timeout=30)
    try:
        head = {"Authorization": f"Bearer {client.key}", "Content-Type": "application/json"} | headers
        connection.request(method, path, json.dumps(body) if body is not None else None, head)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def named(client, project, name):
    return client.get(f"/spot/bids?project={project}&name={name}")["data"]


class Behaviours:
    def __init__(self, cluster, client, nodes):
        self.cluster, self.client, self.nodes = cluster, client, nodes
        self.project = client.get("/projects")[0]["fid"]

    def b07_prices_parse_and_are_never_null(self):
        board = self.client.get("/spot/availability")
        types = {t["fid"] for t in self.client.get("/instance-types")}
        assert board and {row["instance_type"] for row in board} == types, "a type without a row is left out of catalogues"
        assert all(float(row["last_instance_price"].strip("$")) > 0 for row in board), board
        for region in ("&region=us-central1-a", "", "&region="):
            price = self.client.get(f"/pricing/current?instance_type={board[0]['instance_type']}{region}")
            assert isinstance(price["minimum_price_cents"], int), (region, price)

    def b08_spot_price_is_never_null(self):
        for quantity in (1, 2, 256):
            kind = self.client.get("/instance-types")[0]["fid"]
            price = self.client.get(f"/pricing/current?instance_type={kind}&region=us-central1-a&instance_quantity={quantity}")
            assert isinstance(price["spot_price_cents"], int), (quantity, price)

    def b16_types_are_found_with_their_regions(self):
        assert {row["region"] for row in self.client.get("/spot/availability")} == {"us-central1-a"}
        assert self.client.get(f"/spot/bids?project={self.project}&region=")["data"] == [], "an empty region filters nothing"

    def b09_ssh_key_text_is_given_back(self):
        assert self.client.get(f"/ssh-keys?project={self.project}") == []
        self.key = self.client.call("POST", "/ssh-keys", {"project": self.project, "name": "sky-key", "public_key": KEY}, 201)
        assert " ".join(KEY.split()[:2]) in self.client.get(f"/ssh-keys?project={self.project}")[0]["public_key"]

    def b01_bids_by_name(self):
        hog = self.client.call("POST", "/spot/bids", bid(self.project, self.key, "hog", limit_price="$64.00"), 201)
        harness.wait("one node is taken", lambda: self.client.get(f"/spot/bids/{hog['fid']}")["status"] == "Allocated")
        old = self.client.call("POST", "/spot/bids", bid(self.project, self.key, "sky-1a", instance_quantity=2), 201)
        assert named(self.client, self.project, "sky-1a")[0]["instances"] == [], "Open: an empty list, not absent"
        assert named(self.client, self.project, "sky-1a")[0]["status"] == "Open"
        self.client.call("DELETE", f"/spot/bids/{old['fid']}?project={self.project}", expect=204)
        self.order = self.client.call("POST", "/spot/bids", bid(self.project, self.key, "sky-1a"), 201)
        found = harness.wait("it is allocated", lambda: [b for b in named(self.client, self.project, "sky-1a")[:1] if b["status"] == "Allocated"])
        assert found[0]["fid"] == self.order["fid"], "the live one comes first"
        gone = self.client.call("POST", "/spot/bids", bid(self.project, self.key, "sky-1b", instance_quantity=2), 201)
        self.client.call("DELETE", f"/spot/bids/{gone['fid']}", expect=204)
        assert named(self.client, self.project, "sky-1a")[0]["fid"] == self.order["fid"], "also when what ended is newer"

    def walk(self):
        seen, cursor = [], ""
        while cursor is not None:
            page = self.client.get("/instances?limit=1" + (f"&next_cursor={cursor}" if cursor else ""))
            seen, cursor = seen + page["data"], page["next_cursor"]
        return seen

    def b02_instances_without_filter(self):
        shown = [i for i in self.walk() if i["bid"] == self.order["fid"]]
        assert len(shown) == 1 and shown[0]["name"].startswith("sky-1a"), shown
        assert all(member in shown[0] for member in INSTANCE), shown
        assert shown[0]["ssh_destination"] is None and shown[0]["private_ip"] is None, shown

    def b03_ssh_destination_is_a_bare_address(self):
        self.node, self.replica = harness.wait("a node is told", lambda: next(
            ((n, r) for n in self.nodes for r in n.replicas() if r["action"] == "run" and r["instance"]["order"] == self.order["fid"]), None))
        self.node.boot(self.replica)
        up = next(i for i in self.walk() if i["bid"] == self.order["fid"])
        assert up["status"] == "STATUS_RUNNING" and up["ssh_destination"] == f"10.9.0.{self.node.n}", up

    def b04_guest_is_told_its_owners_keys(self):
        assert self.replica["instance"]["ssh_keys"] == [KEY], self.replica

    def b15_what_velda_reads(self):
        first = self.client.get(f"/instances?bid_fid_in={self.order['fid']}")["data"][0]
        assert first["name"] == "sky-1a-1" and first["status"] == "STATUS_RUNNING", first
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", first["created_at"]), first
        datetime.datetime.fromisoformat(first["created_at"].replace("Z", "+00:00"))

    def b13_guests_reach_bids_and_know_their_name(self):
        assert self.replica["instance"]["id"] == self.client.get(f"/spot/bids/{self.order['fid']}")["instances"][0]

    def b14_notice_has_an_end(self):
        self.cluster.request("PATCH", "/v1/settings", {"minimum_run_ms": 0})
        self.client.call("POST", "/spot/bids", bid(self.project, self.key, "high", limit_price="$64.00"), 201)
        harness.wait("its notice", lambda: self.client.get(f"/spot/bids/{self.order['fid']}")["status"] == "Preempting")
        status = self.client.get(f"/instances/{self.replica['instance']['id']}/status")
        assert status["status"] == "STATUS_PREEMPTING" and status["end_time"].endswith("Z"), status

    def b10_volumes(self):
        body = {"name": "data", "project": self.project, "disk_interface": "File", "region": "us-central1-a", "size_gb": 1}
        made = self.client.call("POST", "/volumes", body, 201)
        assert made["interface"] == "File" and made["bids"] == [] and made["reservations"] == [] and "disk_interface" not in made, made
        self.client.call("DELETE", f"/volumes/{made['fid']}", expect=204)

    def b05_changes_carry_their_project(self):
        path = f"/v2/spot/bids/{self.order['fid']}?project={self.project}"
        for paused in (True, False):
            status, headers, body = raw(self.client, "PATCH", path, {"paused": paused})
            assert status == 200 and headers["Content-Type"].startswith("application/json"), (status, headers)
            assert json.loads(body)["fid"] == self.order["fid"]
        assert raw(self.client, "DELETE", f"/v2/spot/bids/bid_aaaaaaaaaaaaaaaa?project={self.project}")[0] == 404

    def b06_final_refusals_are_4xx(self):
        for method, path, body in (("POST", "/v2/spot/bids", "no object"), ("POST", "/v2/spot/bids", {}), ("GET", "/v2/nothing", None),
                                   ("PATCH", f"/v2/spot/bids/{self.order['fid']}", {"limit_price": "$0.01"}), ("GET", "/v2/instances?next_cursor=x", None)):
            status, _, answer = raw(self.client, method, path, body)
            assert 400 <= status < 500 and status != 429 and json.loads(answer)["detail"], (method, path, status, answer)

    def b11_words_of_refusals(self):
        for body, words in ((bid(self.project, self.key, "cheap", limit_price="$0.01"), "limit price below minimum"),
                            (bid(self.project, self.key, "sky-1a"), "name already used"),
                            (bid(self.project, self.key, "bare", launch_specification={"volumes": [], "ssh_keys": []}), "ssh key required")):
            assert words in self.client.call("POST", "/spot/bids", body, 400)["detail"].lower(), words
        assert Client(self.cluster, "fkey_" + "n" * 32).call("GET", "/me", expect=401)["detail"]
        assert self.client.call("POST", "/spot/bids", {}, 422)["detail"][0]["type"] == "missing"

    def b12_headers_of_flow_are_ignored(self):
        status, headers, _ = raw(self.client, "GET", "/v2/me?_cache_bust=7", None, **{
            "X-Flow-Compute-Version": "3.1", "X-Flow-Origin": "cli", "X-Client-Request-Id": "flow-7"})
        assert status == 200 and headers["X-Request-Id"] == "flow-7", headers

    def b17_empty_204_and_json_elsewhere(self):
        status, headers, body = raw(self.client, "DELETE", f"/v2/spot/bids/{self.order['fid']}?project={self.project}")
        assert status == 204 and body == b"", (status, body)
        harness.wait("Terminated", lambda: self.client.get(f"/spot/bids/{self.order['fid']}")["status"] == "Terminated")
        for path in ("/v2/me", "/v2/spot/bids", "/v2/nothing"):
            headers = raw(self.client, "GET", path)[1]
            assert headers["Content-Type"].split(";")[0] == "application/json", (path, headers)


ORDER = (7, 8, 16, 9, 1, 2, 3, 4, 15, 13, 14, 10, 5, 6, 11, 12, 17)


def main():
    failed = []
    with harness.Cluster(settings={"tick_ms": 500}) as cluster:
        tests = Behaviours(cluster, Client(cluster), [Node(cluster, 1), Node(cluster, 2)])
        for number in ORDER:
            name = next(n for n in dir(tests) if n.startswith(f"b{number:02}_"))
            try:
                getattr(tests, name)()
            except (AssertionError, AttributeError) as error:
                failed.append(name)
                print(f"{name}: {error}")
    assert sorted(ORDER) == list(range(1, 18)) and not failed, failed


main()
