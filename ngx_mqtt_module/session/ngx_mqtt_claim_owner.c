
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The previous owner of a session that was claimed:
 *
 *     none, ourselves -> next
 *     another worker -> TAKEOVER frame -> TAKEN frame, timeout -> next
 *                                      -> death -> cleaned -> next
 *
 * (1) Claims that wait for TAKEN stand in ss->claims and ss->waiting, the next
 *     deadline first, so that one timer serves all.
 * (2) Nobody tells of the death of a worker of another node.  One that has
 *     dropped out of the index of all workers is not waited for, any other for
 *     at most NGX_MQTT_CLAIM_REMOTE.
 * (3) The end of the connection of an owner who is dead is told before the
 *     claim completes: the client is told to be connected behind it.  If he is
 *     not dead after all he finds that it is not his to tell any more.
 *
 * Called from: claims, bus frames.
 */


#include "ngx_mqtt_session_int.h"


#define NGX_MQTT_CLAIM_REMOTE  1000    /* ms */


/* a claim of another worker that is to be answered */

typedef struct {
    ngx_mqtt_peer_t             peer;
    uint64_t                    id;
    ngx_uint_t                  state;
} ngx_mqtt_claim_taken_t;


static ngx_int_t ngx_mqtt_claim_ask_self(ngx_mqtt_claim_t *claim);
static ngx_uint_t ngx_mqtt_claim_is_self(ngx_mqtt_worker_t *w,
    ngx_mqtt_peer_t *peer);
static ngx_int_t ngx_mqtt_claim_wait(ngx_mqtt_claim_t *claim);
static void ngx_mqtt_claim_wait_until(ngx_mqtt_claim_t *claim,
    ngx_msec_t timeout);
static ngx_uint_t ngx_mqtt_claim_close(ngx_mqtt_worker_t *w,
    ngx_str_t *client_id, uint64_t epoch);
static void ngx_mqtt_claim_clean(ngx_mqtt_claim_t *claim);
static void ngx_mqtt_claim_cleaned(ngx_mqtt_op_t *op);
static void ngx_mqtt_claim_stop_waiting(ngx_mqtt_claim_t *claim);
static void ngx_mqtt_claim_takeover_frame(ngx_mqtt_worker_t *w,
    ngx_mqtt_peer_t *from, ngx_str_t *body);
static ngx_int_t ngx_mqtt_claim_answer_later(ngx_mqtt_worker_t *w,
    ngx_mqtt_peer_t *peer, uint64_t id, ngx_uint_t state);
static void ngx_mqtt_claim_saved(ngx_mqtt_op_t *op);
static void ngx_mqtt_claim_taken_frame(ngx_mqtt_worker_t *w,
    ngx_mqtt_peer_t *from, ngx_str_t *body);
static void ngx_mqtt_claim_taken(ngx_mqtt_worker_t *w, uint64_t id,
    ngx_uint_t state);
static void ngx_mqtt_claim_timeout(ngx_event_t *ev);


void
ngx_mqtt_claim_init(ngx_mqtt_worker_t *w)
{
    ngx_event_t  *ev;

    ev = &w->sessions->timer;

    ev->handler = ngx_mqtt_claim_timeout;
    ev->data = &w->ident;
    ev->log = w->log;

    /* the drain waits for claims, a timer without any holds nobody, P20 */

    ev->cancelable = 1;

    ngx_mqtt_bus_on_frame(w->bus, NGX_MQTT_FRAME_TAKEOVER,
                          ngx_mqtt_claim_takeover_frame);
    ngx_mqtt_bus_on_frame(w->bus, NGX_MQTT_FRAME_TAKEN,
                          ngx_mqtt_claim_taken_frame);
}


void
ngx_mqtt_claim_take_over(ngx_mqtt_claim_t *claim, ngx_str_t *owner)
{
    ngx_int_t  rc;

    rc = NGX_OK;

    if (ngx_mqtt_peer_parse(claim->worker, owner, &claim->peer) == NGX_OK) {
        rc = ngx_mqtt_claim_ask(claim);
    }

    if (rc == NGX_DECLINED) {
        ngx_mqtt_claim_clean(claim);

    } else if (rc == NGX_OK) {
        ngx_mqtt_claim_next(claim);
    }
}


