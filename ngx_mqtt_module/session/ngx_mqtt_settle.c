
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * QoS 2 publishes whose connection has ended while they were in flight.  When
 * the client repeats one on its next connection it has to be known whether it
 * is done with:
 *
 *     begin -> in flight -> end -> field "q<epoch>" of the session -> answers
 *
 * (1) Whoever claims the session finds the field, and asks the worker that is
 *     named in it; or has it made by the claim, for the owner that he follows.
 * (2) The answer comes when the field has the packet ids, so that whoever
 *     reads it then knows them, also when it is not the one who has asked.
 * (3) The field goes with the next save of the session, which has the ids.
 * (4) Nothing is noted in a session that has begun anew: the field is gone.
 *
 * Called from: client/ (begin, end), claims, replies of Redis.
 */


#include "ngx_mqtt_session_int.h"


struct ngx_mqtt_settle_s {
    ngx_mqtt_hash_node_t        node;      /* in ss->settles; the client id is
                                              behind the struct */
    ngx_mqtt_worker_t          *worker;
    ngx_queue_t                 waiting;
    uint64_t                    epoch;
};


/* a claim that is to be answered */

typedef struct {
    ngx_queue_t                 queue;     /* in settle->waiting */
    ngx_mqtt_peer_t             peer;
    uint64_t                    id;
} ngx_mqtt_settle_claim_t;


static ngx_int_t ngx_mqtt_settle_write(ngx_mqtt_settle_t *settle,
    uint16_t *ids, ngx_uint_t n);
static void ngx_mqtt_settle_written(ngx_mqtt_op_t *op);
static void ngx_mqtt_settle_free(ngx_mqtt_settle_t *settle);
static void ngx_mqtt_settle_answer(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_mqtt_settle_claim_t *claim);


ngx_mqtt_settle_t *
ngx_mqtt_session_settle_begin(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    uint64_t epoch)
{
    ngx_mqtt_settle_t  *settle;

    if (w->stopping) {
        return NULL;
    }

    settle = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_settle_t) + client_id->len);
    if (settle == NULL) {
        return NULL;
    }

    settle->worker = w;
    settle->epoch = epoch;
    settle->node.key.len = client_id->len;
    settle->node.key.data = (u_char *) settle + sizeof(ngx_mqtt_settle_t);

    ngx_memcpy(settle->node.key.data, client_id->data, client_id->len);

    ngx_queue_init(&settle->waiting);

    if (ngx_mqtt_hash_insert(&w->sessions->settles, &settle->node)
        != NGX_OK)
    {
        ngx_mqtt_free(w, settle, sizeof(ngx_mqtt_settle_t) + client_id->len);
        return NULL;
    }

    return settle;
}


void
ngx_mqtt_session_settle_end(ngx_mqtt_settle_t *settle, uint16_t *ids,
    ngx_uint_t n)
{
    if (settle->worker->stopping
        || ngx_mqtt_settle_write(settle, ids, n) != NGX_OK)
    {
        ngx_mqtt_settle_free(settle);
    }
}


static ngx_int_t
ngx_mqtt_settle_write(ngx_mqtt_settle_t *settle, uint16_t *ids, ngx_uint_t n)
{
    size_t              size;
    u_char              name[NGX_MQTT_SESSION_SETTLE], *p;
    ngx_str_t           argv[3];
    ngx_uint_t          i;
    ngx_keyval_t        field;
    ngx_mqtt_op_t      *op;
    ngx_mqtt_worker_t  *w;

    w = settle->worker;

    ngx_mqtt_session_settle_field(w, settle->epoch, name, 1, &field);

    size = field.value.len + 1 + n * sizeof("65535");

    p = ngx_mqtt_alloc(w, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    argv[1] = field.key;
    argv[2].data = p;

    p = ngx_cpymem(p, field.value.data, field.value.len);
    *p++ = ' ';

    for (i = 0; i < n; i++) {
        p = ngx_sprintf(p, i ? " %ui" : "%ui", (ngx_uint_t) ids[i]);
    }

    argv[2].len = p - argv[2].data;

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_settle_written, settle);

    if (op == NULL
        || ngx_mqtt_session_key(w, &settle->node.key, &argv[0]) != NGX_OK)
    {
        if (op) {
            ngx_mqtt_op_cancel(op);
        }

        ngx_mqtt_free(w, argv[2].data, size);
        return NGX_ERROR;
    }

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_SESSION_SETTLED, 1, 3, argv,
                          NGX_MQTT_REDIS_WAIT, op);

    ngx_mqtt_free(w, argv[0].data, argv[0].len);
    ngx_mqtt_free(w, argv[2].data, size);

    return NGX_OK;
}


