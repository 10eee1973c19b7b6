
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The filters of a worker: exact ones in a hash, those with wildcards in a
 * trie by level.
 *
 * (1) A trie node lives while a filter ends at it or a child hangs below it.
 * (2) "+" is a child of its own; "#" can only be the last level, so it is a
 *     child without children.
 * (3) The depth of the recursion is the number of levels of the deepest
 *     filter with wildcards, at most NGX_MQTT_TRIE_DEPTH.
 *
 * Called from: route/.  One worker, no locks.
 */


#include "ngx_mqtt_route.h"


struct ngx_mqtt_trie_node_s {
    ngx_mqtt_hash_node_t      node;        /* in parent->children; the level */
    ngx_mqtt_hash_t           children;
    ngx_mqtt_trie_node_t     *plus;
    ngx_mqtt_trie_node_t     *hash;
    ngx_mqtt_trie_node_t     *parent;
    ngx_mqtt_filter_node_t   *filter;      /* ends here, or NULL */
};


typedef struct {
    void                    (*matched)(void *data,
                                       ngx_mqtt_filter_node_t *node);
    void                     *data;
} ngx_mqtt_trie_match_t;


static ngx_mqtt_filter_node_t *ngx_mqtt_filter_create(ngx_mqtt_worker_t *w,
    ngx_str_t *filter);
static void ngx_mqtt_filter_free(ngx_mqtt_worker_t *w,
    ngx_mqtt_filter_node_t *node);
static ngx_mqtt_trie_node_t *ngx_mqtt_trie_child(ngx_mqtt_trie_node_t *parent,
    ngx_str_t *level);
static ngx_mqtt_trie_node_t *ngx_mqtt_trie_add(ngx_mqtt_worker_t *w,
    ngx_mqtt_trie_node_t *parent, ngx_str_t *level);
static void ngx_mqtt_trie_prune(ngx_mqtt_worker_t *w,
    ngx_mqtt_trie_node_t *node);
static ngx_mqtt_filter_node_t *ngx_mqtt_trie_any(ngx_mqtt_trie_node_t *node);
static void ngx_mqtt_trie_free_root(ngx_mqtt_worker_t *w,
    ngx_mqtt_filters_t *filters);
static void ngx_mqtt_trie_each(ngx_mqtt_worker_t *w,
    ngx_mqtt_trie_node_t *node,
    void (*each)(ngx_mqtt_worker_t *w, ngx_mqtt_filter_node_t *node,
    void *data), void *data);
static void ngx_mqtt_trie_match(ngx_mqtt_trie_node_t *node, ngx_str_t rest,
    ngx_mqtt_trie_match_t *match);


ngx_mqtt_filter_node_t *
ngx_mqtt_filters_find(ngx_mqtt_filters_t *filters, ngx_str_t *filter)
{
    ngx_str_t              rest, level;
    ngx_mqtt_hash_node_t  *node;
    ngx_mqtt_trie_node_t  *trie;

    if (!ngx_mqtt_topic_has_wildcard(filter)) {
        node = ngx_mqtt_hash_find(&filters->exact, filter);

        return node ? ngx_queue_data(node, ngx_mqtt_filter_node_t, node)
                    : NULL;
    }

    trie = filters->root;
    rest = *filter;

    while (trie && ngx_mqtt_topic_next_level(&rest, &level)) {
        trie = ngx_mqtt_trie_child(trie, &level);
    }

    return trie ? trie->filter : NULL;
}


ngx_mqtt_filter_node_t *
ngx_mqtt_filters_add(ngx_mqtt_worker_t *w, ngx_mqtt_filters_t *filters,
    ngx_str_t *filter)
{
    ngx_str_t                rest, level, none;
    ngx_mqtt_trie_node_t    *trie, *child;
    ngx_mqtt_filter_node_t  *node;

    node = ngx_mqtt_filter_create(w, filter);
    if (node == NULL) {
        return NULL;
    }

    if (!ngx_mqtt_topic_has_wildcard(filter)) {

        if (ngx_mqtt_hash_insert(&filters->exact, &node->node) != NGX_OK) {
            ngx_mqtt_filter_free(w, node);
            return NULL;
        }

        return node;
    }

    if (filters->root == NULL) {
        ngx_str_null(&none);
        filters->root = ngx_mqtt_trie_add(w, NULL, &none);
    }

    trie = filters->root;
    rest = *filter;

    while (trie && ngx_mqtt_topic_next_level(&rest, &level)) {
        child = ngx_mqtt_trie_child(trie, &level);

        if (child == NULL) {
            child = ngx_mqtt_trie_add(w, trie, &level);

            if (child == NULL) {
                ngx_mqtt_trie_prune(w, trie);
            }
        }

        trie = child;
    }

    if (trie == NULL) {
        ngx_mqtt_filter_free(w, node);
        return NULL;
    }

    trie->filter = node;
    node->trie = trie;
    filters->nwildcards++;

    return node;
}


