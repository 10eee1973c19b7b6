
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Revoked tokens, in Redis.
 *
 * (1) A token is looked up with the CONNECT, or the upload, that brings it,
 *     and a failure to do so refuses it.
 * (2) A revocation is told at once to all workers of the node that took it,
 *     by frames; the others ask Redis once a second, while they have clients
 *     with tokens.  So what a lost frame would have told comes a second later.
 * (3) The score of a revocation grows: a worker asks for what is behind the
 *     last one that it has seen.  The script sees to it.
 *
 * Called from: the method "token" of auth, the token service, the timer, bus
 * frames.
 */


#include "ngx_mqtt_auth_int.h"
#include "ngx_mqtt_bus.h"
#include "ngx_mqtt_redis.h"


#define NGX_MQTT_REVOKE_INTERVAL  1000    /* ms */
#define NGX_MQTT_REVOKE_PAGE      "256"
#define NGX_MQTT_REVOKE_PAGE_N    256


/* a revocation whose script is under way */

typedef struct {
    ngx_mqtt_op_t   *op;                  /* the caller's */
    u_char           id[NGX_MQTT_TOKEN_ID];
} ngx_mqtt_revoke_t;


static ngx_int_t ngx_mqtt_revoke_keys(ngx_mqtt_worker_t *w, ngx_str_t *list,
    ngx_str_t *expiry);
static void ngx_mqtt_revoke_replied(ngx_mqtt_op_t *op);
static void ngx_mqtt_revoke_tell(ngx_mqtt_worker_t *w, ngx_str_t *id);
static void ngx_mqtt_revoke_frame(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *from,
    ngx_str_t *body);
static void ngx_mqtt_revoke_timer(ngx_event_t *ev);
static void ngx_mqtt_revoke_polled(ngx_mqtt_op_t *op);
static ngx_uint_t ngx_mqtt_revoke_page(ngx_mqtt_worker_t *w,
    ngx_mqtt_redis_reply_t *reply);


void
ngx_mqtt_revoke_init(ngx_mqtt_worker_t *w)
{
    ngx_event_t         *ev;
    ngx_mqtt_revokes_t  *revokes;

    revokes = &w->auth->revokes;

    ngx_queue_init(&revokes->ops);

    revokes->last.data = revokes->last_text;
    revokes->last.len = 1;
    revokes->last_text[0] = '0';

    ev = &revokes->timer;

    ev->handler = ngx_mqtt_revoke_timer;
    ev->data = &w->ident;
    ev->log = w->log;
    ev->cancelable = 1;

    ngx_mqtt_bus_on_frame(w->bus, NGX_MQTT_FRAME_REVOKED,
                          ngx_mqtt_revoke_frame);
}


void
ngx_mqtt_revoke_stop(ngx_mqtt_worker_t *w)
{
    if (w->auth->revokes.timer.timer_set) {
        ngx_del_timer(&w->auth->revokes.timer);
    }

    ngx_mqtt_op_orphan(&w->auth->revokes.ops);
}


/* both are in one slot of Redis Cluster; one block, freed with the list */

