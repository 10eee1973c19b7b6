
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * P2P: a message for one client, which need not have subscribed.
 *
 *     is the client here? ------ yes, and its session ends with it, or
 *       | no, or it lives on               QoS 0 --> its window
 *     Redis: stored? ----------- yes --> done; its owner gets a push
 *       | no: QoS 0, a session
 *       |     that does not live on
 *     who owns its session? ---- nobody --> offline
 *       | a worker
 *     P2P frame --> that worker --> its window --> P2P_DONE frame
 *       | "not here": it has moved, ask again
 *
 * (1) Messages for one client are handled one after the other while the first
 *     of them waits for an answer, so they stay in order also when the client
 *     moves between workers.  A client that is here and has none waiting gets
 *     its message at once.
 * (2) A message is done when it is stored in the inbox of its session, see
 *     ngx_mqtt_log_p2p.c, when the client has it in its window, or is offline:
 *     the op of whoever sent it completes then, and never before.
 * (3) A worker that does not answer in time, or is gone, is asked once more
 *     through Redis: such a client may get a message twice.  What is stored
 *     has a number, and does not come twice.
 * (4) A push of what is stored needs no answer from a worker of this node: it
 *     arrives, or the next owner finds the message when it claims the session.
 *     One to another node may be lost with the connection to Redis.
 * (5) What waits is bounded; senders wait, nothing is lost (promise G4).
 *
 * Called from: gateway/ (deliver, ingest), bus frames, Redis replies.
 */


#include "ngx_mqtt_gateway.h"
#include "ngx_mqtt_bus.h"
#include "ngx_mqtt_log.h"
#include "ngx_mqtt_redis.h"
#include "ngx_mqtt_session.h"


/* messages that wait for an answer, and bytes of them */

#define NGX_MQTT_P2P_MESSAGES          10000
#define NGX_MQTT_P2P_SIZE              (16 * 1024 * 1024)

/* how often a client is looked for that is not where it was */

#define NGX_MQTT_P2P_ATTEMPTS          4

/* an answer that has not come by then does not come, ms */

#define NGX_MQTT_P2P_TIMEOUT           5000

/* a worker that cannot take a frame now is asked again, ms */

#define NGX_MQTT_P2P_RETRY             50

/* so is Redis after it has refused to store a record of Kafka, ms */

#define NGX_MQTT_P2P_REFUSED           1000


typedef struct {
    ngx_queue_t               queue;         /* in target->messages */
    ngx_mqtt_msg_t           *msg;
    ngx_mqtt_op_t            *op;            /* NULL: nobody asks */
    uint64_t                  number;        /* in the inbox; 0: not stored */
} ngx_mqtt_p2p_message_t;


/* a client that is not here, or was not when its first message came */

typedef struct {
    ngx_mqtt_hash_node_t      node;          /* key: client id, behind it */
    ngx_queue_t               queue;         /* in p2p->waiting */
    ngx_queue_t               messages;      /* the first one is under way */
    ngx_mqtt_worker_t        *worker;

    ngx_mqtt_peer_t           peer;          /* asked, or found here last */
    uint64_t                  request;
    ngx_msec_t                deadline;
    ngx_uint_t                attempts;

    unsigned                  known:1;       /* peer had the client */
    unsigned                  clean:1;       /* its inbox did not want it */
    unsigned                  waiting:1;     /* for a frame or a retry */
} ngx_mqtt_p2p_target_t;


struct ngx_mqtt_p2p_s {
    ngx_mqtt_hash_t           targets;       /* by client id */
    ngx_queue_t               waiting;       /* no order: they are few */
    ngx_event_t               timer;
    uint64_t                  last_request;

    ngx_uint_t                nmessages;
    size_t                    size;
    unsigned                  full:1;        /* until it falls to half */
};


static ngx_mqtt_p2p_target_t *ngx_mqtt_p2p_target(ngx_mqtt_worker_t *w,
    ngx_str_t *client_id);
static void ngx_mqtt_p2p_target_free(ngx_mqtt_p2p_target_t *t);
static void ngx_mqtt_p2p_next(ngx_mqtt_p2p_target_t *t);
static void ngx_mqtt_p2p_again(ngx_mqtt_p2p_target_t *t);
static void ngx_mqtt_p2p_ask(ngx_mqtt_p2p_target_t *t);
static void ngx_mqtt_p2p_answered(ngx_mqtt_op_t *op);
static void ngx_mqtt_p2p_added(ngx_mqtt_op_t *op);
static void ngx_mqtt_p2p_stored(ngx_mqtt_p2p_target_t *t,
    ngx_mqtt_log_p2p_t *stored);
