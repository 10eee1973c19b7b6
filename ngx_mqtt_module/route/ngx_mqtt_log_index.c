
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The index of filters that have a log, as each worker knows it.
 *
 * (1) Redis has the index under a version that grows by one with each change,
 *     and the last changes.  A worker asks what has changed since the version
 *     that it knows, or gets everything if it knows too little.
 * (2) The version that every worker of the node has to know is in the zone.
 *     A worker that is behind takes no publish of QoS 1 or 2 until it has
 *     asked; a version of which nothing is known yet, after a start, counts
 *     as behind.
 * (3) The incarnation, a time, changes when Redis has lost its data.  Older
 *     data, or none, is believed of an answer that was asked for when the
 *     zone was as it is now: no change of ours can be missing in it then.
 *
 * Called from: gateway/ (match), ngx_mqtt_log.c (set), its timer, Redis
 * replies.
 */


#include "ngx_mqtt_log_int.h"
#include "ngx_mqtt_nodes.h"


/* changes that Redis remembers */

#define NGX_MQTT_LOG_CHANGES  1000


/* the first level of exact filters that have logs; its bytes behind it */

typedef struct {
    ngx_mqtt_hash_node_t      node;
} ngx_mqtt_log_level_t;


static void ngx_mqtt_log_matched(void *data, ngx_mqtt_filter_node_t *node);
static void ngx_mqtt_log_level(ngx_str_t *topic, ngx_str_t *level);
static void ngx_mqtt_log_index_changed(ngx_mqtt_op_t *op);
static void ngx_mqtt_log_index_announce(ngx_mqtt_worker_t *w, uint64_t index,
    uint64_t version, ngx_uint_t answer);
static void ngx_mqtt_log_index_answered(ngx_mqtt_op_t *op);
static ngx_int_t ngx_mqtt_log_index_apply(ngx_mqtt_worker_t *w,
    ngx_mqtt_redis_reply_t *reply);
static ngx_int_t ngx_mqtt_log_index_change(ngx_mqtt_worker_t *w,
    ngx_str_t *change);
static ngx_int_t ngx_mqtt_log_index_wildcard(ngx_mqtt_worker_t *w,
    ngx_str_t *filter, ngx_uint_t add);
static ngx_int_t ngx_mqtt_log_index_level(ngx_mqtt_worker_t *w,
    ngx_str_t *level, ngx_uint_t add);
static void ngx_mqtt_log_index_clear(ngx_mqtt_worker_t *w);
static ngx_int_t ngx_mqtt_log_index_number(ngx_mqtt_redis_reply_t *reply,
    uint64_t *number);
static void ngx_mqtt_log_index_timer(ngx_event_t *ev);


/* what the keys of the index end with */

static u_char  ngx_mqtt_log_index_suffixes[NGX_MQTT_LOG_INDEX_KEYS] = {
    'w', 'g', 'v', 's'
};


ngx_int_t
ngx_mqtt_log_index_start(ngx_mqtt_worker_t *w)
{
    u_char           *p;
    size_t            len;
    ngx_str_t        *prefix;
    ngx_uint_t        i;
    ngx_mqtt_logs_t  *logs;

    logs = w->logs;
    prefix = &w->gateway->redis_prefix;
    len = prefix->len + sizeof("{i}w") - 1;

    p = ngx_pnalloc(w->cycle->pool, NGX_MQTT_LOG_INDEX_KEYS * len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_MQTT_LOG_INDEX_KEYS; i++) {
        logs->keys[i].data = p;
        logs->keys[i].len = len;

        p = ngx_sprintf(p, "%V{i}%c", prefix, ngx_mqtt_log_index_suffixes[i]);
    }

    logs->timer.handler = ngx_mqtt_log_index_timer;
    logs->timer.data = &w->ident;
    logs->timer.log = w->log;
    logs->timer.cancelable = 1;

    ngx_add_timer(&logs->timer, NGX_MQTT_LOG_POLL);

    /* before any client can be there: claims go the same way */

    ngx_mqtt_log_index_ask(w);

    return NGX_OK;
}


void
ngx_mqtt_log_index_stop(ngx_mqtt_worker_t *w)
{
    if (w->logs->timer.timer_set) {
        ngx_del_timer(&w->logs->timer);
    }

    ngx_mqtt_log_index_clear(w);
    ngx_mqtt_hash_free(&w->logs->levels);
}


