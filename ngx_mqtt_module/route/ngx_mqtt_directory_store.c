
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Nodes of the node's directory: the hash, the trie and the sets of slots;
 * ngx_mqtt_directory_store.h.
 *
 * (1) A node of the trie lives while a slot has its filter or a child hangs
 *     below it; the root lives for ever and is not in the hash.
 * (2) A failed insert leaves nothing behind.
 */


#include "ngx_mqtt_directory_store.h"
#include "ngx_mqtt_hash.h"

#include <ngx_sha1.h>


#define NGX_MQTT_DIR_SHA1        20


/* the name of a node in the hash */

typedef struct {
    uint32_t              parent;
    uint32_t              hash;
    ngx_str_t             text;
    u_char                sha1[NGX_MQTT_DIR_SHA1];
} ngx_mqtt_dir_key_t;


typedef struct {
    uint32_t              node;
    ngx_str_t             rest;
} ngx_mqtt_dir_branch_t;


typedef struct {
    uint64_t                *wanted;
    uint64_t                 found[NGX_MQTT_DIR_WORDS];
    ngx_mqtt_dir_group_pt    group;
    void                    *data;
} ngx_mqtt_dir_match_t;


static uint32_t ngx_mqtt_dir_child(ngx_mqtt_dir_t *dir, uint32_t parent,
    ngx_str_t *level);
static void ngx_mqtt_dir_key(ngx_mqtt_dir_t *dir, ngx_mqtt_dir_key_t *key,
    uint32_t parent, ngx_str_t *text);
static uint32_t ngx_mqtt_dir_lookup(ngx_mqtt_dir_t *dir,
    ngx_mqtt_dir_key_t *key);
static uint32_t ngx_mqtt_dir_unlink(ngx_mqtt_dir_t *dir, uint32_t ref);
static ngx_uint_t ngx_mqtt_dir_needed(ngx_mqtt_dir_node_t *node);
static uint32_t *ngx_mqtt_dir_chain(ngx_mqtt_dir_t *dir, uint32_t hash);
static uint32_t *ngx_mqtt_dir_bucket(ngx_mqtt_dir_t *dir, ngx_uint_t n);
static void ngx_mqtt_dir_grow(ngx_mqtt_dir_t *dir);
static ngx_int_t ngx_mqtt_dir_segment(ngx_mqtt_dir_t *dir, ngx_uint_t n);
static ngx_int_t ngx_mqtt_dir_set(ngx_mqtt_dir_t *dir,
    ngx_mqtt_dir_node_t *node, ngx_uint_t slot);
static ngx_int_t ngx_mqtt_dir_unset(ngx_mqtt_dir_t *dir,
    ngx_mqtt_dir_node_t *node, ngx_uint_t slot);
static void ngx_mqtt_dir_shrink(ngx_mqtt_dir_t *dir, uint32_t *workers);
static void ngx_mqtt_dir_collect(ngx_mqtt_dir_t *dir, uint32_t ref,
    ngx_mqtt_dir_match_t *match);
static void ngx_mqtt_dir_walk(ngx_mqtt_dir_t *dir, ngx_str_t *topic,
    ngx_mqtt_dir_match_t *match);
static ngx_uint_t ngx_mqtt_dir_complete(ngx_mqtt_dir_match_t *match);
static ngx_uint_t ngx_mqtt_dir_take(ngx_mqtt_dir_t *dir,
    ngx_mqtt_dir_node_t *node, uint64_t *slots);


/* where a filter keeps its workers */

#define ngx_mqtt_dir_workers(dir, node)                                       \
    (((node)->workers & NGX_MQTT_DIR_SHARED)                                  \
     ? &ngx_mqtt_dir_shared(dir, node)->workers : &(node)->workers)

#define ngx_mqtt_dir_bitmap(dir, workers)                                     \
    ((uint64_t *) ngx_mqtt_dir_data(dir, (workers) & ~NGX_MQTT_DIR_BITMAP))

#define ngx_mqtt_dir_is(level, c)                                             \
    ((level)->len == 1 && (level)->data[0] == c)


