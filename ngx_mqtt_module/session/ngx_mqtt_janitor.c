
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * What is due of sessions that nobody is connected to: the end of a session,
 * 3.1.2.11.2, and of the delay of a will, 3.1.3.2.2.
 *
 *     timer -> take a page of what is due -> session_end.lua for each
 *           -> chores, when something is due next
 *
 * (1) The session decides: an entry that is out of date changes nothing.
 * (2) Whoever takes an entry has it for a while; if he dies it is due again.
 * (3) A page is bounded, the next one follows at once.
 *
 * Called from: its timer, replies of Redis.
 */


#include "ngx_mqtt_session_int.h"


#define NGX_MQTT_JANITOR_PERIOD   600          /* ms, between looks */
#define NGX_MQTT_JANITOR_PAGE     200
#define NGX_MQTT_JANITOR_TAKE     "30000"      /* ms */


typedef struct {
    ngx_mqtt_chores_t   *chores;
    uint64_t             score;        /* under which it was taken */
} ngx_mqtt_janitor_job_t;


static void ngx_mqtt_janitor_handler(ngx_event_t *ev);
static void ngx_mqtt_janitor_taken(ngx_mqtt_op_t *op);
static void ngx_mqtt_janitor_list(ngx_mqtt_worker_t *w,
    ngx_mqtt_redis_reply_t *reply);
static void ngx_mqtt_janitor_end(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    uint64_t score);
static void ngx_mqtt_janitor_ended(ngx_mqtt_op_t *op);
static void ngx_mqtt_janitor_done(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_str_t *score, ngx_str_t *when);


void
ngx_mqtt_janitor_init(ngx_mqtt_worker_t *w)
{
    ngx_event_t  *ev;

    ev = &w->sessions->due_event;

    ev->handler = ngx_mqtt_janitor_handler;
    ev->data = &w->ident;
    ev->log = w->log;
    ev->cancelable = 1;

    /* workers that started together do not ask together */

    ngx_add_timer(ev, ngx_random() % NGX_MQTT_JANITOR_PERIOD + 1);
}


void
ngx_mqtt_janitor_note(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_str_t *when)
{
    ngx_str_t  argv[4];

    ngx_str_set(&argv[0], "ZADD");
    argv[1] = w->sessions->keys[NGX_MQTT_SESSION_KEY_DUE];
    argv[2] = *when;
    argv[3] = *client_id;

    ngx_mqtt_redis_command(w->redis, 4, argv, NGX_MQTT_REDIS_WAIT, NULL);
}


void
ngx_mqtt_janitor_forget(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_str_t *when)
{
    ngx_str_t  never;

    ngx_str_null(&never);

    ngx_mqtt_janitor_done(w, client_id, when, &never);
}


static void
ngx_mqtt_janitor_handler(ngx_event_t *ev)
{
    ngx_str_t             argv[3];
    ngx_mqtt_op_t        *op;
    ngx_mqtt_worker_t    *w;
    ngx_mqtt_sessions_t  *ss;

    w = ngx_mqtt_event_worker(ev);
    ss = w->sessions;

    ngx_add_timer(ev, NGX_MQTT_JANITOR_PERIOD);

    ngx_mqtt_release_retry(w);

    /* a worker that is about to end leaves it to the others */

    if (ss->looking || w->draining || ss->fenced
        || ss->nwills >= NGX_MQTT_SESSION_EVENTS
        || !ngx_mqtt_redis_ready(w->redis)
        || ngx_mqtt_redis_full(w->redis))
    {
        return;
    }

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_janitor_taken, w);
    if (op == NULL) {
        return;
    }

    argv[0] = ss->keys[NGX_MQTT_SESSION_KEY_DUE];
    ngx_str_set(&argv[1], ngx_value(NGX_MQTT_JANITOR_PAGE));
    ngx_str_set(&argv[2], NGX_MQTT_JANITOR_TAKE);

    ss->looking = 1;

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_DUE_TAKE, 1, 3, argv, 0, op);
}


/* { score, ms until the next one or -1, client ids ... } */

