/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a task file: what is accepted must be a request that its own table takes again. */

#include "base/check.h"
#include "records/task.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(arena_fini) struct arena arena = {.limit = 64 << 20};
    _cleanup_buf_ struct buf json = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct task_file task;
    struct workload_request again;
    struct error err = {};
    if (task_parse((struct str){(const char *)data, size}, &arena, &task, &err) < 0) {
        CHECK(err.text[0] != '\0');
        return 0;
    }
    record_to_json(&workload_request_record, &task.request, AUDIENCE_AGENT, &json);
    CHECK(record_from_json(&workload_request_record, buf_str(&json), &arena, &again, &err) == 0);
    return 0;
}
