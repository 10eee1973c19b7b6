
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Groups of shared subscriptions in the store of the node's directory, beside
 * ordinary subscriptions of the same filters, against a slow model: tables of
 * who has what.
 */

/* sources: route/ngx_mqtt_directory_store.c wire/ngx_mqtt_topic.c */
/* sources: route/ngx_mqtt_directory_pages.c */
/* sources: route/ngx_mqtt_directory_groups.c */


#include "tap.h"
#include "ngx_mqtt_directory_store.h"

#include <stdlib.h>


#define SEED      0x5bd1e995
#define FILTERS   (sizeof(filters) / sizeof(filters[0]))
#define GROUPS    8
#define SLOTS     5
#define LARGE     (4 * 1024 * 1024)
#define SMALL     (sizeof(ngx_mqtt_dir_t) + 5 * NGX_MQTT_DIR_PAGE)


static char  *filters[] = {
    "a", "a/b", "a/b/c", "a/+", "a/#", "+", "+/b", "#", "+/+/c", "b", "b/c",
    "b/+/c", "b/#", "/", "/+", "$q/a", "$q/#", "$q/+", "a//c", "long/filter"
};

static char  *topics[] = {
    "a", "a/b", "a/b/c", "a/b/c/d", "b", "b/c", "b/x/c", "/", "/a", "$q/a",
    "$q", "$x/a", "a//c", "c", "c/b", "x/y/c", "long/filter"
};

static uint64_t  slots[SLOTS] = { 0, 3, 64, 200, 255 };

static unsigned  has[FILTERS][SLOTS];
static unsigned  count[FILTERS][GROUPS][SLOTS];

static unsigned  seen[FILTERS][GROUPS][SLOTS];
static unsigned  strange;


static ngx_mqtt_dir_t *
create(size_t size)
{
    ngx_mqtt_dir_t  *dir;

    dir = malloc(size);
    memset(dir, 0xa5, size);

    if (ngx_mqtt_dir_format(dir, size, SEED) != NGX_OK) {
        printf("Bail out! cannot format\n");
        exit(1);
    }

    memset(has, 0, sizeof(has));
    memset(count, 0, sizeof(count));

    return dir;
}


static ngx_str_t
str(char *text)
{
    ngx_str_t  s;

    s.data = (u_char *) text;
    s.len = strlen(text);

    return s;
}


static uint64_t
group_id(int f, int g)
{
    return (uint64_t) (f + 1) << 32 | (g + 1);
}


static void
group_seen(void *data, ngx_mqtt_dir_t *dir, ngx_mqtt_dir_node_t *group)
{
    int                     f, g, s;
    uint32_t                ref;
    uint64_t                id;
    ngx_mqtt_dir_member_t  *member;

    id = ngx_mqtt_dir_group_id(group);
    f = (int) (id >> 32) - 1;
    g = (int) (id & 0xffff) - 1;

    for (ref = group->workers; ref; ref = member->next) {
        member = ngx_mqtt_dir_member(dir, ref);

        for (s = 0; s < SLOTS && slots[s] != member->slot; s++) {
            /* void */
        }

        if (f < 0 || f >= (int) FILTERS || g < 0 || g >= GROUPS || s == SLOTS
            || seen[f][g][s])
        {
            strange++;
            return;
        }

        seen[f][g][s] = member->count;
    }

    strange += group->workers == 0;
}


/* 1: a topic finds other groups, members or workers than it should */

static int
compare(ngx_mqtt_dir_t *dir, char *text)
{
    int        g, s, match;
    unsigned   f, wrong, any;
    uint64_t   found[NGX_MQTT_DIR_WORDS], all[NGX_MQTT_DIR_WORDS];
    uint64_t   expected[NGX_MQTT_DIR_WORDS];
    ngx_str_t  topic, filter;

    topic = str(text);

    memset(seen, 0, sizeof(seen));
    memset(found, 0, sizeof(found));
    memset(expected, 0, sizeof(expected));
    memset(all, 0xff, sizeof(all));

    strange = 0;

    ngx_mqtt_dir_match(dir, &topic, all, found, group_seen, NULL);

    wrong = strange;
    any = 0;

    for (f = 0; f < FILTERS; f++) {
        filter = str(filters[f]);
        match = ngx_mqtt_topic_match(&filter, &topic);

        for (s = 0; s < SLOTS; s++) {

            if (match && has[f][s]) {
                ngx_mqtt_dir_bit_set(expected, slots[s]);
            }

            for (g = 0; g < GROUPS; g++) {
                any += match && count[f][g][s];
                wrong += seen[f][g][s] != (match ? count[f][g][s] : 0);
            }
        }
    }

    wrong += memcmp(found, expected, sizeof(found)) != 0;

    /* who does not ask for groups gets the same workers */

    memset(found, 0, sizeof(found));
    ngx_mqtt_dir_match(dir, &topic, all, found, NULL, NULL);

    wrong += memcmp(found, expected, sizeof(found)) != 0;

    /* and need not ask */

    wrong += any && !ngx_mqtt_dir_has_groups(dir, ngx_mqtt_dir_gate(SEED,
                                                                    &topic));

    return wrong != 0;
}


