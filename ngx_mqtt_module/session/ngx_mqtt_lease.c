
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The lease of this worker, and those of others that have lapsed.
 *
 * (1) A worker whose lease has lapsed is taken over when it does not come back
 *     for the length of a lease: if Redis was away, all leases have lapsed.
 * (2) A worker of this node that has ended is known by the zone, and is not
 *     waited for.
 * (3) A worker that was taken over has lost its sessions: it closes its
 *     clients, and claims nothing before that is over and it has a new lease.
 *     It asks for that only when it knows: a reply that was lost has not made
 *     it begin anew.
 *
 * Called from: its timer, replies of Redis, gateway/ (the end).
 */


#include "ngx_mqtt_session_int.h"


#define NGX_MQTT_LEASE_SOON       100          /* ms, until there is one */
#define NGX_MQTT_LEASE_OWNERS     "16"
#define NGX_MQTT_LEASE_REMEMBER   "86400000"   /* ms */


static void ngx_mqtt_lease_handler(ngx_event_t *ev);
static void ngx_mqtt_lease_renewed(ngx_mqtt_op_t *op);
static void ngx_mqtt_lease_lost(ngx_mqtt_worker_t *w, ngx_int_t state);
static void ngx_mqtt_lease_lapsed(ngx_mqtt_worker_t *w, ngx_str_t *owner,
    ngx_uint_t first);


void
ngx_mqtt_lease_init(ngx_mqtt_worker_t *w)
{
    ngx_event_t  *ev;

    ev = &w->sessions->lease_event;

    ev->handler = ngx_mqtt_lease_handler;
    ev->data = &w->ident;
    ev->log = w->log;
    ev->cancelable = 1;

    ngx_add_timer(ev, 1);
}


static void
ngx_mqtt_lease_handler(ngx_event_t *ev)
{
    u_char                length[NGX_INT64_LEN];
    ngx_str_t             argv[8];
    ngx_mqtt_op_t        *op;
    ngx_mqtt_worker_t    *w;
    ngx_mqtt_sessions_t  *ss;

    w = ngx_mqtt_event_worker(ev);
    ss = w->sessions;

    ngx_add_timer(ev, ss->leased ? w->gateway->lease_timeout / 3
                                 : NGX_MQTT_LEASE_SOON);

    if (ss->renewing || !ngx_mqtt_redis_ready(w->redis)) {
        return;
    }

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_lease_renewed, w);
    if (op == NULL) {
        return;
    }

    argv[0] = ss->keys[NGX_MQTT_SESSION_KEY_LEASES];
    argv[1] = ss->keys[NGX_MQTT_SESSION_KEY_MARKS];
    argv[2] = ss->keys[NGX_MQTT_SESSION_KEY_TAKEN];
    argv[3] = ss->owner;

    argv[4].data = length;
    argv[4].len = ngx_sprintf(length, "%M", w->gateway->lease_timeout)
                  - length;

    ngx_str_set(&argv[5], "0");

    if (!ss->leased) {
        ngx_str_set(&argv[5], "1");
    }

    ngx_str_set(&argv[6], NGX_MQTT_LEASE_OWNERS);

    ngx_str_set(&argv[7], "0");

    if (ss->taken) {
        ngx_str_set(&argv[7], "1");
    }

    ss->renewing = 1;

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_LEASE, 3, 8, argv, 0, op);

    ngx_mqtt_orphans_renew(w);
}


static void
ngx_mqtt_lease_renewed(ngx_mqtt_op_t *op)
{
    ngx_uint_t               i, first;
    ngx_mqtt_worker_t       *w;
    ngx_mqtt_sessions_t     *ss;
    ngx_mqtt_redis_reply_t  *reply;

    w = op->data;
    ss = w->sessions;
    reply = op->result;

    ss->renewing = 0;

    if (op->rc != NGX_OK
        || reply->type != NGX_MQTT_REDIS_ARRAY
        || reply->nelts == 0
        || reply->elts[0]->type != NGX_MQTT_REDIS_INTEGER
        || ss->leaving)
    {
        return;
    }

    if (reply->elts[0]->integer != 1) {
        ngx_mqtt_lease_lost(w, (ngx_int_t) reply->elts[0]->integer);
    }

    if (ss->ends) {
        ss->ends->leased(w, reply->elts[0]->integer != 1);
    }

    if (reply->elts[0]->integer != 1) {
        return;
    }

    first = !ss->leased;

    ss->leased = 1;
    ss->fenced = 0;
    ss->taken = 0;

    for (i = 1; i < reply->nelts; i++) {
        ngx_mqtt_lease_lapsed(w, &reply->elts[i]->str, first);
    }
}


