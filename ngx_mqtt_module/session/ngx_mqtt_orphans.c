
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Sessions of a worker that is dead are released as if their connections had
 * been lost just now.
 *
 *     take -> a page of its client ids -> into our list -> session_end.lua
 *       ^     for each -> out of its list --+
 *       |___________________________________|   no more: its lease ends
 *
 * (1) Only one takes over at a time: it holds the lease of the dead one.  If
 *     it dies as well the lease lapses once more, and somebody goes on.
 * (2) A client id leaves the list of the dead one after it stands in ours, its
 *     session is released, and what is due later is noted.
 * (3) So many wills and ends of connections may be on their way; then the next
 *     page waits.
 *
 * Called from: session/ (leases), gateway/ (a worker of this node), replies of
 * Redis.
 */


#include "ngx_mqtt_session_int.h"


#define NGX_MQTT_ORPHANS_PAGE   100


typedef struct {
    ngx_queue_t                 queue;     /* in ss->orphans */
    ngx_mqtt_worker_t          *worker;
    ngx_str_t                   list;      /* key of its client ids */
    ngx_str_t                   page[NGX_MQTT_ORPHANS_PAGE + 2];
                                           /* SREM, key, client ids that are
                                              done with; freed one by one */
    ngx_uint_t                  npage;
    ngx_uint_t                  pending;   /* of the page */
    ngx_uint_t                  count;
    unsigned                    planned:1; /* its wills are not published */
    unsigned                    begun:1;
    unsigned                    waiting:1; /* for events to be gone */
    unsigned                    failed:1;
    ngx_str_t                   owner;     /* bytes behind the struct */
} ngx_mqtt_orphans_t;


typedef struct {
    ngx_mqtt_orphans_t         *orphans;
    ngx_mqtt_chores_t          *chores;
} ngx_mqtt_orphan_t;


static ngx_mqtt_orphans_t *ngx_mqtt_orphans_create(ngx_mqtt_worker_t *w,
    ngx_str_t *owner);
static void ngx_mqtt_orphans_free(ngx_mqtt_orphans_t *orphans);
static void ngx_mqtt_orphans_send(ngx_mqtt_orphans_t *orphans,
    ngx_uint_t known, ngx_uint_t flags, ngx_mqtt_op_t *op);
static void ngx_mqtt_orphans_taken(ngx_mqtt_op_t *op);
static void ngx_mqtt_orphans_next(ngx_mqtt_orphans_t *orphans);
static void ngx_mqtt_orphans_page(ngx_mqtt_op_t *op);
static void ngx_mqtt_orphan_end(ngx_mqtt_orphans_t *orphans,
    ngx_str_t *client_id);
static void ngx_mqtt_orphan_ended(ngx_mqtt_op_t *op);
static void ngx_mqtt_orphans_page_done(ngx_mqtt_orphans_t *orphans);
static void ngx_mqtt_orphans_page_free(ngx_mqtt_orphans_t *orphans);


void
ngx_mqtt_orphans_take(ngx_mqtt_worker_t *w, ngx_str_t *owner,
    ngx_uint_t known)
{
    ngx_queue_t          *q;
    ngx_mqtt_op_t        *op;
    ngx_mqtt_orphans_t   *orphans;
    ngx_mqtt_sessions_t  *ss;

    ss = w->sessions;

    if (w->draining || ss->leaving || ss->fenced) {
        return;
    }

    for (q = ngx_queue_head(&ss->orphans);
         q != ngx_queue_sentinel(&ss->orphans);
         q = ngx_queue_next(q))
    {
        orphans = ngx_queue_data(q, ngx_mqtt_orphans_t, queue);

        if (orphans->owner.len == owner->len
            && ngx_memcmp(orphans->owner.data, owner->data, owner->len) == 0)
        {
            return;
        }
    }

    orphans = ngx_mqtt_orphans_create(w, owner);
    if (orphans == NULL) {
        return;
    }

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_orphans_taken, orphans);

    if (op == NULL) {
        ngx_mqtt_orphans_free(orphans);
        return;
    }

    ngx_mqtt_orphans_send(orphans, known, NGX_MQTT_REDIS_WAIT, op);
}


static ngx_mqtt_orphans_t *
ngx_mqtt_orphans_create(ngx_mqtt_worker_t *w, ngx_str_t *owner)
{
    ngx_mqtt_orphans_t  *orphans;

    orphans = ngx_mqtt_calloc(w, sizeof(ngx_mqtt_orphans_t) + owner->len);
    if (orphans == NULL) {
        return NULL;
    }

    orphans->worker = w;
    orphans->owner.len = owner->len;
    orphans->owner.data = (u_char *) orphans + sizeof(ngx_mqtt_orphans_t);

    ngx_memcpy(orphans->owner.data, owner->data, owner->len);

    if (ngx_mqtt_session_owned_key(w, owner, &orphans->list) != NGX_OK) {
        ngx_mqtt_free(w, orphans, sizeof(ngx_mqtt_orphans_t) + owner->len);
        return NULL;
    }

    ngx_queue_insert_tail(&w->sessions->orphans, &orphans->queue);

    return orphans;
}


