
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * P2P messages to a client: at once, or through the inbox of its session.
 *
 * (1) A session that lives on gets its messages of QoS 1 and 2 from its inbox
 *     (ngx_mqtt_log_p2p.c), which is one more log that it reads, without a
 *     subscription: number 0 in its state, and a reader without "sub".
 * (2) The reader is made when there is something to read.  What a push tells
 *     before CONNACK, or before the claim has returned, is not lost: the
 *     session looks into its inbox then.
 *
 * Called from: gateway/ (P2P), ngx_mqtt_client_session.c,
 * ngx_mqtt_client_pull.c.
 */


#include "ngx_mqtt_client_session.h"


static ngx_int_t ngx_mqtt_inbox_push(ngx_mqtt_client_t *mc, ngx_mqtt_msg_t *m,
    uint64_t number);
static ngx_mqtt_reader_t *ngx_mqtt_inbox_reader(ngx_mqtt_client_t *mc);


ngx_int_t
ngx_mqtt_client_p2p(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_mqtt_msg_t *m, uint64_t *number)
{
    ngx_mqtt_copy_t        copy;
    ngx_mqtt_client_t     *mc;
    ngx_mqtt_hash_node_t  *node;

    node = ngx_mqtt_hash_find(&w->clients, client_id);

    if (node == NULL) {
        node = (number && *number)
               ? ngx_mqtt_hash_find(&w->claiming, client_id) : NULL;

        if (node) {
            mc = ngx_queue_data(node, ngx_mqtt_client_t, node);
            mc->pushed = 1;
        }

        return NGX_DECLINED;
    }

    mc = ngx_queue_data(node, ngx_mqtt_client_t, node);

    if (number && *number) {
        return ngx_mqtt_inbox_push(mc, m, *number);
    }

    if (number == NULL && m->qos && mc->session
        && (mc->session_expiry || mc->session->inbox))
    {
        return NGX_AGAIN;
    }

    if (mc->state != NGX_MQTT_CLIENT_CONNECTED) {

        /* a session that is being resumed: CONNACK comes first */

        return NGX_DECLINED;
    }

    ngx_memzero(&copy, sizeof(ngx_mqtt_copy_t));
    copy.qos = m->qos;

    ngx_mqtt_client_deliver(&mc->subscriber, m, &copy);

    /* a client that is too slow is closed by that */

    if (mc->closing) {
        return NGX_DECLINED;
    }

    ngx_mqtt_count(w, NGX_MQTT_STAT_p2p_sent);

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_inbox_push(ngx_mqtt_client_t *mc, ngx_mqtt_msg_t *m, uint64_t number)
{
    ngx_mqtt_reader_t  *reader;

    if (mc->session == NULL) {

        /* the session that it was for has ended */

        return NGX_DECLINED;
    }

    reader = ngx_mqtt_inbox_reader(mc);

    if (reader == NULL) {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return NGX_DECLINED;
    }

    ngx_mqtt_client_inbox_deliver(reader, m, number);

    return NGX_OK;
}


void
ngx_mqtt_client_inbox_deliver(ngx_mqtt_reader_t *reader, ngx_mqtt_msg_t *m,
    uint64_t number)
{
    uint64_t             read;
    ngx_mqtt_copy_t      copy;
    ngx_mqtt_client_t   *mc;
    ngx_mqtt_log_ref_t   ref;

    mc = reader->client;
    read = reader->read;

    ref.reader = reader;
    ref.number = number;

    ngx_memzero(&copy, sizeof(ngx_mqtt_copy_t));

    copy.qos = m->qos;
    copy.refs = &ref;
    copy.nrefs = 1;
    copy.readers = 1;

    ngx_mqtt_client_deliver(&mc->subscriber, m, &copy);

    if (!mc->closing && (mc->session->replaying || reader->read != read)) {
        ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_p2p_sent);
    }
}


ngx_int_t
ngx_mqtt_client_inbox_restore(ngx_mqtt_client_t *mc, ngx_str_t *value)
{
    u_char             *p, *last;
    off_t               cursor, end;
    ngx_mqtt_reader_t  *reader;

    last = value->data + value->len;
    p = ngx_strlchr(value->data, last, ':');

    cursor = p ? ngx_atoof(value->data, p - value->data) : NGX_ERROR;
    end = p ? ngx_atoof(p + 1, last - p - 1) : NGX_ERROR;

    if (cursor == NGX_ERROR || end == NGX_ERROR) {
        ngx_log_error(NGX_LOG_ERR, mc->connection->log, 0,
                      "inbox of the session was not understood");
        return NGX_OK;
    }

    reader = ngx_mqtt_inbox_reader(mc);
    if (reader == NULL) {
        return NGX_ERROR;
    }

    reader->read = (uint64_t) cursor;
    reader->cursor = (uint64_t) cursor;
    reader->end = (uint64_t) end;

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_client_inbox_start(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_reader_t  *reader;

    reader = mc->session->inbox;

    if (reader && reader->done <= reader->end) {

        /* the state is written more often */

        reader->read = ngx_max(reader->read, reader->done);
    }

    if (!mc->pushed) {
        return NGX_OK;
    }

    mc->pushed = 0;

    reader = ngx_mqtt_inbox_reader(mc);
    if (reader == NULL) {
        return NGX_ERROR;
    }

    reader->end = ngx_max(reader->end, reader->read + 1);

    return NGX_OK;
}


/*
 * A new one has read nothing: numbers are not known before there is a page,
 * which begins with the first message that is not acknowledged.
 */

static ngx_mqtt_reader_t *
ngx_mqtt_inbox_reader(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_reader_t          *reader;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    if (ss->inbox) {
        return ss->inbox;
    }

    reader = ngx_mqtt_calloc(mc->worker, sizeof(ngx_mqtt_reader_t));
    if (reader == NULL) {
        return NULL;
    }

    reader->client = mc;
    reader->number = NGX_MQTT_SESSION_INBOX;
    reader->attached = 1;

    ngx_queue_insert_tail(&ss->readers, &reader->queue);
    ss->inbox = reader;

    return reader;
}


void
ngx_mqtt_client_inbox_page(ngx_mqtt_reader_t *reader,
    ngx_mqtt_log_page_t *page)
{
    if (page->last < (int64_t) reader->read) {

        /* the session has ended, or Redis has lost it: what comes is newer */

        page->n = 0;
        reader->end = reader->read;
        return;
    }

    reader->end = ngx_max((uint64_t) page->last, reader->pushed);

    if (page->first == reader->read + 1) {
        return;
    }

    /*
     * What is not there was acknowledged on another connection, or dropped,
     * and was counted then.
     */

    reader->read = page->first - 1;
    reader->cursor = ngx_max(reader->cursor, reader->read);

    if (ngx_mqtt_client_session_prune(reader->client) != NGX_OK) {
        ngx_mqtt_client_abort(reader->client, NGX_MQTT_UNSPECIFIED_ERROR);
    }
}


ngx_uint_t
ngx_mqtt_client_inbox_is_long(ngx_mqtt_client_t *mc)
{
    ngx_uint_t          max;
    ngx_mqtt_reader_t  *reader;

    reader = mc->session->inbox;

    if (reader == NULL) {
        return 0;
    }

    max = (ngx_uint_t) mc->worker->gateway->offline_messages / 2;

    return reader->read - reader->cursor
           > ngx_min(max, NGX_MQTT_SESSION_INBOX_DONE);
}
