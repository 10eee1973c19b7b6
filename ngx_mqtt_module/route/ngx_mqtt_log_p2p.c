
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The inbox of a session: a log of P2P messages with one reader, the client.
 *
 *     p2p_add -> is the session to have it? -> stored, numbered
 *     p2p_read -> a page, as of any log
 *     p2p_done -> what is acknowledged is dropped
 *
 * (1) It is in the slot of the session, so that each script sees both: whether
 *     a message is stored is decided together with who owns the session, and
 *     the inbox ends with it.  A CONNECT is before that, and is told of the
 *     message, or behind it, and finds it.
 * (2) All messages of QoS 1 and 2 for a session that lives on go through it,
 *     also while the client is connected.
 *
 * Called from: gateway/ (P2P), client/ (reader), Redis replies.
 */


#include "ngx_mqtt_log_int.h"


#define NGX_MQTT_LOG_P2P_KEYS     2


static ngx_int_t ngx_mqtt_log_p2p_entry(ngx_mqtt_worker_t *w,
    ngx_mqtt_msg_t *m, ngx_str_t *entry);
static void ngx_mqtt_log_p2p_added(ngx_mqtt_op_t *op);


/* the session, its inbox */

static ngx_str_t  ngx_mqtt_log_p2p_suffixes[NGX_MQTT_LOG_P2P_KEYS] = {
    ngx_string(""), ngx_string("p")
};

#define ngx_mqtt_log_p2p_keys(w, client_id, keys)                             \
    ngx_mqtt_redis_keys(w, 'c', client_id, ngx_mqtt_log_p2p_suffixes,         \
                        NGX_MQTT_LOG_P2P_KEYS, keys)


void
ngx_mqtt_log_p2p_add(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_mqtt_msg_t *m, ngx_mqtt_op_t *op)
{
    u_char          max[NGX_INT_T_LEN], retention[NGX_INT64_LEN];
    ngx_str_t       argv[7], entry;
    ngx_mqtt_op_t  *redis_op;

    redis_op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_log_p2p_added, op);

    if (redis_op == NULL) {
        goto failed;
    }

    if (ngx_mqtt_log_p2p_entry(w, m, &entry) != NGX_OK) {
        ngx_mqtt_op_cancel(redis_op);
        goto failed;
    }

    if (ngx_mqtt_log_p2p_keys(w, client_id, argv) != NGX_OK) {
        ngx_mqtt_free(w, entry.data, entry.len);
        ngx_mqtt_op_cancel(redis_op);
        goto failed;
    }

    argv[2] = entry;

    argv[3].data = max;
    argv[3].len = ngx_sprintf(max, "%i", w->gateway->offline_messages) - max;

    argv[4].data = retention;
    argv[4].len = ngx_sprintf(retention, "%M", w->gateway->offline_retention)
                  - retention;

    ngx_str_set(&argv[5], "1");

    if (m->clean) {
        ngx_str_set(&argv[5], "0");
    }

    ngx_str_set(&argv[6], "0");

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_P2P_ADD, 2, 7, argv,
                          NGX_MQTT_REDIS_WAIT|NGX_MQTT_REDIS_MARK, redis_op);

    ngx_mqtt_redis_keys_free(w, argv, NGX_MQTT_LOG_P2P_KEYS);
    ngx_mqtt_free(w, entry.data, entry.len);

    return;

failed:

    ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_UNSPECIFIED_ERROR);
}


/* freed by the caller, entry->len bytes */

