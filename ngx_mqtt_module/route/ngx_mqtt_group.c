
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Groups that have a log: which there are, and who is told of messages; the
 * invariants are in ngx_mqtt_group_int.h.
 *
 *     GROUP_MORE: group u64, or 0; messages u32; its log, if the group is 0:
 *                 the id is known within a node only
 *
 * Called from: ngx_mqtt_log_index.c, ngx_mqtt_share.c, bus frames.
 */


#include "ngx_mqtt_group_int.h"
#include "ngx_mqtt_nodes.h"


#define NGX_MQTT_GROUP_TICKS   5      /* of the index, between looks */
#define NGX_MQTT_GROUP_PREFIX  "$share/"


/* a worker that has died; its name is behind the struct */

typedef struct {
    ngx_queue_t               queue;       /* in groups->dead */
    ngx_str_t                 owner;
} ngx_mqtt_group_dead_t;


static ngx_mqtt_group_log_t *ngx_mqtt_group_create(ngx_mqtt_worker_t *w,
    ngx_str_t *log, ngx_str_t *name, ngx_str_t *filter);
static void ngx_mqtt_group_remove(ngx_mqtt_worker_t *w,
    ngx_mqtt_group_log_t *gl);
static void ngx_mqtt_group_matched(void *data, ngx_mqtt_filter_node_t *node);
static void ngx_mqtt_group_want(ngx_mqtt_worker_t *w,
    ngx_mqtt_group_log_t *gl, ngx_uint_t count);
static void ngx_mqtt_group_send(ngx_mqtt_worker_t *w, uint64_t id,
    ngx_uint_t slot, ngx_uint_t count);
static void ngx_mqtt_group_frame(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *from,
    ngx_str_t *body);
static void ngx_mqtt_group_handler(ngx_event_t *ev);
static void ngx_mqtt_group_serve(ngx_mqtt_worker_t *w,
    ngx_mqtt_group_log_t *gl);
static void ngx_mqtt_group_pass(ngx_mqtt_worker_t *w,
    ngx_mqtt_group_log_t *gl);


ngx_int_t
ngx_mqtt_group_start(ngx_mqtt_worker_t *w)
{
    ngx_event_t            *ev;
    ngx_mqtt_peer_t         self;
    ngx_mqtt_group_logs_t  *groups;

    groups = ngx_pcalloc(w->cycle->pool, sizeof(ngx_mqtt_group_logs_t));
    if (groups == NULL) {
        return NGX_ERROR;
    }

    ngx_queue_init(&groups->ready);
    ngx_queue_init(&groups->done);
    ngx_queue_init(&groups->again);
    ngx_queue_init(&groups->dead);

    self.node = 0;
    self.slot = w->slot_index;
    self.generation = w->generation;

    groups->owner.data = groups->owner_text;
    groups->owner.len = ngx_mqtt_peer_name(groups->owner_text, w, &self)
                        - groups->owner_text;

    ev = &groups->event;

    ev->handler = ngx_mqtt_group_handler;
    ev->data = &w->ident;
    ev->log = w->log;

    w->logs->groups = groups;

    ngx_mqtt_bus_on_frame(w->bus, NGX_MQTT_FRAME_GROUP_MORE,
                          ngx_mqtt_group_frame);

    return NGX_OK;
}


/* the index has been emptied */

void
ngx_mqtt_group_stop(ngx_mqtt_worker_t *w)
{
    ngx_queue_t            *q, *queues[2];
    ngx_uint_t              i;
    ngx_mqtt_group_dead_t  *dead;
    ngx_mqtt_group_logs_t  *groups;

    groups = w->logs->groups;

    queues[0] = &groups->done;
    queues[1] = &groups->again;

    for (i = 0; i < 2; i++) {

        while (!ngx_queue_empty(queues[i])) {
            q = ngx_queue_head(queues[i]);
            ngx_queue_remove(q);

            ngx_mqtt_shared_free(ngx_queue_data(q, ngx_mqtt_shared_t, queue));
        }
    }

    while (!ngx_queue_empty(&groups->dead)) {
        q = ngx_queue_head(&groups->dead);
        ngx_queue_remove(q);

        dead = ngx_queue_data(q, ngx_mqtt_group_dead_t, queue);
        ngx_mqtt_free(w, dead, sizeof(ngx_mqtt_group_dead_t)
                               + dead->owner.len);
    }

    if (groups->event.posted) {
        ngx_delete_posted_event(&groups->event);
    }

    ngx_mqtt_filters_free(w, &groups->filters);
    ngx_mqtt_hash_free(&groups->ids);
}