ngx_int_t
ngx_mqtt_claim_ask(ngx_mqtt_claim_t *claim)
{
    u_char               body[16 + 4], *p;
    ngx_str_t            parts[2];
    ngx_mqtt_worker_t   *w;
    ngx_mqtt_sessions_t *ss;

    w = claim->worker;
    ss = w->sessions;

    claim->id = ++ss->last_claim;

    if (ngx_mqtt_claim_is_self(w, &claim->peer)) {
        return ngx_mqtt_claim_ask_self(claim);
    }

    p = ngx_mqtt_frame_write_u64(body, claim->id);
    p = ngx_mqtt_frame_write_u64(p, claim->claimed.epoch);

    parts[0].data = body;
    parts[0].len = p - body;
    parts[1] = claim->client_id;

    if (ngx_mqtt_bus_send(w->bus, &claim->peer, NGX_MQTT_FRAME_TAKEOVER,
                          parts, 2)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    if (ngx_mqtt_claim_wait(claim) != NGX_OK) {
        return NGX_OK;
    }

    return NGX_AGAIN;
}


static ngx_int_t
ngx_mqtt_claim_ask_self(ngx_mqtt_claim_t *claim)
{
    ngx_mqtt_worker_t  *w;

    w = claim->worker;

    claim->unread |= (ngx_mqtt_claim_close(w, &claim->client_id,
                                           claim->claimed.epoch)
                      == NGX_MQTT_CLAIM_SETTLED);

    if (!claim->claimed.present
        || ngx_mqtt_settle_wait(w, &claim->client_id, &claim->peer, claim->id)
           == NGX_OK
        || ngx_mqtt_claim_wait(claim) != NGX_OK)
    {
        return NGX_OK;
    }

    claim->settling = 1;

    return NGX_AGAIN;
}


/* what is answered if nothing of this client id is in flight here */

static ngx_uint_t
ngx_mqtt_claim_close(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    uint64_t epoch)
{
    ngx_uint_t  state;

    /* of one that left before it may have been settled behind the claim */

    state = ngx_mqtt_hash_find(&w->clients, client_id)
            ? NGX_MQTT_CLAIM_CLEAN : NGX_MQTT_CLAIM_SETTLED;

    w->hooks->takeover(w, client_id, epoch);

    return state;
}


static ngx_uint_t
ngx_mqtt_claim_is_self(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *peer)
{
    ngx_mqtt_peer_t  self;

    self.node = 0;
    self.slot = w->slot_index;
    self.generation = w->generation;

    return ngx_mqtt_claim_same_peer(peer, &self);
}


static ngx_int_t
ngx_mqtt_claim_wait(ngx_mqtt_claim_t *claim)
{
    ngx_msec_t            timeout;
    ngx_mqtt_worker_t    *w;
    ngx_mqtt_sessions_t  *ss;

    w = claim->worker;
    ss = w->sessions;

    claim->node.key.data = (u_char *) &claim->id;
    claim->node.key.len = sizeof(uint64_t);

    if (ngx_mqtt_hash_insert(&ss->claims, &claim->node) != NGX_OK) {
        return NGX_ERROR;
    }

    timeout = w->gateway->takeover_timeout;

    if (claim->peer.node) {
        timeout = ngx_min(timeout, NGX_MQTT_CLAIM_REMOTE);
    }

    if (claim->since == 0) {
        claim->since = ngx_current_msec;
    }

    ngx_mqtt_claim_wait_until(claim, timeout);

    return NGX_OK;
}


/* "timeout" since the first one was asked, whoever is waited for */

static void
ngx_mqtt_claim_wait_until(ngx_mqtt_claim_t *claim, ngx_msec_t timeout)
{
    ngx_queue_t          *q;
    ngx_msec_int_t        left;
    ngx_mqtt_claim_t     *other;
    ngx_mqtt_sessions_t  *ss;

    ss = claim->worker->sessions;

    claim->deadline = claim->since + timeout;

    for (q = ngx_queue_last(&ss->waiting);
         q != ngx_queue_sentinel(&ss->waiting);
         q = ngx_queue_prev(q))
    {
        other = ngx_queue_data(q, ngx_mqtt_claim_t, queue);

        if ((ngx_msec_int_t) (other->deadline - claim->deadline) <= 0) {
            break;
        }
    }

    ngx_queue_insert_after(q, &claim->queue);

    if (q == ngx_queue_sentinel(&ss->waiting)) {

        /* the first one: the timer may be set for a later deadline */

        if (ss->timer.timer_set) {
            ngx_del_timer(&ss->timer);
        }

        left = (ngx_msec_int_t) (claim->deadline - ngx_current_msec);

        ngx_add_timer(&ss->timer, (ngx_msec_t) ngx_max(left, 1));
    }
}


/* the previous owner cannot be told */

static void
ngx_mqtt_claim_clean(ngx_mqtt_claim_t *claim)
{
    u_char                text[NGX_MQTT_PEER_NAME];
    ngx_str_t             owner;
    ngx_mqtt_op_t        *op;
    ngx_mqtt_worker_t    *w;
    ngx_mqtt_sessions_t  *ss;

    w = claim->worker;
    ss = w->sessions;

    if (ss->ends == NULL || ss->leaving
        || ss->nends >= NGX_MQTT_SESSION_EVENTS)
    {
        /* it is left to who takes over from him */

        ngx_mqtt_claim_next(claim);
        return;
    }

    claim->chores = ngx_mqtt_chores_get(w, &claim->client_id);
    if (claim->chores == NULL) {
        ngx_mqtt_claim_next(claim);
        return;
    }

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_claim_cleaned, claim);

    if (op == NULL) {
        ngx_mqtt_chores_unref(claim->chores);
        ngx_mqtt_claim_next(claim);
        return;
    }

    owner.data = text;
    owner.len = ngx_mqtt_peer_name(text, w, &claim->peer) - text;

    ngx_mqtt_chores_end(claim->chores, &owner, NGX_MQTT_CHORES_TELL, op);
}


