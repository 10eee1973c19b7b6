
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Redis Cluster: the nodes, and when they are asked for the map of slots.
 *
 * (1) A front has a connection for each primary that serves slots; the one of
 *     ngx_mqtt_redis_open() makes only those which it has commands for.  Each
 *     connects, logs in, is lost and retries by itself.
 * (2) Every login asks for the map.  It is asked for again, of another node
 *     each time and not more often than MAP_EVERY, while something tells that
 *     it is out of date: a redirection, a lost primary, a slot of nobody.
 * (3) Without any node that is ready those of the configuration are tried, one
 *     after another, and those that were known last.
 * (4) Until there is a map commands wait in the front's own "queued".
 * (5) Nodes come and go in the chores only, at the end of a turn of the event
 *     loop: nobody has one freed under his feet.
 *
 * Called from: redis/, the event loop.
 */


#include "ngx_mqtt_redis_core.h"


#define NGX_MQTT_REDIS_MAP_EVERY  200
#define NGX_MQTT_REDIS_MAP_WAIT   1000


/* ngx_mqtt_redis_sync(): ops under way */

typedef struct {
    ngx_mqtt_op_t   *op;
    ngx_uint_t       count;
} ngx_mqtt_redis_sync_t;


static void ngx_mqtt_redis_cluster_timer(ngx_event_t *ev);
static void ngx_mqtt_redis_cluster_chores(ngx_event_t *ev);
static void ngx_mqtt_redis_cluster_unqueue(ngx_mqtt_redis_t *front);
static void ngx_mqtt_redis_cluster_drop(ngx_mqtt_redis_t *front);
static ngx_uint_t ngx_mqtt_redis_cluster_troubled(ngx_mqtt_redis_t *front);
static ngx_msec_t ngx_mqtt_redis_cluster_find(ngx_mqtt_redis_t *front);
static void ngx_mqtt_redis_cluster_ask(ngx_mqtt_redis_t *front,
    ngx_mqtt_redis_t *node);
static ngx_mqtt_redis_t *ngx_mqtt_redis_cluster_candidate(
    ngx_mqtt_redis_t *front);
static void ngx_mqtt_redis_cluster_update(ngx_mqtt_redis_t *front);
static ngx_int_t ngx_mqtt_redis_sync_add(ngx_mqtt_redis_t *front,
    ngx_mqtt_redis_t *node, ngx_uint_t slot, ngx_mqtt_redis_sync_t *sync);
static void ngx_mqtt_redis_synced(ngx_mqtt_op_t *op);


void
ngx_mqtt_redis_connect_front(ngx_mqtt_redis_t *front)
{
    if (front->cluster) {
        ngx_mqtt_redis_cluster_post(front);
        return;
    }

    ngx_mqtt_redis_connect(front);
}


ngx_int_t
ngx_mqtt_redis_cluster_create(ngx_mqtt_redis_t *front)
{
    ngx_pool_t                *pool;
    ngx_mqtt_redis_cluster_t  *cluster;

    pool = front->worker->cycle->pool;

    cluster = ngx_pcalloc(pool, sizeof(ngx_mqtt_redis_cluster_t));
    if (cluster == NULL) {
        return NGX_ERROR;
    }

    cluster->slots = ngx_pcalloc(pool, NGX_MQTT_REDIS_SLOTS
                                       * sizeof(ngx_mqtt_redis_slot_t));
    if (cluster->slots == NULL) {
        return NGX_ERROR;
    }

    ngx_queue_init(&cluster->nodes);
    ngx_queue_init(&cluster->spare);
    ngx_queue_init(&cluster->detours);

    cluster->event.handler = ngx_mqtt_redis_cluster_chores;
    cluster->event.data = front;
    cluster->event.log = &front->log;

    cluster->asked_at = ngx_current_msec - NGX_MQTT_REDIS_MAP_EVERY;
    cluster->unserved = NGX_MQTT_REDIS_SLOTS;

    front->timer.handler = ngx_mqtt_redis_cluster_timer;
    front->cluster = cluster;

    return NGX_OK;
}