ngx_int_t
ngx_mqtt_log_match(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m)
{
    ngx_str_t              level;
    ngx_mqtt_logs_t       *logs;
    ngx_mqtt_log_match_t  *exact;

    logs = w->logs;

    if (m->qos == 0) {
        return NGX_DECLINED;
    }

    if (ngx_mqtt_log_behind(w)) {
        logs->awaited = 1;
        ngx_mqtt_log_index_ask(w);
        return NGX_BUSY;
    }

    if (logs->wildcards.nwildcards == 0 && logs->levels.count == 0
        && ngx_mqtt_group_count(w) == 0)
    {
        return NGX_DECLINED;
    }

    logs->matches.nelts = 0;

    ngx_mqtt_filters_match(&logs->wildcards, &m->topic, ngx_mqtt_log_matched,
                           logs);

    if (ngx_mqtt_group_count(w)) {
        ngx_mqtt_group_match(w, &m->topic);
    }

    if (logs->levels.count) {
        ngx_mqtt_log_level(&m->topic, &level);

        if (ngx_mqtt_hash_find(&logs->levels, &level)) {
            exact = ngx_array_push(&logs->matches);
            if (exact == NULL) {
                return NGX_BUSY;
            }

            exact->filter = m->topic;
            exact->group = 0;
        }
    }

    if (logs->matches.nelts == 0) {
        return NGX_DECLINED;
    }

    return ngx_mqtt_redis_full(w->redis) ? NGX_BUSY : NGX_OK;
}


ngx_uint_t
ngx_mqtt_log_behind(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_logs_t  *logs;
    ngx_mqtt_zone_t  *zone;

    logs = w->logs;
    zone = ngx_mqtt_zone(w->gateway);

    return logs->index == 0
           || zone->log_index != logs->index
           || zone->log_version > logs->version;
}


static void
ngx_mqtt_log_matched(void *data, ngx_mqtt_filter_node_t *node)
{
    ngx_mqtt_logs_t *logs = data;

    ngx_mqtt_log_match_t  *match;

    match = ngx_array_push(&logs->matches);

    if (match) {
        match->filter = node->node.key;
        match->group = 0;
    }
}


static void
ngx_mqtt_log_level(ngx_str_t *topic, ngx_str_t *level)
{
    ngx_str_t  rest;

    rest = *topic;
    (void) ngx_mqtt_topic_next_level(&rest, level);
}


void
ngx_mqtt_log_index_set(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_str_t *generation, ngx_uint_t add, ngx_mqtt_op_t *op)
{
    u_char            number[NGX_INT64_LEN];
    ngx_str_t         argv[NGX_MQTT_LOG_INDEX_KEYS + 5], *args;
    ngx_mqtt_op_t    *redis_op;
    ngx_mqtt_logs_t  *logs;

    logs = w->logs;

    redis_op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_log_index_changed, op);

    if (redis_op == NULL) {

        if (op) {
            ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_UNSPECIFIED_ERROR);
        }

        return;
    }

    ngx_memcpy(argv, logs->keys, sizeof(logs->keys));
    args = argv + NGX_MQTT_LOG_INDEX_KEYS;

    args[0].len = 1;
    args[0].data = (u_char *) (add ? "+" : "-");

    /* groups are few, all are listed */

    if (ngx_mqtt_topic_has_wildcard(filter) || ngx_mqtt_group_is(filter)) {
        ngx_str_set(&args[1], "w");
        args[2] = *filter;

    } else {
        ngx_str_set(&args[1], "g");
        ngx_mqtt_log_level(filter, &args[2]);
    }

    args[3] = *generation;

    args[4].data = number;
    args[4].len = ngx_sprintf(number, "%d", NGX_MQTT_LOG_CHANGES) - number;

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_FILTERS_SET,
                          NGX_MQTT_LOG_INDEX_KEYS,
                          NGX_MQTT_LOG_INDEX_KEYS + 5, argv,
                          NGX_MQTT_REDIS_WAIT, redis_op);
}


/* { incarnation, version } */

static void
ngx_mqtt_log_index_changed(ngx_mqtt_op_t *op)
{
    uint64_t                 index, version;
    ngx_int_t                rc;
    ngx_mqtt_op_t           *caller;
    ngx_mqtt_redis_reply_t  *reply;

    caller = op->data;
    reply = op->result;
    rc = NGX_ERROR;

    if (op->rc == NGX_OK
        && reply->type == NGX_MQTT_REDIS_ARRAY && reply->nelts == 2
        && ngx_mqtt_log_index_number(reply->elts[0], &index) == NGX_OK
        && ngx_mqtt_log_index_number(reply->elts[1], &version) == NGX_OK)
    {
        ngx_mqtt_log_index_announce(op->worker, index, version, 0);
        ngx_mqtt_nodes_notify(op->worker);
        rc = NGX_OK;
    }

    if (caller) {
        ngx_mqtt_op_complete(caller, rc,
                             (rc == NGX_OK) ? NGX_MQTT_SUCCESS
                                            : NGX_MQTT_UNSPECIFIED_ERROR,
                             NULL);
    }
}


