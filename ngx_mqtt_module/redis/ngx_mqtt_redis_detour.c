
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Redis Cluster: commands that a node did not take, and those behind them.
 *
 * (1) MOVED: the slot is that of another node, for good.  ASK: this command
 *     is, while the slot moves.  Neither was executed, so even a command that
 *     is never repeated goes there.
 * (2) TRYAGAIN, CLUSTERDOWN, a slot of nobody: commands with WAIT are sent
 *     again after a pause that doubles, others fail.
 * (3) Commands of one slot keep their order: while some are under way at a
 *     node that does not serve it any longer, those that come back and those
 *     that come new stand in a detour, and leave it together when all are
 *     answered.  Other slots do not wait.
 * (4) Nothing is released inside a reply, but in the chores of the turn.
 * (5) A node that is just being told of a new map may refuse a command and
 *     take the next one; then, as with a script that is not known, the order
 *     of these two is not kept.
 *
 * Called from: redis/.
 */


#include "ngx_mqtt_redis_core.h"


#define NGX_MQTT_REDIS_PAUSE_MIN  20
#define NGX_MQTT_REDIS_PAUSE_MAX  1000
#define NGX_MQTT_REDIS_TRIES      5
#define NGX_MQTT_REDIS_UNSERVED   100


static ngx_mqtt_redis_t *ngx_mqtt_redis_detour_target(ngx_mqtt_redis_t *node,
    ngx_mqtt_redis_reply_t *reply);
static ngx_queue_t *ngx_mqtt_redis_detour_unsent(ngx_mqtt_redis_t *node);
static void ngx_mqtt_redis_detour_take(ngx_mqtt_redis_t *node,
    ngx_mqtt_redis_detour_t *detour);
static ngx_msec_t ngx_mqtt_redis_detour_wait(ngx_mqtt_redis_t *front,
    ngx_mqtt_redis_detour_t *detour);
static void ngx_mqtt_redis_detour_fail(ngx_mqtt_redis_t *front,
    ngx_queue_t *queue, ngx_uint_t keep);
static void ngx_mqtt_redis_detour_send(ngx_mqtt_redis_t *front,
    ngx_mqtt_redis_detour_t *detour, ngx_queue_t *queue);


ngx_uint_t
ngx_mqtt_redis_detour_refuses(ngx_mqtt_redis_t *front,
    ngx_mqtt_redis_cmd_t *cmd)
{
    ngx_mqtt_redis_slot_t  *slot;

    if (cmd->wait || !front->cluster->known) {
        return 0;
    }

    slot = &front->cluster->slots[cmd->slot];

    return slot->detour ? slot->detour->delayed : slot->node == NULL;
}


/* NULL: out of memory */

ngx_mqtt_redis_detour_t *
ngx_mqtt_redis_detour_open(ngx_mqtt_redis_t *front, ngx_uint_t slot)
{
    ngx_mqtt_redis_slot_t    *s;
    ngx_mqtt_redis_detour_t  *detour;

    s = &front->cluster->slots[slot];

    if (s->detour) {
        return s->detour;
    }

    detour = ngx_mqtt_calloc(front->worker, sizeof(ngx_mqtt_redis_detour_t));
    if (detour == NULL) {
        return NULL;
    }

    detour->slot = slot;

    ngx_queue_init(&detour->back);
    ngx_queue_init(&detour->later);

    ngx_queue_insert_tail(&front->cluster->detours, &detour->link);

    s->detour = detour;

    ngx_mqtt_redis_cluster_post(front);

    return detour;
}


/* a new command behind what stands there */

void
ngx_mqtt_redis_detour_add(ngx_mqtt_redis_t *front, ngx_mqtt_redis_cmd_t *cmd)
{
    ngx_mqtt_redis_detour_t  *detour;

    detour = ngx_mqtt_redis_detour_open(front, cmd->slot);

    if (detour == NULL) {
        ngx_mqtt_redis_give_up(front, cmd);
        return;
    }

    ngx_queue_insert_tail(&detour->later, &cmd->queue);

    ngx_mqtt_redis_hold(front);
}


