
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The members that a group has in this worker: which one gets a message, and
 * whether there is one that can be sent it; the invariants are in
 * ngx_mqtt_share.c.
 *
 * Called from: ngx_mqtt_share.c, ngx_mqtt_share_bus.c, ngx_mqtt_group.c,
 * client/ (ready).
 */


#include "ngx_mqtt_route_int.h"


#define NGX_MQTT_SHARE_SCAN  32      /* members asked for one message */


static void ngx_mqtt_share_full(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_mqtt_share_t *share);
static ngx_mqtt_sub_t *ngx_mqtt_share_pick(ngx_mqtt_worker_t *w,
    ngx_mqtt_share_t *share, ngx_mqtt_msg_t *m);


ngx_int_t
ngx_mqtt_share_local(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m, uint64_t id,
    ngx_mqtt_shared_t *sd)
{
    ngx_mqtt_sub_t    *sub;
    ngx_mqtt_copy_t    copy;
    ngx_mqtt_share_t  *share;

    share = ngx_mqtt_share_find(w, id);

    if (share == NULL) {
        return NGX_DECLINED;
    }

    sub = ngx_mqtt_share_pick(w, share, m);

    if (sub == NULL) {
        return NGX_DECLINED;
    }

    ngx_memzero(&copy, sizeof(ngx_mqtt_copy_t));

    copy.qos = sub->options & NGX_MQTT_SUB_QOS;
    copy.qos = ngx_min(copy.qos, m->qos);

    copy.retain = m->retain
                  && (sub->options & NGX_MQTT_SUB_RETAIN_AS_PUBLISHED);

    copy.ids = &sub->id;
    copy.nids = sub->id ? 1 : 0;

    if (copy.qos == 0) {
        w->hooks->deliver_shared(sub->subscriber, m, &copy, NULL);

        if (sd) {
            ngx_mqtt_share_done(sd);
        }

        return NGX_OK;
    }

    if (sd == NULL) {
        sd = ngx_mqtt_shared_create(w, m, id);
        if (sd == NULL) {
            return NGX_DECLINED;
        }
    }

    w->hooks->deliver_shared(sub->subscriber, m, &copy, sd);

    return NGX_OK;
}


/*
 * Round robin.  Those that are passed over go to the end of the queue, so
 * that they are not asked again for each message.
 */

static ngx_mqtt_sub_t *
ngx_mqtt_share_pick(ngx_mqtt_worker_t *w, ngx_mqtt_share_t *share,
    ngx_mqtt_msg_t *m)
{
    ngx_uint_t       n, qos, room;
    ngx_queue_t     *q;
    ngx_mqtt_sub_t  *sub, *waits;

    sub = NULL;
    waits = NULL;

    for (n = ngx_min(share->nmembers, NGX_MQTT_SHARE_SCAN); n; n--) {
        q = ngx_queue_head(&share->members);
        sub = ngx_queue_data(q, ngx_mqtt_sub_t, queue);

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&share->members, q);

        qos = sub->options & NGX_MQTT_SUB_QOS;
        qos = ngx_min(qos, m->qos);

        room = w->hooks->room(sub->subscriber, qos);

        if (room == NGX_MQTT_ROOM_SEND) {
            share->full = 0;
            return sub;
        }

        sub->subscriber->stalled = 1;

        if (room == NGX_MQTT_ROOM_QUEUE && waits == NULL) {
            waits = sub;
        }
    }

    ngx_mqtt_share_full(w, &sub->filter->node.key, share);

    if (waits) {
        ngx_queue_remove(&waits->queue);
        ngx_queue_insert_tail(&share->members, &waits->queue);
    }

    return waits;
}


ngx_uint_t
ngx_mqtt_share_window(ngx_mqtt_worker_t *w, uint64_t id)
{
    ngx_uint_t         n, room, sum;
    ngx_queue_t       *q, *next;
    ngx_mqtt_sub_t    *sub;
    ngx_mqtt_share_t  *share;

    share = ngx_mqtt_share_find(w, id);

    if (share == NULL) {
        return 0;
    }

    sum = 0;
    sub = NULL;
    q = ngx_queue_head(&share->members);

    for (n = ngx_min(share->nmembers, NGX_MQTT_SHARE_SCAN); n; n--) {
        next = ngx_queue_next(q);
        sub = ngx_queue_data(q, ngx_mqtt_sub_t, queue);

        room = w->hooks->window(sub->subscriber);

        if (room == 0) {
            sub->subscriber->stalled = 1;

            ngx_queue_remove(q);
            ngx_queue_insert_tail(&share->members, q);
        }

        sum += room;
        q = next;
    }

    if (sum == 0) {
        ngx_mqtt_share_full(w, &sub->filter->node.key, share);

    } else {
        share->full = 0;
    }

    return sum;
}


/* some have no room, and are behind the others now: all, after a round */

static void
ngx_mqtt_share_full(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_mqtt_share_t *share)
{
    share->full += NGX_MQTT_SHARE_SCAN;

    if (share->full >= share->nmembers) {
        ngx_mqtt_share_stall(w, filter, share, 1);
    }
}


void
ngx_mqtt_share_stall(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_mqtt_share_t *share, ngx_uint_t stalled)
{
    if (!stalled) {
        share->full = 0;
    }

    if (share->stalled != stalled) {
        share->stalled = stalled;
        ngx_mqtt_directory_stall(w, filter, share->id, stalled);
    }
}


void
ngx_mqtt_share_ready(ngx_mqtt_worker_t *w, ngx_mqtt_subscriber_t *subscriber)
{
    ngx_mqtt_sub_t  *sub;

    subscriber->stalled = 0;

    for (sub = subscriber->subs; sub; sub = sub->next) {

        if (sub->share) {
            ngx_mqtt_share_stall(w, &sub->filter->node.key, sub->share, 0);
            ngx_mqtt_group_ready(w, sub->share->id);
        }
    }
}
