
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
 *     one that falls behind with QoS 1 and 2 is closed.
 *
 * Called from: route/ (deliver), the dispatch of packets (acked).
 */


#include "ngx_mqtt_client.h"


static void ngx_mqtt_deliver_qos0(ngx_mqtt_client_t *mc, ngx_mqtt_msg_t *m,
    ngx_uint_t retain, uint32_t *ids, ngx_uint_t nids);
static void ngx_mqtt_deliver_acked(ngx_mqtt_client_t *mc, ngx_mqtt_msg_t *m,
    ngx_uint_t qos, ngx_uint_t retain, uint32_t *ids, ngx_uint_t nids);
static ngx_int_t ngx_mqtt_window_room(ngx_mqtt_client_t *mc);
static ngx_int_t ngx_mqtt_window_send(ngx_mqtt_client_t *mc,
    ngx_mqtt_outbound_t *ob);
static uint16_t ngx_mqtt_window_next_id(ngx_mqtt_window_t *window);
static void ngx_mqtt_window_fill(ngx_mqtt_client_t *mc);
static ngx_mqtt_outbound_t *ngx_mqtt_window_find(ngx_mqtt_window_t *window,
    uint16_t packet_id);
static void ngx_mqtt_outbound_free(ngx_mqtt_client_t *mc,
    ngx_mqtt_outbound_t *ob);


void
ngx_mqtt_client_deliver(ngx_mqtt_subscriber_t *subscriber, ngx_mqtt_msg_t *m,
    ngx_uint_t qos, ngx_uint_t retain, uint32_t *ids, ngx_uint_t nids)
{
    ngx_mqtt_client_t  *mc;

    mc = (ngx_mqtt_client_t *) ((u_char *) subscriber
                                - offsetof(ngx_mqtt_client_t, subscriber));

    if (mc->closing) {
        return;
    }

    if (m->retain && ngx_mqtt_client_has_retained(mc)) {
        ngx_mqtt_client_retained_live(mc, m);
    }

    if (qos == 0) {
        ngx_mqtt_deliver_qos0(mc, m, retain, ids, nids);

    } else {
        ngx_mqtt_deliver_acked(mc, m, qos, retain, ids, nids);
    }
}


ngx_int_t
ngx_mqtt_client_p2p(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_mqtt_msg_t *m)
{
    uint32_t               ids[1];
    ngx_mqtt_client_t     *mc;
    ngx_mqtt_hash_node_t  *node;

    node = ngx_mqtt_hash_find(&w->clients, client_id);

    if (node == NULL) {
        return NGX_DECLINED;
    }

    mc = ngx_queue_data(node, ngx_mqtt_client_t, node);

    ngx_mqtt_client_deliver(&mc->subscriber, m, m->qos, 0, ids, 0);

    /* a client that is too slow is closed by that */

    return mc->closing ? NGX_DECLINED : NGX_OK;
}


static void
ngx_mqtt_deliver_qos0(ngx_mqtt_client_t *mc, ngx_mqtt_msg_t *m,
    ngx_uint_t retain, uint32_t *ids, ngx_uint_t nids)
{
    if (ngx_mqtt_client_out_full(mc)
        || ngx_mqtt_client_send_publish(mc, m,
                                        ngx_mqtt_publish_flags(0, 0, retain),
                                        0, ids, nids)
           == NGX_DECLINED)
    {
        ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_messages_out_dropped);
    }
}


static void
ngx_mqtt_deliver_acked(ngx_mqtt_client_t *mc, ngx_mqtt_msg_t *m,
    ngx_uint_t qos, ngx_uint_t retain, uint32_t *ids, ngx_uint_t nids)
{
    ngx_mqtt_window_t    *window;
    ngx_mqtt_outbound_t  *ob;

    if (ngx_mqtt_client_get_extra(mc) == NULL) {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return;
    }

    window = &mc->extra->window;

    if (window->nwaiting >= (ngx_uint_t) mc->conf->max_queued
        || window->waiting_size >= mc->conf->max_queued_size)
    {
        ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_slow_clients);

        ngx_log_error(NGX_LOG_INFO, mc->connection->log, 0,
                      "client is too slow, %ui messages wait",
                      window->nwaiting);

        ngx_mqtt_client_close(mc, NGX_MQTT_QUOTA_EXCEEDED);
        return;
    }

    ob = ngx_mqtt_alloc(mc->worker,
                        sizeof(ngx_mqtt_outbound_t) + nids * sizeof(uint32_t));
    if (ob == NULL) {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return;
    }

    ngx_mqtt_msg_ref(m);

    ob->msg = m;
    ob->packet_id = 0;
    ob->qos = (uint8_t) qos;
    ob->retain = (uint8_t) retain;
    ob->nids = (uint32_t) nids;
    ngx_memcpy(ob->ids, ids, nids * sizeof(uint32_t));

    if (window->nwaiting == 0 && ngx_mqtt_window_room(mc)) {
        (void) ngx_mqtt_window_send(mc, ob);
        return;
    }

    ngx_queue_insert_tail(&window->waiting, &ob->queue);
    window->nwaiting++;
    window->waiting_size += m->payload.len;

    ngx_mqtt_client_behind(mc);
}


