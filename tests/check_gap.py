#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_gap.py DUMP…: takes what `market_bench clear --dump FILE` wrote (nodes, raw bids, prices, who
stands where) and recomputes by itself whether that is an allocation, what it is worth, and which bound the
prices certify. All rates are whole µ$ an hour; surplus and bound must agree with the market's own to the
µ$. Exit code 0 where they do."""
import collections
import sys

ANCHORS = {"any": "zone", "zone": "zone", "fabric": "fabric", "rack": "rack", "node": "node"}


class Instance:
    """A dump in memory. `nets` of a bid: (region, sku) -> value less transfer per GPU-hour."""

    def __init__(self, path):
        self.nodes, self.bids, self.prices, self.seats = [], [], {}, collections.defaultdict(list)
        with open(path, encoding="ascii") as lines:
            for line in lines:
                words = line.split()
                getattr(self, "read_" + words[0])(words)

    def read_surplus(self, words):
        self.surplus, self.bound = int(words[1]), int(words[3])

    def read_node(self, words):
        node = dict(zip(words[2::2], map(int, words[3::2]))) | {"node": int(words[1])}
        self.nodes.append(node)

    def read_bid(self, words):
        nets = {}
        for word in words[8:]:
            place, value = word.split(":")
            region, sku = place.split("/")
            nets[int(region), int(sku)] = int(value)
        self.bids.append({"nodes": int(words[3]), "gpus": int(words[5]), "level": words[7], "nets": nets})

    def read_price(self, words):
        self.prices[int(words[2]), int(words[4])] = int(words[5])

    def read_seat(self, words):
        self.seats[int(words[1])].append((int(words[3]), int(words[5], 16)))


def wrong(bid, what):
    raise SystemExit(f"check_gap: bid {bid}: {what}")


def check_gang(instance, number, seats, taken):
    """What one bid is worth where it stands."""
    bid = instance.bids[number]
    first = instance.nodes[seats[0][0]]
    net = bid["nets"].get((first["region"], first["sku"]))
    if net is None:
        wrong(number, "it did not name this place")
    if len(seats) != bid["nodes"] or len({node for node, _ in seats}) != len(seats):
        wrong(number, "not one replica on each of its nodes")
    anchor, surplus = ANCHORS[bid["level"]], 0
    for index, gpus in seats:
        node = instance.nodes[index]
        if node[anchor] != first[anchor] or node["sku"] != first["sku"]:
            wrong(number, "it does not hang together")
        if gpus >> node["gpus"] or bin(gpus).count("1") != bid["gpus"] or taken[index] & gpus:
            wrong(number, f"GPUs {gpus:x} of node {index} are not its own")
        taken[index] |= gpus
        surplus += (net - node["ask"]) * bid["gpus"]
    return surplus


def allocation_surplus(instance):
    taken = collections.Counter()
    return sum(check_gang(instance, number, seats, taken) for number, seats in instance.seats.items())


def price_bound(instance):
    """Σ units × max(0, π − ask) + Σ over bids of max(0, best net − π) × GPUs."""
    lowest, bound = {}, 0
    for node in instance.nodes:
        price = instance.prices[node["zone"], node["sku"]]
        bound += node["gpus"] * max(0, price - node["ask"])
        key = node["region"], node["sku"]
        lowest[key] = min(price, lowest.get(key, price))
    for bid in instance.bids:
        margin = max((net - lowest[key] for key, net in bid["nets"].items() if key in lowest), default=0)
        bound += max(0, margin) * bid["gpus"] * bid["nodes"]
    return bound


def main():
    bad = 0
    for path in sys.argv[1:]:
        instance = Instance(path)
        surplus, bound = allocation_surplus(instance), price_bound(instance)
        same = surplus == instance.surplus and bound == instance.bound
        bad += not same
        print(f"{path}: surplus {surplus} (market {instance.surplus}), bound {bound} (market {instance.bound}), gap "
              f"{(bound - surplus) / max(bound, 1) * 100:.4f} %: {'agree' if same else 'DIFFERENT'}")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
