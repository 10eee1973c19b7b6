
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Leases of a worker: in a tree by the time of their next event, those of
 * tokens in a hash by the id of the token too, which several clients may
 * share.  One timer serves all.
 *
 * Called from: the methods of auth (create), client/ (watch), the timer,
 * revocations.
 */


#include "ngx_mqtt_auth_int.h"


/* seconds: the clock may be set meanwhile */

#define NGX_MQTT_LEASE_SLEEP  60


static void ngx_mqtt_lease_schedule(ngx_mqtt_leases_t *leases,
    ngx_mqtt_lease_t *lease, time_t when);
static void ngx_mqtt_lease_timer(ngx_event_t *ev);
static void ngx_mqtt_lease_arm(ngx_mqtt_leases_t *leases);
static void ngx_mqtt_lease_due(ngx_mqtt_leases_t *leases,
    ngx_mqtt_lease_t *lease, time_t now);


void
ngx_mqtt_leases_init(ngx_mqtt_worker_t *w)
{
    ngx_event_t        *ev;
    ngx_mqtt_leases_t  *leases;

    leases = &w->auth->leases;

    ngx_rbtree_init(&leases->tree, &leases->sentinel, ngx_rbtree_insert_value);

    ev = &leases->timer;

    ev->handler = ngx_mqtt_lease_timer;
    ev->data = &w->ident;
    ev->log = w->log;

    /* the drain takes care of the clients, P20 */

    ev->cancelable = 1;
}


void
ngx_mqtt_leases_stop(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_leases_t  *leases;

    leases = &w->auth->leases;

    if (leases->timer.timer_set) {
        ngx_del_timer(&leases->timer);
    }

    ngx_mqtt_hash_free(&leases->tokens);
}


ngx_mqtt_lease_t *
ngx_mqtt_lease_create(ngx_mqtt_worker_t *w, time_t expires, u_char *id,
    ngx_uint_t type)
{
    ngx_mqtt_lease_t  *lease;

    lease = ngx_mqtt_calloc(w, sizeof(ngx_mqtt_lease_t));
    if (lease == NULL) {
        return NULL;
    }

    lease->expires = expires;
    lease->type = type;

    if (id) {
        lease->token = 1;
        ngx_memcpy(lease->id, id, NGX_MQTT_TOKEN_ID);

        lease->node.key.data = lease->id;
        lease->node.key.len = NGX_MQTT_TOKEN_ID;
    }

    return lease;
}


void
ngx_mqtt_lease_free(ngx_mqtt_worker_t *w, ngx_mqtt_lease_t *lease)
{
    if (lease->watched) {
        ngx_rbtree_delete(&w->auth->leases.tree, &lease->timer);

        if (lease->token) {
            ngx_mqtt_hash_remove(&w->auth->leases.tokens, &lease->node);
        }
    }

    ngx_mqtt_free(w, lease, sizeof(ngx_mqtt_lease_t));
}


ngx_int_t
ngx_mqtt_lease_watch(ngx_mqtt_worker_t *w, ngx_mqtt_lease_t *lease,
    ngx_mqtt_lease_pt event, void *data)
{
    time_t              when;
    ngx_mqtt_leases_t  *leases;

    leases = &w->auth->leases;

    lease->event = event;
    lease->data = data;

    when = lease->expires;

    if (lease->token) {

        if (ngx_mqtt_hash_insert(&leases->tokens, &lease->node) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_mqtt_revoke_poll(w);

        when = ngx_max(lease->expires - NGX_MQTT_LEASE_NOTICE, ngx_time() + 1);
        when = ngx_min(when, lease->expires);
    }

    lease->watched = 1;

    ngx_mqtt_lease_schedule(leases, lease, when);
    ngx_mqtt_lease_arm(leases);

    return NGX_OK;
}


static void
ngx_mqtt_lease_schedule(ngx_mqtt_leases_t *leases, ngx_mqtt_lease_t *lease,
    time_t when)
{
    lease->timer.key = (ngx_rbtree_key_t) when;
    ngx_rbtree_insert(&leases->tree, &lease->timer);
}


static void
ngx_mqtt_lease_timer(ngx_event_t *ev)
{
    time_t              now;
    ngx_mqtt_lease_t   *lease;
    ngx_mqtt_worker_t  *w;
    ngx_mqtt_leases_t  *leases;
    ngx_rbtree_node_t  *node;

    w = ngx_mqtt_event_worker(ev);
    leases = &w->auth->leases;
    now = ngx_time();

    while (leases->tree.root != leases->tree.sentinel) {
        node = ngx_rbtree_min(leases->tree.root, leases->tree.sentinel);

        if ((time_t) node->key > now) {
            break;
        }

        lease = (ngx_mqtt_lease_t *) ((u_char *) node
                                      - offsetof(ngx_mqtt_lease_t, timer));

        ngx_mqtt_lease_due(leases, lease, now);
    }

    ngx_mqtt_lease_arm(leases);
}


/* the event may free the lease; a notice leaves it in the tree, later */

static void
ngx_mqtt_lease_due(ngx_mqtt_leases_t *leases, ngx_mqtt_lease_t *lease,
    time_t now)
{
    ngx_rbtree_delete(&leases->tree, &lease->timer);

    if (lease->expires > now) {
        ngx_mqtt_lease_schedule(leases, lease, lease->expires);

        if (!lease->noticed) {
            lease->noticed = 1;

            if (lease->event(lease->data, lease, NGX_MQTT_LEASE_EXPIRES_SOON)
                == NGX_AGAIN)
            {
                lease->noticed = 0;

                ngx_rbtree_delete(&leases->tree, &lease->timer);
                ngx_mqtt_lease_schedule(leases, lease, now + 1);
            }
        }

        return;
    }

    /* should the client stay, it is not asked again before long */

    ngx_mqtt_lease_schedule(leases, lease, now + NGX_MQTT_LEASE_SLEEP);

    (void) lease->event(lease->data, lease, NGX_MQTT_LEASE_EXPIRED);
}


static void
ngx_mqtt_lease_arm(ngx_mqtt_leases_t *leases)
{
    time_t              left;
    ngx_rbtree_node_t  *node;

    if (leases->tree.root == leases->tree.sentinel) {

        if (leases->timer.timer_set) {
            ngx_del_timer(&leases->timer);
        }

        return;
    }

    node = ngx_rbtree_min(leases->tree.root, leases->tree.sentinel);

    left = (time_t) node->key - ngx_time();
    left = ngx_max(ngx_min(left, NGX_MQTT_LEASE_SLEEP), 0);

    /* a cached second is up to one late: never early, then */

    ngx_add_timer(&leases->timer, (ngx_msec_t) left * 1000 + 1);
}


void
ngx_mqtt_lease_revoke(ngx_mqtt_worker_t *w, ngx_str_t *id)
{
    ngx_mqtt_lease_t      *lease;
    ngx_mqtt_hash_node_t  *node;

    for ( ;; ) {
        node = ngx_mqtt_hash_find(&w->auth->leases.tokens, id);

        if (node == NULL) {
            return;
        }

        lease = (ngx_mqtt_lease_t *) ((u_char *) node
                                      - offsetof(ngx_mqtt_lease_t, node));

        /* found once, whatever becomes of the client */

        ngx_mqtt_hash_remove(&w->auth->leases.tokens, node);
        lease->token = 0;

        (void) lease->event(lease->data, lease, NGX_MQTT_LEASE_REVOKED);
    }
}
