# SPDX-License-Identifier: Apache-2.0
"""A client of the Mithril API that holds each answer to what is known of it, and agents that hand out no
machines but say that they do."""
import json
import os
import re

import harness

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE2hYaQ0o3tY1c0n2hC0w8oYq9n4p6M6w6h2b3Wn1r0q me@laptop"
UNDECLARED = {400, 401, 403, 404, 409, 429, 501, 502}  # {"detail": text} wherever it happens
EXTRA = {"GET /v2/reservation/{fid}": "GET /v2/spot/bids/{fid}"}  # a client calls it, the description lacks it
BODIES = {"GET", "POST", "PATCH"}


def load_operations():
    found = {}
    for line in (harness.SOURCE / "tests" / "mithril" / "operations.txt").read_text().splitlines():
        if not line.startswith("#"):
            method, path, statuses, *members = line.split()
            found[f"{method} {path}"] = ({int(s) for s in statuses.split(",")}, members)
    return found


OPERATIONS = load_operations()
SPEC = json.loads(open(os.environ["MITHRIL_SPEC"], encoding="utf-8").read()) if os.environ.get("MITHRIL_SPEC") else None


def operation_of(method, path):
    """Its entry in the table: fixed words before {fid}."""
    words = path.split("?")[0].strip("/").split("/")
    best = None
    for name in OPERATIONS:
        verb, pattern = name.split()
        parts = pattern.strip("/").split("/")
        if verb == method and len(parts) == len(words) and all(p in (w, "{fid}") for p, w in zip(parts, words)):
            if best is None or "{fid}" not in pattern:
                best = name
    return best


def check_members(where, members, answer):
    if members[:1] == ["[]"]:
        assert isinstance(answer, list), (where, answer)
        for item in answer:
            check_members(where, members[1:], item)
        return
    for member in members:
        if member == "-" or not isinstance(answer, dict):
            continue
        name = member.rstrip("*?")
        assert name in answer, f"{where}: {name} is absent, null is what it should be"
        assert answer[name] is not None or member.endswith("?"), f"{where}: {name} is null"


# ---- the description's own schemas, where MITHRIL_SPEC names it; its known defects are skipped

FORMATS = {"datetime": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", "date-time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", "duration": r"P", "email": r".+@.+", "uri": r"https?://",
           "uuid": r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$"}
TYPES = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict, "number": (int, float)}


def check_schema(where, schema, value):
    if "$ref" in schema:
        schema = SPEC["components"]["schemas"][schema["$ref"].split("/")[-1]]
    if value is None:
        # `nullable` is written in one style or the other, and left out of objects that may be absent
        assert schema.get("nullable") or "anyOf" in schema or schema.get("type") == "object" or "type" not in schema, f"{where}: null"
        return
    for choice in schema.get("anyOf", []) + schema.get("oneOf", []):
        try:
            return check_schema(where, choice, value)
        except AssertionError:
            continue
    kind = schema.get("type")
    assert kind not in TYPES or isinstance(value, TYPES[kind]), f"{where}: {value!r} is no {kind}"
    assert "enum" not in schema or value in schema["enum"], f"{where}: {value!r} is not among {schema['enum']}"
    if isinstance(value, str) and schema.get("format") in FORMATS:
        assert re.match(FORMATS[schema["format"]], value), f"{where}: {value!r} is no {schema['format']}"
    for name in schema.get("required", []):
        assert name in value, f"{where}.{name}: absent"
    if isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            if name in value and not (value[name] is None and name not in schema.get("required", [])):
                check_schema(f"{where}.{name}", inner, value[name])
    if isinstance(value, list):
        for i, item in enumerate(value):
            check_schema(f"{where}[{i}]", schema.get("items", {}), item)


def check_spec(where, operation, status, answer):
    method, path = operation.split()
    for pattern, verbs in SPEC["paths"].items():
        if re.sub(r"{[a-z_]*}", "{fid}", pattern) == path and method.lower() in verbs:
            declared = verbs[method.lower()]["responses"]
            schema = declared.get(str(status), {}).get("content", {}).get("application/json", {}).get("schema")
            three_shapes = path == "/v2/reservation/availability"
            if schema and not three_shapes:
                check_schema(where, schema, answer)
            return
    raise AssertionError(f"{operation} is not in the description")


