
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Messages between the workers of a node: one frame per message and worker,
 * the receiver matches it against its own filters.
 *
 * (1) A message goes to all its workers or, while one of them can take no
 *     more, to none: the publisher waits and its message comes again.
 * (2) The publisher need not wait for the receivers: a clean session lives and
 *     dies with the worker that gets the frame, and what is durable does not
 *     depend on a frame.  It goes with where it stands in the logs, for the
 *     persistent sessions there.
 *
 * Called from: ngx_mqtt_route.c, bus frames.
 */


#include "ngx_mqtt_route_int.h"


/*
 * Unread by another worker, from all the others together.  Each message of it
 * may be one that waits for the same client, before that worker can tell that
 * the client has to be waited for: they should be far fewer than
 * mqtt_max_queued.
 */

#define NGX_MQTT_ROUTE_BACKLOG  32768


static ngx_uint_t ngx_mqtt_route_next_worker(ngx_mqtt_workers_t *workers,
    ngx_uint_t *slot);
static ngx_int_t ngx_mqtt_route_write_logged(ngx_mqtt_worker_t *w,
    ngx_mqtt_logged_t *logged, ngx_str_t *part);
static void ngx_mqtt_route_frame(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *from,
    ngx_str_t *body);
static ngx_int_t ngx_mqtt_route_read_logged(ngx_mqtt_worker_t *w,
    ngx_str_t *body, ngx_mqtt_logged_t **logged);


#define ngx_mqtt_logged_size(n)                                               \
    (sizeof(ngx_mqtt_logged_t) + (n) * sizeof(ngx_mqtt_log_position_t))