static void
ngx_mqtt_claim_cleaned(ngx_mqtt_op_t *op)
{
    ngx_int_t           state;
    ngx_str_t           when;
    ngx_mqtt_claim_t   *claim;
    ngx_mqtt_chores_t  *ch;

    claim = op->data;
    ch = claim->chores;

    (void) ngx_mqtt_chores_ended(ch, op, &state, &when);

    ngx_mqtt_claim_next(claim);
    ngx_mqtt_chores_unref(ch);
}


static void
ngx_mqtt_claim_stop_waiting(ngx_mqtt_claim_t *claim)
{
    ngx_queue_remove(&claim->queue);
    ngx_mqtt_hash_remove(&claim->worker->sessions->claims, &claim->node);
}


/* another worker has claimed a session of ours: { id, epoch, client id } */

static void
ngx_mqtt_claim_takeover_frame(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *from,
    ngx_str_t *body)
{
    u_char      *p, *end;
    uint64_t     id, epoch;
    ngx_str_t    client_id;
    ngx_uint_t   state;

    end = body->data + body->len;

    p = ngx_mqtt_frame_read_u64(body->data, end, &id);

    if (p) {
        p = ngx_mqtt_frame_read_u64(p, end, &epoch);
    }

    if (p == NULL) {
        ngx_log_error(NGX_LOG_ALERT, w->log, 0, "malformed TAKEOVER frame");
        return;
    }

    client_id.data = p;
    client_id.len = end - p;

    state = ngx_mqtt_claim_close(w, &client_id, epoch);

    ngx_mqtt_session_unlist(w, &client_id);

    if (ngx_mqtt_settle_wait(w, &client_id, from, id) == NGX_AGAIN) {
        ngx_mqtt_claim_answer(w, from, id, NGX_MQTT_CLAIM_SETTLING);
        return;
    }

    if (ngx_mqtt_redis_pending(w->redis)
        && ngx_mqtt_claim_answer_later(w, from, id, state) == NGX_OK)
    {
        return;
    }

    ngx_mqtt_claim_answer(w, from, id, state);
}


/*
 * What the closed client has saved, such as its cursors, is on the way to
 * Redis: the next owner reads it, on a connection of its own.
 */

static ngx_int_t
ngx_mqtt_claim_answer_later(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *peer,
    uint64_t id, ngx_uint_t state)
{
    ngx_mqtt_op_t           *op;
    ngx_mqtt_claim_taken_t  *taken;

    taken = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_claim_taken_t));
    if (taken == NULL) {
        return NGX_ERROR;
    }

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_claim_saved, taken);

    if (op == NULL) {
        ngx_mqtt_free(w, taken, sizeof(ngx_mqtt_claim_taken_t));
        return NGX_ERROR;
    }

    taken->peer = *peer;
    taken->id = id;
    taken->state = state;

    ngx_mqtt_redis_sync(w->redis, op);

    return NGX_OK;
}


static void
ngx_mqtt_claim_saved(ngx_mqtt_op_t *op)
{
    ngx_mqtt_claim_taken_t  *taken;

    taken = op->data;

    if (op->worker->bus) {
        ngx_mqtt_claim_answer(op->worker, &taken->peer, taken->id,
                              taken->state);
    }

    ngx_mqtt_free(op->worker, taken, sizeof(ngx_mqtt_claim_taken_t));
}


/* a peer that cannot be told anymore does not wait either */

void
ngx_mqtt_claim_answer(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *peer,
    uint64_t id, ngx_uint_t state)
{
    u_char     body[8 + 1], *p;
    ngx_str_t  answer;

    if (ngx_mqtt_claim_is_self(w, peer)) {
        ngx_mqtt_claim_taken(w, id, state);
        return;
    }

    p = ngx_mqtt_frame_write_u64(body, id);
    *p++ = (u_char) state;

    answer.data = body;
    answer.len = p - body;

    (void) ngx_mqtt_bus_send(w->bus, peer, NGX_MQTT_FRAME_TAKEN, &answer, 1);
}


