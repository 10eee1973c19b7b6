
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The store of the node's directory against a slow model: a list of pairs
 * (filter, slot), matched one by one.
 */

/* sources: route/ngx_mqtt_directory_store.c wire/ngx_mqtt_topic.c */
/* sources: route/ngx_mqtt_directory_pages.c */
/* sources: route/ngx_mqtt_directory_groups.c */


#include "tap.h"
#include "ngx_mqtt_directory_store.h"

#include <stdlib.h>


#define SEED      0x5bd1e995
#define FILTERS   700
#define SLOTS     7
#define LARGE     (16 * 1024 * 1024)
#define SMALL     (sizeof(ngx_mqtt_dir_t) + 12 * NGX_MQTT_DIR_PAGE)


static uint64_t  slots[SLOTS] = { 0, 1, 63, 64, 130, 254, 255 };

static ngx_str_t  filters[FILTERS];
static u_char     has[FILTERS][SLOTS];
static uint64_t   all[NGX_MQTT_DIR_WORDS];


static ngx_mqtt_dir_t *
create(size_t size)
{
    ngx_mqtt_dir_t  *dir;

    /* garbage, as a killed worker may leave it */

    dir = malloc(size);
    memset(dir, 0xa5, size);

    if (ngx_mqtt_dir_format(dir, size, SEED) != NGX_OK) {
        printf("Bail out! cannot format\n");
        exit(1);
    }

    memset(has, 0, sizeof(has));

    return dir;
}


/* few names, so that filters and topics meet; some are longer than a node */

static ngx_str_t
make(int wildcards)
{
    static const char  *names[] = { "a", "b", "", "sensors", "$SYS", "c/d" };

    u_char     *p;
    size_t      len;
    ngx_str_t   text;
    int         n, levels, more;

    text.data = malloc(8192);
    p = text.data;
    levels = 1 + rand() % 5;

    for (n = 0; n < levels; n++) {
        more = 1;

        if (n) {
            *p++ = '/';
        }

        if (wildcards && rand() % 4 == 0) {
            *p++ = '+';

        } else if (wildcards && n == levels - 1 && rand() % 3 == 0) {
            *p++ = '#';

        } else if (rand() % 10 == 0) {
            len = 100 + rand() % 300;
            memset(p, 'x', len);
            p += len;

        } else {
            len = rand() % 6;
            p += sprintf((char *) p, "%s", names[len]);
            more = rand() % 3;

            if (more == 0) {
                p += sprintf((char *) p, "%d", rand() % 20);
            }
        }
    }

    if (p == text.data) {
        *p++ = 'a';
    }

    text.len = p - text.data;

    return text;
}


static int
same(ngx_str_t *a, ngx_str_t *b)
{
    return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}


/* valid and different ones */

static void
make_filters(void)
{
    int        i, j;
    ngx_str_t  f;

    i = 0;

    while (i < FILTERS) {
        f = make(i % 2);

        for (j = 0; j < i; j++) {
            if (same(&filters[j], &f)) {
                break;
            }
        }

        if (j == i && ngx_mqtt_topic_filter_check(&f, NULL) == NGX_OK) {
            filters[i++] = f;

        } else {
            free(f.data);
        }
    }
}


static void
expect(ngx_str_t *topic, uint64_t *bits)
{
    int  i, s;

    memset(bits, 0, sizeof(uint64_t) * NGX_MQTT_DIR_WORDS);

    for (i = 0; i < FILTERS; i++) {

        if (!ngx_mqtt_topic_match(&filters[i], topic)) {
            continue;
        }

        for (s = 0; s < SLOTS; s++) {
            if (has[i][s]) {
                ngx_mqtt_dir_bit_set(bits, slots[s]);
            }
        }
    }
}


static int
compare(ngx_mqtt_dir_t *dir, int n)
{
    int        wrong;
    uint64_t   found[NGX_MQTT_DIR_WORDS], expected[NGX_MQTT_DIR_WORDS];
    ngx_str_t  topic;

    for (wrong = 0; n; n--) {
        topic = make(0);

        memset(found, 0, sizeof(found));
        ngx_mqtt_dir_match(dir, &topic, all, found, NULL, NULL);

        expect(&topic, expected);

        if (memcmp(found, expected, sizeof(found)) != 0) {
            wrong++;
        }

        free(topic.data);
    }

    return wrong;
}


static unsigned
gates(ngx_mqtt_dir_t *dir)
{
    unsigned  i, n;

    for (i = 0, n = 0; i <= NGX_MQTT_DIR_GATES; i++) {
        n += dir->gates[i];
    }

    return n;
}


