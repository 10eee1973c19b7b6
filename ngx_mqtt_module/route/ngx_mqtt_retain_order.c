
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Look-ups of retained messages after the writes before them.
 *
 * A message that is published is sent to those who have subscribed and written
 * to Redis; who subscribes a moment later has to find it there.  Commands of
 * different connections are run in any order, and a parent is listed behind
 * its first message, so the look-up could be first, and the subscriber would
 * get the message neither way.
 *
 * (1) Each write has a number.  A worker tells in its slot of the zone how
 *     many were begun, and which is the oldest that is not done.
 * (2) A write is begun before the directory is asked who has subscribed; who
 *     subscribes stands in the directory before the numbers are looked at.
 *     So a write whose message goes past a new subscription is seen by it.
 * (3) A look-up waits for the writes begun until then in all workers of the
 *     node, but not for one that is stuck.  Mostly there are none, and it
 *     costs a comparison for each worker.
 *
 * Called from: writes and look-ups.
 */


#include "ngx_mqtt_retain_int.h"
#include "ngx_mqtt_zone.h"


#define NGX_MQTT_RETAIN_WAIT_STEP  1       /* ms, between two looks */
#define NGX_MQTT_RETAIN_WAIT_MAX   1000


typedef struct {
    ngx_uint_t               slot;
    uint64_t                 generation;
    uint64_t                 number;       /* the last one begun */
} ngx_mqtt_retain_until_t;


typedef struct {
    ngx_queue_t              queue;        /* in rt->waits */
    ngx_mqtt_op_t           *op;
    ngx_msec_t               start;
    ngx_uint_t               size;         /* of until, as allocated */
    ngx_uint_t               n;
    ngx_mqtt_retain_until_t  until[];
} ngx_mqtt_retain_wait_t;


static void ngx_mqtt_retain_order_tell(ngx_mqtt_worker_t *w);
static ngx_uint_t ngx_mqtt_retain_order_pending(ngx_mqtt_zone_slot_t *slot);
static void ngx_mqtt_retain_order_note(ngx_mqtt_zone_t *zone,
    ngx_mqtt_retain_wait_t *wait);
static ngx_uint_t ngx_mqtt_retain_order_settled(ngx_mqtt_worker_t *w,
    ngx_mqtt_retain_wait_t *wait);
static void ngx_mqtt_retain_order_handler(ngx_event_t *ev);
static void ngx_mqtt_retain_order_free(ngx_mqtt_worker_t *w,
    ngx_mqtt_retain_wait_t *wait);


void
ngx_mqtt_retain_order_init(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_retain_t  *rt;

    rt = w->retain;

    ngx_queue_init(&rt->writes);
    ngx_queue_init(&rt->waits);

    rt->order.handler = ngx_mqtt_retain_order_handler;
    rt->order.data = &w->ident;
    rt->order.log = w->log;
    rt->order.cancelable = 1;

    ngx_mqtt_retain_order_tell(w);
}


void
ngx_mqtt_retain_order_stop(ngx_mqtt_worker_t *w)
{
    ngx_queue_t             *q;
    ngx_mqtt_retain_t       *rt;
    ngx_mqtt_retain_wait_t  *wait;

    rt = w->retain;

    if (rt->order.timer_set) {
        ngx_del_timer(&rt->order);
    }

    while (!ngx_queue_empty(&rt->waits)) {
        q = ngx_queue_head(&rt->waits);
        wait = ngx_queue_data(q, ngx_mqtt_retain_wait_t, queue);

        ngx_mqtt_op_cancel(wait->op);
        ngx_mqtt_retain_order_free(w, wait);
    }
}


void
ngx_mqtt_retain_order_begin(ngx_mqtt_worker_t *w,
    ngx_mqtt_retain_number_t *number)
{
    number->value = ++w->retain->begun;

    ngx_queue_insert_tail(&w->retain->writes, &number->queue);

    ngx_mqtt_retain_order_tell(w);

    /* (2): not after what is read from the directory */

    ngx_memory_barrier();
}


void
ngx_mqtt_retain_order_done(ngx_mqtt_worker_t *w,
    ngx_mqtt_retain_number_t *number)
{
    ngx_mqtt_retain_t  *rt;

    rt = w->retain;

    ngx_queue_remove(&number->queue);

    ngx_mqtt_retain_order_tell(w);

    if (!ngx_queue_empty(&rt->waits)) {
        ngx_mqtt_retain_order_handler(&rt->order);
    }
}


static void
ngx_mqtt_retain_order_tell(ngx_mqtt_worker_t *w)
{
    ngx_queue_t               *q;
    ngx_mqtt_retain_t         *rt;
    ngx_mqtt_retain_number_t  *number;

    rt = w->retain;

    w->slot->retain_begun = rt->begun;

    if (ngx_queue_empty(&rt->writes)) {
        w->slot->retain_oldest = rt->begun + 1;
        return;
    }

    q = ngx_queue_head(&rt->writes);
    number = ngx_queue_data(q, ngx_mqtt_retain_number_t, queue);

    w->slot->retain_oldest = number->value;
}