/* no worker of the node may go on with less; ours fetches it at once */

static void
ngx_mqtt_log_index_announce(ngx_mqtt_worker_t *w, uint64_t index,
    uint64_t version, ngx_uint_t answer)
{
    ngx_slab_pool_t  *sp;
    ngx_mqtt_logs_t  *logs;
    ngx_mqtt_zone_t  *zone;

    logs = w->logs;

    zone = ngx_mqtt_zone(w->gateway);
    sp = (ngx_slab_pool_t *) w->gateway->shm_zone->shm.addr;

    ngx_shmtx_lock(&sp->mutex);

    if (zone->log_index < index
        || (zone->log_index == index && zone->log_version < version)
        || (answer && zone->log_index == logs->zone_index
            && zone->log_version == logs->zone_version))
    {
        zone->log_index = index;
        zone->log_version = version;
    }

    ngx_shmtx_unlock(&sp->mutex);

    if (ngx_mqtt_log_behind(w)) {
        ngx_mqtt_log_index_ask(w);
    }
}


void
ngx_mqtt_log_index_ask(ngx_mqtt_worker_t *w)
{
    u_char            numbers[2][NGX_INT64_LEN];
    ngx_str_t         argv[NGX_MQTT_LOG_INDEX_KEYS + 2], *args;
    ngx_mqtt_op_t    *op;
    ngx_mqtt_logs_t  *logs;

    logs = w->logs;

    if (logs->asking) {
        logs->again = 1;
        return;
    }

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_log_index_answered, w);
    if (op == NULL) {
        return;
    }

    logs->asking = 1;
    logs->again = 0;
    logs->zone_index = ngx_mqtt_zone(w->gateway)->log_index;
    logs->zone_version = ngx_mqtt_zone(w->gateway)->log_version;

    ngx_memcpy(argv, logs->keys, sizeof(logs->keys));
    args = argv + NGX_MQTT_LOG_INDEX_KEYS;

    args[0].data = numbers[0];
    args[0].len = ngx_sprintf(numbers[0], "%uL", logs->index) - numbers[0];

    args[1].data = numbers[1];
    args[1].len = ngx_sprintf(numbers[1], "%uL", logs->version) - numbers[1];

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_FILTERS_SINCE,
                          NGX_MQTT_LOG_INDEX_KEYS,
                          NGX_MQTT_LOG_INDEX_KEYS + 2, argv, 0, op);
}


static void
ngx_mqtt_log_index_answered(ngx_mqtt_op_t *op)
{
    ngx_mqtt_logs_t    *logs;
    ngx_mqtt_worker_t  *w;

    w = op->worker;
    logs = w->logs;

    logs->asking = 0;

    /* while Redis is away the timer asks again */

    if (op->rc != NGX_OK
        || ngx_mqtt_log_index_apply(w, op->result) != NGX_OK)
    {
        return;
    }

    if (ngx_mqtt_log_behind(w) || logs->again) {
        ngx_mqtt_log_index_ask(w);
        return;
    }

    ngx_mqtt_group_indexed(w);

    if (logs->awaited) {
        logs->awaited = 0;
        ngx_post_event(&w->resume_event, &ngx_posted_events);
    }
}


/* { incarnation, version, everything, change ... } */

static ngx_int_t
ngx_mqtt_log_index_apply(ngx_mqtt_worker_t *w, ngx_mqtt_redis_reply_t *reply)
{
    uint64_t          index, version;
    ngx_uint_t        i;
    ngx_mqtt_logs_t  *logs;

    logs = w->logs;

    if (reply->type != NGX_MQTT_REDIS_ARRAY || reply->nelts < 3
        || ngx_mqtt_log_index_number(reply->elts[0], &index) != NGX_OK
        || ngx_mqtt_log_index_number(reply->elts[1], &version) != NGX_OK
        || reply->elts[2]->type != NGX_MQTT_REDIS_INTEGER)
    {
        goto failed;
    }

    if (reply->elts[2]->integer) {
        ngx_mqtt_log_index_clear(w);
    }

    for (i = 3; i < reply->nelts; i++) {

        if (reply->elts[i]->type != NGX_MQTT_REDIS_STRING
            || ngx_mqtt_log_index_change(w, &reply->elts[i]->str) != NGX_OK)
        {
            goto failed;
        }
    }

    /* 0: there has never been a log; that is known as well */

    logs->index = index ? index : 1;
    logs->version = version;

    ngx_mqtt_log_index_announce(w, logs->index, version, 1);

    return NGX_OK;

failed:

    /* everything is asked for */

    logs->index = 0;
    logs->version = 0;

    ngx_log_error(NGX_LOG_ERR, w->log, 0,
                  "index of persistent subscriptions was not read");

    return NGX_ERROR;
}


