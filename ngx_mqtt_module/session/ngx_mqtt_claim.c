
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The claim of a session, step by step:
 *
 *     claim -> script in Redis -> claimed -> previous owner?
 *                                   none, dead, ourselves -> finish
 *                                   another worker -> TAKEOVER frame
 *                                        -> TAKEN frame, death, timeout
 *                                             -> finish
 *
 * (1) A claim is freed exactly once, in ngx_mqtt_claim_finish() or _fail().
 * (2) Readers of what has ended are detached before the claim completes: the
 *     commands of the client that follow find them gone.
 * (3) Claims that wait for TAKEN stand in ss->claims and ss->waiting, the next
 *     deadline first, so that one timer serves all.
 * (4) Nobody tells of the death of a worker of another node.  One that has
 *     dropped out of the index of all workers is not waited for, any other for
 *     at most NGX_MQTT_CLAIM_REMOTE.
 *
 * Called from: client/ (claim), Redis replies and bus frames.
 */


#include "ngx_mqtt_session_int.h"


#define NGX_MQTT_CLAIM_REMOTE  1000    /* ms */


typedef struct {
    ngx_mqtt_hash_node_t        node;      /* key: the bytes of id */
    ngx_queue_t                 queue;     /* in ss->waiting */
    uint64_t                    id;
    ngx_msec_t                  deadline;
    ngx_mqtt_peer_t             peer;      /* the owner asked to give up */

    ngx_mqtt_worker_t          *worker;
    ngx_mqtt_op_t              *op;        /* the caller's */
    ngx_mqtt_session_claimed_t  claimed;

    u_char                     *fields;    /* claimed.fields, their bytes */
    size_t                      size;      /* of that block */

    uint32_t                    expiry;
    ngx_uint_t                  lasting;
    ngx_str_t                   client_id; /* bytes behind the struct */
} ngx_mqtt_claim_t;


/* a claim of another worker that is to be answered */

typedef struct {
    ngx_mqtt_peer_t             peer;
    uint64_t                    id;
} ngx_mqtt_claim_taken_t;


static ngx_mqtt_claim_t *ngx_mqtt_claim_create(ngx_mqtt_worker_t *w,
    ngx_mqtt_session_claim_t *sc, ngx_mqtt_op_t *op);
static ngx_int_t ngx_mqtt_claim_send(ngx_mqtt_worker_t *w,
    ngx_mqtt_session_claim_t *sc, ngx_mqtt_op_t *op);
static void ngx_mqtt_claim_replied(ngx_mqtt_op_t *op);
static ngx_int_t ngx_mqtt_claim_parse(ngx_mqtt_claim_t *claim,
    ngx_mqtt_redis_reply_t *reply, ngx_str_t *owner);
static ngx_int_t ngx_mqtt_claim_parse_fields(ngx_mqtt_claim_t *claim,
    ngx_mqtt_redis_reply_t *reply);
static void ngx_mqtt_claim_chores(ngx_mqtt_claim_t *claim,
    ngx_mqtt_redis_reply_t *reply);
static void ngx_mqtt_claim_undo(ngx_mqtt_claim_t *claim);
static void ngx_mqtt_claim_undone(ngx_mqtt_op_t *op);
static void ngx_mqtt_claim_take_over(ngx_mqtt_claim_t *claim,
    ngx_str_t *owner);
static ngx_int_t ngx_mqtt_claim_wait(ngx_mqtt_claim_t *claim);
static void ngx_mqtt_claim_finish(ngx_mqtt_claim_t *claim);
static void ngx_mqtt_claim_fail(ngx_mqtt_claim_t *claim);
static void ngx_mqtt_claim_free(ngx_mqtt_claim_t *claim);
static void ngx_mqtt_claim_stop_waiting(ngx_mqtt_claim_t *claim);
static void ngx_mqtt_claim_takeover_frame(ngx_mqtt_worker_t *w,
    ngx_mqtt_peer_t *from, ngx_str_t *body);
static ngx_int_t ngx_mqtt_claim_answer_later(ngx_mqtt_worker_t *w,
    ngx_mqtt_peer_t *peer, uint64_t id);