static ngx_int_t
ngx_mqtt_revoke_keys(ngx_mqtt_worker_t *w, ngx_str_t *list, ngx_str_t *expiry)
{
    u_char     *p;
    ngx_str_t  *prefix;

    prefix = &w->gateway->redis_prefix;

    list->len = prefix->len + sizeof("{k}r") - 1;
    expiry->len = list->len;

    p = ngx_mqtt_alloc(w, list->len + expiry->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    list->data = p;
    p = ngx_cpymem(p, prefix->data, prefix->len);
    p = ngx_cpymem(p, "{k}r", sizeof("{k}r") - 1);

    expiry->data = p;
    p = ngx_cpymem(p, prefix->data, prefix->len);
    ngx_memcpy(p, "{k}x", sizeof("{k}x") - 1);

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_revoke_lookup(ngx_mqtt_worker_t *w, ngx_str_t *ids, ngx_uint_t n,
    ngx_mqtt_op_t *op)
{
    ngx_str_t   argv[2 + NGX_MQTT_TOKENS], expiry;
    ngx_uint_t  i;

    if (ngx_mqtt_revoke_keys(w, &argv[1], &expiry) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_str_set(&argv[0], "ZMSCORE");

    for (i = 0; i < n; i++) {
        argv[2 + i] = ids[i];
    }

    ngx_mqtt_redis_command(w->redis, 2 + n, argv, 0, op);

    ngx_mqtt_free(w, argv[1].data, argv[1].len + expiry.len);

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_revoke_answer(ngx_mqtt_op_t *op, ngx_uint_t n)
{
    ngx_uint_t               i;
    ngx_mqtt_redis_reply_t  *reply;

    reply = op->result;

    if (op->rc != NGX_OK || reply == NULL
        || reply->type != NGX_MQTT_REDIS_ARRAY || reply->nelts != n)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {

        if (reply->elts[i]->type != NGX_MQTT_REDIS_NIL) {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


void
ngx_mqtt_token_revoke(ngx_mqtt_worker_t *w, ngx_str_t *id, time_t expires,
    ngx_mqtt_op_t *op)
{
    u_char              seconds[NGX_TIME_T_LEN], now[NGX_TIME_T_LEN];
    ngx_str_t           argv[5];
    ngx_mqtt_op_t      *redis_op;
    ngx_mqtt_revoke_t  *revoke;

    redis_op = NULL;
    revoke = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_revoke_t));

    if (revoke) {
        redis_op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_revoke_replied, revoke);
    }

    if (redis_op == NULL
        || ngx_mqtt_revoke_keys(w, &argv[0], &argv[1]) != NGX_OK)
    {
        if (redis_op) {
            ngx_mqtt_op_cancel(redis_op);
        }

        if (revoke) {
            ngx_mqtt_free(w, revoke, sizeof(ngx_mqtt_revoke_t));
        }

        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_SERVER_UNAVAILABLE);
        return;
    }

    revoke->op = op;
    ngx_memcpy(revoke->id, id->data, NGX_MQTT_TOKEN_ID);

    argv[2] = *id;

    argv[3].data = seconds;
    argv[3].len = ngx_sprintf(seconds, "%T", expires) - seconds;

    argv[4].data = now;
    argv[4].len = ngx_sprintf(now, "%T", ngx_time()) - now;

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_REVOKE, 2, 5, argv,
                          NGX_MQTT_REDIS_SAFE, redis_op);

    ngx_mqtt_free(w, argv[0].data, argv[0].len + argv[1].len);
}


static void
ngx_mqtt_revoke_replied(ngx_mqtt_op_t *op)
{
    ngx_int_t           rc;
    ngx_str_t           id;
    ngx_mqtt_revoke_t  *revoke;
    ngx_mqtt_worker_t  *w;

    w = op->worker;
    revoke = op->data;
    rc = op->rc;

    if (rc == NGX_OK) {
        id.data = revoke->id;
        id.len = NGX_MQTT_TOKEN_ID;

        ngx_mqtt_revoke_tell(w, &id);
    }

    ngx_mqtt_op_complete(revoke->op, (rc == NGX_OK) ? NGX_OK : NGX_ERROR,
                         NGX_MQTT_SUCCESS, NULL);

    ngx_mqtt_free(w, revoke, sizeof(ngx_mqtt_revoke_t));
}


static void
ngx_mqtt_revoke_tell(ngx_mqtt_worker_t *w, ngx_str_t *id)
{
    ngx_uint_t        slot;
    ngx_mqtt_peer_t   peer;
    ngx_mqtt_zone_t  *zone;

    zone = ngx_mqtt_zone(w->gateway);

    for (slot = 0; slot < zone->nslots; slot++) {
        peer.node = 0;
        peer.slot = slot;
        peer.generation = zone->slots[slot].generation;

        if (peer.generation == 0 || peer.generation == w->generation) {
            continue;
        }

        /* who cannot be told asks Redis */

        (void) ngx_mqtt_bus_send(w->bus, &peer, NGX_MQTT_FRAME_REVOKED, id, 1);
    }

    if (w->auth) {
        ngx_mqtt_term_revoke(w, id);
    }
}


static void
ngx_mqtt_revoke_frame(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *from,
    ngx_str_t *body)
{
    if (body->len != NGX_MQTT_TOKEN_ID) {
        ngx_log_error(NGX_LOG_ALERT, w->log, 0, "malformed REVOKED frame");
        return;
    }

    if (w->auth) {
        ngx_mqtt_term_revoke(w, body);
    }
}


void
ngx_mqtt_revoke_poll(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_revokes_t  *revokes;

    revokes = &w->auth->revokes;

    if (!revokes->timer.timer_set && ngx_queue_empty(&revokes->ops)) {
        ngx_add_timer(&revokes->timer, NGX_MQTT_REVOKE_INTERVAL);
    }
}


static void
ngx_mqtt_revoke_timer(ngx_event_t *ev)
{
    u_char               from[NGX_MQTT_REVOKE_SCORE + 1];
    ngx_str_t            argv[8], expiry;
    ngx_mqtt_op_t       *op;
    ngx_mqtt_worker_t   *w;
    ngx_mqtt_revokes_t  *revokes;

    w = ngx_mqtt_event_worker(ev);
    revokes = &w->auth->revokes;

    if (w->auth->terms.tokens.count == 0) {
        return;
    }

    op = ngx_mqtt_op_get(w, &revokes->ops, ngx_mqtt_revoke_polled, w);

    if (op == NULL || ngx_mqtt_revoke_keys(w, &argv[1], &expiry) != NGX_OK) {

        if (op) {
            ngx_mqtt_op_cancel(op);
        }

        ngx_add_timer(ev, NGX_MQTT_REVOKE_INTERVAL);
        return;
    }

    from[0] = '(';
    ngx_memcpy(&from[1], revokes->last.data, revokes->last.len);

    ngx_str_set(&argv[0], "ZRANGEBYSCORE");

    argv[2].data = from;
    argv[2].len = 1 + revokes->last.len;

    ngx_str_set(&argv[3], "+inf");
    ngx_str_set(&argv[4], "WITHSCORES");
    ngx_str_set(&argv[5], "LIMIT");
    ngx_str_set(&argv[6], "0");
    ngx_str_set(&argv[7], NGX_MQTT_REVOKE_PAGE);

    ngx_mqtt_redis_command(w->redis, 8, argv, 0, op);

    ngx_mqtt_free(w, argv[1].data, argv[1].len + expiry.len);
}


static void
ngx_mqtt_revoke_polled(ngx_mqtt_op_t *op)
{
    ngx_uint_t          full;
    ngx_mqtt_worker_t  *w;

    w = op->data;

    full = 0;

    if (op->rc == NGX_OK) {
        full = ngx_mqtt_revoke_page(w, op->result);
    }

    ngx_add_timer(&w->auth->revokes.timer,
                  full ? 1 : NGX_MQTT_REVOKE_INTERVAL);
}


/* pairs of an id and its score; 1 when there may be more */

static ngx_uint_t
ngx_mqtt_revoke_page(ngx_mqtt_worker_t *w, ngx_mqtt_redis_reply_t *reply)
{
    ngx_str_t           *score;
    ngx_uint_t           i;
    ngx_mqtt_revokes_t  *revokes;

    if (reply == NULL || reply->type != NGX_MQTT_REDIS_ARRAY) {
        return 0;
    }

    revokes = &w->auth->revokes;

    for (i = 0; i + 1 < reply->nelts; i += 2) {

        if (reply->elts[i]->str.len == NGX_MQTT_TOKEN_ID) {
            ngx_mqtt_term_revoke(w, &reply->elts[i]->str);
        }

        score = &reply->elts[i + 1]->str;

        if (score->len && score->len <= NGX_MQTT_REVOKE_SCORE) {
            ngx_memcpy(revokes->last_text, score->data, score->len);
            revokes->last.len = score->len;
        }
    }

    return reply->nelts / 2 == NGX_MQTT_REVOKE_PAGE_N;
}