ngx_int_t
ngx_mqtt_route_bus_init(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_bus_on_frame(w->bus, NGX_MQTT_FRAME_PUBLISH,
                          ngx_mqtt_route_frame);

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_route_check(ngx_mqtt_worker_t *w, ngx_mqtt_workers_t *workers)
{
    ngx_uint_t        slot;
    ngx_mqtt_peer_t   peer;
    ngx_mqtt_zone_t  *zone;

    zone = ngx_mqtt_zone(w->gateway);
    peer.node = 0;
    slot = 0;

    while (ngx_mqtt_route_next_worker(workers, &slot)) {
        peer.slot = slot++;
        peer.generation = zone->slots[peer.slot].generation;

        if (ngx_mqtt_bus_full(w->bus, &peer)) {
            return NGX_BUSY;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_route_send(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_workers_t *workers, ngx_mqtt_logged_t *logged)
{
    u_char            head[NGX_MQTT_FRAME_MSG_HEAD];
    ngx_int_t         rc;
    ngx_str_t         parts[7];
    ngx_uint_t        slot;
    ngx_mqtt_peer_t   peer;
    ngx_mqtt_zone_t  *zone;

    peer.node = 0;
    slot = 0;
    rc = NGX_DECLINED;

    if (!ngx_mqtt_route_next_worker(workers, &slot)
        || ngx_mqtt_route_frame_parts(w, m, logged, head, parts) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    zone = ngx_mqtt_zone(w->gateway);

    while (ngx_mqtt_route_next_worker(workers, &slot)) {
        peer.slot = slot++;
        peer.generation = zone->slots[peer.slot].generation;

        /* whoever is gone needs no message */

        if (ngx_mqtt_bus_send(w->bus, &peer, NGX_MQTT_FRAME_PUBLISH, parts, 7)
            == NGX_OK)
        {
            rc = NGX_OK;
        }
    }

    ngx_mqtt_route_frame_free(w, logged, parts);

    return rc;
}


ngx_int_t
ngx_mqtt_route_frame_parts(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_logged_t *logged, u_char *head, ngx_str_t *parts)
{
    if (ngx_mqtt_route_write_logged(w, logged, &parts[0]) != NGX_OK) {
        return NGX_ERROR;
    }

    parts[1].data = head;
    parts[1].len = ngx_mqtt_frame_write_msg_head(head, m) - head;
    ngx_mqtt_frame_msg_parts(&parts[2], m);

    return NGX_OK;
}


void
ngx_mqtt_route_frame_free(ngx_mqtt_worker_t *w, ngx_mqtt_logged_t *logged,
    ngx_str_t *parts)
{
    if (logged) {
        ngx_mqtt_free(w, parts[0].data, parts[0].len);
    }
}


/* how many logs, and then uid and positions; without logs a constant */

static ngx_int_t
ngx_mqtt_route_write_logged(ngx_mqtt_worker_t *w, ngx_mqtt_logged_t *logged,
    ngx_str_t *part)
{
    u_char      *p;
    ngx_uint_t   i;

    if (logged == NULL) {
        ngx_str_set(part, "\0\0\0\0");
        return NGX_OK;
    }

    part->len = 4 + NGX_MQTT_LOG_UID;

    for (i = 0; i < logged->n; i++) {
        part->len += 8 + 4 + logged->positions[i].filter.len;
    }

    p = ngx_mqtt_alloc(w, part->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    part->data = p;

    p = ngx_mqtt_frame_write_u32(p, (uint32_t) logged->n);
    p = ngx_cpymem(p, logged->uid, NGX_MQTT_LOG_UID);

    for (i = 0; i < logged->n; i++) {
        p = ngx_mqtt_frame_write_u64(p, logged->positions[i].number);
        p = ngx_mqtt_frame_write_str(p, &logged->positions[i].filter);
    }

    return NGX_OK;
}


ngx_uint_t
ngx_mqtt_route_behind(ngx_mqtt_worker_t *w, ngx_mqtt_workers_t *workers)
{
    size_t                 max;
    ngx_uint_t             n;
    ngx_mqtt_peer_t        peer;
    ngx_mqtt_zone_t       *zone;
    ngx_mqtt_zone_slot_t  *slot;

    if (w->slot->behind) {
        return 1;
    }

    zone = ngx_mqtt_zone(w->gateway);
    max = NGX_MQTT_ROUTE_BACKLOG / zone->nslots;

    for (n = 0; n < zone->nslots; n++) {
        slot = &zone->slots[n];

        if (slot->generation == 0 || slot->generation == w->generation) {
            continue;
        }

        if (workers
            && !(workers->bits[n / 64] & ((uint64_t) 1 << (n % 64))))
        {
            continue;
        }

        peer.node = 0;
        peer.slot = n;
        peer.generation = slot->generation;

        if (slot->behind || ngx_mqtt_bus_backlog(w->bus, &peer) > max) {
            return 1;
        }
    }

    return 0;
}


void
ngx_mqtt_route_sent(ngx_mqtt_worker_t *w, ngx_mqtt_workers_t *workers,
    ngx_mqtt_op_t *(*step)(void *data), void *data)
{
    ngx_uint_t        slot;
    ngx_mqtt_op_t    *op;
    ngx_mqtt_peer_t   peer;
    ngx_mqtt_zone_t  *zone;

    zone = ngx_mqtt_zone(w->gateway);
    slot = 0;

    while (ngx_mqtt_route_next_worker(workers, &slot)) {
        peer.node = 0;
        peer.slot = slot++;
        peer.generation = zone->slots[peer.slot].generation;

        op = step(data);

        if (op && ngx_mqtt_bus_sent(w->bus, &peer, op) == NGX_OK) {
            ngx_mqtt_op_post(op, NGX_OK, NGX_MQTT_SUCCESS);
        }
    }
}


/* the first slot at *slot or behind it */

static ngx_uint_t
ngx_mqtt_route_next_worker(ngx_mqtt_workers_t *workers, ngx_uint_t *slot)
{
    ngx_uint_t  n;

    for (n = *slot; n < NGX_MQTT_ZONE_SLOTS; n++) {

        if (workers->bits[n / 64] == 0) {
            n |= 63;
            continue;
        }

        if (workers->bits[n / 64] & ((uint64_t) 1 << (n % 64))) {
            *slot = n;
            return 1;
        }
    }

    return 0;
}


static void
ngx_mqtt_route_frame(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *from,
    ngx_str_t *body)
{
    ngx_str_t           rest;
    ngx_mqtt_msg_t     *m;
    ngx_mqtt_logged_t  *logged;

    rest = *body;
    m = NULL;

    if (ngx_mqtt_route_read_logged(w, &rest, &logged) == NGX_OK) {
        m = ngx_mqtt_frame_read_msg(w, &rest);
    }

    if (m) {
        (void) ngx_mqtt_route_local(w, m, NULL, logged);

        ngx_mqtt_msg_unref(m);

    } else {
        ngx_log_error(NGX_LOG_CRIT, w->log, 0, "PUBLISH frame was not read");
    }

    if (logged) {
        ngx_mqtt_free(w, logged, ngx_mqtt_logged_size(logged->n));
    }
}


/* takes the positions off the body; the filters point into it */

static ngx_int_t
ngx_mqtt_route_read_logged(ngx_mqtt_worker_t *w, ngx_str_t *body,
    ngx_mqtt_logged_t **logged)
{
    u_char             *p, *end;
    uint32_t            i, n;
    ngx_mqtt_logged_t  *lg;

    *logged = NULL;

    end = body->data + body->len;
    p = ngx_mqtt_frame_read_u32(body->data, end, &n);

    if (p && n) {

        if ((size_t) (end - p) < NGX_MQTT_LOG_UID + n * (8 + 4)) {
            return NGX_ERROR;
        }

        lg = ngx_mqtt_alloc(w, ngx_mqtt_logged_size(n));
        if (lg == NULL) {
            return NGX_ERROR;
        }

        *logged = lg;

        lg->n = n;
        ngx_memcpy(lg->uid, p, NGX_MQTT_LOG_UID);
        p += NGX_MQTT_LOG_UID;

        for (i = 0; p && i < n; i++) {
            lg->positions[i].group = 0;
            p = ngx_mqtt_frame_read_u64(p, end, &lg->positions[i].number);

            if (p) {
                p = ngx_mqtt_frame_read_str(p, end, &lg->positions[i].filter);
            }
        }
    }

    if (p == NULL) {
        return NGX_ERROR;
    }

    body->data = p;
    body->len = end - p;

    return NGX_OK;
}