static void ngx_mqtt_claim_saved(ngx_mqtt_op_t *op);
static void ngx_mqtt_claim_answer(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *peer,
    uint64_t id);
static void ngx_mqtt_claim_taken_frame(ngx_mqtt_worker_t *w,
    ngx_mqtt_peer_t *from, ngx_str_t *body);
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
ngx_mqtt_session_claim(ngx_mqtt_worker_t *w, ngx_mqtt_session_claim_t *sc,
    ngx_mqtt_op_t *op)
{
    ngx_mqtt_op_t     *redis_op;
    ngx_mqtt_claim_t  *claim;

    /* nothing is listed for a claim that fails anyway */

    if (w->sessions->fenced || !ngx_mqtt_redis_ready(w->redis)) {
        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_SERVER_UNAVAILABLE);
        return;
    }

    claim = ngx_mqtt_claim_create(w, sc, op);

    if (claim == NULL) {
        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_SERVER_UNAVAILABLE);
        return;
    }

    redis_op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_claim_replied, claim);

    if (redis_op && ngx_mqtt_claim_send(w, sc, redis_op) == NGX_OK) {
        return;
    }

    if (redis_op) {
        ngx_mqtt_op_cancel(redis_op);
    }

    ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_SERVER_UNAVAILABLE);
    ngx_mqtt_claim_free(claim);
}


static ngx_int_t
ngx_mqtt_claim_send(ngx_mqtt_worker_t *w, ngx_mqtt_session_claim_t *sc,
    ngx_mqtt_op_t *op)
{
    u_char      seconds[NGX_INT64_LEN], retention[NGX_INT64_LEN], *p;
    size_t      size;
    ngx_str_t   argv[7], *will;

    will = &argv[5];
    ngx_str_null(will);
    size = 0;

    if (sc->will) {
        size = NGX_INT32_LEN + 1 + ngx_mqtt_frame_msg_len(sc->will);

        will->data = ngx_mqtt_alloc(w, size);
        if (will->data == NULL) {
            return NGX_ERROR;
        }

        p = ngx_sprintf(will->data, "%uD:", sc->will_delay);
        p = ngx_mqtt_frame_write_msg(p, sc->will);

        will->len = p - will->data;
    }

    if (ngx_mqtt_session_key_pair(w, &sc->client_id, argv) != NGX_OK) {

        if (size) {
            ngx_mqtt_free(w, will->data, size);
        }

        return NGX_ERROR;
    }

    argv[2] = w->sessions->owner;

    ngx_str_set(&argv[3], "0");

    if (sc->clean) {
        ngx_str_set(&argv[3], "1");
    }

    argv[4].data = seconds;
    argv[4].len = ngx_mqtt_session_expiry(seconds, sc->expiry) - seconds;

    argv[6].data = retention;
    argv[6].len = ngx_sprintf(retention, "%M", w->gateway->offline_retention)
                  - retention;

    ngx_mqtt_session_list(w, &sc->client_id, 1);

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_CLAIM, 2, 7, argv, 0, op);

    ngx_mqtt_session_key_pair_free(w, argv);

    if (size) {
        ngx_mqtt_free(w, will->data, size);
    }

    return NGX_OK;
}


static ngx_mqtt_claim_t *
ngx_mqtt_claim_create(ngx_mqtt_worker_t *w, ngx_mqtt_session_claim_t *sc,
    ngx_mqtt_op_t *op)
{
    ngx_mqtt_claim_t  *claim;

    claim = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_claim_t) + sc->client_id.len);
    if (claim == NULL) {
        return NULL;
    }

    ngx_memzero(claim, sizeof(ngx_mqtt_claim_t));

    claim->worker = w;
    claim->op = op;
    claim->expiry = sc->expiry;
    claim->lasting = sc->expiry || sc->will;
    claim->client_id.len = sc->client_id.len;
    claim->client_id.data = (u_char *) claim + sizeof(ngx_mqtt_claim_t);

    ngx_memcpy(claim->client_id.data, sc->client_id.data, sc->client_id.len);

    w->sessions->nclaims++;

    return claim;
}


