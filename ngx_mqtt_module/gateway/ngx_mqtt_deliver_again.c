
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * What Redis has refused of a record of Kafka: there is nobody who could be
 * told, so it is offered again until it is taken.
 *
 *     step --> Redis --> taken --> the join goes on
 *               ^          |
 *               +- again <-+ refused: out of memory, its disk is full
 *
 * (1) Steps are offered again in the order in which they were refused: the
 *     first one alone, to see whether it is taken, and then the others.
 *     Meanwhile no record that needs Redis goes on, so the order is kept.
 * (2) A message that is to be in logs was routed to nobody when it was
 *     refused.  What is offered to other nodes may come twice to those who
 *     have taken it.
 * (3) At the end of the worker the step ends as one that nobody knows of.
 *
 * Called from: ngx_mqtt_deliver.c, Redis replies, a timer.
 */


#include "ngx_mqtt_deliver_int.h"
#include "ngx_mqtt_nodes.h"
#include "ngx_mqtt_retain.h"


#define NGX_MQTT_DELIVER_AGAIN    1000      /* ms */


typedef struct {
    ngx_queue_t          queue;             /* in deliver->refused */
    ngx_mqtt_worker_t   *worker;
    ngx_mqtt_msg_t      *msg;
    ngx_mqtt_op_t       *op;                /* of the join */
    ngx_uint_t           what;
    unsigned             refused:1;         /* once at least */
    unsigned             probe:1;           /* the first one, alone */
} ngx_mqtt_deliver_step_t;


static void ngx_mqtt_deliver_stepped(ngx_mqtt_op_t *op);
static void ngx_mqtt_deliver_step_wait(ngx_mqtt_deliver_step_t *step);
static void ngx_mqtt_deliver_step_taken(ngx_mqtt_deliver_step_t *step);
static void ngx_mqtt_deliver_again(ngx_event_t *ev);
static ngx_int_t ngx_mqtt_deliver_step_again(ngx_mqtt_deliver_step_t *step);
static ngx_int_t ngx_mqtt_deliver_fanout_again(ngx_mqtt_deliver_step_t *step,
    ngx_mqtt_op_t *op);
static void ngx_mqtt_deliver_step_free(ngx_mqtt_deliver_step_t *step);


void
ngx_mqtt_deliver_again_start(ngx_mqtt_worker_t *w)
{
    ngx_event_t  *ev;

    ngx_queue_init(&w->deliver->refused);

    ev = &w->deliver->again;

    ev->handler = ngx_mqtt_deliver_again;
    ev->data = &w->ident;
    ev->log = w->log;
    ev->cancelable = 1;
}


void
ngx_mqtt_deliver_again_stop(ngx_mqtt_worker_t *w)
{
    ngx_queue_t              *q;
    ngx_mqtt_deliver_t       *dr;
    ngx_mqtt_deliver_step_t  *step;

    dr = w->deliver;

    if (dr->again.timer_set) {
        ngx_del_timer(&dr->again);
    }

    if (dr->again.posted) {
        ngx_delete_posted_event(&dr->again);
    }

    while (!ngx_queue_empty(&dr->refused)) {
        q = ngx_queue_head(&dr->refused);
        step = ngx_queue_data(q, ngx_mqtt_deliver_step_t, queue);

        ngx_queue_remove(q);

        ngx_mqtt_op_post(step->op, NGX_ERROR, NGX_MQTT_SERVER_SHUTTING_DOWN);
        ngx_mqtt_deliver_step_free(step);
    }
}


ngx_mqtt_op_t *
ngx_mqtt_deliver_step(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m, ngx_uint_t what,
    ngx_mqtt_join_t *join)
{
    ngx_mqtt_op_t            *op;
    ngx_mqtt_deliver_step_t  *step;

    step = ngx_mqtt_calloc(w, sizeof(ngx_mqtt_deliver_step_t));
    if (step == NULL) {
        return NULL;
    }

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_deliver_stepped, step);
    step->op = op ? ngx_mqtt_join_step(join) : NULL;

    if (step->op == NULL) {

        if (op) {
            ngx_mqtt_op_cancel(op);
        }

        ngx_mqtt_free(w, step, sizeof(ngx_mqtt_deliver_step_t));
        return NULL;
    }

    ngx_mqtt_msg_ref(m);

    step->worker = w;
    step->msg = m;
    step->what = what;

    return op;
}


static void
ngx_mqtt_deliver_stepped(ngx_mqtt_op_t *op)
{
    ngx_mqtt_deliver_t       *dr;
    ngx_mqtt_deliver_step_t  *step;

    step = op->data;
    dr = op->worker->deliver;

    if (op->rc == NGX_DECLINED && dr) {
        ngx_mqtt_deliver_step_wait(step);
        return;
    }

    if (step->refused && dr) {
        ngx_mqtt_deliver_step_taken(step);
    }

    ngx_mqtt_op_complete(step->op, op->rc, op->reason, NULL);

    ngx_mqtt_deliver_step_free(step);
}


