
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * A publish of a client that addresses another client: what ngx_mqtt_ingest()
 * does, with P2P in place of the route.
 *
 *     Kafka if mapped -> retained if asked -> P2P
 *
 * (1) It is acknowledged when all of these are done: with QoS 1 and 2 the
 *     receiver has the message in its window or in the inbox of its session,
 *     or it is dropped, as the receiver is offline.
 * (2) Nothing is taken while one of them is at its bound.
 *
 * Called from: ngx_mqtt_ingest.c.
 */


#include "ngx_mqtt_gateway.h"
#include "ngx_mqtt_retain.h"


static ngx_int_t ngx_mqtt_p2p_ingest_dropped(ngx_mqtt_worker_t *w,
    ngx_mqtt_msg_t *m, ngx_mqtt_map_entry_t *entry, ngx_str_t *sub,
    ngx_str_t *client_id);
static ngx_int_t ngx_mqtt_p2p_ingest_acked(ngx_mqtt_worker_t *w,
    ngx_mqtt_msg_t *m, ngx_str_t *client_id, ngx_mqtt_join_t *join,
    ngx_uint_t *reason);


ngx_int_t
ngx_mqtt_p2p_ingest(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_map_entry_t *entry, ngx_str_t *sub, ngx_str_t *client_id,
    ngx_mqtt_op_t *op, ngx_uint_t *reason)
{
    ngx_int_t         rc;
    ngx_mqtt_op_t    *step;
    ngx_mqtt_join_t  *join;

    if (ngx_mqtt_p2p_busy(w) || (m->retain && ngx_mqtt_retain_busy(w))) {
        return ngx_mqtt_ingest_busy(w, m);
    }

    if (op == NULL) {
        return ngx_mqtt_p2p_ingest_dropped(w, m, entry, sub, client_id);
    }

    join = ngx_mqtt_join_create(w, op);
    if (join == NULL) {
        return NGX_ERROR;
    }

    if (entry->direction & NGX_MQTT_MAP_UPLINK) {
        step = ngx_mqtt_join_step(join);

        rc = step ? ngx_mqtt_ingest_kafka(w, m, entry, sub, step) : NGX_ERROR;

        if (rc != NGX_OK) {
            ngx_mqtt_join_cancel(join, step);
            (void) ngx_mqtt_join_end(join);
            return rc;
        }

    } else {
        ngx_mqtt_count(w, NGX_MQTT_STAT_messages_unmapped);
    }

    return ngx_mqtt_p2p_ingest_acked(w, m, client_id, join, reason);
}


/* QoS 0: whatever cannot be taken is dropped and counted */

static ngx_int_t
ngx_mqtt_p2p_ingest_dropped(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_map_entry_t *entry, ngx_str_t *sub, ngx_str_t *client_id)
{
    ngx_int_t   rc;
    ngx_uint_t  reason;

    if (entry->direction & NGX_MQTT_MAP_UPLINK) {
        rc = ngx_mqtt_ingest_kafka(w, m, entry, sub, NULL);

        if (rc != NGX_OK) {
            return (rc == NGX_BUSY) ? ngx_mqtt_ingest_busy(w, m) : rc;
        }

    } else {
        ngx_mqtt_count(w, NGX_MQTT_STAT_messages_unmapped);
    }

    if (m->retain) {
        ngx_mqtt_retain_store(w, m, NULL);
    }

    (void) ngx_mqtt_p2p_send(w, m, client_id, NULL, &reason);

    return NGX_OK;
}


/* Kafka has taken the message: the rest of the steps cannot refuse it */

static ngx_int_t
ngx_mqtt_p2p_ingest_acked(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_str_t *client_id, ngx_mqtt_join_t *join, ngx_uint_t *reason)
{
    ngx_mqtt_op_t  *step;

    if (m->retain) {
        ngx_mqtt_retain_store(w, m, ngx_mqtt_join_step(join));
    }

    step = ngx_mqtt_join_step(join);

    if (ngx_mqtt_p2p_send(w, m, client_id, step, reason) == NGX_OK && step) {
        ngx_mqtt_join_cancel(join, step);
    }

    return ngx_mqtt_join_end(join);
}
