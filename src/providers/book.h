/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Who sells to us and what was ordered there: the contents of DATA/providers.json. An order stands here before its
 * first call goes out, so that a crash neither doubles nor forgets it. */

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/number.h"

#include <stdbool.h>

#define BOOK_PROVIDERS_MOST 16
#define BOOK_ORDERS_MOST 64 /* of one provider */
#define BOOK_NAME_MOST 24   /* of a provider */

enum order_state {
    ORDER_WANTED, /* it may have been placed, or not: its name tells */
    ORDER_PLACED,
    ORDER_ENDING, /* its machine runs empty, then it is given back */
};

struct order { /* one machine */
    char name[64]; /* of the bid there and of the node here */
    char type[65], sku[65], region[65], bid[65];
    enum order_state state;
    udollar limit; /* bid, per instance-hour */
    udollar price; /* posted there, per instance-hour */
    int64_t units_milli, cores, gpus, memory_mib, disk_mib;
    time_ms created;
    bool used;    /* something has run on it */
    bool drained; /* by us, for the seller wants it back */
    /* not kept in the file; monotonic ms */
    time_ms busy, heard; /* last seen with work or new; last seen up or without a claim to be */
    char status[16];
};

struct provider {
    char name[BOOK_NAME_MOST + 1], url[1024], key[512], pin[128];
    char project_wanted[65], project[65], ssh_key[65]; /* project, ssh_key: ids there, once known */
    bool insecure, leaving;
    int64_t margin_permille, most, idle_ms, poll_ms;
    struct order orders[BOOK_ORDERS_MOST];
    size_t order_count;
    /* not kept */
    time_ms rest; /* monotonic: buys nothing before */
    char problem[ERROR_TEXT_MAX];
};

struct book {
    struct provider *providers[BOOK_PROVIDERS_MOST];
    size_t count;
};
void book_fini(struct book *b);
/* NULL: none of this name. */
struct provider *book_find(const struct book *b, struct str name);
void book_write(const struct book *b, struct buf *out);
/* -EINVAL: it is not what book_write wrote; *ret is empty then. */
int book_read(struct str text, struct book *ret, struct error *err);
void order_remove(struct provider *p, size_t index);
