
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Messages to a client: QoS 0 at once or not at all, QoS 1 and 2 through the
 * window (4.3, 4.9).
 *
 * (1) Messages are sent in the order in which they were delivered: while one
 *     waits, later ones of QoS 1 and 2 wait behind it.
 * (2) At most min(client's Receive Maximum, mqtt_send_window) are
 *     unacknowledged; at most mqtt_max_queued messages and
 *     mqtt_max_queued_size bytes wait.
 * (3) A packet id is in use from PUBLISH to PUBACK, or to PUBCOMP.
 * (4) A client that does not read loses QoS 0 messages, which are counted;
 *     one that falls behind with QoS 1 and 2 is closed, unless they are in
 *     the logs of its session: those are read when there is room.
 *
 * Called from: route/ (deliver), the dispatch of packets (acked).
 */


#include "ngx_mqtt_client_session.h"


static void ngx_mqtt_deliver_acked(ngx_mqtt_client_t *mc, ngx_mqtt_msg_t *m,
    ngx_mqtt_copy_t *copy);
static ngx_int_t ngx_mqtt_window_send(ngx_mqtt_client_t *mc,
    ngx_mqtt_outbound_t *ob);
static ngx_int_t ngx_mqtt_window_transmit(ngx_mqtt_client_t *mc,
    ngx_mqtt_outbound_t *ob);
static uint16_t ngx_mqtt_window_next_id(ngx_mqtt_client_t *mc);
static void ngx_mqtt_window_fill(ngx_mqtt_client_t *mc);
static ngx_uint_t ngx_mqtt_window_expects(ngx_mqtt_outbound_t *ob,
    ngx_uint_t type);
static ngx_int_t ngx_mqtt_window_received(ngx_mqtt_client_t *mc,
    ngx_mqtt_outbound_t *ob, uint16_t packet_id, ngx_uint_t code);
static void ngx_mqtt_window_remove(ngx_mqtt_client_t *mc,
    ngx_mqtt_outbound_t *ob);
static ngx_mqtt_outbound_t *ngx_mqtt_window_find(ngx_mqtt_window_t *window,
    uint16_t packet_id);


void
ngx_mqtt_client_deliver(ngx_mqtt_subscriber_t *subscriber, ngx_mqtt_msg_t *m,
    ngx_mqtt_copy_t *copy)
{
    ngx_mqtt_client_t  *mc;

    mc = ngx_mqtt_subscriber_client(subscriber);

    if (mc->closing) {
        return;
    }

    if (copy->nrefs) {

        if (ngx_mqtt_client_session_take(mc, m, copy) != NGX_OK) {
            return;
        }

    } else if (mc->state != NGX_MQTT_CLIENT_CONNECTED) {

        /* a session that is being resumed: CONNACK comes first */

        return;
    }

    if (m->retain && ngx_mqtt_client_has_retained(mc)) {
        ngx_mqtt_client_retained_live(mc, m);
    }

    if (copy->qos == 0) {
        ngx_mqtt_deliver_qos0(mc, m, copy);

    } else {
        ngx_mqtt_deliver_acked(mc, m, copy);
    }
}


void
ngx_mqtt_deliver_qos0(ngx_mqtt_client_t *mc, ngx_mqtt_msg_t *m,
    ngx_mqtt_copy_t *copy)
{
    if (ngx_mqtt_client_out_full(mc)
        || ngx_mqtt_client_send_publish(mc, m,
                                        ngx_mqtt_publish_flags(0, 0,
                                                               copy->retain),
                                        0, copy->ids, copy->nids)
           == NGX_DECLINED)
    {
        ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_messages_out_dropped);
    }
}


static void
ngx_mqtt_deliver_acked(ngx_mqtt_client_t *mc, ngx_mqtt_msg_t *m,
    ngx_mqtt_copy_t *copy)
{
    ngx_mqtt_window_t    *window;
    ngx_mqtt_outbound_t  *ob;

    if (ngx_mqtt_client_get_extra(mc) == NULL) {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return;
    }

    window = &mc->extra->window;

    /* what comes from a log is taken from there as there is room */

    if (copy->nrefs == 0
        && (window->nwaiting >= (ngx_uint_t) mc->conf->max_queued
            || window->waiting_size >= mc->conf->max_queued_size))
    {
        ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_slow_clients);

        ngx_log_error(NGX_LOG_INFO, mc->connection->log, 0,
                      "client is too slow, %ui messages wait",
                      window->nwaiting);

        ngx_mqtt_client_close(mc, NGX_MQTT_QUOTA_EXCEEDED);
        return;
    }

    ob = ngx_mqtt_outbound_create(mc, m, copy, 0);

    if (ob == NULL) {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return;
    }

    if (copy->nrefs) {
        ngx_mqtt_client_session_resumed(mc, ob);
    }

    ngx_mqtt_window_push(mc, ob);
}


