
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Appending a message to all the logs that it matches.
 *
 * (1) One script for each log, all of them in one turn on one connection: the
 *     messages of a worker are in each log in the order of the calls, and
 *     complete in it.
 * (2) A command that is sent again because its reply was lost carries a mark,
 *     and then the script looks whether the message is there already.
 *
 * Called from: gateway/, Redis replies.
 */


#include "ngx_mqtt_log_int.h"


/* one for all logs of a message; a reference to it is held */

typedef struct {
    ngx_mqtt_worker_t        *worker;
    ngx_mqtt_op_t            *op;
    ngx_uint_t                pending;
    ngx_int_t                 rc;
    size_t                    size;        /* of this block */
    ngx_mqtt_logged_t         logged;      /* positions behind it */
} ngx_mqtt_append_t;


static ngx_mqtt_append_t *ngx_mqtt_append_create(ngx_mqtt_worker_t *w,
    ngx_mqtt_op_t *op);
static ngx_int_t ngx_mqtt_append_send(ngx_mqtt_append_t *ap, ngx_uint_t n,
    ngx_str_t *entry);
static void ngx_mqtt_append_replied(ngx_mqtt_op_t *op);
static void ngx_mqtt_append_finish(ngx_mqtt_append_t *ap);


void
ngx_mqtt_log_append(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_op_t *op)
{
    u_char             *p;
    ngx_str_t           entry;
    ngx_uint_t          i;
    ngx_mqtt_append_t  *ap;

    ap = ngx_mqtt_append_create(w, op);

    entry.len = NGX_MQTT_LOG_ENTRY_HEAD + ngx_mqtt_frame_msg_len(m);
    entry.data = ap ? ngx_mqtt_alloc(w, entry.len) : NULL;

    if (entry.data == NULL) {

        if (ap) {
            ngx_mqtt_free(w, ap, ap->size);
        }

        ngx_mqtt_op_post(op, NGX_DECLINED, NGX_MQTT_UNSPECIFIED_ERROR);
        return;
    }

    p = ngx_cpymem(entry.data, ap->logged.uid, NGX_MQTT_LOG_UID);
    p = ngx_mqtt_frame_write_u64(p, m->received);
    *p++ = (ap->logged.n > 1) ? NGX_MQTT_LOG_SEVERAL : 0;

    (void) ngx_mqtt_frame_write_msg(p, m);

    for (i = 0; i < ap->logged.n; i++) {

        if (ngx_mqtt_append_send(ap, i, &entry) != NGX_OK) {
            ap->rc = NGX_DECLINED;
            ap->pending--;
        }
    }

    ngx_mqtt_free(w, entry.data, entry.len);

    if (ap->pending == 0) {

        /* out of memory for all of them */

        ngx_mqtt_op_post(op, NGX_DECLINED, NGX_MQTT_UNSPECIFIED_ERROR);
        ngx_mqtt_free(w, ap, ap->size);
    }
}


static ngx_mqtt_append_t *
ngx_mqtt_append_create(ngx_mqtt_worker_t *w, ngx_mqtt_op_t *op)
{
    u_char                *p;
    size_t                 size;
    ngx_uint_t             i, n;
    ngx_mqtt_logs_t       *logs;
    ngx_mqtt_append_t     *ap;
    ngx_mqtt_log_match_t  *matches;

    logs = w->logs;

    matches = logs->matches.elts;
    n = logs->matches.nelts;

    size = sizeof(ngx_mqtt_append_t) + n * sizeof(ngx_mqtt_log_position_t);

    for (i = 0; i < n; i++) {
        size += matches[i].filter.len;
    }

    ap = ngx_mqtt_alloc(w, size);
    if (ap == NULL) {
        return NULL;
    }

    ap->worker = w;
    ap->op = op;
    ap->pending = n;
    ap->rc = NGX_OK;
    ap->size = size;

    ngx_memcpy(ap->logged.uid, logs->node, 8);
    (void) ngx_mqtt_frame_write_u64(ap->logged.uid + 8, ++logs->messages);

    ap->logged.n = n;

    p = (u_char *) &ap->logged.positions[n];

    for (i = 0; i < n; i++) {
        ap->logged.positions[i].number = 0;
        ap->logged.positions[i].group = matches[i].group;
        ap->logged.positions[i].filter.len = matches[i].filter.len;
        ap->logged.positions[i].filter.data = p;

        p = ngx_cpymem(p, matches[i].filter.data, matches[i].filter.len);
    }

    return ap;
}


static ngx_int_t
ngx_mqtt_append_send(ngx_mqtt_append_t *ap, ngx_uint_t n, ngx_str_t *entry)
{
    u_char                numbers[3][NGX_INT64_LEN];
    ngx_str_t             argv[NGX_MQTT_LOG_KEYS + 5], *args;
    ngx_mqtt_op_t        *op;
    ngx_mqtt_worker_t    *w;

    w = ap->worker;

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_append_replied, ap);

    if (op == NULL
        || ngx_mqtt_log_keys(w, &ap->logged.positions[n].filter, argv)
           != NGX_OK)
    {
        if (op) {
            ngx_mqtt_op_cancel(op);
        }

        return NGX_ERROR;
    }

    op->ctx = &ap->logged.positions[n];

    args = argv + NGX_MQTT_LOG_KEYS;

    args[0] = *entry;

    args[1].data = numbers[0];
    args[1].len = ngx_sprintf(numbers[0], "%i", w->gateway->offline_messages)
                  - numbers[0];

    args[2].data = numbers[1];
    args[2].len = ngx_mqtt_log_oldest(w, numbers[1]) - numbers[1];

    args[3].data = numbers[2];
    args[3].len = ngx_sprintf(numbers[2], "%M", w->gateway->offline_retention
                                                + NGX_MQTT_LOG_POLL)
                  - numbers[2];

    ngx_str_set(&args[4], "0");

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_LOG_APPEND,
                          NGX_MQTT_LOG_KEYS, NGX_MQTT_LOG_KEYS + 5, argv,
                          NGX_MQTT_REDIS_WAIT|NGX_MQTT_REDIS_MARK, op);

    ngx_mqtt_log_keys_free(w, argv);

    return NGX_OK;
}


static void
ngx_mqtt_append_replied(ngx_mqtt_op_t *op)
{
    ngx_mqtt_append_t        *ap;
    ngx_mqtt_redis_reply_t   *reply;
    ngx_mqtt_log_position_t  *position;

    ap = op->data;
    position = op->ctx;
    reply = op->result;

    if (op->rc != NGX_OK) {
        ap->rc = op->rc;

        if (reply) {
            ngx_log_error(NGX_LOG_ERR, ap->worker->log, 0,
                          "message for \"%V\" could not be stored in Redis: "
                          "%V", &position->filter, &reply->str);
        }

    } else if (reply->type == NGX_MQTT_REDIS_INTEGER) {

        /* 0: the last reader has just left */

        position->number = (uint64_t) reply->integer;
    }

    if (position->number) {
        ngx_mqtt_count(ap->worker, NGX_MQTT_STAT_messages_logged);
    }

    if (--ap->pending == 0) {
        ngx_mqtt_append_finish(ap);
    }
}


static void
ngx_mqtt_append_finish(ngx_mqtt_append_t *ap)
{
    ngx_mqtt_op_complete(ap->op, ap->rc,
                         (ap->rc == NGX_OK) ? NGX_MQTT_SUCCESS
                                            : NGX_MQTT_UNSPECIFIED_ERROR,
                         &ap->logged);

    ngx_mqtt_free(ap->worker, ap, ap->size);
}
