
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The life of a client: create, events, keep-alive, close.  The invariants
 * are in ngx_mqtt_client.h.
 *
 * The end of a client has three steps: ngx_mqtt_client_close() takes it out
 * of everything at once and queues the last packet; the close event flushes
 * that packet and, where we are the one who closes, waits a moment for the
 * peer, so that a reset does not eat the packet (P38); ngx_mqtt_client_free()
 * hands the connection back to nginx.
 *
 * Called from: stream/ and http/ (create, events), everywhere (close).
 */


#include "ngx_mqtt_client_session.h"
#include "ngx_mqtt_client_auth.h"


#define NGX_MQTT_CLIENT_LINGER  2000    /* ms */


static void ngx_mqtt_client_timeout(ngx_mqtt_client_t *mc, ngx_event_t *ev);
static void ngx_mqtt_client_check_keep_alive(ngx_mqtt_client_t *mc);
static ngx_int_t ngx_mqtt_client_close_because(ngx_mqtt_client_t *mc,
    ngx_uint_t reason, ngx_str_t *text);
static void ngx_mqtt_client_leave(ngx_mqtt_client_t *mc);
static void ngx_mqtt_client_close_handler(ngx_event_t *ev);
static ngx_int_t ngx_mqtt_client_linger(ngx_mqtt_client_t *mc);
static void ngx_mqtt_client_linger_read(ngx_mqtt_client_t *mc);
static void ngx_mqtt_client_finish(ngx_mqtt_client_t *mc);
static void ngx_mqtt_client_free(ngx_mqtt_client_t *mc);
static void ngx_mqtt_client_free_extra(ngx_mqtt_client_t *mc);
static void ngx_mqtt_client_takeover(ngx_mqtt_worker_t *w,
    ngx_str_t *client_id, uint64_t epoch);
static ngx_int_t ngx_mqtt_client_drain(ngx_mqtt_worker_t *w, ngx_queue_t *q,
    ngx_uint_t force);
static ngx_mqtt_subscriber_t *ngx_mqtt_client_subscriber(
    ngx_mqtt_worker_t *w, ngx_str_t *client_id);
static void ngx_mqtt_client_resume_all(ngx_mqtt_worker_t *w);
static void ngx_mqtt_client_stop_all(ngx_mqtt_worker_t *w);


ngx_mqtt_hooks_t  ngx_mqtt_client_hooks = {
    ngx_mqtt_client_takeover,
    ngx_mqtt_client_drain,
    ngx_mqtt_client_resume_all,
    ngx_mqtt_client_stop_all,
    ngx_mqtt_client_fence,
    ngx_mqtt_client_deliver,
    ngx_mqtt_client_subscriber,
    ngx_mqtt_client_session_recheck,
    ngx_mqtt_client_share_room,
    ngx_mqtt_client_share_window,
    ngx_mqtt_client_deliver_shared,
    ngx_mqtt_client_p2p,
    ngx_mqtt_client_flush_handler,
    ngx_mqtt_client_close_handler,
    ngx_mqtt_client_behind_handler
};


ngx_mqtt_client_t *
ngx_mqtt_client_create(ngx_connection_t *c, ngx_mqtt_client_conf_t *conf,
    void (*finalize)(ngx_mqtt_client_t *mc))
{
    ngx_mqtt_client_t  *mc;
    ngx_mqtt_worker_t  *w;

    w = conf->gateway->worker;

    mc = ngx_mqtt_calloc(w, sizeof(ngx_mqtt_client_t));
    if (mc == NULL) {
        return NULL;
    }

    mc->worker = w;
    mc->conf = conf;
    mc->connection = c;
    mc->finalize = finalize;

    ngx_queue_init(&mc->ops);
    ngx_mqtt_acks_init(&mc->acks, ngx_mqtt_publish_ack, mc);

    ngx_queue_insert_tail(&w->connections, &mc->queue);
    ngx_mqtt_count(w, NGX_MQTT_STAT_connections);

    return mc;
}