static void
ngx_mqtt_lease_lost(ngx_mqtt_worker_t *w, ngx_int_t state)
{
    ngx_mqtt_sessions_t  *ss;

    ss = w->sessions;

    if (!ss->fenced) {
        ngx_log_error(NGX_LOG_ERR, w->log, 0,
                      "this worker was silent for too long, its sessions "
                      "were taken over, gateway: \"%V\"", &w->gateway->name);
    }

    ss->fenced = 1;
    ss->leased = 0;
    ss->taken = (state == -1);

    w->hooks->fence(w);

    if (ss->taken) {

        /* nothing else is waited for */

        if (ss->lease_event.timer_set) {
            ngx_del_timer(&ss->lease_event);
        }

        ngx_add_timer(&ss->lease_event, 1);
    }
}


/* an owner out of the list, maybe one who is alive if it is the "first" one */

static void
ngx_mqtt_lease_lapsed(ngx_mqtt_worker_t *w, ngx_str_t *owner,
    ngx_uint_t first)
{
    ngx_uint_t        dead;
    ngx_mqtt_peer_t   peer;
    ngx_mqtt_zone_t  *zone;

    dead = 0;
    zone = ngx_mqtt_zone(w->gateway);

    if (ngx_mqtt_session_parse_owner(w, owner, &peer) == NGX_OK) {

        if (peer.slot == w->slot_index && peer.generation == w->generation) {
            return;
        }

        dead = (zone->slots[peer.slot].generation != peer.generation);
    }

    if (dead || !first) {
        ngx_mqtt_orphans_take(w, owner, dead);
    }
}


void
ngx_mqtt_session_leave_begin(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_sessions_t  *ss;

    ss = w->sessions;

    ss->leaving = 1;

    if (ss->lease_event.timer_set) {
        ngx_del_timer(&ss->lease_event);
    }

    if (ss->due_event.timer_set) {
        ngx_del_timer(&ss->due_event);
    }

    if (ngx_mqtt_redis_ready(w->redis)) {
        ngx_mqtt_lease_end(w, &ss->owner, "planned");
    }
}


void
ngx_mqtt_session_leave_end(ngx_mqtt_worker_t *w)
{
    ngx_str_t  argv[2];

    if (!ngx_mqtt_redis_ready(w->redis) || w->sessions->left_behind
        || ngx_mqtt_redis_pending(w->redis) || ngx_mqtt_session_pending(w)
        || !ngx_queue_empty(&w->sessions->releases))
    {
        return;
    }

    ngx_str_set(&argv[0], "UNLINK");
    argv[1] = w->sessions->keys[NGX_MQTT_SESSION_KEY_OWNED];

    ngx_mqtt_redis_command(w->redis, 2, argv, 0, NULL);

    ngx_mqtt_lease_end(w, &w->sessions->owner, "empty");
}


void
ngx_mqtt_lease_end(ngx_mqtt_worker_t *w, ngx_str_t *owner, char *how)
{
    ngx_str_t             argv[6];
    ngx_mqtt_sessions_t  *ss;

    ss = w->sessions;

    argv[0] = ss->keys[NGX_MQTT_SESSION_KEY_LEASES];
    argv[1] = ss->keys[NGX_MQTT_SESSION_KEY_MARKS];
    argv[2] = ss->keys[NGX_MQTT_SESSION_KEY_TAKEN];
    argv[3] = *owner;
    argv[4].data = (u_char *) how;
    argv[4].len = ngx_strlen(how);
    ngx_str_set(&argv[5], NGX_MQTT_LEASE_REMEMBER);

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_LEASE_END, 3, 6, argv, 0,
                          NULL);
}
