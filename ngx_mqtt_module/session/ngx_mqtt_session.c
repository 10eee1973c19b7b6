
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Sessions of a worker: names in Redis, saving, release.  Claims are in
 * ngx_mqtt_claim.c; the invariants are in ngx_mqtt_session.h.
 *
 * Called from: client/, gateway/ (life).  One worker, no locks.
 */


#include "ngx_mqtt_session_int.h"


static void ngx_mqtt_session_saved(ngx_mqtt_op_t *op);
static void ngx_mqtt_session_released(ngx_mqtt_op_t *op);


ngx_int_t
ngx_mqtt_session_start(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_peer_t       self;
    ngx_mqtt_sessions_t  *ss;

    ss = ngx_pcalloc(w->cycle->pool, sizeof(ngx_mqtt_sessions_t));
    if (ss == NULL) {
        return NGX_ERROR;
    }

    self.slot = w->slot_index;
    self.generation = w->generation;
    self.node = 0;

    ss->owner.data = ss->owner_text;
    ss->owner.len = ngx_mqtt_peer_name(ss->owner_text, w, &self)
                    - ss->owner_text;

    ngx_queue_init(&ss->waiting);

    w->sessions = ss;

    ngx_mqtt_claim_init(w);

    return NGX_OK;
}


void
ngx_mqtt_session_stop(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_claim_fail_all(w);
    ngx_mqtt_hash_free(&w->sessions->claims);
    ngx_mqtt_hash_free(&w->sessions->chores);

    w->sessions = NULL;
}


ngx_uint_t
ngx_mqtt_session_pending(ngx_mqtt_worker_t *w)
{
    return w->sessions->nclaims;
}


void
ngx_mqtt_session_on_detach(ngx_mqtt_worker_t *w,
    ngx_mqtt_session_detach_pt detach)
{
    w->sessions->detach = detach;
}


void
ngx_mqtt_session_save(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    uint64_t epoch, ngx_keyval_t *fields, ngx_uint_t n, ngx_mqtt_op_t *op)
{
    u_char          number[NGX_INT64_LEN];
    ngx_str_t      *argv, key;
    ngx_uint_t      i, argc;
    ngx_mqtt_op_t  *redis_op;

    argc = 2 + 2 * n;
    redis_op = NULL;

    argv = ngx_mqtt_alloc(w, argc * sizeof(ngx_str_t));

    if (argv == NULL || ngx_mqtt_session_key(w, client_id, &key) != NGX_OK) {
        goto failed;
    }

    if (op) {
        redis_op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_session_saved, op);

        if (redis_op == NULL) {
            ngx_mqtt_free(w, key.data, key.len);
            goto failed;
        }
    }

    argv[0] = key;
    argv[1].data = number;
    argv[1].len = ngx_sprintf(number, "%uL", epoch) - number;

    for (i = 0; i < n; i++) {
        argv[2 + 2 * i] = fields[i].key;
        argv[3 + 2 * i] = fields[i].value;
    }

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_SESSION_SAVE, 1, argc, argv,
                          NGX_MQTT_REDIS_WAIT, redis_op);

    ngx_mqtt_free(w, key.data, key.len);
    ngx_mqtt_free(w, argv, argc * sizeof(ngx_str_t));

    return;

failed:

    if (argv) {
        ngx_mqtt_free(w, argv, argc * sizeof(ngx_str_t));
    }

    if (op) {
        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_SERVER_UNAVAILABLE);
    }
}


static void
ngx_mqtt_session_saved(ngx_mqtt_op_t *op)
{
    ngx_int_t                rc;
    ngx_uint_t               reason;
    ngx_mqtt_redis_reply_t  *reply;

    reply = op->result;
    rc = NGX_ERROR;
    reason = NGX_MQTT_SERVER_UNAVAILABLE;

    if (op->rc == NGX_OK && reply->type == NGX_MQTT_REDIS_INTEGER) {
        rc = (reply->integer > 0) ? NGX_OK : NGX_DECLINED;
        reason = (reply->integer < 0) ? NGX_MQTT_UNSPECIFIED_ERROR
                                      : NGX_MQTT_SESSION_TAKEN_OVER;
    }

    ngx_mqtt_op_complete(op->data, rc, reason, NULL);
}


void
ngx_mqtt_session_release(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    uint64_t epoch, uint32_t expiry)
{
    u_char              number[NGX_INT64_LEN], seconds[NGX_INT64_LEN];
    ngx_str_t           argv[3];
    ngx_mqtt_op_t      *op;
    ngx_mqtt_chores_t  *ch;

    if (ngx_mqtt_session_key(w, client_id, &argv[0]) != NGX_OK) {
        return;
    }

    ch = ngx_mqtt_chores_get(w, client_id);
    op = NULL;

    if (ch) {
        op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_session_released, ch);

        if (op == NULL) {
            ngx_mqtt_chores_unref(ch);
        }
    }

    argv[1].data = number;
    argv[1].len = ngx_sprintf(number, "%uL", epoch) - number;

    argv[2].data = seconds;
    argv[2].len = ngx_mqtt_session_expiry(seconds, expiry) - seconds;

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_RELEASE, 1, 3, argv,
                          NGX_MQTT_REDIS_WAIT, op);

    ngx_mqtt_free(w, argv[0].data, argv[0].len);
}


static void
ngx_mqtt_session_released(ngx_mqtt_op_t *op)
{
    ngx_mqtt_chores_t       *ch;
    ngx_mqtt_redis_reply_t  *reply;

    ch = op->data;
    reply = op->result;

    if (op->rc == NGX_OK
        && reply->type == NGX_MQTT_REDIS_ARRAY
        && reply->nelts == 2)
    {
        ngx_mqtt_chores_detach(ch, reply->elts[1]);
    }

    ngx_mqtt_chores_unref(ch);
}


/* 0 where there is no number */

uint64_t
ngx_mqtt_session_number(ngx_str_t *text)
{
    u_char    *p, *last;
    uint64_t   n;

    last = text->data + text->len;
    n = 0;

    for (p = text->data; p < last; p++) {

        if (*p < '0' || *p > '9') {
            return 0;
        }

        n = n * 10 + (*p - '0');
    }

    return n;
}


/*
 * The hash tag holds "c:" and the client id, so that all keys of one client
 * share a slot of Redis Cluster and no client id makes the tag empty.
 */

ngx_int_t
ngx_mqtt_session_key(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_str_t *key)
{
    u_char  *p;

    key->len = w->gateway->redis_prefix.len + sizeof("{c:}") - 1
               + client_id->len;

    key->data = ngx_mqtt_alloc(w, key->len);
    if (key->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(key->data, w->gateway->redis_prefix.data,
                   w->gateway->redis_prefix.len);
    p = ngx_cpymem(p, "{c:", sizeof("{c:") - 1);
    p = ngx_cpymem(p, client_id->data, client_id->len);
    *p = '}';

    return NGX_OK;
}


u_char *
ngx_mqtt_session_expiry(u_char *p, uint32_t expiry)
{
    if (expiry == NGX_MQTT_SESSION_NEVER) {
        return ngx_cpymem(p, "-1", 2);
    }

    return ngx_sprintf(p, "%uD", expiry);
}