void
ngx_mqtt_redis_cluster_shut(ngx_mqtt_redis_t *front)
{
    ngx_queue_t               *q;
    ngx_mqtt_redis_cluster_t  *cluster;

    cluster = front->cluster;

    for (q = ngx_queue_head(&cluster->nodes);
         q != ngx_queue_sentinel(&cluster->nodes);
         q = ngx_queue_next(q))
    {
        ngx_mqtt_redis_shut(ngx_queue_data(q, ngx_mqtt_redis_t, link));
    }

    ngx_mqtt_redis_detour_fail_all(front);

    if (cluster->event.posted) {
        ngx_delete_posted_event(&cluster->event);
    }

    ngx_mqtt_redis_cluster_update(front);
}


ngx_uint_t
ngx_mqtt_redis_cluster_poll(ngx_mqtt_redis_t *front,
    void (*poll)(ngx_mqtt_redis_t *r, ngx_msec_t timeout))
{
    ngx_uint_t                 n;
    ngx_queue_t               *q;
    ngx_mqtt_redis_t          *node;
    ngx_mqtt_redis_cluster_t  *cluster;

    cluster = front->cluster;
    n = 0;

    for (q = ngx_queue_head(&cluster->nodes);
         q != ngx_queue_sentinel(&cluster->nodes);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_mqtt_redis_t, link);

        if (node->pending && node->state == NGX_MQTT_REDIS_READY) {
            poll(node, 2);
            n++;
        }
    }

    if (cluster->event.posted) {
        ngx_delete_posted_event(&cluster->event);
        ngx_mqtt_redis_cluster_chores(&cluster->event);
    }

    return n;
}


ngx_mqtt_redis_t *
ngx_mqtt_redis_cluster_route(ngx_mqtt_redis_t *front,
    ngx_mqtt_redis_cmd_t *cmd)
{
    ngx_mqtt_redis_slot_t  *slot;

    slot = &front->cluster->slots[cmd->slot];

    if (!front->cluster->known || slot->detour || slot->node == NULL) {
        return front;
    }

    ngx_mqtt_redis_cluster_need(slot->node);

    return slot->node;
}


/* finds or adds a node; NULL: out of memory */

ngx_mqtt_redis_t *
ngx_mqtt_redis_cluster_node(ngx_mqtt_redis_t *front, struct sockaddr *sockaddr,
    socklen_t socklen)
{
    ngx_queue_t               *q;
    ngx_mqtt_redis_t          *node;
    ngx_mqtt_redis_cluster_t  *cluster;

    cluster = front->cluster;

    for (q = ngx_queue_head(&cluster->nodes);
         q != ngx_queue_sentinel(&cluster->nodes);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_mqtt_redis_t, link);

        if (ngx_cmp_sockaddr(node->address.sockaddr, node->address.socklen,
                             sockaddr, socklen, 1)
            == NGX_OK)
        {
            return node;
        }
    }

    if (!ngx_queue_empty(&cluster->spare)) {
        q = ngx_queue_head(&cluster->spare);
        ngx_queue_remove(q);

        node = ngx_queue_data(q, ngx_mqtt_redis_t, link);

    } else {
        node = ngx_mqtt_redis_create(front->worker);
        if (node == NULL) {
            return NULL;
        }

        node->front = front;
        node->own = front->own;
        node->addrs = &node->address;
        node->naddrs = 1;
    }

    ngx_memcpy(&node->sockaddr, sockaddr, socklen);

    node->address.sockaddr = &node->sockaddr.sockaddr;
    node->address.socklen = socklen;
    node->address.name.data = node->name;
    node->address.name.len = ngx_sock_ntop(sockaddr, socklen, node->name,
                                           NGX_SOCKADDR_STRLEN, 1);

    node->down = 0;
    node->seen = 0;
    node->tried = 0;
    node->nslots = 0;
    node->backoff = 0;

    ngx_queue_insert_tail(&cluster->nodes, &node->link);

    return node;
}