static void ngx_mqtt_p2p_push(ngx_mqtt_p2p_target_t *t);
static void ngx_mqtt_p2p_refused(ngx_mqtt_p2p_target_t *t);
static void ngx_mqtt_p2p_owner(ngx_mqtt_p2p_target_t *t);
static void ngx_mqtt_p2p_nobody(ngx_mqtt_p2p_target_t *t);
static ngx_int_t ngx_mqtt_p2p_frame(ngx_mqtt_p2p_target_t *t);
static void ngx_mqtt_p2p_wait(ngx_mqtt_p2p_target_t *t, ngx_msec_t timeout);
static void ngx_mqtt_p2p_stop_waiting(ngx_mqtt_p2p_target_t *t);
static void ngx_mqtt_p2p_not_here(ngx_mqtt_p2p_target_t *t);
static ngx_uint_t ngx_mqtt_p2p_offline(ngx_mqtt_worker_t *w,
    ngx_mqtt_msg_t *m);
static void ngx_mqtt_p2p_finish(ngx_mqtt_p2p_target_t *t, ngx_int_t rc,
    ngx_uint_t reason);
static void ngx_mqtt_p2p_message_frame(ngx_mqtt_worker_t *w,
    ngx_mqtt_peer_t *from, ngx_str_t *body);
static void ngx_mqtt_p2p_done_frame(ngx_mqtt_worker_t *w,
    ngx_mqtt_peer_t *from, ngx_str_t *body);
static void ngx_mqtt_p2p_peer_lost(ngx_mqtt_worker_t *w,
    ngx_mqtt_peer_t *peer);
static void ngx_mqtt_p2p_timeout(ngx_event_t *ev);


#define ngx_mqtt_p2p_is_self(w, peer)                                         \
    ((peer)->node == 0 && (peer)->slot == (w)->slot_index                     \
     && (peer)->generation == (w)->generation)

#define ngx_mqtt_p2p_first(t)                                                 \
    ((ngx_mqtt_p2p_message_t *)                                               \
        ((u_char *) ngx_queue_head(&(t)->messages)                            \
         - offsetof(ngx_mqtt_p2p_message_t, queue)))


ngx_int_t
ngx_mqtt_p2p_start(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_p2p_t  *p2p;

    p2p = ngx_pcalloc(w->cycle->pool, sizeof(ngx_mqtt_p2p_t));
    if (p2p == NULL) {
        return NGX_ERROR;
    }

    ngx_queue_init(&p2p->waiting);

    p2p->timer.handler = ngx_mqtt_p2p_timeout;
    p2p->timer.data = &w->ident;
    p2p->timer.log = w->log;
    p2p->timer.cancelable = 1;

    w->p2p = p2p;

    ngx_mqtt_bus_on_frame(w->bus, NGX_MQTT_FRAME_P2P,
                          ngx_mqtt_p2p_message_frame);
    ngx_mqtt_bus_on_frame(w->bus, NGX_MQTT_FRAME_P2P_DONE,
                          ngx_mqtt_p2p_done_frame);
    ngx_mqtt_bus_on_lost(w->bus, ngx_mqtt_p2p_peer_lost);

    return NGX_OK;
}


/* whoever sent what is left is not told that it was delivered */

void
ngx_mqtt_p2p_stop(ngx_mqtt_worker_t *w)
{
    ngx_queue_t            *q;
    ngx_mqtt_p2p_t         *p2p;
    ngx_mqtt_p2p_target_t  *t;

    p2p = w->p2p;

    while (!ngx_queue_empty(&p2p->waiting)) {
        q = ngx_queue_head(&p2p->waiting);
        t = ngx_queue_data(q, ngx_mqtt_p2p_target_t, queue);

        ngx_mqtt_p2p_stop_waiting(t);

        while (!ngx_queue_empty(&t->messages)) {
            ngx_mqtt_p2p_finish(t, NGX_ERROR, NGX_MQTT_SERVER_SHUTTING_DOWN);
        }

        ngx_mqtt_p2p_target_free(t);
    }

    if (p2p->timer.timer_set) {
        ngx_del_timer(&p2p->timer);
    }

    ngx_mqtt_hash_free(&p2p->targets);

    w->p2p = NULL;
}


