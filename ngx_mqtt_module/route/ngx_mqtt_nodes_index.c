
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The index of what all workers want, as each worker knows it: the workers of
 * other nodes with their filters, first levels and groups.
 *
 * (1) A filter has the workers that want it in its "subs", a group the workers
 *     that have members of it; whatever wants nothing any more is freed.
 * (2) Of our own node nothing is kept: the bus and the directory do that.
 * (3) When Redis has lost the index, or has an older one, what is known stays
 *     until everybody has had the time to tell it again.
 *
 * Called from: ngx_mqtt_nodes.c.
 */


#include "ngx_mqtt_nodes_int.h"


static ngx_int_t ngx_mqtt_nodes_number(ngx_mqtt_redis_reply_t *reply,
    uint64_t *number);
static ngx_int_t ngx_mqtt_nodes_change(ngx_mqtt_worker_t *w,
    ngx_str_t *change);
static void ngx_mqtt_nodes_present(ngx_mqtt_worker_t *w,
    ngx_mqtt_member_t *member, ngx_uint_t present);
static ngx_int_t ngx_mqtt_nodes_what(ngx_mqtt_worker_t *w,
    ngx_mqtt_member_t *member, ngx_str_t *what, ngx_uint_t add);
static ngx_mqtt_want_t *ngx_mqtt_want_find(ngx_mqtt_member_t *member,
    ngx_mqtt_filter_node_t *node, ngx_str_t *name);
static ngx_int_t ngx_mqtt_want_add(ngx_mqtt_worker_t *w,
    ngx_mqtt_member_t *member, ngx_mqtt_filters_t *filters, ngx_str_t *filter,
    ngx_str_t *name);
static ngx_mqtt_share_t *ngx_mqtt_want_group(ngx_mqtt_filter_node_t *node,
    ngx_str_t *name);
static ngx_mqtt_share_t *ngx_mqtt_want_share(ngx_mqtt_worker_t *w,
    ngx_mqtt_filter_node_t *node, ngx_str_t *name);
static void ngx_mqtt_want_remove(ngx_mqtt_worker_t *w,
    ngx_mqtt_want_t *want);
static void ngx_mqtt_want_prune(ngx_mqtt_worker_t *w,
    ngx_mqtt_filters_t *filters, ngx_mqtt_filter_node_t *node);


/* { incarnation, version, anew, everything, change ... } */

ngx_int_t
ngx_mqtt_nodes_apply(ngx_mqtt_worker_t *w, ngx_mqtt_redis_reply_t *reply)
{
    uint64_t           index, version;
    ngx_int_t          rc;
    ngx_uint_t         i, lost;
    ngx_atomic_t       objects, bytes;
    ngx_mqtt_nodes_t  *nodes;

    nodes = w->nodes;

    if (reply->type != NGX_MQTT_REDIS_ARRAY || reply->nelts < 4
        || ngx_mqtt_nodes_number(reply->elts[0], &index) != NGX_OK
        || ngx_mqtt_nodes_number(reply->elts[1], &version) != NGX_OK
        || reply->elts[2]->type != NGX_MQTT_REDIS_INTEGER
        || reply->elts[3]->type != NGX_MQTT_REDIS_INTEGER)
    {
        goto failed;
    }

    rc = reply->elts[2]->integer ? NGX_AGAIN : NGX_OK;

    lost = (nodes->index
            && (nodes->index != index || version < nodes->version));

    if (lost) {

        /* what we have told may not be there, and ids may begin anew */

        ngx_mqtt_inbox_rewind(w);

        nodes->lost = 1;
        nodes->lost_at = ngx_current_msec;
        rc = NGX_AGAIN;
    }

    /* what is counted goes with the clients, this lives without any */

    objects = w->counters[NGX_MQTT_STAT_alloc_objects];
    bytes = w->counters[NGX_MQTT_STAT_alloc_bytes];

    if (reply->elts[3]->integer && !lost) {
        ngx_mqtt_nodes_clear(w);
    }

    for (i = 4; i < reply->nelts; i++) {

        if (reply->elts[i]->type != NGX_MQTT_REDIS_STRING
            || ngx_mqtt_nodes_change(w, &reply->elts[i]->str) != NGX_OK)
        {
            break;
        }
    }

    w->counters[NGX_MQTT_STAT_alloc_objects] = objects;
    w->counters[NGX_MQTT_STAT_alloc_bytes] = bytes;

    if (i < reply->nelts) {
        goto failed;
    }

    nodes->index = index;
    nodes->version = version;

    return rc;

failed:

    /* everything is asked for */

    nodes->version = 0;
    nodes->index = 0;

    ngx_log_error(NGX_LOG_ERR, w->log, 0,
                  "index of the subscriptions of other nodes was not read");

    return NGX_ERROR;
}


