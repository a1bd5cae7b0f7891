/* SPDX-License-Identifier: Apache-2.0 */
#include "server/api_kept.h"

#include "base/check.h"
#include "base/list.h"
#include "base/map.h"
#include "base/memory.h"

#include <pthread.h>
#include <string.h>

#define PARTS 4 /* one answer may take this part of the room */

struct kept_answer { /* its texts stand behind it */
    struct list link; /* of api_kept.answers */
    size_t size;
    struct str key;
    struct http_response response;
};

struct api_kept {
    pthread_mutex_t lock;
    size_t limit, bytes;
    uint64_t seq;          /* that all of them were made of */
    struct list answers;   /* kept_answer.link, oldest first */
    struct str_map by_key; /* to the answer */
};

struct api_kept *kept_new(size_t limit)
{
    struct api_kept *k = xcalloc(1, sizeof *k);
    pthread_mutex_init(&k->lock, NULL);
    list_init(&k->answers);
    k->limit = limit;
    return k;
}

static void answers_free(struct list *answers)
{
    LIST_EACH_SAFE(item, answers)
    {
        list_remove(item);
        xfree(CONTAINER_OF(item, struct kept_answer, link));
    }
}

void kept_free(struct api_kept *k)
{
    if (k == NULL)
        return;
    answers_free(&k->answers);
    str_map_fini(&k->by_key);
    pthread_mutex_destroy(&k->lock);
    xfree(k);
}

static struct str text_copy(char **at, struct str text)
{
    struct str copy = {*at, text.size};
    if (text.size)
        memcpy(*at, text.data, text.size);
    *at += text.size;
    return copy;
}

/* Twice the key: the map has a copy of its own. */
static size_t answer_size(struct str key, const struct http_response *response)
{
    return sizeof(struct kept_answer) + 2 * key.size + response->content_type.size + response->body.size;
}

static struct kept_answer *answer_new(struct str key, const struct http_response *response)
{
    size_t size = answer_size(key, response);
    struct kept_answer *answer = xmalloc(size);
    char *at = (char *)(answer + 1);
    *answer = (struct kept_answer){.size = size, .response = {.status = response->status}};
    answer->key = text_copy(&at, key);
    answer->response.content_type = text_copy(&at, response->content_type);
    answer->response.body = text_copy(&at, response->body);
    return answer;
}

static struct kept_answer *answer_find(const struct api_kept *k, struct str key)
{
    return (struct kept_answer *)(uintptr_t)str_map_get(&k->by_key, key);
}

/* Out of the books, into `gone`. */
static void answer_drop(struct api_kept *k, struct kept_answer *answer, struct list *gone)
{
    str_map_remove(&k->by_key, answer->key);
    k->bytes -= answer->size;
    list_remove(&answer->link);
    list_append(gone, &answer->link);
}

static void answer_add(struct api_kept *k, struct kept_answer *answer, struct list *gone)
{
    struct kept_answer *before = answer_find(k, answer->key);
    if (before)
        answer_drop(k, before, gone);
    while (k->bytes + answer->size > k->limit)
        answer_drop(k, CONTAINER_OF(k->answers.next, struct kept_answer, link), gone);
    str_map_set(&k->by_key, answer->key, (uint64_t)(uintptr_t)answer);
    list_append(&k->answers, &answer->link);
    k->bytes += answer->size;
}

void kept_put(struct api_kept *k, uint64_t seq, struct str key, const struct http_response *response)
{
    struct list gone;
    if (answer_size(key, response) > k->limit / PARTS)
        return;
    list_init(&gone);
    struct kept_answer *answer = answer_new(key, response);
    list_init(&answer->link);
    pthread_mutex_lock(&k->lock);
    if (seq > k->seq) {
        while (!list_empty(&k->answers))
            answer_drop(k, CONTAINER_OF(k->answers.next, struct kept_answer, link), &gone);
        k->seq = seq;
    }
    if (seq == k->seq)
        answer_add(k, answer, &gone);
    else
        list_append(&gone, &answer->link);
    pthread_mutex_unlock(&k->lock);
    answers_free(&gone);
}

bool kept_find(struct api_kept *k, uint64_t seq, struct str key, kept_give *give, void *context)
{
    pthread_mutex_lock(&k->lock);
    const struct kept_answer *answer = seq == k->seq ? answer_find(k, key) : NULL;
    if (answer)
        give(context, &answer->response);
    pthread_mutex_unlock(&k->lock);
    return answer != NULL;
}

size_t kept_bytes(struct api_kept *k)
{
    pthread_mutex_lock(&k->lock);
    size_t bytes = k->bytes;
    pthread_mutex_unlock(&k->lock);
    return bytes;
}
