
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The claim of a session, step by step:
 *
 *     claim -> script in Redis -> claimed
 *     previous owner (ngx_mqtt_claim_owner.c) -> has given it up
 *     publishes in flight (ngx_mqtt_claim_settle.c) -> finish
 *
 * (1) A claim is freed exactly once, in ngx_mqtt_claim_finish() or _fail().
 * (2) Readers of what has ended are detached before the claim completes: the
 *     commands of the client that follow find them gone.
 *
 * Called from: client/ (claim), Redis replies.
 */


#include "ngx_mqtt_session_int.h"


static ngx_mqtt_claim_t *ngx_mqtt_claim_create(ngx_mqtt_worker_t *w,
    ngx_mqtt_session_claim_t *sc, ngx_mqtt_op_t *op);
static ngx_int_t ngx_mqtt_claim_send(ngx_mqtt_worker_t *w,
    ngx_mqtt_session_claim_t *sc, ngx_mqtt_op_t *op);
static void ngx_mqtt_claim_replied(ngx_mqtt_op_t *op);
static ngx_int_t ngx_mqtt_claim_parse(ngx_mqtt_claim_t *claim,
    ngx_mqtt_redis_reply_t *reply, ngx_str_t *owner);
static ngx_int_t ngx_mqtt_claim_parse_fields(ngx_mqtt_claim_t *claim,
    ngx_mqtt_redis_reply_t *reply);
static void ngx_mqtt_claim_chores(ngx_mqtt_claim_t *claim,
    ngx_mqtt_redis_reply_t *reply);
static void ngx_mqtt_claim_undo(ngx_mqtt_claim_t *claim);
static void ngx_mqtt_claim_undone(ngx_mqtt_op_t *op);
static void ngx_mqtt_claim_free(ngx_mqtt_claim_t *claim);


void
ngx_mqtt_session_claim(ngx_mqtt_worker_t *w, ngx_mqtt_session_claim_t *sc,
    ngx_mqtt_op_t *op)
{
    ngx_mqtt_op_t     *redis_op;
    ngx_mqtt_claim_t  *claim;

    /* nothing is listed for a claim that fails anyway */

    if (w->sessions->fenced || !ngx_mqtt_redis_ready(w->redis)) {
        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_SERVER_UNAVAILABLE);
        return;
    }

    claim = ngx_mqtt_claim_create(w, sc, op);

    if (claim == NULL) {
        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_SERVER_UNAVAILABLE);
        return;
    }

    redis_op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_claim_replied, claim);

    if (redis_op && ngx_mqtt_claim_send(w, sc, redis_op) == NGX_OK) {
        return;
    }

    if (redis_op) {
        ngx_mqtt_op_cancel(redis_op);
    }

    ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_SERVER_UNAVAILABLE);
    ngx_mqtt_claim_free(claim);
}


static ngx_int_t
ngx_mqtt_claim_send(ngx_mqtt_worker_t *w, ngx_mqtt_session_claim_t *sc,
    ngx_mqtt_op_t *op)
{
    u_char      seconds[NGX_INT64_LEN], retention[NGX_INT64_LEN], *p;
    size_t      size;
    ngx_str_t   argv[8], *will;

    will = &argv[5];
    ngx_str_null(will);
    size = 0;

    if (sc->will) {
        size = NGX_INT32_LEN + 1 + ngx_mqtt_frame_msg_len(sc->will);

        will->data = ngx_mqtt_alloc(w, size);
        if (will->data == NULL) {
            return NGX_ERROR;
        }

        p = ngx_sprintf(will->data, "%uD:", sc->will_delay);
        p = ngx_mqtt_frame_write_msg(p, sc->will);

        will->len = p - will->data;
    }

    if (ngx_mqtt_session_key_pair(w, &sc->client_id, argv) != NGX_OK) {

        if (size) {
            ngx_mqtt_free(w, will->data, size);
        }

        return NGX_ERROR;
    }

    argv[2] = w->sessions->owner;

    ngx_str_set(&argv[3], "0");

    if (sc->clean) {
        ngx_str_set(&argv[3], "1");
    }

    argv[4].data = seconds;
    argv[4].len = ngx_mqtt_session_expiry(seconds, sc->expiry) - seconds;

    argv[6].data = retention;
    argv[6].len = ngx_sprintf(retention, "%M", w->gateway->offline_retention)
                  - retention;

    argv[7] = sc->connection;

    ngx_mqtt_session_list(w, &sc->client_id, 1);

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_CLAIM, 2,
                          sc->connection.len ? 8 : 7, argv,
                          NGX_MQTT_REDIS_SAFE, op);

    ngx_mqtt_session_key_pair_free(w, argv);

    if (size) {
        ngx_mqtt_free(w, will->data, size);
    }

    return NGX_OK;
}


