
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * ingest(): the one entrance of messages that come from clients:
 *
 *     check -> Kafka if mapped -> retained if asked -> logs and routes
 *
 * (1) A mapped message is acknowledged after Kafka's delivery report (promise
 *     G1); one that is retained, or that persistent sessions are to get, after
 *     Redis has it.
 * (2) Nothing is taken while the producer, or Redis for a message that it has
 *     to keep, is at its bound: the client waits, or its QoS 0 message is
 *     dropped and counted (promise G4).
 * (3) One step alone takes the caller's op as it is; several have one each,
 *     and the caller's completes after the last one.
 *
 * Called from: client/ for PUBLISH.
 */


#include "ngx_mqtt_gateway.h"
#include "ngx_mqtt_retain.h"


/* headers of a publish without MQTT 5 properties fit without allocation */

#define NGX_MQTT_INGEST_HEADERS  16


/* Kafka, retained, fan-out */

#define NGX_MQTT_INGEST_STEPS    3


static ngx_mqtt_join_t *ngx_mqtt_ingest_split(ngx_mqtt_worker_t *w,
    ngx_mqtt_op_t *op, ngx_mqtt_op_t **steps, ngx_uint_t nsteps);
static void ngx_mqtt_ingest_cancel(ngx_mqtt_join_t *join,
    ngx_mqtt_op_t **steps, ngx_uint_t nsteps);


ngx_int_t
ngx_mqtt_ingest(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_subscriber_t *from, ngx_mqtt_op_t *op, ngx_uint_t *reason)
{
    ngx_int_t              rc;
    ngx_str_t              sub, client_id;
    ngx_uint_t             mapped, nsteps;
    ngx_mqtt_op_t         *steps[NGX_MQTT_INGEST_STEPS], **step;
    ngx_mqtt_join_t       *join;
    ngx_mqtt_fanout_t      fo;
    ngx_mqtt_map_entry_t  *entry;

    *reason = NGX_MQTT_SUCCESS;

    entry = ngx_mqtt_map_find(w->gateway->map, &m->topic, &sub);

    if (entry && ngx_mqtt_map_is_p2p(&sub, &client_id)) {
        return ngx_mqtt_p2p_ingest(w, m, entry, &sub, &client_id, op, reason);
    }

    if (ngx_mqtt_fanout_prepare(w, m, &fo) != NGX_OK) {
        return ngx_mqtt_ingest_busy(w, m);
    }

    mapped = (entry && (entry->direction & NGX_MQTT_MAP_UPLINK));
    nsteps = op ? mapped + m->retain + fo.waits : 0;
    step = steps;
    join = NULL;

    if (nsteps > 1) {
        join = ngx_mqtt_ingest_split(w, op, steps, nsteps);

        if (join == NULL) {
            return NGX_ERROR;
        }
    }

    if (mapped) {
        rc = ngx_mqtt_ingest_kafka(w, m, entry, &sub, join ? *step++ : op);

        if (rc != NGX_OK) {

            if (join) {
                ngx_mqtt_ingest_cancel(join, steps, nsteps);
            }

            return (rc == NGX_BUSY) ? ngx_mqtt_ingest_busy(w, m) : rc;
        }

    } else {
        ngx_mqtt_count(w, NGX_MQTT_STAT_messages_unmapped);
    }

    if (m->retain) {
        ngx_mqtt_retain_store(w, m, join ? *step++ : op);
    }

    rc = ngx_mqtt_fanout(w, m, &fo, from,
                         fo.waits ? (join ? *step : op) : NULL);

    if (rc == NGX_DECLINED && !mapped) {
        *reason = NGX_MQTT_NO_MATCHING_SUBSCRIBERS;
    }

    return nsteps ? NGX_AGAIN : NGX_OK;
}


/* all of them before the first is started: none can be left out then */

static ngx_mqtt_join_t *
ngx_mqtt_ingest_split(ngx_mqtt_worker_t *w, ngx_mqtt_op_t *op,
    ngx_mqtt_op_t **steps, ngx_uint_t nsteps)
{
    ngx_uint_t        i;
    ngx_mqtt_join_t  *join;

    join = ngx_mqtt_join_create(w, op);
    if (join == NULL) {
        return NULL;
    }

    for (i = 0; i < nsteps; i++) {
        steps[i] = ngx_mqtt_join_step(join);

        if (steps[i] == NULL) {
            ngx_mqtt_ingest_cancel(join, steps, i);
            return NULL;
        }
    }

    return join;
}


/* none of the steps was started */

static void
ngx_mqtt_ingest_cancel(ngx_mqtt_join_t *join, ngx_mqtt_op_t **steps,
    ngx_uint_t nsteps)
{
    ngx_uint_t  i;

    for (i = 0; i < nsteps; i++) {
        ngx_mqtt_join_cancel(join, steps[i]);
    }

    (void) ngx_mqtt_join_end(join);
}


/* nothing was done with the message so far */

ngx_int_t
ngx_mqtt_ingest_busy(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m)
{
    if (m->qos) {
        return NGX_BUSY;
    }

    ngx_mqtt_count(w, NGX_MQTT_STAT_messages_dropped);

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_ingest_kafka(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_map_entry_t *entry, ngx_str_t *sub, ngx_mqtt_op_t *op)
{
    u_char                    scratch[NGX_MQTT_MAP_SCRATCH];
    ngx_int_t                 rc;
    ngx_uint_t                max;
    ngx_keyval_t              fixed[NGX_MQTT_INGEST_HEADERS];
    ngx_mqtt_map_uplink_t     up;
    ngx_mqtt_kafka_record_t   rec;

    up.sub = *sub;
    up.client_id = m->origin;
    up.gateway = w->gateway->name;
    up.props = m->props;
    up.expiry = m->expiry;
    up.qos = m->qos;
    up.clean = m->clean;
    up.retain = m->retain;
    up.has_expiry = m->has_expiry;

    rec.topic = entry->index;
    rec.key = m->origin;
    rec.msg = m;
    rec.timestamp = m->received;
    rec.headers = fixed;

    max = ngx_mqtt_map_headers_max(&m->props);

    if (max > NGX_MQTT_INGEST_HEADERS) {
        rec.headers = ngx_mqtt_alloc(w, max * sizeof(ngx_keyval_t));
        if (rec.headers == NULL) {
            return NGX_ERROR;
        }
    }

    rec.nheaders = ngx_mqtt_map_headers(&up, rec.headers, scratch);

    rc = ngx_mqtt_kafka_produce(w->kafka, &rec, m->qos == 0, op);

    if (rec.headers != fixed) {
        ngx_mqtt_free(w, rec.headers, max * sizeof(ngx_keyval_t));
    }

    return rc;
}
