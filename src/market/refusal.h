/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What is wrong with a command: shared by the files that take them. */

#include "market/market_internal.h"

struct refusal {
    enum market_refusal reason;
    const char *field;
    int64_t numbers[3];
};

static inline struct refusal accept(void)
{
    return (struct refusal){.reason = REFUSED_NONE};
}

static inline struct refusal refuse(enum market_refusal reason, const char *field)
{
    return (struct refusal){.reason = reason, .field = field};
}

static inline struct refusal refuse_bound(const char *field, int64_t given, int64_t least, int64_t most)
{
    return (struct refusal){REFUSED_BOUND, field, {given, least, most}};
}

/* reservation.c */
struct refusal reservation_add(struct market *m, const struct market_reservation *r);
/* What of a reservation a bid may not say. */
struct refusal reservation_refusal(const struct market *m, const struct market_bid *bid);
struct refusal reservation_change(struct market *m, const struct market_command *c);
/* promise.c: a deadline that cannot be met even in an empty fleet, and what does not go with one */
struct refusal promise_refusal(const struct market *m, const struct market_bid *bid, const struct form *form);
/* Its limit anew: not below the price that was locked; one that was not promised is looked at again. */
struct refusal promise_limit(struct market *m, uint32_t bid, int64_t limit);
/* bid.c */
struct refusal bid_add(struct market *m, const struct market_bid *bid);
struct refusal bid_change(struct market *m, market_id id, udollar limit);
struct refusal bid_cancel(struct market *m, market_id id);
struct refusal bid_pause(struct market *m, market_id id, bool held);