ngx_uint_t
ngx_mqtt_redis_detour_reply(ngx_mqtt_redis_t *node, ngx_mqtt_redis_cmd_t *cmd,
    ngx_mqtt_redis_reply_t *reply)
{
    ngx_uint_t                moved, ask, down, opened;
    ngx_mqtt_redis_t         *front, *target;
    ngx_mqtt_redis_detour_t  *detour;

    front = node->front;
    target = NULL;

    moved = ngx_mqtt_redis_error_is(reply, "MOVED");
    ask = ngx_mqtt_redis_error_is(reply, "ASK");
    down = ngx_mqtt_redis_error_is(reply, "CLUSTERDOWN");

    if (!moved && !ask && !down
        && !ngx_mqtt_redis_error_is(reply, "TRYAGAIN"))
    {
        return 0;
    }

    ngx_log_debug2(NGX_LOG_DEBUG_EVENT, &node->log, 0,
                   "mqtt redis slot %ui: \"%V\"", (ngx_uint_t) cmd->slot,
                   &reply->str);

    ngx_mqtt_redis_detach(node, cmd);

    if (cmd->slot == NGX_MQTT_REDIS_NO_SLOT) {
        ngx_mqtt_redis_give_up(front, cmd);
        return 1;
    }

    opened = (front->cluster->slots[cmd->slot].detour == NULL);

    if (moved || ask) {
        target = ngx_mqtt_redis_detour_target(node, reply);
    }

    if (moved) {
        ngx_mqtt_count(front->worker, NGX_MQTT_STAT_redis_moved);

        if (target) {
            ngx_mqtt_redis_cluster_give(front, cmd->slot, target);
        }
    }

    if (ask) {
        ngx_mqtt_count(front->worker, NGX_MQTT_STAT_redis_asked);
    }

    if (moved || down) {
        front->cluster->stale = 1;
    }

    /* a circle of redirections is one that has to wait, too */

    cmd->tries += (cmd->tries < 255);

    if (cmd->tries > NGX_MQTT_REDIS_TRIES) {
        target = NULL;
    }

    detour = ngx_mqtt_redis_detour_open(front, cmd->slot);

    if (detour == NULL || (target == NULL && !cmd->wait)) {
        ngx_mqtt_redis_give_up(front, cmd);
        return 1;
    }

    if (opened) {
        ngx_mqtt_redis_detour_take(node, detour);
    }

    ngx_queue_insert_tail(&detour->back, &cmd->queue);

    if (target == NULL) {
        detour->delayed = 1;
        detour->due = ngx_current_msec
                      + ngx_min((ngx_msec_t) NGX_MQTT_REDIS_PAUSE_MIN
                                << ngx_min(cmd->tries, 8),
                                NGX_MQTT_REDIS_PAUSE_MAX);

    } else if (ask) {
        cmd->ask = 1;
        detour->ask = target;
    }

    ngx_mqtt_redis_cluster_post(front);

    return 1;
}


/* "MOVED slot host:port", "ASK slot host:port"; IPv6 without brackets */

static ngx_mqtt_redis_t *
ngx_mqtt_redis_detour_target(ngx_mqtt_redis_t *node,
    ngx_mqtt_redis_reply_t *reply)
{
    u_char     *p, *end;
    ngx_int_t   port;
    ngx_str_t   host;

    end = reply->str.data + reply->str.len;

    p = end;

    while (p > reply->str.data && p[-1] != ':') {
        p--;
    }

    port = ngx_atoi(p, end - p);

    if (p == reply->str.data || port <= 0 || port > 65535) {
        return NULL;
    }

    host.data = --p;

    while (host.data > reply->str.data && host.data[-1] != ' ') {
        host.data--;
    }

    host.len = p - host.data;

    return ngx_mqtt_redis_cluster_node_name(node, &host, (in_port_t) port);
}


/* the first command of which the node has not got a byte */