ngx_uint_t
ngx_mqtt_group_is(ngx_str_t *log)
{
    return log->len > sizeof(NGX_MQTT_GROUP_PREFIX) - 1
           && ngx_memcmp(log->data, NGX_MQTT_GROUP_PREFIX,
                         sizeof(NGX_MQTT_GROUP_PREFIX) - 1)
              == 0;
}


ngx_uint_t
ngx_mqtt_group_count(ngx_mqtt_worker_t *w)
{
    return w->logs->groups->ids.count;
}


ngx_int_t
ngx_mqtt_group_index(ngx_mqtt_worker_t *w, ngx_str_t *log, ngx_uint_t add)
{
    ngx_str_t              name, filter;
    ngx_mqtt_group_log_t  *gl;

    filter = *log;

    if (ngx_mqtt_topic_filter_check(&filter, &name) != NGX_OK) {
        return NGX_ERROR;
    }

    gl = ngx_mqtt_group_find(w, ngx_mqtt_share_id(w, &filter, &name));

    if (!add) {

        if (gl) {
            ngx_mqtt_group_remove(w, gl);
        }

        return NGX_OK;
    }

    if (gl) {
        return NGX_OK;
    }

    gl = ngx_mqtt_group_create(w, log, &name, &filter);
    if (gl == NULL) {
        return NGX_ERROR;
    }

    /* there may be some already */

    ngx_mqtt_group_want(w, gl, NGX_MQTT_GROUP_ALL);

    return NGX_OK;
}


static ngx_mqtt_group_log_t *
ngx_mqtt_group_create(ngx_mqtt_worker_t *w, ngx_str_t *log, ngx_str_t *name,
    ngx_str_t *filter)
{
    u_char                  *p, *end;
    ngx_mqtt_group_log_t    *gl;
    ngx_mqtt_group_logs_t   *groups;
    ngx_mqtt_filter_node_t  *node;

    groups = w->logs->groups;

    gl = ngx_calloc(sizeof(ngx_mqtt_group_log_t) + log->len + filter->len,
                    w->log);
    if (gl == NULL) {
        return NULL;
    }

    p = (u_char *) gl + sizeof(ngx_mqtt_group_log_t);

    gl->log.len = log->len;
    gl->log.data = p;
    p = ngx_cpymem(p, log->data, log->len);

    gl->filter.len = filter->len;
    gl->filter.data = gl->log.data + (filter->data - log->data);

    gl->share.name.len = name->len;
    gl->share.name.data = gl->log.data + (name->data - log->data);

    gl->topic.len = filter->len;
    gl->topic.data = p;
    end = ngx_cpymem(p, filter->data, filter->len);

    for ( /* void */ ; p < end; p++) {
        if (*p == '+' || *p == '#') {
            *p = '-';
        }
    }

    gl->share.id = ngx_mqtt_share_id(w, filter, name);
    gl->share.node.key.len = sizeof(uint64_t);
    gl->share.node.key.data = (u_char *) &gl->share.id;

    gl->turn = (uint32_t) w->slot_index;

    ngx_queue_init(&gl->queue);

    node = ngx_mqtt_filters_find(&groups->filters, filter);

    if (node == NULL) {
        node = ngx_mqtt_filters_add(w, &groups->filters, filter);
    }

    if (node == NULL) {
        ngx_free(gl);
        return NULL;
    }

    gl->share.next = node->shares;
    node->shares = &gl->share;

    if (ngx_mqtt_hash_insert(&groups->ids, &gl->share.node) != NGX_OK) {
        gl->share.node.key.len = 0;
        ngx_mqtt_group_remove(w, gl);
        return NULL;
    }

    return gl;
}


static void
ngx_mqtt_group_remove(ngx_mqtt_worker_t *w, ngx_mqtt_group_log_t *gl)
{
    ngx_mqtt_share_t       **next;
    ngx_mqtt_group_logs_t   *groups;
    ngx_mqtt_filter_node_t  *node;

    groups = w->logs->groups;

    if (gl->share.node.key.len) {
        ngx_mqtt_hash_remove(&groups->ids, &gl->share.node);
    }

    node = ngx_mqtt_filters_find(&groups->filters, &gl->filter);

    for (next = &node->shares; *next != &gl->share; next = &(*next)->next) {
        /* void */
    }

    *next = gl->share.next;

    if (node->shares == NULL) {
        ngx_mqtt_filters_remove(w, &groups->filters, node);
    }

    ngx_queue_remove(&gl->queue);
    ngx_free(gl);
}


