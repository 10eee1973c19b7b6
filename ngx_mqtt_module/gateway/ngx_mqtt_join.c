
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * One op for several steps.
 *
 * (1) The caller's op completes when the last step has.  That is not before
 *     ngx_mqtt_join_end(), as no op completes inside the call that started it.
 * (2) Its result is the worst one: nobody knows (NGX_ERROR), refused
 *     (NGX_DECLINED), done.  The reason is that of the first step with it.
 *
 * Called from: gateway/.
 */


#include "ngx_mqtt_gateway.h"


struct ngx_mqtt_join_s {
    ngx_mqtt_worker_t   *worker;
    ngx_mqtt_op_t       *op;
    ngx_uint_t           pending;
    ngx_int_t            rc;
    ngx_uint_t           reason;
};


static void ngx_mqtt_join_step_done(ngx_mqtt_op_t *op);
static ngx_uint_t ngx_mqtt_join_weight(ngx_int_t rc, ngx_uint_t reason);


ngx_mqtt_join_t *
ngx_mqtt_join_create(ngx_mqtt_worker_t *w, ngx_mqtt_op_t *op)
{
    ngx_mqtt_join_t  *join;

    join = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_join_t));
    if (join == NULL) {
        return NULL;
    }

    join->worker = w;
    join->op = op;
    join->pending = 0;
    join->rc = NGX_OK;
    join->reason = NGX_MQTT_SUCCESS;

    return join;
}


ngx_mqtt_op_t *
ngx_mqtt_join_step(void *data)
{
    ngx_mqtt_join_t *join = data;

    ngx_mqtt_op_t  *op;

    op = ngx_mqtt_op_get(join->worker, NULL, ngx_mqtt_join_step_done, join);

    if (op) {
        join->pending++;
    }

    return op;
}


void
ngx_mqtt_join_cancel(ngx_mqtt_join_t *join, ngx_mqtt_op_t *step)
{
    if (step) {
        join->pending--;
        ngx_mqtt_op_cancel(step);
    }
}


static void
ngx_mqtt_join_step_done(ngx_mqtt_op_t *op)
{
    ngx_mqtt_join_t  *join;

    join = op->data;

    if (ngx_mqtt_join_weight(op->rc, op->reason)
        > ngx_mqtt_join_weight(join->rc, join->reason))
    {
        join->rc = op->rc;
        join->reason = op->reason;
    }

    if (--join->pending) {
        return;
    }

    ngx_mqtt_op_complete(join->op, join->rc, join->reason, NULL);

    ngx_mqtt_free(op->worker, join, sizeof(ngx_mqtt_join_t));
}


static ngx_uint_t
ngx_mqtt_join_weight(ngx_int_t rc, ngx_uint_t reason)
{
    switch (rc) {

    case NGX_OK:
        return reason != NGX_MQTT_SUCCESS;

    case NGX_DECLINED:
        return 2;

    default:
        return 3;
    }
}


ngx_int_t
ngx_mqtt_join_end(ngx_mqtt_join_t *join)
{
    if (join->pending) {
        return NGX_AGAIN;
    }

    ngx_mqtt_free(join->worker, join, sizeof(ngx_mqtt_join_t));

    return NGX_OK;
}