static void
ngx_mqtt_orphans_free(ngx_mqtt_orphans_t *orphans)
{
    ngx_mqtt_worker_t  *w;

    w = orphans->worker;

    ngx_queue_remove(&orphans->queue);
    ngx_mqtt_orphans_page_free(orphans);

    ngx_mqtt_free(w, orphans->list.data, orphans->list.len);
    ngx_mqtt_free(w, orphans,
                  sizeof(ngx_mqtt_orphans_t) + orphans->owner.len);
}


static void
ngx_mqtt_orphans_send(ngx_mqtt_orphans_t *orphans, ngx_uint_t known,
    ngx_uint_t flags, ngx_mqtt_op_t *op)
{
    u_char                length[NGX_INT64_LEN];
    ngx_str_t             argv[7];
    ngx_mqtt_worker_t    *w;
    ngx_mqtt_sessions_t  *ss;

    w = orphans->worker;
    ss = w->sessions;

    argv[0] = ss->keys[NGX_MQTT_SESSION_KEY_LEASES];
    argv[1] = ss->keys[NGX_MQTT_SESSION_KEY_MARKS];
    argv[2] = ss->keys[NGX_MQTT_SESSION_KEY_TAKEN];
    argv[3] = ss->owner;
    argv[4] = orphans->owner;

    argv[5].data = length;
    argv[5].len = ngx_sprintf(length, "%M", w->gateway->lease_timeout)
                  - length;

    ngx_str_set(&argv[6], "0");

    if (known) {
        ngx_str_set(&argv[6], "1");
    }

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_LEASE_TAKE, 3, 7, argv,
                          flags, op);
}


static void
ngx_mqtt_orphans_taken(ngx_mqtt_op_t *op)
{
    ngx_mqtt_orphans_t      *orphans;
    ngx_mqtt_redis_reply_t  *reply;

    orphans = op->data;
    reply = op->result;

    if (op->rc != NGX_OK
        || reply->type != NGX_MQTT_REDIS_INTEGER
        || reply->integer == 0)
    {
        ngx_mqtt_orphans_free(orphans);
        return;
    }

    orphans->planned = (reply->integer == 2);
    orphans->begun = 1;

    if (op->worker->sessions->dead) {
        op->worker->sessions->dead(op->worker, &orphans->owner);
    }

    ngx_mqtt_orphans_next(orphans);
}


/* the lease of those in hand, and whoever waits for events to be gone */

void
ngx_mqtt_orphans_renew(ngx_mqtt_worker_t *w)
{
    ngx_queue_t         *q, *next;
    ngx_mqtt_orphans_t  *orphans;

    for (q = ngx_queue_head(&w->sessions->orphans);
         q != ngx_queue_sentinel(&w->sessions->orphans);
         q = next)
    {
        next = ngx_queue_next(q);
        orphans = ngx_queue_data(q, ngx_mqtt_orphans_t, queue);

        if (!orphans->begun) {
            continue;
        }

        ngx_mqtt_orphans_send(orphans, 0, 0, NULL);

        if (orphans->waiting) {
            orphans->waiting = 0;
            ngx_mqtt_orphans_next(orphans);
        }
    }
}


static void
ngx_mqtt_orphans_next(ngx_mqtt_orphans_t *orphans)
{
    ngx_str_t             argv[3];
    ngx_mqtt_op_t        *op;
    ngx_mqtt_worker_t    *w;
    ngx_mqtt_sessions_t  *ss;

    w = orphans->worker;
    ss = w->sessions;

    if (w->draining || ss->leaving || ss->fenced || orphans->failed) {

        /* whoever sees its lease lapse goes on */

        ngx_mqtt_orphans_free(orphans);
        return;
    }

    if (ss->nwills >= NGX_MQTT_SESSION_EVENTS
        || ss->nends >= NGX_MQTT_SESSION_EVENTS)
    {
        orphans->waiting = 1;
        return;
    }

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_orphans_page, orphans);

    if (op == NULL) {
        orphans->waiting = 1;
        return;
    }

    ngx_str_set(&argv[0], "SRANDMEMBER");
    argv[1] = orphans->list;
    ngx_str_set(&argv[2], ngx_value(NGX_MQTT_ORPHANS_PAGE));

    ngx_mqtt_redis_command(w->redis, 3, argv,
                           NGX_MQTT_REDIS_WAIT|NGX_MQTT_REDIS_READ, op);
}


