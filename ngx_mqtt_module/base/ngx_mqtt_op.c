
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Continuations; the rules are in ngx_mqtt_op.h.
 *
 * Posted completions wait in w->ops_completed for w->op_event, which runs at
 * the end of the same turn of the event loop.
 */


#include "ngx_mqtt.h"


ngx_mqtt_op_t *
ngx_mqtt_op_get(ngx_mqtt_worker_t *w, ngx_queue_t *owner, ngx_mqtt_op_pt done,
    void *data)
{
    ngx_mqtt_op_t  *op;

    op = ngx_mqtt_calloc(w, sizeof(ngx_mqtt_op_t));
    if (op == NULL) {
        return NULL;
    }

    op->worker = w;
    op->done = done;
    op->data = data;

    if (owner) {
        ngx_queue_insert_tail(owner, &op->queue);

    } else {
        ngx_queue_init(&op->queue);
    }

    return op;
}


void
ngx_mqtt_op_complete(ngx_mqtt_op_t *op, ngx_int_t rc, ngx_uint_t reason,
    void *result)
{
    op->rc = rc;
    op->reason = reason;
    op->result = result;

    ngx_queue_remove(&op->queue);

    if (op->done) {
        op->done(op);
    }

    ngx_mqtt_free(op->worker, op, sizeof(ngx_mqtt_op_t));
}


void
ngx_mqtt_op_post(ngx_mqtt_op_t *op, ngx_int_t rc, ngx_uint_t reason)
{
    ngx_mqtt_worker_t  *w;

    w = op->worker;

    op->rc = rc;
    op->reason = reason;

    ngx_queue_insert_tail(&w->ops_completed, &op->posted);
    ngx_post_event(&w->op_event, &ngx_posted_events);
}


void
ngx_mqtt_op_cancel(ngx_mqtt_op_t *op)
{
    ngx_queue_remove(&op->queue);
    ngx_mqtt_free(op->worker, op, sizeof(ngx_mqtt_op_t));
}


void
ngx_mqtt_op_orphan(ngx_queue_t *owner)
{
    ngx_queue_t    *q;
    ngx_mqtt_op_t  *op;

    while (!ngx_queue_empty(owner)) {
        q = ngx_queue_head(owner);
        op = ngx_queue_data(q, ngx_mqtt_op_t, queue);

        ngx_queue_remove(&op->queue);
        ngx_queue_init(&op->queue);

        op->done = NULL;
    }
}


void
ngx_mqtt_op_handler(ngx_event_t *ev)
{
    ngx_queue_t        *q, posted;
    ngx_mqtt_op_t      *op;
    ngx_mqtt_worker_t  *w;

    w = ngx_mqtt_event_worker(ev);

    if (ngx_queue_empty(&w->ops_completed)) {
        return;
    }

    /* what a completion posts belongs to the next round */

    ngx_queue_init(&posted);
    ngx_queue_add(&posted, &w->ops_completed);
    ngx_queue_init(&w->ops_completed);

    while (!ngx_queue_empty(&posted)) {
        q = ngx_queue_head(&posted);
        op = ngx_queue_data(q, ngx_mqtt_op_t, posted);

        ngx_queue_remove(&op->posted);

        ngx_mqtt_op_complete(op, op->rc, op->reason, NULL);
    }
}
