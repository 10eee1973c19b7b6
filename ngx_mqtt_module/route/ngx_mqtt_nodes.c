
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The workers of other nodes: membership, and when the index is asked.
 *
 * (1) Each worker asks Redis what has changed in the index every
 *     NGX_MQTT_NODES_POLL, which also tells that it lives.  One that has not
 *     asked for NGX_MQTT_NODES_LAPSE is dropped by whoever asks next; if it
 *     lives it learns so with its next question, and tells everything anew.
 * (2) Whoever has changed the index, also that of logs, tells one worker of
 *     each other node, who tells the others of his, so that they ask soon.
 *
 * Called from: gateway/ (life), timers, frames, Redis replies.
 */


#include "ngx_mqtt_nodes_int.h"


#define NGX_MQTT_NODES_IDLE  60     /* seconds */


static ngx_int_t ngx_mqtt_nodes_names(ngx_mqtt_worker_t *w);
static void ngx_mqtt_nodes_ask(ngx_mqtt_worker_t *w);
static void ngx_mqtt_nodes_answered(ngx_mqtt_op_t *op);
static void ngx_mqtt_nodes_poll(ngx_event_t *ev);
static void ngx_mqtt_nodes_forget(ngx_mqtt_worker_t *w);
static void ngx_mqtt_nodes_notify_handler(ngx_event_t *ev);
static ngx_uint_t ngx_mqtt_nodes_first(ngx_mqtt_nodes_t *nodes,
    ngx_mqtt_member_t *member);
static void ngx_mqtt_nodes_frame(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *from,
    ngx_str_t *body);
static void ngx_mqtt_nodes_delete_event(ngx_event_t *ev);


