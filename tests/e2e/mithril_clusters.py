# SPDX-License-Identifier: Apache-2.0
"""The life of a Kubernetes cluster, with a stand-in for its control plane: HTTPS under an authority of its own, which
asks for a certificate and a token."""
import base64
import contextlib
import http.server
import json
import pathlib
import ssl
import subprocess
import threading

import harness
from mithril_bids import bid
from mithril_client import KEY

TOKEN, JOIN = "a-token-that-nobody-logs", "kubeadm join 10.1.2.3:6443 --token also-a-secret"


def certificate(folder, name, *more):
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem", *more]
    subprocess.run(made, check=True, capture_output=True)
    return pathlib.Path(folder, f"{name}.pem"), pathlib.Path(folder, f"{name}.key")


class ControlPlane:
    """Answers /readyz once `ready`; notes who asked."""

    def __init__(self, folder):
        self.ready, self.asked = False, 0
        stand = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                known = self.headers["Authorization"] == f"Bearer {TOKEN}" and self.path == "/readyz"
                stand.asked += known
                self.send_response(401 if not known else 200 if stand.ready else 503)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_):
                pass

        own, own_key = certificate(folder, "plane", "-addext", "subjectAltName=IP:127.0.0.1")
        self.client, self.client_key = certificate(folder, "client", "-addext", "extendedKeyUsage=clientAuth")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own, own_key)
        context.load_verify_locations(self.client)
        context.verify_mode = ssl.CERT_REQUIRED
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url, self.authority = f"https://127.0.0.1:{self.server.server_address[1]}", own
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def kubeconfig(self):
        def data(path):
            return base64.b64encode(path.read_bytes()).decode()

        return json.dumps({  # JSON is YAML
            "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "k", "user": "admin"}}],
            "clusters": [{"name": "k", "cluster": {"server": self.url, "certificate-authority-data": data(self.authority)}}],
            "users": [{"name": "other", "user": {}}, {"name": "admin", "user": {
                "token": TOKEN, "client-certificate-data": data(self.client), "client-key-data": data(self.client_key)}}]})


def register(cluster, plane):
    """As an operator does."""
    folder = cluster.folder / "operator"
    folder.mkdir()
    (folder / "admin.conf").write_text(plane.kubeconfig())
    (folder / "join.txt").write_text(JOIN + "\n")
    files = ("--kubeconfig", str(folder / "admin.conf"), "--join", str(folder / "join.txt"))
    said = cluster.run("control-plane", "add", "k1", *files).stdout
    assert plane.url in said and "k1" in said, said
    assert cluster.run("control-plane", "add", "k1", *files, check=False).returncode == 6, "the name is taken"
    assert "free" in cluster.run("control-plane", "list").stdout
    for wrong, field in (({"kubeconfig": "{}"}, "kubeconfig"), ({"join_command": ""}, "join_command"), ({"k8s_version": "1.1"}, "k8s_version"),
                         ({"address": "http://plain"}, "address"), ({"kubeconfig": plane.kubeconfig().replace("client-key-data", "client-key")}, "kubeconfig")):
        with contextlib.suppress(harness.Refused):
            cluster.request("POST", "/v1/control-planes", {"name": "x", "kubeconfig": plane.kubeconfig(), "join_command": JOIN} | wrong)
            raise AssertionError(f"taken: {wrong}")
        assert cluster.status_of_last == 400, wrong
    member = cluster.request("POST", "/v1/keys", {"role": "member"})["key"]
    with contextlib.suppress(harness.Refused):
        cluster.request("GET", "/v1/control-planes", key=member)
        raise AssertionError("a member sees control planes")
    told = json.dumps(cluster.request("GET", "/v1/control-planes"))
    assert TOKEN not in told and "also-a-secret" not in told, told