static void
ngx_mqtt_janitor_taken(ngx_mqtt_op_t *op)
{
    uint64_t                 score;
    ngx_uint_t               i;
    ngx_msec_t               wait;
    ngx_event_t             *ev;
    ngx_mqtt_worker_t       *w;
    ngx_mqtt_sessions_t     *ss;
    ngx_mqtt_redis_reply_t  *reply;

    w = op->data;
    ss = w->sessions;
    reply = op->result;

    ss->looking = 0;

    if (op->rc != NGX_OK
        || reply->type != NGX_MQTT_REDIS_ARRAY
        || reply->nelts < 2
        || ss->leaving)
    {
        return;
    }

    if (reply->nelts > 2) {
        score = ngx_mqtt_session_number(&reply->elts[0]->str);

        ngx_mqtt_janitor_list(w, reply);

        for (i = 2; i < reply->nelts; i++) {
            ngx_mqtt_janitor_end(w, &reply->elts[i]->str, score);
        }
    }

    if (reply->elts[1]->integer < 0
        || reply->elts[1]->integer >= NGX_MQTT_JANITOR_PERIOD)
    {
        return;
    }

    wait = (ngx_msec_t) reply->elts[1]->integer;
    ev = &ss->due_event;

    if (ev->timer_set) {
        ngx_del_timer(ev);
    }

    ngx_add_timer(ev, wait + 1);
}


static void
ngx_mqtt_janitor_list(ngx_mqtt_worker_t *w, ngx_mqtt_redis_reply_t *reply)
{
    ngx_str_t   ids[NGX_MQTT_JANITOR_PAGE];
    ngx_uint_t  i, n;

    n = ngx_min(reply->nelts - 2, NGX_MQTT_JANITOR_PAGE);

    for (i = 0; i < n; i++) {
        ids[i] = reply->elts[2 + i]->str;
    }

    ngx_mqtt_session_list(w, ids, n);
}


static void
ngx_mqtt_janitor_end(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    uint64_t score)
{
    ngx_str_t                none;
    ngx_mqtt_op_t           *op;
    ngx_mqtt_chores_t       *ch;
    ngx_mqtt_janitor_job_t  *job;

    ch = ngx_mqtt_chores_get(w, client_id);
    if (ch == NULL) {
        return;
    }

    job = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_janitor_job_t));
    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_janitor_ended, job);

    if (job == NULL || op == NULL) {

        if (job) {
            ngx_mqtt_free(w, job, sizeof(ngx_mqtt_janitor_job_t));
        }

        if (op) {
            ngx_mqtt_op_cancel(op);
        }

        ngx_mqtt_chores_unref(ch);
        return;
    }

    job->chores = ch;
    job->score = score;

    ngx_str_null(&none);

    ngx_mqtt_chores_end(ch, &none, NGX_MQTT_CHORES_LOST, op);
}


static void
ngx_mqtt_janitor_ended(ngx_mqtt_op_t *op)
{
    u_char                   text[NGX_INT64_LEN];
    ngx_int_t                state;
    ngx_str_t                when, score;
    ngx_mqtt_worker_t       *w;
    ngx_mqtt_chores_t       *ch;
    ngx_mqtt_janitor_job_t  *job;

    w = op->worker;
    job = op->data;
    ch = job->chores;

    if (ngx_mqtt_chores_ended(ch, op, &state, &when) == NGX_OK) {
        score.data = text;
        score.len = ngx_sprintf(text, "%uL", job->score) - text;

        ngx_mqtt_janitor_done(w, &ch->node.key, &score, &when);

        if (state == 2) {
            ngx_mqtt_count(w, NGX_MQTT_STAT_sessions_expired);
        }
    }

    ngx_mqtt_free(w, job, sizeof(ngx_mqtt_janitor_job_t));
    ngx_mqtt_chores_unref(ch);
}


static void
ngx_mqtt_janitor_done(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_str_t *score, ngx_str_t *when)
{
    ngx_str_t  argv[4];

    argv[0] = w->sessions->keys[NGX_MQTT_SESSION_KEY_DUE];
    argv[1] = *client_id;
    argv[2] = *score;
    argv[3] = *when;

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_DUE_DONE, 1, 4, argv,
                          NGX_MQTT_REDIS_WAIT, NULL);
}
