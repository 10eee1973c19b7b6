
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Sessions of a worker: names in Redis, the list of those it owns, fields.
 * The invariants are in ngx_mqtt_session.h.
 *
 * Called from: client/, gateway/ (life).  One worker, no locks.
 */


#include "ngx_mqtt_session_int.h"


static ngx_int_t ngx_mqtt_session_make_keys(ngx_mqtt_worker_t *w);
static void ngx_mqtt_session_saved(ngx_mqtt_op_t *op);
static void ngx_mqtt_session_has_replied(ngx_mqtt_op_t *op);


/* what is behind the prefix; "%V" is the owner */

static char  *ngx_mqtt_session_keys[] = {
    "%V{l}w",
    "%V{l}d",
    "%V{l}g",
    "%V{x}s",
    "%V{w:%V}c"
};


/* the session, its inbox */

static ngx_str_t  ngx_mqtt_session_suffixes[] = {
    ngx_string(""), ngx_string("p")
};


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
    ngx_queue_init(&ss->orphans);
    ngx_queue_init(&ss->releases);

    w->sessions = ss;

    if (ngx_mqtt_session_make_keys(w) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_mqtt_claim_init(w);
    ngx_mqtt_lease_init(w);
    ngx_mqtt_janitor_init(w);

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_session_make_keys(ngx_mqtt_worker_t *w)
{
    u_char               *p;
    size_t                size;
    ngx_str_t            *key, *prefix;
    ngx_uint_t            i;
    ngx_mqtt_sessions_t  *ss;

    ss = w->sessions;
    prefix = &w->gateway->redis_prefix;
    size = prefix->len + sizeof("{w:}c") + ss->owner.len;

    p = ngx_pnalloc(w->cycle->pool, NGX_MQTT_SESSION_KEYS * size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_MQTT_SESSION_KEYS; i++) {
        key = &ss->keys[i];

        key->data = p;
        key->len = ngx_snprintf(p, size, ngx_mqtt_session_keys[i], prefix,
                                &ss->owner)
                   - p;
        p += key->len;
    }

    return NGX_OK;
}


void
ngx_mqtt_session_stop(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_sessions_t  *ss;

    ss = w->sessions;

    ngx_mqtt_claim_fail_all(w);
    ngx_mqtt_release_stop(w);
    ngx_mqtt_orphans_stop(w);

    if (ss->lease_event.timer_set) {
        ngx_del_timer(&ss->lease_event);
    }

    if (ss->due_event.timer_set) {
        ngx_del_timer(&ss->due_event);
    }

    ngx_mqtt_hash_free(&ss->settles);
    ngx_mqtt_hash_free(&ss->claims);
    ngx_mqtt_hash_free(&ss->chores);

    w->sessions = NULL;
}


ngx_uint_t
ngx_mqtt_session_pending(ngx_mqtt_worker_t *w)
{
    return w->sessions->nclaims + w->sessions->chores.count
           + w->sessions->settles.count;
}


void
ngx_mqtt_session_on_detach(ngx_mqtt_worker_t *w,
    ngx_mqtt_session_detach_pt detach)
{
    w->sessions->detach = detach;
}


void
ngx_mqtt_session_on_publish(ngx_mqtt_worker_t *w,
    ngx_mqtt_session_publish_pt publish)
{
    w->sessions->publish = publish;
}


void
ngx_mqtt_session_on_ends(ngx_mqtt_worker_t *w, ngx_mqtt_session_ends_t *ends)
{
    w->sessions->ends = ends;
}


void
ngx_mqtt_session_on_dead(ngx_mqtt_worker_t *w, ngx_mqtt_session_dead_pt dead)
{
    w->sessions->dead = dead;
}


void
ngx_mqtt_session_worker_lost(ngx_mqtt_worker_t *w, ngx_uint_t slot,
    uint64_t generation)
{
    u_char     text[NGX_MQTT_PEER_NAME];
    ngx_str_t  owner;

    ngx_mqtt_session_peer_lost(w, slot, generation);

    owner.data = text;
    owner.len = ngx_sprintf(text, "%016xL:%ui:%uL",
                            ngx_mqtt_zone(w->gateway)->node_id, slot,
                            generation)
                - text;

    ngx_mqtt_orphans_take(w, &owner, 1);
}


void
ngx_mqtt_session_list(ngx_mqtt_worker_t *w, ngx_str_t *ids, ngx_uint_t n)
{
    ngx_str_t   fixed[8], *argv;
    ngx_uint_t  i;

    argv = fixed;

    if (n + 2 > 8) {
        argv = ngx_mqtt_alloc(w, (n + 2) * sizeof(ngx_str_t));
        if (argv == NULL) {
            return;
        }
    }

    ngx_str_set(&argv[0], "SADD");
    argv[1] = w->sessions->keys[NGX_MQTT_SESSION_KEY_OWNED];

    for (i = 0; i < n; i++) {
        argv[2 + i] = ids[i];
    }

    ngx_mqtt_redis_command(w->redis, n + 2, argv, NGX_MQTT_REDIS_WAIT, NULL);

    if (argv != fixed) {
        ngx_mqtt_free(w, argv, (n + 2) * sizeof(ngx_str_t));
    }
}


void
ngx_mqtt_session_unlist(ngx_mqtt_worker_t *w, ngx_str_t *client_id)
{
    ngx_str_t  argv[3];

    if (ngx_mqtt_hash_find(&w->clients, client_id)
        || ngx_mqtt_hash_find(&w->claiming, client_id)
        || ngx_mqtt_hash_find(&w->sessions->chores, client_id))
    {
        return;
    }

    ngx_str_set(&argv[0], "SREM");
    argv[1] = w->sessions->keys[NGX_MQTT_SESSION_KEY_OWNED];
    argv[2] = *client_id;

    ngx_mqtt_redis_command(w->redis, 3, argv, NGX_MQTT_REDIS_WAIT, NULL);
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
ngx_mqtt_session_has(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_str_t *field, ngx_mqtt_op_t *op)
{
    ngx_mqtt_op_t  *redis_op;

    redis_op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_session_has_replied, op);

    if (redis_op == NULL) {
        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_SERVER_UNAVAILABLE);
        return;
    }

    ngx_mqtt_session_ask(w, client_id, "HEXISTS", field,
                         NGX_MQTT_REDIS_WAIT|NGX_MQTT_REDIS_READ, redis_op);
}