ngx_uint_t
ngx_mqtt_p2p_busy(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_p2p_t  *p2p;

    p2p = w->p2p;

    if (p2p->nmessages >= NGX_MQTT_P2P_MESSAGES
        || p2p->size >= NGX_MQTT_P2P_SIZE)
    {
        p2p->full = 1;
        return 1;
    }

    return ngx_mqtt_redis_full(w->redis);
}


ngx_uint_t
ngx_mqtt_p2p_pending(ngx_mqtt_worker_t *w)
{
    return w->p2p->nmessages;
}


ngx_int_t
ngx_mqtt_p2p_send(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_str_t *client_id, ngx_mqtt_op_t *op, ngx_uint_t *reason)
{
    ngx_mqtt_hash_node_t    *node;
    ngx_mqtt_p2p_target_t   *t;
    ngx_mqtt_p2p_message_t  *pm;

    *reason = NGX_MQTT_SUCCESS;

    node = ngx_mqtt_hash_find(&w->p2p->targets, client_id);

    if (node == NULL && w->hooks->p2p(w, client_id, m, NULL) == NGX_OK) {
        return NGX_OK;
    }

    t = node ? ngx_queue_data(node, ngx_mqtt_p2p_target_t, node)
             : ngx_mqtt_p2p_target(w, client_id);

    pm = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_p2p_message_t));

    if (t == NULL || pm == NULL) {

        if (pm) {
            ngx_mqtt_free(w, pm, sizeof(ngx_mqtt_p2p_message_t));
        }

        if (t && node == NULL) {
            ngx_mqtt_p2p_target_free(t);
        }

        if (op == NULL) {
            ngx_mqtt_count(w, NGX_MQTT_STAT_messages_dropped);
            return NGX_AGAIN;
        }

        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_UNSPECIFIED_ERROR);
        return NGX_AGAIN;
    }

    ngx_mqtt_msg_ref(m);

    pm->msg = m;
    pm->op = op;
    pm->number = 0;

    ngx_queue_insert_tail(&t->messages, &pm->queue);

    w->p2p->nmessages++;
    w->p2p->size += m->size;

    if (node == NULL) {
        ngx_mqtt_p2p_ask(t);
    }

    return NGX_AGAIN;
}


static ngx_mqtt_p2p_target_t *
ngx_mqtt_p2p_target(ngx_mqtt_worker_t *w, ngx_str_t *client_id)
{
    ngx_mqtt_p2p_target_t  *t;

    t = ngx_mqtt_calloc(w, sizeof(ngx_mqtt_p2p_target_t) + client_id->len);
    if (t == NULL) {
        return NULL;
    }

    t->worker = w;
    ngx_queue_init(&t->messages);

    t->node.key.data = (u_char *) t + sizeof(ngx_mqtt_p2p_target_t);
    t->node.key.len = client_id->len;
    ngx_memcpy(t->node.key.data, client_id->data, client_id->len);

    if (ngx_mqtt_hash_insert(&w->p2p->targets, &t->node) != NGX_OK) {
        ngx_mqtt_free(w, t, sizeof(ngx_mqtt_p2p_target_t) + client_id->len);
        return NULL;
    }

    return t;
}


static void
ngx_mqtt_p2p_target_free(ngx_mqtt_p2p_target_t *t)
{
    ngx_mqtt_hash_remove(&t->worker->p2p->targets, &t->node);
    ngx_mqtt_free(t->worker, t,
                  sizeof(ngx_mqtt_p2p_target_t) + t->node.key.len);
}


/* the first message, and those behind it as long as nothing has to wait */

static void
ngx_mqtt_p2p_next(ngx_mqtt_p2p_target_t *t)
{
    ngx_mqtt_worker_t       *w;
    ngx_mqtt_p2p_message_t  *pm;

    w = t->worker;

    while (!ngx_queue_empty(&t->messages)) {
        pm = ngx_mqtt_p2p_first(t);

        if (ngx_mqtt_msg_expired(pm->msg)) {
            ngx_mqtt_p2p_finish(t, NGX_OK, NGX_MQTT_NO_MATCHING_SUBSCRIBERS);
            continue;
        }

        if (w->hooks->p2p(w, &t->node.key, pm->msg, NULL) == NGX_OK) {
            ngx_mqtt_p2p_finish(t, NGX_OK, NGX_MQTT_SUCCESS);
            continue;
        }

        if (t->known && (t->clean || pm->msg->qos == 0)
            && ngx_mqtt_p2p_frame(t) == NGX_OK)
        {
            return;
        }

        ngx_mqtt_p2p_ask(t);
        return;
    }

    ngx_mqtt_p2p_target_free(t);
}