void
ngx_mqtt_client_start(ngx_mqtt_client_t *mc, ngx_event_handler_pt handler,
    ngx_buf_t *preread)
{
    size_t             len;
    ngx_int_t          rc;
    ngx_connection_t  *c;

    c = mc->connection;

    /* both: a TLS handshake leaves its own handlers behind, P34 */

    c->read->handler = handler;
    c->write->handler = handler;

#if (NGX_SSL)
    if (c->ssl) {
        c->ssl->no_wait_shutdown = 1;
    }
#endif

    c->log->action = "waiting for CONNECT";

    ngx_reusable_connection(c, 1);
    ngx_add_timer(c->read, mc->conf->connect_timeout);

    if (preread && preread->pos < preread->last) {
        len = preread->last - preread->pos;

        if (ngx_mqtt_client_keep(mc, preread->pos, len) != NGX_OK) {
            ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
            return;
        }

        preread->pos = preread->last;

        if (mc->ws) {
            rc = ngx_mqtt_client_ws_unwrap(mc, ngx_mqtt_msg_data(mc->in.block),
                                           len);
            if (rc == NGX_ERROR) {
                return;
            }

            mc->in.last = rc;
        }
    }

    /* the first edge may be consumed already, P32 */

    if (c->read->ready || mc->in.block) {
        ngx_post_event(c->read, &ngx_posted_events);
    }

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
    }
}


void
ngx_mqtt_client_event(ngx_mqtt_client_t *mc, ngx_event_t *ev)
{
    ngx_connection_t  *c;

    c = mc->connection;

    if (c->close) {
        c->close = 0;

        if (c->error || !ngx_exiting) {

            /* worker_shutdown_timeout; or connections run short, P23 */

            c->error = 0;
            ngx_mqtt_client_abort(mc, NGX_MQTT_SERVER_SHUTTING_DOWN);
        }

        /* else the drain will come to this client */

        return;
    }

    if (ev->timedout) {
        ev->timedout = 0;
        ngx_mqtt_client_timeout(mc, ev);
        return;
    }

    if (ev->write) {

        if (mc->out && ngx_mqtt_client_flush(mc) == NGX_ERROR) {
            ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);

        } else if (mc->out == NULL && !mc->lingering
                   && mc->state == NGX_MQTT_CLIENT_LINGERING)
        {
            ngx_mqtt_client_finish(mc);
        }

        return;
    }

    if (mc->state == NGX_MQTT_CLIENT_LINGERING) {
        ngx_mqtt_client_linger_read(mc);
        return;
    }

    ngx_mqtt_client_read(mc);
}


static void
ngx_mqtt_client_timeout(ngx_mqtt_client_t *mc, ngx_event_t *ev)
{
    if (mc->state == NGX_MQTT_CLIENT_LINGERING || ev->write) {

        if (!mc->closing) {
            ngx_log_error(NGX_LOG_INFO, mc->connection->log, NGX_ETIMEDOUT,
                          "client does not read");
        }

        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return;
    }

    if (mc->closing) {
        return;
    }

    if (mc->state == NGX_MQTT_CLIENT_CONNECTED) {
        ngx_mqtt_client_check_keep_alive(mc);
        return;
    }

    ngx_log_error(NGX_LOG_INFO, mc->connection->log, NGX_ETIMEDOUT,
                  "client sent no CONNECT");

    ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_connect_timeouts);
    ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
}


/*
 * 3.1.2.10: one and a half times the interval.  The timer is not moved with
 * each packet; it fires and is set again for what is left.
 */

static void
ngx_mqtt_client_check_keep_alive(ngx_mqtt_client_t *mc)
{
    ngx_msec_t      limit;
    ngx_msec_int_t  left;

    limit = (ngx_msec_t) mc->keep_alive * 1500;

    if (mc->paused || mc->flow_blocked || mc->draining || mc->subscribing
        || ngx_mqtt_client_out_full(mc))
    {

        /* PINGREQ may be waiting unread in our own socket buffer */

        mc->last_read = ngx_current_msec;
    }

    left = (ngx_msec_int_t) (mc->last_read + limit - ngx_current_msec);

    if (left > 0) {
        ngx_add_timer(mc->connection->read, (ngx_msec_t) left);
        return;
    }

    ngx_log_error(NGX_LOG_INFO, mc->connection->log, 0,
                  "client is silent for %M ms, keep-alive is %ud s",
                  ngx_current_msec - mc->last_read,
                  (unsigned) mc->keep_alive);

    ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_keepalive_timeouts);
    ngx_mqtt_client_close(mc, NGX_MQTT_KEEP_ALIVE_TIMEOUT);
}