/* takes the message */

void
ngx_mqtt_window_push(ngx_mqtt_client_t *mc, ngx_mqtt_outbound_t *ob)
{
    ngx_mqtt_window_t  *window;

    window = &mc->extra->window;

    if (window->nwaiting == 0 && ngx_mqtt_window_room(mc)) {
        (void) ngx_mqtt_window_send(mc, ob);
        return;
    }

    ngx_queue_insert_tail(&window->waiting, &ob->queue);
    window->nwaiting++;
    window->waiting_size += ob->msg->payload.len;

    ngx_mqtt_client_behind(mc);
}


ngx_mqtt_outbound_t *
ngx_mqtt_outbound_create(ngx_mqtt_client_t *mc, ngx_mqtt_msg_t *m,
    ngx_mqtt_copy_t *copy, uint16_t packet_id)
{
    ngx_uint_t            size, several;
    ngx_mqtt_outbound_t  *ob;

    /* other logs of the session bring it later */

    several = (copy->nrefs && copy->uid && copy->readers > copy->nrefs);
    size = several ? copy->readers : copy->nrefs;

    ob = ngx_mqtt_alloc(mc->worker,
                        ngx_mqtt_outbound_len(size, copy->nids, several));
    if (ob == NULL) {
        return NULL;
    }

    if (m) {
        ngx_mqtt_msg_ref(m);
    }

    ob->msg = m;
    ob->save = 0;
    ob->nids = (uint32_t) copy->nids;
    ob->nrefs = (uint16_t) copy->nrefs;
    ob->size = (uint16_t) size;
    ob->packet_id = packet_id;
    ob->qos = (uint8_t) copy->qos;
    ob->retain = (uint8_t) copy->retain;
    ob->dup = 0;
    ob->several = (uint8_t) several;
    ob->sd = NULL;

    if (copy->nrefs) {
        ngx_memcpy(ob->refs, copy->refs,
                   copy->nrefs * sizeof(ngx_mqtt_log_ref_t));
    }

    if (copy->nids) {
        ngx_memcpy(ngx_mqtt_outbound_ids(ob), copy->ids,
                   copy->nids * sizeof(uint32_t));
    }

    if (several) {
        ngx_memcpy(ngx_mqtt_outbound_uid(ob), copy->uid, NGX_MQTT_LOG_UID);
    }

    return ob;
}


ngx_uint_t
ngx_mqtt_client_has_room(ngx_mqtt_client_t *mc, ngx_uint_t qos)
{
    if (mc->subscribing
        || (mc->out && mc->out_size >= mc->conf->output_buffer / 2))
    {
        return 0;
    }

    return qos == 0 || mc->extra == NULL
           || (mc->extra->window.nwaiting == 0 && ngx_mqtt_window_room(mc));
}


ngx_uint_t
ngx_mqtt_window_room(ngx_mqtt_client_t *mc)
{
    ngx_uint_t  max, used;

    max = ngx_min((ngx_uint_t) mc->conf->send_window,
                  (ngx_uint_t) mc->receive_maximum);
    used = mc->extra ? mc->extra->window.nsent : 0;

    return (used < max) ? max - used : 0;
}


/*
 * Takes the message: it is sent, dropped, or the client is closing.  What a
 * persistent session gets with QoS 2 is saved with its packet id before it is
 * sent, and what follows waits behind it.  So is a retained message, which is
 * in no log: only the saved state has it for the next owner.
 */

static ngx_int_t
ngx_mqtt_window_send(ngx_mqtt_client_t *mc, ngx_mqtt_outbound_t *ob)
{
    ngx_mqtt_window_t  *window;

    window = &mc->extra->window;

    if (ob->packet_id == 0) {
        ob->packet_id = ngx_mqtt_window_next_id(mc);
    }

    ngx_queue_insert_tail(&window->sent, &ob->queue);
    window->nsent++;

    if (mc->session
        && (window->nheld
            || (!ob->dup
                && (ob->qos == 2 || (ob->retain && ob->nrefs == 0)))))
    {

        ob->save = ngx_mqtt_client_save(mc);
        window->nheld++;

        return NGX_OK;
    }

    return ngx_mqtt_window_transmit(mc, ob);
}


static ngx_int_t
ngx_mqtt_window_transmit(ngx_mqtt_client_t *mc, ngx_mqtt_outbound_t *ob)
{
    ngx_int_t  rc;

    rc = ngx_mqtt_client_send_publish(mc, ob->msg,
                                      ngx_mqtt_publish_flags(ob->dup, ob->qos,
                                                             ob->retain),
                                      ob->packet_id,
                                      ngx_mqtt_outbound_ids(ob), ob->nids);

    if (rc == NGX_DECLINED) {
        ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_messages_out_dropped);
        ngx_mqtt_window_remove(mc, ob);

    } else if (rc == NGX_OK && ob->qos == 2) {
        ngx_mqtt_client_share_done(ob);
    }

    return rc;
}


