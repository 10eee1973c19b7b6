
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Writing: the queue of a client and its flush.
 *
 * (1) Output is a list of pieces; small packets that one turn makes share a
 *     piece.  A piece is freed as soon as it is sent.
 * (2) A client with output stands in w->dirty, which is flushed once, at the
 *     end of the turn of the event loop, or waits for the socket to become
 *     writable.  While mqtt_output_buffer is exceeded nothing more is read
 *     from it: what it asks for it has to take.
 * (3) Pieces are gathered in the worker's write buffer, so that one turn
 *     makes one write and, on TLS, one record.  OpenSSL demands that a write
 *     it did not finish is repeated from the same address with the same bytes
 *     (P30): the buffer is always the same and the queue only grows.
 * (4) What a flush finds is one WebSocket frame; see ngx_mqtt_client_ws.c.
 *
 * Called from: the packet handlers (room), the flush event, write events.
 */


#include "ngx_mqtt_client_session.h"


#define NGX_MQTT_OUT_PIECE  (160 - sizeof(ngx_mqtt_out_t))


static ngx_mqtt_out_t *ngx_mqtt_client_new_piece(ngx_mqtt_client_t *mc,
    size_t size);
static void ngx_mqtt_client_add_piece(ngx_mqtt_client_t *mc,
    ngx_mqtt_out_t *out);
static void ngx_mqtt_client_set_dirty(ngx_mqtt_client_t *mc);
static size_t ngx_mqtt_client_gather(ngx_mqtt_client_t *mc, u_char **data);
static void ngx_mqtt_client_sent(ngx_mqtt_client_t *mc, size_t n);
static void ngx_mqtt_client_free_piece(ngx_mqtt_client_t *mc);


u_char *
ngx_mqtt_client_room(ngx_mqtt_client_t *mc, size_t len)
{
    size_t           head;
    u_char          *p;
    ngx_mqtt_out_t  *out;

    if (mc->max_packet_out && len > mc->max_packet_out) {

        /*
         * [MQTT-3.1.2-24]: an answer that the client cannot take, not a
         * message; whether it could take DISCONNECT is of no use any more
         */

        ngx_log_error(NGX_LOG_INFO, mc->connection->log, 0,
                      "packet of %uz bytes is larger than client allows",
                      len);

        (void) ngx_mqtt_client_close(mc, NGX_MQTT_PACKET_TOO_LARGE);
        return NULL;
    }

    out = mc->out_last;
    head = 0;

    if (mc->ws && mc->ws->frame == NULL) {
        out = NULL;
        head = NGX_MQTT_WS_MAX_OUT_HEAD;
    }

    if (out == NULL || out->msg || out->size - out->len < len) {
        out = ngx_mqtt_client_new_piece(mc, ngx_max(head + len,
                                                    NGX_MQTT_OUT_PIECE));
        if (out == NULL) {
            return NULL;
        }

        if (head) {
            out->len = (uint32_t) head;
            out->pos = (uint32_t) head;
            mc->ws->frame = out;
        }
    }

    p = out->data + out->len;

    out->len += (uint32_t) len;
    mc->out_size += len;

    ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_packets_out);

    ngx_mqtt_client_set_dirty(mc);

    return p;
}


u_char *
ngx_mqtt_client_raw(ngx_mqtt_client_t *mc, size_t len)
{
    ngx_mqtt_out_t  *out;

    out = ngx_mqtt_client_new_piece(mc, len);
    if (out == NULL) {
        return NULL;
    }

    out->len = (uint32_t) len;
    mc->out_size += len;

    ngx_mqtt_client_set_dirty(mc);

    return out->data;
}


static ngx_mqtt_out_t *
ngx_mqtt_client_new_piece(ngx_mqtt_client_t *mc, size_t size)
{
    ngx_mqtt_out_t  *out;

    out = ngx_mqtt_alloc(mc->worker, sizeof(ngx_mqtt_out_t) + size);

    if (out == NULL) {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return NULL;
    }

    out->msg = NULL;
    out->data = (u_char *) out + sizeof(ngx_mqtt_out_t);
    out->size = (uint32_t) size;
    out->len = 0;

    ngx_mqtt_client_add_piece(mc, out);

    return out;
}


ngx_int_t
ngx_mqtt_client_append(ngx_mqtt_client_t *mc, ngx_mqtt_msg_t *m)
{
    ngx_mqtt_out_t  *out;

    out = ngx_mqtt_alloc(mc->worker, sizeof(ngx_mqtt_out_t));

    if (out == NULL) {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return NGX_ERROR;
    }

    ngx_mqtt_msg_ref(m);

    out->msg = m;
    out->data = m->payload.data;
    out->size = 0;
    out->len = (uint32_t) m->payload.len;

    mc->out_size += m->payload.len;

    ngx_mqtt_client_add_piece(mc, out);

    return NGX_OK;
}


static void
ngx_mqtt_client_add_piece(ngx_mqtt_client_t *mc, ngx_mqtt_out_t *out)
{
    out->next = NULL;
    out->pos = 0;

    if (mc->out_last) {
        mc->out_last->next = out;

    } else {
        mc->out = out;
    }

    mc->out_last = out;
}


