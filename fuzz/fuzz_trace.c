/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a trace or a fleet of the simulator: the first byte says of which format. */
#include "sim/input.h"
#include "sim/openb.h"

static void fuzz_openb(struct str nodes, struct str pods)
{
    struct error err;
    struct openb o = {.node_text = BUF_INIT(1 << 20), .pod_text = BUF_INIT(1 << 20)};
    buf_append_str(&o.node_text, nodes);
    buf_append_str(&o.pod_text, pods);
    if (openb_parse_nodes(&o, "nodes", &err) == 0)
        openb_parse_pods(&o, "pods", &err);
    openb_fini(&o);
}

static void fuzz_input(struct str bytes)
{
    struct error err;
    _cleanup_buf_ struct buf out = BUF_INIT(1 << 20);
    input_unpack(bytes, &out, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct str rest = {(const char *)data + 1, size - 1};
    switch (data[0] % 3) {
    case 0:
        fuzz_input(rest);
        break;
    case 1:
        fuzz_openb(rest, STR("name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,1,1,1,1000\n"));
        break;
    case 2:
        fuzz_openb(STR("sn,cpu_milli,memory_mib,gpu,model\na,1,1,1,T4\n"), rest);
        break;
    default:
        break;
    }
    return 0;
}
