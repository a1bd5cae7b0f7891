/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The Mithril v2 API: the same engine in the words of other people's clients (docs/mithril-api.md).
 * Bids are workloads of kind instance, instances their replicas; keys, volumes and scripts are objects
 * of the engine. Answers are written member by member, null where there is nothing. */

#include "records/mithril.h"
#include "server/api_instance.h"
#include "wire/json.h"

/* ---- answers ---- */

void member_text(struct buf *out, const char *key, struct str text);
/* Null where it is empty. */
void member_text_or_null(struct buf *out, const char *key, struct str text);
void member_integer(struct buf *out, const char *key, int64_t value);
void member_bool(struct buf *out, const char *key, bool value);
void member_null(struct buf *out, const char *key);
/* Null where it is 0. */
void member_time(struct buf *out, const char *key, time_ms time);
/* Likewise. */
void member_id(struct buf *out, const struct render *r, const char *key, const char *prefix, uint64_t id);
/* "$1.25": whole cents, rounded up. */
void member_money(struct buf *out, const char *key, udollar amount);
void member_cents(struct buf *out, const char *key, udollar amount);
/* Strings as they are. */
void member_texts(struct buf *out, const char *key, const struct record_list *texts);
/* Money in whole cents, rounded up. */
int64_t cents_up(udollar amount);
struct str money_text(struct arena *arena, udollar amount);
void mithril_answer(struct api_call *call, int status, const struct buf *out);
void mithril_answer_empty(struct api_call *call); /* 204 */

/* ---- what a request says ---- */

/* By id or name; 0: refused with 404. */
engine_id mithril_project(struct api_call *call, struct str text);
/* ?project=, which has to be there. 0: refused. */
engine_id mithril_project_needed(struct api_call *call);
/* ?project=, or 0 = all that the caller sees. False: refused. */
bool mithril_project_wanted(struct api_call *call, engine_id *ret);
/* A time in the query. False: refused, with 422 where it is `needed` and not there; *ret stays. */
bool mithril_time(struct api_call *call, const char *parameter, bool needed, time_ms *ret);
bool mithril_body_time(struct api_call *call, const char *field, struct str text, time_ms *ret);
/* true, false or nothing (-1). False: refused. */
bool mithril_flag(struct api_call *call, const char *field, struct str text, int *ret);
/* Whether a comma-joined or repeated filter lets it through: absent, or `text` is among its values. */
bool filter_passes(const struct api_call *call, const char *parameter, struct str text);
/* The id in the path, of that prefix; 0: refused with 404. */
uint64_t mithril_path_id(struct api_call *call, const char *prefix, const char *what);
/* Changes beyond a member's: keys that all instances must have, quotas. */
bool mithril_admin(const struct api_call *call);

/* ---- pages of a list ---- */

#define PAGE_MOST 100
struct page {
    uint64_t *ids; /* in order */
    int64_t *ranks; /* what it is sorted by, before the id; may be NULL */
    size_t count, capacity;
    bool ascending;
    bool by_id; /* all ranks are 0: what stands before the cursor is not added */
    int64_t limit;
    uint64_t cursor; /* of the last one shown before; 0 = from the start */
};
/* limit, sort_dir, next_cursor. False: refused. */
bool page_open(struct api_call *call, const char *prefix, struct page *ret);
void page_add(struct page *p, struct arena *arena, uint64_t id, int64_t rank);
/* Whether those that come newest first need not be looked at any further. */
bool page_full(const struct page *p);
/* Sorts, and leaves the ids of this page in [*first, *end); the cursor after it, 0 at the end. */
uint64_t page_cut(struct page *p, size_t *first, size_t *end);
void member_cursor(struct buf *out, const struct render *r, const char *prefix, uint64_t cursor);

/* ---- instance types: makes of node that hand out machines, zone by zone ---- */

#define OFFER_POOLS 16
struct offer {
    market_id sku, accelerator, provider, region, zone;
    struct market_amounts amounts; /* of a node */
    int64_t units_milli;           /* that it is priced in */
    udollar price, minimum;        /* per instance-hour: posted; ask */
    int64_t nodes, free;           /* free: wholly */
    uint64_t running, waiting;
    market_id pools[OFFER_POOLS];
    size_t pool_count;
};
struct offers {
    struct offer *items;
    size_t count;
};
struct offers offers_find(const struct render *r);
/* Counts free nodes; offers_find alone leaves `free` 0. */
void offers_count_free(const struct render *r, struct offers *offers);
/* "region-zone", as clients know it. */
struct str offer_region(const struct render *r, const struct offer *offer);
/* A zone is "region-zone" here and may have another name for clients: from one to the other, and back; that one is
 * empty where no zone is seen so. */