static void
ngx_mqtt_client_set_dirty(ngx_mqtt_client_t *mc)
{
    if (mc->dirty) {
        return;
    }

    mc->dirty = 1;

    ngx_queue_insert_tail(&mc->worker->dirty, &mc->dirty_queue);
    ngx_post_event(&mc->worker->flush_event, &ngx_posted_events);
}


void
ngx_mqtt_client_send_ack(ngx_mqtt_client_t *mc, ngx_uint_t type,
    uint16_t packet_id, ngx_uint_t code)
{
    ngx_mqtt_client_send_reason(mc, type, packet_id, code, NULL);
}


void
ngx_mqtt_client_flush_handler(ngx_event_t *ev)
{
    ngx_queue_t        *q;
    ngx_mqtt_client_t  *mc;
    ngx_mqtt_worker_t  *w;

    w = ngx_mqtt_event_worker(ev);

    ngx_mqtt_client_save_handler(w);

    while (!ngx_queue_empty(&w->dirty)) {
        q = ngx_queue_head(&w->dirty);
        mc = ngx_queue_data(q, ngx_mqtt_client_t, dirty_queue);

        ngx_queue_remove(q);
        mc->dirty = 0;

        if (mc->closing) {

            /* the close event flushes what is left */

            continue;
        }

        if (ngx_mqtt_client_flush(mc) == NGX_ERROR) {
            ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        }
    }
}


/* NGX_OK: everything is sent; NGX_AGAIN: the socket is full; NGX_ERROR */

ngx_int_t
ngx_mqtt_client_flush(ngx_mqtt_client_t *mc)
{
    size_t             size;
    u_char            *data;
    ssize_t            n;
    ngx_uint_t         full, progress;
    ngx_connection_t  *c;

    c = mc->connection;

    if (mc->ws) {
        ngx_mqtt_client_ws_seal(mc);
    }

    full = ngx_mqtt_client_out_full(mc);
    progress = 0;

    while (mc->out && c->write->ready) {
        size = ngx_mqtt_client_gather(mc, &data);

        n = c->send(c, data, size);

        if (n == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (n == NGX_AGAIN) {
            break;
        }

        ngx_mqtt_client_sent(mc, n);
        progress = 1;
    }

    if (full && !ngx_mqtt_client_out_full(mc)) {
        ngx_mqtt_client_resume(mc);

        if (mc->subscriber.stalled) {
            ngx_mqtt_client_share_ready(mc);
        }
    }

    if (mc->out == NULL) {

        if (c->write->timer_set) {
            ngx_del_timer(c->write);
        }

        ngx_mqtt_client_made_room(mc);

        return NGX_OK;
    }

    /* from the last progress on */

    if (progress || !c->write->timer_set) {
        ngx_add_timer(c->write, mc->conf->send_timeout);
    }

    if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    return NGX_AGAIN;
}


/* the bytes to send next: one piece where it lies, or several gathered */

static size_t
ngx_mqtt_client_gather(ngx_mqtt_client_t *mc, u_char **data)
{
    u_char          *p, *last;
    size_t           n;
    ngx_mqtt_out_t  *out;

    out = mc->out;

#if (NGX_SSL)
    if (mc->connection->ssl == NULL)
#endif
    {
        if (out->next == NULL
            || out->len - out->pos >= NGX_MQTT_WRITE_BUFFER)
        {
            *data = out->data + out->pos;
            return out->len - out->pos;
        }
    }

    p = mc->worker->write_buffer;
    last = p + NGX_MQTT_WRITE_BUFFER;
    *data = p;

    while (out && p < last) {
        n = ngx_min((size_t) (last - p), (size_t) (out->len - out->pos));

        p = ngx_cpymem(p, out->data + out->pos, n);
        out = out->next;
    }

    return p - *data;
}


static void
ngx_mqtt_client_sent(ngx_mqtt_client_t *mc, size_t n)
{
    size_t           left;
    ngx_mqtt_out_t  *out;

    mc->out_size -= n;
    ngx_mqtt_count_add(mc->worker, NGX_MQTT_STAT_bytes_out, n);

    while (n) {
        out = mc->out;
        left = out->len - out->pos;

        if (n < left) {
            out->pos += (uint32_t) n;
            return;
        }

        n -= left;
        ngx_mqtt_client_free_piece(mc);
    }
}


static void
ngx_mqtt_client_free_piece(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_out_t  *out;

    out = mc->out;
    mc->out = out->next;

    if (mc->out == NULL) {
        mc->out_last = NULL;
    }

    if (out->msg) {
        ngx_mqtt_msg_unref(out->msg);
    }

    ngx_mqtt_free(mc->worker, out, sizeof(ngx_mqtt_out_t) + out->size);
}


void
ngx_mqtt_client_discard_out(ngx_mqtt_client_t *mc)
{
    while (mc->out) {
        ngx_mqtt_client_free_piece(mc);
    }

    mc->out_size = 0;

    if (mc->ws) {
        mc->ws->frame = NULL;
    }
}
