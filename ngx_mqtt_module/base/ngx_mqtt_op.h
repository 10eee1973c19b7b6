
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Continuations: what is to happen when a step that had to wait is over.
 *
 * (1) done() never runs inside the call that started the step: a failure
 *     found at once is posted with ngx_mqtt_op_post().
 * (2) done() runs exactly once; the op is freed right after it.
 * (3) The owner may die first: it orphans its ops, never frees them.  An
 *     orphan completes in silence.
 *
 * Whoever takes an op (an engine) must end it with ngx_mqtt_op_complete()
 * from the event loop, or with ngx_mqtt_op_post() from anywhere.
 */


#ifndef _NGX_MQTT_OP_H_INCLUDED_
#define _NGX_MQTT_OP_H_INCLUDED_


typedef void (*ngx_mqtt_op_pt)(ngx_mqtt_op_t *op);


struct ngx_mqtt_op_s {
    ngx_queue_t          queue;      /* in the owner's ops, for orphaning */
    ngx_queue_t          posted;     /* in w->ops_completed */

    ngx_mqtt_op_pt       done;       /* NULL: orphaned */
    void                *data;       /* the owner's */
    void                *ctx;        /* the owner's second word */

    ngx_mqtt_worker_t   *worker;

    ngx_int_t            rc;         /* NGX_OK, NGX_ERROR, NGX_DECLINED */
    ngx_uint_t           reason;     /* MQTT reason code of the outcome */
    void                *result;     /* valid only inside done(): the reply
                                        of Redis, the report of Kafka */
};


/*
 * NULL when out of memory.  "owner" is the head of the owner's queue of ops,
 * or NULL for an op that nothing will orphan.
 */
ngx_mqtt_op_t *ngx_mqtt_op_get(ngx_mqtt_worker_t *w, ngx_queue_t *owner,
    ngx_mqtt_op_pt done, void *data);

/* runs done() unless orphaned, then frees the op */
void ngx_mqtt_op_complete(ngx_mqtt_op_t *op, ngx_int_t rc, ngx_uint_t reason,
    void *result);

/* the same at the end of this turn of the event loop, without a result */
void ngx_mqtt_op_post(ngx_mqtt_op_t *op, ngx_int_t rc, ngx_uint_t reason);

/* frees an op that was never handed to anybody */
void ngx_mqtt_op_cancel(ngx_mqtt_op_t *op);

/* the owner dies: every op of its queue becomes an orphan */
void ngx_mqtt_op_orphan(ngx_queue_t *owner);

/* the handler of w->op_event */
void ngx_mqtt_op_handler(ngx_event_t *ev);


#endif /* _NGX_MQTT_OP_H_INCLUDED_ */