static void
ngx_mqtt_claim_replied(ngx_mqtt_op_t *op)
{
    ngx_str_t          owner;
    ngx_mqtt_claim_t  *claim;

    claim = op->data;

    if (op->rc != NGX_OK
        || ngx_mqtt_claim_parse(claim, op->result, &owner) != NGX_OK)
    {
        if (op->rc == NGX_ERROR) {
            ngx_mqtt_claim_undo(claim);
        }

        ngx_mqtt_claim_fail(claim);
        return;
    }

    ngx_mqtt_claim_chores(claim, op->result);

    if (owner.len == 0) {
        ngx_mqtt_claim_finish(claim);
        return;
    }

    ngx_mqtt_claim_take_over(claim, &owner);
}


/* { epoch, previous owner, session present, fields, wills, filters, when } */

static ngx_int_t
ngx_mqtt_claim_parse(ngx_mqtt_claim_t *claim, ngx_mqtt_redis_reply_t *reply,
    ngx_str_t *owner)
{
    if (reply == NULL
        || reply->type != NGX_MQTT_REDIS_ARRAY
        || reply->nelts != 7
        || reply->elts[0]->type != NGX_MQTT_REDIS_STRING
        || reply->elts[1]->type != NGX_MQTT_REDIS_STRING
        || reply->elts[2]->type != NGX_MQTT_REDIS_INTEGER
        || reply->elts[3]->type != NGX_MQTT_REDIS_ARRAY
        || reply->elts[4]->type != NGX_MQTT_REDIS_ARRAY
        || reply->elts[5]->type != NGX_MQTT_REDIS_ARRAY
        || reply->elts[6]->type != NGX_MQTT_REDIS_STRING)
    {
        ngx_log_error(NGX_LOG_ERR, claim->worker->log, 0,
                      "unexpected reply of Redis to the claim of a session");
        return NGX_ERROR;
    }

    claim->claimed.epoch = ngx_mqtt_session_number(&reply->elts[0]->str);
    claim->claimed.present = (ngx_uint_t) reply->elts[2]->integer;

    *owner = reply->elts[1]->str;

    return ngx_mqtt_claim_parse_fields(claim, reply->elts[3]);
}


/* copied into one block: the reply is gone when the claim completes */

static ngx_int_t
ngx_mqtt_claim_parse_fields(ngx_mqtt_claim_t *claim,
    ngx_mqtt_redis_reply_t *reply)
{
    u_char        *p;
    size_t         size;
    ngx_str_t     *dst, *src;
    ngx_uint_t     i;
    ngx_keyval_t  *fields;

    if (reply->nelts == 0) {
        return NGX_OK;
    }

    size = reply->nelts / 2 * sizeof(ngx_keyval_t);

    for (i = 0; i < reply->nelts; i++) {
        size += reply->elts[i]->str.len;
    }

    p = ngx_mqtt_alloc(claim->worker, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    claim->fields = p;
    claim->size = size;

    fields = (ngx_keyval_t *) p;
    p += reply->nelts / 2 * sizeof(ngx_keyval_t);

    for (i = 0; i < reply->nelts / 2 * 2; i++) {
        src = &reply->elts[i]->str;
        dst = (i % 2) ? &fields[i / 2].value : &fields[i / 2].key;

        dst->len = src->len;
        dst->data = p;
        p = ngx_cpymem(p, src->data, src->len);
    }

    claim->claimed.nfields = reply->nelts / 2;
    claim->claimed.fields = fields;

    return NGX_OK;
}


static void
ngx_mqtt_claim_chores(ngx_mqtt_claim_t *claim, ngx_mqtt_redis_reply_t *reply)
{
    ngx_mqtt_chores_t  *ch;

    if (reply->elts[6]->str.len) {
        ngx_mqtt_janitor_forget(claim->worker, &claim->client_id,
                                &reply->elts[6]->str);
    }

    if (reply->elts[4]->nelts == 0 && reply->elts[5]->nelts == 0) {
        return;
    }

    ch = ngx_mqtt_chores_get(claim->worker, &claim->client_id);

    if (ch) {
        ngx_mqtt_chores_run(ch, reply->elts[4], reply->elts[5]);
        ngx_mqtt_chores_unref(ch);
    }
}


/*
 * The connection to Redis broke before the reply: if Redis has executed the
 * script, a connection that was refused owns the session.  Claims that follow
 * come behind this command.
 */

static void
ngx_mqtt_claim_undo(ngx_mqtt_claim_t *claim)
{
    ngx_mqtt_op_t      *op;
    ngx_mqtt_chores_t  *ch;
    ngx_mqtt_worker_t  *w;

    w = claim->worker;

    if (w->sessions->leaving
        || ngx_mqtt_hash_find(&w->clients, &claim->client_id))
    {
        return;
    }

    ch = ngx_mqtt_chores_get(w, &claim->client_id);
    if (ch == NULL) {
        return;
    }

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_claim_undone, ch);

    if (op == NULL) {
        ngx_mqtt_chores_unref(ch);
        return;
    }

    ngx_mqtt_chores_end(ch, &w->sessions->owner, 0, op);
}