/* the first message, after it has waited */

static void
ngx_mqtt_p2p_again(ngx_mqtt_p2p_target_t *t)
{
    if (ngx_mqtt_p2p_first(t)->number) {
        ngx_mqtt_p2p_push(t);
        return;
    }

    ngx_mqtt_p2p_ask(t);
}


/* with QoS 1 and 2 the question is also to store it, if it is to be */

static void
ngx_mqtt_p2p_ask(ngx_mqtt_p2p_target_t *t)
{
    ngx_mqtt_op_t   *op;
    ngx_mqtt_msg_t  *m;

    t->known = 0;
    t->attempts++;

    m = ngx_mqtt_p2p_first(t)->msg;

    op = ngx_mqtt_op_get(t->worker, NULL, m->qos ? ngx_mqtt_p2p_added
                                                 : ngx_mqtt_p2p_answered,
                         t);

    if (op == NULL) {
        ngx_mqtt_p2p_wait(t, NGX_MQTT_P2P_RETRY);
        return;
    }

    if (m->qos) {
        ngx_mqtt_log_p2p_add(t->worker, &t->node.key, m, op);

    } else {
        ngx_mqtt_session_owner(t->worker, &t->node.key, op);
    }
}


static void
ngx_mqtt_p2p_answered(ngx_mqtt_op_t *op)
{
    ngx_mqtt_p2p_target_t  *t;

    t = op->data;

    if (op->rc == NGX_ERROR) {

        /* the worker ends, or has no memory */

        ngx_mqtt_p2p_wait(t, NGX_MQTT_P2P_RETRY);
        return;
    }

    if (ngx_mqtt_session_owner_peer(op->worker, op, &t->peer) == NGX_OK) {
        ngx_mqtt_p2p_owner(t);

    } else {
        ngx_mqtt_p2p_nobody(t);
    }
}


static void
ngx_mqtt_p2p_added(ngx_mqtt_op_t *op)
{
    ngx_mqtt_log_p2p_t     *stored;
    ngx_mqtt_p2p_target_t  *t;

    t = op->data;
    stored = op->result;

    switch (op->rc) {

    case NGX_OK:
        break;

    case NGX_DECLINED:
        ngx_mqtt_p2p_refused(t);
        return;

    default:
        ngx_mqtt_p2p_wait(t, NGX_MQTT_P2P_RETRY);
        return;
    }

    if (stored->number) {
        ngx_mqtt_p2p_stored(t, stored);
        return;
    }

    if (ngx_mqtt_peer_parse(op->worker, &stored->owner, &t->peer) == NGX_OK) {
        ngx_mqtt_p2p_owner(t);

    } else {
        ngx_mqtt_p2p_nobody(t);
    }
}


static void
ngx_mqtt_p2p_stored(ngx_mqtt_p2p_target_t *t, ngx_mqtt_log_p2p_t *stored)
{
    ngx_mqtt_p2p_message_t  *pm;

    pm = ngx_mqtt_p2p_first(t);

    pm->number = stored->number;
    t->attempts = 0;

    if (pm->op) {
        ngx_mqtt_op_post(pm->op, NGX_OK, NGX_MQTT_SUCCESS);
        pm->op = NULL;
    }

    if (ngx_mqtt_peer_parse(t->worker, &stored->owner, &t->peer) == NGX_OK) {
        ngx_mqtt_p2p_push(t);
        return;
    }

    ngx_mqtt_p2p_finish(t, NGX_OK, NGX_MQTT_SUCCESS);
    ngx_mqtt_p2p_next(t);
}


/* to the owner of the session in whose inbox the first message is */