static ngx_mqtt_claim_t *
ngx_mqtt_claim_create(ngx_mqtt_worker_t *w, ngx_mqtt_session_claim_t *sc,
    ngx_mqtt_op_t *op)
{
    ngx_mqtt_claim_t  *claim;

    claim = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_claim_t) + sc->client_id.len);
    if (claim == NULL) {
        return NULL;
    }

    ngx_memzero(claim, sizeof(ngx_mqtt_claim_t));

    claim->worker = w;
    claim->op = op;
    claim->expiry = sc->expiry;
    claim->lasting = sc->expiry || sc->will;
    claim->client_id.len = sc->client_id.len;
    claim->client_id.data = (u_char *) claim + sizeof(ngx_mqtt_claim_t);

    ngx_memcpy(claim->client_id.data, sc->client_id.data, sc->client_id.len);

    w->sessions->nclaims++;

    return claim;
}


static void
ngx_mqtt_claim_replied(ngx_mqtt_op_t *op)
{
    ngx_str_t          owner;
    ngx_mqtt_claim_t  *claim;

    claim = op->data;

    if (op->rc != NGX_OK
        || ngx_mqtt_claim_parse(claim, op->result, &owner) != NGX_OK)
    {
        if (op->rc == NGX_ERROR) {
            ngx_mqtt_claim_undo(claim);
        }

        ngx_mqtt_claim_fail(claim);
        return;
    }

    ngx_mqtt_claim_chores(claim, op->result);

    claim->claimed.taken = (owner.len != 0);

    if (owner.len == 0) {
        ngx_mqtt_claim_next(claim);
        return;
    }

    ngx_mqtt_claim_take_over(claim, &owner);
}


/* { epoch, previous owner, session present, fields, wills, filters, when } */

static ngx_int_t
ngx_mqtt_claim_parse(ngx_mqtt_claim_t *claim, ngx_mqtt_redis_reply_t *reply,
    ngx_str_t *owner)
{
    if (reply == NULL
        || reply->type != NGX_MQTT_REDIS_ARRAY
        || reply->nelts != 7
        || reply->elts[0]->type != NGX_MQTT_REDIS_STRING
        || reply->elts[1]->type != NGX_MQTT_REDIS_STRING
        || reply->elts[2]->type != NGX_MQTT_REDIS_INTEGER
        || reply->elts[3]->type != NGX_MQTT_REDIS_ARRAY
        || reply->elts[4]->type != NGX_MQTT_REDIS_ARRAY
        || reply->elts[5]->type != NGX_MQTT_REDIS_ARRAY
        || reply->elts[6]->type != NGX_MQTT_REDIS_STRING)
    {
        ngx_log_error(NGX_LOG_ERR, claim->worker->log, 0,
                      "unexpected reply of Redis to the claim of a session");
        return NGX_ERROR;
    }

    claim->claimed.epoch = ngx_mqtt_session_number(&reply->elts[0]->str);
    claim->claimed.present = (ngx_uint_t) reply->elts[2]->integer;

    *owner = reply->elts[1]->str;

    return ngx_mqtt_claim_parse_fields(claim, reply->elts[3]);
}


/* copied into one block: the reply is gone when the claim completes */

