/* SPDX-License-Identifier: Apache-2.0 */
/* What a seller answers, what is worth buying, and the file of what was ordered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "providers/book.h"
#include "providers/plan.h"

#include <errno.h>

#define TYPES                                                                                                                   \
    "[{\"fid\":\"it_1\",\"name\":\"cpu.4\",\"num_cpus\":4,\"ram_gb\":16,\"num_gpus\":0,\"gpu_type\":\"\",\"local_storage_gb\":0},"   \
    "{\"fid\":\"it_2\",\"name\":\"h100.8\",\"num_cpus\":96,\"ram_gb\":1024,\"num_gpus\":8,\"gpu_type\":\"H100\",\"local_storage_gb\":100}," \
    "{\"fid\":\"it_3\",\"name\":\"a b; rm -rf /\",\"num_cpus\":4,\"ram_gb\":16,\"num_gpus\":0},"                                       \
    "{\"fid\":\"it_4\",\"name\":\"none\",\"num_cpus\":0,\"ram_gb\":16,\"num_gpus\":0}]"
#define BOARD                                                                                                       \
    "[{\"instance_type\":\"it_2\",\"region\":\"eu-a\",\"capacity\":1},{\"instance_type\":\"it_1\",\"region\":\"eu-a\",\"capacity\":2}," \
    "{\"instance_type\":\"it_3\",\"region\":\"eu-a\",\"capacity\":2},{\"instance_type\":\"it_4\",\"region\":\"eu-a\",\"capacity\":2},"    \
    "{\"instance_type\":\"it_1\",\"region\":\"$(id)\",\"capacity\":2},{\"instance_type\":\"it_9\",\"region\":\"eu-a\"}]"

static size_t offers_make(struct arena *arena, struct seller_offers *all)
{
    struct seller_offer *offers = all->items;
    assert_int_equal(seller_offers_read(STR(TYPES), STR(BOARD), arena, all, NULL), 0);
    for (size_t i = 0; i < all->count; i++)
        assert_int_equal(seller_price_read(offers[i].gpus ? STR("{\"spot_price_cents\":800,\"dynamic_win_price_cents\":900}")
                                                          : STR("{\"spot_price_cents\":40,\"dynamic_win_price_cents\":40}"),
                                           &offers[i], NULL), 0);
    plan_sort(all);
    return all->count;
}

static void test_offers(void **state)
{
    (void)state;
    _cleanup_(arena_fini) struct arena arena = {0};
    struct seller_offers all;
    const struct seller_offer *offers = all.items;
    struct error err = {0};
    size_t count = offers_make(&arena, &all);
    assert_int_equal(count, 2); /* names that mean something to a shell, and machines without cores, are not taken */
    assert_true(str_is(offers[0].name, "cpu.4") && str_is(offers[1].gpu, "H100") && offers[1].free == 1);
    assert_int_equal(plan_unit_rate(&offers[0], 100), 110000);
    assert_int_equal(plan_unit_rate(&offers[1], 0), 1125000); /* what wins, where that is more than what is posted */
    assert_int_equal(seller_offers_read(STR("{}"), STR("[]"), &arena, &all, &err), -EPROTO);
    assert_int_equal(seller_offers_read(STR("[]"), STR("[1"), &arena, &all, &err), -EPROTO);
}

static void test_full(void **state)
{
    (void)state;
    struct seller_offer offer = {.cores = 1, .memory_gb = 1};
    assert_int_equal(seller_price_read(STR("{\"spot_price_cents\":10,\"dynamic_win_price_cents\":null}"), &offer, NULL), 0);
    assert_int_equal(plan_unit_rate(&offer, 0), -1); /* nothing free, and no limit would start one */
    offer.free = 1;
    assert_int_equal(plan_unit_rate(&offer, 0), 100000);
}

static void test_bids(void **state)
{
    (void)state;
    _cleanup_(arena_fini) struct arena arena = {0};
    struct seller_bid bid;
    struct str page = STR("{\"data\":[{\"fid\":\"bid_1\",\"name\":\"a-1\",\"status\":\"Terminated\"},{\"fid\":\"bid_2\",\"name\":\"a-1\",\"status\":\"Preempting\"},"
                          "{\"fid\":\"bid_3\",\"name\":\"a-2\",\"status\":\"Allocated\"}]}");
    assert_int_equal(seller_bids_read(page, STR("a-1"), &arena, &bid, NULL), 0);
    assert_true(bid.status == SELLER_PREEMPTING && str_is(bid.fid, "bid_2"));
    assert_int_equal(seller_bids_read(page, STR("a-3"), &arena, &bid, NULL), 0);
    assert_int_equal(bid.status, SELLER_NONE);
    assert_int_equal(seller_bids_read(STR("{}"), STR("a-3"), &arena, &bid, NULL), -EPROTO);
}

