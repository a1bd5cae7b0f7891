# SPDX-License-Identifier: Apache-2.0
"""Winner determination instances: gangs, each acceptable in one to four pools with a value of its own, about
half of demand fits. From a seed, the same bytes everywhere, with the optimum of the LP relaxation (Clp 1.17.6)."""
import random

SIZES = [1, 1, 1, 2, 2, 4, 8, 8, 16, 32, 64, 128]
OPTIMA = {(2000, 50, 1): 76531.68569, (2000, 50, 2): 76102.44752, (2000, 50, 3): 79935.56153,
          (10000, 200, 1): 402044.659, (10000, 200, 2): 404616.4863, (10000, 200, 3): 404086.8131}


def generate(bids, pools, seed):
    """Lines: pool,ID,UNITS and bid,ID,UNITS,POOL:VALUE,… with values in µ$."""
    rng = random.Random(seed)
    rows = []
    for i in range(bids):
        units = rng.choice(SIZES)
        base = rng.lognormvariate(0.8, 0.5)
        chosen = rng.sample(range(pools), rng.randint(1, 4))
        rows.append((i, units, [(p, round(units * base * rng.uniform(0.8, 1.2) * 1_000_000)) for p in chosen]))
    demand = sum(units for _, units, _ in rows)
    for p in range(pools):
        yield f"pool,{p},{int(max(64, 0.5 * demand / pools * rng.uniform(0.6, 1.4)))}"
    for i, units, choices in rows:
        yield f"bid,{i},{units}," + ",".join(f"{p}:{v}" for p, v in choices)