void
ngx_mqtt_group_clear(ngx_mqtt_worker_t *w)
{
    ngx_uint_t             i;
    ngx_mqtt_hash_t       *ids;
    ngx_mqtt_hash_node_t  *node;

    ids = &w->logs->groups->ids;

    for (i = 0; i < ids->size; i++) {

        while (ids->buckets[i]) {
            node = ids->buckets[i];

            ngx_mqtt_group_remove(w, (ngx_mqtt_group_log_t *)
                                     ngx_queue_data(node, ngx_mqtt_share_t,
                                                    node));
        }
    }
}


ngx_mqtt_group_log_t *
ngx_mqtt_group_find(ngx_mqtt_worker_t *w, uint64_t id)
{
    ngx_str_t              key;
    ngx_mqtt_hash_node_t  *node;

    if (w->logs == NULL) {
        return NULL;
    }

    key.len = sizeof(uint64_t);
    key.data = (u_char *) &id;

    node = ngx_mqtt_hash_find(&w->logs->groups->ids, &key);

    return node ? (ngx_mqtt_group_log_t *) ngx_queue_data(node,
                                                          ngx_mqtt_share_t,
                                                          node)
                : NULL;
}


void
ngx_mqtt_group_match(ngx_mqtt_worker_t *w, ngx_str_t *topic)
{
    ngx_mqtt_filters_match(&w->logs->groups->filters, topic,
                           ngx_mqtt_group_matched, w->logs);
}


static void
ngx_mqtt_group_matched(void *data, ngx_mqtt_filter_node_t *node)
{
    ngx_mqtt_logs_t *logs = data;

    ngx_mqtt_share_t      *share;
    ngx_mqtt_log_match_t  *match;

    for (share = node->shares; share; share = share->next) {
        match = ngx_array_push(&logs->matches);

        if (match) {
            match->filter = ((ngx_mqtt_group_log_t *) share)->log;
            match->group = share->id;
        }
    }
}


ngx_uint_t
ngx_mqtt_group_logged(ngx_mqtt_logged_t *logged, uint64_t id)
{
    ngx_uint_t  i;

    if (logged == NULL) {
        return 0;
    }

    for (i = 0; i < logged->n; i++) {

        if (logged->positions[i].group == id && logged->positions[i].number) {
            return 1;
        }
    }

    return 0;
}


void
ngx_mqtt_group_notice(ngx_mqtt_worker_t *w, ngx_mqtt_groups_t *found,
    ngx_mqtt_group_t *group)
{
    ngx_uint_t             slot;
    ngx_mqtt_workers_t     tried;
    ngx_mqtt_group_log_t  *gl;

    ngx_memzero(&tried, sizeof(ngx_mqtt_workers_t));

    gl = ngx_mqtt_group_find(w, group->id);

    if (gl) {
        group->turn = gl->turn++;
    }

    slot = ngx_mqtt_group_choose(w, found, group, &tried);

    if (slot != NGX_MQTT_ZONE_SLOTS) {
        ngx_mqtt_group_send(w, group->id, slot, 1);
    }
}


void
ngx_mqtt_group_tell(ngx_mqtt_worker_t *w, ngx_mqtt_group_log_t *gl,
    ngx_uint_t count, ngx_mqtt_workers_t *tried)
{
    ngx_uint_t           slot;
    ngx_mqtt_group_t    *group;
    ngx_mqtt_groups_t   *one;
    ngx_mqtt_workers_t   workers;

    if (w->route == NULL || count == 0) {
        return;
    }

    if (!ngx_mqtt_share_is_here(w, &gl->topic, gl->share.id)) {
        ngx_mqtt_nodes_tell(w, &gl->filter, &gl->share.name, count);
        return;
    }

    one = &w->route->shares->one;
    one->only = gl->share.id;

    (void) ngx_mqtt_directory_find(w, &gl->topic, &workers, one);

    slot = w->slot_index;

    if (workers.groups && one->groups.nelts) {
        group = one->groups.elts;
        group->turn = gl->turn++;

        slot = ngx_mqtt_group_choose(w, one, group, tried);
    }

    if (slot != NGX_MQTT_ZONE_SLOTS && !ngx_mqtt_workers_has(tried, slot)) {
        ngx_mqtt_group_send(w, gl->share.id, slot, count);
    }
}


void
ngx_mqtt_group_more(ngx_mqtt_worker_t *w, uint64_t id, ngx_uint_t count)
{
    ngx_mqtt_group_log_t  *gl;

    gl = ngx_mqtt_group_find(w, id);

    if (gl) {
        ngx_mqtt_group_want(w, gl, count);

    } else if (w->logs) {

        /* it is newer than what we know: it looks when it is made known */

        ngx_mqtt_log_index_ask(w);
    }
}