void
ngx_mqtt_redis_cluster_give(ngx_mqtt_redis_t *front, ngx_uint_t slot,
    ngx_mqtt_redis_t *node)
{
    ngx_mqtt_redis_t       *old;
    ngx_mqtt_redis_slot_t  *s;

    s = &front->cluster->slots[slot];
    old = s->node;

    if (old == node) {
        return;
    }

    if (old) {
        old->nslots--;

    } else {
        front->cluster->unserved--;
    }

    if (node) {
        node->nslots++;

    } else {
        front->cluster->unserved++;
    }

    s->node = node;

    /* what comes next does not overtake what is under way at the old one */

    if (s->attached) {
        ngx_mqtt_redis_detour_open(front, slot);
    }
}


/* connects, unless that is under way, or is to be tried again in a moment */

void
ngx_mqtt_redis_cluster_need(ngx_mqtt_redis_t *node)
{
    if (node->state == NGX_MQTT_REDIS_LOST && !node->timer.timer_set) {
        ngx_mqtt_redis_connect(node);
    }
}


void
ngx_mqtt_redis_cluster_post(ngx_mqtt_redis_t *front)
{
    if (front->state != NGX_MQTT_REDIS_STOPPED) {
        ngx_post_event(&front->cluster->event, &ngx_posted_events);
    }
}


static void
ngx_mqtt_redis_cluster_timer(ngx_event_t *ev)
{
    ev->timedout = 0;

    ngx_mqtt_redis_cluster_chores(ev);
}


static void
ngx_mqtt_redis_cluster_chores(ngx_event_t *ev)
{
    ngx_msec_t                 delay, next;
    ngx_mqtt_redis_t          *front;
    ngx_mqtt_redis_cluster_t  *cluster;

    front = ev->data;
    cluster = front->cluster;

    if (cluster->known && !ngx_queue_empty(&front->queued)) {
        ngx_mqtt_redis_cluster_unqueue(front);
    }

    next = ngx_mqtt_redis_detour_release(front);

    ngx_mqtt_redis_cluster_drop(front);

    if (!cluster->known || cluster->stale
        || ngx_mqtt_redis_cluster_troubled(front))
    {
        delay = ngx_mqtt_redis_cluster_find(front);
        next = ngx_min(next, delay);
    }

    ngx_mqtt_redis_cluster_update(front);
    ngx_mqtt_redis_hold(front);

    if (next != NGX_TIMER_INFINITE) {
        ngx_mqtt_redis_set_timer(front, ngx_max(next, 1));

    } else if (front->timer.timer_set) {
        ngx_del_timer(&front->timer);
    }
}


/* there is a map now: what waited for it goes its way */

static void
ngx_mqtt_redis_cluster_unqueue(ngx_mqtt_redis_t *front)
{
    ngx_queue_t           *q;
    ngx_mqtt_redis_t      *node;
    ngx_mqtt_redis_cmd_t  *cmd;

    while (!ngx_queue_empty(&front->queued)) {
        q = ngx_queue_head(&front->queued);
        cmd = ngx_queue_data(q, ngx_mqtt_redis_cmd_t, queue);

        ngx_queue_remove(q);
        ngx_mqtt_redis_detach(front, cmd);

        node = ngx_mqtt_redis_cluster_route(front, cmd);

        if (node == front) {

            if (ngx_mqtt_redis_detour_refuses(front, cmd)) {
                ngx_mqtt_redis_give_up(front, cmd);

            } else {
                ngx_mqtt_redis_detour_add(front, cmd);
            }

            continue;
        }

        if (node->down && !cmd->wait) {
            ngx_mqtt_redis_give_up(front, cmd);
            continue;
        }

        ngx_mqtt_redis_enqueue(node, cmd);
    }
}


