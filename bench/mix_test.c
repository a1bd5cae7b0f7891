/* SPDX-License-Identifier: Apache-2.0 */
/* What the load program sends is what the records take; says how long one decoding is. */
#include "mix.h"

#include "base/arena.h"
#include "base/clock.h"
#include "records/workload.h"

#include <stdio.h>

#define ROUNDS 2000

static int decode(const struct record *record, const struct buf *body, void *into)
{
    struct arena arena = {0};
    struct error err = {0};
    int code = record_from_json(record, buf_str(body), &arena, into, &err);
    if (code < 0)
        printf("%s: %s\n%s\n", record->name, err.text, buf_text(body));
    arena_fini(&arena);
    return code;
}

int main(void)
{
    _cleanup_buf_ struct buf body = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct workload_request request;
    struct agent_facts facts;
    uint64_t state = 1;
    int failed = 0;
    mix_fill(&body, 1);
    failed |= decode(&workload_request_record, &body, &request);
    buf_clear(&body);
    mix_node(&body, 70000);
    failed |= decode(&agent_facts_record, &body, &facts);
    int64_t spent = 0;
    for (unsigned i = 0; i < ROUNDS && !failed; i++) {
        buf_clear(&body);
        mix_submit(&body, i, &state);
        int64_t start = clock_monotonic_us();
        failed |= decode(&workload_request_record, &body, &request);
        spent += clock_monotonic_us() - start;
    }
    printf("decoded: %.2f us each\n", (double)spent / ROUNDS);
    return failed ? 1 : 0;
}