static ngx_int_t
ngx_mqtt_log_p2p_entry(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_str_t *entry)
{
    u_char           *p;
    ngx_mqtt_logs_t  *logs;

    logs = w->logs;

    entry->len = NGX_MQTT_LOG_ENTRY_HEAD + ngx_mqtt_frame_msg_len(m);
    entry->data = ngx_mqtt_alloc(w, entry->len);

    if (entry->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(entry->data, logs->node, sizeof(logs->node));
    p = ngx_mqtt_frame_write_u64(p, ++logs->messages);
    p = ngx_mqtt_frame_write_u64(p, m->received);
    *p++ = 0;

    (void) ngx_mqtt_frame_write_msg(p, m);

    return NGX_OK;
}


/* { number, owner, dropped } */

static void
ngx_mqtt_log_p2p_added(ngx_mqtt_op_t *op)
{
    ngx_str_t                 text;
    ngx_mqtt_op_t            *caller;
    ngx_mqtt_log_p2p_t        stored;
    ngx_mqtt_redis_reply_t   *reply, **elts;

    caller = op->data;
    reply = op->result;

    if (op->rc == NGX_ERROR) {
        ngx_mqtt_op_complete(caller, NGX_ERROR, op->reason, NULL);
        return;
    }

    if (op->rc != NGX_OK
        || reply->type != NGX_MQTT_REDIS_ARRAY || reply->nelts != 3
        || reply->elts[0]->type != NGX_MQTT_REDIS_INTEGER
        || reply->elts[1]->type != NGX_MQTT_REDIS_STRING
        || reply->elts[2]->type != NGX_MQTT_REDIS_INTEGER)
    {
        ngx_str_set(&text, "unexpected reply");

        if (op->rc != NGX_OK) {
            text = reply->str;
        }

        ngx_log_error(NGX_LOG_ERR, op->worker->log, 0,
                      "P2P message could not be stored in Redis: %V", &text);

        ngx_mqtt_op_complete(caller, NGX_DECLINED, NGX_MQTT_UNSPECIFIED_ERROR,
                             NULL);
        return;
    }

    elts = reply->elts;

    stored.number = (uint64_t) elts[0]->integer;
    stored.owner = elts[1]->str;

    if (stored.number) {
        ngx_mqtt_count(op->worker, NGX_MQTT_STAT_p2p_stored);
        ngx_mqtt_count_add(op->worker, NGX_MQTT_STAT_messages_discarded,
                           (ngx_uint_t) elts[2]->integer);
    }

    ngx_mqtt_op_complete(caller, NGX_OK, NGX_MQTT_SUCCESS, &stored);
}


/* the session has the number of the last message where a log has it */

void
ngx_mqtt_log_p2p_read(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    uint64_t cursor, ngx_uint_t max, size_t size, ngx_mqtt_op_t *op)
{
    u_char     numbers[4][NGX_INT64_LEN];
    ngx_str_t  argv[6];

    if (ngx_mqtt_log_p2p_keys(w, client_id, argv) != NGX_OK) {
        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_UNSPECIFIED_ERROR);
        return;
    }

    argv[2].data = numbers[0];
    argv[2].len = ngx_sprintf(numbers[0], "%uL", cursor) - numbers[0];

    argv[3].data = numbers[1];
    argv[3].len = ngx_sprintf(numbers[1], "%ui", max) - numbers[1];

    argv[4].data = numbers[2];
    argv[4].len = ngx_sprintf(numbers[2], "%uz", size) - numbers[2];

    argv[5].data = numbers[3];
    argv[5].len = ngx_mqtt_log_oldest(w, numbers[3]) - numbers[3];

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_LOG_READ, 2, 6, argv,
                          NGX_MQTT_REDIS_WAIT|NGX_MQTT_REDIS_READ, op);

    ngx_mqtt_redis_keys_free(w, argv, NGX_MQTT_LOG_P2P_KEYS);
}


void
ngx_mqtt_log_p2p_done(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    uint64_t cursor)
{
    u_char     number[NGX_INT64_LEN];
    ngx_str_t  argv[3];

    if (ngx_mqtt_log_p2p_keys(w, client_id, argv) != NGX_OK) {
        return;
    }

    argv[2].data = number;
    argv[2].len = ngx_sprintf(number, "%uL", cursor) - number;

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_P2P_DONE, 2, 3, argv,
                          NGX_MQTT_REDIS_WAIT, NULL);

    ngx_mqtt_redis_keys_free(w, argv, NGX_MQTT_LOG_P2P_KEYS);
}
