
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The end of a connection, as its session sees it:
 *
 *     release -> script in Redis -> released -> chores, due again
 *
 * (1) The script decides whether the will is ours to publish: whoever has
 *     claimed the session since has decided for it.
 * (2) A session with a will or subscriptions has no time to live in Redis: it
 *     stands in the list of this worker until it stands among those that are
 *     due some time.
 * (3) A release that Redis' queue does not take is tried again: a session
 *     must not stay claimed by a worker that lives.
 *
 * Called from: client/, claims, replies of Redis.
 */


#include "ngx_mqtt_session_int.h"


typedef struct {
    ngx_queue_t                 queue;     /* in ss->releases */
    ngx_mqtt_session_release_t  rel;       /* the id behind the struct */
    ngx_mqtt_chores_t          *chores;
} ngx_mqtt_release_t;


static ngx_mqtt_release_t *ngx_mqtt_release_create(ngx_mqtt_worker_t *w,
    ngx_mqtt_session_release_t *rel);
static ngx_int_t ngx_mqtt_release_send(ngx_mqtt_worker_t *w,
    ngx_mqtt_session_release_t *rel, ngx_mqtt_op_t *op);
static void ngx_mqtt_release_start(ngx_mqtt_worker_t *w,
    ngx_mqtt_release_t *r);
static void ngx_mqtt_released(ngx_mqtt_op_t *op);
static void ngx_mqtt_release_free(ngx_mqtt_worker_t *w,
    ngx_mqtt_release_t *r);


void
ngx_mqtt_session_release(ngx_mqtt_worker_t *w,
    ngx_mqtt_session_release_t *rel)
{
    ngx_mqtt_release_t  *r;

    if (!rel->lasting && !rel->told) {

        /* nothing but the claim: no reply is waited for */

        (void) ngx_mqtt_release_send(w, rel, NULL);
        ngx_mqtt_session_unlist(w, &rel->client_id);
        return;
    }

    r = ngx_mqtt_release_create(w, rel);

    if (r) {
        ngx_mqtt_release_start(w, r);
    }
}


static ngx_mqtt_release_t *
ngx_mqtt_release_create(ngx_mqtt_worker_t *w, ngx_mqtt_session_release_t *rel)
{
    ngx_mqtt_release_t  *r;

    r = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_release_t) + rel->client_id.len);
    if (r == NULL) {
        return NULL;
    }

    r->rel = *rel;

    r->rel.client_id.data = (u_char *) r + sizeof(ngx_mqtt_release_t);
    ngx_memcpy(r->rel.client_id.data, rel->client_id.data,
               rel->client_id.len);

    r->chores = ngx_mqtt_chores_get(w, &rel->client_id);

    if (r->chores == NULL) {
        ngx_mqtt_free(w, r, sizeof(ngx_mqtt_release_t) + rel->client_id.len);
        return NULL;
    }

    if (!rel->lost) {
        r->rel.will = NULL;
    }

    if (r->rel.will) {
        ngx_mqtt_msg_ref(r->rel.will);
    }

    ngx_queue_init(&r->queue);

    return r;
}


static ngx_int_t
ngx_mqtt_release_send(ngx_mqtt_worker_t *w, ngx_mqtt_session_release_t *rel,
    ngx_mqtt_op_t *op)
{
    u_char     number[NGX_INT64_LEN], seconds[NGX_INT64_LEN];
    ngx_str_t  argv[8];

    if (ngx_mqtt_session_key_pair(w, &rel->client_id, argv) != NGX_OK) {
        return NGX_ERROR;
    }

    argv[2] = w->sessions->owner;

    argv[3].data = number;
    argv[3].len = ngx_sprintf(number, "%uL", rel->epoch) - number;

    ngx_str_null(&argv[4]);

    argv[5].data = seconds;
    argv[5].len = ngx_mqtt_session_expiry(seconds, rel->expiry) - seconds;

    ngx_str_set(&argv[6], "0");

    if (rel->lost) {
        ngx_str_set(&argv[6], "1");
    }

    ngx_str_set(&argv[7], "0");

    if (rel->told) {
        ngx_str_set(&argv[7], "1");
    }

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_SESSION_END, 2,
                          w->sessions->ends ? 8 : 7, argv,
                          NGX_MQTT_REDIS_WAIT, op);

    ngx_mqtt_session_key_pair_free(w, argv);

    return NGX_OK;
}


static void
ngx_mqtt_release_start(ngx_mqtt_worker_t *w, ngx_mqtt_release_t *r)
{
    ngx_mqtt_op_t  *op;

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_released, r);

    if (op == NULL) {
        ngx_queue_insert_tail(&w->sessions->releases, &r->queue);
        return;
    }

    if (ngx_mqtt_release_send(w, &r->rel, op) != NGX_OK) {
        ngx_mqtt_op_cancel(op);
        ngx_queue_insert_tail(&w->sessions->releases, &r->queue);
    }
}


static void
ngx_mqtt_released(ngx_mqtt_op_t *op)
{
    ngx_int_t            state;
    ngx_str_t            when;
    ngx_uint_t           forgotten;
    ngx_mqtt_worker_t   *w;
    ngx_mqtt_release_t  *r;

    w = op->worker;
    r = op->data;

    if (op->rc == NGX_ERROR && !w->sessions->leaving) {
        ngx_queue_insert_tail(&w->sessions->releases, &r->queue);
        return;
    }

    forgotten = 0;

    if (ngx_mqtt_chores_ended(r->chores, op, &state, &when) == NGX_OK) {

        if (when.len) {
            ngx_mqtt_janitor_note(w, &r->rel.client_id, &when);
        }

        forgotten = (state == -1);

        if (forgotten && r->rel.will) {

            /* Redis has lost the session, which thereby has ended */

            ngx_mqtt_chores_publish(r->chores, 0, r->rel.will);
        }
    }

    if (r->rel.told && w->sessions->ends) {
        w->sessions->ends->settle(w, &r->rel.client_id, r->rel.epoch,
                                  forgotten);
    }

    ngx_mqtt_release_free(w, r);
}


static void
ngx_mqtt_release_free(ngx_mqtt_worker_t *w, ngx_mqtt_release_t *r)
{
    if (r->rel.will) {
        ngx_mqtt_msg_unref(r->rel.will);
    }

    ngx_mqtt_chores_unref(r->chores);

    ngx_mqtt_free(w, r, sizeof(ngx_mqtt_release_t) + r->rel.client_id.len);
}


void
ngx_mqtt_release_retry(ngx_mqtt_worker_t *w)
{
    ngx_queue_t           again, *q;
    ngx_mqtt_sessions_t  *ss;

    ss = w->sessions;

    if (ngx_queue_empty(&ss->releases) || ngx_mqtt_redis_full(w->redis)) {
        return;
    }

    ngx_queue_init(&again);
    ngx_queue_add(&again, &ss->releases);
    ngx_queue_init(&ss->releases);

    while (!ngx_queue_empty(&again)) {
        q = ngx_queue_head(&again);
        ngx_queue_remove(q);

        ngx_mqtt_release_start(w, ngx_queue_data(q, ngx_mqtt_release_t,
                                                 queue));
    }
}


void
ngx_mqtt_release_stop(ngx_mqtt_worker_t *w)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(&w->sessions->releases)) {
        q = ngx_queue_head(&w->sessions->releases);
        ngx_queue_remove(q);

        ngx_mqtt_release_free(w, ngx_queue_data(q, ngx_mqtt_release_t,
                                                queue));
    }
}