static int
compare_all(ngx_mqtt_dir_t *dir)
{
    int     wrong;
    size_t  i;

    wrong = 0;

    for (i = 0; i < sizeof(topics) / sizeof(topics[0]); i++) {
        wrong += compare(dir, topics[i]);
    }

    return wrong;
}


/* the sums of both kinds of gates are those of the model */

static int
gates_differ(ngx_mqtt_dir_t *dir)
{
    int       g, s;
    size_t    f, i;
    unsigned  pairs, groups, members;

    pairs = 0;
    groups = 0;

    for (f = 0; f < FILTERS; f++) {

        for (s = 0; s < SLOTS; s++) {
            pairs += has[f][s];
        }

        for (g = 0; g < GROUPS; g++) {
            members = 0;

            for (s = 0; s < SLOTS; s++) {
                members += count[f][g][s] != 0;
            }

            pairs += members;
            groups += members != 0;
        }
    }

    for (i = 0; i <= NGX_MQTT_DIR_GATES; i++) {
        pairs -= dir->gates[i];
        groups -= dir->groups[i];
    }

    return pairs != 0 || groups != 0;
}


static int
change(ngx_mqtt_dir_t *dir, int f, int g, int s, unsigned want,
    unsigned *full)
{
    int        rc, expected;
    ngx_str_t  filter;

    filter = str(filters[f]);

    if (g == GROUPS) {
        rc = want ? ngx_mqtt_dir_insert(dir, &filter, slots[s])
                  : ngx_mqtt_dir_delete(dir, &filter, slots[s]);

        want = want != 0;
        expected = has[f][s] == want ? NGX_DECLINED : NGX_OK;

    } else {
        rc = ngx_mqtt_dir_share(dir, &filter, group_id(f, g), slots[s], want);
        expected = (count[f][g][s] == 0) == (want == 0) ? NGX_DECLINED
                                                        : NGX_OK;
    }

    if (rc == NGX_ERROR && expected == NGX_OK && want) {
        (*full)++;
        return gates_differ(dir);
    }

    if (g == GROUPS) {
        has[f][s] = want;

    } else {
        count[f][g][s] = want;
    }

    return rc != expected;
}


static void
change_many(ngx_mqtt_dir_t *dir, int n, int *wrong, int *mismatch,
    unsigned *full)
{
    int       i;
    unsigned  want;

    for (i = 0; i < n; i++) {
        want = rand() % 10 < (i / 2000 % 2 ? 3 : 7) ? 1 + rand() % 3 : 0;

        *wrong += change(dir, rand() % FILTERS, rand() % (GROUPS + 1),
                         rand() % SLOTS, want, full);

        if (i % 20 == 0) {
            *mismatch += compare(dir, topics[rand() % (sizeof(topics)
                                                       / sizeof(topics[0]))]);
        }

        if (i % 100 == 0) {
            *mismatch += gates_differ(dir);
        }
    }
}


static int
empty(ngx_mqtt_dir_t *dir, unsigned *full)
{
    int     g, s, wrong;
    size_t  f;

    wrong = 0;

    for (f = 0; f < FILTERS; f++) {
        for (g = 0; g <= GROUPS; g++) {
            for (s = 0; s < SLOTS; s++) {
                wrong += change(dir, f, g, s, 0, full);
            }
        }
    }

    return wrong;
}


static unsigned
pages_used(ngx_mqtt_dir_t *dir)
{
    uint32_t              n, p;
    ngx_mqtt_dir_page_t  *page;

    /* without those of the root and of the buckets */

    n = dir->top - 1 - 2;

    page = (ngx_mqtt_dir_page_t *) ((u_char *) dir + dir->descriptors);

    for (p = dir->free; p; p = page[p].next) {
        n--;
    }

    return n;
}


static void
test_random(size_t size, char *name)
{
    int              wrong, mismatch;
    unsigned         full;
    ngx_mqtt_dir_t  *dir;

    dir = create(size);
    wrong = 0;
    mismatch = 0;
    full = 0;

    change_many(dir, 40000, &wrong, &mismatch, &full);

    ok(wrong == 0, "%s: return codes", name);
    ok(mismatch == 0, "%s: matches", name);
    ok((full != 0) == (size == SMALL), "%s: was full %u times", name, full);
    ok(compare_all(dir) == 0, "%s: all topics", name);

    ok(empty(dir, &full) == 0, "%s, emptied: return codes", name);
    ok(compare_all(dir) == 0, "%s, emptied: no matches", name);
    ok(gates_differ(dir) == 0, "%s, emptied: gates", name);
    ok(dir->nodes == 0, "%s, emptied: no nodes", name);
    ok(pages_used(dir) == 0, "%s, emptied: no pages", name);

    free(dir);
}