void
ngx_mqtt_filters_remove(ngx_mqtt_worker_t *w, ngx_mqtt_filters_t *filters,
    ngx_mqtt_filter_node_t *node)
{
    if (node->trie) {
        node->trie->filter = NULL;
        filters->nwildcards--;

        ngx_mqtt_trie_prune(w, node->trie);

        if (filters->nwildcards == 0) {
            ngx_mqtt_trie_free_root(w, filters);
        }

    } else {
        ngx_mqtt_hash_remove(&filters->exact, &node->node);
    }

    ngx_mqtt_filter_free(w, node);
}


void
ngx_mqtt_filters_match(ngx_mqtt_filters_t *filters, ngx_str_t *topic,
    void (*matched)(void *data, ngx_mqtt_filter_node_t *node), void *data)
{
    ngx_mqtt_hash_node_t   *node;
    ngx_mqtt_trie_match_t   match;

    node = ngx_mqtt_hash_find(&filters->exact, topic);

    if (node) {
        matched(data, ngx_queue_data(node, ngx_mqtt_filter_node_t, node));
    }

    if (filters->nwildcards) {
        match.matched = matched;
        match.data = data;

        ngx_mqtt_trie_match(filters->root, *topic, &match);
    }
}


void
ngx_mqtt_filters_each(ngx_mqtt_worker_t *w, ngx_mqtt_filters_t *filters,
    void (*each)(ngx_mqtt_worker_t *w, ngx_mqtt_filter_node_t *node,
    void *data), void *data)
{
    ngx_uint_t             i;
    ngx_mqtt_hash_node_t  *node;

    for (i = 0; i < filters->exact.size; i++) {

        for (node = filters->exact.buckets[i]; node; node = node->next) {
            each(w, ngx_queue_data(node, ngx_mqtt_filter_node_t, node), data);
        }
    }

    if (filters->root) {
        ngx_mqtt_trie_each(w, filters->root, each, data);
    }
}


void
ngx_mqtt_filters_clear(ngx_mqtt_worker_t *w, ngx_mqtt_filters_t *filters)
{
    while (filters->nwildcards) {
        ngx_mqtt_filters_remove(w, filters, ngx_mqtt_trie_any(filters->root));
    }
}


static ngx_mqtt_filter_node_t *
ngx_mqtt_trie_any(ngx_mqtt_trie_node_t *node)
{
    ngx_uint_t             i;
    ngx_mqtt_hash_node_t  *child;

    while (node->filter == NULL) {

        if (node->plus) {
            node = node->plus;
            continue;
        }

        if (node->hash) {
            node = node->hash;
            continue;
        }

        for (i = 0; node->children.buckets[i] == NULL; i++) {
            /* void */
        }

        child = node->children.buckets[i];
        node = ngx_queue_data(child, ngx_mqtt_trie_node_t, node);
    }

    return node->filter;
}


void
ngx_mqtt_filters_free(ngx_mqtt_worker_t *w, ngx_mqtt_filters_t *filters)
{
    if (filters->root) {
        ngx_mqtt_trie_free_root(w, filters);
    }

    ngx_mqtt_hash_free(&filters->exact);
}


static ngx_mqtt_filter_node_t *
ngx_mqtt_filter_create(ngx_mqtt_worker_t *w, ngx_str_t *filter)
{
    ngx_mqtt_filter_node_t  *node;

    node = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_filter_node_t) + filter->len);
    if (node == NULL) {
        return NULL;
    }

    ngx_memzero(node, sizeof(ngx_mqtt_filter_node_t));

    node->node.key.len = filter->len;
    node->node.key.data = (u_char *) node + sizeof(ngx_mqtt_filter_node_t);
    ngx_memcpy(node->node.key.data, filter->data, filter->len);

    ngx_queue_init(&node->subs);

    return node;
}


static void
ngx_mqtt_filter_free(ngx_mqtt_worker_t *w, ngx_mqtt_filter_node_t *node)
{
    ngx_mqtt_free(w, node,
                  sizeof(ngx_mqtt_filter_node_t) + node->node.key.len);
}


static ngx_mqtt_trie_node_t *
ngx_mqtt_trie_child(ngx_mqtt_trie_node_t *parent, ngx_str_t *level)
{
    ngx_mqtt_hash_node_t  *node;

    if (level->len == 1) {

        if (level->data[0] == '+') {
            return parent->plus;
        }

        if (level->data[0] == '#') {
            return parent->hash;
        }
    }

    node = ngx_mqtt_hash_find(&parent->children, level);

    return node ? ngx_queue_data(node, ngx_mqtt_trie_node_t, node) : NULL;
}


