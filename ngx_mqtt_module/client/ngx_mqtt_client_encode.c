
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * PUBLISH to a client.  The properties of a message are kept encoded, so a
 * packet is put together from pieces: what belongs to this client and this
 * moment (topic alias, remaining expiry, subscription identifiers) in front
 * of what travels with the message.  A long payload is not copied.
 *
 * Called from: ngx_mqtt_client_deliver.c.
 */


#include "ngx_mqtt_client.h"


/* payloads from here on are sent from the message itself */

#define NGX_MQTT_ENCODE_SHARED  1024


typedef struct {
    ngx_str_t                 topic;
    uint32_t                 *ids;
    ngx_uint_t                nids;
    size_t                    props;        /* of the property block */
    uint32_t                  expiry;       /* seconds left */
    uint16_t                  alias;        /* 0: none */
    unsigned                  new_alias:1;
} ngx_mqtt_encode_t;


static void ngx_mqtt_encode_alias(ngx_mqtt_client_t *mc,
    ngx_mqtt_encode_t *en);
static ngx_int_t ngx_mqtt_encode_store_alias(ngx_mqtt_client_t *mc,
    ngx_mqtt_encode_t *en);
static size_t ngx_mqtt_encode_props_len(ngx_mqtt_msg_t *m,
    ngx_mqtt_encode_t *en);
static u_char *ngx_mqtt_encode_props(u_char *p, ngx_mqtt_msg_t *m,
    ngx_mqtt_encode_t *en);


ngx_int_t
ngx_mqtt_client_send_publish(ngx_mqtt_client_t *mc, ngx_mqtt_msg_t *m,
    ngx_uint_t flags, uint16_t packet_id, uint32_t *ids, ngx_uint_t nids)
{
    size_t              head, remaining, len, copied;
    u_char             *p;
    ngx_mqtt_encode_t   en;

    /*
     * [MQTT-4.3.3-7]: what is sent again does not expire; with QoS 1 it may be
     * that it was not sent before
     */

    if (ngx_mqtt_msg_expired(m) && flags < ngx_mqtt_publish_flags(1, 2, 0)) {
        return NGX_DECLINED;
    }

    en.topic = m->real.len ? m->real : m->topic;
    en.ids = ids;
    en.nids = nids;
    en.props = 0;
    en.expiry = 0;
    en.alias = 0;
    en.new_alias = 0;

    head = 0;

    if (mc->version == NGX_MQTT_V5) {

        if (mc->aliases_out) {
            ngx_mqtt_encode_alias(mc, &en);
        }

        en.props = ngx_mqtt_encode_props_len(m, &en);
        head = ngx_mqtt_varint_len((uint32_t) en.props) + en.props;
    }

    head += 2 + en.topic.len + (packet_id ? 2 : 0);
    remaining = head + m->payload.len;
    len = 1 + ngx_mqtt_varint_len((uint32_t) remaining) + remaining;

    if (len > mc->max_packet_out) {
        return NGX_DECLINED;
    }

    if (en.new_alias && ngx_mqtt_encode_store_alias(mc, &en) != NGX_OK) {
        return NGX_ERROR;
    }

    copied = (m->payload.len < NGX_MQTT_ENCODE_SHARED) ? m->payload.len : 0;

    p = ngx_mqtt_client_room(mc, len - m->payload.len + copied);
    if (p == NULL) {
        return NGX_ERROR;
    }

    *p++ = (u_char) (NGX_MQTT_PUBLISH << 4 | flags);
    p = ngx_mqtt_write_varint(p, (uint32_t) remaining);
    p = ngx_mqtt_write_bin(p, &en.topic);

    if (packet_id) {
        p = ngx_mqtt_write_u16(p, packet_id);
    }

    if (mc->version == NGX_MQTT_V5) {
        p = ngx_mqtt_encode_props(p, m, &en);
    }

    mc->messages_out++;
    ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_messages_out);

    if (copied < m->payload.len) {
        return ngx_mqtt_client_append(mc, m);
    }

    ngx_memcpy(p, m->payload.data, copied);

    return NGX_OK;
}


