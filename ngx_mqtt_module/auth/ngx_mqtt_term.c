
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Terms of a worker: in a tree by the time of their next event, those of
 * tokens in a hash by the id of the token too, which several clients may
 * share.  One timer serves all.
 *
 * Called from: the methods of auth (create), client/ (watch), the timer,
 * revocations.
 */


#include "ngx_mqtt_auth_int.h"


/* seconds: the clock may be set meanwhile */

#define NGX_MQTT_TERM_SLEEP  60


static void ngx_mqtt_term_schedule(ngx_mqtt_terms_t *terms,
    ngx_mqtt_term_t *term, time_t when);
static void ngx_mqtt_term_timer(ngx_event_t *ev);
static void ngx_mqtt_term_arm(ngx_mqtt_terms_t *terms);
static void ngx_mqtt_term_due(ngx_mqtt_terms_t *terms,
    ngx_mqtt_term_t *term, time_t now);


void
ngx_mqtt_terms_init(ngx_mqtt_worker_t *w)
{
    ngx_event_t        *ev;
    ngx_mqtt_terms_t  *terms;

    terms = &w->auth->terms;

    ngx_rbtree_init(&terms->tree, &terms->sentinel, ngx_rbtree_insert_value);

    ev = &terms->timer;

    ev->handler = ngx_mqtt_term_timer;
    ev->data = &w->ident;
    ev->log = w->log;

    /* the drain takes care of the clients, P20 */

    ev->cancelable = 1;
}


void
ngx_mqtt_terms_stop(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_terms_t  *terms;

    terms = &w->auth->terms;

    if (terms->timer.timer_set) {
        ngx_del_timer(&terms->timer);
    }

    ngx_mqtt_hash_free(&terms->tokens);
}


ngx_mqtt_term_t *
ngx_mqtt_term_create(ngx_mqtt_worker_t *w, time_t expires, u_char *id,
    ngx_uint_t type)
{
    ngx_mqtt_term_t  *term;

    term = ngx_mqtt_calloc(w, sizeof(ngx_mqtt_term_t));
    if (term == NULL) {
        return NULL;
    }

    term->expires = expires;
    term->type = type;

    if (id) {
        term->token = 1;
        ngx_memcpy(term->id, id, NGX_MQTT_TOKEN_ID);

        term->node.key.data = term->id;
        term->node.key.len = NGX_MQTT_TOKEN_ID;
    }

    return term;
}


void
ngx_mqtt_term_free(ngx_mqtt_worker_t *w, ngx_mqtt_term_t *term)
{
    if (term->watched) {
        ngx_rbtree_delete(&w->auth->terms.tree, &term->timer);

        if (term->token) {
            ngx_mqtt_hash_remove(&w->auth->terms.tokens, &term->node);
        }
    }

    ngx_mqtt_free(w, term, sizeof(ngx_mqtt_term_t));
}


ngx_int_t
ngx_mqtt_term_watch(ngx_mqtt_worker_t *w, ngx_mqtt_term_t *term,
    ngx_mqtt_term_pt event, void *data)
{
    time_t              when;
    ngx_mqtt_terms_t  *terms;

    terms = &w->auth->terms;

    term->event = event;
    term->data = data;

    when = term->expires;

    if (term->token) {

        if (ngx_mqtt_hash_insert(&terms->tokens, &term->node) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_mqtt_revoke_poll(w);

        when = ngx_max(term->expires - NGX_MQTT_TERM_NOTICE, ngx_time() + 1);
        when = ngx_min(when, term->expires);
    }

    term->watched = 1;

    ngx_mqtt_term_schedule(terms, term, when);
    ngx_mqtt_term_arm(terms);

    return NGX_OK;
}


static void
ngx_mqtt_term_schedule(ngx_mqtt_terms_t *terms, ngx_mqtt_term_t *term,
    time_t when)
{
    term->timer.key = (ngx_rbtree_key_t) when;
    ngx_rbtree_insert(&terms->tree, &term->timer);
}


static void
ngx_mqtt_term_timer(ngx_event_t *ev)
{
    time_t              now;
    ngx_mqtt_term_t   *term;
    ngx_mqtt_worker_t  *w;
    ngx_mqtt_terms_t  *terms;
    ngx_rbtree_node_t  *node;

    w = ngx_mqtt_event_worker(ev);
    terms = &w->auth->terms;
    now = ngx_time();

    while (terms->tree.root != terms->tree.sentinel) {
        node = ngx_rbtree_min(terms->tree.root, terms->tree.sentinel);

        if ((time_t) node->key > now) {
            break;
        }

        term = (ngx_mqtt_term_t *) ((u_char *) node
                                      - offsetof(ngx_mqtt_term_t, timer));

        ngx_mqtt_term_due(terms, term, now);
    }

    ngx_mqtt_term_arm(terms);
}


/* the event may free the term; a notice leaves it in the tree, later */

static void
ngx_mqtt_term_due(ngx_mqtt_terms_t *terms, ngx_mqtt_term_t *term,
    time_t now)
{
    ngx_rbtree_delete(&terms->tree, &term->timer);

    if (term->expires > now) {
        ngx_mqtt_term_schedule(terms, term, term->expires);

        if (!term->noticed) {
            term->noticed = 1;

            if (term->event(term->data, term, NGX_MQTT_TERM_EXPIRES_SOON)
                == NGX_AGAIN)
            {
                term->noticed = 0;

                ngx_rbtree_delete(&terms->tree, &term->timer);
                ngx_mqtt_term_schedule(terms, term, now + 1);
            }
        }

        return;
    }

    /* should the client stay, it is not asked again before long */

    ngx_mqtt_term_schedule(terms, term, now + NGX_MQTT_TERM_SLEEP);

    (void) term->event(term->data, term, NGX_MQTT_TERM_EXPIRED);
}


static void
ngx_mqtt_term_arm(ngx_mqtt_terms_t *terms)
{
    time_t              left;
    ngx_rbtree_node_t  *node;

    if (terms->tree.root == terms->tree.sentinel) {

        if (terms->timer.timer_set) {
            ngx_del_timer(&terms->timer);
        }

        return;
    }

    node = ngx_rbtree_min(terms->tree.root, terms->tree.sentinel);

    left = (time_t) node->key - ngx_time();
    left = ngx_max(ngx_min(left, NGX_MQTT_TERM_SLEEP), 0);

    /* a cached second is up to one late: never early, then */

    ngx_add_timer(&terms->timer, (ngx_msec_t) left * 1000 + 1);
}


void
ngx_mqtt_term_revoke(ngx_mqtt_worker_t *w, ngx_str_t *id)
{
    ngx_mqtt_term_t      *term;
    ngx_mqtt_hash_node_t  *node;

    for ( ;; ) {
        node = ngx_mqtt_hash_find(&w->auth->terms.tokens, id);

        if (node == NULL) {
            return;
        }

        term = (ngx_mqtt_term_t *) ((u_char *) node
                                      - offsetof(ngx_mqtt_term_t, node));

        /* found once, whatever becomes of the client */

        ngx_mqtt_hash_remove(&w->auth->terms.tokens, node);
        term->token = 0;

        (void) term->event(term->data, term, NGX_MQTT_TERM_REVOKED);
    }
}