/* a node without slots goes when it has nothing to answer any more */

static void
ngx_mqtt_redis_cluster_drop(ngx_mqtt_redis_t *front)
{
    ngx_queue_t               *q, *next;
    ngx_mqtt_redis_t          *node;
    ngx_mqtt_redis_cluster_t  *cluster;

    cluster = front->cluster;

    for (q = ngx_queue_head(&cluster->nodes);
         q != ngx_queue_sentinel(&cluster->nodes);
         q = next)
    {
        next = ngx_queue_next(q);
        node = ngx_queue_data(q, ngx_mqtt_redis_t, link);

        if (node->pending || cluster->asked == node
            || (node->state != NGX_MQTT_REDIS_LOST
                && node->state != NGX_MQTT_REDIS_READY)
            || (node->nslots && !node->own)
            || ngx_mqtt_redis_detour_asks(node))
        {
            continue;
        }

        ngx_mqtt_redis_close(node);
        ngx_mqtt_redis_requeue_all(node, NGX_MQTT_REDIS_KEEP_NONE);

        if (node->timer.timer_set) {
            ngx_del_timer(&node->timer);
        }

        if (node->nslots == 0) {
            ngx_queue_remove(q);
            ngx_queue_insert_tail(&cluster->spare, q);
        }
    }
}


/* somebody waits for what the map does not offer */

static ngx_uint_t
ngx_mqtt_redis_cluster_troubled(ngx_mqtt_redis_t *front)
{
    ngx_queue_t               *q;
    ngx_mqtt_redis_t          *node;
    ngx_mqtt_redis_cluster_t  *cluster;

    cluster = front->cluster;

    if (cluster->unserved
        && (!front->own || !ngx_queue_empty(&cluster->detours)))
    {
        return 1;
    }

    for (q = ngx_queue_head(&cluster->nodes);
         q != ngx_queue_sentinel(&cluster->nodes);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_mqtt_redis_t, link);

        if (node->nslots && node->down && (!node->own || node->pending)) {
            return 1;
        }
    }

    return 0;
}


/* asks for the map; returns when to come back, ms, or NGX_TIMER_INFINITE */

static ngx_msec_t
ngx_mqtt_redis_cluster_find(ngx_mqtt_redis_t *front)
{
    ngx_msec_t                 elapsed;
    ngx_uint_t                 busy;
    ngx_queue_t               *q;
    ngx_mqtt_redis_t          *node;
    ngx_mqtt_redis_cluster_t  *cluster;

    cluster = front->cluster;
    busy = 0;

    elapsed = ngx_current_msec - cluster->asked_at;

    /* one that hangs tells nothing */

    if (cluster->asked && elapsed < NGX_MQTT_REDIS_MAP_WAIT) {
        return NGX_MQTT_REDIS_MAP_WAIT - elapsed;
    }

    if (cluster->known && elapsed < NGX_MQTT_REDIS_MAP_EVERY) {
        return NGX_MQTT_REDIS_MAP_EVERY - elapsed;
    }

    for (q = ngx_queue_head(&cluster->nodes);
         q != ngx_queue_sentinel(&cluster->nodes);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_mqtt_redis_t, link);

        if (node->state == NGX_MQTT_REDIS_READY) {
            ngx_mqtt_redis_cluster_ask(front, node);
            return NGX_MQTT_REDIS_MAP_EVERY;
        }

        if (node->state != NGX_MQTT_REDIS_LOST) {
            busy = 1;
        }
    }

    /* each that logs in tells the map, or is lost and comes back here */

    if (busy) {
        return NGX_TIMER_INFINITE;
    }

    elapsed = ngx_current_msec - cluster->pause_at;

    if (elapsed < cluster->pause) {
        return cluster->pause - elapsed;
    }

    cluster->pause = 0;

    node = ngx_mqtt_redis_cluster_candidate(front);

    if (node) {

        if (node->timer.timer_set) {
            ngx_del_timer(&node->timer);
        }

        ngx_mqtt_redis_connect(node);
        return NGX_MQTT_REDIS_MAP_EVERY;
    }

    /* all were tried */

    cluster->candidate = 0;
    cluster->pause_at = ngx_current_msec;
    cluster->pause = ngx_mqtt_redis_delay(front);

    front->down = 1;

    ngx_mqtt_redis_requeue_all(front, NGX_MQTT_REDIS_KEEP_WAITING);

    return cluster->pause;
}


