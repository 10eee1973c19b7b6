
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * PUBLISH from a client, step by step:
 *
 *     handle -> check -> topic (alias) -> flow -> message -> ingest -> ack
 *
 * (1) A packet that cannot be taken now (Kafka at its bound, too many in
 *     flight) returns NGX_BUSY and comes again: until ingest() has taken the
 *     message nothing is changed that a second pass would see.
 * (2) A packet that came in pieces becomes the message without a copy.
 *
 * Called from: the dispatch of packets; ngx_mqtt_publish_ack() from
 * gateway/ngx_mqtt_ack.c.
 */


#include "ngx_mqtt_client_session.h"
#include "ngx_mqtt_client_auth.h"


/* the properties that travel with the message, 3.3.2.3 */

#define NGX_MQTT_PUBLISH_PROPS                                                \
    (ngx_mqtt_prop_bit(NGX_MQTT_PROP_PAYLOAD_FORMAT)                          \
     | ngx_mqtt_prop_bit(NGX_MQTT_PROP_CONTENT_TYPE)                          \
     | ngx_mqtt_prop_bit(NGX_MQTT_PROP_RESPONSE_TOPIC)                        \
     | ngx_mqtt_prop_bit(NGX_MQTT_PROP_CORRELATION_DATA)                      \
     | ngx_mqtt_prop_bit(NGX_MQTT_PROP_USER_PROPERTY))


static ngx_int_t ngx_mqtt_publish_check(ngx_mqtt_client_t *mc,
    ngx_mqtt_publish_t *pkt);
static ngx_int_t ngx_mqtt_publish_alias(ngx_mqtt_client_t *mc,
    ngx_mqtt_publish_t *pkt);
static ngx_int_t ngx_mqtt_publish_alias_store(ngx_mqtt_client_t *mc,
    ngx_str_t *alias, ngx_str_t *topic);
static ngx_int_t ngx_mqtt_publish_flow(ngx_mqtt_client_t *mc,
    ngx_mqtt_publish_t *pkt);
static ngx_mqtt_msg_t *ngx_mqtt_publish_message(ngx_mqtt_client_t *mc,
    ngx_mqtt_publish_t *pkt);
static size_t ngx_mqtt_publish_props(ngx_mqtt_client_t *mc,
    ngx_mqtt_publish_t *pkt, ngx_mqtt_props_t *props);
static void ngx_mqtt_publish_fill(ngx_mqtt_client_t *mc, ngx_mqtt_msg_t *m,
    ngx_mqtt_publish_t *pkt);
static ngx_int_t ngx_mqtt_publish_ingest(ngx_mqtt_client_t *mc,
    ngx_mqtt_publish_t *pkt, ngx_mqtt_msg_t *m);
static ngx_int_t ngx_mqtt_publish_ingest_acked(ngx_mqtt_client_t *mc,
    ngx_mqtt_publish_t *pkt, ngx_mqtt_msg_t *m);
static void ngx_mqtt_publish_count(ngx_mqtt_client_t *mc, ngx_uint_t qos);


