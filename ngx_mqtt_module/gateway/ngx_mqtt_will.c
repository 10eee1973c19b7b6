
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Wills, 3.1.2.5, on their way through the one entrance.  Whose turn it is to
 * publish one was decided by session/.
 *
 * (1) A will that finds Kafka, Redis or a worker at its bound waits, as the
 *     publish of a client does; a session has one will, so no more wait than
 *     there are clients.
 * (2) The op completes with NGX_OK when the message is acknowledged, or was
 *     refused for good; when the worker ends before that, with NGX_ERROR.
 *
 * Called from: session/ (publish), hooks->resume, gateway/ (life).
 */


#include "ngx_mqtt_gateway.h"


typedef struct {
    ngx_queue_t          queue;        /* in w->wills, while it waits */
    ngx_mqtt_msg_t      *msg;
    ngx_mqtt_op_t       *op;
} ngx_mqtt_will_wait_t;


static ngx_int_t ngx_mqtt_will_ingest(ngx_mqtt_worker_t *w,
    ngx_mqtt_will_wait_t *will);
static void ngx_mqtt_will_ingested(ngx_mqtt_op_t *op);
static void ngx_mqtt_will_wait(ngx_mqtt_worker_t *w,
    ngx_mqtt_will_wait_t *will);
static void ngx_mqtt_will_done(ngx_mqtt_worker_t *w,
    ngx_mqtt_will_wait_t *will, ngx_int_t rc, ngx_uint_t reason);


void
ngx_mqtt_will_publish(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_op_t *op)
{
    ngx_time_t            *tp;
    ngx_mqtt_will_wait_t  *will;

    will = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_will_wait_t));

    if (will == NULL) {
        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_UNSPECIFIED_ERROR);
        return;
    }

    /* its expiry interval begins now, 3.1.3.2.4 */

    tp = ngx_timeofday();
    m->received = (uint64_t) tp->sec * 1000 + tp->msec;

    ngx_mqtt_msg_ref(m);

    will->msg = m;
    will->op = op;

    if (ngx_mqtt_will_ingest(w, will) == NGX_BUSY) {
        ngx_mqtt_will_wait(w, will);
    }
}


static ngx_int_t
ngx_mqtt_will_ingest(ngx_mqtt_worker_t *w, ngx_mqtt_will_wait_t *will)
{
    ngx_int_t       rc;
    ngx_uint_t      reason;
    ngx_mqtt_op_t  *op;

    op = NULL;

    if (will->msg->qos) {
        op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_will_ingested, will);

        if (op == NULL) {
            return NGX_BUSY;
        }
    }

    rc = ngx_mqtt_ingest(w, will->msg, NULL, op, &reason);

    if (op && rc == NGX_AGAIN) {
        return NGX_OK;
    }

    if (op) {
        ngx_mqtt_op_cancel(op);
    }

    if (rc == NGX_BUSY || rc == NGX_ERROR) {
        return NGX_BUSY;
    }

    ngx_mqtt_will_done(w, will, (rc == NGX_DECLINED) ? rc : NGX_OK, reason);

    return NGX_OK;
}


static void
ngx_mqtt_will_ingested(ngx_mqtt_op_t *op)
{
    ngx_mqtt_worker_t     *w;
    ngx_mqtt_will_wait_t  *will;

    w = op->worker;
    will = op->data;

    if (op->rc == NGX_ERROR && !w->stopping) {
        ngx_mqtt_will_wait(w, will);
        return;
    }

    ngx_mqtt_will_done(w, will, op->rc, op->reason);
}


static void
ngx_mqtt_will_wait(ngx_mqtt_worker_t *w, ngx_mqtt_will_wait_t *will)
{
    ngx_queue_insert_tail(&w->wills, &will->queue);
    ngx_mqtt_count(w, NGX_MQTT_STAT_wills_waiting);
}


static void
ngx_mqtt_will_done(ngx_mqtt_worker_t *w, ngx_mqtt_will_wait_t *will,
    ngx_int_t rc, ngx_uint_t reason)
{
    if (rc == NGX_OK) {
        ngx_mqtt_count(w, NGX_MQTT_STAT_wills_published);

    } else if (rc == NGX_DECLINED) {
        ngx_mqtt_count(w, NGX_MQTT_STAT_messages_refused);

        ngx_log_error(NGX_LOG_INFO, w->log, 0,
                      "will of client \"%V\" was refused: %s",
                      &will->msg->origin, ngx_mqtt_reason_name(reason));
        rc = NGX_OK;
    }

    ngx_mqtt_op_post(will->op, rc, reason);

    ngx_mqtt_msg_unref(will->msg);
    ngx_mqtt_free(w, will, sizeof(ngx_mqtt_will_wait_t));
}


void
ngx_mqtt_will_resume(ngx_mqtt_worker_t *w)
{
    ngx_queue_t           *q;
    ngx_mqtt_will_wait_t  *will;

    while (!ngx_queue_empty(&w->wills)) {
        q = ngx_queue_head(&w->wills);
        will = ngx_queue_data(q, ngx_mqtt_will_wait_t, queue);

        ngx_queue_remove(q);

        if (ngx_mqtt_will_ingest(w, will) == NGX_BUSY) {
            ngx_queue_insert_head(&w->wills, q);
            return;
        }

        ngx_mqtt_count_sub(w, NGX_MQTT_STAT_wills_waiting, 1);
    }
}


void
ngx_mqtt_will_stop(ngx_mqtt_worker_t *w)
{
    ngx_queue_t           *q;
    ngx_mqtt_will_wait_t  *will;

    while (!ngx_queue_empty(&w->wills)) {
        q = ngx_queue_head(&w->wills);
        will = ngx_queue_data(q, ngx_mqtt_will_wait_t, queue);

        ngx_queue_remove(q);
        ngx_mqtt_count_sub(w, NGX_MQTT_STAT_wills_waiting, 1);

        ngx_mqtt_will_done(w, will, NGX_ERROR, NGX_MQTT_SERVER_SHUTTING_DOWN);
    }
}