static size_t planned_for(const struct plan_demand *demands, size_t count, struct plan_machine *ret)
{
    static struct arena arena;
    static struct seller_offers offers;
    const struct plan plan = {&offers, STR("acme"), 100};
    offers_make(&arena, &offers);
    size_t planned = plan_machines(&plan, demands, count, ret, 8);
    arena_fini(&arena);
    return planned;
}

/* Never more than what the work in it would pay, less the margin; and nothing that does not pay for itself. */
static void test_plan(void **state)
{
    (void)state;
    const struct plan_choice core = {.core_milli = 1000, .memory_mib = 512}, two = {.core_milli = 2000}, gpu = {.accelerator = STR("H100"), .gpu_milli = 8000},
                             elsewhere = {.core_milli = 1000, .region = STR("us")}, labelled = {.core_milli = 1000, .labelled = true},
                             large = {.core_milli = 1000, .memory_mib = 16384};
    struct plan_machine machines[8];
    struct plan_demand demands[] = {{&core, 1, 300000}, {&two, 1, 200000}};
    assert_int_equal(planned_for(demands, 1, machines), 0); /* $0.30 would not pay for a machine of $0.40 */
    assert_int_equal(planned_for(demands, 2, machines), 1); /* both together do: $0.70 */
    assert_int_equal(machines[0].value, 700000);
    assert_int_equal(plan_limit(machines[0].value, 100), 630000);
    struct plan_demand cheap[] = {{&two, 1, 600000}, {&two, 1, 109999}};
    assert_int_equal(planned_for(cheap, 2, machines), 1);
    assert_int_equal(machines[0].value, 1200000); /* what is worth less than a unit costs is no reason to bid more */
    struct plan_demand many[] = {{&two, 1, 600000}, {&two, 1, 600000}, {&two, 1, 600000}};
    assert_int_equal(planned_for(many, 3, machines), 2);
    struct plan_demand none[] = {{&elsewhere, 1, 9000000}, {&labelled, 1, 9000000}, {&large, 1, 9000000}};
    assert_int_equal(planned_for(none, 3, machines), 0);
    struct plan_demand gpus[] = {{&gpu, 1, 2000000}};
    assert_int_equal(planned_for(gpus, 1, machines), 1);
    assert_int_equal(plan_limit(machines[0].value, 100), 14540000);
}

static void test_book(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf text = BUF_INIT(1 << 20), again = BUF_INIT(1 << 20);
    struct provider *p = xcalloc(1, sizeof *p);
    struct book book = {.providers = {p}, .count = 1}, read;
    *p = (struct provider){.name = "acme", .url = "https://acme.example", .key = "a \"secret\"", .margin_permille = 100, .most = 4, .idle_ms = 300000,
                           .poll_ms = 10000, .leaving = true, .order_count = 1};
    p->orders[0] = (struct order){.name = "acme-1", .type = "it_1", .sku = "cpu.4", .region = "eu-a", .bid = "bid_1", .state = ORDER_ENDING, .limit = 630000,
                                  .price = 400000, .units_milli = 4000, .cores = 4, .memory_mib = 15360, .created = 5, .used = true, .drained = true};
    book_write(&book, &text);
    assert_int_equal(book_read(buf_str(&text), &read, NULL), 0);
    book_write(&read, &again);
    assert_string_equal(buf_text(&text), buf_text(&again));
    assert_true(book_find(&read, STR("acme"))->orders[0].state == ORDER_ENDING && book_find(&read, STR("b")) == NULL);
    book_fini(&read);
    struct error err = {0};
    for (char *at = text.data; (at = strstr(at, "\"state\":2")) != NULL; at++)
        at[8] = '7';
    assert_int_equal(book_read(buf_str(&text), &read, &err), -EINVAL);
    assert_non_null(strstr(err.text, "state"));
    assert_int_equal(read.count, 0);
    book_fini(&book);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_offers), cmocka_unit_test(test_full), cmocka_unit_test(test_bids),
                                       cmocka_unit_test(test_plan), cmocka_unit_test(test_book)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