static void
ngx_mqtt_p2p_push(ngx_mqtt_p2p_target_t *t)
{
    ngx_mqtt_worker_t       *w;
    ngx_mqtt_p2p_message_t  *pm;

    w = t->worker;
    pm = ngx_mqtt_p2p_first(t);

    if (ngx_mqtt_p2p_is_self(w, &t->peer)) {
        (void) w->hooks->p2p(w, &t->node.key, pm->msg, &pm->number);

    } else if ((t->peer.node == 0 || t->attempts++ < NGX_MQTT_P2P_ATTEMPTS)
               && ngx_mqtt_p2p_frame(t) == NGX_OK
               && t->waiting)
    {
        return;
    }

    ngx_mqtt_p2p_finish(t, NGX_OK, NGX_MQTT_SUCCESS);
    ngx_mqtt_p2p_next(t);
}


/*
 * Redis does not store it.  A record of Kafka waits, as nobody could be told;
 * a device is told, and who is connected gets its message all the same.
 */

static void
ngx_mqtt_p2p_refused(ngx_mqtt_p2p_target_t *t)
{
    uint64_t         number;
    ngx_mqtt_msg_t  *m;

    m = ngx_mqtt_p2p_first(t)->msg;
    number = 0;

    if (m->origin.len == 0) {
        ngx_mqtt_p2p_wait(t, NGX_MQTT_P2P_REFUSED);
        return;
    }

    (void) t->worker->hooks->p2p(t->worker, &t->node.key, m, &number);

    ngx_mqtt_p2p_finish(t, NGX_DECLINED, NGX_MQTT_UNSPECIFIED_ERROR);
    ngx_mqtt_p2p_next(t);
}


/* t->peer owns the session, and the message is for its window */

static void
ngx_mqtt_p2p_owner(ngx_mqtt_p2p_target_t *t)
{
    if (ngx_mqtt_p2p_is_self(t->worker, &t->peer)) {
        ngx_mqtt_p2p_not_here(t);
        return;
    }

    if (ngx_mqtt_p2p_frame(t) != NGX_OK) {
        ngx_mqtt_p2p_nobody(t);
    }
}


/* nobody is connected, or Redis has lost the session of who is connected */

static void
ngx_mqtt_p2p_nobody(ngx_mqtt_p2p_target_t *t)
{
    uint64_t            number;
    ngx_uint_t          reason;
    ngx_mqtt_msg_t     *m;
    ngx_mqtt_worker_t  *w;

    w = t->worker;
    m = ngx_mqtt_p2p_first(t)->msg;
    number = 0;

    reason = (w->hooks->p2p(w, &t->node.key, m, &number) == NGX_OK)
             ? NGX_MQTT_SUCCESS : ngx_mqtt_p2p_offline(w, m);

    ngx_mqtt_p2p_finish(t, NGX_OK, reason);
    ngx_mqtt_p2p_next(t);
}


/*
 * NGX_DECLINED: there is no such worker; NGX_OK: the target waits, unless no
 * answer is needed
 */

static ngx_int_t
ngx_mqtt_p2p_frame(ngx_mqtt_p2p_target_t *t)
{
    u_char                   head[8 + 8 + 4], *p;
    u_char                   mhead[NGX_MQTT_FRAME_MSG_HEAD];
    ngx_int_t                rc;
    ngx_str_t                parts[3 + NGX_MQTT_FRAME_MSG_PARTS];
    ngx_mqtt_msg_t          *m;
    ngx_mqtt_worker_t       *w;
    ngx_mqtt_p2p_message_t  *pm;

    w = t->worker;

    pm = ngx_mqtt_p2p_first(t);
    m = pm->msg;

    t->request = (pm->number && t->peer.node == 0) ? 0
                                                   : ++w->p2p->last_request;

    p = ngx_mqtt_frame_write_u64(head, t->request);
    p = ngx_mqtt_frame_write_u64(p, pm->number);
    p = ngx_mqtt_frame_write_u32(p, (uint32_t) t->node.key.len);

    parts[0].data = head;
    parts[0].len = p - head;
    parts[1] = t->node.key;
    parts[2].data = mhead;
    parts[2].len = ngx_mqtt_frame_write_msg_head(mhead, m) - mhead;
    ngx_mqtt_frame_msg_parts(&parts[3], m);

    rc = ngx_mqtt_bus_send(w->bus, &t->peer, NGX_MQTT_FRAME_P2P, parts,
                           3 + NGX_MQTT_FRAME_MSG_PARTS);

    if (rc == NGX_DECLINED || (rc == NGX_OK && t->request == 0)) {
        return rc;
    }

    ngx_mqtt_p2p_wait(t, (rc == NGX_OK) ? NGX_MQTT_P2P_TIMEOUT
                                        : NGX_MQTT_P2P_RETRY);
    return NGX_OK;
}