static void
ngx_mqtt_claim_taken_frame(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *from,
    ngx_str_t *body)
{
    u_char    *p, *end;
    uint64_t   id;

    end = body->data + body->len;
    p = ngx_mqtt_frame_read_u64(body->data, end, &id);

    if (p == NULL) {
        ngx_log_error(NGX_LOG_ALERT, w->log, 0, "malformed TAKEN frame");
        return;
    }

    ngx_mqtt_claim_taken(w, id, (p < end) ? *p : NGX_MQTT_CLAIM_CLEAN);
}


static void
ngx_mqtt_claim_taken(ngx_mqtt_worker_t *w, uint64_t id, ngx_uint_t state)
{
    ngx_str_t              key;
    ngx_mqtt_claim_t      *claim;
    ngx_mqtt_hash_node_t  *node;

    key.data = (u_char *) &id;
    key.len = sizeof(uint64_t);

    node = ngx_mqtt_hash_find(&w->sessions->claims, &key);

    if (node == NULL) {

        /* it did not wait for so long */

        return;
    }

    claim = ngx_queue_data(node, ngx_mqtt_claim_t, node);

    if (state == NGX_MQTT_CLAIM_SETTLING && claim->claimed.present) {

        /* it lives, and will tell */

        claim->settling = 1;

        ngx_queue_remove(&claim->queue);
        ngx_mqtt_claim_wait_until(claim, w->gateway->takeover_timeout);
        return;
    }

    claim->unread |= (state == NGX_MQTT_CLAIM_SETTLED);
    claim->settling = 0;

    ngx_mqtt_claim_stop_waiting(claim);
    ngx_mqtt_claim_next(claim);
}


void
ngx_mqtt_session_peer_lost(ngx_mqtt_worker_t *w, ngx_uint_t slot,
    uint64_t generation)
{
    ngx_queue_t          *q, *next;
    ngx_mqtt_claim_t     *claim;
    ngx_mqtt_sessions_t  *ss;

    ss = w->sessions;

    for (q = ngx_queue_head(&ss->waiting);
         q != ngx_queue_sentinel(&ss->waiting);
         q = next)
    {
        next = ngx_queue_next(q);
        claim = ngx_queue_data(q, ngx_mqtt_claim_t, queue);

        if (claim->peer.node == 0
            && claim->peer.slot == slot
            && claim->peer.generation == generation)
        {
            ngx_mqtt_claim_stop_waiting(claim);
            ngx_mqtt_claim_clean(claim);
        }
    }
}


static void
ngx_mqtt_claim_timeout(ngx_event_t *ev)
{
    ngx_queue_t          *q;
    ngx_msec_int_t        left;
    ngx_mqtt_claim_t     *claim;
    ngx_mqtt_worker_t    *w;
    ngx_mqtt_sessions_t  *ss;

    w = ngx_mqtt_event_worker(ev);
    ss = w->sessions;

    while (!ngx_queue_empty(&ss->waiting)) {
        q = ngx_queue_head(&ss->waiting);
        claim = ngx_queue_data(q, ngx_mqtt_claim_t, queue);

        left = (ngx_msec_int_t) (claim->deadline - ngx_current_msec);

        if (left > 0) {
            ngx_add_timer(ev, (ngx_msec_t) left);
            return;
        }

        if (claim->settling) {
            ngx_log_error(NGX_LOG_INFO, w->log, 0,
                          "publishes of the last connection of a session are "
                          "still in flight in the worker in slot %uL",
                          claim->peer.slot);

        } else {
            ngx_log_error(NGX_LOG_WARN, w->log, 0,
                          "worker in slot %uL did not give up a session in "
                          "time", claim->peer.slot);
        }

        ngx_mqtt_claim_stop_waiting(claim);
        ngx_mqtt_claim_finish(claim);
    }
}


void
ngx_mqtt_claim_fail_all(ngx_mqtt_worker_t *w)
{
    ngx_queue_t          *q;
    ngx_mqtt_claim_t     *claim;
    ngx_mqtt_sessions_t  *ss;

    ss = w->sessions;

    while (!ngx_queue_empty(&ss->waiting)) {
        q = ngx_queue_head(&ss->waiting);
        claim = ngx_queue_data(q, ngx_mqtt_claim_t, queue);

        ngx_mqtt_claim_stop_waiting(claim);
        ngx_mqtt_claim_fail(claim);
    }

    if (ss->timer.timer_set) {
        ngx_del_timer(&ss->timer);
    }
}