static ngx_int_t
ngx_mqtt_nodes_number(ngx_mqtt_redis_reply_t *reply, uint64_t *number)
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


/* "+" or "-", owner, and maybe " " and what it wants */

static ngx_int_t
ngx_mqtt_nodes_change(ngx_mqtt_worker_t *w, ngx_str_t *change)
{
    u_char             *p, *last;
    ngx_str_t           owner, what;
    ngx_uint_t          add;
    ngx_mqtt_peer_t     peer;
    ngx_mqtt_member_t  *member;

    if (change->len == 0) {
        return NGX_ERROR;
    }

    add = (change->data[0] == '+');

    last = change->data + change->len;
    owner.data = change->data + 1;

    p = ngx_strlchr(owner.data, last, ' ');
    owner.len = (p ? p : last) - owner.data;

    if (ngx_mqtt_peer_parse(w, &owner, &peer) != NGX_OK) {
        return NGX_ERROR;
    }

    if (peer.node == 0) {
        return NGX_OK;
    }

    member = ngx_mqtt_nodes_member(w, &peer);

    if (member == NULL) {
        return NGX_ERROR;
    }

    if (p == NULL) {
        ngx_mqtt_nodes_present(w, member, add);
        return NGX_OK;
    }

    what.data = p + 1;
    what.len = last - what.data;

    return ngx_mqtt_nodes_what(w, member, &what, add);
}


static void
ngx_mqtt_nodes_present(ngx_mqtt_worker_t *w, ngx_mqtt_member_t *member,
    ngx_uint_t present)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(&member->wants)) {
        q = ngx_queue_head(&member->wants);
        ngx_mqtt_want_remove(w, ngx_queue_data(q, ngx_mqtt_want_t, wants));
    }

    if (member->present != present) {
        member->present = present;
        w->nodes->nmembers += present ? 1 : -1;
    }

    /* nobody has to wait any more for one that is dead */

    if (!present && member->length) {
        member->length = 0;
        ngx_post_event(&w->resume_event, &ngx_posted_events);
    }

    /* its last frames may still be in our inbox, and claims name it */

    member->used = ngx_time();
}


static ngx_int_t
ngx_mqtt_nodes_what(ngx_mqtt_worker_t *w, ngx_mqtt_member_t *member,
    ngx_str_t *what, ngx_uint_t add)
{
    u_char                  *p, *last, kind;
    ngx_str_t                filter, name;
    ngx_mqtt_want_t         *want;
    ngx_mqtt_filters_t      *filters;
    ngx_mqtt_filter_node_t  *node;

    if (what->len == 0) {
        return NGX_ERROR;
    }

    kind = what->data[0];
    last = what->data + what->len;

    filters = (kind == 'g') ? &w->nodes->levels : &w->nodes->filters;
    ngx_str_null(&name);

    filter.data = what->data + 1;
    filter.len = last - filter.data;

    if (kind == 's') {
        p = ngx_strlchr(filter.data, last, '/');

        if (p == NULL || p == filter.data) {
            return NGX_ERROR;
        }

        name.data = filter.data;
        name.len = p - filter.data;

        filter.data = p + 1;
        filter.len = last - filter.data;
    }

    node = ngx_mqtt_filters_find(filters, &filter);
    want = node ? ngx_mqtt_want_find(member, node, &name) : NULL;

    if (add) {
        return want ? NGX_OK : ngx_mqtt_want_add(w, member, filters, &filter,
                                                 &name);
    }

    if (want) {
        ngx_mqtt_want_remove(w, want);
    }

    return NGX_OK;
}


static ngx_mqtt_want_t *
ngx_mqtt_want_find(ngx_mqtt_member_t *member, ngx_mqtt_filter_node_t *node,
    ngx_str_t *name)
{
    ngx_queue_t       *q, *queue;
    ngx_mqtt_want_t   *want;
    ngx_mqtt_share_t  *share;

    queue = &node->subs;

    if (name->len) {
        share = ngx_mqtt_want_group(node, name);

        if (share == NULL) {
            return NULL;
        }

        queue = &share->members;
    }

    for (q = ngx_queue_head(queue);
         q != ngx_queue_sentinel(queue);
         q = ngx_queue_next(q))
    {
        want = ngx_queue_data(q, ngx_mqtt_want_t, queue);

        if (want->member == member) {
            return want;
        }
    }

    return NULL;
}


