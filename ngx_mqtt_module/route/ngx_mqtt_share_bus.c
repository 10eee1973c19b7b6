
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Messages for one member of a group between workers: a frame for each group,
 * to the one worker that was chosen, and for QoS 1 and 2 another one back.
 *
 *     SHARE: group u64, tag u64, number of workers u32, their slots as bytes,
 *            message; the workers are those that were asked before
 *     SHARE_DONE: tag u64
 *
 * (1) What was sent is kept in shares->away until SHARE_DONE comes.  If the
 *     worker is lost before, it goes to another one, in the order in which it
 *     was sent.  That worker's client may have it already: QoS 1 is at least
 *     once.
 * (2) A worker that passes a message on is done with it: there is one worker
 *     that keeps it, and one that has it, whatever the number of hops.
 *
 * Called from: ngx_mqtt_share.c, bus frames.
 */


#include "ngx_mqtt_route_int.h"


#define NGX_MQTT_SHARE_HEAD  (8 + 8 + 4)


static void ngx_mqtt_share_frame(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *from,
    ngx_str_t *body);
static void ngx_mqtt_share_done_frame(ngx_mqtt_worker_t *w,
    ngx_mqtt_peer_t *from, ngx_str_t *body);
static void ngx_mqtt_share_peer_lost(ngx_mqtt_worker_t *w,
    ngx_mqtt_peer_t *peer);
static ngx_int_t ngx_mqtt_share_send_frame(ngx_mqtt_worker_t *w,
    ngx_mqtt_msg_t *m, uint64_t group, uint64_t tag, ngx_mqtt_peer_t *peer,
    ngx_mqtt_workers_t *tried);


void
ngx_mqtt_share_bus_init(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_bus_on_frame(w->bus, NGX_MQTT_FRAME_SHARE, ngx_mqtt_share_frame);
    ngx_mqtt_bus_on_frame(w->bus, NGX_MQTT_FRAME_SHARE_DONE,
                          ngx_mqtt_share_done_frame);
    ngx_mqtt_bus_on_lost(w->bus, ngx_mqtt_share_peer_lost);
}


