
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Cursors of logs, and dropping what all readers are done with.
 *
 *     ack -> script -> acked -> is the oldest message still needed?
 *                               no: trim -> script -> is there more? -> trim
 *
 * (1) How many readers stand where is counted in Redis, in the scripts that
 *     move them.  So whoever moves the slowest one knows that he did, and no
 *     script ever looks at all readers.
 * (2) A script drops a bounded number of messages.  It decides by what is
 *     counted then: it may be called by anybody, at any time, and need not be
 *     repeated if it is lost, since the next cursor that moves brings another.
 *
 * Called from: client/, ngx_mqtt_log.c, Redis replies.
 */


#include "ngx_mqtt_log_int.h"


/* messages that one script drops */

#define NGX_MQTT_LOG_TRIM  1000


/* the filter's bytes are behind the struct */

typedef struct {
    ngx_mqtt_worker_t        *worker;
    ngx_str_t                 filter;
} ngx_mqtt_log_trim_t;


static ngx_mqtt_op_t *ngx_mqtt_log_trim_op(ngx_mqtt_worker_t *w,
    ngx_str_t *filter, ngx_mqtt_op_pt done);
static void ngx_mqtt_log_trim_free(ngx_mqtt_log_trim_t *trim);
static void ngx_mqtt_log_acked(ngx_mqtt_op_t *op);
static void ngx_mqtt_log_trimmed(ngx_mqtt_op_t *op);


void
ngx_mqtt_log_ack(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_str_t *client_id, uint64_t epoch, uint64_t cursor)
{
    u_char          numbers[2][NGX_INT64_LEN];
    ngx_str_t       argv[NGX_MQTT_LOG_KEYS + 3], *args;
    ngx_mqtt_op_t  *op;

    if (ngx_mqtt_log_keys(w, filter, argv) != NGX_OK) {
        return;
    }

    /* without an op it is not trimmed this time */

    op = ngx_mqtt_log_trim_op(w, filter, ngx_mqtt_log_acked);

    args = argv + NGX_MQTT_LOG_KEYS;

    args[0] = *client_id;

    args[1].data = numbers[0];
    args[1].len = ngx_sprintf(numbers[0], "%uL", epoch) - numbers[0];

    args[2].data = numbers[1];
    args[2].len = ngx_sprintf(numbers[1], "%uL", cursor) - numbers[1];

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_LOG_ACK, NGX_MQTT_LOG_KEYS,
                          NGX_MQTT_LOG_KEYS + 3, argv, NGX_MQTT_REDIS_WAIT,
                          op);

    ngx_mqtt_log_keys_free(w, argv);
}


/* NULL: out of memory */

static ngx_mqtt_op_t *
ngx_mqtt_log_trim_op(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_mqtt_op_pt done)
{
    ngx_mqtt_op_t        *op;
    ngx_mqtt_log_trim_t  *trim;

    trim = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_log_trim_t) + filter->len);
    if (trim == NULL) {
        return NULL;
    }

    trim->worker = w;
    trim->filter.len = filter->len;
    trim->filter.data = (u_char *) trim + sizeof(ngx_mqtt_log_trim_t);
    ngx_memcpy(trim->filter.data, filter->data, filter->len);

    op = ngx_mqtt_op_get(w, NULL, done, trim);

    if (op == NULL) {
        ngx_mqtt_log_trim_free(trim);
    }

    return op;
}


static void
ngx_mqtt_log_trim_free(ngx_mqtt_log_trim_t *trim)
{
    ngx_mqtt_free(trim->worker, trim,
                  sizeof(ngx_mqtt_log_trim_t) + trim->filter.len);
}


static void
ngx_mqtt_log_acked(ngx_mqtt_op_t *op)
{
    ngx_mqtt_log_trim_t     *trim;
    ngx_mqtt_redis_reply_t  *reply;

    trim = op->data;
    reply = op->result;

    if (op->rc == NGX_OK
        && reply->type == NGX_MQTT_REDIS_INTEGER && reply->integer == 2)
    {
        ngx_mqtt_log_trim(op->worker, &trim->filter);
    }

    ngx_mqtt_log_trim_free(trim);
}


void
ngx_mqtt_log_trim(ngx_mqtt_worker_t *w, ngx_str_t *filter)
{
    ngx_str_t       argv[NGX_MQTT_LOG_KEYS + 1];
    ngx_mqtt_op_t  *op;

    if (ngx_mqtt_log_keys(w, filter, argv) != NGX_OK) {
        return;
    }

    op = ngx_mqtt_log_trim_op(w, filter, ngx_mqtt_log_trimmed);

    ngx_str_set(&argv[NGX_MQTT_LOG_KEYS], ngx_value(NGX_MQTT_LOG_TRIM));

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_LOG_TRIM, NGX_MQTT_LOG_KEYS,
                          NGX_MQTT_LOG_KEYS + 1, argv, 0, op);

    ngx_mqtt_log_keys_free(w, argv);
}


static void
ngx_mqtt_log_trimmed(ngx_mqtt_op_t *op)
{
    ngx_mqtt_log_trim_t     *trim;
    ngx_mqtt_redis_reply_t  *reply;

    trim = op->data;
    reply = op->result;

    if (op->rc == NGX_OK
        && reply->type == NGX_MQTT_REDIS_INTEGER && reply->integer == 1)
    {
        ngx_mqtt_log_trim(op->worker, &trim->filter);
    }

    ngx_mqtt_log_trim_free(trim);
}