struct str region_shown(const struct render *r, struct str own);
struct str region_own(const struct render *r, struct str shown);
struct str region_text(const struct render *r, struct str region, struct str zone);
/* By id or name of the type, and by region (empty: the first that offers the type). NULL: none. */
const struct offer *offer_named(const struct render *r, const struct offers *offers, struct str type, struct str region);
/* Of the type's id or name; 0: none. */
market_id type_parse(const struct render *r, struct str type);
/* The lowest limit per instance-hour that runs there, where at least three projects do; -1: not shown. */
udollar offer_lowest(const struct render *r, const struct offer *offer);
/* A limit per instance-hour as a rate per unit-hour, and back. */
udollar offer_unit_rate(const struct offer *offer, udollar limit);
udollar offer_instance_rate(const struct offer *offer, udollar rate);

/* ---- bids and instances ---- */

/* The request behind a workload; false where it cannot be read. */
bool order_request(const struct render *r, const struct engine_workload *w, struct workload_request *ret);
/* Whether the filters instance_type and region let its order through. */
bool place_passes(const struct api_call *call, const struct render *r, const struct engine_workload *w);
const char *bid_status(const struct engine_workload *w);
const char *instance_status(const struct engine_workload *w, uint32_t rank);
void launch_render(struct buf *out, const struct workload_instance *instance);
/* Builds a request of kind instance: what is common to bids and reservations. */
void launch_request(const struct mithril_launch *launch, struct workload_request *ret);
/* Looks up what the request names (keys, volumes) and makes the engine's submit of it for ret->project.
 * False: refused. */
bool launch_submit(struct api_call *call, const struct render *r, struct workload_request *request, const struct offer *offer,
                   struct engine_submit *ret);
struct workload_choice *offer_choice(const struct render *r, const struct offer *o);
struct str request_pack(struct api_call *call, const struct workload_request *request);
/* Names of instances become names of hosts. False: refused. */
bool order_name_valid(struct api_call *call, struct str name);
/* False: refused. */
bool order_email_valid(struct api_call *call, struct str email);

/* Of reservations each instance is a workload of its own: the next one behind `after` (NULL: the first), by id. */
const struct engine_workload *reservation_order(const struct engine *e, engine_id reservation, const struct engine_workload *after);
/* The one that the caller sees; NULL: refused. */
const struct engine_reservation *reservation_asked(struct api_call *call, const struct engine *e, struct str fid);
/* Reserved instances to pause or to resume: with them, what their reservations resell. */
struct pausing {
    const engine_id *ids; /* workloads */
    size_t count;
    bool paused;
};
size_t pausing_commands(struct api_call *call, const struct engine *e, const struct pausing *p, struct engine_command **ret);
/* The workload behind bid_… or inst_…, where the caller sees it; NULL: none in the state. */
const struct engine_workload *order_find(struct api_call *call, const struct engine *e, const char *prefix, struct str fid, uint32_t *ret_rank);
/* Who submitted it. */
engine_id order_principal(const struct engine *e, const struct engine_workload *w);

/* Answers where a quota stood in the way: 400, in the word that clients look for. */
bool mithril_quota_refused(struct api_call *call, const struct engine *e, const struct engine_outcome *outcome);

/* ---- objects of the engine ---- */

/* A command that makes one; its body is still to come. */
struct engine_command *object_put(struct api_call *call, enum engine_object_kind kind, engine_id project, struct str name);
void object_delete(struct api_call *call, const struct engine_object *o, bool keep, api_then *then);
typedef void render_object(struct buf *out, struct api_call *call, const struct render *r, const struct engine_object *o);
/* After a PUT: the object as it is now, or why not. */
void object_answer(struct api_call *call, const struct core_answer *answer, int status, render_object *render);

/* ---- routes ---- */

api_read mithril_me, mithril_teammates, mithril_project_list, mithril_key_list, mithril_key_create, mithril_key_delete, mithril_quota_list;
api_read mithril_type_list, mithril_availability, mithril_price_now, mithril_price_history, mithril_image_list, mithril_cluster_images;
api_read mithril_ssh_key_list, mithril_ssh_key_create, mithril_ssh_key_change, mithril_ssh_key_delete;
api_read mithril_script_list, mithril_script_create, mithril_script_content, mithril_script_change, mithril_script_delete;
api_read mithril_volume_list, mithril_volume_create, mithril_volume_change, mithril_volume_delete;
api_read mithril_bid_list, mithril_bid_create, mithril_bid_get, mithril_bid_change, mithril_bid_delete, mithril_bid_status, mithril_bid_history;
api_read mithril_instance_list, mithril_instance_change, mithril_instance_status, mithril_boot_disk, mithril_status_history, mithril_charge_history;
api_read mithril_cluster_list, mithril_cluster_create, mithril_cluster_get, mithril_cluster_delete;
api_read mithril_reservable, mithril_reservation_quote, mithril_reservation_availability, mithril_reservation_create, mithril_reservation_list;
api_read mithril_reservation_get, mithril_extension, mithril_reservation_extend, mithril_reservation_change, mithril_reservation_end;
api_read mithril_reservation_history, mithril_reservation_usage;
api_read mithril_catalogue;
