# SPDX-License-Identifier: Apache-2.0
"""The best allocation of a small instance by CBC, an off-the-shelf solver: a mixed-integer program whose
variables say at which anchor (rack, fabric, zone) a gang stands. Nodes below an anchor are alike and laminar
counting is exact, parts of a node come in powers of two and pack perfectly, so the program is the problem."""
import collections
import pathlib
import re
import shutil
import subprocess


def solver():
    return shutil.which("cbc")


def terms(weights):
    return "".join(f" {'+' if value >= 0 else '-'} {abs(value)} {name}" for name, value in weights)


class Program:
    def __init__(self, instance):
        self.instance = instance
        self.objective, self.binaries, self.integers = [], [], []
        self.chosen = collections.defaultdict(list)  # bid -> variables
        self.used = collections.defaultdict(list)    # anchor -> (variable, nodes) of what stands there or below
        self.parts = collections.defaultdict(list)   # fabric -> (variable, GPUs) of parts of nodes
        self.size = collections.Counter()
        self.tree()
        for number, bid in enumerate(instance.bids):
            self.bid(number, bid)
        for fabric, weights in self.parts.items():
            self.pack(fabric, weights)

    def tree(self):
        self.ask, self.racks, self.fabrics = {}, collections.defaultdict(set), collections.defaultdict(set)
        for node in self.instance.nodes:
            pool = node["region"], node["sku"]
            assert self.ask.setdefault(pool, node["ask"]) == node["ask"]
            self.gpus = node["gpus"]
            zone = node["zone"], node["sku"]
            self.fabrics[pool, zone].add(node["fabric"])
            self.racks[node["fabric"]].add(node["rack"])
            for anchor in (("zone", zone), ("fabric", node["fabric"]), ("rack", node["rack"])):
                self.size[anchor] += 1

    def anchors(self, pool, level):
        """Where a gang of that level may stand in the pool: (anchor, all anchors that hold it)."""
        for (of, zone), fabrics in self.fabrics.items():
            if of != pool:
                continue
            if level in ("any", "zone"):
                yield ("zone", zone), (("zone", zone),)
                continue
            for fabric in fabrics:
                above = ("zone", zone), ("fabric", fabric)
                if level == "fabric":
                    yield above[1], above
                    continue
                for rack in self.racks[fabric]:
                    yield ("rack", rack), (*above, ("rack", rack))

    def bid(self, number, bid):
        for pool, net in bid["nets"].items():
            worth = (net - self.ask.get(pool, net)) * bid["gpus"] * bid["nodes"]
            if worth <= 0:
                continue
            part = bid["gpus"] < self.gpus
            for i, (anchor, path) in enumerate(self.anchors(pool, "fabric" if part else bid["level"])):
                if not part and self.size[anchor] < bid["nodes"]:
                    continue
                name = f"x{number}_{pool[0]}_{pool[1]}_{i}"
                self.binaries.append(name)
                self.chosen[number].append((name, 1))
                self.objective.append((name, worth / 1e6))
                if part:
                    self.parts[anchor, path].append((name, bid["gpus"]))
                else:
                    for at in path:
                        self.used[at].append((name, bid["nodes"]))

    def pack(self, fabric, weights):
        """Parts fill whole nodes of the fabric."""
        (_, number), path = fabric
        name = f"y{number}"
        self.integers.append(name)
        for at in path:
            self.used[at].append((name, 1))
        self.used["parts", number] = [*weights, (name, -self.gpus)]

    def write(self, path):
        rows = [f" b{i}:{terms(w)} <= 1" for i, w in self.chosen.items()]
        rows += [f" c{i}:{terms(w)} <= {self.size.get(at, 0)}" for i, (at, w) in enumerate(self.used.items())]
        text = ["Maximize", f" obj:{terms(self.objective)}", "Subject To", *rows, "Binaries", *self.binaries, "Generals", *self.integers, "End"]
        pathlib.Path(path).write_text("\n".join(wrapped(text)) + "\n", encoding="ascii")


def wrapped(lines, width=500):
    """The LP format has a limit on the length of a line; breaks only before a sign."""
    for line in lines:
        while len(line) > width:
            cut = max(line.rfind(" + ", 0, width), line.rfind(" - ", 0, width))
            yield line[:cut]
            line = line[cut:]
        yield line


def solve(instance, path, seconds=60):
    """(best value found, bound on any, seconds, proved), values in µ$ an hour."""
    Program(instance).write(path)
    done = subprocess.run([solver(), str(path), "sec", str(seconds), "ratio", "1e-5", "solve"], capture_output=True, text=True, check=True)
    def number(pattern):
        found = re.findall(pattern + r"\s*(-?[\d.]+(?:e[+-]?\d+)?)", done.stdout)
        return float(found[-1]) if found else None
    value, bound = number(r"Objective value:"), number(r"(?:Upper|Lower) bound:")
    proved = "Optimal solution found" in done.stdout
    spent = number(r"Time \(Wallclock seconds\):") or number(r"Total time \(Wallclock seconds\):") or 0.0
    if value is None:
        raise SystemExit(f"market: cbc gave no answer to {path}:\n{done.stdout[-2000:]}")
    value = abs(value)
    bound = abs(bound) if bound is not None else value * (1 + 1e-5)
    return value * 1e6, max(bound, value) * 1e6, spent, proved
