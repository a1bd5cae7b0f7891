/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of the model share. */

#include "world.h"

#define NAME(w, id) name_text(&(w)->names, id)

bool model_same_amounts(const struct market_amounts *a, const struct market_amounts *b);
/* The id of the place of that level in which the node stands. */
market_id model_place(const struct market_node *n, enum market_level level);
/* Whether the model can recompute its bill: one role of fixed size at the price of the moment. */
bool model_is_simple(const struct track *t);
/* The charge as it stands, against section 7; then the whole bill of an attempt that is over. */
void model_check_rate(struct world *w, struct track *t);
void model_check_bill(struct world *w, const struct track *t, time_ms to);
