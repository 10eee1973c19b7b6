
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The Redis engine: the API, the two queues, sending and answering.
 *
 * (1) A command is one block, encoded once, that lives until its reply.
 * (2) queued -> sent -> answered, in this order only.  What one turn of the
 *     event loop queues is copied into "out" and leaves in one write.
 * (3) Replies answer the commands of "sent" in order, from the read handler
 *     only.  A completion may issue commands: it adds to "queued" and posts
 *     the flush; nothing it can call closes the connection.
 * (4) A broken connection is closed at one place, ngx_mqtt_redis_lost(),
 *     never inside a completion.
 * (5) A command without WAIT fails as soon as Redis is known to be away.  A
 *     command with WAIT goes back to "queued" in its old order.
 * (6) While commands are pending the timer holds the worker; without them it
 *     is cancelable (P20).
 * (7) Redis is lost when it has been silent for "timeout" while commands are
 *     pending.  Age alone says nothing: a long pipeline takes its time.
 * (8) With "wait=" writes are answered, held, and then done.
 *
 * Called from: any room, through ngx_mqtt_redis.h.  One worker, no locks.
 */


#include "ngx_mqtt_redis_core.h"

#include <poll.h>


/* reads per event, then the other connections of the worker come first */

#define NGX_MQTT_REDIS_READS  64


static ngx_uint_t ngx_mqtt_redis_refuses(ngx_mqtt_redis_t *r,
    ngx_mqtt_redis_t *n, ngx_mqtt_redis_cmd_t *cmd);
static void ngx_mqtt_redis_poll(ngx_mqtt_redis_t *r, ngx_msec_t timeout);
static void ngx_mqtt_redis_flush_handler(ngx_event_t *ev);
static void ngx_mqtt_redis_flush(ngx_mqtt_redis_t *r);
static size_t ngx_mqtt_redis_fill(ngx_mqtt_redis_t *r);
static ngx_int_t ngx_mqtt_redis_replies(ngx_mqtt_redis_t *r,
    ngx_connection_t *c);
static ngx_int_t ngx_mqtt_redis_answer(ngx_mqtt_redis_t *r,
    ngx_mqtt_redis_reply_t *reply);
static void ngx_mqtt_redis_fail(ngx_mqtt_redis_t *r, ngx_mqtt_op_t *op);


