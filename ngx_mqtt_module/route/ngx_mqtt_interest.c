
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * What this worker wants of other nodes, told to the index in Redis.
 *
 *     w<filter>          subscribers of a filter with wildcards
 *     g<first level>     subscribers of filters below it, which may be many:
 *                        all exact ones, and those with wildcards of whom
 *                        there are too many to be told one by one
 *     s<name>/<filter>   members of a group
 *
 * (1) An interest is told when the first subscription needs it and withdrawn
 *     with the last; the script is not repeated for those in between.
 * (2) One script is under way at a time.  What changes meanwhile goes with the
 *     next one, so that a fleet which connects costs few of them.
 * (3) Messages may have been stored between the SUBACK and the moment when the
 *     other nodes knew: persistent sessions look into their logs once more
 *     when they certainly do, and groups into theirs.
 *
 * Called from: ngx_mqtt_route.c, ngx_mqtt_share.c, Redis replies, the timer of
 * ngx_mqtt_nodes.c.
 */


#include "ngx_mqtt_nodes_int.h"


#define NGX_MQTT_INTEREST_WILDCARDS  1000     /* told one by one */
#define NGX_MQTT_INTEREST_BATCH      200

#define NGX_MQTT_INTEREST_SETTLED    (NGX_MQTT_NODES_POLL * 3 / 2)


/*
 * Not counted: they live until Redis knows.  Behind the struct is the sign
 * that is told, and then the key.
 */

typedef struct {
    ngx_mqtt_hash_node_t      node;        /* in nodes->interests */
    ngx_queue_t               queue;       /* in changed, telling or fresh, or
                                              in none */
    ngx_uint_t                refs;
    ngx_msec_t                told_at;
    unsigned                  told:1;      /* Redis has it */
    unsigned                  telling:1;   /* the sign, in a script */
} ngx_mqtt_interest_t;


#define ngx_mqtt_interest_sign(in)  ((in)->node.key.data[-1])


static ngx_mqtt_interest_t *ngx_mqtt_interest_find(ngx_mqtt_worker_t *w,
    u_char kind, ngx_str_t *name, ngx_str_t *text);
static ngx_mqtt_interest_t *ngx_mqtt_interest_create(ngx_mqtt_worker_t *w,
    u_char kind, ngx_str_t *name, ngx_str_t *text);
static ngx_uint_t ngx_mqtt_interest_gated(ngx_mqtt_worker_t *w,
    ngx_str_t *filter, ngx_str_t *level);
static void ngx_mqtt_interest_changed(ngx_mqtt_worker_t *w,
    ngx_mqtt_interest_t *in);
static void ngx_mqtt_interest_release(ngx_mqtt_worker_t *w,
    ngx_mqtt_interest_t *in);
static void ngx_mqtt_interest_handler(ngx_event_t *ev);
static ngx_uint_t ngx_mqtt_interest_args(ngx_mqtt_worker_t *w,
    ngx_str_t *args);
static void ngx_mqtt_interest_told(ngx_mqtt_op_t *op);
static void ngx_mqtt_interest_finish(ngx_mqtt_worker_t *w,
    ngx_mqtt_interest_t *in, ngx_uint_t told);
static void ngx_mqtt_interest_recheck(ngx_mqtt_worker_t *w,
    ngx_mqtt_interest_t *in);
static void ngx_mqtt_interest_recheck_filter(ngx_mqtt_worker_t *w,
    ngx_mqtt_filter_node_t *node, void *data);


void
ngx_mqtt_interest_init(ngx_mqtt_worker_t *w)
{
    ngx_queue_init(&w->nodes->changed);
    ngx_queue_init(&w->nodes->telling);
    ngx_queue_init(&w->nodes->fresh);

    ngx_mqtt_nodes_event(w, &w->nodes->tell_event, ngx_mqtt_interest_handler);
}


void
ngx_mqtt_interest_free(ngx_mqtt_worker_t *w)
{
    ngx_uint_t             i;
    ngx_mqtt_hash_t       *hash;
    ngx_mqtt_hash_node_t  *node;

    hash = &w->nodes->interests;

    for (i = 0; i < hash->size; i++) {

        while (hash->buckets[i]) {
            node = hash->buckets[i];

            ngx_mqtt_hash_remove(hash, node);
            ngx_free(node);
        }
    }

    ngx_mqtt_hash_free(hash);
}