ngx_int_t
ngx_mqtt_share_send(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m, uint64_t group,
    ngx_uint_t slot, ngx_mqtt_workers_t *tried, ngx_mqtt_shared_t *sd)
{
    ngx_int_t           rc;
    ngx_mqtt_peer_t     peer;
    ngx_mqtt_shared_t  *away;
    ngx_mqtt_shares_t  *shares;

    peer.slot = slot;
    peer.node = 0;
    peer.generation = ngx_mqtt_zone(w->gateway)->slots[slot].generation;

    if (m->qos == 0) {
        return ngx_mqtt_share_send_frame(w, m, group, 0, &peer, tried);
    }

    shares = w->route->shares;

    away = ngx_mqtt_shared_create(w, m, group);
    if (away == NULL) {
        return NGX_ERROR;
    }

    away->peer = peer;
    away->tag = ++shares->tag;
    away->node.key.len = sizeof(uint64_t);
    away->node.key.data = (u_char *) &away->tag;

    if (ngx_mqtt_hash_insert(&shares->away, &away->node) != NGX_OK) {
        ngx_mqtt_shared_free(away);
        return NGX_ERROR;
    }

    rc = ngx_mqtt_share_send_frame(w, m, group, away->tag, &peer, tried);

    if (rc != NGX_OK) {
        ngx_mqtt_hash_remove(&shares->away, &away->node);
        ngx_mqtt_shared_free(away);
        return rc;
    }

    ngx_queue_insert_tail(&shares->sent, &away->queue);

    if (sd) {
        ngx_mqtt_share_done(sd);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_share_send_frame(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    uint64_t group, uint64_t tag, ngx_mqtt_peer_t *peer,
    ngx_mqtt_workers_t *tried)
{
    u_char      *p, *count;
    u_char       head[NGX_MQTT_SHARE_HEAD + NGX_MQTT_ZONE_SLOTS
                      + NGX_MQTT_FRAME_MSG_HEAD];
    ngx_str_t    parts[1 + NGX_MQTT_FRAME_MSG_PARTS];
    ngx_uint_t   i, n;

    p = ngx_mqtt_frame_write_u64(head, group);
    p = ngx_mqtt_frame_write_u64(p, tag);

    count = p;
    p += sizeof(uint32_t);
    n = 0;

    for (i = 0; i < NGX_MQTT_ZONE_SLOTS; i++) {

        if (tried->bits[i / 64] == 0) {
            i |= 63;
            continue;
        }

        if (ngx_mqtt_workers_has(tried, i)) {
            *p++ = (u_char) i;
            n++;
        }
    }

    (void) ngx_mqtt_frame_write_u32(count, (uint32_t) n);

    parts[0].data = head;
    parts[0].len = ngx_mqtt_frame_write_msg_head(p, m) - head;
    ngx_mqtt_frame_msg_parts(&parts[1], m);

    return ngx_mqtt_bus_send(w->bus, peer, NGX_MQTT_FRAME_SHARE, parts,
                             1 + NGX_MQTT_FRAME_MSG_PARTS);
}


/* if it does not get there that worker gives the message to somebody else */

void
ngx_mqtt_share_send_done(ngx_mqtt_shared_t *sd)
{
    u_char     tag[sizeof(uint64_t)];
    ngx_str_t  body;

    body.data = tag;
    body.len = ngx_mqtt_frame_write_u64(tag, sd->tag) - tag;

    (void) ngx_mqtt_bus_send(sd->worker->bus, &sd->peer,
                             NGX_MQTT_FRAME_SHARE_DONE, &body, 1);
}


static void
ngx_mqtt_share_frame(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *from,
    ngx_str_t *body)
{
    u_char              *p, *end;
    uint32_t             n;
    uint64_t             group, tag;
    ngx_str_t            bytes;
    ngx_mqtt_msg_t      *m;
    ngx_mqtt_shared_t   *sd;
    ngx_mqtt_workers_t   tried;

    ngx_memzero(&tried, sizeof(ngx_mqtt_workers_t));

    m = NULL;
    p = body->data;
    end = p + body->len;

    if (body->len >= NGX_MQTT_SHARE_HEAD) {
        p = ngx_mqtt_frame_read_u64(p, end, &group);
        p = ngx_mqtt_frame_read_u64(p, end, &tag);
        p = ngx_mqtt_frame_read_u32(p, end, &n);

        for ( /* void */ ; n && p < end; n--, p++) {
            ngx_mqtt_workers_set(&tried, *p);
        }

        bytes.data = p;
        bytes.len = end - p;

        m = ngx_mqtt_frame_read_msg(w, &bytes);
    }

    if (m == NULL) {
        ngx_log_error(NGX_LOG_CRIT, w->log, 0, "SHARE frame was not read");
        return;
    }

    sd = NULL;

    if (tag) {
        sd = ngx_mqtt_shared_create(w, m, group);

        if (sd == NULL) {
            ngx_log_error(NGX_LOG_CRIT, w->log, 0,
                          "SHARE frame was not handled");
            goto done;
        }

        sd->tag = tag;
        sd->peer = *from;
    }

    if (ngx_mqtt_share_local(w, m, group, sd) != NGX_OK) {
        ngx_mqtt_workers_set(&tried, w->slot_index);
        ngx_mqtt_share_to_any(w, m, group, sd, &tried);
    }

done:

    ngx_mqtt_msg_unref(m);
}


static void
ngx_mqtt_share_done_frame(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *from,
    ngx_str_t *body)
{
    uint64_t               tag;
    ngx_str_t              key;
    ngx_mqtt_shared_t     *sd;
    ngx_mqtt_shares_t     *shares;
    ngx_mqtt_hash_node_t  *node;

    if (ngx_mqtt_frame_read_u64(body->data, body->data + body->len, &tag)
        == NULL)
    {
        return;
    }

    shares = w->route->shares;

    key.len = sizeof(uint64_t);
    key.data = (u_char *) &tag;

    node = ngx_mqtt_hash_find(&shares->away, &key);

    if (node == NULL) {
        return;
    }

    sd = ngx_queue_data(node, ngx_mqtt_shared_t, node);

    if (sd->peer.generation != from->generation) {
        return;
    }

    ngx_mqtt_hash_remove(&shares->away, node);
    ngx_queue_remove(&sd->queue);

    ngx_mqtt_shared_free(sd);
}


static void
ngx_mqtt_share_peer_lost(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *peer)
{
    ngx_queue_t        *q, *next;
    ngx_mqtt_shared_t  *sd;
    ngx_mqtt_shares_t  *shares;

    shares = w->route->shares;

    for (q = ngx_queue_head(&shares->sent);
         q != ngx_queue_sentinel(&shares->sent);
         q = next)
    {
        next = ngx_queue_next(q);
        sd = ngx_queue_data(q, ngx_mqtt_shared_t, queue);

        if (sd->peer.generation != peer->generation) {
            continue;
        }

        ngx_mqtt_hash_remove(&shares->away, &sd->node);
        ngx_queue_remove(q);

        sd->tag = 0;

        ngx_mqtt_share_again(sd);
    }
}