ngx_int_t
ngx_mqtt_redis_start(ngx_mqtt_worker_t *w)
{
    if (w->gateway->redis == NULL) {
        return NGX_OK;
    }

    w->redis = ngx_mqtt_redis_create(w);
    if (w->redis == NULL) {
        return NGX_ERROR;
    }

    if (w->redis->conf->cluster
        && ngx_mqtt_redis_cluster_create(w->redis) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_mqtt_redis_connect_front(w->redis);

    return NGX_OK;
}


ngx_mqtt_redis_t *
ngx_mqtt_redis_open(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_redis_t  *r;

    r = ngx_mqtt_redis_create(w);
    if (r == NULL) {
        return NULL;
    }

    r->own = 1;

    if (r->conf->cluster && ngx_mqtt_redis_cluster_create(r) != NGX_OK) {
        return NULL;
    }

    ngx_mqtt_redis_connect_front(r);

    return r;
}


ngx_mqtt_redis_t *
ngx_mqtt_redis_create(ngx_mqtt_worker_t *w)
{
    u_char            *p;
    ngx_mqtt_redis_t  *r;

    r = ngx_pcalloc(w->cycle->pool, sizeof(ngx_mqtt_redis_t));
    if (r == NULL) {
        return NULL;
    }

    p = ngx_palloc(w->cycle->pool, NGX_MQTT_REDIS_ARENA + NGX_MQTT_REDIS_OUT);
    if (p == NULL) {
        return NULL;
    }

    r->arena.worker = w;
    r->arena.first = p;
    r->out = p + NGX_MQTT_REDIS_ARENA;

    r->ident.worker = w;
    r->ident.fd = (intptr_t) -1;

    r->worker = w;
    r->front = r;
    r->conf = w->gateway->redis;
    r->addrs = r->conf->addrs;
    r->naddrs = r->conf->naddrs;

    r->log = *w->log;
    r->log.handler = ngx_mqtt_redis_log_error;
    r->log.data = r;

    r->timer.handler = ngx_mqtt_redis_timer_handler;
    r->timer.data = r;
    r->timer.log = &r->log;
    r->timer.cancelable = 1;

    r->flush.handler = ngx_mqtt_redis_flush_handler;
    r->flush.data = r;
    r->flush.log = &r->log;

    r->again.handler = ngx_mqtt_redis_replicas_handler;
    r->again.data = r;
    r->again.log = &r->log;
    r->again.cancelable = 1;

    ngx_queue_init(&r->queued);
    ngx_queue_init(&r->sent);
    ngx_queue_init(&r->held);

    return r;
}


void
ngx_mqtt_redis_stop(ngx_mqtt_worker_t *w)
{
    if (w->redis) {
        ngx_mqtt_redis_shut(w->redis);
    }
}


void
ngx_mqtt_redis_shut(ngx_mqtt_redis_t *r)
{
    if (r->state == NGX_MQTT_REDIS_STOPPED) {
        return;
    }

    ngx_mqtt_redis_close(r);

    r->state = NGX_MQTT_REDIS_STOPPED;
    r->down = 1;

    if (r->timer.timer_set) {
        ngx_del_timer(&r->timer);
    }

    ngx_mqtt_redis_requeue_all(r, NGX_MQTT_REDIS_KEEP_NONE);

    if (r->cluster) {
        ngx_mqtt_redis_cluster_shut(r);
    }
}


void
ngx_mqtt_redis_finish(ngx_mqtt_worker_t *w, ngx_msec_t timeout)
{
    ngx_msec_t         end;
    ngx_mqtt_redis_t  *r;

    r = w->redis;

    if (r == NULL) {
        return;
    }

    ngx_time_update();
    end = ngx_current_msec + timeout;

    while (r->total) {

        if (r->cluster) {

            if (!ngx_mqtt_redis_cluster_poll(r, ngx_mqtt_redis_poll)) {
                return;
            }

        } else if (r->state == NGX_MQTT_REDIS_READY) {
            ngx_mqtt_redis_poll(r, 10);

        } else {
            return;
        }

        if (!ngx_queue_empty(&w->ops_completed)) {
            ngx_mqtt_op_handler(&w->op_event);
        }

        ngx_time_update();

        if ((ngx_msec_int_t) (ngx_current_msec - end) >= 0) {
            return;
        }
    }
}


/* a turn of the event loop for one connection that is ready */

static void
ngx_mqtt_redis_poll(ngx_mqtt_redis_t *r, ngx_msec_t timeout)
{
    struct pollfd      pfd;
    ngx_connection_t  *c;

    ngx_mqtt_redis_flush(r);

    if (r->state != NGX_MQTT_REDIS_READY) {
        return;
    }

    c = r->peer.connection;

    pfd.fd = c->fd;
    pfd.events = c->write->ready ? POLLIN : POLLIN|POLLOUT;
    pfd.revents = 0;

    (void) poll(&pfd, 1, (int) timeout);

    if (pfd.revents & POLLOUT) {
        c->write->ready = 1;
    }

    if (pfd.revents & ~POLLOUT) {
        c->read->ready = 1;
        c->read->available = -1;
        ngx_mqtt_redis_read_handler(c->read);
    }
}


ngx_msec_t
ngx_mqtt_redis_block(ngx_mqtt_redis_t *r)
{
    return ngx_max(r->conf->timeout / 2, 1);
}


ngx_uint_t
ngx_mqtt_redis_ready(ngx_mqtt_redis_t *r)
{
    return !r->down;
}


ngx_uint_t
ngx_mqtt_redis_pending(ngx_mqtt_redis_t *r)
{
    return r->total;
}


ngx_uint_t
ngx_mqtt_redis_full(ngx_mqtt_redis_t *r)
{
    if (r->total < r->conf->queue && r->size < NGX_MQTT_REDIS_QUEUE) {
        return 0;
    }

    r->full = 1;

    return 1;
}


void
ngx_mqtt_redis_command(ngx_mqtt_redis_t *r, ngx_uint_t argc, ngx_str_t *argv,
    ngx_uint_t flags, ngx_mqtt_op_t *op)
{
    ngx_mqtt_redis_cmd_t  *cmd;

    cmd = ngx_mqtt_redis_cmd_create(r, 0, NULL, argc, argv);

    if (cmd && r->cluster) {
        cmd->slot = ngx_mqtt_redis_slot(argc, argv);
    }

    ngx_mqtt_redis_submit(r, cmd, flags, op);
}


/* cmd is NULL when there was no memory for it */

void
ngx_mqtt_redis_submit(ngx_mqtt_redis_t *r, ngx_mqtt_redis_cmd_t *cmd,
    ngx_uint_t flags, ngx_mqtt_op_t *op)
{
    ngx_mqtt_redis_t  *n;

    if (cmd == NULL) {
        ngx_mqtt_redis_fail(r, op);
        return;
    }

    cmd->op = op;
    cmd->wait = (flags & NGX_MQTT_REDIS_WAIT) ? 1 : 0;
    cmd->mark = (flags & NGX_MQTT_REDIS_MARK) ? 1 : 0;

    if (r->conf->wait
        && !(flags & NGX_MQTT_REDIS_READ)
        && (flags & (NGX_MQTT_REDIS_WAIT|NGX_MQTT_REDIS_SAFE)))
    {
        cmd->safe = 1;
    }

    r->total++;

    n = r->cluster ? ngx_mqtt_redis_cluster_route(r, cmd) : r;

    if (n->state != NGX_MQTT_REDIS_READY
        && ngx_mqtt_redis_refuses(r, n, cmd))
    {
        ngx_mqtt_redis_give_up(r, cmd);
        return;
    }

    if (r->cluster && n == r && r->cluster->known) {
        ngx_mqtt_redis_detour_add(r, cmd);
        return;
    }

    ngx_mqtt_redis_enqueue(n, cmd);
}


static ngx_uint_t
ngx_mqtt_redis_refuses(ngx_mqtt_redis_t *r, ngx_mqtt_redis_t *n,
    ngx_mqtt_redis_cmd_t *cmd)
{
    if (r->state == NGX_MQTT_REDIS_STOPPED || (n->down && !cmd->wait)) {
        return 1;
    }

    if (r->cluster && n == r && ngx_mqtt_redis_detour_refuses(r, cmd)) {
        return 1;
    }

    /* this one is counted already */

    if (r->total <= r->conf->queue) {
        return 0;
    }

    if (!r->warned) {
        r->warned = 1;
        ngx_log_error(NGX_LOG_WARN, r->worker->log, 0,
                      "%ui commands wait for Redis, more are refused, "
                      "gateway: \"%V\"",
                      r->total - 1, &r->worker->gateway->name);
    }

    return 1;
}


void
ngx_mqtt_redis_attach(ngx_mqtt_redis_t *r, ngx_mqtt_redis_cmd_t *cmd)
{
    if (r->pending++ == 0) {
        r->heard = ngx_current_msec;
    }

    if (cmd->eval) {
        r->evals[cmd->script]++;
    }

    if (ngx_mqtt_redis_is_node(r) && cmd->slot != NGX_MQTT_REDIS_NO_SLOT) {
        r->front->cluster->slots[cmd->slot].attached++;
    }
}


void
ngx_mqtt_redis_detach(ngx_mqtt_redis_t *r, ngx_mqtt_redis_cmd_t *cmd)
{
    ngx_mqtt_redis_slot_t  *slot;

    r->pending--;

    if (cmd->eval) {
        r->evals[cmd->script]--;
    }

    if (!ngx_mqtt_redis_is_node(r)) {
        return;
    }

    if (cmd->slot != NGX_MQTT_REDIS_NO_SLOT) {
        slot = &r->front->cluster->slots[cmd->slot];

        if (--slot->attached == 0 && slot->detour) {
            ngx_mqtt_redis_cluster_post(r->front);
        }
    }

    if (r->pending == 0 && (r->nslots == 0 || r->own)) {
        ngx_mqtt_redis_cluster_post(r->front);
    }
}


void
ngx_mqtt_redis_give_up(ngx_mqtt_redis_t *r, ngx_mqtt_redis_cmd_t *cmd)
{
    ngx_mqtt_op_t  *op;

    op = cmd->op;

    ngx_mqtt_redis_cmd_free(r, cmd);
    r->front->total--;

    ngx_mqtt_redis_fail(r, op);
}


void
ngx_mqtt_redis_enqueue(ngx_mqtt_redis_t *r, ngx_mqtt_redis_cmd_t *cmd)
{
    ngx_mqtt_redis_attach(r, cmd);
    ngx_mqtt_redis_requeue(r, cmd);
    ngx_mqtt_redis_hold(r);
}


void
ngx_mqtt_redis_requeue(ngx_mqtt_redis_t *r, ngx_mqtt_redis_cmd_t *cmd)
{
    ngx_queue_insert_tail(&r->queued, &cmd->queue);

    r->unsafe += cmd->safe;

    if (r->state == NGX_MQTT_REDIS_READY) {
        ngx_post_event(&r->flush, &ngx_posted_events);
    }
}


/*
 * The worker may not exit while a command is pending, unless
 * worker_shutdown_timeout is over: without Redis that could be never.  Who
 * waits for room is told.
 */

void
ngx_mqtt_redis_hold(ngx_mqtt_redis_t *r)
{
    ngx_mqtt_redis_t  *front;

    front = r->front;

    r->timer.cancelable = (r->pending == 0 || r->worker->drain_forced
                           || r->own);

    if (front->full
        && front->total <= front->conf->queue / 2
        && front->size <= NGX_MQTT_REDIS_QUEUE / 2)
    {
        front->full = 0;
        ngx_post_event(&r->worker->resume_event, &ngx_posted_events);
    }

    if (front->cluster) {
        front->timer.cancelable = (front->total == 0
                                   || r->worker->drain_forced || r->own);
    }

    if (r->pending
        && r->state == NGX_MQTT_REDIS_READY
        && !r->timer.timer_set)
    {
        ngx_add_timer(&r->timer, r->conf->timeout);
    }
}


/* the timer of a ready connection */

void
ngx_mqtt_redis_check(ngx_mqtt_redis_t *r)
{
    ngx_msec_t  elapsed;

    if (r->pending == 0) {
        return;
    }

    elapsed = ngx_current_msec - r->heard;

    if (elapsed < r->conf->timeout) {
        ngx_mqtt_redis_set_timer(r, r->conf->timeout - elapsed);
        ngx_mqtt_redis_hold(r);
        return;
    }

    ngx_mqtt_redis_lost(r, NGX_ETIMEDOUT, "no reply", NULL);
}


static void
ngx_mqtt_redis_flush_handler(ngx_event_t *ev)
{
    ngx_mqtt_redis_flush(ev->data);
}


void
ngx_mqtt_redis_write_handler(ngx_event_t *wev)
{
    ngx_connection_t  *c;

    c = wev->data;

    ngx_mqtt_redis_flush(c->data);
}


static void
ngx_mqtt_redis_flush(ngx_mqtt_redis_t *r)
{
    ssize_t            n;
    ngx_connection_t  *c;

    c = r->peer.connection;

    ngx_mqtt_redis_replicas_flush(r);

    while (c->write->ready) {

        if (r->out_pos == r->out_last && ngx_mqtt_redis_fill(r) == 0) {
            break;
        }

        n = c->send(c, r->out_pos, r->out_last - r->out_pos);

        if (n == NGX_ERROR) {
            ngx_mqtt_redis_lost(r, 0, "cannot send", NULL);
            return;
        }

        if (n == NGX_AGAIN || n == 0) {
            break;
        }

        r->out_pos += n;
    }

    if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
        ngx_mqtt_redis_lost(r, 0, "cannot wait for the socket", NULL);
    }
}