ngx_int_t
ngx_mqtt_interest_add(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_str_t *name)
{
    u_char                kind;
    ngx_str_t             level, *text;
    ngx_mqtt_interest_t  *in;

    if (w->nodes == NULL) {
        return NGX_OK;
    }

    kind = 's';
    text = filter;

    if (name->len == 0) {
        kind = 'w';

        if (ngx_mqtt_interest_gated(w, filter, &level)) {
            kind = 'g';
            text = &level;
        }
    }

    in = ngx_mqtt_interest_find(w, kind, name, text);

    if (in == NULL) {
        in = ngx_mqtt_interest_create(w, kind, name, text);
        if (in == NULL) {
            return NGX_ERROR;
        }
    }

    if (in->refs++ == 0) {
        ngx_mqtt_interest_changed(w, in);
    }

    return NGX_OK;
}


void
ngx_mqtt_interest_remove(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_str_t *name)
{
    ngx_str_t             rest, level;
    ngx_mqtt_interest_t  *in;

    if (w->nodes == NULL) {
        return;
    }

    in = ngx_mqtt_interest_find(w, name->len ? 's' : 'w', name, filter);

    /* one that was told one by one, or else with its first level */

    if (name->len == 0 && (in == NULL || in->refs == 0)) {
        rest = *filter;
        (void) ngx_mqtt_topic_next_level(&rest, &level);
        in = ngx_mqtt_interest_find(w, 'g', name, &level);
    }

    if (in && in->refs && --in->refs == 0) {
        ngx_mqtt_interest_changed(w, in);
    }
}


static ngx_uint_t
ngx_mqtt_interest_gated(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_str_t *level)
{
    ngx_str_t  rest;

    rest = *filter;
    (void) ngx_mqtt_topic_next_level(&rest, level);

    if (!ngx_mqtt_topic_has_wildcard(filter)) {
        return 1;
    }

    return w->nodes->nwildcards >= NGX_MQTT_INTEREST_WILDCARDS
           && !ngx_mqtt_topic_has_wildcard(level);
}


/* the text of a group is its name, a slash, and the filter */

static ngx_mqtt_interest_t *
ngx_mqtt_interest_find(ngx_mqtt_worker_t *w, u_char kind, ngx_str_t *name,
    ngx_str_t *text)
{
    u_char                *p;
    ngx_str_t              key;
    ngx_mqtt_hash_node_t  *node;

    key.len = 1 + (name->len ? name->len + 1 : 0) + text->len;

    key.data = ngx_mqtt_alloc(w, key.len);
    if (key.data == NULL) {
        return NULL;
    }

    p = key.data;
    *p++ = kind;

    if (name->len) {
        p = ngx_cpymem(p, name->data, name->len);
        *p++ = '/';
    }

    if (text->len) {
        ngx_memcpy(p, text->data, text->len);
    }

    node = ngx_mqtt_hash_find(&w->nodes->interests, &key);

    ngx_mqtt_free(w, key.data, key.len);

    return node ? ngx_queue_data(node, ngx_mqtt_interest_t, node) : NULL;
}


static ngx_mqtt_interest_t *
ngx_mqtt_interest_create(ngx_mqtt_worker_t *w, u_char kind, ngx_str_t *name,
    ngx_str_t *text)
{
    size_t                len;
    u_char               *p;
    ngx_mqtt_interest_t  *in;

    len = 1 + (name->len ? name->len + 1 : 0) + text->len;

    in = ngx_calloc(sizeof(ngx_mqtt_interest_t) + 1 + len, w->log);
    if (in == NULL) {
        return NULL;
    }

    p = (u_char *) in + sizeof(ngx_mqtt_interest_t) + 1;

    in->node.key.len = len;
    in->node.key.data = p;

    *p++ = kind;

    if (name->len) {
        p = ngx_cpymem(p, name->data, name->len);
        *p++ = '/';
    }

    if (text->len) {
        ngx_memcpy(p, text->data, text->len);
    }

    if (ngx_mqtt_hash_insert(&w->nodes->interests, &in->node) != NGX_OK) {
        ngx_free(in);
        return NULL;
    }

    ngx_queue_init(&in->queue);

    w->nodes->nwildcards += (kind == 'w');

    return in;
}


