/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the answers of a seller, and as the file of what was ordered. What is taken is bounded, and its names
 * may stand in a command line. */

#include "base/check.h"
#include "base/memory.h"
#include "providers/book.h"
#include "providers/plan.h"

static void offers_check(struct seller_offers *all)
{
    const struct seller_offer *offers = all->items;
    CHECK(all->count <= SELLER_OFFERS_MOST);
    for (size_t i = 0; i < all->count; i++) {
        CHECK(seller_name_valid(offers[i].name) && seller_name_valid(offers[i].region) && seller_name_valid(offers[i].fid));
        CHECK(seller_offer_units(&offers[i]) > 0 && plan_memory_mib(&offers[i]) > 0);
        (void)plan_unit_rate(&offers[i], 100);
    }
    plan_sort(all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(arena_fini) struct arena arena = {};
    struct str text = {(const char *)data, size}, rest = text, types = str_cut(&rest, '\n'), fid;
    static struct seller_offers offers;
    struct seller_bid bid;
    struct book book;
    if (seller_offers_read(types, rest, &arena, &offers, NULL) == 0)
        offers_check(&offers);
    if (seller_price_read(text, &offers.items[0], NULL) == 0)
        CHECK(offers.items[0].price >= -1 && offers.items[0].winning >= -1);
    if (seller_bids_read(text, STR("acme-1"), &arena, &bid, NULL) == 0)
        CHECK(bid.status == SELLER_NONE || seller_name_valid(bid.fid));
    if (seller_project_read(text, STR(""), &arena, &fid, NULL) == 0)
        CHECK(seller_name_valid(fid));
    (void)seller_fid_read(text, &arena, &fid, NULL);
    (void)seller_key_read(text, STR("x"), &arena, &fid, NULL);
    if (book_read(text, &book, NULL) == 0)
        book_fini(&book);
    return 0;
}
