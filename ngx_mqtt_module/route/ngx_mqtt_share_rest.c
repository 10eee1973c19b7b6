
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Groups that the directory does not know: a worker was killed in the middle
 * of a change, and others have not added theirs again yet.
 *
 * (1) The message goes to these workers one after the other, with the ids of
 *     all groups that have it already; each gives it to those of its own
 *     groups that do not, and adds them.  So a group with members in several
 *     of them gets it once.
 * (2) Workers are visited in the order of their slots, each once.
 *
 *     SHARE_REST: the only group u64, or 0; number of workers to visit u32,
 *                 their slots as bytes; number of groups that have it u32,
 *                 their ids as u64; message
 *
 * Called from: ngx_mqtt_share.c, bus frames.
 */


#include "ngx_mqtt_route_int.h"


static void ngx_mqtt_share_rest_frame(ngx_mqtt_worker_t *w,
    ngx_mqtt_peer_t *from, ngx_str_t *body);
static u_char *ngx_mqtt_share_rest_read(ngx_str_t *body, uint64_t *only,
    ngx_mqtt_workers_t *visit, ngx_array_t *served);
static void ngx_mqtt_share_rest_local(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_array_t *served);
static ngx_uint_t ngx_mqtt_share_rest_served(ngx_array_t *served,
    uint64_t id);


void
ngx_mqtt_share_rest_init(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_bus_on_frame(w->bus, NGX_MQTT_FRAME_SHARE_REST,
                          ngx_mqtt_share_rest_frame);
}


ngx_int_t
ngx_mqtt_share_rest_send(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    uint64_t only, ngx_mqtt_workers_t *visit, ngx_array_t *served)
{
    u_char           *p, *count, *head;
    size_t            size;
    uint64_t         *ids;
    ngx_int_t         rc;
    ngx_str_t         parts[1 + NGX_MQTT_FRAME_MSG_PARTS];
    ngx_uint_t        i, n, nids, slot;
    ngx_mqtt_peer_t   peer;

    nids = served ? served->nelts : 0;
    ids = served ? served->elts : NULL;

    size = 8 + 4 + NGX_MQTT_ZONE_SLOTS + 4 + nids * sizeof(uint64_t)
           + NGX_MQTT_FRAME_MSG_HEAD;

    head = ngx_mqtt_alloc(w, size);
    if (head == NULL) {
        return NGX_ERROR;
    }

    rc = NGX_DECLINED;

    /* whoever is gone is left out */

    for (slot = 0; rc != NGX_OK && slot < NGX_MQTT_ZONE_SLOTS; slot++) {

        if (!ngx_mqtt_workers_has(visit, slot)) {
            continue;
        }

        count = ngx_mqtt_frame_write_u64(head, only);
        p = count + 4;
        n = 0;

        for (i = slot + 1; i < NGX_MQTT_ZONE_SLOTS; i++) {

            if (ngx_mqtt_workers_has(visit, i)) {
                *p++ = (u_char) i;
                n++;
            }
        }

        (void) ngx_mqtt_frame_write_u32(count, (uint32_t) n);

        p = ngx_mqtt_frame_write_u32(p, (uint32_t) nids);

        for (i = 0; i < nids; i++) {
            p = ngx_mqtt_frame_write_u64(p, ids[i]);
        }

        parts[0].data = head;
        parts[0].len = ngx_mqtt_frame_write_msg_head(p, m) - head;
        ngx_mqtt_frame_msg_parts(&parts[1], m);

        peer.node = 0;
        peer.slot = slot;
        peer.generation = ngx_mqtt_zone(w->gateway)->slots[slot].generation;

        rc = ngx_mqtt_bus_send(w->bus, &peer, NGX_MQTT_FRAME_SHARE_REST,
                               parts, 1 + NGX_MQTT_FRAME_MSG_PARTS);
    }

    ngx_mqtt_free(w, head, size);

    return rc;
}


static void
ngx_mqtt_share_rest_frame(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *from,
    ngx_str_t *body)
{
    u_char              *p;
    uint64_t             only;
    ngx_str_t            bytes;
    ngx_array_t         *served;
    ngx_mqtt_msg_t      *m;
    ngx_mqtt_workers_t   visit;

    m = NULL;
    served = &w->route->shares->served;

    p = ngx_mqtt_share_rest_read(body, &only, &visit, served);

    if (p) {
        bytes.data = p;
        bytes.len = body->data + body->len - p;

        m = ngx_mqtt_frame_read_msg(w, &bytes);
    }

    if (m == NULL) {
        ngx_log_error(NGX_LOG_CRIT, w->log, 0,
                      "SHARE_REST frame was not read");
        return;
    }

    if (only == 0) {
        ngx_mqtt_share_rest_local(w, m, served);
        (void) ngx_mqtt_share_rest_send(w, m, 0, &visit, served);

    } else if (ngx_mqtt_share_local(w, m, only, NULL) != NGX_OK
               && ngx_mqtt_share_rest_send(w, m, only, &visit, NULL)
                  != NGX_OK)
    {
        ngx_mqtt_share_drop(w, m, NULL);
    }

    ngx_mqtt_msg_unref(m);
}


/* where the message begins, or NULL */

static u_char *
ngx_mqtt_share_rest_read(ngx_str_t *body, uint64_t *only,
    ngx_mqtt_workers_t *visit, ngx_array_t *served)
{
    u_char    *p, *end;
    uint32_t   n;
    uint64_t  *id;

    ngx_memzero(visit, sizeof(ngx_mqtt_workers_t));
    served->nelts = 0;

    p = body->data;
    end = p + body->len;

    p = ngx_mqtt_frame_read_u64(p, end, only);

    if (p == NULL) {
        return NULL;
    }

    p = ngx_mqtt_frame_read_u32(p, end, &n);

    if (p == NULL || (size_t) (end - p) < n) {
        return NULL;
    }

    for ( /* void */ ; n; n--, p++) {
        ngx_mqtt_workers_set(visit, *p);
    }

    p = ngx_mqtt_frame_read_u32(p, end, &n);

    for ( /* void */ ; p && n; n--) {
        id = ngx_array_push(served);
        if (id == NULL) {
            return NULL;
        }

        p = ngx_mqtt_frame_read_u64(p, end, id);
    }

    return p;
}


static void
ngx_mqtt_share_rest_local(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_array_t *served)
{
    uint64_t             id, *p;
    ngx_uint_t           i, n;
    ngx_mqtt_workers_t   tried;

    n = ngx_mqtt_share_match(w, &m->topic);

    for (i = 0; i < n; i++) {
        id = ((uint64_t *) w->route->shared.elts)[i];

        if (ngx_mqtt_share_rest_served(served, id)) {
            continue;
        }

        p = ngx_array_push(served);

        if (p) {
            *p = id;
        }

        ngx_memzero(&tried, sizeof(ngx_mqtt_workers_t));

        ngx_mqtt_share_to_any(w, m, id, NULL, &tried);
    }
}


static ngx_uint_t
ngx_mqtt_share_rest_served(ngx_array_t *served, uint64_t id)
{
    uint64_t    *ids;
    ngx_uint_t   i;

    ids = served->elts;

    for (i = 0; i < served->nelts; i++) {
        if (ids[i] == id) {
            return 1;
        }
    }

    return 0;
}