void
ngx_mqtt_client_connected(ngx_mqtt_client_t *mc)
{
    ngx_connection_t   *c;
    ngx_mqtt_worker_t  *w;

    c = mc->connection;
    w = mc->worker;

    mc->state = NGX_MQTT_CLIENT_CONNECTED;
    mc->last_read = ngx_current_msec;
    mc->counted = 1;

    ngx_mqtt_count(w, NGX_MQTT_STAT_clients);
    ngx_mqtt_count(w, NGX_MQTT_STAT_connects);

    ngx_mqtt_client_announce(mc);

    ngx_reusable_connection(c, 0);
    c->idle = 1;

    if (mc->keep_alive) {
        ngx_add_timer(c->read, (ngx_msec_t) mc->keep_alive * 1500);
    }
}


void
ngx_mqtt_client_pause(ngx_mqtt_client_t *mc)
{
    if (mc->paused) {
        return;
    }

    mc->paused = 1;

    ngx_queue_insert_tail(&mc->worker->paused, &mc->paused_queue);

    ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_pauses);
    ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_clients_paused);

    ngx_log_debug0(NGX_LOG_DEBUG_STREAM, mc->connection->log, 0,
                   "mqtt client paused");
}


static ngx_mqtt_subscriber_t *
ngx_mqtt_client_subscriber(ngx_mqtt_worker_t *w, ngx_str_t *client_id)
{
    ngx_mqtt_client_t     *mc;
    ngx_mqtt_hash_node_t  *node;

    node = ngx_mqtt_hash_find(&w->clients, client_id);

    if (node == NULL) {
        return NULL;
    }

    mc = ngx_queue_data(node, ngx_mqtt_client_t, node);

    return &mc->subscriber;
}


static void
ngx_mqtt_client_resume_all(ngx_mqtt_worker_t *w)
{
    ngx_queue_t        *q;
    ngx_mqtt_client_t  *mc;

    while (!ngx_queue_empty(&w->paused)) {
        q = ngx_queue_head(&w->paused);
        mc = ngx_queue_data(q, ngx_mqtt_client_t, paused_queue);

        ngx_queue_remove(q);
        mc->paused = 0;
        ngx_mqtt_count_sub(w, NGX_MQTT_STAT_clients_paused, 1);

        ngx_mqtt_client_resume(mc);
    }

    ngx_mqtt_will_resume(w);
}


ngx_mqtt_client_extra_t *
ngx_mqtt_client_get_extra(ngx_mqtt_client_t *mc)
{
    if (mc->extra == NULL) {
        mc->extra = ngx_mqtt_calloc(mc->worker,
                                    sizeof(ngx_mqtt_client_extra_t));

        if (mc->extra) {
            ngx_queue_init(&mc->extra->window.sent);
            ngx_queue_init(&mc->extra->window.waiting);
        }
    }

    return mc->extra;
}


ngx_int_t
ngx_mqtt_client_error(ngx_mqtt_client_t *mc, ngx_uint_t reason,
    const char *fmt, ...)
{
    u_char      buf[NGX_MAX_ERROR_STR];
    va_list     args;
    ngx_str_t   text;

    if (mc->closing) {
        return NGX_ERROR;
    }

    va_start(args, fmt);
    text.len = ngx_vslprintf(buf, buf + sizeof(buf), fmt, args) - buf;
    text.data = buf;
    va_end(args);

    ngx_log_error(NGX_LOG_INFO, mc->connection->log, 0,
                  "%V, reason code: 0x%02xi", &text, reason);

    ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_protocol_errors);

    return ngx_mqtt_client_close_because(mc, reason, &text);
}


ngx_int_t
ngx_mqtt_client_close(ngx_mqtt_client_t *mc, ngx_uint_t reason)
{
    return ngx_mqtt_client_close_because(mc, reason, NULL);
}