/*
 * Copies commands into the empty "out"; a large one passes in pieces.  The
 * buffer is never refilled or moved while a part of it waits, which is what
 * SSL_write() wants of a retry (P30).
 */

static size_t
ngx_mqtt_redis_fill(ngx_mqtt_redis_t *r)
{
    size_t                 n, room;
    ngx_queue_t           *q;
    ngx_mqtt_redis_cmd_t  *cmd;

    r->out_pos = r->out;
    r->out_last = r->out;
    room = NGX_MQTT_REDIS_OUT;

    while (room && !ngx_queue_empty(&r->queued)) {
        q = ngx_queue_head(&r->queued);
        cmd = ngx_queue_data(q, ngx_mqtt_redis_cmd_t, queue);

        if (cmd->step == NGX_MQTT_REDIS_STEP_NONE
            && r->state != NGX_MQTT_REDIS_READY)
        {
            break;
        }

        n = ngx_min(cmd->size - r->offset, room);

        r->out_last = ngx_cpymem(r->out_last,
                                 ngx_mqtt_redis_cmd_data(cmd) + r->offset, n);
        room -= n;
        r->offset += n;

        if (r->offset < cmd->size) {
            break;
        }

        r->offset = 0;

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&r->sent, q);

        ngx_mqtt_count(r->worker, NGX_MQTT_STAT_redis_commands);
    }

    return r->out_last - r->out_pos;
}


