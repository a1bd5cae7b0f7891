# SPDX-License-Identifier: Apache-2.0
"""/openapi.json is a valid document, and what the server answers is what it says there."""
import re

import harness

METHODS = {"get", "put", "post", "delete", "patch", "head", "options"}
SMALL = {"nodes": 1, "run": "true", "preemptible": True, "choices": [{"amounts": {"core_milli": 100}}]}


def resolve(document, reference):
    at = document
    assert reference.startswith("#/"), reference
    for part in reference[2:].split("/"):
        at = at[part]
    return at


def walk(value, found):
    if isinstance(value, dict):
        if "$ref" in value:
            assert set(value) == {"$ref"}, value
            found.append(value["$ref"])
        for member in value.values():
            walk(member, found)
    elif isinstance(value, list):
        for member in value:
            walk(member, found)


def check_schema(schema):
    if "$ref" in schema or not schema:
        return
    if "type" not in schema:  # any JSON value
        assert set(schema) <= {"description", "readOnly", "writeOnly", "nullable"}, schema
        return
    assert schema["type"] in ("object", "array", "string", "integer", "boolean"), schema
    if schema["type"] == "array":
        check_schema(schema["items"])
    for member in schema.get("properties", {}).values():
        check_schema(member)
    for name in schema.get("required", []):
        assert name in schema["properties"], (name, schema)


def check_document(document):
    assert re.fullmatch(r"3\.0\.\d+", document["openapi"])
    assert document["info"]["title"] and document["info"]["version"]
    references, names = [], []
    walk(document, references)
    for reference in references:
        assert isinstance(resolve(document, reference), dict), reference
    for schema in document["components"]["schemas"].values():
        check_schema(schema)
    for path, item in document["paths"].items():
        assert path.startswith("/"), path
        for method, operation in item.items():
            assert method in METHODS, method
            names.append(operation["operationId"])
            assert operation["summary"] and operation["responses"], path
            assert all(re.fullmatch(r"[1-5]\d\d|default", status) for status in operation["responses"]), path
            assert all(answer["description"] for answer in operation["responses"].values()), path
            places = [(p["name"], p["in"]) for p in operation.get("parameters", [])]
            assert len(places) == len(set(places)), path
            assert {n for n, where in places if where == "path"} == set(re.findall(r"{(\w+)}", path)), path
    assert len(names) == len(set(names)), sorted(names)


def conforms(document, schema, value, where):
    if "$ref" in schema:
        schema = resolve(document, schema["$ref"])
    kind = schema.get("type")
    if kind == "object":
        assert isinstance(value, dict), where
        extra = schema.get("additionalProperties")
        for name, member in value.items():
            known = schema.get("properties", {}).get(name)
            assert known or extra, f"{where}.{name} is not in the document"
            conforms(document, known or extra, member, f"{where}.{name}")
    elif kind == "array":
        assert isinstance(value, list), where
        for i, member in enumerate(value):
            conforms(document, schema["items"], member, f"{where}[{i}]")
    elif kind:
        types = {"string": str, "integer": int, "boolean": bool}
        assert isinstance(value, types[kind]), f"{where}: {value!r} is no {kind}"


def check_answers(cluster, document):
    work = cluster.submit(SMALL | {"name": "one"})
    cluster.wait_state(work, "finished")
    names = {"id": work, "node": "node-1", "project": "default", "webhook": "told"}
    cluster.request("POST", "/v1/webhooks", {"name": "told", "url": "https://nobody.example/", "types": ["budget"]})
    seen = 0
    for path, item in document["paths"].items():
        operation = item.get("get")
        content = operation and operation["responses"]["200"].get("content", {}).get("application/json")
        if not content or "$ref" not in content["schema"]:
            continue
        address = re.sub(r"{(\w+)}", lambda m: names[m[1]], path)
        if path == "/v1/prices/history":
            address += "?pool=" + cluster.request("GET", "/v1/prices")["pools"][0]["name"].replace("/", "%2F")
        conforms(document, content["schema"], cluster.request("GET", address), path)
        seen += 1
    assert seen >= 14, seen
    quote = cluster.request("POST", "/v1/quote", SMALL)
    conforms(document, document["paths"]["/v1/quote"]["post"]["responses"]["200"]["content"]["application/json"]["schema"], quote, "quote")
    assert [line["freedom"] for line in quote["lines"]] == ["as_is", "preemptible", "any_rack", "other_skus", "later"], quote
    assert all(line["text"] for line in quote["lines"])


def check_metrics(cluster):
    """Prometheus' text format: every sample belongs to a family that was declared, numbers are numbers."""
    families, buckets = {}, []
    for line in cluster.request("GET", "/metrics", raw=True).decode().splitlines():
        declared = re.fullmatch(r"# (HELP|TYPE) (\w+) (.+)", line)
        if declared:
            families.setdefault(declared[2], {})[declared[1]] = declared[3]
            continue
        name, labels, value = re.fullmatch(r"(\w+)(?:{(.*)})? (\S+)", line).groups()
        family = re.sub(r"_(bucket|sum|count)$", "", name)
        kind = families[family if families.get(family, {}).get("TYPE") == "histogram" else name]["TYPE"]
        assert kind in ("gauge", "counter", "histogram"), line
        assert kind != "counter" or name.endswith("_total"), line
        assert not labels or re.fullmatch(r'(\w+="(?:[^"\\\n]|\\.)*",?)+', labels), line
        float(value)
        if name.endswith("_bucket"):
            buckets.append(int(value))
    assert all(set(family) == {"HELP", "TYPE"} for family in families.values()), families
    assert buckets == sorted(buckets) and buckets[-1] > 0, buckets
    names = {"tessera_workloads", "tessera_nodes", "tessera_pool_price_dollars_per_hour", "tessera_command_seconds", "tessera_agent_polls"}
    assert names <= set(families), names - set(families)


def main():
    with harness.Cluster(agents=1) as cluster:
        for path in ("/v1/events", f"/v1/workloads/{cluster.submit(SMALL)}/logs"):
            assert cluster.request("HEAD", path, raw=True) == b""
        document = cluster.request("GET", "/openapi.json", key=None)
        check_document(document)
        check_answers(cluster, document)
        check_metrics(cluster)


if __name__ == "__main__":
    main()