/* 2.2.1: not zero, not in use; the window is smaller than the ids are many */

static uint16_t
ngx_mqtt_window_next_id(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_window_t  *window;

    window = &mc->extra->window;

    do {
        window->last_id++;

        if (window->last_id == 0) {
            window->last_id = 1;
        }

    } while (ngx_mqtt_window_find(window, window->last_id)
             || (mc->session
                 && ngx_mqtt_client_session_has_id(mc, window->last_id)));

    return window->last_id;
}


static void
ngx_mqtt_window_fill(ngx_mqtt_client_t *mc)
{
    ngx_queue_t          *q;
    ngx_mqtt_window_t    *window;
    ngx_mqtt_outbound_t  *ob;

    window = &mc->extra->window;

    while (!ngx_queue_empty(&window->waiting) && ngx_mqtt_window_room(mc)) {
        q = ngx_queue_head(&window->waiting);
        ob = ngx_queue_data(q, ngx_mqtt_outbound_t, queue);

        ngx_queue_remove(q);
        window->nwaiting--;
        window->waiting_size -= ob->msg->payload.len;

        if (ngx_mqtt_window_send(mc, ob) == NGX_ERROR) {
            return;
        }
    }

    if (window->behind || window->given_up) {
        ngx_mqtt_client_behind(mc);
    }
}


void
ngx_mqtt_window_release(ngx_mqtt_client_t *mc)
{
    ngx_queue_t          *q, *next;
    ngx_mqtt_window_t    *window;
    ngx_mqtt_outbound_t  *ob;

    window = &mc->extra->window;

    for (q = ngx_queue_head(&window->sent);
         q != ngx_queue_sentinel(&window->sent) && window->nheld;
         q = next)
    {
        next = ngx_queue_next(q);
        ob = ngx_queue_data(q, ngx_mqtt_outbound_t, queue);

        if (ob->save == 0) {
            continue;
        }

        if (ob->save > mc->session->saved) {
            break;
        }

        ob->save = 0;
        window->nheld--;

        if (ngx_mqtt_window_transmit(mc, ob) == NGX_ERROR) {
            return;
        }
    }
}


void
ngx_mqtt_window_restore(ngx_mqtt_client_t *mc, ngx_mqtt_outbound_t *ob)
{
    ngx_mqtt_window_t  *window;

    window = &mc->extra->window;

    /* Receive Maximum may be smaller than it was: the others wait, 4.9 */

    if (ob->packet_id && (ob->msg == NULL || ngx_mqtt_window_room(mc))) {
        ngx_queue_insert_tail(&window->sent, &ob->queue);
        window->nsent++;
        return;
    }

    ngx_queue_insert_tail(&window->waiting, &ob->queue);
    window->nwaiting++;
    window->waiting_size += ob->msg->payload.len;
}


void
ngx_mqtt_window_resend(ngx_mqtt_client_t *mc)
{
    ngx_queue_t          *q, *next;
    ngx_mqtt_window_t    *window;
    ngx_mqtt_outbound_t  *ob;

    window = &mc->extra->window;

    for (q = ngx_queue_head(&window->sent);
         q != ngx_queue_sentinel(&window->sent) && !mc->closing;
         q = next)
    {
        next = ngx_queue_next(q);
        ob = ngx_queue_data(q, ngx_mqtt_outbound_t, queue);

        if (ob->msg == NULL) {
            ngx_mqtt_client_send_ack(mc, NGX_MQTT_PUBREL, ob->packet_id,
                                     NGX_MQTT_SUCCESS);

        } else {
            (void) ngx_mqtt_window_transmit(mc, ob);
        }
    }
}


/* for what waits, for what is in logs, for what was retained */

void
ngx_mqtt_client_made_room(ngx_mqtt_client_t *mc)
{
    if (mc->extra) {
        ngx_mqtt_window_fill(mc);
    }

    if (mc->closing) {
        return;
    }

    if (mc->session) {
        ngx_mqtt_client_session_pull(mc);
    }

    if (mc->subscriber.stalled) {
        ngx_mqtt_client_share_ready(mc);
    }

    if (ngx_mqtt_client_has_retained(mc)) {
        ngx_mqtt_client_retained_run(mc);
    }
}