/* 3.3.2.3.4: an alias of the topic, or a new one while there is room */

static void
ngx_mqtt_encode_alias(ngx_mqtt_client_t *mc, ngx_mqtt_encode_t *en)
{
    ngx_uint_t                i;
    ngx_str_t                *topic;
    ngx_mqtt_client_extra_t  *extra;

    extra = mc->extra;

    if (extra) {

        for (i = 0; i < extra->naliases_out; i++) {
            topic = &extra->aliases_out[i];

            if (topic->len == en->topic.len
                && ngx_memcmp(topic->data, en->topic.data, topic->len) == 0)
            {
                en->alias = (uint16_t) (i + 1);
                en->topic.len = 0;
                return;
            }
        }

        if (extra->naliases_out == mc->aliases_out) {
            return;
        }
    }

    en->new_alias = 1;
    en->alias = extra ? (uint16_t) (extra->naliases_out + 1) : 1;
}


static ngx_int_t
ngx_mqtt_encode_store_alias(ngx_mqtt_client_t *mc, ngx_mqtt_encode_t *en)
{
    ngx_str_t                *topic;
    ngx_mqtt_client_extra_t  *extra;

    extra = ngx_mqtt_client_get_extra(mc);

    if (extra && extra->aliases_out == NULL) {
        extra->aliases_out = ngx_mqtt_alloc(mc->worker,
                                            mc->aliases_out
                                            * sizeof(ngx_str_t));
    }

    if (extra == NULL || extra->aliases_out == NULL) {
        goto failed;
    }

    topic = &extra->aliases_out[extra->naliases_out];

    topic->len = en->topic.len;
    topic->data = ngx_mqtt_alloc(mc->worker, topic->len);

    if (topic->data == NULL) {
        goto failed;
    }

    ngx_memcpy(topic->data, en->topic.data, topic->len);
    extra->naliases_out++;

    return NGX_OK;

failed:

    ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
    return NGX_ERROR;
}


static size_t
ngx_mqtt_encode_props_len(ngx_mqtt_msg_t *m, ngx_mqtt_encode_t *en)
{
    size_t       len;
    uint64_t     now, waited;
    ngx_uint_t   i;
    ngx_time_t  *tp;

    len = m->props.len;

    if (en->alias) {
        len += 1 + 2;
    }

    if (m->has_expiry) {
        tp = ngx_timeofday();

        now = (uint64_t) tp->sec * 1000 + tp->msec;

        /* the clock of another node may be ahead */

        waited = (now > m->received) ? (now - m->received) / 1000 : 0;
        en->expiry = m->expiry - (uint32_t) ngx_min(waited, m->expiry);
        len += 1 + 4;
    }

    for (i = 0; i < en->nids; i++) {
        len += 1 + ngx_mqtt_varint_len(en->ids[i]);
    }

    return len;
}


static u_char *
ngx_mqtt_encode_props(u_char *p, ngx_mqtt_msg_t *m, ngx_mqtt_encode_t *en)
{
    ngx_uint_t  i;

    p = ngx_mqtt_write_varint(p, (uint32_t) en->props);

    if (en->alias) {
        *p++ = NGX_MQTT_PROP_TOPIC_ALIAS;
        p = ngx_mqtt_write_u16(p, en->alias);
    }

    if (m->has_expiry) {
        *p++ = NGX_MQTT_PROP_MESSAGE_EXPIRY;
        p = ngx_mqtt_write_u32(p, en->expiry);
    }

    for (i = 0; i < en->nids; i++) {
        *p++ = NGX_MQTT_PROP_SUBSCRIPTION_ID;
        p = ngx_mqtt_write_varint(p, en->ids[i]);
    }

    if (m->props.len == 0) {
        return p;
    }

    return ngx_cpymem(p, m->props.data, m->props.len);
}