/*
 * Without a text the name of the reason is one: some clients, Paho's for
 * Python, pass over a DISCONNECT that is only a reason code.
 */

static ngx_int_t
ngx_mqtt_client_close_because(ngx_mqtt_client_t *mc, ngx_uint_t reason,
    ngx_str_t *text)
{
    ngx_str_t  name;

    if (mc->closing) {
        return NGX_ERROR;
    }

    if (text == NULL) {
        name.data = (u_char *) ngx_mqtt_reason_name(reason);
        name.len = ngx_strlen(name.data);
        text = &name;
    }

    mc->closing = 1;
    mc->reason = (uint8_t) reason;

    ngx_mqtt_client_leave(mc);

    if (mc->state == NGX_MQTT_CLIENT_CONNECTED
        && mc->version == NGX_MQTT_V5
        && reason >= NGX_MQTT_UNSPECIFIED_ERROR
        && !mc->disconnected && !mc->gone)
    {
        ngx_mqtt_client_send_reason(mc, NGX_MQTT_DISCONNECT, 0, reason, text);
    }

    if (mc->ws) {
        ngx_mqtt_client_ws_close(mc, reason);
    }

    ngx_queue_insert_tail(&mc->worker->closing, &mc->closing_queue);
    ngx_post_event(&mc->worker->close_event, &ngx_posted_events);

    return NGX_ERROR;
}


void
ngx_mqtt_client_abort(ngx_mqtt_client_t *mc, ngx_uint_t reason)
{
    ngx_mqtt_client_discard_out(mc);

    mc->gone = 1;

    if (mc->state == NGX_MQTT_CLIENT_LINGERING) {
        ngx_mqtt_client_finish(mc);
        return;
    }

    if (!mc->closing) {
        mc->state = NGX_MQTT_CLIENT_LINGERING;
        ngx_mqtt_client_close(mc, reason);
    }
}


/* out of everything, before the connection itself is closed, P37 */

static void
ngx_mqtt_client_leave(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_worker_t  *w;

    w = mc->worker;

    if (mc->hashed) {
        ngx_mqtt_hash_remove(&w->clients, &mc->node);
        mc->hashed = 0;
    }

    if (mc->claiming) {
        ngx_mqtt_hash_remove(&w->claiming, &mc->node);
        mc->claiming = 0;
    }

    /* what is saved depends on what is not acknowledged yet */

    ngx_mqtt_client_session_leave(mc);

    ngx_mqtt_route_unsubscribe_all(w, &mc->subscriber);
    ngx_mqtt_client_share_leave(mc);

    if (mc->extra) {
        ngx_mqtt_client_behind_end(mc);
    }

    ngx_mqtt_op_orphan(&mc->ops);
    ngx_mqtt_acks_orphan(&mc->acks);
    ngx_mqtt_client_auth_free(mc);

    if (mc->announced) {
        ngx_mqtt_client_announce_end(mc);
    }

    if (mc->claimed || mc->taken) {
        mc->claimed = 0;
        ngx_mqtt_client_release(mc);
    }

    mc->announced = 0;

    if (mc->paused) {
        mc->paused = 0;
        ngx_queue_remove(&mc->paused_queue);
        ngx_mqtt_count_sub(w, NGX_MQTT_STAT_clients_paused, 1);
    }

    if (mc->counted) {
        mc->counted = 0;
        ngx_mqtt_count_sub(w, NGX_MQTT_STAT_clients, 1);
        ngx_mqtt_count(w, mc->disconnected
                          ? NGX_MQTT_STAT_disconnects
                          : NGX_MQTT_STAT_connections_lost);
    }
}


static void
ngx_mqtt_client_close_handler(ngx_event_t *ev)
{
    ngx_queue_t        *q;
    ngx_mqtt_client_t  *mc;
    ngx_mqtt_worker_t  *w;

    w = ngx_mqtt_event_worker(ev);

    while (!ngx_queue_empty(&w->closing)) {
        q = ngx_queue_head(&w->closing);
        mc = ngx_queue_data(q, ngx_mqtt_client_t, closing_queue);

        ngx_queue_remove(q);
        ngx_queue_init(q);

        if (mc->state == NGX_MQTT_CLIENT_LINGERING
            || ngx_mqtt_client_linger(mc) != NGX_AGAIN)
        {
            ngx_mqtt_client_free(mc);
        }
    }
}


