/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A server that speaks the Mithril v2 API, as one who buys there sees it. What it answers is bounded and
 * checked: names that could mean something to a shell, and lists beyond the limits, are not taken. */

#include "base/arena.h"
#include "base/error.h"
#include "base/number.h"
#include "net/http_client.h"

#define SELLER_OFFERS_MOST 64
#define SELLER_NAME_MOST 64
#define SELLER_ANSWER_MOST ((size_t)1 << 20)

struct seller_offer { /* an instance type in a region */
    struct str fid, name, region;
    struct str gpu; /* empty: none */
    int64_t gpus, cores, memory_gb, disk_gb;
    int64_t free;    /* instances that could start */
    udollar price;   /* of an instance-hour, posted; -1 = not known */
    udollar winning; /* the least limit that starts one now; -1 = none does, or it is not told */
};
/* Thousandths of a unit: of GPUs, or of cores where there are none. */
static inline int64_t seller_offer_units(const struct seller_offer *o)
{
    return 1000 * (o->gpus ? o->gpus : o->cores);
}

struct seller_offers {
    struct seller_offer items[SELLER_OFFERS_MOST];
    size_t count;
};

enum seller_status { SELLER_NONE, SELLER_OPEN, SELLER_ALLOCATED, SELLER_PREEMPTING, SELLER_PAUSED, SELLER_ENDED };
struct seller_bid {
    struct str fid;
    enum seller_status status;
};

/* ---- what it answers; texts stand in the arena. -EPROTO: it is not what the API says ---- */

/* Whether it may stand in a command line and in a path as it is: letters, digits, . _ -, not empty. */
bool seller_name_valid(struct str text);
/* The project of this name or id, or the first one where `wanted` is empty. */
int seller_project_read(struct str json, struct str wanted, struct arena *arena, struct str *ret, struct error *err);
/* Of the types and the board together: offers without prices. */
int seller_offers_read(struct str types, struct str board, struct arena *arena, struct seller_offers *ret, struct error *err);
int seller_price_read(struct str json, struct seller_offer *offer, struct error *err);
/* The live bid of this name, else the last one that has ended; NONE: there is none. */
int seller_bids_read(struct str json, struct str name, struct arena *arena, struct seller_bid *ret, struct error *err);
int seller_fid_read(struct str json, struct arena *arena, struct str *ret, struct error *err);
/* The id of the key of this name in a list; empty: not there. */
int seller_key_read(struct str json, struct str name, struct arena *arena, struct str *ret, struct error *err);

/* ---- calls ---- */

struct seller {
    struct http_client *client;
    struct str project;  /* its id there, once known */
    struct arena *arena; /* of what is returned */
};
int seller_project(const struct seller *s, struct str wanted, struct str *ret, struct error *err);
/* A key of this name, made there where it is missing: nobody keeps its private half. */
int seller_ssh_key(const struct seller *s, struct str name, struct str *ret, struct error *err);
/* What it offers, with prices. */
int seller_offers(const struct seller *s, struct seller_offers *ret, struct error *err);
int seller_bid_find(const struct seller *s, struct str name, struct seller_bid *ret, struct error *err);

struct seller_order {
    struct str name, type, region, ssh_key, script;
    udollar limit; /* per instance-hour; rounded down to the cent */
};
/* -EEXIST: it has a live bid of this name. */
int seller_bid_make(const struct seller *s, const struct seller_order *order, struct str *ret_fid, struct error *err);
int seller_bid_limit(const struct seller *s, struct str fid, udollar limit, struct error *err);
/* 0 also where it is gone. */
int seller_bid_end(const struct seller *s, struct str fid, struct error *err);
