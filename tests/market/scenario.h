/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Scenario files: asks, capacity and events in; decisions, prices and reasons out. One statement a
 * line, `#` starts a comment; tests/market/README.md has the whole language. */

#include "world.h"

/* Numbers of the language: millionths, so that money is exact. */
#define ONE 1000000
typedef int128 number;

struct group { /* bids or nodes that were named together: `bids low 60` makes low1 .. low60 */
    market_id name;
    market_id *members;
    size_t count, capacity;
};

struct variable {
    market_id name; /* of scenario.words */
    number value;
};

#define WORDS_MAX 64
struct line {
    unsigned line_number; /* in the file, from 1 */
    size_t count;
    struct str words[WORDS_MAX];
};

/* A bid as it is written, until the last of its `or` and `and` lines was read. */
#define ALTERNATIVES_MAX 8
#define ROLES_MAX 4
struct draft {
    bool open, in_group;
    struct line head;
    struct market_bid bid;
    struct market_alternative alternatives[ALTERNATIVES_MAX];
    struct market_choice choices[ALTERNATIVES_MAX][ROLES_MAX];
    struct market_role roles[ROLES_MAX];
    size_t role;           /* that the next `and` line is about */
    uint64_t count, first; /* first: so many of the group stand already */
    int64_t
        memory_step; /* each asks for so much more memory than the one before: a class of its own */
    number step;     /* each bid of the group has a limit higher by this … */
    uint64_t tenants; /* … and they belong to so many tenants in turn */
};

struct scenario {
    struct world *w;
    const char *path;
    char *text;
    struct line *lines;
    size_t line_count, line_capacity, at;
    struct names words; /* of variables: they outlive a world */
    struct group *groups;
    size_t group_count, group_capacity;
    struct variable *variables;
    size_t variable_count, variable_capacity;
    struct draft draft;
    bool in_batch, reverse, always_reverse;
    bool lenient; /* what cannot be done is left out: for sequences that were shortened */
    uint64_t seed;
    FILE *trace;
    char title[256], pending[256];
};

/* Reads the file; `pending` and `title` are known afterwards. Ends the program where it cannot. */
void scenario_load(struct scenario *s, const char *path);
/* The same from text, which is copied. */
void scenario_parse(struct scenario *s, const char *name, const char *text);
/* Plays it to the end. What goes wrong is printed and ends the program with status 1. */
void scenario_run(struct scenario *s);
void scenario_fini(struct scenario *s);
void scenario_fail(struct scenario *s, const char *format, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

/* language.c */
void line_split(struct scenario *s, char *text, unsigned line_number);
/* The value of `key=value` among the words from `first` on; data NULL where it is not there. */
struct str line_option(const struct line *l, size_t first, const char *key);
bool line_flag(const struct line *l, size_t first, const char *word);
number evaluate(struct scenario *s, struct str text);
/* Both sides of a comparison in one text, spaces taken out. */
bool compare(struct scenario *s, struct str text, number *ret_left, number *ret_right);

/* fields.c: what `name.field` says */
bool field_value(struct scenario *s, struct str name, struct str field, number *ret);
/* name, name of a group, or name3..9; the ids go to *ret, owned by the caller. */
size_t targets(struct scenario *s, struct str text, market_id **ret);
struct group *group_find(const struct scenario *s, market_id name);
void group_add(struct scenario *s, market_id group, market_id member);

/* setup.c: nodes, bids and what they are made of */
void say_nodes(struct scenario *s, const struct line *l);
void draft_begin(struct scenario *s, const struct line *l);
void draft_or(struct scenario *s, const struct line *l);
void draft_and(struct scenario *s, const struct line *l);
void say_population(struct scenario *s, const struct line *l);
/* Sends what was drafted. */
void draft_end(struct scenario *s);
void choice_options(struct scenario *s, const struct line *l, struct market_choice *c);
void alternative_options(struct scenario *s, const struct line *l, struct market_alternative *a);
/* forward.c */
void do_reserve(struct scenario *s, const struct line *l);
void do_pause(struct scenario *s, const struct line *l);
void do_resume(struct scenario *s, const struct line *l);
void do_return(struct scenario *s, const struct line *l);
void do_subscribe(struct scenario *s, const struct line *l);
void do_owner(struct scenario *s, const struct line *l);
void do_power(struct scenario *s, const struct line *l);
void do_checkpoint(struct scenario *s, const struct line *l);
void do_clear(struct scenario *s, const struct line *l);
void do_compute(struct scenario *s, const struct line *l);
bool reservation_field(struct scenario *s, market_id id, struct str field, number *ret);
/* Options of a line as integers in their own unit. */
udollar option_money(struct scenario *s, const struct line *l, const char *key, udollar otherwise);
time_ms option_time(struct scenario *s, const struct line *l, const char *key, time_ms otherwise);
int64_t option_count(struct scenario *s, const struct line *l, const char *key, int64_t otherwise);
int64_t option_milli(struct scenario *s, const struct line *l, const char *key, int64_t otherwise);

/* A number that stands for who runs where: states and places, by name. */
uint64_t scenario_outcome(const struct scenario *s);

/* probes.c */
void probe(struct scenario *s, const struct line *l);

/* expect.c */
void expect(struct scenario *s, const struct line *l);
