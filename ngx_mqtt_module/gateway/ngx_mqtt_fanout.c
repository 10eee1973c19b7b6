
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * A message to everybody who has subscribed to it.
 *
 *     no log   -> subscribers of this worker, of others, of other nodes
 *     some log -> append to each -> appended -> the same, with the numbers
 *
 * (1) While a topic is in a log all its messages of QoS 1 and 2 go that way,
 *     so those of one publisher keep their order.
 * (2) What Redis refuses to store is routed all the same: those who are
 *     connected get it, and the publisher learns that it is not durable.  A
 *     record of Kafka has no publisher, and is offered again instead.
 *
 * Called from: ngx_mqtt_ingest.c, ngx_mqtt_deliver*.c, Redis replies.
 */


#include "ngx_mqtt_gateway.h"
#include "ngx_mqtt_log.h"
#include "ngx_mqtt_nodes.h"
#include "ngx_mqtt_retain.h"


typedef struct {
    ngx_mqtt_msg_t     *msg;
    ngx_mqtt_op_t      *op;           /* NULL: nobody waits */
} ngx_mqtt_fanout_append_t;


static ngx_int_t ngx_mqtt_fanout_remote(ngx_mqtt_worker_t *w,
    ngx_mqtt_msg_t *m, ngx_mqtt_op_t *op);
static ngx_int_t ngx_mqtt_fanout_append(ngx_mqtt_worker_t *w,
    ngx_mqtt_msg_t *m, ngx_mqtt_op_t *op);
static void ngx_mqtt_fanout_appended(ngx_mqtt_op_t *op);
static ngx_mqtt_subscriber_t *ngx_mqtt_fanout_sender(ngx_mqtt_worker_t *w,
    ngx_mqtt_msg_t *m);


ngx_int_t
ngx_mqtt_fanout_prepare(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_fanout_t *fo)
{
    ngx_int_t  rc;

    rc = ngx_mqtt_log_match(w, m);

    if (rc == NGX_BUSY || (m->retain && ngx_mqtt_retain_busy(w))) {
        return NGX_BUSY;
    }

    fo->logged = (rc == NGX_OK);

    rc = ngx_mqtt_nodes_prepare(w, m);

    if (rc == NGX_BUSY) {
        return NGX_BUSY;
    }

    fo->remote = (rc == NGX_OK);
    fo->waits = fo->logged || (fo->remote && m->qos);

    return ngx_mqtt_route_prepare(w, m, &fo->workers);
}


ngx_int_t
ngx_mqtt_fanout(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_fanout_t *fo, ngx_mqtt_subscriber_t *from, ngx_mqtt_op_t *op)
{
    ngx_int_t  rc;

    if (!fo->logged) {
        rc = ngx_mqtt_route_publish(w, m, &fo->workers, from, NULL);

        return fo->remote ? ngx_mqtt_fanout_remote(w, m, op) : rc;
    }

    if (ngx_mqtt_fanout_append(w, m, op) != NGX_OK && op) {
        ngx_mqtt_op_post(op, NGX_DECLINED, NGX_MQTT_UNSPECIFIED_ERROR);
    }

    return NGX_AGAIN;
}


static ngx_int_t
ngx_mqtt_fanout_remote(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_op_t *op)
{
    ngx_int_t  rc;

    rc = ngx_mqtt_nodes_publish(w, m, NULL, op);

    /* what was found by prepare() is still there, in the same call */

    if (rc == NGX_DECLINED && op) {
        ngx_mqtt_op_post(op, NGX_OK, NGX_MQTT_SUCCESS);
        return NGX_AGAIN;
    }

    return (rc == NGX_AGAIN) ? NGX_AGAIN : NGX_OK;
}


static ngx_int_t
ngx_mqtt_fanout_append(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_op_t *op)
{
    ngx_mqtt_op_t             *append_op;
    ngx_mqtt_fanout_append_t  *fa;

    fa = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_fanout_append_t));
    if (fa == NULL) {
        return NGX_ERROR;
    }

    append_op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_fanout_appended, fa);

    if (append_op == NULL) {
        ngx_mqtt_free(w, fa, sizeof(ngx_mqtt_fanout_append_t));
        return NGX_ERROR;
    }

    ngx_mqtt_msg_ref(m);

    fa->msg = m;
    fa->op = op;

    ngx_mqtt_log_append(w, m, append_op);

    return NGX_OK;
}


static void
ngx_mqtt_fanout_appended(ngx_mqtt_op_t *op)
{
    ngx_mqtt_op_t             *step;
    ngx_mqtt_join_t           *join;
    ngx_mqtt_worker_t         *w;
    ngx_mqtt_workers_t         workers;
    ngx_mqtt_fanout_append_t  *fa;

    fa = op->data;
    w = op->worker;
    join = NULL;

    if ((op->rc == NGX_OK
         || (op->rc == NGX_DECLINED && fa->msg->origin.len))
        && w->route)
    {
        /* others may have subscribed since */

        (void) ngx_mqtt_route_prepare(w, fa->msg, &workers);

        (void) ngx_mqtt_route_publish(w, fa->msg, &workers,
                                      ngx_mqtt_fanout_sender(w, fa->msg),
                                      op->result);

        /* what was refused is refused, whatever becomes of the frames */

        join = (fa->op && op->rc == NGX_OK)
               ? ngx_mqtt_join_create(w, fa->op) : NULL;

        step = join ? ngx_mqtt_join_step(join) : NULL;

        if (ngx_mqtt_nodes_publish(w, fa->msg, op->result, step)
            != NGX_AGAIN)
        {
            ngx_mqtt_join_cancel(join, step);
        }
    }

    /* others have it when no frame is left here, see ngx_mqtt_deliver.c */

    if (join) {
        ngx_mqtt_route_sent(w, &workers, ngx_mqtt_join_step, join);
    }

    if (fa->op && (join == NULL || ngx_mqtt_join_end(join) == NGX_OK)) {
        ngx_mqtt_op_complete(fa->op, op->rc, op->reason, NULL);
    }

    ngx_mqtt_msg_unref(fa->msg);
    ngx_mqtt_free(w, fa, sizeof(ngx_mqtt_fanout_append_t));
}


/* No Local is about a client id: the sender may have left, or come back */

static ngx_mqtt_subscriber_t *
ngx_mqtt_fanout_sender(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m)
{
    return m->origin.len ? w->hooks->subscriber(w, &m->origin) : NULL;
}