static ngx_queue_t *
ngx_mqtt_redis_detour_unsent(ngx_mqtt_redis_t *node)
{
    ngx_queue_t  *q;

    q = ngx_queue_head(&node->queued);

    return node->offset ? ngx_queue_next(q) : q;
}


/* what the node was not sent yet is behind what it has to answer */

static void
ngx_mqtt_redis_detour_take(ngx_mqtt_redis_t *node,
    ngx_mqtt_redis_detour_t *detour)
{
    ngx_queue_t           *q, *next;
    ngx_mqtt_redis_cmd_t  *cmd;

    for (q = ngx_mqtt_redis_detour_unsent(node);
         q != ngx_queue_sentinel(&node->queued);
         q = next)
    {
        next = ngx_queue_next(q);
        cmd = ngx_queue_data(q, ngx_mqtt_redis_cmd_t, queue);

        if (cmd->step || cmd->slot != detour->slot) {
            continue;
        }

        ngx_mqtt_redis_detach(node, cmd);

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&detour->later, q);
    }
}


/* these are older than those that stand in "later" already */

void
ngx_mqtt_redis_detour_node(ngx_mqtt_redis_t *node)
{
    ngx_queue_t              *q, *next;
    ngx_mqtt_redis_t         *front;
    ngx_mqtt_redis_cmd_t     *cmd;
    ngx_mqtt_redis_slot_t    *slot;
    ngx_mqtt_redis_detour_t  *detour;

    front = node->front;

    for (q = ngx_mqtt_redis_detour_unsent(node);
         q != ngx_queue_sentinel(&node->queued);
         q = next)
    {
        next = ngx_queue_next(q);
        cmd = ngx_queue_data(q, ngx_mqtt_redis_cmd_t, queue);

        if (cmd->step || cmd->slot == NGX_MQTT_REDIS_NO_SLOT) {
            continue;
        }

        slot = &front->cluster->slots[cmd->slot];

        if (slot->node == node && slot->detour == NULL) {
            continue;
        }

        detour = ngx_mqtt_redis_detour_open(front, cmd->slot);

        ngx_queue_remove(q);
        ngx_mqtt_redis_detach(node, cmd);

        if (detour == NULL) {
            ngx_mqtt_redis_give_up(front, cmd);
            continue;
        }

        ngx_queue_insert_tail(&detour->back, q);
    }
}


/* 1: commands are about to go to this node, whatever it serves */

ngx_uint_t
ngx_mqtt_redis_detour_asks(ngx_mqtt_redis_t *node)
{
    ngx_queue_t              *q, *detours;
    ngx_mqtt_redis_detour_t  *detour;

    detours = &node->front->cluster->detours;

    for (q = ngx_queue_head(detours);
         q != ngx_queue_sentinel(detours);
         q = ngx_queue_next(q))
    {
        detour = ngx_queue_data(q, ngx_mqtt_redis_detour_t, link);

        if (detour->ask == node) {
            return 1;
        }
    }

    return 0;
}


ngx_msec_t
ngx_mqtt_redis_detour_release(ngx_mqtt_redis_t *front)
{
    ngx_msec_t                wait, next;
    ngx_queue_t              *q, *end, *after;
    ngx_mqtt_redis_detour_t  *detour;

    next = NGX_TIMER_INFINITE;
    end = ngx_queue_sentinel(&front->cluster->detours);

    for (q = ngx_queue_head(&front->cluster->detours); q != end; q = after) {
        after = ngx_queue_next(q);
        detour = ngx_queue_data(q, ngx_mqtt_redis_detour_t, link);

        if (front->cluster->slots[detour->slot].attached) {
            continue;
        }

        wait = ngx_mqtt_redis_detour_wait(front, detour);

        if (wait) {
            next = ngx_min(next, wait);
            continue;
        }

        ngx_queue_remove(q);
        front->cluster->slots[detour->slot].detour = NULL;

        ngx_mqtt_redis_detour_send(front, detour, &detour->back);
        ngx_mqtt_redis_detour_send(front, detour, &detour->later);

        ngx_mqtt_free(front->worker, detour, sizeof(ngx_mqtt_redis_detour_t));
    }

    return next;
}