static unsigned
pairs(void)
{
    int  i, s, n;

    for (i = 0, n = 0; i < FILTERS; i++) {
        for (s = 0; s < SLOTS; s++) {
            n += has[i][s];
        }
    }

    return n;
}


/* pages that are neither free nor of the hash nor the root's */

static unsigned
pages_used(ngx_mqtt_dir_t *dir)
{
    uint32_t              n, p;
    ngx_mqtt_dir_page_t  *page;

    n = dir->top - 1 - 1;
    n -= (dir->buckets + NGX_MQTT_DIR_BUCKETS - 1) / NGX_MQTT_DIR_BUCKETS;

    page = (ngx_mqtt_dir_page_t *) ((u_char *) dir + dir->descriptors);

    for (p = dir->free; p; p = page[p].next) {
        n--;
    }

    return n;
}


static int
change(ngx_mqtt_dir_t *dir, int i, int s, int want, unsigned *full)
{
    int        rc, expected;
    unsigned   before;

    before = gates(dir);

    if (want) {
        rc = ngx_mqtt_dir_insert(dir, &filters[i], slots[s]);
        expected = has[i][s] ? NGX_DECLINED : NGX_OK;

        if (rc == NGX_ERROR && expected == NGX_OK) {
            (*full)++;
            return gates(dir) != before;
        }

    } else {
        rc = ngx_mqtt_dir_delete(dir, &filters[i], slots[s]);
        expected = has[i][s] ? NGX_OK : NGX_DECLINED;
    }

    has[i][s] = want;

    return rc != expected;
}


static void
test_random(void)
{
    int              i, wrong, mismatch;
    unsigned         full;
    ngx_mqtt_dir_t  *dir;

    dir = create(LARGE);
    wrong = 0;
    mismatch = 0;
    full = 0;

    for (i = 0; i < 30000; i++) {
        wrong += change(dir, rand() % FILTERS, rand() % SLOTS,
                        rand() % 10 < (i / 5000 % 2 ? 3 : 7), &full);

        if (i % 50 == 0) {
            mismatch += compare(dir, 1);
        }
    }

    is(wrong, 0, "random: return codes");
    is(mismatch, 0, "random: matches");
    is(full, 0, "random: never full");
    is(gates(dir), pairs(), "random: gates");

    for (i = 0; i < FILTERS * SLOTS; i++) {
        wrong += change(dir, i / SLOTS, i % SLOTS, 0, &full);
    }

    is(wrong, 0, "emptied: return codes");
    is(compare(dir, 20), 0, "emptied: matches nothing");
    is(dir->nodes, 0, "emptied: no nodes");
    is(gates(dir), 0, "emptied: gates");
    is(pages_used(dir), 0, "emptied: no pages");

    free(dir);
}


static void
test_full(void)
{
    int              i, wrong;
    unsigned         full;
    ngx_mqtt_dir_t  *dir;

    dir = create(SMALL);
    wrong = 0;
    full = 0;

    for (i = 0; i < 20000; i++) {
        wrong += change(dir, rand() % FILTERS, rand() % SLOTS,
                        rand() % 10 < 7, &full);
    }

    ok(full > 0, "full: %u times", full);
    is(wrong, 0, "full: return codes");
    is(compare(dir, 200), 0, "full: matches");
    is(gates(dir), pairs(), "full: gates");

    for (i = 0; i < FILTERS * SLOTS; i++) {
        wrong += change(dir, i / SLOTS, i % SLOTS, 0, &full);
    }

    is(wrong, 0, "full, emptied: return codes");
    is(dir->nodes, 0, "full, emptied: no nodes");
    is(pages_used(dir), 0, "full, emptied: no pages");

    free(dir);
}


/* the hash grows while buckets are swept */