static void
ngx_mqtt_session_has_replied(ngx_mqtt_op_t *op)
{
    ngx_int_t                rc;
    ngx_mqtt_redis_reply_t  *reply;

    reply = op->result;
    rc = NGX_ERROR;

    if (op->rc == NGX_OK && reply->type == NGX_MQTT_REDIS_INTEGER) {
        rc = reply->integer ? NGX_OK : NGX_DECLINED;
    }

    ngx_mqtt_op_complete(op->data, rc,
                         (rc == NGX_ERROR) ? NGX_MQTT_SERVER_UNAVAILABLE
                                           : NGX_MQTT_SUCCESS,
                         NULL);
}


void
ngx_mqtt_session_ask(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    char *command, ngx_str_t *field, ngx_uint_t flags, ngx_mqtt_op_t *op)
{
    ngx_str_t  argv[3];

    if (ngx_mqtt_session_key(w, client_id, &argv[1]) != NGX_OK) {
        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_SERVER_UNAVAILABLE);
        return;
    }

    argv[0].len = ngx_strlen(command);
    argv[0].data = (u_char *) command;
    argv[2] = *field;

    ngx_mqtt_redis_command(w->redis, 3, argv, flags, op);

    ngx_mqtt_free(w, argv[1].data, argv[1].len);
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


ngx_int_t
ngx_mqtt_session_key(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_str_t *key)
{
    return ngx_mqtt_redis_keys(w, 'c', client_id, ngx_mqtt_session_suffixes,
                               1, key);
}


ngx_int_t
ngx_mqtt_session_key_pair(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_str_t *keys)
{
    return ngx_mqtt_redis_keys(w, 'c', client_id, ngx_mqtt_session_suffixes,
                               2, keys);
}


void
ngx_mqtt_session_key_pair_free(ngx_mqtt_worker_t *w, ngx_str_t *keys)
{
    ngx_mqtt_redis_keys_free(w, keys, 2);
}


ngx_int_t
ngx_mqtt_session_owned_key(ngx_mqtt_worker_t *w, ngx_str_t *owner,
    ngx_str_t *key)
{
    key->len = w->gateway->redis_prefix.len + sizeof("{w:}c") - 1
               + owner->len;

    key->data = ngx_mqtt_alloc(w, key->len);
    if (key->data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_snprintf(key->data, key->len,
                        ngx_mqtt_session_keys[NGX_MQTT_SESSION_KEY_OWNED],
                        &w->gateway->redis_prefix, owner);

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