static void
ngx_mqtt_interest_changed(ngx_mqtt_worker_t *w, ngx_mqtt_interest_t *in)
{
    if (in->telling) {
        return;
    }

    ngx_queue_remove(&in->queue);
    ngx_queue_init(&in->queue);

    if (in->told == (in->refs ? 1 : 0)) {
        ngx_mqtt_interest_release(w, in);
        return;
    }

    ngx_queue_insert_tail(&w->nodes->changed, &in->queue);
    ngx_mqtt_interest_tell(w);
}


/* nobody needs it, and nobody was told */

static void
ngx_mqtt_interest_release(ngx_mqtt_worker_t *w, ngx_mqtt_interest_t *in)
{
    if (in->refs || in->told) {
        return;
    }

    w->nodes->nwildcards -= (in->node.key.data[0] == 'w');

    ngx_mqtt_hash_remove(&w->nodes->interests, &in->node);
    ngx_free(in);
}


void
ngx_mqtt_interest_tell(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_nodes_t  *nodes;

    nodes = w->nodes;

    if (!ngx_queue_empty(&nodes->changed)
        && ngx_queue_empty(&nodes->telling)
        && !nodes->left)
    {
        ngx_post_event(&nodes->tell_event, &ngx_posted_events);
    }
}


/* at the end of the turn, for all that has changed in it */

static void
ngx_mqtt_interest_handler(ngx_event_t *ev)
{
    ngx_str_t           argv[NGX_MQTT_NODES_KEYS + 2
                             + NGX_MQTT_INTEREST_BATCH];
    ngx_uint_t          n;
    ngx_mqtt_op_t      *op;
    ngx_mqtt_nodes_t   *nodes;
    ngx_mqtt_worker_t  *w;

    w = ngx_mqtt_event_worker(ev);
    nodes = w->nodes;

    if (ngx_queue_empty(&nodes->changed) || !ngx_queue_empty(&nodes->telling)
        || nodes->left)
    {
        return;
    }

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_interest_told, w);
    if (op == NULL) {
        return;
    }

    ngx_memcpy(argv, nodes->keys, sizeof(nodes->keys));

    argv[NGX_MQTT_NODES_KEYS] = nodes->owner;
    ngx_str_set(&argv[NGX_MQTT_NODES_KEYS + 1], NGX_MQTT_NODES_CHANGES);

    n = NGX_MQTT_NODES_KEYS + 2;
    n += ngx_mqtt_interest_args(w, &argv[n]);

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_NODES_SET,
                          NGX_MQTT_NODES_KEYS, n, argv, 0, op);
}


static ngx_uint_t
ngx_mqtt_interest_args(ngx_mqtt_worker_t *w, ngx_str_t *args)
{
    ngx_uint_t            n;
    ngx_queue_t          *q;
    ngx_mqtt_nodes_t     *nodes;
    ngx_mqtt_interest_t  *in;

    nodes = w->nodes;

    for (n = 0;
         n < NGX_MQTT_INTEREST_BATCH && !ngx_queue_empty(&nodes->changed);
         n++)
    {
        q = ngx_queue_head(&nodes->changed);
        in = ngx_queue_data(q, ngx_mqtt_interest_t, queue);

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&nodes->telling, q);

        in->telling = 1;
        ngx_mqtt_interest_sign(in) = in->refs ? '+' : '-';

        args[n].data = in->node.key.data - 1;
        args[n].len = in->node.key.len + 1;
    }

    return n;
}


/* { version, anew } */

static void
ngx_mqtt_interest_told(ngx_mqtt_op_t *op)
{
    ngx_uint_t               ok;
    ngx_queue_t              telling, *q;
    ngx_mqtt_nodes_t        *nodes;
    ngx_mqtt_worker_t       *w;
    ngx_mqtt_redis_reply_t  *reply;

    w = op->worker;
    nodes = w->nodes;
    reply = op->result;

    ok = (op->rc == NGX_OK
          && reply->type == NGX_MQTT_REDIS_ARRAY && reply->nelts == 2);

    ngx_queue_init(&telling);

    if (!ngx_queue_empty(&nodes->telling)) {
        ngx_queue_add(&telling, &nodes->telling);
        ngx_queue_init(&nodes->telling);
    }

    while (!ngx_queue_empty(&telling)) {
        q = ngx_queue_head(&telling);
        ngx_queue_remove(q);

        ngx_mqtt_interest_finish(w, ngx_queue_data(q, ngx_mqtt_interest_t,
                                                   queue), ok);
    }

    if (!ok) {

        /* the timer tells it again, Redis is asked first */

        return;
    }

    if (reply->elts[1]->integer) {
        ngx_mqtt_interest_anew(w);
    }

    ngx_mqtt_nodes_notify(w);
    ngx_mqtt_interest_tell(w);
}