void
ngx_mqtt_group_ready(ngx_mqtt_worker_t *w, uint64_t id)
{
    ngx_mqtt_group_log_t  *gl;

    gl = ngx_mqtt_group_find(w, id);

    if (gl) {
        ngx_mqtt_group_want(w, gl, NGX_MQTT_GROUP_ALL);

    } else if (w->logs && ngx_mqtt_log_behind(w)) {
        ngx_mqtt_log_index_ask(w);
    }
}


void
ngx_mqtt_group_left(ngx_mqtt_worker_t *w, uint64_t id)
{
    ngx_mqtt_group_log_t  *gl;

    gl = ngx_mqtt_group_find(w, id);

    if (gl && gl->wanted) {
        ngx_mqtt_group_post(w, gl);
    }
}


static void
ngx_mqtt_group_want(ngx_mqtt_worker_t *w, ngx_mqtt_group_log_t *gl,
    ngx_uint_t count)
{
    gl->wanted = (count < NGX_MQTT_GROUP_ALL - gl->wanted)
                 ? gl->wanted + count : NGX_MQTT_GROUP_ALL;

    ngx_mqtt_group_post(w, gl);
}


void
ngx_mqtt_group_post(ngx_mqtt_worker_t *w, ngx_mqtt_group_log_t *gl)
{
    ngx_mqtt_group_logs_t  *groups;

    groups = w->logs->groups;

    ngx_queue_remove(&gl->queue);
    ngx_queue_insert_tail(&groups->ready, &gl->queue);

    ngx_post_event(&groups->event, &ngx_posted_events);
}


u_char *
ngx_mqtt_group_write_more(u_char *p, uint64_t id, ngx_uint_t count)
{
    p = ngx_mqtt_frame_write_u64(p, id);

    return ngx_mqtt_frame_write_u32(p, (uint32_t) count);
}


/* if it does not get there the others look by themselves */

static void
ngx_mqtt_group_send(ngx_mqtt_worker_t *w, uint64_t id, ngx_uint_t slot,
    ngx_uint_t count)
{
    u_char           buf[NGX_MQTT_GROUP_MORE];
    ngx_str_t        body;
    ngx_mqtt_peer_t  peer;

    if (slot == w->slot_index) {
        ngx_mqtt_group_more(w, id, count);
        return;
    }

    peer.node = 0;
    peer.slot = slot;
    peer.generation = ngx_mqtt_zone(w->gateway)->slots[slot].generation;

    body.data = buf;
    body.len = ngx_mqtt_group_write_more(buf, id, count) - buf;

    (void) ngx_mqtt_bus_send(w->bus, &peer, NGX_MQTT_FRAME_GROUP_MORE, &body,
                             1);
}


static void
ngx_mqtt_group_frame(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *from,
    ngx_str_t *body)
{
    u_char     *p, *end;
    uint32_t    count;
    uint64_t    id;
    ngx_str_t   filter, name;

    if (w->logs == NULL) {
        return;
    }

    end = body->data + body->len;
    p = ngx_mqtt_frame_read_u64(body->data, end, &id);

    if (p) {
        p = ngx_mqtt_frame_read_u32(p, end, &count);
    }

    if (p && id == 0) {
        filter.data = p;
        filter.len = end - p;

        if (ngx_mqtt_topic_filter_check(&filter, &name) == NGX_OK) {
            id = ngx_mqtt_share_id(w, &filter, &name);
        }
    }

    if (p == NULL || id == 0) {
        ngx_log_error(NGX_LOG_CRIT, w->log, 0,
                      "GROUP_MORE frame was not read");
        return;
    }

    ngx_mqtt_group_more(w, id, count);
}


static void
ngx_mqtt_group_handler(ngx_event_t *ev)
{
    ngx_queue_t        *q, ready;
    ngx_mqtt_worker_t  *w;

    w = ngx_mqtt_event_worker(ev);

    ngx_mqtt_group_settle(w);

    ngx_queue_init(&ready);

    if (!ngx_queue_empty(&w->logs->groups->ready)) {
        ngx_queue_add(&ready, &w->logs->groups->ready);
        ngx_queue_init(&w->logs->groups->ready);
    }

    while (!ngx_queue_empty(&ready)) {
        q = ngx_queue_head(&ready);
        ngx_queue_remove(q);
        ngx_queue_init(q);

        ngx_mqtt_group_serve(w, ngx_queue_data(q, ngx_mqtt_group_log_t,
                                               queue));
    }
}


