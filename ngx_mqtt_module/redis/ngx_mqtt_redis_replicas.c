
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * "redis ... wait=N": what is written is done when N replicas have it.
 *
 * (1) Behind the writes of a turn of the event loop stands one WAIT.  Redis
 *     executes nothing of this connection until the replicas have answered,
 *     so a turn costs one round trip to them, whatever it has written.
 * (2) A write that was answered is held, with a copy of its reply, until the
 *     WAIT behind it is.  Nobody is told before.
 * (3) With too few replicas nothing is lost but time: what is held stays, and
 *     WAIT is asked again every RETRY ms for 1 ms, so that other commands go
 *     on between.  Writes without NGX_MQTT_REDIS_WAIT fail, as their outcome
 *     is not known; "queue" bounds the others.
 * (4) If the connection breaks, what is held is sent again with the others:
 *     the next primary need not have it.
 *
 * Called from: redis/, the event loop.
 */


#include "ngx_mqtt_redis_core.h"


#define NGX_MQTT_REDIS_REPLICAS_TIME   100
#define NGX_MQTT_REDIS_REPLICAS_RETRY  50
#define NGX_MQTT_REDIS_REPLICAS_LOG    10


static ngx_int_t ngx_mqtt_redis_replicas_add(ngx_mqtt_redis_t *r,
    ngx_msec_t time);
static size_t ngx_mqtt_redis_reply_size(ngx_mqtt_redis_reply_t *reply);
static u_char *ngx_mqtt_redis_reply_copy(u_char *p,
    ngx_mqtt_redis_reply_t *reply, ngx_mqtt_redis_reply_t **copy);
static void ngx_mqtt_redis_replicas_confirm(ngx_mqtt_redis_t *r);
static void ngx_mqtt_redis_replicas_short(ngx_mqtt_redis_t *r, int64_t n);


/* before a flush: WAIT behind the writes that have none yet */

void
ngx_mqtt_redis_replicas_flush(ngx_mqtt_redis_t *r)
{
    ngx_msec_t  time;

    if (r->unsafe == 0 || r->lacking || r->state != NGX_MQTT_REDIS_READY) {
        return;
    }

    time = ngx_min(NGX_MQTT_REDIS_REPLICAS_TIME, r->conf->timeout / 4);

    if (ngx_mqtt_redis_replicas_add(r, ngx_max(time, 1)) == NGX_OK) {
        r->unsafe = 0;
    }
}


static ngx_int_t
ngx_mqtt_redis_replicas_add(ngx_mqtt_redis_t *r, ngx_msec_t time)
{
    u_char     replicas[NGX_INT_T_LEN], msec[NGX_INT_T_LEN];
    ngx_str_t  argv[2];

    argv[0].data = replicas;
    argv[0].len = ngx_sprintf(replicas, "%ui", r->conf->wait) - replicas;

    argv[1].data = msec;
    argv[1].len = ngx_sprintf(msec, "%M", time) - msec;

    return ngx_mqtt_redis_login_add(r, NGX_MQTT_REDIS_STEP_WAIT, "WAIT", 2,
                                    argv);
}


/* a write was answered */

ngx_int_t
ngx_mqtt_redis_replicas_hold(ngx_mqtt_redis_t *r, ngx_mqtt_redis_cmd_t *cmd,
    ngx_mqtt_redis_reply_t *reply)
{
    size_t                  size;
    ngx_mqtt_redis_held_t  *held;

    size = sizeof(ngx_mqtt_redis_held_t) + ngx_mqtt_redis_reply_size(reply);

    held = ngx_mqtt_alloc(r->worker, size);
    if (held == NULL) {
        return NGX_ERROR;
    }

    held->size = size;

    (void) ngx_mqtt_redis_reply_copy((u_char *) (held + 1), reply,
                                     &held->reply);

    cmd->held = held;
    ngx_queue_insert_tail(&r->held, &cmd->queue);

    return NGX_OK;
}


void
ngx_mqtt_redis_held_free(ngx_mqtt_redis_t *r, ngx_mqtt_redis_held_t *held)
{
    if (held) {
        ngx_mqtt_free(r->worker, held, held->size);
    }
}


static size_t
ngx_mqtt_redis_reply_size(ngx_mqtt_redis_reply_t *reply)
{
    size_t      size;
    ngx_uint_t  i;

    size = sizeof(ngx_mqtt_redis_reply_t)
           + ngx_align(reply->str.len, sizeof(void *))
           + reply->nelts * sizeof(ngx_mqtt_redis_reply_t *);

    for (i = 0; i < reply->nelts; i++) {
        size += ngx_mqtt_redis_reply_size(reply->elts[i]);
    }

    return size;
}