def worker(client, project, key, nodes, made):
    """A bid that names the cluster joins it before its own script runs."""
    spec = {"volumes": [], "ssh_keys": [key["fid"]], "kubernetes_cluster": made["fid"], "startup_script": "#!/bin/bash\necho mine\n"}
    client.call("POST", "/spot/bids", bid(client, project, [], "worker", launch_specification=spec | {"kubernetes_cluster": "clust_nothing"}), 400)
    order = client.call("POST", "/spot/bids", bid(client, project, [], "worker", launch_specification=spec), 201)
    assert order["launch_specification"]["kubernetes_cluster"] == made["fid"], order
    node = harness.wait("a node is told", lambda: next((n for n in nodes if any(r["action"] == "run" for r in n.replicas())), None))
    replica = node.told("run")[0]
    script = replica["instance"]["startup_script"]
    assert script.startswith(f"#!/bin/bash\n{JOIN}\n"), script
    assert base64.b64decode(script.split("<<'END'\n")[1].split("\nEND")[0]) == b"#!/bin/bash\necho mine\n", script
    assert client.get(f"/kubernetes/clusters/{made['fid']}")["instances"] == [replica["instance"]["id"]]
    assert "join it" in client.call("DELETE", f"/kubernetes/clusters/{made['fid']}", expect=409)["detail"]
    client.call("DELETE", f"/spot/bids/{order['fid']}", expect=204)
    harness.wait("it is gone", lambda: [n.stop_all() for n in nodes] and not any(n.replicas() for n in nodes))


def play(cluster, client, nodes):
    project, plane = client.get("/projects")[0]["fid"], ControlPlane(cluster.folder)
    key = client.call("POST", "/ssh-keys", {"project": project, "name": "kube", "public_key": KEY}, 201)
    body = {"name": "prod", "project": project, "region": "us-central1-a", "ssh_keys": [key["fid"]], "instance_type": "h100-2x"}
    assert "control plane" in client.call("POST", "/kubernetes/clusters", body, 422)["detail"][0]["msg"]
    register(cluster, plane)
    for wrong in ({"ssh_keys": []}, {"k8s_version": "1.0"}, {"name": "a b"}):
        client.call("POST", "/kubernetes/clusters", body | wrong, 422)
    for wrong in ({"ssh_keys": ["sshkey_nothing"]}, {"region": "nowhere"}, {"instance_type": "it_nothing"}):
        client.call("POST", "/kubernetes/clusters", body | wrong, 404)
    made = client.call("POST", "/kubernetes/clusters", body, 201)
    assert made["status"] == "Pending" and made["kube_host"] is None and made["join_command"] is None and made["k8s_version"] == "1.34", made
    client.call("POST", "/kubernetes/clusters", body, 409)
    spec = {"volumes": [], "ssh_keys": [key["fid"]], "kubernetes_cluster": made["fid"]}
    client.call("POST", "/spot/bids", bid(client, project, [], "early", launch_specification=spec), 400)
    harness.wait("its control plane is asked", lambda: plane.asked)
    assert client.get(f"/kubernetes/clusters/{made['fid']}")["status"] == "Pending"
    assert cluster.run("control-plane", "remove", "k1", check=False).returncode == 6, "a cluster has it"
    # what waits goes on after a crash
    cluster.kill_server()
    cluster.start_server()
    plane.ready = True
    harness.wait("it is available", lambda: client.get(f"/kubernetes/clusters/{made['fid']}")["status"] == "Available")
    shown = client.get(f"/kubernetes/clusters?project={project}")
    assert [(c["fid"], c["kube_host"], c["join_command"]) for c in shown] == [(made["fid"], plane.url.removeprefix("https://"), JOIN)], shown
    waiting = client.call("POST", "/kubernetes/clusters", body | {"name": "second"}, 201)
    worker(client, project, key, nodes, made)
    assert client.get(f"/kubernetes/clusters/{waiting['fid']}")["status"] == "Pending", "there is one control plane"
    client.call("DELETE", f"/kubernetes/clusters/{made['fid']}", expect=204)
    client.call("DELETE", f"/kubernetes/clusters/{made['fid']}", expect=404)
    gone = client.get(f"/kubernetes/clusters/{made['fid']}")
    assert gone["status"] == "Terminated" and gone["deleted_at"] and gone["join_command"] is None, gone
    # a used control plane goes to nobody before it is registered anew
    assert "used" in cluster.run("control-plane", "list").stdout
    cluster.run("control-plane", "remove", "k1")
    folder = cluster.folder / "operator"
    cluster.run("control-plane", "add", "k1", "--kubeconfig", str(folder / "admin.conf"), "--join", str(folder / "join.txt"))
    harness.wait("the second has it", lambda: client.get(f"/kubernetes/clusters/{waiting['fid']}")["status"] == "Available")
    client.call("DELETE", f"/kubernetes/clusters/{waiting['fid']}", expect=204)
    client.call("DELETE", f"/ssh-keys/{key['fid']}", expect=204)
    log = (cluster.folder / "server.log").read_text()
    assert TOKEN not in log and "also-a-secret" not in log
    print("clusters of Kubernetes")