static void
test_sweep(void)
{
    int              i, n, wrong;
    char             text[32];
    uint64_t         dead[NGX_MQTT_DIR_WORDS];
    unsigned         bucket, full;
    ngx_str_t        extra;
    ngx_mqtt_dir_t  *dir;

    dir = create(LARGE);
    wrong = 0;
    full = 0;

    for (i = 0; i < FILTERS * SLOTS; i++) {
        if (rand() % 2) {
            wrong += change(dir, i / SLOTS, i % SLOTS, 1, &full);
        }
    }

    memset(dead, 0, sizeof(dead));
    ngx_mqtt_dir_bit_set(dead, slots[1]);
    ngx_mqtt_dir_bit_set(dead, slots[4]);

    for (bucket = 0, n = 0; bucket < dir->buckets; bucket++) {
        (void) ngx_mqtt_dir_sweep(dir, bucket, dead);

        extra.data = (u_char *) text;
        extra.len = sprintf(text, "extra/%d", n);

        if (n++ < 5000) {
            wrong += ngx_mqtt_dir_insert(dir, &extra, slots[0]) != NGX_OK;
        }
    }

    for (i = 0; i < FILTERS; i++) {
        has[i][1] = 0;
        has[i][4] = 0;
    }

    n = ngx_min(n, 5000);

    ok(dir->buckets > NGX_MQTT_DIR_BUCKETS, "sweep: the hash has grown");
    is(wrong, 0, "sweep: return codes");
    is(compare(dir, 500), 0, "sweep: matches");
    is(gates(dir), pairs() + n, "sweep: gates");

    for (i = 0; i < n; i++) {
        extra.len = sprintf(text, "extra/%d", i);
        wrong += ngx_mqtt_dir_delete(dir, &extra, slots[0]) != NGX_OK;
    }

    memset(dead, 0xff, sizeof(dead));

    for (bucket = 0; bucket < dir->buckets; bucket++) {
        (void) ngx_mqtt_dir_sweep(dir, bucket, dead);
    }

    is(wrong, 0, "sweep: deleted");
    is(dir->nodes, 0, "sweep: no nodes");
    is(gates(dir), 0, "sweep: gates of nothing");
    is(pages_used(dir), 0, "sweep: no pages");

    free(dir);
}


/* who publishes looks at the gate first */

static void
test_gates(void)
{
    int         i, n, wrong;
    unsigned    full;
    uint64_t    found[NGX_MQTT_DIR_WORDS];
    ngx_str_t   topic;
    ngx_uint_t  gate;

    ngx_mqtt_dir_t  *dir;

    dir = create(LARGE);
    wrong = 0;
    full = 0;
    n = 0;

    for (i = 0; i < 20000; i++) {
        (void) change(dir, rand() % FILTERS, rand() % SLOTS,
                      i / 500 % 3 == 0, &full);

        topic = make(0);
        gate = ngx_mqtt_dir_gate(SEED, &topic);

        if (dir->gates[gate] == 0
            && (topic.data[0] == '$' || dir->gates[NGX_MQTT_DIR_GATES] == 0))
        {
            memset(found, 0, sizeof(found));
            expect(&topic, found);

            n++;
            wrong += (found[0] | found[1] | found[2] | found[3]) != 0;
        }

        free(topic.data);
    }

    ok(n > 100, "gates: %d times closed", n);
    is(wrong, 0, "gates: never closed for a filter that matches");

    free(dir);
}


static void
test_memory(void)
{
    char             text[64];
    unsigned         n;
    ngx_str_t        filter;
    ngx_mqtt_dir_t  *dir;

    dir = create(LARGE);

    filter.data = (u_char *) text;

    for (n = 0; n < 1000000; n++) {
        filter.len = sprintf(text, "command/vehicle/%08u/#mid", n);
        filter.data[filter.len - 4] = 'x';

        if (ngx_mqtt_dir_insert(dir, &filter, n % 4) != NGX_OK) {
            break;
        }
    }

    ok(LARGE / n <= 72, "memory: %u bytes for a filter of %u",
       (unsigned) (LARGE / n), (unsigned) filter.len);
    ok(dir->buckets >= n * 99 / 100, "memory: a bucket for each");

    n = 0;
    filter.len = NGX_MQTT_DIR_LEVELS * 2 + 1;
    filter.data = malloc(filter.len);

    for (n = 0; n < filter.len; n++) {
        filter.data[n] = (n & 1) ? '/' : '+';
    }

    ngx_mqtt_dir_format(dir, LARGE, SEED);

    is(ngx_mqtt_dir_insert(dir, &filter, 1), NGX_ERROR,
       "levels: one too many");
    is(dir->nodes, 0, "levels: nothing is left");

    filter.len -= 2;

    is(ngx_mqtt_dir_insert(dir, &filter, 1), NGX_OK, "levels: as many");
    is(dir->nodes, NGX_MQTT_DIR_LEVELS, "levels: a node for each");

    free(filter.data);
    free(dir);
}


int
main(void)
{
    ngx_mqtt_dir_t  *dir;

    srand(1);
    make_filters();
    memset(all, 0xff, sizeof(all));

    dir = malloc(SMALL);
    is(ngx_mqtt_dir_format(dir, sizeof(ngx_mqtt_dir_t) + 1000, SEED),
       NGX_ERROR, "format: too small");
    free(dir);

    test_random();
    test_full();
    test_sweep();
    test_gates();
    test_memory();

    return done_testing();
}