static ngx_mqtt_trie_node_t *
ngx_mqtt_trie_add(ngx_mqtt_worker_t *w, ngx_mqtt_trie_node_t *parent,
    ngx_str_t *level)
{
    ngx_mqtt_trie_node_t  *node;

    node = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_trie_node_t) + level->len);
    if (node == NULL) {
        return NULL;
    }

    ngx_memzero(node, sizeof(ngx_mqtt_trie_node_t));

    node->node.key.len = level->len;
    node->node.key.data = (u_char *) node + sizeof(ngx_mqtt_trie_node_t);
    node->parent = parent;

    if (parent == NULL) {
        return node;
    }

    if (level->len) {
        ngx_memcpy(node->node.key.data, level->data, level->len);
    }

    if (level->len == 1 && level->data[0] == '+') {
        parent->plus = node;
        return node;
    }

    if (level->len == 1 && level->data[0] == '#') {
        parent->hash = node;
        return node;
    }

    if (ngx_mqtt_hash_insert(&parent->children, &node->node) != NGX_OK) {
        ngx_mqtt_free(w, node, sizeof(ngx_mqtt_trie_node_t) + level->len);
        return NULL;
    }

    return node;
}


/* frees the node and those above it that nothing needs anymore */

static void
ngx_mqtt_trie_prune(ngx_mqtt_worker_t *w, ngx_mqtt_trie_node_t *node)
{
    ngx_mqtt_trie_node_t  *parent;

    while (node->parent
           && node->filter == NULL
           && node->plus == NULL
           && node->hash == NULL
           && node->children.count == 0)
    {
        parent = node->parent;

        if (parent->plus == node) {
            parent->plus = NULL;

        } else if (parent->hash == node) {
            parent->hash = NULL;

        } else {
            ngx_mqtt_hash_remove(&parent->children, &node->node);
        }

        ngx_mqtt_hash_free(&node->children);
        ngx_mqtt_free(w, node,
                      sizeof(ngx_mqtt_trie_node_t) + node->node.key.len);

        node = parent;
    }
}


/* nothing hangs below it anymore */

static void
ngx_mqtt_trie_free_root(ngx_mqtt_worker_t *w, ngx_mqtt_filters_t *filters)
{
    ngx_mqtt_hash_free(&filters->root->children);
    ngx_mqtt_free(w, filters->root, sizeof(ngx_mqtt_trie_node_t));

    filters->root = NULL;
}


static void
ngx_mqtt_trie_each(ngx_mqtt_worker_t *w, ngx_mqtt_trie_node_t *node,
    void (*each)(ngx_mqtt_worker_t *w, ngx_mqtt_filter_node_t *node,
    void *data), void *data)
{
    ngx_uint_t             i;
    ngx_mqtt_hash_node_t  *child;

    if (node->filter) {
        each(w, node->filter, data);
    }

    if (node->plus) {
        ngx_mqtt_trie_each(w, node->plus, each, data);
    }

    if (node->hash) {
        ngx_mqtt_trie_each(w, node->hash, each, data);
    }

    for (i = 0; i < node->children.size; i++) {

        for (child = node->children.buckets[i]; child; child = child->next) {
            ngx_mqtt_trie_each(w, ngx_queue_data(child, ngx_mqtt_trie_node_t,
                                                 node), each, data);
        }
    }
}


static void
ngx_mqtt_trie_match(ngx_mqtt_trie_node_t *node, ngx_str_t rest,
    ngx_mqtt_trie_match_t *match)
{
    ngx_str_t              level;
    ngx_uint_t             special;
    ngx_mqtt_hash_node_t  *child;

    /* 4.7.2: a wildcard at the first level does not match "$..." */

    special = (node->parent == NULL && rest.len && rest.data[0] == '$');

    if (node->hash && !special) {

        /* also the parent level itself: "a/#" matches "a" */

        match->matched(match->data, node->hash->filter);
    }

    if (!ngx_mqtt_topic_next_level(&rest, &level)) {

        if (node->filter) {
            match->matched(match->data, node->filter);
        }

        return;
    }

    if (node->plus && !special) {
        ngx_mqtt_trie_match(node->plus, rest, match);
    }

    child = ngx_mqtt_hash_find(&node->children, &level);

    if (child) {
        ngx_mqtt_trie_match(ngx_queue_data(child, ngx_mqtt_trie_node_t, node),
                            rest, match);
    }
}