static void
ngx_mqtt_orphans_page(ngx_mqtt_op_t *op)
{
    ngx_str_t                ids[NGX_MQTT_ORPHANS_PAGE];
    ngx_uint_t               i, n;
    ngx_mqtt_worker_t       *w;
    ngx_mqtt_orphans_t      *orphans;
    ngx_mqtt_redis_reply_t  *reply;

    orphans = op->data;
    w = orphans->worker;
    reply = op->result;

    if (op->rc != NGX_OK || reply->type != NGX_MQTT_REDIS_ARRAY) {
        ngx_mqtt_orphans_free(orphans);
        return;
    }

    if (reply->nelts == 0) {
        ngx_mqtt_lease_end(w, &orphans->owner, "taken");

        if (orphans->count) {
            ngx_log_error(NGX_LOG_NOTICE, w->log, 0,
                          "%ui sessions of a dead worker were taken over, "
                          "gateway: \"%V\"",
                          orphans->count, &w->gateway->name);
        }

        ngx_mqtt_orphans_free(orphans);
        return;
    }

    n = ngx_min(reply->nelts, NGX_MQTT_ORPHANS_PAGE);

    for (i = 0; i < n; i++) {
        ids[i] = reply->elts[i]->str;
    }

    ngx_mqtt_session_list(w, ids, n);

    /* one more, so that the page is not done before it is complete */

    orphans->pending = 1;

    for (i = 0; i < n; i++) {
        ngx_mqtt_orphan_end(orphans, &ids[i]);
    }

    orphans->pending--;
    ngx_mqtt_orphans_page_done(orphans);
}


static void
ngx_mqtt_orphan_end(ngx_mqtt_orphans_t *orphans, ngx_str_t *client_id)
{
    ngx_mqtt_op_t      *op;
    ngx_mqtt_worker_t  *w;
    ngx_mqtt_chores_t  *ch;
    ngx_mqtt_orphan_t  *orphan;

    w = orphans->worker;

    ch = ngx_mqtt_chores_get(w, client_id);
    orphan = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_orphan_t));
    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_orphan_ended, orphan);

    if (ch == NULL || orphan == NULL || op == NULL) {

        if (ch) {
            ngx_mqtt_chores_unref(ch);
        }

        if (orphan) {
            ngx_mqtt_free(w, orphan, sizeof(ngx_mqtt_orphan_t));
        }

        if (op) {
            ngx_mqtt_op_cancel(op);
        }

        orphans->failed = 1;
        return;
    }

    orphan->orphans = orphans;
    orphan->chores = ch;

    orphans->pending++;

    if (w->sessions->ends) {
        w->sessions->ends->expect(w, client_id, 0);
    }

    ngx_mqtt_chores_end(ch, &orphans->owner,
                        orphans->planned ? NGX_MQTT_CHORES_DISCARD
                                         : NGX_MQTT_CHORES_LOST, op);
}


static void
ngx_mqtt_orphan_ended(ngx_mqtt_op_t *op)
{
    ngx_int_t            state;
    ngx_str_t            when, *id, *done;
    ngx_mqtt_worker_t   *w;
    ngx_mqtt_chores_t   *ch;
    ngx_mqtt_orphan_t   *orphan;
    ngx_mqtt_orphans_t  *orphans;

    w = op->worker;
    orphan = op->data;
    orphans = orphan->orphans;
    ch = orphan->chores;

    if (ngx_mqtt_chores_ended(ch, op, &state, &when) == NGX_OK) {

        if (when.len) {
            ngx_mqtt_janitor_note(w, &ch->node.key, &when);
        }

        id = &ch->node.key;
        done = &orphans->page[2 + orphans->npage];

        done->data = ngx_mqtt_alloc(w, id->len);

        if (done->data) {
            ngx_memcpy(done->data, id->data, id->len);
            done->len = id->len;
            orphans->npage++;
            orphans->count++;
            ngx_mqtt_count(w, NGX_MQTT_STAT_sessions_taken_over);

        } else {
            orphans->failed = 1;
        }

    } else {
        orphans->failed = 1;
    }

    if (w->sessions->ends) {
        w->sessions->ends->settle(w, &ch->node.key, 0, 0);
    }

    ngx_mqtt_chores_unref(ch);
    ngx_mqtt_free(w, orphan, sizeof(ngx_mqtt_orphan_t));

    orphans->pending--;
    ngx_mqtt_orphans_page_done(orphans);
}


static void
ngx_mqtt_orphans_page_done(ngx_mqtt_orphans_t *orphans)
{
    if (orphans->pending) {
        return;
    }

    if (orphans->npage) {
        ngx_str_set(&orphans->page[0], "SREM");
        orphans->page[1] = orphans->list;

        ngx_mqtt_redis_command(orphans->worker->redis, orphans->npage + 2,
                               orphans->page, NGX_MQTT_REDIS_WAIT, NULL);
    }

    ngx_mqtt_orphans_page_free(orphans);
    ngx_mqtt_orphans_next(orphans);
}


static void
ngx_mqtt_orphans_page_free(ngx_mqtt_orphans_t *orphans)
{
    ngx_uint_t  i;

    for (i = 0; i < orphans->npage; i++) {
        ngx_mqtt_free(orphans->worker, orphans->page[2 + i].data,
                      orphans->page[2 + i].len);
    }

    orphans->npage = 0;
}


void
ngx_mqtt_orphans_stop(ngx_mqtt_worker_t *w)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(&w->sessions->orphans)) {
        q = ngx_queue_head(&w->sessions->orphans);

        ngx_mqtt_orphans_free(ngx_queue_data(q, ngx_mqtt_orphans_t, queue));
    }
}