class Client:
    seen = {}  # operation -> statuses, of all clients

    def __init__(self, cluster, key=None):
        self.cluster, self.key = cluster, key or cluster.key

    def call(self, method, path, body=None, expect=None):
        try:
            answer = self.cluster.request(method, f"/v2{path}", body, key=self.key)
            status = self.cluster.status_of_last
            answer = json.loads(answer) if isinstance(answer, bytes) and answer[:1] == b'"' else answer
        except harness.Refused as refused:
            status, answer = refused.status, refused.body
        assert expect is None or status == expect, (method, path, status, answer)
        self.check(method, f"/v2{path}", status, answer)
        return answer

    def check(self, method, path, status, answer):
        where, operation = f"{method} {path} -> {status}", operation_of(method, path)
        if operation is None:
            return
        Client.seen.setdefault(operation, set()).add(status)
        statuses, members = OPERATIONS[operation]
        assert status in statuses | UNDECLARED, where
        if status == 204:
            assert answer in (b"", {}), (where, answer)
        elif status < 300 and not path.startswith("/v2/reservation/availability"):
            check_members(where, members, answer)
        elif status == 422 and "reason" not in answer:
            assert all(set(e) == {"loc", "msg", "type"} for e in answer["detail"]), (where, answer)
        elif status >= 400:
            assert isinstance(answer["detail"], str), (where, answer)
        if SPEC and (status < 300 or status == 422) and "reason" not in (answer or {}):
            check_spec(where, operation, status, answer)

    def get(self, path):
        return self.call("GET", path, expect=200)


class Node:
    """An agent that hands out machines."""

    def __init__(self, cluster, n, ask=1_000_000):
        self.cluster, self.n = cluster, n
        token = cluster.request("POST", "/v1/node-tokens", {})["token"]
        self.key = cluster.request("POST", "/v1/agent/join", {"name": f"gpu-{n}", "machine": "test"}, key=token)["key"]
        self.ask("register", {
            "name": f"gpu-{n}", "version": "0", "boot": "b1", "address": f"10.0.0.{n}", "sku": "h100-2x", "accelerator": "H100",
            "labels": ["instance=sandbox"], "place": {"provider": "own", "region": "us-central1", "zone": "a", "fabric": "f", "rack": "r1"},
            "amounts": {"gpu_milli": 2000, "core_milli": 8000, "memory_mib": 65536, "disk_mib": 102400},
            "gpus": [{"index": i, "uuid": f"GPU-{n}-{i}", "model": "H100", "memory_mib": 81920} for i in range(2)],
            "ask_udollar_per_hour": ask})

    def ask(self, path, body):
        return self.cluster.request("POST", f"/v1/agent/{path}", body, key=self.key)

    def replicas(self):
        return self.ask("poll", {"since": 0, "wait_ms": 0})["replicas"]

    def told(self, action, count=1):
        """Its replicas, once so many have this action."""
        def there():
            found = [r for r in self.replicas() if r["action"] == action]
            return found if len(found) == count else None

        return harness.wait(f"node {self.n} is told to {action}", there)

    def stop_all(self):
        for replica in self.replicas():
            if replica["action"] == "stop":
                self.report(replica, "ended", exit_code=0)

    def report(self, replica, kind, **more):
        body = {"kind": kind, "workload": replica["workload"], "attempt": replica["attempt"], "rank": replica["rank"]} | more
        return self.ask("report", {"reports": [body]})["outcomes"][0]["verdict"]

    def boot(self, replica):
        assert self.report(replica, "phase", phase="initializing") == "ok"
        assert self.report(replica, "phase", phase="starting", ssh_destination=f"10.9.0.{self.n}", private_ip=f"10.9.0.{self.n}") == "ok"
        assert self.report(replica, "started") == "ok"