static void
ngx_mqtt_p2p_wait(ngx_mqtt_p2p_target_t *t, ngx_msec_t timeout)
{
    ngx_mqtt_p2p_t  *p2p;

    p2p = t->worker->p2p;

    t->waiting = 1;
    t->deadline = ngx_current_msec + timeout;

    ngx_queue_insert_tail(&p2p->waiting, &t->queue);

    if (!p2p->timer.timer_set) {
        ngx_add_timer(&p2p->timer, NGX_MQTT_P2P_RETRY);
    }
}


static void
ngx_mqtt_p2p_stop_waiting(ngx_mqtt_p2p_target_t *t)
{
    if (t->waiting) {
        t->waiting = 0;
        ngx_queue_remove(&t->queue);
    }
}


/* the client has just come, gone, or moved */

static void
ngx_mqtt_p2p_not_here(ngx_mqtt_p2p_target_t *t)
{
    ngx_mqtt_worker_t       *w;
    ngx_mqtt_p2p_message_t  *pm;

    w = t->worker;
    pm = ngx_mqtt_p2p_first(t);

    if (w->hooks->p2p(w, &t->node.key, pm->msg, NULL) == NGX_OK) {
        ngx_mqtt_p2p_finish(t, NGX_OK, NGX_MQTT_SUCCESS);
        ngx_mqtt_p2p_next(t);
        return;
    }

    if (t->attempts < NGX_MQTT_P2P_ATTEMPTS) {

        /* a CONNECT that is under way is over in a moment */

        t->known = 0;
        ngx_mqtt_p2p_wait(t, NGX_MQTT_P2P_RETRY);
        return;
    }

    ngx_mqtt_p2p_nobody(t);
}


/* the client is not connected, and its session is not to have the message */

static ngx_uint_t
ngx_mqtt_p2p_offline(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m)
{
    ngx_log_debug1(NGX_LOG_DEBUG_STREAM, w->log, 0,
                   "mqtt p2p offline: \"%V\"", &m->topic);

    ngx_mqtt_count(w, NGX_MQTT_STAT_p2p_offline);

    return NGX_MQTT_NO_MATCHING_SUBSCRIBERS;
}


/* the first message is done with */

static void
ngx_mqtt_p2p_finish(ngx_mqtt_p2p_target_t *t, ngx_int_t rc, ngx_uint_t reason)
{
    ngx_mqtt_p2p_t          *p2p;
    ngx_mqtt_worker_t       *w;
    ngx_mqtt_p2p_message_t  *pm;

    w = t->worker;
    p2p = w->p2p;
    pm = ngx_mqtt_p2p_first(t);

    ngx_queue_remove(&pm->queue);
    t->attempts = 0;

    p2p->nmessages--;
    p2p->size -= pm->msg->size;

    if (p2p->full && p2p->nmessages <= NGX_MQTT_P2P_MESSAGES / 2
        && p2p->size <= NGX_MQTT_P2P_SIZE / 2)
    {
        p2p->full = 0;
        ngx_post_event(&w->resume_event, &ngx_posted_events);
    }

    if (pm->op) {
        ngx_mqtt_op_post(pm->op, rc, reason);
    }

    ngx_mqtt_msg_unref(pm->msg);
    ngx_mqtt_free(w, pm, sizeof(ngx_mqtt_p2p_message_t));
}


/* { request, number, client id, message }; request 0 wants no answer */