/* workers die: alone with some groups, beside others in some */

static void
test_sweep(void)
{
    int              g, s, wrong, mismatch;
    size_t           f;
    uint64_t         dead[NGX_MQTT_DIR_WORDS];
    unsigned         full, bucket;
    ngx_mqtt_dir_t  *dir;

    dir = create(LARGE);
    wrong = 0;
    mismatch = 0;
    full = 0;

    change_many(dir, 3000, &wrong, &mismatch, &full);

    memset(dead, 0, sizeof(dead));

    for (s = 1; s < SLOTS; s += 2) {
        ngx_mqtt_dir_bit_set(dead, slots[s]);

        for (f = 0; f < FILTERS; f++) {
            has[f][s] = 0;

            for (g = 0; g < GROUPS; g++) {
                count[f][g][s] = 0;
            }
        }
    }

    for (bucket = 0; bucket < dir->buckets; bucket++) {
        (void) ngx_mqtt_dir_sweep(dir, bucket, dead);
    }

    is(compare_all(dir), 0, "sweep: the others are left");
    is(gates_differ(dir), 0, "sweep: gates");

    change_many(dir, 3000, &wrong, &mismatch, &full);

    is(wrong, 0, "sweep: return codes behind it");
    is(mismatch, 0, "sweep: matches behind it");

    memset(dead, 0xff, sizeof(dead));

    for (bucket = 0; bucket < dir->buckets; bucket++) {
        (void) ngx_mqtt_dir_sweep(dir, bucket, dead);
    }

    is(dir->nodes, 0, "sweep: no nodes");
    is(pages_used(dir), 0, "sweep: no pages");

    memset(has, 0, sizeof(has));
    memset(count, 0, sizeof(count));

    is(gates_differ(dir), 0, "sweep: gates of nothing");

    free(dir);
}


static void
group_stalled(void *data, ngx_mqtt_dir_t *dir, ngx_mqtt_dir_node_t *group)
{
    uint32_t                ref;
    unsigned               *stalled = data;
    ngx_mqtt_dir_member_t  *member;

    *stalled = 0;

    for (ref = group->workers; ref; ref = member->next) {
        member = ngx_mqtt_dir_member(dir, ref);

        if (member->stalled) {
            *stalled += member->slot;
        }
    }
}


static unsigned
stalled(ngx_mqtt_dir_t *dir, ngx_str_t *topic)
{
    unsigned  sum;
    uint64_t  none[NGX_MQTT_DIR_WORDS], found[NGX_MQTT_DIR_WORDS];

    memset(none, 0, sizeof(none));
    memset(found, 0, sizeof(found));

    sum = 0;
    ngx_mqtt_dir_match(dir, topic, none, found, group_stalled, &sum);

    return sum;
}


static void
test_stall(void)
{
    ngx_str_t        filter;
    ngx_mqtt_dir_t  *dir;

    dir = create(LARGE);
    filter = str("a");

    ngx_mqtt_dir_stall(dir, &filter, 1, 3, 1);
    is(dir->nodes, 0, "stall: a group that is not there");

    ngx_mqtt_dir_share(dir, &filter, 1, 3, 2);
    ngx_mqtt_dir_share(dir, &filter, 1, 5, 1);
    is(stalled(dir, &filter), 0, "stall: nobody");

    ngx_mqtt_dir_stall(dir, &filter, 1, 5, 1);
    ngx_mqtt_dir_stall(dir, &filter, 1, 6, 1);
    ngx_mqtt_dir_stall(dir, &filter, 2, 3, 1);
    is(stalled(dir, &filter), 5, "stall: one worker");

    ngx_mqtt_dir_share(dir, &filter, 1, 5, 2);
    is(stalled(dir, &filter), 5, "stall: one more member does not change it");

    ngx_mqtt_dir_stall(dir, &filter, 1, 3, 1);
    ngx_mqtt_dir_stall(dir, &filter, 1, 5, 0);
    is(stalled(dir, &filter), 3, "stall: the other one");

    ngx_mqtt_dir_share(dir, &filter, 1, 3, 0);
    ngx_mqtt_dir_share(dir, &filter, 1, 3, 1);
    is(stalled(dir, &filter), 0, "stall: forgotten with the members");

    free(dir);
}


int
main(void)
{
    srand(1);

    test_random(LARGE, "random");
    test_random(SMALL, "full");
    test_sweep();
    test_stall();

    return done_testing();
}