ngx_uint_t
ngx_mqtt_client_has_room(ngx_mqtt_client_t *mc, ngx_uint_t qos)
{
    if (mc->out && mc->out_size >= mc->conf->output_buffer / 2) {
        return 0;
    }

    return qos == 0
           || (mc->extra->window.nwaiting == 0 && ngx_mqtt_window_room(mc));
}


static ngx_int_t
ngx_mqtt_window_room(ngx_mqtt_client_t *mc)
{
    ngx_uint_t  max;

    max = ngx_min((ngx_uint_t) mc->conf->send_window,
                  (ngx_uint_t) mc->receive_maximum);

    return mc->extra->window.nsent < max;
}


/* takes the message: it is sent, dropped, or the client is closing */

static ngx_int_t
ngx_mqtt_window_send(ngx_mqtt_client_t *mc, ngx_mqtt_outbound_t *ob)
{
    ngx_int_t           rc;
    ngx_mqtt_window_t  *window;

    window = &mc->extra->window;

    ob->packet_id = ngx_mqtt_window_next_id(window);

    rc = ngx_mqtt_client_send_publish(mc, ob->msg,
                                      ngx_mqtt_publish_flags(0, ob->qos,
                                                             ob->retain),
                                      ob->packet_id, ob->ids, ob->nids);

    if (rc != NGX_OK) {

        if (rc == NGX_DECLINED) {
            ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_messages_out_dropped);
        }

        ngx_mqtt_outbound_free(mc, ob);
        return rc;
    }

    ngx_queue_insert_tail(&window->sent, &ob->queue);
    window->nsent++;

    return NGX_OK;
}


/* 2.2.1: not zero, not in use; the window is smaller than the ids are many */

static uint16_t
ngx_mqtt_window_next_id(ngx_mqtt_window_t *window)
{
    do {
        window->last_id++;

        if (window->last_id == 0) {
            window->last_id = 1;
        }

    } while (ngx_mqtt_window_find(window, window->last_id));

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


ngx_int_t
ngx_mqtt_client_acked(ngx_mqtt_client_t *mc, ngx_uint_t type,
    uint16_t packet_id, ngx_uint_t code)
{
    ngx_mqtt_outbound_t  *ob;

    ob = mc->extra ? ngx_mqtt_window_find(&mc->extra->window, packet_id)
                   : NULL;

    if (type == NGX_MQTT_PUBREC) {

        if (ob == NULL || ob->qos != 2) {

            /* 4.3.3: whoever asks to be released is, also for nothing */

            if (code < NGX_MQTT_UNSPECIFIED_ERROR) {
                ngx_mqtt_client_send_ack(mc, NGX_MQTT_PUBREL, packet_id,
                                         NGX_MQTT_PACKET_ID_NOT_FOUND);
            }

            return NGX_OK;
        }

        if (code < NGX_MQTT_UNSPECIFIED_ERROR) {

            if (ob->msg) {
                ngx_mqtt_msg_unref(ob->msg);
                ob->msg = NULL;
            }

            ngx_mqtt_client_send_ack(mc, NGX_MQTT_PUBREL, packet_id,
                                     NGX_MQTT_SUCCESS);
            return NGX_OK;
        }

    } else if (ob == NULL || ob->qos != (type == NGX_MQTT_PUBACK ? 1 : 2)
               || (type == NGX_MQTT_PUBCOMP && ob->msg))
    {
        /* a second one, or one for a message of another connection */

        return NGX_OK;
    }

    ngx_queue_remove(&ob->queue);
    mc->extra->window.nsent--;

    ngx_mqtt_outbound_free(mc, ob);

    ngx_mqtt_window_fill(mc);

    if (ngx_mqtt_client_has_retained(mc)) {
        ngx_mqtt_client_retained_run(mc);
    }

    return mc->closing ? NGX_ERROR : NGX_OK;
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


static void
ngx_mqtt_outbound_free(ngx_mqtt_client_t *mc, ngx_mqtt_outbound_t *ob)
{
    if (ob->msg) {
        ngx_mqtt_msg_unref(ob->msg);
    }

    ngx_mqtt_free(mc->worker, ob,
                  sizeof(ngx_mqtt_outbound_t) + ob->nids * sizeof(uint32_t));
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