static u_char *
ngx_mqtt_redis_reply_copy(u_char *p, ngx_mqtt_redis_reply_t *reply,
    ngx_mqtt_redis_reply_t **copy)
{
    ngx_uint_t               i;
    ngx_mqtt_redis_reply_t  *to;

    to = (ngx_mqtt_redis_reply_t *) p;
    p += sizeof(ngx_mqtt_redis_reply_t);

    *to = *reply;
    *copy = to;

    if (reply->str.len) {
        to->str.data = p;
        ngx_memcpy(p, reply->str.data, reply->str.len);
        p += ngx_align(reply->str.len, sizeof(void *));
    }

    to->elts = (ngx_mqtt_redis_reply_t **) p;
    p += reply->nelts * sizeof(ngx_mqtt_redis_reply_t *);

    for (i = 0; i < reply->nelts; i++) {
        p = ngx_mqtt_redis_reply_copy(p, reply->elts[i], &to->elts[i]);
    }

    return p;
}


/* the reply to WAIT: how many replicas have what came before it */

ngx_int_t
ngx_mqtt_redis_replicas_reply(ngx_mqtt_redis_t *r,
    ngx_mqtt_redis_reply_t *reply)
{
    if (reply->type != NGX_MQTT_REDIS_INTEGER) {
        ngx_mqtt_redis_lost(r, 0, "WAIT refused", &reply->str);
        return NGX_ERROR;
    }

    if (reply->integer >= (int64_t) r->conf->wait) {
        r->lacking = 0;
        ngx_mqtt_redis_replicas_confirm(r);

    } else {
        ngx_mqtt_redis_replicas_short(r, reply->integer);
    }

    return NGX_OK;
}


static void
ngx_mqtt_redis_replicas_confirm(ngx_mqtt_redis_t *r)
{
    ngx_queue_t            *q;
    ngx_mqtt_redis_cmd_t   *cmd;
    ngx_mqtt_redis_held_t  *held;

    while (!ngx_queue_empty(&r->held)) {
        q = ngx_queue_head(&r->held);
        cmd = ngx_queue_data(q, ngx_mqtt_redis_cmd_t, queue);

        ngx_queue_remove(q);

        held = cmd->held;

        ngx_mqtt_redis_complete(r, cmd, held->reply);
        ngx_mqtt_redis_held_free(r, held);
    }

    if (r->unsafe && r->state == NGX_MQTT_REDIS_READY) {
        ngx_post_event(&r->flush, &ngx_posted_events);
    }
}


static void
ngx_mqtt_redis_replicas_short(ngx_mqtt_redis_t *r, int64_t n)
{
    ngx_queue_t           *q, *next;
    ngx_mqtt_redis_cmd_t  *cmd;

    r->lacking = 1;

    ngx_mqtt_count(r->worker, NGX_MQTT_STAT_redis_waits_failed);

    if (ngx_time() - r->lacking_logged >= NGX_MQTT_REDIS_REPLICAS_LOG) {
        r->lacking_logged = ngx_time();

        ngx_log_error(NGX_LOG_WARN, &r->log, 0,
                      "%L of %ui replicas have what was written to Redis",
                      n, r->conf->wait);
    }

    for (q = ngx_queue_head(&r->held);
         q != ngx_queue_sentinel(&r->held);
         q = next)
    {
        next = ngx_queue_next(q);
        cmd = ngx_queue_data(q, ngx_mqtt_redis_cmd_t, queue);

        if (!cmd->wait) {
            ngx_queue_remove(q);
            ngx_mqtt_redis_held_free(r, cmd->held);
            ngx_mqtt_redis_detach(r, cmd);
            ngx_mqtt_redis_give_up(r, cmd);
        }
    }

    ngx_mqtt_redis_hold(r);

    if (!r->again.timer_set) {
        ngx_add_timer(&r->again, NGX_MQTT_REDIS_REPLICAS_RETRY);
    }
}


void
ngx_mqtt_redis_replicas_handler(ngx_event_t *ev)
{
    ngx_mqtt_redis_t  *r;

    r = ev->data;

    if (r->state != NGX_MQTT_REDIS_READY || !r->lacking) {
        return;
    }

    if (ngx_mqtt_redis_replicas_add(r, 1) != NGX_OK) {
        ngx_add_timer(&r->again, NGX_MQTT_REDIS_REPLICAS_RETRY);
        return;
    }

    r->unsafe = 0;

    ngx_post_event(&r->flush, &ngx_posted_events);
}