void
ngx_mqtt_redis_read_handler(ngx_event_t *rev)
{
    u_char            *buf;
    ssize_t            n;
    ngx_uint_t         i;
    ngx_connection_t  *c;
    ngx_mqtt_redis_t  *r;

    c = rev->data;
    r = c->data;

    /* the reader has its own copy before anybody else uses the buffer */

    buf = r->worker->read_buffer;

    for (i = 0; i < NGX_MQTT_REDIS_READS; i++) {

        n = c->recv(c, buf, NGX_MQTT_REDIS_IN);

        if (n == NGX_AGAIN) {

            if (ngx_handle_read_event(rev, 0) != NGX_OK) {
                ngx_mqtt_redis_lost(r, 0, "cannot wait for the socket", NULL);
            }

            return;
        }

        if (n == NGX_ERROR) {
            ngx_mqtt_redis_lost(r, 0, "cannot receive", NULL);
            return;
        }

        if (n == 0) {
            ngx_mqtt_redis_lost(r, 0, "Redis closed the connection", NULL);
            return;
        }

        r->heard = ngx_current_msec;

        if (ngx_mqtt_redis_reader_feed(r, buf, n) != NGX_OK) {
            ngx_mqtt_redis_lost(r, NGX_ENOMEM, "cannot read a reply", NULL);
            return;
        }

        if (ngx_mqtt_redis_replies(r, c) != NGX_OK) {
            return;
        }
    }

    ngx_post_event(rev, &ngx_posted_next_events);
}


