
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Reading: the pump, framing and dispatch.
 *
 * (1) Everything is read into the worker's one buffer.  What is left behind,
 *     an incomplete packet or packets that have to wait, is kept in mc->in;
 *     a rest shorter than a fixed header in mc->head.
 * (2) Type, flags and length are checked from the fixed header, before
 *     anything is allocated for the packet.
 * (3) A packet that came in pieces is received into the block that becomes
 *     its message.
 * (4) One client takes at most NGX_MQTT_READ_BUDGET bytes of a turn.
 * (5) WebSocket is taken off where the bytes were received, before they are
 *     looked at, see ngx_mqtt_client_ws.c.
 *
 * Called from: the client's events.
 */


#include "ngx_mqtt_client.h"
#include "ngx_mqtt_kafka.h"


#define NGX_MQTT_READ_BUDGET     65536
#define NGX_MQTT_READ_CONGESTED  4096   /* at a time, while Kafka is full */


typedef ngx_int_t (*ngx_mqtt_packet_pt)(ngx_mqtt_client_t *mc,
    ngx_mqtt_fixed_t *fx, u_char *p);


static ngx_uint_t ngx_mqtt_client_has_left(ngx_mqtt_client_t *mc);
static ngx_int_t ngx_mqtt_client_recv(ngx_mqtt_client_t *mc);
static ngx_int_t ngx_mqtt_client_parse_kept(ngx_mqtt_client_t *mc);
static ngx_int_t ngx_mqtt_client_parse(ngx_mqtt_client_t *mc, u_char **pos,
    u_char *end);
static ngx_int_t ngx_mqtt_client_check_fixed(ngx_mqtt_client_t *mc,
    ngx_mqtt_fixed_t *fx);
static ngx_int_t ngx_mqtt_client_keep_partial(ngx_mqtt_client_t *mc,
    ngx_mqtt_fixed_t *fx, u_char *p, size_t len);
static ngx_int_t ngx_mqtt_client_dispatch(ngx_mqtt_client_t *mc,
    ngx_mqtt_fixed_t *fx, u_char *p);
static ngx_int_t ngx_mqtt_handle_unexpected(ngx_mqtt_client_t *mc,
    ngx_mqtt_fixed_t *fx, u_char *p);


static ngx_mqtt_packet_pt  ngx_mqtt_packet_handlers[NGX_MQTT_PACKET_TYPES] = {
    ngx_mqtt_handle_unexpected,
    ngx_mqtt_handle_connect,
    ngx_mqtt_handle_unexpected,            /* CONNACK */
    ngx_mqtt_handle_publish,
    ngx_mqtt_handle_ack,                   /* PUBACK */
    ngx_mqtt_handle_ack,                   /* PUBREC */
    ngx_mqtt_handle_ack,                   /* PUBREL */
    ngx_mqtt_handle_ack,                   /* PUBCOMP */
    ngx_mqtt_handle_subscribe,
    ngx_mqtt_handle_unexpected,            /* SUBACK */
    ngx_mqtt_handle_subscribe,             /* UNSUBSCRIBE */
    ngx_mqtt_handle_unexpected,            /* UNSUBACK */
    ngx_mqtt_handle_pingreq,
    ngx_mqtt_handle_unexpected,            /* PINGRESP */
    ngx_mqtt_handle_disconnect,
    ngx_mqtt_handle_auth
};


/* nothing is parsed while an earlier packet has to be settled first */

#define ngx_mqtt_client_blocked(mc)                                           \
    ((mc)->state == NGX_MQTT_CLIENT_CONNECTING                                \
     || (mc)->paused || (mc)->flow_blocked || (mc)->draining                  \
     || (mc)->subscribing                                                     \
     || ngx_mqtt_client_out_full(mc))


#define ngx_mqtt_client_in_is_whole(in)                                       \
    ((in)->block                                                              \
     && (!(in)->packet || (in)->last == (in)->packet))


void
ngx_mqtt_client_read(ngx_mqtt_client_t *mc)
{
    ssize_t            budget;
    ngx_int_t          n;
    ngx_connection_t  *c;

    c = mc->connection;
    budget = NGX_MQTT_READ_BUDGET;

    for ( ;; ) {

        if (mc->closing || ngx_mqtt_client_blocked(mc)) {

            /* what is unread stays in the socket, rev->ready stays set */

            if (ngx_mqtt_client_has_left(mc)) {
                ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
            }

            return;
        }

        if (ngx_mqtt_client_in_is_whole(&mc->in)) {
            n = mc->in.last - mc->in.pos;

            if (ngx_mqtt_client_parse_kept(mc) == NGX_ERROR) {
                return;
            }

        } else if (mc->ws && mc->ws->received) {
            ngx_mqtt_client_ws_end(mc);
            return;

        } else if (c->read->ready) {
            n = ngx_mqtt_client_recv(mc);

            if (n < 0) {
                return;
            }

        } else {
            break;
        }

        budget -= n;

        if (budget <= 0) {
            ngx_post_event(c->read, &ngx_posted_next_events);
            return;
        }
    }

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
    }
}


