/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The bytes of engine commands and events as the journal keeps them (store/journal.h takes them as
 * they are). A command is its type and the fields of that type; an event is its type, a mask of the
 * fields that are not zero, and those. Everything is a varint or a text with its length.
 *
 * These bytes outlive the code: types and fields are only ever appended. */

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "engine/engine.h"
#include "records/workload.h"

/* Moves when older bytes can no longer be read, or newer ones be understood by older code. */
#define JOURNAL_CODEC_FORMAT 1u

/* Appends one command. A submit keeps who asks (project, key, idempotency key, hashes) and `request`,
 * which must be a record_pack of struct workload_request; everything else follows from that. */
void journal_command_pack(const struct engine_command *command, struct buf *out);
/* All commands in `bytes`. Texts point into `bytes`, lists into the arena. -EINVAL where the bytes are
 * damaged or newer than this code, -E2BIG past the arena's limit. */
int journal_commands_unpack(struct str bytes, struct arena *arena, struct engine_command **ret, size_t *ret_count,
                            struct error *err);

void journal_event_pack(const struct engine_event *event, struct buf *out);
int journal_events_unpack(struct str bytes, struct arena *arena, struct engine_event **ret, size_t *ret_count,
                          struct error *err);

/* Appends all events of a result, as the journal keeps them. */
void journal_events_pack(const struct engine_result *result, struct buf *out);
/* What was decided, folded into the digest of everything decided before; `events` are the result's,
 * packed. */
uint64_t journal_digest(uint64_t running, const struct engine_result *result, struct str events);

/* What of a submit stands in the request; project, key, idempotency, body_hash, request_key and
 * request of *ret are left alone. Texts and labels are borrowed from the request, choices stand in the
 * arena. -EINVAL: a number that the engine cannot hold; -E2BIG. */
int journal_submit_from_request(const struct workload_request *request, struct arena *arena, struct engine_submit *ret,
                                struct error *err);