ngx_int_t
ngx_mqtt_nodes_start(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_nodes_t  *nodes;

    nodes = ngx_pcalloc(w->cycle->pool, sizeof(ngx_mqtt_nodes_t));
    if (nodes == NULL) {
        return NGX_ERROR;
    }

    ngx_queue_init(&nodes->list);

    if (ngx_array_init(&nodes->targets, w->cycle->pool, 16,
                       sizeof(ngx_mqtt_member_t *))
        != NGX_OK
        || ngx_array_init(&nodes->groups, w->cycle->pool, 16,
                          sizeof(ngx_mqtt_share_t *))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    w->nodes = nodes;

    if (ngx_mqtt_nodes_names(w) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_mqtt_nodes_event(w, &nodes->poll_event, ngx_mqtt_nodes_poll);
    ngx_mqtt_nodes_event(w, &nodes->notify_event,
                         ngx_mqtt_nodes_notify_handler);

    ngx_mqtt_interest_init(w);
    ngx_mqtt_inbox_send_init(w);

    ngx_mqtt_bus_on_frame(w->bus, NGX_MQTT_FRAME_NODES, ngx_mqtt_nodes_frame);
    ngx_mqtt_nodes_publish_init(w);

    if (ngx_mqtt_inbox_start(w) != NGX_OK) {
        return NGX_ERROR;
    }

    /* before any client can be there: claims go the same way */

    ngx_mqtt_nodes_ask(w);

    ngx_add_timer(&nodes->poll_event, NGX_MQTT_NODES_POLL);

    return NGX_OK;
}


/* the last key ends with the owner, as nodes_since.lua expects */

static ngx_int_t
ngx_mqtt_nodes_names(ngx_mqtt_worker_t *w)
{
    u_char            *p;
    size_t             len;
    ngx_str_t         *prefix;
    ngx_uint_t         i;
    ngx_mqtt_peer_t    self;
    ngx_mqtt_nodes_t  *nodes;

    nodes = w->nodes;
    prefix = &w->gateway->redis_prefix;

    self.slot = w->slot_index;
    self.generation = w->generation;
    self.node = 0;

    nodes->owner.data = nodes->owner_text;
    nodes->owner.len = ngx_mqtt_peer_name(nodes->owner_text, w, &self)
                       - nodes->owner_text;

    len = prefix->len + sizeof("{n}o:") - 1;

    p = ngx_pnalloc(w->cycle->pool,
                    NGX_MQTT_NODES_KEYS * len + nodes->owner.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_MQTT_NODES_KEYS - 1; i++) {
        nodes->keys[i].data = p;
        p = ngx_sprintf(p, "%V{n}%c", prefix, "vst"[i]);
        nodes->keys[i].len = p - nodes->keys[i].data;
    }

    nodes->keys[i].data = p;
    p = ngx_sprintf(p, "%V{n}o:%V", prefix, &nodes->owner);
    nodes->keys[i].len = p - nodes->keys[i].data;

    return NGX_OK;
}


void
ngx_mqtt_nodes_event(ngx_mqtt_worker_t *w, ngx_event_t *ev,
    ngx_event_handler_pt handler)
{
    ev->handler = handler;
    ev->data = &w->ident;
    ev->log = w->log;
    ev->cancelable = 1;
}


void
ngx_mqtt_nodes_leave(ngx_mqtt_worker_t *w)
{
    if (w->nodes == NULL || w->nodes->left) {
        return;
    }

    w->nodes->left = 1;

    ngx_mqtt_inbox_drop(w, &w->nodes->owner);
    ngx_mqtt_nodes_notify_handler(&w->nodes->notify_event);
}


void
ngx_mqtt_inbox_drop(ngx_mqtt_worker_t *w, ngx_str_t *owner)
{
    u_char     *p;
    size_t      size;
    ngx_str_t   argv[NGX_MQTT_NODES_KEYS + 2], inbox[2];

    if (w->nodes == NULL) {
        return;
    }

    size = w->gateway->redis_prefix.len + sizeof("{n}o:") - 1 + owner->len;
    size += ngx_mqtt_inbox_key_len(w) + owner->len;

    p = ngx_mqtt_alloc(w, size);
    if (p == NULL) {
        return;
    }

    ngx_memcpy(argv, w->nodes->keys, sizeof(w->nodes->keys));

    argv[3].data = p;
    argv[3].len = ngx_sprintf(p, "%V{n}o:%V", &w->gateway->redis_prefix,
                              owner)
                  - p;
    argv[4] = *owner;
    ngx_str_set(&argv[5], NGX_MQTT_NODES_CHANGES);

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_NODES_LEAVE,
                          NGX_MQTT_NODES_KEYS, 6, argv, 0, NULL);

    ngx_str_set(&inbox[0], "DEL");
    inbox[1].data = argv[3].data + argv[3].len;
    inbox[1].len = ngx_mqtt_inbox_key(inbox[1].data, w, owner)
                   - inbox[1].data;

    ngx_mqtt_redis_command(w->redis, 2, inbox, 0, NULL);

    ngx_mqtt_free(w, p, size);

    ngx_mqtt_nodes_notify(w);
}


void
ngx_mqtt_nodes_close(ngx_mqtt_worker_t *w)
{
    w->nodes->closed = 1;
    w->nodes->left = 1;

    ngx_mqtt_nodes_delete_event(&w->nodes->poll_event);
    ngx_mqtt_nodes_delete_event(&w->nodes->notify_event);
    ngx_mqtt_nodes_delete_event(&w->nodes->read_event);
    ngx_mqtt_nodes_delete_event(&w->nodes->room_event);
    ngx_mqtt_nodes_delete_event(&w->nodes->tell_event);

    if (w->nodes->redis) {
        ngx_mqtt_redis_shut(w->nodes->redis);
    }
}


void
ngx_mqtt_nodes_stop(ngx_mqtt_worker_t *w)
{
    ngx_queue_t        *q;
    ngx_mqtt_nodes_t   *nodes;
    ngx_mqtt_member_t  *member;

    nodes = w->nodes;

    ngx_mqtt_nodes_clear(w);

    while (!ngx_queue_empty(&nodes->list)) {
        q = ngx_queue_head(&nodes->list);
        member = ngx_queue_data(q, ngx_mqtt_member_t, queue);

        ngx_mqtt_member_remove(w, member);
    }

    ngx_mqtt_hash_free(&nodes->members);
    ngx_mqtt_filters_free(w, &nodes->filters);
    ngx_mqtt_filters_free(w, &nodes->levels);

    ngx_mqtt_interest_free(w);

    /* the last timer may have been set by a completion */

    ngx_mqtt_nodes_delete_event(&nodes->room_event);
    ngx_mqtt_nodes_delete_event(&nodes->tell_event);

    w->nodes = NULL;
}


static void
ngx_mqtt_nodes_delete_event(ngx_event_t *ev)
{
    if (ev->posted) {
        ngx_delete_posted_event(ev);
    }

    if (ev->timer_set) {
        ngx_del_timer(ev);
    }
}


static void
ngx_mqtt_nodes_ask(ngx_mqtt_worker_t *w)
{
    u_char             numbers[2][NGX_INT64_LEN], lapse[NGX_INT_T_LEN];
    ngx_str_t          argv[NGX_MQTT_NODES_KEYS + 5], *args;
    ngx_mqtt_op_t     *op;
    ngx_mqtt_nodes_t  *nodes;

    nodes = w->nodes;

    if (nodes->asking || nodes->left) {
        nodes->again = 1;
        return;
    }

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_nodes_answered, w);
    if (op == NULL) {
        return;
    }

    nodes->asking = 1;
    nodes->again = 0;

    ngx_memcpy(argv, nodes->keys, sizeof(nodes->keys));
    args = argv + NGX_MQTT_NODES_KEYS;

    args[0].data = numbers[0];
    args[0].len = ngx_sprintf(numbers[0], "%uL", nodes->index) - numbers[0];

    args[1].data = numbers[1];
    args[1].len = ngx_sprintf(numbers[1], "%uL", nodes->version) - numbers[1];

    args[2] = nodes->owner;

    args[3].data = lapse;
    args[3].len = ngx_sprintf(lapse, "%d", NGX_MQTT_NODES_LAPSE) - lapse;

    ngx_str_set(&args[4], NGX_MQTT_NODES_CHANGES);

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_NODES_SINCE,
                          NGX_MQTT_NODES_KEYS, NGX_MQTT_NODES_KEYS + 5, argv,
                          0, op);
}