/*
 * A client that closed its connection while its CONNECT is being handled and
 * left nothing behind CONNECT: nobody waits for the rest of the work.
 */

static ngx_uint_t
ngx_mqtt_client_has_left(ngx_mqtt_client_t *mc)
{
    u_char             byte;
    ngx_connection_t  *c;

    c = mc->connection;

    if (mc->closing || mc->state != NGX_MQTT_CLIENT_CONNECTING
        || mc->in.block || mc->head_len || !c->read->pending_eof)
    {
        return 0;
    }

#if (NGX_SSL)
    if (c->ssl) {
        return 0;
    }
#endif

    return recv(c->fd, &byte, 1, MSG_PEEK) == 0;
}


void
ngx_mqtt_client_resume(ngx_mqtt_client_t *mc)
{
    if (!mc->closing) {
        ngx_post_event(mc->connection->read, &ngx_posted_events);
    }
}


/* reads once; the bytes read, 0 when there are none, NGX_ERROR: closing */

static ngx_int_t
ngx_mqtt_client_recv(ngx_mqtt_client_t *mc)
{
    u_char             *p, *buf;
    size_t              size;
    ssize_t             n;
    ngx_int_t           rc, len;
    ngx_connection_t   *c;
    ngx_mqtt_worker_t  *w;

    c = mc->connection;
    w = mc->worker;

    if (mc->in.block) {
        buf = ngx_mqtt_msg_data(mc->in.block) + mc->in.last;
        size = mc->in.packet - mc->in.last;

    } else {
        ngx_memcpy(w->read_buffer, mc->head, mc->head_len);

        buf = w->read_buffer + mc->head_len;
        size = NGX_MQTT_READ_BUFFER - mc->head_len;

        if (w->kafka && ngx_mqtt_kafka_full(w->kafka)) {
            size = NGX_MQTT_READ_CONGESTED;
        }
    }

    n = c->recv(c, buf, size);

    if (n == NGX_AGAIN) {
        return 0;
    }

    if (n <= 0) {
        c->log->action = NULL;

        if (n == 0 && mc->ws == NULL) {

            /* it may read on: answers to what came before are still sent */

            mc->gone = 1;
            return ngx_mqtt_client_close(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        }

        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return NGX_ERROR;
    }

    mc->bytes_in += n;
    ngx_mqtt_count_add(w, NGX_MQTT_STAT_bytes_in, n);

    if (ngx_mqtt_client_ws_is_handshake(mc)) {
        mc->in.last += n;
        return (ngx_mqtt_client_ws_request(mc) == NGX_OK) ? n : NGX_ERROR;
    }

    len = n;

    if (mc->ws) {
        len = ngx_mqtt_client_ws_unwrap(mc, buf, n);

        if (len == NGX_ERROR) {
            return NGX_ERROR;
        }
    }

    if (mc->in.block) {
        mc->in.last += len;
        return n;
    }

    p = w->read_buffer;
    mc->head_len = 0;

    rc = ngx_mqtt_client_parse(mc, &p, buf + len);

    if (rc == NGX_BUSY) {
        rc = ngx_mqtt_client_keep(mc, p, buf + len - p);

        if (rc != NGX_OK) {
            ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        }
    }

    return (rc == NGX_OK) ? n : NGX_ERROR;
}


/* mc->in holds a whole packet, or packets that had to wait */

static ngx_int_t
ngx_mqtt_client_parse_kept(ngx_mqtt_client_t *mc)
{
    u_char         *p, *data;
    ngx_int_t       rc;
    ngx_mqtt_in_t   in;

    in = mc->in;

    if (!in.packet) {

        /* parsing may leave a rest of its own */

        mc->in.block = NULL;
    }

    data = ngx_mqtt_msg_data(in.block);
    p = data + in.pos;

    rc = ngx_mqtt_client_parse(mc, &p, data + in.last);

    if (rc == NGX_BUSY) {
        mc->in = in;
        mc->in.pos = p - data;

        return NGX_OK;
    }

    if (mc->in.block == in.block) {
        mc->in.block = NULL;
        ngx_mqtt_msg_unref(in.block);

    } else if (!in.packet) {
        ngx_mqtt_msg_unref(in.block);
    }

    return rc;
}


/*
 * Handles the packets in [*pos, end).  NGX_OK: all of it is handled or kept;
 * NGX_BUSY: the packet at *pos and what follows has to wait; NGX_ERROR: the
 * client is closing.
 */

static ngx_int_t
ngx_mqtt_client_parse(ngx_mqtt_client_t *mc, u_char **pos, u_char *end)
{
    u_char            *p;
    size_t             total;
    ngx_int_t          rc;
    ngx_mqtt_fixed_t   fx;

    p = *pos;

    while (p < end) {

        if (ngx_mqtt_client_blocked(mc)) {
            *pos = p;
            return NGX_BUSY;
        }

        if (mc->state == NGX_MQTT_CLIENT_WAIT_CONNECT
            && mc->conf->websocket && mc->ws == NULL
            && end - p >= 2 && ngx_mqtt_ws_is_http(p))
        {
            return ngx_mqtt_client_ws_detected(mc, p, end);
        }

        rc = ngx_mqtt_read_fixed(p, end, &fx);

        if (rc == NGX_AGAIN) {
            mc->head_len = (uint8_t) (end - p);
            ngx_memcpy(mc->head, p, end - p);

            return NGX_OK;
        }

        if (rc == NGX_ERROR) {
            return ngx_mqtt_client_error(mc, NGX_MQTT_MALFORMED_PACKET,
                                         "client sent malformed length");
        }

        if (ngx_mqtt_client_check_fixed(mc, &fx) != NGX_OK) {
            return NGX_ERROR;
        }

        total = fx.len + fx.remaining;

        if ((size_t) (end - p) < total) {
            return ngx_mqtt_client_keep_partial(mc, &fx, p, end - p);
        }

        rc = ngx_mqtt_client_dispatch(mc, &fx, p + fx.len);

        if (rc == NGX_BUSY) {
            *pos = p;
            return NGX_BUSY;
        }

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }

        p += total;
    }

    return NGX_OK;
}