/* ms, 0: it may go */

static ngx_msec_t
ngx_mqtt_redis_detour_wait(ngx_mqtt_redis_t *front,
    ngx_mqtt_redis_detour_t *detour)
{
    if (detour->delayed) {

        if ((ngx_msec_int_t) (detour->due - ngx_current_msec) > 0) {
            return detour->due - ngx_current_msec;
        }

        detour->delayed = 0;
    }

    if (front->cluster->slots[detour->slot].node) {
        return 0;
    }

    detour->delayed = 1;
    detour->due = ngx_current_msec + NGX_MQTT_REDIS_UNSERVED;

    front->cluster->stale = 1;

    ngx_mqtt_redis_detour_fail(front, &detour->back,
                               NGX_MQTT_REDIS_KEEP_WAITING);
    ngx_mqtt_redis_detour_fail(front, &detour->later,
                               NGX_MQTT_REDIS_KEEP_WAITING);

    return NGX_MQTT_REDIS_UNSERVED;
}


static void
ngx_mqtt_redis_detour_fail(ngx_mqtt_redis_t *front, ngx_queue_t *queue,
    ngx_uint_t keep)
{
    ngx_queue_t           *q, *next;
    ngx_mqtt_redis_cmd_t  *cmd;

    for (q = ngx_queue_head(queue); q != ngx_queue_sentinel(queue); q = next) {
        next = ngx_queue_next(q);
        cmd = ngx_queue_data(q, ngx_mqtt_redis_cmd_t, queue);

        if (keep == NGX_MQTT_REDIS_KEEP_WAITING && cmd->wait) {
            continue;
        }

        ngx_queue_remove(q);
        ngx_mqtt_redis_give_up(front, cmd);
    }
}


static void
ngx_mqtt_redis_detour_send(ngx_mqtt_redis_t *front,
    ngx_mqtt_redis_detour_t *detour, ngx_queue_t *queue)
{
    ngx_queue_t           *q;
    ngx_mqtt_redis_t      *node;
    ngx_mqtt_redis_cmd_t  *cmd;

    while (!ngx_queue_empty(queue)) {
        q = ngx_queue_head(queue);
        cmd = ngx_queue_data(q, ngx_mqtt_redis_cmd_t, queue);

        ngx_queue_remove(q);

        node = cmd->ask ? detour->ask
                        : front->cluster->slots[detour->slot].node;

        ngx_mqtt_redis_cluster_need(node);

        if (node->down && !cmd->wait) {
            ngx_mqtt_redis_give_up(front, cmd);
            continue;
        }

        /* without ASKING the node sends the command back where it was */

        if (cmd->ask) {
            (void) ngx_mqtt_redis_login_add(node, NGX_MQTT_REDIS_STEP_ASKING,
                                            "ASKING", 0, NULL);
        }

        cmd->ask = 0;

        ngx_mqtt_redis_enqueue(node, cmd);
    }
}


void
ngx_mqtt_redis_detour_fail_all(ngx_mqtt_redis_t *front)
{
    ngx_queue_t              *q;
    ngx_mqtt_redis_detour_t  *detour;

    while (!ngx_queue_empty(&front->cluster->detours)) {
        q = ngx_queue_head(&front->cluster->detours);
        detour = ngx_queue_data(q, ngx_mqtt_redis_detour_t, link);

        ngx_queue_remove(q);
        front->cluster->slots[detour->slot].detour = NULL;

        ngx_mqtt_redis_detour_fail(front, &detour->back,
                                   NGX_MQTT_REDIS_KEEP_NONE);
        ngx_mqtt_redis_detour_fail(front, &detour->later,
                                   NGX_MQTT_REDIS_KEEP_NONE);

        ngx_mqtt_free(front->worker, detour, sizeof(ngx_mqtt_redis_detour_t));
    }
}