static void
ngx_mqtt_interest_finish(ngx_mqtt_worker_t *w, ngx_mqtt_interest_t *in,
    ngx_uint_t told)
{
    ngx_queue_init(&in->queue);

    in->telling = 0;

    /* unless Redis has answered it has to be told once more, whatever it is */

    in->told = told ? (ngx_mqtt_interest_sign(in) == '+') : (in->refs == 0);

    if (in->told != (in->refs ? 1 : 0)) {
        ngx_queue_insert_tail(&w->nodes->changed, &in->queue);
        return;
    }

    if (in->told) {
        in->told_at = ngx_current_msec;
        ngx_queue_insert_tail(&w->nodes->fresh, &in->queue);
        return;
    }

    ngx_mqtt_interest_release(w, in);
}


void
ngx_mqtt_interest_anew(ngx_mqtt_worker_t *w)
{
    ngx_uint_t             i;
    ngx_mqtt_hash_t       *hash;
    ngx_mqtt_interest_t   *in;
    ngx_mqtt_hash_node_t  *node, *next;

    hash = &w->nodes->interests;

    for (i = 0; i < hash->size; i++) {

        for (node = hash->buckets[i]; node; node = next) {
            next = node->next;
            in = ngx_queue_data(node, ngx_mqtt_interest_t, node);

            if (in->told) {
                in->told = 0;
                ngx_mqtt_interest_changed(w, in);
            }
        }
    }

    ngx_mqtt_interest_tell(w);
}


void
ngx_mqtt_interest_settle(ngx_mqtt_worker_t *w)
{
    ngx_queue_t          *q;
    ngx_mqtt_nodes_t     *nodes;
    ngx_mqtt_interest_t  *in;

    nodes = w->nodes;

    while (!ngx_queue_empty(&nodes->fresh)) {
        q = ngx_queue_head(&nodes->fresh);
        in = ngx_queue_data(q, ngx_mqtt_interest_t, queue);

        if (ngx_current_msec - in->told_at < NGX_MQTT_INTEREST_SETTLED) {
            return;
        }

        ngx_queue_remove(q);
        ngx_queue_init(q);

        if (nodes->nmembers && w->route) {
            ngx_mqtt_interest_recheck(w, in);
        }
    }
}


static void
ngx_mqtt_interest_recheck(ngx_mqtt_worker_t *w, ngx_mqtt_interest_t *in)
{
    u_char                  *p;
    ngx_str_t                text, name;
    ngx_mqtt_filter_node_t  *node;

    text.data = in->node.key.data + 1;
    text.len = in->node.key.len - 1;

    switch (in->node.key.data[0]) {

    case 'w':
        node = ngx_mqtt_filters_find(&w->route->filters, &text);

        if (node) {
            ngx_mqtt_interest_recheck_filter(w, node, NULL);
        }

        break;

    case 'g':
        ngx_mqtt_filters_each(w, &w->route->filters,
                              ngx_mqtt_interest_recheck_filter, &text);
        break;

    default: /* 's' */
        p = ngx_strlchr(text.data, text.data + text.len, '/');

        if (p) {
            name.data = text.data;
            name.len = p - text.data;

            text.len -= name.len + 1;
            text.data = p + 1;

            ngx_mqtt_group_ready(w, ngx_mqtt_share_id(w, &text, &name));
        }

        break;
    }
}


/* "data" is the first level that it has to have, or NULL */

static void
ngx_mqtt_interest_recheck_filter(ngx_mqtt_worker_t *w,
    ngx_mqtt_filter_node_t *node, void *data)
{
    ngx_str_t *first = data;

    ngx_str_t        rest, level;
    ngx_queue_t     *q;
    ngx_mqtt_sub_t  *sub;

    if (first) {
        rest = node->node.key;
        (void) ngx_mqtt_topic_next_level(&rest, &level);

        if (level.len != first->len
            || ngx_memcmp(level.data, first->data, level.len) != 0)
        {
            return;
        }
    }

    for (q = ngx_queue_head(&node->subs);
         q != ngx_queue_sentinel(&node->subs);
         q = ngx_queue_next(q))
    {
        sub = ngx_queue_data(q, ngx_mqtt_sub_t, queue);

        if (sub->reader) {
            w->hooks->recheck(sub->subscriber);
        }
    }
}
