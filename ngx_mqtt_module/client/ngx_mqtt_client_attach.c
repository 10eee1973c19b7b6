
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Attaching a subscription of a session to its log, and what becomes of the
 * reader when the client is gone by then.
 *
 *     attach -> attached -> is the client there?
 *                           no: does the session have the subscription?
 *                               no: detach
 *
 * The session and the log cannot change at once.  Whoever has claimed the
 * session before the subscription was written to it, which is then refused,
 * knows nothing of a reader that was attached after that: it would be there
 * for ever, and the log with it.
 *
 * Called from: ngx_mqtt_client_session.c, Redis replies.
 */


#include "ngx_mqtt_client_session.h"


/* an attach under way; the strings are behind the struct */

typedef struct {
    ngx_mqtt_op_t            *op;           /* the client's */
    uint64_t                  epoch;
    ngx_str_t                 client_id;
    ngx_str_t                 field;        /* "s", and the name of the log */
} ngx_mqtt_attach_t;


static void ngx_mqtt_attach_done(ngx_mqtt_op_t *op);
static void ngx_mqtt_attach_checked(ngx_mqtt_op_t *op);
static void ngx_mqtt_attach_free(ngx_mqtt_worker_t *w, ngx_mqtt_attach_t *at);


void
ngx_mqtt_client_attach(ngx_mqtt_client_t *mc, ngx_str_t *log,
    ngx_mqtt_op_t *op)
{
    u_char             *p;
    ngx_str_t          *id;
    ngx_mqtt_op_t      *attach_op;
    ngx_mqtt_attach_t  *at;
    ngx_mqtt_worker_t  *w;

    w = mc->worker;
    id = &mc->node.key;

    at = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_attach_t) + id->len + 1 + log->len);
    if (at == NULL) {
        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_UNSPECIFIED_ERROR);
        return;
    }

    p = (u_char *) at + sizeof(ngx_mqtt_attach_t);

    at->op = op;
    at->epoch = mc->epoch;

    at->client_id.len = id->len;
    at->client_id.data = p;
    p = ngx_cpymem(p, id->data, id->len);

    at->field.len = 1 + log->len;
    at->field.data = p;
    *p++ = 's';
    ngx_memcpy(p, log->data, log->len);

    attach_op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_attach_done, at);

    if (attach_op == NULL) {
        ngx_mqtt_attach_free(w, at);
        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_UNSPECIFIED_ERROR);
        return;
    }

    ngx_mqtt_log_attach(w, log, id, mc->epoch, attach_op);
}


static void
ngx_mqtt_attach_done(ngx_mqtt_op_t *op)
{
    ngx_uint_t          gone;
    ngx_mqtt_op_t      *check_op;
    ngx_mqtt_worker_t  *w;
    ngx_mqtt_attach_t  *at;

    w = op->worker;
    at = op->data;

    gone = (at->op->done == NULL);

    ngx_mqtt_op_complete(at->op, op->rc, op->reason, op->result);

    check_op = NULL;

    if (gone && op->rc == NGX_OK) {
        check_op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_attach_checked, at);
    }

    if (check_op == NULL) {
        ngx_mqtt_attach_free(w, at);
        return;
    }

    ngx_mqtt_session_has(w, &at->client_id, &at->field, check_op);
}


/* a reader of a later epoch is that of the next owner, and stays */

static void
ngx_mqtt_attach_checked(ngx_mqtt_op_t *op)
{
    ngx_str_t           log;
    ngx_mqtt_worker_t  *w;
    ngx_mqtt_attach_t  *at;

    w = op->worker;
    at = op->data;

    if (op->rc == NGX_DECLINED) {
        log.data = at->field.data + 1;
        log.len = at->field.len - 1;

        ngx_mqtt_log_detach(w, &log, &at->client_id, at->epoch, NULL);
    }

    ngx_mqtt_attach_free(w, at);
}


static void
ngx_mqtt_attach_free(ngx_mqtt_worker_t *w, ngx_mqtt_attach_t *at)
{
    ngx_mqtt_free(w, at, sizeof(ngx_mqtt_attach_t) + at->client_id.len
                         + at->field.len);
}