static ngx_uint_t
ngx_mqtt_retain_order_pending(ngx_mqtt_zone_slot_t *slot)
{
    return slot->generation && slot->retain_oldest <= slot->retain_begun;
}


ngx_int_t
ngx_mqtt_retain_order_wait(ngx_mqtt_worker_t *w, ngx_queue_t *owner,
    ngx_mqtt_op_pt done, void *data)
{
    ngx_uint_t               i, n;
    ngx_mqtt_op_t           *op;
    ngx_mqtt_zone_t         *zone;
    ngx_mqtt_retain_t       *rt;
    ngx_mqtt_retain_wait_t  *wait;

    rt = w->retain;
    zone = ngx_mqtt_zone(w->gateway);

    ngx_memory_barrier();

    for (i = 0, n = 0; i < zone->nslots; i++) {
        n += ngx_mqtt_retain_order_pending(&zone->slots[i]);
    }

    if (n == 0) {
        return NGX_OK;
    }

    op = ngx_mqtt_op_get(w, owner, done, data);
    if (op == NULL) {
        return NGX_ERROR;
    }

    wait = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_retain_wait_t)
                             + n * sizeof(ngx_mqtt_retain_until_t));
    if (wait == NULL) {
        ngx_mqtt_op_cancel(op);
        return NGX_ERROR;
    }

    wait->op = op;
    wait->start = ngx_current_msec;
    wait->size = n;

    ngx_mqtt_retain_order_note(zone, wait);

    ngx_queue_insert_tail(&rt->waits, &wait->queue);

    if (!rt->order.timer_set) {
        ngx_add_timer(&rt->order, NGX_MQTT_RETAIN_WAIT_STEP);
    }

    return NGX_AGAIN;
}


/* if others write by now, that was begun too late to count */

static void
ngx_mqtt_retain_order_note(ngx_mqtt_zone_t *zone, ngx_mqtt_retain_wait_t *wait)
{
    ngx_uint_t                i;
    ngx_mqtt_zone_slot_t     *slot;
    ngx_mqtt_retain_until_t  *until;

    wait->n = 0;

    for (i = 0; i < zone->nslots && wait->n < wait->size; i++) {
        slot = &zone->slots[i];

        if (ngx_mqtt_retain_order_pending(slot)) {
            until = &wait->until[wait->n++];

            until->slot = i;
            until->generation = slot->generation;
            until->number = slot->retain_begun;
        }
    }
}


static ngx_uint_t
ngx_mqtt_retain_order_settled(ngx_mqtt_worker_t *w,
    ngx_mqtt_retain_wait_t *wait)
{
    ngx_uint_t                i;
    ngx_mqtt_zone_slot_t     *slot;
    ngx_mqtt_retain_until_t  *until;

    if (ngx_current_msec - wait->start >= NGX_MQTT_RETAIN_WAIT_MAX) {
        return 1;
    }

    for (i = 0; i < wait->n; i++) {
        until = &wait->until[i];
        slot = &ngx_mqtt_zone(w->gateway)->slots[until->slot];

        if (slot->generation == until->generation
            && slot->retain_oldest <= until->number)
        {
            return 0;
        }
    }

    return 1;
}


static void
ngx_mqtt_retain_order_handler(ngx_event_t *ev)
{
    ngx_queue_t             *q, *next;
    ngx_mqtt_retain_t       *rt;
    ngx_mqtt_worker_t       *w;
    ngx_mqtt_retain_wait_t  *wait;

    w = ngx_mqtt_event_worker(ev);
    rt = w->retain;

    for (q = ngx_queue_head(&rt->waits);
         q != ngx_queue_sentinel(&rt->waits);
         q = next)
    {
        next = ngx_queue_next(q);
        wait = ngx_queue_data(q, ngx_mqtt_retain_wait_t, queue);

        if (ngx_mqtt_retain_order_settled(w, wait)) {
            ngx_mqtt_op_post(wait->op, NGX_OK, NGX_MQTT_SUCCESS);
            ngx_mqtt_retain_order_free(w, wait);
        }
    }

    if (!ngx_queue_empty(&rt->waits) && !rt->order.timer_set) {
        ngx_add_timer(&rt->order, NGX_MQTT_RETAIN_WAIT_STEP);
    }
}


static void
ngx_mqtt_retain_order_free(ngx_mqtt_worker_t *w, ngx_mqtt_retain_wait_t *wait)
{
    ngx_queue_remove(&wait->queue);

    ngx_mqtt_free(w, wait, sizeof(ngx_mqtt_retain_wait_t)
                           + wait->size * sizeof(ngx_mqtt_retain_until_t));
}