static ngx_int_t
ngx_mqtt_want_add(ngx_mqtt_worker_t *w, ngx_mqtt_member_t *member,
    ngx_mqtt_filters_t *filters, ngx_str_t *filter, ngx_str_t *name)
{
    ngx_mqtt_want_t         *want;
    ngx_mqtt_share_t        *share;
    ngx_mqtt_filter_node_t  *node;

    node = ngx_mqtt_filters_find(filters, filter);

    if (node == NULL) {
        node = ngx_mqtt_filters_add(w, filters, filter);
        if (node == NULL) {
            return NGX_ERROR;
        }
    }

    share = name->len ? ngx_mqtt_want_share(w, node, name) : NULL;
    want = ngx_alloc(sizeof(ngx_mqtt_want_t), w->log);

    if (want == NULL || (name->len && share == NULL)) {

        if (want) {
            ngx_free(want);
        }

        ngx_mqtt_want_prune(w, filters, node);
        return NGX_ERROR;
    }

    want->member = member;
    want->filters = filters;
    want->filter = node;
    want->share = share;

    if (share) {
        share->nmembers++;
        ngx_queue_insert_tail(&share->members, &want->queue);

    } else {
        ngx_queue_insert_tail(&node->subs, &want->queue);
    }

    ngx_queue_insert_tail(&member->wants, &want->wants);
    w->nodes->nwants++;

    return NGX_OK;
}


static ngx_mqtt_share_t *
ngx_mqtt_want_group(ngx_mqtt_filter_node_t *node, ngx_str_t *name)
{
    ngx_mqtt_share_t  *share;

    for (share = node->shares; share; share = share->next) {

        if (share->name.len == name->len
            && ngx_memcmp(share->name.data, name->data, name->len) == 0)
        {
            break;
        }
    }

    return share;
}


static ngx_mqtt_share_t *
ngx_mqtt_want_share(ngx_mqtt_worker_t *w, ngx_mqtt_filter_node_t *node,
    ngx_str_t *name)
{
    ngx_mqtt_share_t  *share;

    share = ngx_mqtt_want_group(node, name);

    if (share) {
        return share;
    }

    share = ngx_calloc(sizeof(ngx_mqtt_share_t) + name->len, w->log);
    if (share == NULL) {
        return NULL;
    }

    ngx_queue_init(&share->members);

    share->id = ngx_mqtt_share_id(w, &node->node.key, name);
    share->name.len = name->len;
    share->name.data = (u_char *) share + sizeof(ngx_mqtt_share_t);
    ngx_memcpy(share->name.data, name->data, name->len);

    share->next = node->shares;
    node->shares = share;

    return share;
}


static void
ngx_mqtt_want_remove(ngx_mqtt_worker_t *w, ngx_mqtt_want_t *want)
{
    ngx_queue_remove(&want->queue);
    ngx_queue_remove(&want->wants);

    if (want->share) {
        want->share->nmembers--;
    }

    ngx_mqtt_want_prune(w, want->filters, want->filter);

    w->nodes->nwants--;

    ngx_free(want);
}


static void
ngx_mqtt_want_prune(ngx_mqtt_worker_t *w, ngx_mqtt_filters_t *filters,
    ngx_mqtt_filter_node_t *node)
{
    ngx_mqtt_share_t  *share, **next;

    next = &node->shares;

    while (*next) {
        share = *next;

        if (share->nmembers) {
            next = &share->next;
            continue;
        }

        *next = share->next;
        ngx_free(share);
    }

    if (ngx_queue_empty(&node->subs) && node->shares == NULL) {
        ngx_mqtt_filters_remove(w, filters, node);
    }
}


/* nobody is present; what is known of the frames of each stays */

void
ngx_mqtt_nodes_clear(ngx_mqtt_worker_t *w)
{
    ngx_queue_t        *q;
    ngx_atomic_t        objects, bytes;
    ngx_mqtt_nodes_t   *nodes;
    ngx_mqtt_member_t  *member;

    nodes = w->nodes;

    objects = w->counters[NGX_MQTT_STAT_alloc_objects];
    bytes = w->counters[NGX_MQTT_STAT_alloc_bytes];

    for (q = ngx_queue_head(&nodes->list);
         q != ngx_queue_sentinel(&nodes->list);
         q = ngx_queue_next(q))
    {
        member = ngx_queue_data(q, ngx_mqtt_member_t, queue);

        ngx_mqtt_nodes_present(w, member, 0);
    }

    w->counters[NGX_MQTT_STAT_alloc_objects] = objects;
    w->counters[NGX_MQTT_STAT_alloc_bytes] = bytes;
}


void
ngx_mqtt_member_remove(ngx_mqtt_worker_t *w, ngx_mqtt_member_t *member)
{
    ngx_mqtt_hash_remove(&w->nodes->members, &member->node);
    ngx_queue_remove(&member->queue);

    if (member->refs == 0) {
        ngx_free(member);
        return;
    }

    member->removed = 1;
}
