
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Removal of retained messages that have expired, 3.3.2.3.3, under parents
 * that nobody writes to or reads.  They are never delivered anyway; this only
 * gives the memory of Redis back.
 *
 *     timer -> parents that are due -> claim one (ZREM) -> purge -> next time
 *
 * (1) Whoever takes a parent off the set is the one who purges it.  What the
 *     purge leaves is noted again; a worker that dies in between leaves it to
 *     the next write or look-up under this parent.
 * (2) A tick is bounded: so many parents, so many messages of each.
 *
 * Called from: its timer, Redis replies.
 */


#include "ngx_mqtt_retain_int.h"


#define NGX_MQTT_RETAIN_PERIOD    10000    /* ms, when nothing is known */
#define NGX_MQTT_RETAIN_SOON      100      /* ms, when more is due */
#define NGX_MQTT_RETAIN_PARENTS   16
#define NGX_MQTT_RETAIN_EXPIRED   200


typedef struct {
    ngx_str_t   parent;                    /* bytes behind the struct */
} ngx_mqtt_retain_due_t;


static void ngx_mqtt_retain_expire_handler(ngx_event_t *ev);
static void ngx_mqtt_retain_expire_due(ngx_mqtt_op_t *op);
static void ngx_mqtt_retain_expire_claim(ngx_mqtt_worker_t *w,
    ngx_str_t *parent);
static void ngx_mqtt_retain_expire_claimed(ngx_mqtt_op_t *op);
static void ngx_mqtt_retain_expire_timer(ngx_mqtt_worker_t *w,
    ngx_msec_t delay);


ngx_int_t
ngx_mqtt_retain_expire_init(ngx_mqtt_worker_t *w)
{
    ngx_event_t  *ev;

    ev = &w->retain->timer;

    ev->handler = ngx_mqtt_retain_expire_handler;
    ev->data = &w->ident;
    ev->log = w->log;
    ev->cancelable = 1;

    /* workers that started together do not ask together */

    ngx_add_timer(ev, NGX_MQTT_RETAIN_PERIOD / 2
                      + ngx_random() % (NGX_MQTT_RETAIN_PERIOD / 2));

    return NGX_OK;
}


void
ngx_mqtt_retain_expire_note(ngx_mqtt_worker_t *w, ngx_str_t *parent,
    ngx_str_t *time)
{
    off_t        at;
    ngx_str_t    argv[5];
    ngx_time_t  *tp;

    ngx_str_set(&argv[0], "ZADD");
    argv[1] = w->retain->expiry;
    ngx_str_set(&argv[2], "LT");
    argv[3] = *time;
    argv[4] = *parent;

    ngx_mqtt_redis_command(w->redis, 5, argv, NGX_MQTT_REDIS_WAIT, NULL);

    at = ngx_atoof(time->data, time->len);

    if (at == NGX_ERROR) {
        return;
    }

    tp = ngx_timeofday();

    at -= (off_t) tp->sec * 1000 + tp->msec;

    if (at < NGX_MQTT_RETAIN_PERIOD) {
        ngx_mqtt_retain_expire_timer(w, ngx_max(at, NGX_MQTT_RETAIN_SOON));
    }
}


/* the timer fires in "delay" at the latest */

static void
ngx_mqtt_retain_expire_timer(ngx_mqtt_worker_t *w, ngx_msec_t delay)
{
    ngx_event_t     *ev;
    ngx_msec_int_t   left;

    ev = &w->retain->timer;

    if (ev->timer_set) {
        left = (ngx_msec_int_t) (ev->timer.key - ngx_current_msec);

        if (left <= (ngx_msec_int_t) delay) {
            return;
        }

        ngx_del_timer(ev);
    }

    ngx_add_timer(ev, delay);
}


static void
ngx_mqtt_retain_expire_handler(ngx_event_t *ev)
{
    u_char              now[NGX_INT64_LEN];
    ngx_str_t           argv[7];
    ngx_mqtt_op_t      *op;
    ngx_mqtt_worker_t  *w;

    w = ngx_mqtt_event_worker(ev);

    ngx_add_timer(ev, NGX_MQTT_RETAIN_PERIOD);

    if (w->retain->purging || !ngx_mqtt_redis_ready(w->redis)) {
        return;
    }

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_retain_expire_due, w);
    if (op == NULL) {
        return;
    }

    ngx_str_set(&argv[0], "ZRANGEBYSCORE");
    argv[1] = w->retain->expiry;
    ngx_str_set(&argv[2], "-inf");

    argv[3].data = now;
    argv[3].len = ngx_mqtt_retain_now(now) - now;

    ngx_str_set(&argv[4], "LIMIT");
    ngx_str_set(&argv[5], "0");
    ngx_str_set(&argv[6], ngx_value(NGX_MQTT_RETAIN_PARENTS));

    w->retain->purging = 1;

    ngx_mqtt_redis_command(w->redis, 7, argv, 0, op);
}


static void
ngx_mqtt_retain_expire_due(ngx_mqtt_op_t *op)
{
    ngx_uint_t               i;
    ngx_mqtt_worker_t       *w;
    ngx_mqtt_redis_reply_t  *reply;

    w = op->data;
    reply = op->result;

    if (w->retain == NULL) {
        return;
    }

    w->retain->purging = 0;

    if (op->rc != NGX_OK || reply->type != NGX_MQTT_REDIS_ARRAY) {
        return;
    }

    for (i = 0; i < reply->nelts; i++) {

        if (reply->elts[i]->type == NGX_MQTT_REDIS_STRING) {
            ngx_mqtt_retain_expire_claim(w, &reply->elts[i]->str);
        }
    }

    if (reply->nelts == NGX_MQTT_RETAIN_PARENTS) {
        ngx_mqtt_retain_expire_timer(w, NGX_MQTT_RETAIN_SOON);
    }
}


static void
ngx_mqtt_retain_expire_claim(ngx_mqtt_worker_t *w, ngx_str_t *parent)
{
    ngx_str_t               argv[3];
    ngx_mqtt_op_t          *op;
    ngx_mqtt_retain_due_t  *due;

    due = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_retain_due_t) + parent->len);
    if (due == NULL) {
        return;
    }

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_retain_expire_claimed, due);

    if (op == NULL) {
        ngx_mqtt_free(w, due, sizeof(ngx_mqtt_retain_due_t) + parent->len);
        return;
    }

    due->parent.len = parent->len;
    due->parent.data = (u_char *) due + sizeof(ngx_mqtt_retain_due_t);
    ngx_memcpy(due->parent.data, parent->data, parent->len);

    ngx_str_set(&argv[0], "ZREM");
    argv[1] = w->retain->expiry;
    argv[2] = due->parent;

    ngx_mqtt_redis_command(w->redis, 3, argv, 0, op);
}


static void
ngx_mqtt_retain_expire_claimed(ngx_mqtt_op_t *op)
{
    ngx_mqtt_worker_t       *w;
    ngx_mqtt_retain_due_t   *due;
    ngx_mqtt_redis_reply_t  *reply;

    w = op->worker;
    due = op->data;
    reply = op->result;

    if (op->rc == NGX_OK
        && reply->type == NGX_MQTT_REDIS_INTEGER
        && reply->integer == 1)
    {
        ngx_mqtt_retain_purge(w, &due->parent, NGX_MQTT_RETAIN_EXPIRED);
    }

    ngx_mqtt_free(w, due, sizeof(ngx_mqtt_retain_due_t) + due->parent.len);
}
