/* SPDX-License-Identifier: Apache-2.0 */
/* Fragmentation gradient descent (Weng et al., "Beware of Fragmentation", ATC 2023): a pod goes
 * where it adds least to the idle GPU that the typical pod could not use. Scores are kept per
 * (shape, node) until the node changes. Whole-point scores and their ties are the authors'. */
#include "sim/policy.h"

#include "base/memory.h"
#include "base/sort.h"

#include <math.h>

#define TYPICAL_SHARE 0.95 /* the most frequent shapes, up to this share of the pods */

struct score {
    uint32_t version; /* of the node; 0: never made */
    int16_t points;   /* -1: it does not fit */
    uint8_t gpu;      /* for a share */
};

struct fgd {
    struct shape *typical; /* memory does not count */
    double *frequency;     /* of each; sums to 1 */
    size_t typical_count;
    uint32_t *versions;   /* by node, from 1 */
    double *fragments;    /* by node */
    struct score *scores; /* by shape, then node */
};

/* Idle GPU of the node that a pod of this shape could not use. */
static int64_t fragment(const struct fleet_node *n, const struct shape *m)
{
    if (m->gpu_count == 0 || m->core_milli > n->free_core_milli ||
        (m->models && !(m->models >> n->model & 1)))
        return n->free_gpu_milli;
    int64_t small = 0, hosts = 0;
    for (int64_t i = 0; i < n->gpu_count; i++) {
        if (n->free_gpu[i] >= m->gpu_milli)
            hosts++;
        else
            small += n->free_gpu[i];
    }
    return hosts < m->gpu_count ? n->free_gpu_milli : small;
}

static double fragments(const struct policy_state *state, const struct fleet_node *n)
{
    const struct fgd *fgd = state->own;
    double sum = 0;
    for (size_t i = 0; i < fgd->typical_count; i++)
        sum += fgd->frequency[i] * (double)fragment(n, &fgd->typical[i]);
    return sum;
}

static int16_t points(double gradient)
{
    return (int16_t)(100 / (1 + exp(-gradient / 1000)));
}

static int16_t points_after(const struct policy_state *state, size_t node, const struct shape *s,
                            uint64_t gpus)
{
    struct fleet_node after = state->fleet->nodes[node];
    node_take_shape(&after, s, gpus);
    const struct fgd *fgd = state->own;
    return points(fgd->fragments[node] - fragments(state, &after));
}

static struct score score_make(const struct policy_state *state, size_t node, const struct shape *s)
{
    const struct fleet_node *n = &state->fleet->nodes[node];
    struct score score = {.points = -1};
    if (!node_fits(n, s))
        return score;
    if (s->gpu_count != 1 || s->gpu_milli == GPU_MILLI) {
        score.points = points_after(state, node, s, node_gpus(n, s));
        return score;
    }
    for (int64_t i = 0; i < n->gpu_count; i++) {
        int16_t here =
            n->free_gpu[i] < s->gpu_milli ? -1 : points_after(state, node, s, UINT64_C(1) << i);
        if (here > score.points) {
            score.points = here;
            score.gpu = (uint8_t)i;
        }
    }
    return score;
}

static struct placing fgd_place(struct policy_state *state, size_t shape)
{
    struct fgd *fgd = state->own;
    const struct shape *s = &state->shapes[shape];
    struct score *scores = &fgd->scores[shape * state->fleet->count];
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < state->fleet->count; i++) {
        if (scores[i].version != fgd->versions[i]) {
            scores[i] = score_make(state, i, s);
            scores[i].version = fgd->versions[i];
        }
        if (scores[i].points >= 0 && (best == SIZE_MAX || scores[i].points > scores[best].points))
            best = i;
    }
    if (best == SIZE_MAX)
        return (struct placing){SIZE_MAX, 0};
    bool share = s->gpu_count == 1 && s->gpu_milli < GPU_MILLI;
    return (struct placing){best, share ? UINT64_C(1) << scores[best].gpu
                                        : node_gpus(&state->fleet->nodes[best], s)};
}

static void fgd_placed(struct policy_state *state, struct placing at)
{
    struct fgd *fgd = state->own;
    fgd->versions[at.node]++;
    fgd->fragments[at.node] = fragments(state, &state->fleet->nodes[at.node]);
}

static bool shape_alike(const struct shape *a, const struct shape *b)
{
    return a->core_milli == b->core_milli && a->gpu_count == b->gpu_count &&
           a->gpu_milli == b->gpu_milli && a->models == b->models;
}

struct typical {
    size_t shape;
    int64_t count;
};

static int typical_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    const struct typical *a = x, *b = y;
    int c = COMPARE(b->count, a->count);
    return c ? c : COMPARE(a->shape, b->shape);
}

/* The shapes, those that differ in memory alone as one; returns how many. */
static size_t typical_list(const struct policy_state *state, struct typical *list)
{
    size_t count = 0;
    for (size_t i = 0; i < state->shape_count; i++) {
        size_t j = 0;
        while (j < count && !shape_alike(&state->shapes[list[j].shape], &state->shapes[i]))
            j++;
        if (j == count)
            list[count++] = (struct typical){i, 0};
        list[j].count += state->counts[i];
    }
    sort(list, count, sizeof *list, typical_compare, NULL);
    return count;
}

static void typical_choose(const struct policy_state *state, struct fgd *fgd)
{
    _cleanup_free_ struct typical *list = xcalloc(state->shape_count, sizeof *list);
    size_t count = typical_list(state, list);
    int64_t all = 0, sum = 0;
    for (size_t i = 0; i < count; i++)
        all += list[i].count;
    fgd->typical = xcalloc(count, sizeof *fgd->typical);
    fgd->frequency = xcalloc(count, sizeof *fgd->frequency);
    while (fgd->typical_count < count && (double)sum < TYPICAL_SHARE * (double)all)
        sum += list[fgd->typical_count++].count;
    for (size_t i = 0; i < fgd->typical_count; i++) {
        fgd->typical[i] = state->shapes[list[i].shape];
        fgd->frequency[i] = (double)list[i].count / (double)sum;
    }
}

static void fgd_start(struct policy_state *state)
{
    struct fgd *fgd = state->own = xcalloc(1, sizeof *fgd);
    typical_choose(state, fgd);
    size_t nodes = state->fleet->count;
    fgd->versions = xcalloc(nodes, sizeof *fgd->versions);
    fgd->fragments = xcalloc(nodes, sizeof *fgd->fragments);
    fgd->scores = xcalloc(nodes * state->shape_count, sizeof *fgd->scores);
    for (size_t i = 0; i < nodes; i++)
        fgd_placed(state, (struct placing){i, 0});
}

static void fgd_stop(struct policy_state *state)
{
    struct fgd *fgd = state->own;
    xfree(fgd->typical);
    xfree(fgd->frequency);
    xfree(fgd->versions);
    xfree(fgd->fragments);
    xfree(fgd->scores);
    xfree(fgd);
}

const struct policy policy_fgd = {.name = "fgd",
                                  .doc = "fragmentation gradient descent (Weng et al., 2023)",
                                  .start = fgd_start,
                                  .stop = fgd_stop,
                                  .place = fgd_place,
                                  .placed = fgd_placed};