ngx_int_t
ngx_mqtt_client_acked(ngx_mqtt_client_t *mc, ngx_uint_t type,
    uint16_t packet_id, ngx_uint_t code)
{
    ngx_mqtt_outbound_t  *ob;

    ob = mc->extra ? ngx_mqtt_window_find(&mc->extra->window, packet_id)
                   : NULL;

    if (ob && ob->save == 0 && !ngx_mqtt_window_expects(ob, type)) {

        /* [MQTT-4.3.2-4], [MQTT-4.3.3-8]; it would be in flight for ever */

        return ngx_mqtt_client_error(mc, NGX_MQTT_PROTOCOL_ERROR,
                                     "client sent %s for a message of QoS %ui",
                                     ngx_mqtt_packet_name(type),
                                     (ngx_uint_t) ob->qos);
    }

    if (type == NGX_MQTT_PUBREC) {

        if (ob == NULL || ob->qos != 2 || code < NGX_MQTT_UNSPECIFIED_ERROR) {
            return ngx_mqtt_window_received(mc, ob, packet_id, code);
        }

    } else if (ob == NULL || ob->save) {

        /* a second one, or one for a message of another connection */

        return NGX_OK;
    }

    ngx_mqtt_window_remove(mc, ob);
    ngx_mqtt_client_made_room(mc);

    return mc->closing ? NGX_ERROR : NGX_OK;
}


/* 4.3: PUBREC may come again, PUBCOMP only once the message was received */

static ngx_uint_t
ngx_mqtt_window_expects(ngx_mqtt_outbound_t *ob, ngx_uint_t type)
{
    if (type == NGX_MQTT_PUBACK) {
        return ob->qos == 1;
    }

    return ob->qos == 2 && (type == NGX_MQTT_PUBREC || ob->msg == NULL);
}


/* 4.3.3: PUBREC with success */

static ngx_int_t
ngx_mqtt_window_received(ngx_mqtt_client_t *mc, ngx_mqtt_outbound_t *ob,
    uint16_t packet_id, ngx_uint_t code)
{
    if (ob == NULL || ob->qos != 2) {

        /* whoever asks to be released is, also for nothing */

        if (code < NGX_MQTT_UNSPECIFIED_ERROR) {
            ngx_mqtt_client_send_ack(mc, NGX_MQTT_PUBREL, packet_id,
                                     NGX_MQTT_PACKET_ID_NOT_FOUND);
        }

        return NGX_OK;
    }

    if (ob->msg && ob->save == 0) {
        ngx_mqtt_client_session_settled(mc, ob);

        ngx_mqtt_msg_unref(ob->msg);
        ob->msg = NULL;
    }

    return ngx_mqtt_client_save_then(mc, NGX_MQTT_PUBREL, packet_id, NULL,
                                     NGX_MQTT_SUCCESS);
}


/* it is done with: acknowledged, or nothing to be sent */

static void
ngx_mqtt_window_remove(ngx_mqtt_client_t *mc, ngx_mqtt_outbound_t *ob)
{
    ngx_mqtt_client_session_settled(mc, ob);

    ngx_queue_remove(&ob->queue);
    mc->extra->window.nsent--;

    ngx_mqtt_outbound_free(mc, ob);
}


/* acknowledgements come in order, so the first one is mostly it */

static ngx_mqtt_outbound_t *
ngx_mqtt_window_find(ngx_mqtt_window_t *window, uint16_t packet_id)
{
    ngx_queue_t          *q;
    ngx_mqtt_outbound_t  *ob;

    for (q = ngx_queue_head(&window->sent);
         q != ngx_queue_sentinel(&window->sent);
         q = ngx_queue_next(q))
    {
        ob = ngx_queue_data(q, ngx_mqtt_outbound_t, queue);

        if (ob->packet_id == packet_id) {
            return ob;
        }
    }

    return NULL;
}


void
ngx_mqtt_outbound_free(ngx_mqtt_client_t *mc, ngx_mqtt_outbound_t *ob)
{
    if (ob->msg) {
        ngx_mqtt_msg_unref(ob->msg);
    }

    ngx_mqtt_client_share_done(ob);

    ngx_mqtt_free(mc->worker, ob,
                  ngx_mqtt_outbound_len(ob->size, ob->nids, ob->several));
}


void
ngx_mqtt_client_discard_window(ngx_mqtt_client_t *mc)
{
    ngx_uint_t           i;
    ngx_queue_t         *q, *queues[2];
    ngx_mqtt_window_t   *window;

    window = &mc->extra->window;

    ngx_mqtt_client_behind_end(mc);

    queues[0] = &window->sent;
    queues[1] = &window->waiting;

    for (i = 0; i < 2; i++) {

        while (!ngx_queue_empty(queues[i])) {
            q = ngx_queue_head(queues[i]);
            ngx_queue_remove(q);

            ngx_mqtt_outbound_free(mc, ngx_queue_data(q, ngx_mqtt_outbound_t,
                                                      queue));
        }
    }
}