static void
ngx_mqtt_claim_undone(ngx_mqtt_op_t *op)
{
    ngx_int_t           state;
    ngx_str_t           when;
    ngx_mqtt_chores_t  *ch;

    ch = op->data;

    if (ngx_mqtt_chores_ended(ch, op, &state, &when) == NGX_OK && when.len) {
        ngx_mqtt_janitor_note(op->worker, &ch->node.key, &when);
    }

    ngx_mqtt_chores_unref(ch);
}


/* NGX_OK when the owner is a worker of this node */

ngx_int_t
ngx_mqtt_session_parse_owner(ngx_mqtt_worker_t *w, ngx_str_t *owner,
    ngx_mqtt_peer_t *peer)
{
    if (ngx_mqtt_peer_parse(w, owner, peer) != NGX_OK || peer->node) {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static void
ngx_mqtt_claim_take_over(ngx_mqtt_claim_t *claim, ngx_str_t *owner)
{
    u_char               body[16 + 4], *p;
    ngx_str_t            parts[2];
    ngx_mqtt_worker_t   *w;
    ngx_mqtt_sessions_t *ss;

    w = claim->worker;
    ss = w->sessions;

    if (ngx_mqtt_peer_parse(w, owner, &claim->peer) != NGX_OK) {
        ngx_mqtt_claim_finish(claim);
        return;
    }

    if (claim->peer.node == 0
        && claim->peer.slot == w->slot_index
        && claim->peer.generation == w->generation)
    {
        w->hooks->takeover(w, &claim->client_id, claim->claimed.epoch);
        ngx_mqtt_claim_finish(claim);
        return;
    }

    claim->id = ++ss->last_claim;

    p = ngx_mqtt_frame_write_u64(body, claim->id);
    p = ngx_mqtt_frame_write_u64(p, claim->claimed.epoch);

    parts[0].data = body;
    parts[0].len = p - body;
    parts[1] = claim->client_id;

    if (ngx_mqtt_bus_send(w->bus, &claim->peer, NGX_MQTT_FRAME_TAKEOVER,
                          parts, 2)
        != NGX_OK
        || ngx_mqtt_claim_wait(claim) != NGX_OK)
    {
        ngx_mqtt_claim_finish(claim);
    }
}


static ngx_int_t
ngx_mqtt_claim_wait(ngx_mqtt_claim_t *claim)
{
    ngx_msec_t            timeout;
    ngx_queue_t          *q;
    ngx_mqtt_claim_t     *other;
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

    claim->deadline = ngx_current_msec + timeout;

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

        ngx_add_timer(&ss->timer, timeout);
    }

    return NGX_OK;
}


static void
ngx_mqtt_claim_finish(ngx_mqtt_claim_t *claim)
{
    ngx_mqtt_op_t               *op;
    ngx_mqtt_worker_t           *w;
    ngx_mqtt_session_release_t   rel;

    w = claim->worker;
    op = claim->op;

    if (op->done == NULL) {

        /* the client left while it was claiming: it never had a will */

        ngx_memzero(&rel, sizeof(ngx_mqtt_session_release_t));

        rel.client_id = claim->client_id;
        rel.epoch = claim->claimed.epoch;
        rel.expiry = claim->expiry;
        rel.lasting = claim->lasting || claim->claimed.present;

        ngx_mqtt_session_release(w, &rel);
    }

    ngx_mqtt_op_complete(op, NGX_OK, NGX_MQTT_SUCCESS, &claim->claimed);

    ngx_mqtt_claim_free(claim);
}


/* the client id is not ours after all, unless another client here has it */

static void
ngx_mqtt_claim_fail(ngx_mqtt_claim_t *claim)
{
    ngx_mqtt_op_complete(claim->op, NGX_ERROR, NGX_MQTT_SERVER_UNAVAILABLE,
                         NULL);

    ngx_mqtt_session_unlist(claim->worker, &claim->client_id);

    ngx_mqtt_claim_free(claim);
}


static void
ngx_mqtt_claim_free(ngx_mqtt_claim_t *claim)
{
    claim->worker->sessions->nclaims--;

    if (claim->fields) {
        ngx_mqtt_free(claim->worker, claim->fields, claim->size);
    }

    ngx_mqtt_free(claim->worker, claim,
                  sizeof(ngx_mqtt_claim_t) + claim->client_id.len);
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
    u_char     *p, *end;
    uint64_t    id, epoch;
    ngx_str_t   client_id;

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

    w->hooks->takeover(w, &client_id, epoch);

    ngx_mqtt_session_unlist(w, &client_id);

    if (ngx_mqtt_redis_pending(w->redis)
        && ngx_mqtt_claim_answer_later(w, from, id) == NGX_OK)
    {
        return;
    }

    ngx_mqtt_claim_answer(w, from, id);
}


/*
 * What the closed client has saved, such as its cursors, is on the way to
 * Redis: the next owner reads it, on a connection of its own.
 */

static ngx_int_t
ngx_mqtt_claim_answer_later(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *peer,
    uint64_t id)
{
    ngx_str_t                ping;
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

    ngx_str_set(&ping, "PING");

    ngx_mqtt_redis_command(w->redis, 1, &ping, 0, op);

    return NGX_OK;
}


static void
ngx_mqtt_claim_saved(ngx_mqtt_op_t *op)
{
    ngx_mqtt_claim_taken_t  *taken;

    taken = op->data;

    if (op->worker->bus) {
        ngx_mqtt_claim_answer(op->worker, &taken->peer, taken->id);
    }

    ngx_mqtt_free(op->worker, taken, sizeof(ngx_mqtt_claim_taken_t));
}


/* a peer that cannot be told anymore does not wait either */

static void
ngx_mqtt_claim_answer(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *peer,
    uint64_t id)
{
    u_char     body[8];
    ngx_str_t  answer;

    answer.data = body;
    answer.len = ngx_mqtt_frame_write_u64(body, id) - body;

    (void) ngx_mqtt_bus_send(w->bus, peer, NGX_MQTT_FRAME_TAKEN, &answer, 1);
}


static void
ngx_mqtt_claim_taken_frame(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *from,
    ngx_str_t *body)
{
    uint64_t               id;
    ngx_str_t              key;
    ngx_mqtt_claim_t      *claim;
    ngx_mqtt_hash_node_t  *node;

    if (ngx_mqtt_frame_read_u64(body->data, body->data + body->len, &id)
        == NULL)
    {
        ngx_log_error(NGX_LOG_ALERT, w->log, 0, "malformed TAKEN frame");
        return;
    }

    key.data = (u_char *) &id;
    key.len = sizeof(uint64_t);

    node = ngx_mqtt_hash_find(&w->sessions->claims, &key);

    if (node == NULL) {

        /* it did not wait for so long */

        return;
    }

    claim = ngx_queue_data(node, ngx_mqtt_claim_t, node);

    ngx_mqtt_claim_stop_waiting(claim);
    ngx_mqtt_claim_finish(claim);
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
            ngx_mqtt_claim_finish(claim);
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

        ngx_log_error(NGX_LOG_WARN, w->log, 0,
                      "worker in slot %uL did not give up a session in time",
                      claim->peer.slot);

        ngx_mqtt_claim_stop_waiting(claim);
        ngx_mqtt_claim_finish(claim);
    }
}