static ngx_int_t
ngx_mqtt_claim_parse_fields(ngx_mqtt_claim_t *claim,
    ngx_mqtt_redis_reply_t *reply)
{
    u_char        *p;
    size_t         size;
    ngx_str_t     *dst, *src;
    ngx_uint_t     i;
    ngx_keyval_t  *fields;

    if (reply->nelts == 0) {
        return NGX_OK;
    }

    size = reply->nelts / 2 * sizeof(ngx_keyval_t);

    for (i = 0; i < reply->nelts; i++) {
        size += reply->elts[i]->str.len;
    }

    p = ngx_mqtt_alloc(claim->worker, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    claim->fields = p;
    claim->size = size;

    fields = (ngx_keyval_t *) p;
    p += reply->nelts / 2 * sizeof(ngx_keyval_t);

    for (i = 0; i < reply->nelts / 2 * 2; i++) {
        src = &reply->elts[i]->str;
        dst = (i % 2) ? &fields[i / 2].value : &fields[i / 2].key;

        dst->len = src->len;
        dst->data = p;
        p = ngx_cpymem(p, src->data, src->len);
    }

    claim->claimed.nfields = reply->nelts / 2;
    claim->claimed.fields = fields;

    return NGX_OK;
}


static void
ngx_mqtt_claim_chores(ngx_mqtt_claim_t *claim, ngx_mqtt_redis_reply_t *reply)
{
    ngx_mqtt_chores_t  *ch;

    if (reply->elts[6]->str.len) {
        ngx_mqtt_janitor_forget(claim->worker, &claim->client_id,
                                &reply->elts[6]->str);
    }

    if (reply->elts[4]->nelts == 0 && reply->elts[5]->nelts == 0) {
        return;
    }

    ch = ngx_mqtt_chores_get(claim->worker, &claim->client_id);

    if (ch) {
        ngx_mqtt_chores_run(ch, reply->elts[4], reply->elts[5]);
        ngx_mqtt_chores_unref(ch);
    }
}


/*
 * The connection to Redis broke before the reply: if Redis has executed the
 * script, a connection that was refused owns the session.  Claims that follow
 * come behind this command.
 */

static void
ngx_mqtt_claim_undo(ngx_mqtt_claim_t *claim)
{
    ngx_mqtt_op_t      *op;
    ngx_mqtt_chores_t  *ch;
    ngx_mqtt_worker_t  *w;

    w = claim->worker;

    if (w->sessions->leaving
        || ngx_mqtt_hash_find(&w->clients, &claim->client_id))
    {
        return;
    }

    ch = ngx_mqtt_chores_get(w, &claim->client_id);
    if (ch == NULL) {
        return;
    }

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_claim_undone, ch);

    if (op == NULL) {
        ngx_mqtt_chores_unref(ch);
        return;
    }

    ngx_mqtt_chores_end(ch, &w->sessions->owner, NGX_MQTT_CHORES_DISCARD, op);
}


static void
ngx_mqtt_claim_undone(ngx_mqtt_op_t *op)
{
    ngx_int_t           state;
    ngx_str_t           when;
    ngx_mqtt_chores_t  *ch;

    ch = op->data;

    if (ngx_mqtt_chores_ended(ch, op, &state, &when) == NGX_OK && when.len) {
        ngx_mqtt_janitor_note(op->worker, &ch->node.key, &when);
    }

    ngx_mqtt_chores_unref(ch);
}


/* NGX_OK when the owner is a worker of this node */

ngx_int_t
ngx_mqtt_session_parse_owner(ngx_mqtt_worker_t *w, ngx_str_t *owner,
    ngx_mqtt_peer_t *peer)
{
    if (ngx_mqtt_peer_parse(w, owner, peer) != NGX_OK || peer->node) {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


void
ngx_mqtt_claim_finish(ngx_mqtt_claim_t *claim)
{
    ngx_mqtt_op_t               *op;
    ngx_mqtt_worker_t           *w;
    ngx_mqtt_session_release_t   rel;

    w = claim->worker;
    op = claim->op;

    if (op->done == NULL) {

        /* the client left while it was claiming: it never had a will */

        ngx_memzero(&rel, sizeof(ngx_mqtt_session_release_t));

        rel.client_id = claim->client_id;
        rel.epoch = claim->claimed.epoch;
        rel.expiry = claim->expiry;
        rel.lasting = claim->lasting || claim->claimed.present;

        ngx_mqtt_session_release(w, &rel);
    }

    ngx_mqtt_op_complete(op, NGX_OK, NGX_MQTT_SUCCESS, &claim->claimed);

    ngx_mqtt_claim_free(claim);
}


/* the client id is not ours after all, unless another client here has it */

void
ngx_mqtt_claim_fail(ngx_mqtt_claim_t *claim)
{
    ngx_mqtt_op_complete(claim->op, NGX_ERROR, NGX_MQTT_SERVER_UNAVAILABLE,
                         NULL);

    ngx_mqtt_session_unlist(claim->worker, &claim->client_id);

    ngx_mqtt_claim_free(claim);
}


static void
ngx_mqtt_claim_free(ngx_mqtt_claim_t *claim)
{
    claim->worker->sessions->nclaims--;

    if (claim->fields) {
        ngx_mqtt_free(claim->worker, claim->fields, claim->size);
    }

    ngx_mqtt_free(claim->worker, claim->settled.data, claim->settled.len);

    ngx_mqtt_free(claim->worker, claim,
                  sizeof(ngx_mqtt_claim_t) + claim->client_id.len);
}
