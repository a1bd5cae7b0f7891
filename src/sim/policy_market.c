/* SPDX-License-Identifier: Apache-2.0 */
/* The market's own rule for work below a whole node, on the topology of the baselines: the loss of
 * placeable demand (market/fragment.h), ties to the earlier node. */
#include "sim/policy.h"

#include "base/memory.h"
#include "market/fragment.h"
#include "market/market_internal.h"

struct score {
    int64_t loss;
    uint32_t version; /* of the node; 0: never made */
    int8_t gpu;       /* for a share; -1: it does not fit */
};

struct own {
    struct fragment *fragment;
    struct room *rooms;   /* by node */
    uint32_t *versions;   /* by node, from 1 */
    int64_t *fragments;   /* by node */
    struct score *scores; /* by shape, then node */
    int64_t idle[FLEET_MODELS_MAX], scarcity[FLEET_MODELS_MAX];
};

static struct market_amounts shape_amounts(const struct shape *s)
{
    return (struct market_amounts){.gpu_milli = s->gpu_count * s->gpu_milli,
                                   .core_milli = s->core_milli,
                                   .memory_mib = s->memory_mib};
}

static int64_t fragments(const struct policy_state *state, size_t node, const struct room *room)
{
    const struct own *own = state->own;
    const struct fleet_node *n = &state->fleet->nodes[node];
    return fragment_of(own->fragment,
                       &(struct fragment_node){room, n->model, (uint32_t)n->gpu_count});
}

static void room_fill(struct room *room, const struct fleet_node *n)
{
    room->free = (struct market_amounts){.gpu_milli = n->free_gpu_milli,
                                         .core_milli = n->free_core_milli,
                                         .memory_mib = n->free_memory_mib};
    for (int64_t i = 0; i < n->gpu_count; i++)
        room->share[i] = (uint16_t)n->free_gpu[i];
}

static int64_t loss_after(const struct policy_state *state, size_t node, const struct shape *s,
                          uint64_t gpus)
{
    struct fleet_node after = state->fleet->nodes[node];
    struct room room;
    node_take_shape(&after, s, gpus);
    room_fill(&room, &after);
    return fragments(state, node, &room) - ((const struct own *)state->own)->fragments[node];
}

/* A GPU with as much left as an earlier one is as good. */
static bool gpu_is_news(const struct fleet_node *n, int64_t gpu)
{
    for (int64_t i = 0; i < gpu; i++)
        if (n->free_gpu[i] == n->free_gpu[gpu])
            return false;
    return true;
}

static struct score score_make(const struct policy_state *state, size_t node, const struct shape *s)
{
    const struct fleet_node *n = &state->fleet->nodes[node];
    struct score score = {.gpu = -1};
    if (!node_fits(n, s))
        return score;
    if (s->gpu_count != 1 || s->gpu_milli == GPU_MILLI) {
        score.loss = loss_after(state, node, s, node_gpus(n, s));
        score.gpu = 0;
        return score;
    }
    for (int64_t i = 0; i < n->gpu_count; i++) {
        if (n->free_gpu[i] < s->gpu_milli || !gpu_is_news(n, i))
            continue;
        int64_t loss = loss_after(state, node, s, UINT64_C(1) << i);
        if (score.gpu < 0 || loss < score.loss) {
            score.loss = loss;
            score.gpu = (int8_t)i;
        }
    }
    return score;
}

static struct placing market_place(struct policy_state *state, size_t shape)
{
    struct own *own = state->own;
    const struct shape *s = &state->shapes[shape];
    struct score *scores = &own->scores[shape * state->fleet->count];
    size_t best = SIZE_MAX;
    int64_t least = 0, taken = s->gpu_count * s->gpu_milli;
    for (size_t i = 0; i < state->fleet->count; i++) {
        if (scores[i].version != own->versions[i]) {
            scores[i] = score_make(state, i, s);
            scores[i].version = own->versions[i];
        }
        int64_t loss = scores[i].loss + taken * own->scarcity[state->fleet->nodes[i].model];
        if (scores[i].gpu >= 0 && (best == SIZE_MAX || loss < least)) {
            best = i;
            least = loss;
        }
    }
    if (best == SIZE_MAX)
        return (struct placing){SIZE_MAX, 0};
    bool share = s->gpu_count == 1 && s->gpu_milli < GPU_MILLI;
    return (struct placing){best, share ? UINT64_C(1) << scores[best].gpu
                                        : node_gpus(&state->fleet->nodes[best], s)};
}

static void node_read(struct policy_state *state, size_t node)
{
    struct own *own = state->own;
    const struct fleet_node *n = &state->fleet->nodes[node];
    own->idle[n->model] += n->free_gpu_milli - own->rooms[node].free.gpu_milli;
    own->versions[node]++;
    room_fill(&own->rooms[node], n);
    own->fragments[node] = fragments(state, node, &own->rooms[node]);
}

static void market_placed(struct policy_state *state, struct placing at)
{
    struct own *own = state->own;
    node_read(state, at.node);
    fragment_scarcity(own->fragment, own->idle, own->scarcity, (uint32_t)state->fleet->model_count);
}

static void market_start(struct policy_state *state)
{
    struct own *own = state->own = xcalloc(1, sizeof *own);
    uint32_t count = (uint32_t)MIN(state->shape_count, FRAGMENT_SHAPES_MAX);
    struct fragment_shape *shapes = xcalloc(count, sizeof *shapes);
    uint64_t *pools = xcalloc(count, sizeof *pools);
    for (uint32_t i = 0; i < count; i++) {
        pools[i] = state->shapes[i].models ? state->shapes[i].models : UINT64_MAX;
        shapes[i] =
            (struct fragment_shape){shape_amounts(&state->shapes[i]), state->counts[i], &pools[i]};
    }
    own->fragment = fragment_new(shapes, count, 1);
    xfree(shapes);
    xfree(pools);
    size_t nodes = state->fleet->count;
    own->rooms = xcalloc(nodes, sizeof *own->rooms);
    own->versions = xcalloc(nodes, sizeof *own->versions);
    own->fragments = xcalloc(nodes, sizeof *own->fragments);
    own->scores = xcalloc(nodes * state->shape_count, sizeof *own->scores);
    for (size_t i = 0; i < nodes; i++)
        node_read(state, i);
    fragment_scarcity(own->fragment, own->idle, own->scarcity, (uint32_t)state->fleet->model_count);
}

static void market_stop(struct policy_state *state)
{
    struct own *own = state->own;
    fragment_free(own->fragment);
    xfree(own->rooms);
    xfree(own->versions);
    xfree(own->fragments);
    xfree(own->scores);
    xfree(own);
}

const struct policy policy_market = {.name = "market",
                                     .doc = "the market: least loss of placeable demand",
                                     .start = market_start,
                                     .stop = market_stop,
                                     .place = market_place,
                                     .placed = market_placed};