/* "+" or "-", "w" or "g", generation, ":", filter or level */

static ngx_int_t
ngx_mqtt_log_index_change(ngx_mqtt_worker_t *w, ngx_str_t *change)
{
    u_char        *p, *last;
    ngx_int_t      rc;
    ngx_str_t      name;
    ngx_uint_t     add;
    ngx_atomic_t   objects, bytes;

    last = change->data + change->len;
    p = ngx_strlchr(change->data, last, ':');

    if (p == NULL || p - change->data < 2) {
        return NGX_ERROR;
    }

    add = (change->data[0] == '+');

    name.data = p + 1;
    name.len = last - name.data;

    if (change->data[1] == 'g') {
        return ngx_mqtt_log_index_level(w, &name, add);
    }

    /* what is counted goes with the clients, the index lives without any */

    objects = w->counters[NGX_MQTT_STAT_alloc_objects];
    bytes = w->counters[NGX_MQTT_STAT_alloc_bytes];

    rc = ngx_mqtt_group_is(&name)
         ? ngx_mqtt_group_index(w, &name, add)
         : ngx_mqtt_log_index_wildcard(w, &name, add);

    w->counters[NGX_MQTT_STAT_alloc_objects] = objects;
    w->counters[NGX_MQTT_STAT_alloc_bytes] = bytes;

    return rc;
}


static ngx_int_t
ngx_mqtt_log_index_wildcard(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_uint_t add)
{
    ngx_mqtt_logs_t         *logs;
    ngx_mqtt_filter_node_t  *node;

    logs = w->logs;

    node = ngx_mqtt_filters_find(&logs->wildcards, filter);

    if (add) {
        return (node || ngx_mqtt_filters_add(w, &logs->wildcards, filter))
               ? NGX_OK : NGX_ERROR;
    }

    if (node) {
        ngx_mqtt_filters_remove(w, &logs->wildcards, node);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_log_index_level(ngx_mqtt_worker_t *w, ngx_str_t *level,
    ngx_uint_t add)
{
    ngx_mqtt_logs_t       *logs;
    ngx_mqtt_hash_node_t  *node;

    logs = w->logs;

    node = ngx_mqtt_hash_find(&logs->levels, level);

    if (!add) {

        if (node) {
            ngx_mqtt_hash_remove(&logs->levels, node);
            ngx_free(node);
        }

        return NGX_OK;
    }

    if (node) {
        return NGX_OK;
    }

    node = ngx_alloc(sizeof(ngx_mqtt_log_level_t) + level->len, w->log);
    if (node == NULL) {
        return NGX_ERROR;
    }

    node->key.len = level->len;
    node->key.data = (u_char *) node + sizeof(ngx_mqtt_log_level_t);
    ngx_memcpy(node->key.data, level->data, level->len);

    if (ngx_mqtt_hash_insert(&logs->levels, node) != NGX_OK) {
        ngx_free(node);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_mqtt_log_index_clear(ngx_mqtt_worker_t *w)
{
    ngx_uint_t             i;
    ngx_mqtt_logs_t       *logs;
    ngx_atomic_t           objects, bytes;
    ngx_mqtt_hash_node_t  *node;

    logs = w->logs;

    objects = w->counters[NGX_MQTT_STAT_alloc_objects];
    bytes = w->counters[NGX_MQTT_STAT_alloc_bytes];

    ngx_mqtt_filters_clear(w, &logs->wildcards);
    ngx_mqtt_group_clear(w);

    w->counters[NGX_MQTT_STAT_alloc_objects] = objects;
    w->counters[NGX_MQTT_STAT_alloc_bytes] = bytes;

    for (i = 0; i < logs->levels.size; i++) {

        while (logs->levels.buckets[i]) {
            node = logs->levels.buckets[i];

            ngx_mqtt_hash_remove(&logs->levels, node);
            ngx_free(node);
        }
    }
}


static ngx_int_t
ngx_mqtt_log_index_number(ngx_mqtt_redis_reply_t *reply, uint64_t *number)
{
    off_t  n;

    if (reply->type != NGX_MQTT_REDIS_STRING) {
        return NGX_ERROR;
    }

    n = ngx_atoof(reply->str.data, reply->str.len);

    if (n == NGX_ERROR) {
        return NGX_ERROR;
    }

    *number = (uint64_t) n;

    return NGX_OK;
}


static void
ngx_mqtt_log_index_timer(ngx_event_t *ev)
{
    ngx_mqtt_worker_t  *w;

    w = ngx_mqtt_event_worker(ev);

    ngx_mqtt_log_index_ask(w);
    ngx_mqtt_group_tick(w);

    ngx_add_timer(ev, NGX_MQTT_LOG_POLL);
}