/* NGX_ERROR: the connection is closed */

static ngx_int_t
ngx_mqtt_redis_replies(ngx_mqtt_redis_t *r, ngx_connection_t *c)
{
    ngx_int_t                rc;
    ngx_mqtt_redis_reply_t  *reply;

    for ( ;; ) {
        rc = ngx_mqtt_redis_reader_next(r, &reply);

        if (rc == NGX_AGAIN) {
            return NGX_OK;
        }

        if (rc == NGX_ERROR) {
            ngx_mqtt_redis_lost(r, 0, "not a reply of Redis", NULL);
            return NGX_ERROR;
        }

        if (ngx_mqtt_redis_answer(r, reply) != NGX_OK) {
            return NGX_ERROR;
        }

        /* stopped by a completion? */

        if (r->peer.connection != c) {
            return NGX_ERROR;
        }

        ngx_mqtt_redis_reader_done(r);
    }
}


static ngx_int_t
ngx_mqtt_redis_answer(ngx_mqtt_redis_t *r, ngx_mqtt_redis_reply_t *reply)
{
    ngx_uint_t             step;
    ngx_queue_t           *q;
    ngx_mqtt_redis_cmd_t  *cmd;

    if (ngx_queue_empty(&r->sent)) {

        /* "-ERR max number of clients reached" comes unasked */

        ngx_mqtt_redis_lost(r, 0, "unexpected reply", &reply->str);
        return NGX_ERROR;
    }

    q = ngx_queue_head(&r->sent);
    cmd = ngx_queue_data(q, ngx_mqtt_redis_cmd_t, queue);

    /* one Redis that is a node of a cluster: of no use as it is configured */

    if (ngx_mqtt_redis_unavailable(reply)
        || (!ngx_mqtt_redis_is_node(r)
            && ngx_mqtt_redis_error_is(reply, "MOVED")))
    {
        /* the command is still in "sent" and waits or fails with the others */

        ngx_mqtt_redis_lost(r, 0, "refused", &reply->str);
        return NGX_ERROR;
    }

    ngx_queue_remove(q);

    if (cmd->step) {
        step = cmd->step;
        ngx_mqtt_redis_cmd_free(r, cmd);
        return ngx_mqtt_redis_login_reply(r, step, reply);
    }

    if (cmd->script != NGX_MQTT_LUA_MAX
        && !cmd->eval
        && ngx_mqtt_redis_error_is(reply, "NOSCRIPT")
        && ngx_mqtt_redis_script_retry(r, cmd) == NGX_OK)
    {
        return NGX_OK;
    }

    if (ngx_mqtt_redis_is_node(r)
        && reply->type == NGX_MQTT_REDIS_ERROR
        && ngx_mqtt_redis_detour_reply(r, cmd, reply))
    {
        return NGX_OK;
    }

    if (cmd->safe && reply->type != NGX_MQTT_REDIS_ERROR) {

        if (ngx_mqtt_redis_replicas_hold(r, cmd, reply) == NGX_OK) {
            return NGX_OK;
        }

        ngx_queue_insert_head(&r->sent, q);
        ngx_mqtt_redis_lost(r, NGX_ENOMEM, "cannot hold a reply", NULL);

        return NGX_ERROR;
    }

    ngx_mqtt_redis_complete(r, cmd, reply);

    return NGX_OK;
}


