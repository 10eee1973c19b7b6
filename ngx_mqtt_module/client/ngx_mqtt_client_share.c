
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * A client as a member of shared subscriptions, 4.8.2.
 *
 * (1) A message comes once for each shared subscription that chose the client,
 *     beside the one copy that its other subscriptions get.
 * (2) It never makes the client slow: whoever chooses asks for room before.
 * (3) A QoS 1 message, and one of QoS 2 that was not sent yet, is somebody
 *     else's again when the client leaves.  When it only unsubscribes, those
 *     that were sent stay with it [MQTT-3.10.4-3].
 * (4) While it may become somebody else's it is not in the state of a
 *     persistent session.  What nobody else could get when the client leaves
 *     is, and waits for the client.
 * (5) One of QoS 2 is the session's when its packet id is known to be saved:
 *     a save that is refused, because somebody else has claimed the session,
 *     leaves it to others.
 *
 * Called from: route/ (room, deliver), the client's end, UNSUBSCRIBE.
 */


#include "ngx_mqtt_client.h"


ngx_uint_t
ngx_mqtt_client_share_room(ngx_mqtt_subscriber_t *subscriber, ngx_uint_t qos)
{
    ngx_mqtt_client_t  *mc;
    ngx_mqtt_window_t  *window;

    mc = ngx_mqtt_subscriber_client(subscriber);

    /* a session that is being resumed: CONNACK comes first */

    if (mc->closing || mc->state != NGX_MQTT_CLIENT_CONNECTED) {
        return NGX_MQTT_ROOM_NONE;
    }

    if (qos == 0) {
        return ngx_mqtt_client_out_full(mc) ? NGX_MQTT_ROOM_NONE
                                            : NGX_MQTT_ROOM_SEND;
    }

    if (mc->extra == NULL) {
        return NGX_MQTT_ROOM_SEND;
    }

    window = &mc->extra->window;

    if (window->nwaiting == 0 && ngx_mqtt_window_room(mc)
        && !ngx_mqtt_client_out_full(mc))
    {
        return NGX_MQTT_ROOM_SEND;
    }

    if (window->nwaiting < (ngx_uint_t) mc->conf->max_queued
        && window->waiting_size < mc->conf->max_queued_size)
    {
        return NGX_MQTT_ROOM_QUEUE;
    }

    return NGX_MQTT_ROOM_NONE;
}


ngx_uint_t
ngx_mqtt_client_share_window(ngx_mqtt_subscriber_t *subscriber)
{
    ngx_mqtt_client_t  *mc;

    mc = ngx_mqtt_subscriber_client(subscriber);

    if (mc->closing || mc->state != NGX_MQTT_CLIENT_CONNECTED
        || !ngx_mqtt_client_has_room(mc, 1))
    {
        return 0;
    }

    return ngx_mqtt_window_room(mc);
}


void
ngx_mqtt_client_deliver_shared(ngx_mqtt_subscriber_t *subscriber,
    ngx_mqtt_msg_t *m, ngx_mqtt_copy_t *copy, ngx_mqtt_shared_t *sd)
{
    ngx_mqtt_client_t    *mc;
    ngx_mqtt_outbound_t  *ob;

    mc = ngx_mqtt_subscriber_client(subscriber);

    if (copy->qos == 0) {
        ngx_mqtt_deliver_qos0(mc, m, copy);
        return;
    }

    if (ngx_mqtt_client_get_extra(mc) == NULL) {
        ngx_mqtt_share_again(sd);
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return;
    }

    ob = ngx_mqtt_outbound_create(mc, m, copy, 0);

    if (ob == NULL) {
        ngx_mqtt_share_again(sd);
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return;
    }

    ob->sd = sd;

    ngx_mqtt_window_push(mc, ob);
}


void
ngx_mqtt_client_share_ready(ngx_mqtt_client_t *mc)
{
    if (ngx_mqtt_client_share_room(&mc->subscriber, 1)
        == NGX_MQTT_ROOM_SEND)
    {
        ngx_mqtt_share_ready(mc->worker, &mc->subscriber);
    }
}


/* no other member may get it, or needs to */

void
ngx_mqtt_client_share_done(ngx_mqtt_outbound_t *ob)
{
    if (ob->sd) {
        ngx_mqtt_share_done(ob->sd);
        ob->sd = NULL;
    }
}


/* the session goes on: what has no other member stays with it */

void
ngx_mqtt_client_share_keep(ngx_mqtt_client_t *mc)
{
    uint64_t              group;
    ngx_uint_t            i, alone;
    ngx_queue_t          *q, *queues[2];
    ngx_mqtt_outbound_t  *ob;

    if (mc->extra == NULL) {
        return;
    }

    queues[0] = &mc->extra->window.sent;
    queues[1] = &mc->extra->window.waiting;

    group = 0;
    alone = 0;

    for (i = 0; i < 2; i++) {

        for (q = ngx_queue_head(queues[i]);
             q != ngx_queue_sentinel(queues[i]);
             q = ngx_queue_next(q))
        {
            ob = ngx_queue_data(q, ngx_mqtt_outbound_t, queue);

            if (ob->sd == NULL) {
                continue;
            }

            /* not known to be saved, and nobody has seen it */

            ob->save = 0;

            if (ngx_mqtt_share_of(ob->sd) != group) {
                group = ngx_mqtt_share_of(ob->sd);
                alone = ngx_mqtt_share_alone(ob->sd, &mc->subscriber);
            }

            if (alone) {
                ngx_mqtt_client_share_done(ob);
            }
        }
    }
}


void
ngx_mqtt_client_share_leave(ngx_mqtt_client_t *mc)
{
    ngx_uint_t    i;
    ngx_queue_t  *q, *queues[2];

    if (mc->extra == NULL) {
        return;
    }

    queues[0] = &mc->extra->window.sent;
    queues[1] = &mc->extra->window.waiting;

    for (i = 0; i < 2; i++) {

        for (q = ngx_queue_head(queues[i]);
             q != ngx_queue_sentinel(queues[i]);
             q = ngx_queue_next(q))
        {
            ngx_mqtt_client_share_again(ngx_queue_data(q, ngx_mqtt_outbound_t,
                                                       queue));
        }
    }
}


void
ngx_mqtt_client_share_again(ngx_mqtt_outbound_t *ob)
{
    if (ob->sd) {
        ngx_mqtt_share_again(ob->sd);
        ob->sd = NULL;
    }
}


void
ngx_mqtt_client_share_unsubscribed(ngx_mqtt_client_t *mc, ngx_str_t *filter,
    ngx_str_t *share)
{
    uint64_t              id;
    ngx_queue_t          *q, *next;
    ngx_mqtt_window_t    *window;
    ngx_mqtt_outbound_t  *ob;

    if (mc->extra == NULL || mc->extra->window.nwaiting == 0) {
        return;
    }

    id = ngx_mqtt_share_id(mc->worker, filter, share);
    window = &mc->extra->window;

    for (q = ngx_queue_head(&window->waiting);
         q != ngx_queue_sentinel(&window->waiting);
         q = next)
    {
        next = ngx_queue_next(q);
        ob = ngx_queue_data(q, ngx_mqtt_outbound_t, queue);

        if (ob->sd == NULL || ngx_mqtt_share_of(ob->sd) != id) {
            continue;
        }

        ngx_queue_remove(q);
        window->nwaiting--;
        window->waiting_size -= ob->msg->payload.len;

        ngx_mqtt_client_share_again(ob);
        ngx_mqtt_outbound_free(mc, ob);
    }
}
