/* SPDX-License-Identifier: Apache-2.0 */
#include "mix.h"

#include "base/check.h"

void mix_submit(struct buf *out, uint64_t number, uint64_t *state)
{
    struct mix_job job = mix_job(state);
    size_t start = out->size;
    unsigned limit = 1000000 + mix_random(state) % 19000000;
    buf_printf(out,
               "{\"name\":\"bench-%08llu\",\"nodes\":%d,\"choices\":[{\"accelerator\":\"H100\",\"amounts\":"
               "{\"gpu_milli\":%d,\"core_milli\":%d,\"memory_mib\":%d}},{\"sku\":\"h100-8x\","
               "\"amounts\":{\"gpu_milli\":%d,\"core_milli\":%d,\"memory_mib\":%d},\"speed_milli\":900}],",
               (unsigned long long)number, job.nodes, job.gpus * 1000, job.gpus * 1000,
               job.gpus * 10240, job.gpus * 1000, job.gpus * 1000, job.gpus * 10240);
    buf_printf(out,
               "\"preemptible\":true,\"limit_udollar_per_hour\":%u,\"level\":\"any\",\"notice_ms\":30000,"
               "\"signal\":15,\"retries\":1,\"on_lost_contact\":\"continue\",\"max_run_ms\":%d,",
               limit, job.minutes * 60000);
    buf_printf(out,
               "\"setup\":\"pip install -r requirements.txt\",\"run\":\"torchrun --nnodes=$SKYPILOT_NUM_NODES "
               "--node-rank=$SKYPILOT_NODE_RANK --master-addr=$MASTER_ADDR train.py --seed %llu\",\"envs\":"
               "{\"NCCL_DEBUG\":\"WARN\",\"OMP_NUM_THREADS\":\"8\",\"DATASET\":\"",
               (unsigned long long)number);
    static const char tail[] = "\"}}";
    while (out->size - start < MIX_BODY_SIZE - (sizeof tail - 1))
        buf_append_byte(out, (char)('a' + mix_random(state) % 26));
    buf_append_text(out, tail);
    CHECK(out->size - start == MIX_BODY_SIZE);
}

void mix_fill(struct buf *out, uint64_t number)
{
    buf_printf(out,
               "{\"name\":\"fill-%llu\",\"nodes\":1,\"choices\":[{\"accelerator\":\"H100\",\"amounts\":"
               "{\"gpu_milli\":8000,\"core_milli\":8000,\"memory_mib\":81920}}],\"run\":\"sleep 86400\","
               "\"preemptible\":true,\"limit_udollar_per_hour\":100000000}",
               (unsigned long long)number);
}

void mix_node(struct buf *out, unsigned number)
{
    buf_printf(out,
               "{\"name\":\"gpu-%05u\",\"version\":\"bench\",\"boot\":\"bench\",\"address\":\"10.%u.%u.%u\","
               "\"sku\":\"h100-8x\",\"accelerator\":\"H100\",\"place\":{\"provider\":\"bench\",\"region\":\"here\","
               "\"zone\":\"a\",\"fabric\":\"fabric-%u\",\"rack\":\"rack-%u\"},",
               number, number >> 16, number >> 8 & 255, number & 255, number / 512, number / 16);
    buf_append_text(out, "\"amounts\":{\"gpu_milli\":8000,\"core_milli\":96000,\"memory_mib\":1000000},"
                         "\"ask_udollar_per_hour\":2000000,\"gpus\":[");
    for (unsigned g = 0; g < 8; g++)
        buf_printf(out, "%s{\"index\":%u,\"uuid\":\"GPU-%05u-%u\",\"model\":\"H100\",\"memory_mib\":81559}",
                   g ? "," : "", g, number, g);
    buf_append_text(out, "]}");
}