void
ngx_mqtt_redis_complete(ngx_mqtt_redis_t *r, ngx_mqtt_redis_cmd_t *cmd,
    ngx_mqtt_redis_reply_t *reply)
{
    ngx_mqtt_op_t  *op;

    op = cmd->op;

    ngx_mqtt_redis_detach(r, cmd);
    ngx_mqtt_redis_cmd_free(r, cmd);

    r->front->total--;
    ngx_mqtt_redis_hold(r);

    if (reply->type != NGX_MQTT_REDIS_ERROR) {

        r->backoff = 0;

        if (op) {
            ngx_mqtt_op_complete(op, NGX_OK, NGX_MQTT_SUCCESS, reply);
        }

        return;
    }

    ngx_mqtt_count(r->worker, NGX_MQTT_STAT_redis_errors);

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, &r->log, 0,
                   "mqtt redis error: \"%V\"", &reply->str);

    if (op) {
        ngx_mqtt_op_complete(op, NGX_DECLINED, NGX_MQTT_UNSPECIFIED_ERROR,
                             reply);
    }
}


/* the op is posted: done() never runs inside the call that started it */

static void
ngx_mqtt_redis_fail(ngx_mqtt_redis_t *r, ngx_mqtt_op_t *op)
{
    ngx_mqtt_count(r->worker, NGX_MQTT_STAT_redis_errors);

    if (op) {
        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_SERVER_UNAVAILABLE);
    }
}


/* ngx_queue_add() alone would link the head of an empty queue */

void
ngx_mqtt_redis_queue_move(ngx_queue_t *to, ngx_queue_t *from)
{
    if (ngx_queue_empty(from)) {
        return;
    }

    ngx_queue_add(to, from);
    ngx_queue_init(from);
}


/*
 * The connection is gone: what was sent goes back before what was not, the
 * login is forgotten, and what is not to be kept fails.
 */

void
ngx_mqtt_redis_requeue_all(ngx_mqtt_redis_t *r, ngx_uint_t keep)
{
    ngx_queue_t            all, *q;
    ngx_mqtt_redis_cmd_t  *cmd;

    ngx_queue_init(&all);

    ngx_mqtt_redis_queue_move(&all, &r->held);
    ngx_mqtt_redis_queue_move(&all, &r->sent);
    ngx_mqtt_redis_queue_move(&all, &r->queued);

    r->offset = 0;
    r->unsafe = 0;

    while (!ngx_queue_empty(&all)) {
        q = ngx_queue_head(&all);
        cmd = ngx_queue_data(q, ngx_mqtt_redis_cmd_t, queue);

        ngx_queue_remove(q);

        if (cmd->step) {
            ngx_mqtt_redis_cmd_free(r, cmd);
            continue;
        }

        ngx_mqtt_redis_held_free(r, cmd->held);
        cmd->held = NULL;

        if (keep == NGX_MQTT_REDIS_KEEP_ALL
            || (keep == NGX_MQTT_REDIS_KEEP_WAITING && cmd->wait))
        {
            if (cmd->mark) {
                ngx_mqtt_redis_cmd_data(cmd)[cmd->size - 3] = '1';
            }

            ngx_queue_insert_tail(&r->queued, q);
            r->unsafe += cmd->safe;
            continue;
        }

        ngx_mqtt_redis_detach(r, cmd);
        ngx_mqtt_redis_give_up(r, cmd);
    }

    ngx_mqtt_redis_hold(r);
}
