# SPDX-License-Identifier: Apache-2.0
"""Work that is worth buying for, and what was bought."""


def bought(cluster):
    return cluster.request("GET", "/v1/providers")["providers"][0].get("bought", [])


def task(run, limit, cores=500, **more):
    return {"run": run, "preemptible": True, "limit_udollar_per_hour": limit, "notice_ms": 1000,
            "choices": [{"amounts": {"core_milli": cores, "memory_mib": 64}}]} | more