static void
ngx_mqtt_redis_cluster_ask(ngx_mqtt_redis_t *front, ngx_mqtt_redis_t *node)
{
    ngx_str_t  slots;

    ngx_str_set(&slots, "SLOTS");

    if (ngx_mqtt_redis_login_add(node, NGX_MQTT_REDIS_STEP_SLOTS, "CLUSTER", 1,
                                 &slots)
        != NGX_OK)
    {
        return;
    }

    front->cluster->asked = node;
    front->cluster->asked_at = ngx_current_msec;

    /* the next time somebody else is asked */

    ngx_queue_remove(&node->link);
    ngx_queue_insert_tail(&front->cluster->nodes, &node->link);

    ngx_post_event(&node->flush, &ngx_posted_events);
}


static ngx_mqtt_redis_t *
ngx_mqtt_redis_cluster_candidate(ngx_mqtt_redis_t *front)
{
    ngx_uint_t                 i;
    ngx_addr_t                *addr;
    ngx_queue_t               *q;
    ngx_mqtt_redis_cluster_t  *cluster;

    cluster = front->cluster;
    i = cluster->candidate++;

    if (i < front->naddrs) {
        addr = &front->addrs[i];
        return ngx_mqtt_redis_cluster_node(front, addr->sockaddr,
                                           addr->socklen);
    }

    i -= front->naddrs;

    for (q = ngx_queue_head(&cluster->nodes);
         q != ngx_queue_sentinel(&cluster->nodes);
         q = ngx_queue_next(q))
    {
        if (i-- == 0) {
            return ngx_queue_data(q, ngx_mqtt_redis_t, link);
        }
    }

    return NULL;
}


void
ngx_mqtt_redis_cluster_ready(ngx_mqtt_redis_t *node)
{
    ngx_mqtt_redis_t  *front;

    front = node->front;

    front->down = 0;
    front->warned = 0;
    front->backoff = 0;
    front->cluster->pause = 0;
    front->cluster->candidate = 0;

    ngx_mqtt_redis_cluster_update(front);
    ngx_mqtt_redis_cluster_post(front);
}


void
ngx_mqtt_redis_cluster_lost(ngx_mqtt_redis_t *node)
{
    ngx_mqtt_redis_cluster_t  *cluster;

    cluster = node->front->cluster;

    if (cluster->asked == node) {
        cluster->asked = NULL;
    }

    if (node->nslots) {
        cluster->stale = 1;
    }

    ngx_mqtt_redis_detour_node(node);
    ngx_mqtt_redis_cluster_update(node->front);
    ngx_mqtt_redis_cluster_post(node->front);
}


/* the gauge tells of a cluster whether each of its slots is served */

static void
ngx_mqtt_redis_cluster_update(ngx_mqtt_redis_t *front)
{
    ngx_uint_t                 up, down;
    ngx_queue_t               *q;
    ngx_mqtt_redis_t          *node;
    ngx_mqtt_redis_cluster_t  *cluster;

    cluster = front->cluster;

    up = (cluster->known && cluster->unserved == 0);
    down = cluster->known;

    for (q = ngx_queue_head(&cluster->nodes);
         q != ngx_queue_sentinel(&cluster->nodes);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_mqtt_redis_t, link);

        if (node->nslots == 0) {
            continue;
        }

        if (node->state != NGX_MQTT_REDIS_READY) {
            up = 0;
        }

        if (!node->down) {
            down = 0;
        }
    }

    if (front->own) {
        return;
    }

    if (down) {
        front->down = 1;
    }

    if (up && !cluster->up) {
        ngx_mqtt_count(front->worker, NGX_MQTT_STAT_redis_up);

    } else if (!up && cluster->up) {
        ngx_mqtt_count_sub(front->worker, NGX_MQTT_STAT_redis_up, 1);
    }

    cluster->up = up;
}


