
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * ingest(): the one entrance of messages that come from clients.
 *
 * (1) A mapped message is acknowledged by Kafka's delivery report and by
 *     nothing else (promise G1).
 * (2) Nothing is taken while the producer is at its bound: the client waits,
 *     or its QoS 0 message is dropped and counted (promise G4).
 *
 * Called from: client/ for PUBLISH.
 */


#include "ngx_mqtt_gateway.h"
#include "ngx_mqtt_kafka.h"
#include "ngx_mqtt_map.h"


/* headers of a publish without MQTT 5 properties fit without allocation */

#define NGX_MQTT_INGEST_HEADERS  16


static ngx_int_t ngx_mqtt_ingest_busy(ngx_mqtt_worker_t *w,
    ngx_mqtt_msg_t *m);
static ngx_int_t ngx_mqtt_ingest_kafka(ngx_mqtt_worker_t *w,
    ngx_mqtt_msg_t *m, ngx_mqtt_map_entry_t *entry, ngx_str_t *sub,
    ngx_mqtt_op_t *op);


ngx_int_t
ngx_mqtt_ingest(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_subscriber_t *from, ngx_mqtt_op_t *op, ngx_uint_t *reason)
{
    ngx_int_t              rc;
    ngx_str_t              sub;
    ngx_mqtt_workers_t     workers;
    ngx_mqtt_map_entry_t  *entry;

    *reason = NGX_MQTT_SUCCESS;

    rc = ngx_mqtt_route_prepare(w, m, &workers);

    if (rc == NGX_BUSY) {
        return ngx_mqtt_ingest_busy(w, m);
    }

    entry = ngx_mqtt_map_find(w->gateway->map, &m->topic, &sub);

    if (entry && (entry->direction & NGX_MQTT_MAP_UPLINK)) {
        rc = ngx_mqtt_ingest_kafka(w, m, entry, &sub, op);

        if (rc == NGX_BUSY) {
            return ngx_mqtt_ingest_busy(w, m);
        }

        if (rc != NGX_OK) {
            return rc;
        }

        (void) ngx_mqtt_route_publish(w, m, &workers, from);

        return m->qos ? NGX_AGAIN : NGX_OK;
    }

    ngx_mqtt_count(w, NGX_MQTT_STAT_messages_unmapped);

    if (ngx_mqtt_route_publish(w, m, &workers, from) != NGX_OK) {
        *reason = NGX_MQTT_NO_MATCHING_SUBSCRIBERS;
    }

    return NGX_OK;
}


/* nothing was done with the message so far */

static ngx_int_t
ngx_mqtt_ingest_busy(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m)
{
    if (m->qos) {
        return NGX_BUSY;
    }

    ngx_mqtt_count(w, NGX_MQTT_STAT_messages_dropped);

    return NGX_OK;
}


static ngx_int_t
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
