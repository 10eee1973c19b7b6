
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * What a claim wants to know of earlier connections of the session: QoS 2
 * publishes that were in flight when they ended, see ngx_mqtt_settle.c.
 *
 *     fields that say "in flight" -> their workers are asked, one after the
 *         other -> the fields are read again -> the claim finishes
 *
 * Called from: claims.
 */


#include "ngx_mqtt_session_int.h"


static ngx_uint_t ngx_mqtt_claim_is_open(ngx_keyval_t *field);
static ngx_int_t ngx_mqtt_claim_read(ngx_mqtt_claim_t *claim,
    ngx_mqtt_op_t *op);
static void ngx_mqtt_claim_settled(ngx_mqtt_op_t *op);
static void ngx_mqtt_claim_store(ngx_mqtt_claim_t *claim,
    ngx_mqtt_redis_reply_t *reply);


void
ngx_mqtt_claim_next(ngx_mqtt_claim_t *claim)
{
    ngx_keyval_t       *field;
    ngx_mqtt_op_t      *op;
    ngx_mqtt_peer_t     peer;
    ngx_mqtt_worker_t  *w;

    w = claim->worker;

    while (claim->next < claim->claimed.nfields) {
        field = &claim->claimed.fields[claim->next++];

        if (!ngx_mqtt_claim_is_open(field)
            || ngx_mqtt_peer_parse(w, &field->value, &peer) != NGX_OK
            || ngx_mqtt_claim_same_peer(&peer, &claim->peer))
        {
            continue;
        }

        claim->peer = peer;

        if (ngx_mqtt_claim_ask(claim) == NGX_AGAIN) {
            return;
        }
    }

    op = NULL;

    if (claim->unread && claim->op->done) {
        op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_claim_settled, claim);
    }

    if (op == NULL) {
        ngx_mqtt_claim_finish(claim);
        return;
    }

    if (ngx_mqtt_claim_read(claim, op) != NGX_OK) {
        ngx_mqtt_op_cancel(op);
        ngx_mqtt_claim_finish(claim);
    }
}


static ngx_uint_t
ngx_mqtt_claim_is_open(ngx_keyval_t *field)
{
    ngx_str_t  ids;

    return field->key.data[0] == 'q'
           && ngx_mqtt_session_settle_ids(&field->value, &ids) != NGX_OK;
}


/* NGX_DECLINED: there is nothing to read */

static ngx_int_t
ngx_mqtt_claim_read(ngx_mqtt_claim_t *claim, ngx_mqtt_op_t *op)
{
    size_t                       size;
    ngx_str_t                   *argv;
    ngx_uint_t                   i, argc;
    ngx_mqtt_worker_t           *w;
    ngx_mqtt_session_claimed_t  *claimed;

    w = claim->worker;
    claimed = &claim->claimed;

    size = (2 + claimed->nfields) * sizeof(ngx_str_t);

    argv = ngx_mqtt_alloc(w, size);
    if (argv == NULL) {
        return NGX_ERROR;
    }

    if (ngx_mqtt_session_key(w, &claim->client_id, &argv[1]) != NGX_OK) {
        ngx_mqtt_free(w, argv, size);
        return NGX_ERROR;
    }

    ngx_str_set(&argv[0], "HMGET");
    argc = 2;

    for (i = 0; i < claimed->nfields; i++) {

        if (ngx_mqtt_claim_is_open(&claimed->fields[i])) {
            argv[argc++] = claimed->fields[i].key;
        }
    }

    if (argc > 2) {
        ngx_mqtt_redis_command(w->redis, argc, argv, 0, op);
    }

    ngx_mqtt_free(w, argv[1].data, argv[1].len);
    ngx_mqtt_free(w, argv, size);

    return (argc > 2) ? NGX_OK : NGX_DECLINED;
}


static void
ngx_mqtt_claim_settled(ngx_mqtt_op_t *op)
{
    ngx_mqtt_claim_t  *claim;

    claim = op->data;

    if (op->rc == NGX_OK) {
        ngx_mqtt_claim_store(claim, op->result);
    }

    ngx_mqtt_claim_finish(claim);
}


static void
ngx_mqtt_claim_store(ngx_mqtt_claim_t *claim, ngx_mqtt_redis_reply_t *reply)
{
    u_char                      *p;
    ngx_str_t                   *block;
    ngx_uint_t                   i, n;
    ngx_keyval_t                *field;
    ngx_mqtt_session_claimed_t  *claimed;

    block = &claim->settled;
    claimed = &claim->claimed;

    if (reply->type != NGX_MQTT_REDIS_ARRAY) {
        return;
    }

    for (i = 0; i < reply->nelts; i++) {
        block->len += reply->elts[i]->str.len;
    }

    if (block->len) {
        block->data = ngx_mqtt_alloc(claim->worker, block->len);
    }

    if (block->data == NULL) {
        block->len = 0;
        return;
    }

    p = block->data;
    n = 0;

    for (i = 0; i < claimed->nfields && n < reply->nelts; i++) {
        field = &claimed->fields[i];

        if (!ngx_mqtt_claim_is_open(field)) {
            continue;
        }

        field->value.len = reply->elts[n]->str.len;
        field->value.data = p;

        p = ngx_cpymem(p, reply->elts[n]->str.data, reply->elts[n]->str.len);
        n++;
    }
}