ngx_int_t
ngx_mqtt_dir_format(ngx_mqtt_dir_t *dir, size_t size, uint64_t seed)
{
    if (size < sizeof(ngx_mqtt_dir_t)
        || ngx_mqtt_dir_pages_format(dir, size) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_memzero((void *) dir->gates, sizeof(dir->gates));
    ngx_memzero(dir->groups, sizeof(dir->groups));

    dir->seed = seed;
    dir->nodes = 0;
    dir->buckets = NGX_MQTT_DIR_BUCKETS;
    dir->round = NGX_MQTT_DIR_BUCKETS;

    dir->root = ngx_mqtt_dir_alloc(dir, sizeof(ngx_mqtt_dir_node_t));

    if (dir->root == 0 || ngx_mqtt_dir_segment(dir, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_memzero(ngx_mqtt_dir_node(dir, dir->root),
                sizeof(ngx_mqtt_dir_node_t));

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_dir_insert(ngx_mqtt_dir_t *dir, ngx_str_t *filter, ngx_uint_t slot)
{
    uint32_t              ref;
    ngx_int_t             rc;
    ngx_mqtt_dir_node_t  *node;

    ref = ngx_mqtt_dir_make(dir, filter);

    if (ref == 0) {
        return NGX_ERROR;
    }

    node = ngx_mqtt_dir_node(dir, ref);

    rc = ngx_mqtt_dir_set(dir, node, slot);

    if (rc == NGX_OK) {
        dir->gates[node->gate]++;
    }

    if (rc == NGX_ERROR) {
        ngx_mqtt_dir_prune(dir, ref);
    }

    return rc;
}


ngx_int_t
ngx_mqtt_dir_delete(ngx_mqtt_dir_t *dir, ngx_str_t *filter, ngx_uint_t slot)
{
    uint32_t              ref;
    ngx_mqtt_dir_node_t  *node;

    ref = ngx_mqtt_dir_find(dir, filter);

    if (ref == 0) {
        return NGX_DECLINED;
    }

    node = ngx_mqtt_dir_node(dir, ref);

    if (ngx_mqtt_dir_unset(dir, node, slot) != NGX_OK) {
        return NGX_DECLINED;
    }

    dir->gates[node->gate]--;

    ngx_mqtt_dir_prune(dir, ref);

    return NGX_OK;
}


ngx_uint_t
ngx_mqtt_dir_gate(uint64_t seed, ngx_str_t *topic)
{
    ngx_str_t  rest, level;

    rest = *topic;
    (void) ngx_mqtt_topic_next_level(&rest, &level);

    if (ngx_mqtt_dir_is(&level, '+') || ngx_mqtt_dir_is(&level, '#')) {
        return NGX_MQTT_DIR_GATES;
    }

    return ngx_mqtt_hash_seeded(seed, level.data, level.len)
           & (NGX_MQTT_DIR_GATES - 1);
}


uint32_t
ngx_mqtt_dir_find(ngx_mqtt_dir_t *dir, ngx_str_t *filter)
{
    uint32_t            ref;
    ngx_str_t           rest, level;
    ngx_mqtt_dir_key_t  key;

    if (!ngx_mqtt_topic_has_wildcard(filter)) {
        ngx_mqtt_dir_key(dir, &key, 0, filter);
        return ngx_mqtt_dir_lookup(dir, &key);
    }

    ref = dir->root;
    rest = *filter;

    while (ref && ngx_mqtt_topic_next_level(&rest, &level)) {
        ref = ngx_mqtt_dir_child(dir, ref, &level);
    }

    return ref;
}


uint32_t
ngx_mqtt_dir_make(ngx_mqtt_dir_t *dir, ngx_str_t *filter)
{
    uint32_t    ref, child;
    ngx_str_t   rest, level;
    ngx_uint_t  gate;

    ref = ngx_mqtt_dir_find(dir, filter);

    if (ref) {
        return ref;
    }

    gate = ngx_mqtt_dir_gate(dir->seed, filter);

    if (!ngx_mqtt_topic_has_wildcard(filter)) {
        return ngx_mqtt_dir_add(dir, 0, filter, gate);
    }

    if (ngx_mqtt_topic_levels(filter) > NGX_MQTT_DIR_LEVELS) {
        return 0;
    }

    ref = dir->root;
    rest = *filter;

    while (ngx_mqtt_topic_next_level(&rest, &level)) {
        child = ngx_mqtt_dir_child(dir, ref, &level);

        if (child == 0) {
            child = ngx_mqtt_dir_add(dir, ref, &level, gate);
        }

        if (child == 0) {
            ngx_mqtt_dir_prune(dir, ref);
            return 0;
        }

        ref = child;
    }

    return ref;
}


static uint32_t
ngx_mqtt_dir_child(ngx_mqtt_dir_t *dir, uint32_t parent, ngx_str_t *level)
{
    ngx_mqtt_dir_key_t    key;
    ngx_mqtt_dir_node_t  *node;

    node = ngx_mqtt_dir_node(dir, parent);

    if (ngx_mqtt_dir_is(level, '+')) {
        return node->u.level.plus;
    }

    if (ngx_mqtt_dir_is(level, '#')) {
        return node->u.level.pound;
    }

    if (node->u.level.children == 0) {
        return 0;
    }

    ngx_mqtt_dir_key(dir, &key, parent, level);

    return ngx_mqtt_dir_lookup(dir, &key);
}


static void
ngx_mqtt_dir_key(ngx_mqtt_dir_t *dir, ngx_mqtt_dir_key_t *key,
    uint32_t parent, ngx_str_t *text)
{
    ngx_sha1_t  sha1;

    key->parent = parent;
    key->text = *text;
    key->hash = ngx_mqtt_hash_seeded(dir->seed + parent, text->data,
                                     text->len);

    if (text->len > NGX_MQTT_DIR_NAME) {
        ngx_sha1_init(&sha1);
        ngx_sha1_update(&sha1, text->data, text->len);
        ngx_sha1_final(key->sha1, &sha1);

        key->text.data = key->sha1;
    }
}


#define ngx_mqtt_dir_stored(len)                                              \
    ((len) > NGX_MQTT_DIR_NAME ? NGX_MQTT_DIR_SHA1 : (len))


static uint32_t
ngx_mqtt_dir_lookup(ngx_mqtt_dir_t *dir, ngx_mqtt_dir_key_t *key)
{
    uint32_t              ref;
    ngx_mqtt_dir_node_t  *node;

    for (ref = *ngx_mqtt_dir_chain(dir, key->hash); ref; ref = node->next) {
        node = ngx_mqtt_dir_node(dir, ref);

        if (node->hash == key->hash
            && node->parent == key->parent
            && node->len == key->text.len
            && ngx_memcmp(node->name, key->text.data,
                          ngx_mqtt_dir_stored(node->len))
               == 0)
        {
            return ref;
        }
    }

    return 0;
}


uint32_t
ngx_mqtt_dir_add(ngx_mqtt_dir_t *dir, uint32_t parent, ngx_str_t *text,
    ngx_uint_t gate)
{
    size_t                len;
    uint32_t              ref, *chain;
    ngx_mqtt_dir_key_t    key;
    ngx_mqtt_dir_node_t  *node, *up;

    ngx_mqtt_dir_key(dir, &key, parent, text);

    len = ngx_mqtt_dir_stored(key.text.len);

    ref = ngx_mqtt_dir_alloc(dir, sizeof(ngx_mqtt_dir_node_t) + len);
    if (ref == 0) {
        return 0;
    }

    node = ngx_mqtt_dir_node(dir, ref);

    ngx_memzero(node, sizeof(ngx_mqtt_dir_node_t));

    node->hash = key.hash;
    node->parent = parent;
    node->len = (uint16_t) key.text.len;
    node->gate = (uint16_t) gate;

    if (len) {
        ngx_memcpy(node->name, key.text.data, len);
    }

    chain = ngx_mqtt_dir_chain(dir, key.hash);

    node->next = *chain;
    *chain = ref;

    dir->nodes++;

    if (parent && !(parent & NGX_MQTT_DIR_GROUP)) {
        up = ngx_mqtt_dir_node(dir, parent);

        if (ngx_mqtt_dir_is(text, '+')) {
            up->u.level.plus = ref;

        } else if (ngx_mqtt_dir_is(text, '#')) {
            up->u.level.pound = ref;

        } else {
            up->u.level.children++;
        }
    }

    if (dir->nodes > dir->buckets) {
        ngx_mqtt_dir_grow(dir);
    }

    return ref;
}


uint32_t
ngx_mqtt_dir_find_node(ngx_mqtt_dir_t *dir, uint32_t parent, ngx_str_t *text)
{
    ngx_mqtt_dir_key_t  key;

    ngx_mqtt_dir_key(dir, &key, parent, text);

    return ngx_mqtt_dir_lookup(dir, &key);
}


/* frees the node and those above it that nothing needs anymore */

void
ngx_mqtt_dir_prune(ngx_mqtt_dir_t *dir, uint32_t ref)
{
    uint32_t              parent, *next;
    ngx_mqtt_dir_node_t  *node;

    while (ref && ref != dir->root) {
        node = ngx_mqtt_dir_node(dir, ref);

        if (ngx_mqtt_dir_needed(node)) {
            return;
        }

        next = ngx_mqtt_dir_chain(dir, node->hash);

        while (*next != ref) {
            next = &ngx_mqtt_dir_node(dir, *next)->next;
        }

        *next = node->next;
        dir->nodes--;

        parent = ngx_mqtt_dir_unlink(dir, ref);

        ngx_mqtt_dir_free(dir, ref);

        ref = parent;
    }
}


static uint32_t
ngx_mqtt_dir_unlink(ngx_mqtt_dir_t *dir, uint32_t ref)
{
    uint32_t              parent;
    ngx_mqtt_dir_node_t  *up;

    parent = ngx_mqtt_dir_node(dir, ref)->parent;

    if (parent & NGX_MQTT_DIR_GROUP) {
        return ngx_mqtt_dir_group_unlink(dir, ref);
    }

    if (parent) {
        up = ngx_mqtt_dir_node(dir, parent);

        if (up->u.level.plus == ref) {
            up->u.level.plus = 0;

        } else if (up->u.level.pound == ref) {
            up->u.level.pound = 0;

        } else {
            up->u.level.children--;
        }
    }

    return parent;
}


static ngx_uint_t
ngx_mqtt_dir_needed(ngx_mqtt_dir_node_t *node)
{
    if (node->workers || (node->parent & NGX_MQTT_DIR_GROUP)) {
        return node->workers != 0;
    }

    return node->u.level.children || node->u.level.plus
           || node->u.level.pound;
}


static uint32_t *
ngx_mqtt_dir_chain(ngx_mqtt_dir_t *dir, uint32_t hash)
{
    uint32_t  n;

    n = hash & (2 * dir->round - 1);

    if (n >= dir->buckets) {
        n &= dir->round - 1;
    }

    return ngx_mqtt_dir_bucket(dir, n);
}


static uint32_t *
ngx_mqtt_dir_bucket(ngx_mqtt_dir_t *dir, ngx_uint_t n)
{
    uint32_t  *segments;

    segments = (uint32_t *) ((u_char *) dir + dir->segments);

    return (uint32_t *) ngx_mqtt_dir_data(dir,
                                          segments[n / NGX_MQTT_DIR_BUCKETS])
           + n % NGX_MQTT_DIR_BUCKETS;
}


/* a hash that cannot grow is slow, not wrong */

static void
ngx_mqtt_dir_grow(ngx_mqtt_dir_t *dir)
{
    uint32_t             *from, *to, ref;
    ngx_mqtt_dir_node_t  *node;

    if (dir->buckets % NGX_MQTT_DIR_BUCKETS == 0
        && ngx_mqtt_dir_segment(dir, dir->buckets / NGX_MQTT_DIR_BUCKETS)
           != NGX_OK)
    {
        return;
    }

    from = ngx_mqtt_dir_bucket(dir, dir->buckets - dir->round);
    to = ngx_mqtt_dir_bucket(dir, dir->buckets);

    while (*from) {
        ref = *from;
        node = ngx_mqtt_dir_node(dir, ref);

        if (node->hash & dir->round) {
            *from = node->next;
            node->next = *to;
            *to = ref;

        } else {
            from = &node->next;
        }
    }

    dir->buckets++;

    if (dir->buckets == 2 * dir->round) {
        dir->round = dir->buckets;
    }
}


static ngx_int_t
ngx_mqtt_dir_segment(ngx_mqtt_dir_t *dir, ngx_uint_t n)
{
    uint32_t  ref, *segments;

    if (n >= dir->nsegments) {
        return NGX_ERROR;
    }

    ref = ngx_mqtt_dir_page(dir);

    if (ref == 0) {
        return NGX_ERROR;
    }

    ngx_memzero(ngx_mqtt_dir_data(dir, ref), NGX_MQTT_DIR_PAGE);

    segments = (uint32_t *) ((u_char *) dir + dir->segments);
    segments[n] = ref;

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_dir_set(ngx_mqtt_dir_t *dir, ngx_mqtt_dir_node_t *node,
    ngx_uint_t slot)
{
    uint32_t   ref, *workers;
    uint64_t  *bits;

    workers = ngx_mqtt_dir_workers(dir, node);

    if (*workers == 0) {
        *workers = (uint32_t) slot + 1;
        return NGX_OK;
    }

    if (*workers == slot + 1) {
        return NGX_DECLINED;
    }

    if (!(*workers & NGX_MQTT_DIR_BITMAP)) {
        ref = ngx_mqtt_dir_alloc(dir, NGX_MQTT_DIR_SLOTS / 8);
        if (ref == 0) {
            return NGX_ERROR;
        }

        bits = ngx_mqtt_dir_data(dir, ref);

        ngx_memzero(bits, NGX_MQTT_DIR_SLOTS / 8);
        ngx_mqtt_dir_bit_set(bits, *workers - 1);

        *workers = ref | NGX_MQTT_DIR_BITMAP;
    }

    bits = ngx_mqtt_dir_bitmap(dir, *workers);

    if (ngx_mqtt_dir_bit(bits, slot)) {
        return NGX_DECLINED;
    }

    ngx_mqtt_dir_bit_set(bits, slot);

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_dir_unset(ngx_mqtt_dir_t *dir, ngx_mqtt_dir_node_t *node,
    ngx_uint_t slot)
{
    uint32_t  *workers;
    uint64_t  *bits;

    workers = ngx_mqtt_dir_workers(dir, node);

    if (*workers == slot + 1) {
        *workers = 0;
        return NGX_OK;
    }

    if (!(*workers & NGX_MQTT_DIR_BITMAP)) {
        return NGX_DECLINED;
    }

    bits = ngx_mqtt_dir_bitmap(dir, *workers);

    if (!ngx_mqtt_dir_bit(bits, slot)) {
        return NGX_DECLINED;
    }

    ngx_mqtt_dir_bit_clear(bits, slot);

    ngx_mqtt_dir_shrink(dir, workers);

    return NGX_OK;
}


/* no bitmap for less than two */

static void
ngx_mqtt_dir_shrink(ngx_mqtt_dir_t *dir, uint32_t *workers)
{
    uint32_t     bitmap, last;
    uint64_t    *bits;
    ngx_uint_t   i, n;

    bits = ngx_mqtt_dir_bitmap(dir, *workers);

    n = 0;
    last = 0;

    for (i = 0; i < NGX_MQTT_DIR_SLOTS && n < 2; i++) {

        if (ngx_mqtt_dir_bit(bits, i)) {
            last = (uint32_t) i + 1;
            n++;
        }
    }

    if (n < 2) {
        bitmap = *workers & ~NGX_MQTT_DIR_BITMAP;
        *workers = last;

        ngx_mqtt_dir_free(dir, bitmap);
    }
}


static void
ngx_mqtt_dir_collect(ngx_mqtt_dir_t *dir, uint32_t ref,
    ngx_mqtt_dir_match_t *match)
{
    uint32_t              workers;
    uint64_t             *bits;
    ngx_uint_t            i;
    ngx_mqtt_dir_node_t  *node;

    node = ngx_mqtt_dir_node(dir, ref);
    workers = node->workers;

    if (workers & NGX_MQTT_DIR_SHARED) {
        workers = ngx_mqtt_dir_shared(dir, node)->workers;

        if (match->group) {
            ngx_mqtt_dir_groups(dir, node, match->group, match->data);
        }
    }

    if (workers == 0) {
        return;
    }

    if (!(workers & NGX_MQTT_DIR_BITMAP)) {
        ngx_mqtt_dir_bit_set(match->found, workers - 1);
        return;
    }

    bits = ngx_mqtt_dir_bitmap(dir, workers);

    for (i = 0; i < NGX_MQTT_DIR_WORDS; i++) {
        match->found[i] |= bits[i];
    }
}


void
ngx_mqtt_dir_match(ngx_mqtt_dir_t *dir, ngx_str_t *topic, uint64_t *wanted,
    uint64_t *found, ngx_mqtt_dir_group_pt group, void *data)
{
    uint32_t               ref;
    ngx_uint_t             i;
    ngx_mqtt_dir_key_t     key;
    ngx_mqtt_dir_node_t   *root;
    ngx_mqtt_dir_match_t   match;

    ngx_memzero(match.found, sizeof(match.found));

    match.wanted = wanted;
    match.group = group;
    match.data = data;

    ngx_mqtt_dir_key(dir, &key, 0, topic);

    ref = ngx_mqtt_dir_lookup(dir, &key);

    if (ref) {
        ngx_mqtt_dir_collect(dir, ref, &match);
    }

    root = ngx_mqtt_dir_node(dir, dir->root);

    if ((root->u.level.children || root->u.level.plus || root->u.level.pound)
        && !ngx_mqtt_dir_complete(&match))
    {
        ngx_mqtt_dir_walk(dir, topic, &match);
    }

    for (i = 0; i < NGX_MQTT_DIR_WORDS; i++) {
        found[i] |= match.found[i] & wanted[i];
    }
}


/*
 * Depth first.  A branch that waits is the "+" beside a level that was found
 * by its name: at most one per level.
 */

static void
ngx_mqtt_dir_walk(ngx_mqtt_dir_t *dir, ngx_str_t *topic,
    ngx_mqtt_dir_match_t *match)
{
    uint32_t                ref, child, plus;
    ngx_str_t               rest, level;
    ngx_uint_t              n, special;
    ngx_mqtt_dir_node_t    *node;
    ngx_mqtt_dir_branch_t   branches[NGX_MQTT_DIR_LEVELS];

    /* 4.7.2: a wildcard at the first level does not match "$..." */

    special = (topic->len && topic->data[0] == '$');

    branches[0].node = dir->root;
    branches[0].rest = *topic;
    n = 1;

    while (n && !ngx_mqtt_dir_complete(match)) {
        n--;
        ref = branches[n].node;
        rest = branches[n].rest;

        node = ngx_mqtt_dir_node(dir, ref);

        for ( ;; ) {

            if (node->u.level.pound && !special) {
                ngx_mqtt_dir_collect(dir, node->u.level.pound, match);
            }

            if (!ngx_mqtt_topic_next_level(&rest, &level)) {
                ngx_mqtt_dir_collect(dir, ref, match);
                break;
            }

            child = ngx_mqtt_dir_child(dir, ref, &level);
            plus = special ? 0 : node->u.level.plus;

            special = 0;

            if (child && plus) {
                branches[n].node = plus;
                branches[n].rest = rest;
                n++;
            }

            ref = child ? child : plus;

            if (ref == 0) {
                break;
            }

            node = ngx_mqtt_dir_node(dir, ref);
        }
    }
}


/* never while groups are looked for */

static ngx_uint_t
ngx_mqtt_dir_complete(ngx_mqtt_dir_match_t *match)
{
    ngx_uint_t  i;

    if (match->group) {
        return 0;
    }

    for (i = 0; i < NGX_MQTT_DIR_WORDS; i++) {
        if (match->wanted[i] & ~match->found[i]) {
            return 0;
        }
    }

    return 1;
}


ngx_uint_t
ngx_mqtt_dir_sweep(ngx_mqtt_dir_t *dir, ngx_uint_t bucket, uint64_t *slots)
{
    uint32_t              ref;
    ngx_uint_t            n;
    ngx_mqtt_dir_node_t  *node;

    n = 0;

again:

    for (ref = *ngx_mqtt_dir_bucket(dir, bucket); ref; ref = node->next) {
        node = ngx_mqtt_dir_node(dir, ref);
        n++;

        if (ngx_mqtt_dir_take(dir, node, slots)
            && !ngx_mqtt_dir_needed(node))
        {
            /* others of this bucket may go with it */

            ngx_mqtt_dir_prune(dir, ref);
            goto again;
        }
    }

    return n;
}


static ngx_uint_t
ngx_mqtt_dir_take(ngx_mqtt_dir_t *dir, ngx_mqtt_dir_node_t *node,
    uint64_t *slots)
{
    uint32_t    *workers;
    uint64_t    *bits, word;
    ngx_uint_t   i, n;

    if (node->parent & NGX_MQTT_DIR_GROUP) {
        n = ngx_mqtt_dir_group_take(dir, node, slots);
        dir->gates[node->gate] -= (uint32_t) n;
        return n;
    }

    workers = ngx_mqtt_dir_workers(dir, node);

    if (*workers == 0) {
        return 0;
    }

    if (!(*workers & NGX_MQTT_DIR_BITMAP)) {

        if (!ngx_mqtt_dir_bit(slots, *workers - 1)) {
            return 0;
        }

        *workers = 0;
        dir->gates[node->gate]--;

        return 1;
    }

    bits = ngx_mqtt_dir_bitmap(dir, *workers);
    n = 0;

    for (i = 0; i < NGX_MQTT_DIR_WORDS; i++) {

        for (word = bits[i] & slots[i]; word; word &= word - 1) {
            n++;
        }

        bits[i] &= ~slots[i];
    }

    if (n) {
        dir->gates[node->gate] -= (uint32_t) n;
        ngx_mqtt_dir_shrink(dir, workers);
    }

    return n;
}