static void
ngx_mqtt_p2p_message_frame(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *from,
    ngx_str_t *body)
{
    u_char          *p, *end, found[4];
    uint64_t         request, number;
    ngx_str_t        client_id, bytes, parts[3];
    ngx_uint_t       here;
    ngx_mqtt_msg_t  *m;

    end = body->data + body->len;

    p = ngx_mqtt_frame_read_u64(body->data, end, &request);

    if (p) {
        p = ngx_mqtt_frame_read_u64(p, end, &number);
    }

    if (p) {
        p = ngx_mqtt_frame_read_str(p, end, &client_id);
    }

    if (p == NULL) {
        ngx_log_error(NGX_LOG_ALERT, w->log, 0, "malformed P2P frame");
        return;
    }

    bytes.data = p;
    bytes.len = end - p;

    m = ngx_mqtt_frame_read_msg(w, &bytes);

    if (m == NULL) {
        ngx_log_error(NGX_LOG_CRIT, w->log, 0, "P2P frame was not read");
        return;
    }

    here = (w->hooks->p2p(w, &client_id, m, number ? &number : NULL)
            == NGX_OK);

    ngx_mqtt_msg_unref(m);

    if (request == 0) {
        return;
    }

    parts[0].data = body->data;
    parts[0].len = sizeof(uint64_t);
    parts[1].data = found;
    parts[1].len = ngx_mqtt_frame_write_u32(found, (uint32_t) here) - found;
    parts[2] = client_id;

    /* who does not hear this asks again */

    (void) ngx_mqtt_bus_send(w->bus, from, NGX_MQTT_FRAME_P2P_DONE, parts, 3);
}


/* { request, 1 if the client has it, client id } */

static void
ngx_mqtt_p2p_done_frame(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *from,
    ngx_str_t *body)
{
    u_char                 *p, *end;
    uint32_t                here;
    uint64_t                request;
    ngx_str_t               client_id;
    ngx_mqtt_hash_node_t   *node;
    ngx_mqtt_p2p_target_t  *t;

    end = body->data + body->len;

    p = ngx_mqtt_frame_read_u64(body->data, end, &request);

    if (p) {
        p = ngx_mqtt_frame_read_u32(p, end, &here);
    }

    if (p == NULL) {
        ngx_log_error(NGX_LOG_ALERT, w->log, 0, "malformed P2P_DONE frame");
        return;
    }

    client_id.data = p;
    client_id.len = end - p;

    node = ngx_mqtt_hash_find(&w->p2p->targets, &client_id);

    if (node == NULL) {
        return;
    }

    t = ngx_queue_data(node, ngx_mqtt_p2p_target_t, node);

    if (!t->waiting || t->request != request) {

        /* it did not wait for so long */

        return;
    }

    ngx_mqtt_p2p_stop_waiting(t);

    /* what is stored is done, whoever has it */

    if (ngx_mqtt_p2p_first(t)->number == 0) {

        if (!here) {
            ngx_mqtt_p2p_not_here(t);
            return;
        }

        t->known = 1;
        t->clean = (ngx_mqtt_p2p_first(t)->msg->qos != 0);
    }

    ngx_mqtt_p2p_finish(t, NGX_OK, NGX_MQTT_SUCCESS);
    ngx_mqtt_p2p_next(t);
}


static void
ngx_mqtt_p2p_peer_lost(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *peer)
{
    ngx_queue_t            *q, *next;
    ngx_mqtt_p2p_target_t  *t;

    for (q = ngx_queue_head(&w->p2p->waiting);
         q != ngx_queue_sentinel(&w->p2p->waiting);
         q = next)
    {
        next = ngx_queue_next(q);
        t = ngx_queue_data(q, ngx_mqtt_p2p_target_t, queue);

        if (t->peer.node == peer->node && t->peer.slot == peer->slot
            && t->peer.generation == peer->generation)
        {
            ngx_mqtt_p2p_stop_waiting(t);
            ngx_mqtt_p2p_again(t);
        }
    }
}


static void
ngx_mqtt_p2p_timeout(ngx_event_t *ev)
{
    ngx_queue_t            *q, *next;
    ngx_mqtt_worker_t      *w;
    ngx_mqtt_p2p_target_t  *t;

    w = ngx_mqtt_event_worker(ev);

    for (q = ngx_queue_head(&w->p2p->waiting);
         q != ngx_queue_sentinel(&w->p2p->waiting);
         q = next)
    {
        next = ngx_queue_next(q);
        t = ngx_queue_data(q, ngx_mqtt_p2p_target_t, queue);

        if ((ngx_msec_int_t) (t->deadline - ngx_current_msec) <= 0) {
            ngx_mqtt_p2p_stop_waiting(t);
            ngx_mqtt_p2p_again(t);
        }
    }

    if (!ngx_queue_empty(&w->p2p->waiting) && !ev->timer_set) {
        ngx_add_timer(ev, NGX_MQTT_P2P_RETRY);
    }
}