ngx_int_t
ngx_mqtt_handle_publish(ngx_mqtt_client_t *mc, ngx_mqtt_fixed_t *fx,
    u_char *p)
{
    ngx_int_t            rc;
    ngx_mqtt_msg_t      *m;
    ngx_mqtt_publish_t   pkt;

    if (ngx_mqtt_decode_publish(p, p + fx->remaining, mc->version, fx->flags,
                                &pkt)
        != NGX_OK)
    {
        return ngx_mqtt_client_error(mc, pkt.reason,
                                     "client sent invalid PUBLISH");
    }

    if (ngx_mqtt_publish_check(mc, &pkt) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_mqtt_publish_flow(mc, &pkt);

    if (rc != NGX_OK) {
        return (rc == NGX_DONE) ? NGX_OK : rc;
    }

    if (ngx_mqtt_client_limit_publish(mc, fx->remaining) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_mqtt_client_control(mc, &pkt);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (ngx_mqtt_client_may_publish(mc, &pkt.topic) != NGX_OK) {
        return ngx_mqtt_client_refuse_publish(mc, &pkt,
                                              NGX_MQTT_NOT_AUTHORIZED);
    }

    m = ngx_mqtt_publish_message(mc, &pkt);

    if (m == NULL) {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return NGX_ERROR;
    }

    rc = ngx_mqtt_publish_ingest(mc, &pkt, m);

    ngx_mqtt_msg_unref(m);

    return rc;
}


static ngx_int_t
ngx_mqtt_publish_check(ngx_mqtt_client_t *mc, ngx_mqtt_publish_t *pkt)
{
    ngx_uint_t               reason;
    ngx_mqtt_client_conf_t  *conf;

    conf = mc->conf;

    if (pkt->retain && !conf->retain) {

        /* [MQTT-3.2.2-14]; silence would be the only other answer to 3.1.1 */

        return ngx_mqtt_client_error(mc, NGX_MQTT_RETAIN_NOT_SUPPORTED,
                                     "client sent PUBLISH with RETAIN");
    }

    if (mc->version == NGX_MQTT_V5) {

        if (ngx_mqtt_prop_is_set(&pkt->props, NGX_MQTT_PROP_SUBSCRIPTION_ID)) {
            return ngx_mqtt_client_error(mc, NGX_MQTT_PROTOCOL_ERROR,
                                         "client sent PUBLISH with a "
                                         "subscription identifier");
        }

        if (ngx_mqtt_prop_is_set(&pkt->props, NGX_MQTT_PROP_TOPIC_ALIAS)
            && ngx_mqtt_publish_alias(mc, pkt) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    reason = (mc->version == NGX_MQTT_V5) ? NGX_MQTT_TOPIC_NAME_INVALID
                                          : NGX_MQTT_UNSPECIFIED_ERROR;

    if (pkt->topic.len > (size_t) conf->max_topic_length) {
        return ngx_mqtt_client_error(mc, reason,
                                     "client sent too long topic of %uz "
                                     "bytes", pkt->topic.len);
    }

    if (conf->max_topic_levels
        && ngx_mqtt_topic_levels(&pkt->topic)
           > (ngx_uint_t) conf->max_topic_levels)
    {
        return ngx_mqtt_client_error(mc, reason,
                                     "client sent topic of too many levels");
    }

    return NGX_OK;
}


/* 3.3.2.3.4: sets pkt->topic from the alias, or the alias from the topic */

static ngx_int_t
ngx_mqtt_publish_alias(ngx_mqtt_client_t *mc, ngx_mqtt_publish_t *pkt)
{
    ngx_str_t                *alias;
    ngx_uint_t                n, max;
    ngx_mqtt_client_extra_t  *extra;

    n = pkt->props.topic_alias;
    max = mc->conf->topic_alias_maximum;

    if (n == 0 || n > max) {
        return ngx_mqtt_client_error(mc, NGX_MQTT_TOPIC_ALIAS_INVALID,
                                     "client sent topic alias %ui over "
                                     "maximum %ui", n, max);
    }

    extra = ngx_mqtt_client_get_extra(mc);

    if (extra && extra->aliases == NULL) {
        extra->aliases = ngx_mqtt_calloc(mc->worker, max * sizeof(ngx_str_t));
    }

    if (extra == NULL || extra->aliases == NULL) {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return NGX_ERROR;
    }

    alias = &extra->aliases[n - 1];

    if (pkt->topic.len) {
        return ngx_mqtt_publish_alias_store(mc, alias, &pkt->topic);
    }

    if (alias->len == 0) {
        return ngx_mqtt_client_error(mc, NGX_MQTT_PROTOCOL_ERROR,
                                     "client sent unknown topic alias %ui",
                                     n);
    }

    pkt->topic = *alias;

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_publish_alias_store(ngx_mqtt_client_t *mc, ngx_str_t *alias,
    ngx_str_t *topic)
{
    u_char  *p;

    if (alias->len == topic->len
        && ngx_memcmp(alias->data, topic->data, topic->len) == 0)
    {
        return NGX_OK;
    }

    p = ngx_mqtt_alloc(mc->worker, topic->len);

    if (p == NULL) {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return NGX_ERROR;
    }

    if (alias->len) {
        ngx_mqtt_free(mc->worker, alias->data, alias->len);
    }

    ngx_memcpy(p, topic->data, topic->len);

    alias->data = p;
    alias->len = topic->len;

    return NGX_OK;
}


/*
 * 4.9 and 4.3.3.  NGX_DONE: a QoS 2 publish that is known already; NGX_BUSY:
 * a client of 3.1 or 3.1.1, which knows no Receive Maximum, has to wait.
 */

static ngx_int_t
ngx_mqtt_publish_flow(ngx_mqtt_client_t *mc, ngx_mqtt_publish_t *pkt)
{
    ngx_uint_t  inflight;

    if (pkt->qos == 0) {
        return NGX_OK;
    }

    inflight = mc->acks.nslots;

    if (mc->extra) {

        if (pkt->qos == 2
            && ngx_mqtt_id_set_has(&mc->extra->received, pkt->packet_id))
        {
            /* while its PUBREC is owed, that one will do */

            if (!ngx_mqtt_ack_is_owed(&mc->acks, pkt->packet_id)) {
                ngx_mqtt_client_send_ack(mc, NGX_MQTT_PUBREC, pkt->packet_id,
                                         NGX_MQTT_SUCCESS);
            }

            return NGX_DONE;
        }

        /* of QoS 2 all that are not released, 4.9 */

        inflight += mc->extra->received.n - mc->acks.nqos2;
    }

    if (mc->version == NGX_MQTT_V5) {

        if (inflight >= (ngx_uint_t) mc->conf->receive_maximum) {
            return ngx_mqtt_client_error(mc,
                                         NGX_MQTT_RECEIVE_MAXIMUM_EXCEEDED,
                                         "client exceeded receive maximum "
                                         "%ui", mc->conf->receive_maximum);
        }

    } else if (mc->acks.nslots >= (ngx_uint_t) mc->conf->max_inflight) {
        mc->flow_blocked = 1;
        return NGX_BUSY;
    }

    return NGX_OK;
}


static ngx_mqtt_msg_t *
ngx_mqtt_publish_message(ngx_mqtt_client_t *mc, ngx_mqtt_publish_t *pkt)
{
    u_char            *p;
    size_t             len;
    ngx_mqtt_msg_t    *m;
    ngx_mqtt_props_t   props;

    if (mc->in.block && mc->in.packet
        && (mc->version != NGX_MQTT_V5
            || (pkt->props.present & ~NGX_MQTT_PUBLISH_PROPS) == 0))
    {
        /* topic, payload and properties point into the block already */

        m = mc->in.block;
        ngx_mqtt_msg_ref(m);

        m->topic = pkt->topic;
        m->payload = pkt->payload;
        ngx_str_null(&m->props);

        if (mc->version == NGX_MQTT_V5) {
            m->props = pkt->props.raw;
        }

        m->origin.data = ngx_mqtt_msg_data(m) + mc->in.packet;

    } else {
        len = ngx_mqtt_publish_props(mc, pkt, &props);

        m = ngx_mqtt_msg_create(mc->worker,
                                pkt->topic.len + pkt->payload.len + len
                                + mc->node.key.len);
        if (m == NULL) {
            return NULL;
        }

        p = ngx_mqtt_msg_data(m);

        m->topic.data = p;
        m->topic.len = pkt->topic.len;
        p = ngx_cpymem(p, pkt->topic.data, pkt->topic.len);

        m->payload.data = p;
        m->payload.len = pkt->payload.len;
        p = ngx_cpymem(p, pkt->payload.data, pkt->payload.len);

        m->props.data = p;
        m->props.len = len;

        if (len) {
            p = ngx_mqtt_write_props_raw(p, &props);
        }

        m->origin.data = p;
    }

    m->origin.len = mc->node.key.len;
    ngx_memcpy(m->origin.data, mc->node.key.data, mc->node.key.len);

    ngx_mqtt_publish_fill(mc, m, pkt);

    return m;
}


/* what travels of the properties, and its length */

static size_t
ngx_mqtt_publish_props(ngx_mqtt_client_t *mc, ngx_mqtt_publish_t *pkt,
    ngx_mqtt_props_t *props)
{
    if (mc->version != NGX_MQTT_V5 || pkt->props.present == 0) {
        return 0;
    }

    *props = pkt->props;

    props->present &= NGX_MQTT_PUBLISH_PROPS;
    props->nsub_ids = 0;

    return ngx_mqtt_props_raw_len(props);
}


static void
ngx_mqtt_publish_fill(ngx_mqtt_client_t *mc, ngx_mqtt_msg_t *m,
    ngx_mqtt_publish_t *pkt)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    m->received = (uint64_t) tp->sec * 1000 + tp->msec;
    m->qos = pkt->qos;
    m->retain = pkt->retain;
    m->clean = mc->clean_start
               && (mc->version != NGX_MQTT_V5 || mc->session_expiry == 0);

    if (mc->version == NGX_MQTT_V5
        && ngx_mqtt_prop_is_set(&pkt->props, NGX_MQTT_PROP_MESSAGE_EXPIRY))
    {
        m->has_expiry = 1;
        m->expiry = pkt->props.message_expiry;
    }
}


static ngx_int_t
ngx_mqtt_publish_ingest(ngx_mqtt_client_t *mc, ngx_mqtt_publish_t *pkt,
    ngx_mqtt_msg_t *m)
{
    ngx_int_t   rc;
    ngx_uint_t  reason;

    if (pkt->qos) {
        rc = ngx_mqtt_publish_ingest_acked(mc, pkt, m);

    } else {
        rc = ngx_mqtt_ingest(mc->worker, m, &mc->subscriber, NULL, &reason);

        if (rc == NGX_DECLINED) {
            rc = NGX_OK;
        }
    }

    switch (rc) {

    case NGX_OK:
        ngx_mqtt_publish_count(mc, pkt->qos);
        return NGX_OK;

    case NGX_BUSY:
        ngx_mqtt_client_limit_again(mc);
        ngx_mqtt_client_pause(mc);
        return NGX_BUSY;

    default:
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return NGX_ERROR;
    }
}


static ngx_int_t
ngx_mqtt_publish_ingest_acked(ngx_mqtt_client_t *mc, ngx_mqtt_publish_t *pkt,
    ngx_mqtt_msg_t *m)
{
    ngx_int_t             rc;
    ngx_uint_t            reason;
    ngx_mqtt_op_t        *op;
    ngx_mqtt_worker_t    *w;
    ngx_mqtt_ack_slot_t  *slot;

    w = mc->worker;

    slot = ngx_mqtt_ack_take(w, &mc->acks, pkt->qos, pkt->packet_id);
    if (slot == NULL) {
        return NGX_ERROR;
    }

    /* not the client's: a message completes also when its sender has left */

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_ack_ingested, slot);

    if (op == NULL) {
        ngx_mqtt_ack_return(slot);
        return NGX_ERROR;
    }

    rc = ngx_mqtt_ingest(w, m, &mc->subscriber, op, &reason);

    if (rc == NGX_BUSY || rc == NGX_ERROR) {
        ngx_mqtt_op_cancel(op);
        ngx_mqtt_ack_return(slot);
        return rc;
    }

    if (pkt->qos == 2
        && (ngx_mqtt_client_get_extra(mc) == NULL
            || ngx_mqtt_id_set_add(w, &mc->extra->received, pkt->packet_id)
               != NGX_OK))
    {
        /* the client goes without an answer and asks again */

        if (rc != NGX_AGAIN) {
            ngx_mqtt_op_cancel(op);
            ngx_mqtt_ack_return(slot);
        }

        return NGX_ERROR;
    }

    if (rc != NGX_AGAIN) {
        ngx_mqtt_op_cancel(op);
        ngx_mqtt_ack_done(slot, reason);
    }

    return NGX_OK;
}


static void
ngx_mqtt_publish_count(ngx_mqtt_client_t *mc, ngx_uint_t qos)
{
    mc->messages_in++;

    ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_messages_in_qos0 + qos);
}


/* a publish is settled; a refusal is an answer in 5.0 only */

void
ngx_mqtt_publish_ack(void *data, ngx_uint_t qos, uint16_t packet_id,
    ngx_uint_t reason)
{
    ngx_str_t           text;
    ngx_mqtt_client_t  *mc;

    mc = data;

    if (mc->closing) {
        return;
    }

    ngx_str_null(&text);

    if (reason >= NGX_MQTT_UNSPECIFIED_ERROR) {
        text.data = (u_char *) ngx_mqtt_reason_name(reason);
        text.len = ngx_strlen(text.data);

        ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_messages_refused);

        ngx_log_error(NGX_LOG_INFO, mc->connection->log, 0,
                      "publish of client was refused: %V", &text);

        /* 4.3.3: the id is free again; in 3.1.1 if it is never acknowledged */

        if (qos == 2 && ngx_mqtt_client_refuses(mc)) {
            (void) ngx_mqtt_id_set_remove(mc->worker, &mc->extra->received,
                                          packet_id);
        }

        if (mc->version != NGX_MQTT_V5 && ngx_mqtt_client_refuses(mc)) {
            ngx_mqtt_client_close(mc, reason);
            return;
        }
    }

    ngx_mqtt_client_send_reason(mc, (qos == 1) ? NGX_MQTT_PUBACK
                                               : NGX_MQTT_PUBREC,
                                packet_id, reason, &text);

    if (mc->flow_blocked) {
        mc->flow_blocked = 0;
        ngx_mqtt_client_resume(mc);
    }
}


/* the id of a QoS 2 publish outlives the connection before PUBREC is sent */

ngx_int_t
ngx_mqtt_publish_guard(void *data, ngx_mqtt_ack_slot_t *slot,
    ngx_uint_t reason)
{
    ngx_mqtt_client_t  *mc;

    mc = data;

    if (mc->closing || reason >= NGX_MQTT_UNSPECIFIED_ERROR) {
        return NGX_OK;
    }

    return (ngx_mqtt_client_save_then(mc, NGX_MQTT_PUBREC, 0, slot, reason)
            == NGX_OK)
           ? NGX_AGAIN : NGX_OK;
}