static void
ngx_mqtt_nodes_answered(ngx_mqtt_op_t *op)
{
    ngx_int_t           rc;
    ngx_mqtt_nodes_t   *nodes;
    ngx_mqtt_worker_t  *w;

    w = op->worker;
    nodes = w->nodes;

    nodes->asking = 0;

    /* while Redis is away the timer asks again */

    if (op->rc != NGX_OK || nodes->left) {
        return;
    }

    rc = ngx_mqtt_nodes_apply(w, op->result);

    if (rc == NGX_AGAIN) {
        ngx_mqtt_interest_anew(w);
        ngx_mqtt_nodes_notify(w);

    } else if (rc == NGX_OK) {
        ngx_mqtt_interest_tell(w);
    }

    if (nodes->again) {
        ngx_mqtt_nodes_soon(w);
    }
}


void
ngx_mqtt_nodes_soon(ngx_mqtt_worker_t *w)
{
    ngx_event_t  *ev;

    ev = &w->nodes->poll_event;

    if (w->nodes->left) {
        return;
    }

    if (ev->timer_set) {

        if ((ngx_msec_int_t) (ev->timer.key - ngx_current_msec)
            <= NGX_MQTT_NODES_SOON)
        {
            return;
        }

        ngx_del_timer(ev);
    }

    ngx_add_timer(ev, NGX_MQTT_NODES_SOON);
}


static void
ngx_mqtt_nodes_poll(ngx_event_t *ev)
{
    ngx_mqtt_nodes_t   *nodes;
    ngx_mqtt_worker_t  *w;

    w = ngx_mqtt_event_worker(ev);

    if (w->nodes->left) {
        return;
    }

    nodes = w->nodes;

    if (nodes->lost
        && ngx_current_msec - nodes->lost_at > NGX_MQTT_NODES_LAPSE)
    {
        /* everything is asked for, and replaces what was known */

        nodes->lost = 0;
        nodes->index = 0;
        nodes->version = 0;
    }

    ngx_mqtt_interest_settle(w);
    ngx_mqtt_nodes_forget(w);
    ngx_mqtt_nodes_ask(w);

    ngx_add_timer(ev, NGX_MQTT_NODES_POLL);
}


/* those that the index does not have: of claims of sessions, and dead ones */

static void
ngx_mqtt_nodes_forget(ngx_mqtt_worker_t *w)
{
    ngx_queue_t        *q, *next;
    ngx_mqtt_nodes_t   *nodes;
    ngx_mqtt_member_t  *member;

    nodes = w->nodes;

    for (q = ngx_queue_head(&nodes->list);
         q != ngx_queue_sentinel(&nodes->list);
         q = next)
    {
        next = ngx_queue_next(q);
        member = ngx_queue_data(q, ngx_mqtt_member_t, queue);

        if (!member->present
            && ngx_time() - member->used > NGX_MQTT_NODES_IDLE)
        {
            ngx_mqtt_member_remove(w, member);
        }
    }
}


