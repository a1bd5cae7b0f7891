/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What is still to be told to others: DATA/delivery.db, a SQLite file of its own. Items stand in lanes, one a
 * webhook and one for mail; each lane goes in its order. They are put there in the transaction that moves the
 * cursor over the events, and taken away once they have arrived: after a kill each is sent at least once, under the
 * same id. One thread at a time. */

#include "base/arena.h"
#include "base/error.h"
#include "base/number.h"
#include "base/str.h"
#include "store/table.h"

#define OUTBOX_NAME "delivery.db"
#define OUTBOX_LANE_MOST 10000 /* items that may wait in a lane */

struct outbox;

struct outbox_item {
    uint64_t number; /* the outbox's own, in order */
    uint64_t lane;
    struct str id;        /* as the receiver knows it: the event's "SEQ-POSITION" */
    struct str type;      /* of the event */
    struct str recipient; /* of mail */
    struct str subject;   /* likewise */
    struct str body;
    time_ms at;
};

#define OUTBOX_ERROR_MOST 200
struct outbox_lane {
    uint64_t id; /* object of the webhook; 0 = mail */
    int64_t attempts;             /* at the first item that waits, all of them in vain */
    time_ms due;                  /* when it is tried again */
    time_ms failing;              /* since when nothing arrives; 0 = all is well */
    int64_t delivered;            /* so far */
    time_ms delivered_at;         /* the last one */
    int64_t status;               /* of the last answer; 0 = none came */
    time_ms disabled;             /* it is given up; 0 = it is not */
    char error[OUTBOX_ERROR_MOST]; /* why the last attempt was in vain, or why it is given up; else empty */
    int64_t waiting;              /* items; counted, not kept */
};

/* Makes the file where there is none; `now` is then since when mail goes out. */
int outbox_open(struct outbox **ret, const char *path, time_ms now, struct error *err);
void outbox_close(struct outbox *o);
/* The last event that was looked at. */
struct table_position outbox_cursor(const struct outbox *o);
/* Since when the file knows what it did: mail of what happened before is not sent. */
time_ms outbox_begun(const struct outbox *o);

/* Items are put between these two; after any failure nothing since outbox_begin is kept. */
int outbox_begin(struct outbox *o, struct error *err);
int outbox_put(struct outbox *o, const struct outbox_item *item, struct error *err);
/* Makes the lane where it is new. */
int outbox_lane_make(struct outbox *o, uint64_t lane, struct error *err);
int outbox_commit(struct outbox *o, struct table_position cursor, struct error *err);
void outbox_rollback(struct outbox *o);

/* The next of a lane, in the arena: 1; 0: none waits. */
int outbox_first(struct outbox *o, uint64_t lane, struct arena *arena, struct outbox_item *ret, struct error *err);
/* Keeps how the lane stands, and takes away item `number` (0: none), or all where the lane is given up. */
int outbox_record(struct outbox *o, const struct outbox_lane *lane, uint64_t number, struct error *err);
/* The lanes there are, by id; the array is in the arena. */
int outbox_lanes(struct outbox *o, struct arena *arena, struct outbox_lane **ret, size_t *ret_count, struct error *err);
/* With all that waits in it. */
int outbox_lane_drop(struct outbox *o, uint64_t lane, struct error *err);