static void
ngx_mqtt_deliver_step_wait(ngx_mqtt_deliver_step_t *step)
{
    ngx_mqtt_deliver_t  *dr;

    dr = step->worker->deliver;

    if (!step->refused) {
        step->refused = 1;
        dr->nrefused++;
    }

    dr->taken = 0;

    if (step->probe) {
        step->probe = 0;
        dr->probing = 0;

        ngx_queue_insert_head(&dr->refused, &step->queue);

    } else {
        ngx_queue_insert_tail(&dr->refused, &step->queue);
    }

    if (!dr->again.timer_set) {
        ngx_add_timer(&dr->again, NGX_MQTT_DELIVER_AGAIN);
    }
}


static void
ngx_mqtt_deliver_step_taken(ngx_mqtt_deliver_step_t *step)
{
    ngx_mqtt_deliver_t  *dr;

    dr = step->worker->deliver;

    dr->taken = 1;

    if (step->probe) {
        dr->probing = 0;
        ngx_post_event(&dr->again, &ngx_posted_events);
    }

    if (--dr->nrefused == 0) {
        ngx_mqtt_kafka_consume_resume(step->worker->kafka);
    }
}


static void
ngx_mqtt_deliver_again(ngx_event_t *ev)
{
    ngx_queue_t              *q;
    ngx_mqtt_deliver_t       *dr;
    ngx_mqtt_deliver_step_t  *step;

    dr = ngx_mqtt_event_worker(ev)->deliver;

    /* none of them is refused inside the call */

    while (!dr->probing && !ngx_queue_empty(&dr->refused)) {
        q = ngx_queue_head(&dr->refused);
        step = ngx_queue_data(q, ngx_mqtt_deliver_step_t, queue);

        if (ngx_mqtt_deliver_step_again(step) != NGX_OK) {

            if (!ev->timer_set) {
                ngx_add_timer(ev, NGX_MQTT_DELIVER_AGAIN);
            }

            return;
        }

        step->probe = !dr->taken;
        dr->probing = step->probe;
    }
}


/* NGX_OK: it is under way; NGX_BUSY: not now */

static ngx_int_t
ngx_mqtt_deliver_step_again(ngx_mqtt_deliver_step_t *step)
{
    ngx_int_t           rc;
    ngx_mqtt_op_t      *op;
    ngx_mqtt_worker_t  *w;

    w = step->worker;

    if (step->what == NGX_MQTT_DELIVER_RETAIN && ngx_mqtt_retain_busy(w)) {
        return NGX_BUSY;
    }

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_deliver_stepped, step);
    if (op == NULL) {
        return NGX_BUSY;
    }

    switch (step->what) {

    case NGX_MQTT_DELIVER_RETAIN:
        ngx_mqtt_retain_store(w, step->msg, op);
        rc = NGX_AGAIN;
        break;

    case NGX_MQTT_DELIVER_FANOUT:
        rc = ngx_mqtt_deliver_fanout_again(step, op);
        break;

    default:
        rc = ngx_mqtt_nodes_publish(w, step->msg, NULL, op);
    }

    if (rc == NGX_BUSY) {
        ngx_mqtt_op_cancel(op);
        return NGX_BUSY;
    }

    ngx_queue_remove(&step->queue);

    if (rc != NGX_AGAIN) {

        /* nobody wants it any more */

        ngx_mqtt_op_post(op, NGX_OK, NGX_MQTT_SUCCESS);
    }

    return NGX_OK;
}


/* its logs, and who has subscribed, may be others now */

static ngx_int_t
ngx_mqtt_deliver_fanout_again(ngx_mqtt_deliver_step_t *step, ngx_mqtt_op_t *op)
{
    ngx_mqtt_fanout_t   fo;
    ngx_mqtt_worker_t  *w;

    w = step->worker;

    if (ngx_mqtt_fanout_prepare(w, step->msg, &fo) == NGX_BUSY) {
        return NGX_BUSY;
    }

    if (!fo.logged) {
        step->what = NGX_MQTT_DELIVER_NODES;
    }

    return ngx_mqtt_fanout(w, step->msg, &fo, NULL, fo.waits ? op : NULL);
}


static void
ngx_mqtt_deliver_step_free(ngx_mqtt_deliver_step_t *step)
{
    ngx_mqtt_msg_unref(step->msg);
    ngx_mqtt_free(step->worker, step, sizeof(ngx_mqtt_deliver_step_t));
}