/* what can be told from the fixed header: order, flags, size */

static ngx_int_t
ngx_mqtt_client_check_fixed(ngx_mqtt_client_t *mc, ngx_mqtt_fixed_t *fx)
{
    if (mc->state == NGX_MQTT_CLIENT_WAIT_CONNECT) {

        if (fx->type != NGX_MQTT_CONNECT) {
            ngx_mqtt_client_error(mc, NGX_MQTT_PROTOCOL_ERROR,
                                  "client sent no CONNECT first");
            return NGX_ERROR;
        }

    } else if (ngx_mqtt_fixed_check(fx, mc->version) != NGX_OK) {

        return ngx_mqtt_client_error(mc, NGX_MQTT_MALFORMED_PACKET,
                                     "client sent %s with flags %ui",
                                     ngx_mqtt_packet_name(fx->type),
                                     fx->flags);
    }

    if (fx->len + fx->remaining > mc->conf->max_packet_size) {
        return ngx_mqtt_client_error(mc, NGX_MQTT_PACKET_TOO_LARGE,
                                     "client sent too large %s of %uz bytes",
                                     ngx_mqtt_packet_name(fx->type),
                                     fx->len + fx->remaining);
    }

    return NGX_OK;
}


/*
 * An incomplete packet.  Behind it there is room for the client id, the
 * origin of the message that a PUBLISH becomes.
 */

static ngx_int_t
ngx_mqtt_client_keep_partial(ngx_mqtt_client_t *mc, ngx_mqtt_fixed_t *fx,
    u_char *p, size_t len)
{
    size_t           total;
    ngx_mqtt_msg_t  *m;

    total = fx->len + fx->remaining;

    m = ngx_mqtt_msg_create(mc->worker, total + mc->node.key.len);
    if (m == NULL) {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return NGX_ERROR;
    }

    ngx_memcpy(ngx_mqtt_msg_data(m), p, len);

    mc->in.block = m;
    mc->in.pos = 0;
    mc->in.last = len;
    mc->in.packet = total;

    return NGX_OK;
}


/* bytes that have to wait */

ngx_int_t
ngx_mqtt_client_keep(ngx_mqtt_client_t *mc, u_char *p, size_t len)
{
    ngx_mqtt_msg_t  *m;

    m = ngx_mqtt_msg_create(mc->worker, len);
    if (m == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(ngx_mqtt_msg_data(m), p, len);

    mc->in.block = m;
    mc->in.pos = 0;
    mc->in.last = len;
    mc->in.packet = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_client_dispatch(ngx_mqtt_client_t *mc, ngx_mqtt_fixed_t *fx,
    u_char *p)
{
    ngx_int_t  rc;

    ngx_log_debug3(NGX_LOG_DEBUG_STREAM, mc->connection->log, 0,
                   "mqtt %s, flags: %ui, length: %uz",
                   ngx_mqtt_packet_name(fx->type), fx->flags, fx->remaining);

    rc = ngx_mqtt_packet_handlers[fx->type](mc, fx, p);

    if (rc != NGX_BUSY) {
        mc->last_read = ngx_current_msec;
        ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_packets_in);
    }

    return mc->closing ? NGX_ERROR : rc;
}


static ngx_int_t
ngx_mqtt_handle_unexpected(ngx_mqtt_client_t *mc, ngx_mqtt_fixed_t *fx,
    u_char *p)
{
    return ngx_mqtt_client_error(mc, NGX_MQTT_PROTOCOL_ERROR,
                                 "client sent unexpected %s",
                                 ngx_mqtt_packet_name(fx->type));
}