/* NGX_AGAIN: the client is freed later, by ngx_mqtt_client_finish() */

static ngx_int_t
ngx_mqtt_client_linger(ngx_mqtt_client_t *mc)
{
    ngx_int_t          rc;
    ngx_connection_t  *c;

    c = mc->connection;

    if (mc->out == NULL && (mc->gone || mc->disconnected)) {
        return NGX_OK;
    }

    rc = ngx_mqtt_client_flush(mc);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    mc->state = NGX_MQTT_CLIENT_LINGERING;

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    ngx_add_timer(c->read, NGX_MQTT_CLIENT_LINGER);

    if (rc == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    ngx_mqtt_client_finish(mc);

    return NGX_AGAIN;
}


/*
 * Everything is sent: tell the peer that nothing follows and wait until it
 * has read that.  A client that is done with is freed by the close event.
 */

static void
ngx_mqtt_client_finish(ngx_mqtt_client_t *mc)
{
    ngx_connection_t  *c;

    c = mc->connection;

    if (!mc->lingering && !mc->gone && !c->error
        && !c->read->eof && !c->read->error)
    {
        mc->lingering = 1;

#if (NGX_SSL)
        if (c->ssl) {

            /* close_notify; what still comes is read and thrown away raw */

            (void) SSL_shutdown(c->ssl->connection);
            ERR_clear_error();

            c->recv = ngx_recv;
        }
#endif

        if (ngx_shutdown_socket(c->fd, NGX_WRITE_SHUTDOWN) == 0) {
            ngx_post_event(c->read, &ngx_posted_events);
            return;
        }
    }

    if (ngx_queue_empty(&mc->closing_queue)) {
        ngx_queue_insert_tail(&mc->worker->closing, &mc->closing_queue);
        ngx_post_event(&mc->worker->close_event, &ngx_posted_events);
    }
}


static void
ngx_mqtt_client_linger_read(ngx_mqtt_client_t *mc)
{
    ssize_t            n;
    ngx_connection_t  *c;

    c = mc->connection;

    if (!mc->lingering) {
        return;
    }

    do {
        n = c->recv(c, mc->worker->read_buffer, NGX_MQTT_READ_BUFFER);

        if (n == NGX_AGAIN) {

            if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
                break;
            }

            return;
        }

    } while (n > 0 && c->read->ready);

    if (n > 0 && ngx_handle_read_event(c->read, 0) == NGX_OK) {
        return;
    }

    ngx_mqtt_client_finish(mc);
}


static void
ngx_mqtt_client_free(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_worker_t  *w;

    w = mc->worker;

    if (mc->dirty) {
        ngx_queue_remove(&mc->dirty_queue);
        mc->dirty = 0;
    }

    ngx_mqtt_client_discard_out(mc);

    if (mc->in.block) {
        ngx_mqtt_msg_unref(mc->in.block);
    }

    if (mc->ws) {
        ngx_mqtt_client_ws_free(mc);
        mc->ws = NULL;
    }

    ngx_queue_remove(&mc->queue);
    ngx_mqtt_count_sub(w, NGX_MQTT_STAT_connections, 1);

    /* the log phase still reads the client; the connection ends here */

    mc->finalize(mc);

    ngx_mqtt_client_free_extra(mc);
    ngx_mqtt_client_session_free(mc);

    if (mc->will) {
        ngx_mqtt_msg_unref(mc->will);
    }

    ngx_mqtt_free(w, mc->node.key.data, mc->node.key.len + mc->username.len);
    ngx_mqtt_free(w, mc, sizeof(ngx_mqtt_client_t));
}