void
ngx_mqtt_nodes_notify(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_nodes_t  *nodes;

    nodes = w->nodes;

    if (nodes && nodes->nmembers && !nodes->left
        && !nodes->notify_event.timer_set)
    {
        ngx_add_timer(&nodes->notify_event, NGX_MQTT_NODES_SOON);
    }
}


static void
ngx_mqtt_nodes_notify_handler(ngx_event_t *ev)
{
    ngx_queue_t        *q;
    ngx_mqtt_nodes_t   *nodes;
    ngx_mqtt_member_t  *member;
    ngx_mqtt_worker_t  *w;

    w = ngx_mqtt_event_worker(ev);
    nodes = w->nodes;

    for (q = ngx_queue_head(&nodes->list);
         q != ngx_queue_sentinel(&nodes->list);
         q = ngx_queue_next(q))
    {
        member = ngx_queue_data(q, ngx_mqtt_member_t, queue);

        if (member->present && ngx_mqtt_nodes_first(nodes, member)) {
            (void) ngx_mqtt_bus_send(w->bus, &member->peer,
                                     NGX_MQTT_FRAME_NODES, NULL, 0);
        }
    }
}


/* of its node */

static ngx_uint_t
ngx_mqtt_nodes_first(ngx_mqtt_nodes_t *nodes, ngx_mqtt_member_t *member)
{
    ngx_queue_t        *q;
    ngx_mqtt_member_t  *other;

    for (q = ngx_queue_head(&nodes->list);
         q != &member->queue;
         q = ngx_queue_next(q))
    {
        other = ngx_queue_data(q, ngx_mqtt_member_t, queue);

        if (other->present && other->peer.node == member->peer.node) {
            return 0;
        }
    }

    return 1;
}


static void
ngx_mqtt_nodes_frame(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *from,
    ngx_str_t *body)
{
    ngx_uint_t        slot;
    ngx_mqtt_peer_t   peer;
    ngx_mqtt_zone_t  *zone;

    ngx_mqtt_nodes_soon(w);

    if (from->node == 0) {
        return;
    }

    /* the others of this node learn of a newer index of logs by the zone */

    ngx_mqtt_log_index_ask(w);

    zone = ngx_mqtt_zone(w->gateway);
    peer.node = 0;

    for (slot = 0; slot < zone->nslots; slot++) {
        peer.slot = slot;
        peer.generation = zone->slots[slot].generation;

        if (peer.generation && slot != w->slot_index) {
            (void) ngx_mqtt_bus_send(w->bus, &peer, NGX_MQTT_FRAME_NODES,
                                     NULL, 0);
        }
    }
}


ngx_mqtt_member_t *
ngx_mqtt_nodes_member(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *peer)
{
    u_char                name[NGX_MQTT_PEER_NAME];
    ngx_str_t             key;
    ngx_mqtt_nodes_t     *nodes;
    ngx_mqtt_member_t    *member;
    ngx_mqtt_hash_node_t *node;

    nodes = w->nodes;

    key.data = (u_char *) peer;
    key.len = sizeof(ngx_mqtt_peer_t);

    node = ngx_mqtt_hash_find(&nodes->members, &key);

    if (node) {
        return ngx_queue_data(node, ngx_mqtt_member_t, node);
    }

    member = ngx_calloc(sizeof(ngx_mqtt_member_t) + ngx_mqtt_inbox_key_len(w),
                        w->log);
    if (member == NULL) {
        return NULL;
    }

    member->peer = *peer;
    member->used = ngx_time();

    ngx_queue_init(&member->wants);

    member->node.key.data = (u_char *) &member->peer;
    member->node.key.len = sizeof(ngx_mqtt_peer_t);

    key.data = name;
    key.len = ngx_mqtt_peer_name(name, w, peer) - name;

    member->inbox.data = (u_char *) member + sizeof(ngx_mqtt_member_t);
    member->inbox.len = ngx_mqtt_inbox_key(member->inbox.data, w, &key)
                        - member->inbox.data;

    if (ngx_mqtt_hash_insert(&nodes->members, &member->node) != NGX_OK) {
        ngx_free(member);
        return NULL;
    }

    ngx_queue_insert_tail(&nodes->list, &member->queue);

    return member;
}


void
ngx_mqtt_member_unref(ngx_mqtt_member_t *member)
{
    if (--member->refs == 0 && member->removed) {
        ngx_free(member);
    }
}