/*
 * Of a cluster every node with commands is asked for a sign of life behind
 * them, and whatever takes a detour is followed by one.
 */

void
ngx_mqtt_redis_sync(ngx_mqtt_redis_t *r, ngx_mqtt_op_t *op)
{
    ngx_str_t                 ping;
    ngx_queue_t              *q;
    ngx_mqtt_redis_t         *node;
    ngx_mqtt_redis_sync_t    *sync;
    ngx_mqtt_redis_detour_t  *detour;

    if (r->cluster == NULL || !r->cluster->known) {
        ngx_str_set(&ping, "PING");
        ngx_mqtt_redis_command(r, 1, &ping, 0, op);
        return;
    }

    sync = ngx_mqtt_alloc(r->worker, sizeof(ngx_mqtt_redis_sync_t));

    if (sync == NULL) {
        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_SERVER_UNAVAILABLE);
        return;
    }

    sync->op = op;
    sync->count = 0;

    for (q = ngx_queue_head(&r->cluster->nodes);
         q != ngx_queue_sentinel(&r->cluster->nodes);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_mqtt_redis_t, link);

        if (node->pending && !node->down) {
            ngx_mqtt_redis_sync_add(r, node, NGX_MQTT_REDIS_NO_SLOT, sync);
        }
    }

    for (q = ngx_queue_head(&r->cluster->detours);
         q != ngx_queue_sentinel(&r->cluster->detours);
         q = ngx_queue_next(q))
    {
        detour = ngx_queue_data(q, ngx_mqtt_redis_detour_t, link);

        if (!detour->delayed) {
            ngx_mqtt_redis_sync_add(r, r, detour->slot, sync);
        }
    }

    if (sync->count == 0) {
        ngx_mqtt_free(r->worker, sync, sizeof(ngx_mqtt_redis_sync_t));
        ngx_mqtt_op_post(op, NGX_OK, NGX_MQTT_SUCCESS);
    }
}


static ngx_int_t
ngx_mqtt_redis_sync_add(ngx_mqtt_redis_t *front, ngx_mqtt_redis_t *node,
    ngx_uint_t slot, ngx_mqtt_redis_sync_t *sync)
{
    ngx_str_t              ping;
    ngx_mqtt_op_t         *op;
    ngx_mqtt_redis_cmd_t  *cmd;

    op = ngx_mqtt_op_get(front->worker, NULL, ngx_mqtt_redis_synced, sync);
    if (op == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&ping, "PING");

    cmd = ngx_mqtt_redis_cmd_create(front, 0, NULL, 1, &ping);

    if (cmd == NULL) {
        ngx_mqtt_op_cancel(op);
        return NGX_ERROR;
    }

    cmd->op = op;
    cmd->slot = slot;

    sync->count++;
    front->total++;

    if (node == front) {
        ngx_mqtt_redis_detour_add(front, cmd);
        return NGX_OK;
    }

    ngx_mqtt_redis_enqueue(node, cmd);

    return NGX_OK;
}


static void
ngx_mqtt_redis_synced(ngx_mqtt_op_t *op)
{
    ngx_mqtt_redis_sync_t  *sync;

    sync = op->data;

    if (--sync->count == 0) {
        ngx_mqtt_op_post(sync->op, op->rc, op->reason);
        ngx_mqtt_free(op->worker, sync, sizeof(ngx_mqtt_redis_sync_t));
    }
}