static void
ngx_mqtt_client_free_extra(ngx_mqtt_client_t *mc)
{
    ngx_uint_t                i, n;
    ngx_mqtt_worker_t        *w;
    ngx_mqtt_client_extra_t  *extra;

    w = mc->worker;
    extra = mc->extra;

    if (extra == NULL) {
        return;
    }

    if (extra->aliases) {
        n = mc->conf->topic_alias_maximum;

        for (i = 0; i < n; i++) {
            ngx_mqtt_free(w, extra->aliases[i].data, extra->aliases[i].len);
        }

        ngx_mqtt_free(w, extra->aliases, n * sizeof(ngx_str_t));
    }

    if (extra->aliases_out) {

        for (i = 0; i < extra->naliases_out; i++) {
            ngx_mqtt_free(w, extra->aliases_out[i].data,
                          extra->aliases_out[i].len);
        }

        ngx_mqtt_free(w, extra->aliases_out,
                      mc->aliases_out * sizeof(ngx_str_t));
    }

    ngx_mqtt_client_retained_discard(mc);
    ngx_mqtt_client_discard_window(mc);
    ngx_mqtt_id_set_free(w, &extra->received);
    ngx_mqtt_free(w, extra, sizeof(ngx_mqtt_client_extra_t));
}


/* the session of this client id was claimed under "epoch" */

static void
ngx_mqtt_client_takeover(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    uint64_t epoch)
{
    ngx_mqtt_client_t     *mc;
    ngx_mqtt_hash_node_t  *node;

    node = ngx_mqtt_hash_find(&w->clients, client_id);

    if (node) {
        mc = ngx_queue_data(node, ngx_mqtt_client_t, node);

        if (mc->epoch < epoch) {
            ngx_log_error(NGX_LOG_INFO, mc->connection->log, 0,
                          "session was taken over by another connection");

            ngx_mqtt_count(w, NGX_MQTT_STAT_takeovers);
            ngx_mqtt_client_lose(mc);
            ngx_mqtt_client_close(mc, NGX_MQTT_SESSION_TAKEN_OVER);
        }
    }

    node = ngx_mqtt_hash_find(&w->claiming, client_id);

    if (node) {

        /* its own claim may be older: known when the reply comes */

        mc = ngx_queue_data(node, ngx_mqtt_client_t, node);

        if (mc->taken_epoch < epoch) {
            mc->taken_epoch = epoch;
        }
    }
}


/*
 * NGX_OK: the client is on its way out; NGX_AGAIN: it is owed something and
 * will be asked again; NGX_DECLINED: there was nothing to do.
 */

static ngx_int_t
ngx_mqtt_client_drain(ngx_mqtt_worker_t *w, ngx_queue_t *q, ngx_uint_t force)
{
    ngx_mqtt_client_t  *mc;

    mc = ngx_queue_data(q, ngx_mqtt_client_t, queue);

    if (w->drain_forced) {
        mc->draining = 1;
        ngx_mqtt_client_abort(mc, NGX_MQTT_SERVER_SHUTTING_DOWN);
        return NGX_DECLINED;
    }

    if (mc->closing) {
        return NGX_DECLINED;
    }

    if (mc->state == NGX_MQTT_CLIENT_WAIT_CONNECT) {
        ngx_mqtt_client_abort(mc, NGX_MQTT_SERVER_SHUTTING_DOWN);
        return NGX_OK;
    }

    if (!force && (mc->state == NGX_MQTT_CLIENT_CONNECTING
                   || mc->acks.nslots))
    {
        mc->draining = 1;
        return NGX_AGAIN;
    }

    ngx_mqtt_client_close(mc, NGX_MQTT_SERVER_SHUTTING_DOWN);

    return NGX_OK;
}


/*
 * The worker exits: what is left is closed here and now.
 */

static void
ngx_mqtt_client_stop_all(ngx_mqtt_worker_t *w)
{
    ngx_queue_t        *q;
    ngx_mqtt_client_t  *mc;

    while (!ngx_queue_empty(&w->connections)) {
        q = ngx_queue_head(&w->connections);
        mc = ngx_queue_data(q, ngx_mqtt_client_t, queue);

        if (!mc->closing) {
            mc->closing = 1;
            mc->reason = NGX_MQTT_SERVER_SHUTTING_DOWN;

            ngx_mqtt_client_leave(mc);
        }

        ngx_mqtt_client_free(mc);
    }

    ngx_queue_init(&w->closing);
}
