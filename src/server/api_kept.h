/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Answers kept in memory while the state that they were made of stands still: many clients ask the same of one
 * state. An answer is given again for the same key and the same journal number, and for no other: the first command
 * that is applied ends all of them, so that a read sees every write answered before it. The key says everything
 * that the answer depends on besides the state. Any thread. */

#include "net/http_server.h"

struct api_kept;

/* Keeps at most so many bytes, the keys and the books about them included. */
struct api_kept *kept_new(size_t limit);
void kept_free(struct api_kept *k);
/* Copies the answer's status, type and body, not its headers. What is larger than a quarter of the limit is not
 * kept, nor what a newer state has overtaken; where room is short, the oldest go. */
void kept_put(struct api_kept *k, uint64_t seq, struct str key, const struct http_response *response);
typedef void kept_give(void *context, const struct http_response *response);
/* Calls `give` with the answer to this key out of this state, which lives during the call. False: there is none. */
bool kept_find(struct api_kept *k, uint64_t seq, struct str key, kept_give *give, void *context);
/* What is kept now. */
size_t kept_bytes(struct api_kept *k);