static void
ngx_mqtt_settle_written(ngx_mqtt_op_t *op)
{
    ngx_mqtt_settle_free(op->data);
}


static void
ngx_mqtt_settle_free(ngx_mqtt_settle_t *settle)
{
    ngx_queue_t        *q;
    ngx_mqtt_worker_t  *w;

    w = settle->worker;

    ngx_mqtt_hash_remove(&w->sessions->settles, &settle->node);

    while (!ngx_queue_empty(&settle->waiting)) {
        q = ngx_queue_head(&settle->waiting);
        ngx_queue_remove(q);

        ngx_mqtt_settle_answer(w, &settle->node.key,
                               ngx_queue_data(q, ngx_mqtt_settle_claim_t,
                                              queue));
    }

    ngx_mqtt_free(w, settle, sizeof(ngx_mqtt_settle_t) + settle->node.key.len);
}


/* unless another connection of the client id has publishes in flight */

static void
ngx_mqtt_settle_answer(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_mqtt_settle_claim_t *claim)
{
    ngx_mqtt_settle_t     *settle;
    ngx_mqtt_hash_node_t  *node;

    node = ngx_mqtt_hash_find(&w->sessions->settles, client_id);

    if (node) {
        settle = ngx_queue_data(node, ngx_mqtt_settle_t, node);
        ngx_queue_insert_tail(&settle->waiting, &claim->queue);
        return;
    }

    if (!w->stopping) {
        ngx_mqtt_claim_answer(w, &claim->peer, claim->id,
                              NGX_MQTT_CLAIM_SETTLED);
    }

    ngx_mqtt_free(w, claim, sizeof(ngx_mqtt_settle_claim_t));
}


ngx_int_t
ngx_mqtt_settle_wait(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_mqtt_peer_t *peer, uint64_t id)
{
    ngx_mqtt_settle_t        *settle;
    ngx_mqtt_hash_node_t     *node;
    ngx_mqtt_settle_claim_t  *claim;

    node = ngx_mqtt_hash_find(&w->sessions->settles, client_id);

    if (node == NULL) {
        return NGX_OK;
    }

    claim = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_settle_claim_t));
    if (claim == NULL) {
        return NGX_OK;
    }

    claim->peer = *peer;
    claim->id = id;

    settle = ngx_queue_data(node, ngx_mqtt_settle_t, node);
    ngx_queue_insert_tail(&settle->waiting, &claim->queue);

    return NGX_AGAIN;
}


void
ngx_mqtt_session_settle_field(ngx_mqtt_worker_t *w, uint64_t epoch,
    u_char *name, ngx_uint_t open, ngx_keyval_t *field)
{
    field->key.data = name;
    field->key.len = ngx_sprintf(name, "q%uL", epoch) - name;

    ngx_str_null(&field->value);

    if (open) {
        field->value = w->sessions->owner;
    }
}


ngx_int_t
ngx_mqtt_session_settle_ids(ngx_str_t *value, ngx_str_t *ids)
{
    u_char  *p, *last;

    last = value->data + value->len;
    p = ngx_strlchr(value->data, last, ' ');

    if (p == NULL) {
        return NGX_DECLINED;
    }

    ids->data = p + 1;
    ids->len = last - ids->data;

    return NGX_OK;
}
