
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
 *     depend on a frame.
 *
 * A frame is { flags, received, expiry, four lengths, topic, payload,
 * properties, origin }.
 *
 * Called from: ngx_mqtt_route.c, bus frames.
 */


#include "ngx_mqtt_route_int.h"


#define NGX_MQTT_FRAME_HEAD      (4 + 8 + 4 + 4 * 4)

#define NGX_MQTT_FRAME_QOS       0x03
#define NGX_MQTT_FRAME_RETAIN    0x04
#define NGX_MQTT_FRAME_CLEAN     0x08
#define NGX_MQTT_FRAME_EXPIRY    0x10


static ngx_uint_t ngx_mqtt_route_next_worker(ngx_mqtt_workers_t *workers,
    ngx_uint_t *slot);
static u_char *ngx_mqtt_route_frame_head(u_char *p, ngx_mqtt_msg_t *m);
static void ngx_mqtt_route_frame(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *from,
    ngx_str_t *body);
static u_char *ngx_mqtt_route_take(u_char *p, size_t len, ngx_str_t *value);


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
    ngx_mqtt_workers_t *workers)
{
    u_char            head[NGX_MQTT_FRAME_HEAD];
    ngx_int_t         rc;
    ngx_str_t         parts[5];
    ngx_uint_t        slot;
    ngx_mqtt_peer_t   peer;
    ngx_mqtt_zone_t  *zone;

    slot = 0;
    rc = NGX_DECLINED;

    if (!ngx_mqtt_route_next_worker(workers, &slot)) {
        return NGX_DECLINED;
    }

    zone = ngx_mqtt_zone(w->gateway);

    parts[0].data = head;
    parts[0].len = ngx_mqtt_route_frame_head(head, m) - head;
    parts[1] = m->topic;
    parts[2] = m->payload;
    parts[3] = m->props;
    parts[4] = m->origin;

    while (ngx_mqtt_route_next_worker(workers, &slot)) {
        peer.slot = slot++;
        peer.generation = zone->slots[peer.slot].generation;

        /* whoever is gone needs no message */

        if (ngx_mqtt_bus_send(w->bus, &peer, NGX_MQTT_FRAME_PUBLISH, parts, 5)
            == NGX_OK)
        {
            rc = NGX_OK;
        }
    }

    return rc;
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


static u_char *
ngx_mqtt_route_frame_head(u_char *p, ngx_mqtt_msg_t *m)
{
    uint32_t  flags;

    flags = m->qos;

    if (m->retain) {
        flags |= NGX_MQTT_FRAME_RETAIN;
    }

    if (m->clean) {
        flags |= NGX_MQTT_FRAME_CLEAN;
    }

    if (m->has_expiry) {
        flags |= NGX_MQTT_FRAME_EXPIRY;
    }

    p = ngx_mqtt_frame_write_u32(p, flags);
    p = ngx_mqtt_frame_write_u64(p, m->received);
    p = ngx_mqtt_frame_write_u32(p, m->expiry);
    p = ngx_mqtt_frame_write_u32(p, (uint32_t) m->topic.len);
    p = ngx_mqtt_frame_write_u32(p, (uint32_t) m->payload.len);
    p = ngx_mqtt_frame_write_u32(p, (uint32_t) m->props.len);

    return ngx_mqtt_frame_write_u32(p, (uint32_t) m->origin.len);
}


static void
ngx_mqtt_route_frame(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *from,
    ngx_str_t *body)
{
    size_t           size;
    u_char          *p, *end;
    uint32_t         flags, expiry, len[4];
    uint64_t         received;
    ngx_uint_t       i;
    ngx_mqtt_msg_t  *m;

    p = body->data;
    end = p + body->len;

    if (body->len < NGX_MQTT_FRAME_HEAD) {
        goto malformed;
    }

    p = ngx_mqtt_frame_read_u32(p, end, &flags);
    p = ngx_mqtt_frame_read_u64(p, end, &received);
    p = ngx_mqtt_frame_read_u32(p, end, &expiry);

    for (i = 0; i < 4; i++) {
        p = ngx_mqtt_frame_read_u32(p, end, &len[i]);
    }

    size = (size_t) len[0] + len[1] + len[2] + len[3];

    if (size != (size_t) (end - p)) {
        goto malformed;
    }

    m = ngx_mqtt_msg_create(w, size);
    if (m == NULL) {
        return;
    }

    ngx_memcpy(ngx_mqtt_msg_data(m), p, size);

    p = ngx_mqtt_msg_data(m);

    p = ngx_mqtt_route_take(p, len[0], &m->topic);
    p = ngx_mqtt_route_take(p, len[1], &m->payload);
    p = ngx_mqtt_route_take(p, len[2], &m->props);
    (void) ngx_mqtt_route_take(p, len[3], &m->origin);

    m->received = received;
    m->expiry = expiry;
    m->qos = flags & NGX_MQTT_FRAME_QOS;
    m->retain = (flags & NGX_MQTT_FRAME_RETAIN) != 0;
    m->clean = (flags & NGX_MQTT_FRAME_CLEAN) != 0;
    m->has_expiry = (flags & NGX_MQTT_FRAME_EXPIRY) != 0;

    (void) ngx_mqtt_route_local(w, m, NULL);

    ngx_mqtt_msg_unref(m);

    return;

malformed:

    ngx_log_error(NGX_LOG_ALERT, w->log, 0, "malformed PUBLISH frame");
}


static u_char *
ngx_mqtt_route_take(u_char *p, size_t len, ngx_str_t *value)
{
    value->data = p;
    value->len = len;

    return p + len;
}