static void
ngx_mqtt_group_serve(ngx_mqtt_worker_t *w, ngx_mqtt_group_log_t *gl)
{
    ngx_uint_t  room;

    if (gl->taking || gl->wanted == 0 || w->route == NULL) {
        return;
    }

    room = ngx_mqtt_share_window(w, gl->share.id);

    if (room == 0) {
        ngx_mqtt_group_pass(w, gl);
        return;
    }

    if (ngx_mqtt_group_take(w, gl, ngx_min(room, gl->wanted)) != NGX_OK) {
        gl->wanted = 0;
    }
}


/* to a worker that has members with room; those of ours have none */

static void
ngx_mqtt_group_pass(ngx_mqtt_worker_t *w, ngx_mqtt_group_log_t *gl)
{
    ngx_uint_t                i, wanted;
    ngx_mqtt_groups_t        *one;
    ngx_mqtt_workers_t        workers, tried;
    ngx_mqtt_group_worker_t  *gw;

    one = &w->route->shares->one;
    one->only = gl->share.id;

    (void) ngx_mqtt_directory_find(w, &gl->topic, &workers, one);

    if (workers.groups == 0) {
        return;
    }

    ngx_memzero(&tried, sizeof(ngx_mqtt_workers_t));
    ngx_mqtt_workers_set(&tried, w->slot_index);

    gw = one->workers.elts;

    for (i = 0; i < one->workers.nelts; i++) {

        if (gw[i].slot != w->slot_index && !gw[i].stalled) {
            wanted = gl->wanted;
            gl->wanted = 0;

            /* who comes looks for all of them himself */

            if (wanted != NGX_MQTT_GROUP_ALL) {
                ngx_mqtt_group_tell(w, gl, wanted, &tried);
            }

            return;
        }
    }
}


void
ngx_mqtt_group_tick(ngx_mqtt_worker_t *w)
{
    ngx_uint_t              i;
    ngx_mqtt_group_logs_t  *groups;
    ngx_mqtt_hash_node_t   *node;

    groups = w->logs->groups;

    if (++groups->ticks < NGX_MQTT_GROUP_TICKS) {
        return;
    }

    groups->ticks = 0;

    for (i = 0; i < groups->ids.size; i++) {

        for (node = groups->ids.buckets[i]; node; node = node->next) {
            ngx_mqtt_group_want(w, (ngx_mqtt_group_log_t *)
                                   ngx_queue_data(node, ngx_mqtt_share_t,
                                                  node),
                                NGX_MQTT_GROUP_ALL);
        }
    }
}


void
ngx_mqtt_group_dead(ngx_mqtt_worker_t *w, ngx_str_t *owner)
{
    ngx_mqtt_group_dead_t  *dead;

    dead = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_group_dead_t) + owner->len);
    if (dead == NULL) {
        return;
    }

    dead->owner.len = owner->len;
    dead->owner.data = (u_char *) dead + sizeof(ngx_mqtt_group_dead_t);
    ngx_memcpy(dead->owner.data, owner->data, owner->len);

    ngx_queue_insert_tail(&w->logs->groups->dead, &dead->queue);

    /* it may have taken from groups of which we do not know yet */

    ngx_mqtt_log_index_ask(w);
}


void
ngx_mqtt_group_leave(ngx_mqtt_worker_t *w)
{
    if (w->logs) {
        ngx_mqtt_group_settle(w);
    }
}


void
ngx_mqtt_group_indexed(ngx_mqtt_worker_t *w)
{
    ngx_uint_t              i;
    ngx_queue_t            *q;
    ngx_mqtt_hash_node_t   *node;
    ngx_mqtt_group_dead_t  *dead;
    ngx_mqtt_group_logs_t  *groups;

    groups = w->logs->groups;

    while (!ngx_queue_empty(&groups->dead)) {
        q = ngx_queue_head(&groups->dead);
        ngx_queue_remove(q);

        dead = ngx_queue_data(q, ngx_mqtt_group_dead_t, queue);

        for (i = 0; i < groups->ids.size; i++) {

            for (node = groups->ids.buckets[i]; node; node = node->next) {
                ngx_mqtt_group_give_back(w, (ngx_mqtt_group_log_t *)
                                            ngx_queue_data(node,
                                                           ngx_mqtt_share_t,
                                                           node),
                                         &dead->owner);
            }
        }

        ngx_mqtt_free(w, dead, sizeof(ngx_mqtt_group_dead_t)
                               + dead->owner.len);
    }
}
