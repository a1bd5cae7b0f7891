/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of the model share. */

#include "world.h"

#define NAME(w, id) name_text(&(w)->names, id)

/* Thousandths of its units. */
static inline int64_t model_node_units(const struct market_node *n)
{
    return n->amounts.gpu_milli ? n->amounts.gpu_milli : n->amounts.core_milli;
}
bool model_same_amounts(const struct market_amounts *a, const struct market_amounts *b);
/* The id of the place of that level in which the node stands. */
market_id model_place(const struct market_node *n, enum market_level level);
/* Whether the model can recompute its bill: one role of fixed size at the price of the moment. */
bool model_is_simple(const struct track *t);
/* What there is of each pool: to be called before any rate is asked for. */
void model_survey(struct world *w);
bool model_node_of_pool(const struct market_node *n, const struct market_pool_view *p);
void model_amounts_add(struct market_amounts *a, const struct market_amounts *b, int sign);
bool model_amounts_within(const struct market_amounts *a, const struct market_amounts *cap);
/* Whether that alternative may use the pool, were it empty. */
bool model_eligible(const struct track *t, size_t alternative, const struct ground *g);
/* v − t − best at that alternative in that pool, by the menu of those that are not large: what lets it in. */
int64_t model_rate_at(const struct world *w, const struct track *t, size_t alternative,
                      const struct ground *g, udollar limit);
/* Asks × time of this attempt. */
int128 model_asks_sum(const struct track *t, time_ms to);
/* model_tier.c */
void model_headroom_posted(struct world *w, const struct market_event *e);
/* Off the post, for what could leave in time. */
int64_t model_credit(const struct world *w, const struct track *t, market_id pool);
/* Whether a tight start may send it away, whatever its minimum run. */
bool model_may_recall(const struct world *w, const struct track *t);
/* Something of the node is held, for whatever tier. */
bool model_is_held(const struct world *w, const struct plot *p);
void model_check_headroom(struct world *w);
void model_headroom_before(struct world *w);
void model_headroom_after(struct world *w);
/* model_laws.c */
void model_check_standing(struct world *w);
void model_check_promises(struct world *w);
void model_check_deadline(struct world *w, const struct track *t); /* it is over */
void model_check_idle(struct world *w);
void model_check_stay(struct world *w);
void model_check_ramp(struct world *w, const struct tag *before, const struct market_event *e);
void model_check_spare(struct world *w);
void model_check_freedom(struct world *w);
void model_check_sellers(struct world *w);
void model_check_eviction(struct world *w, const struct track *t);
/* The charge as it stands, against section 7; then the whole bill of an attempt that is over. */
void model_check_rate(struct world *w, struct track *t);
void model_check_bill(struct world *w, const struct track *t, time_ms to);
