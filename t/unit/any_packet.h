
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Any packet: decodes by type and version what a fixed header announces, and
 * encodes it again.  Shared by unit tests and fuzz targets.
 *
 * (1) The decoder leaves repeated subscription identifiers in the packet; they
 *     are gathered here into what the encoder wants.
 * (2) any_decode() says 0 or the reason code of the refusal.
 */


#ifndef _ANY_PACKET_H_INCLUDED_
#define _ANY_PACKET_H_INCLUDED_


#include <stdlib.h>

#include "ngx_mqtt_wire.h"


typedef struct {
    ngx_mqtt_fixed_t             fx;
    ngx_uint_t                   version;

    union {
        ngx_mqtt_connect_t       connect;
        ngx_mqtt_connack_t       connack;
        ngx_mqtt_publish_t       publish;
        ngx_mqtt_ack_t           ack;
        ngx_mqtt_subscribe_t     subscribe;
        ngx_mqtt_suback_t        suback;
    } u;

    uint32_t                    *sub_ids;
} any_packet_t;


static ngx_uint_t
any_reason(ngx_int_t rc, ngx_uint_t reason)
{
    if (rc == NGX_OK) {
        /* a decoder that succeeds has no reason left */
        return (reason == NGX_MQTT_SUCCESS) ? NGX_MQTT_SUCCESS : 0x1ff;
    }

    /* one that fails has one, and returns nothing but NGX_ERROR */

    if (rc != NGX_ERROR || reason < 0x80) {
        return 0x1ff;
    }

    return reason;
}


static ngx_mqtt_props_t *
any_props(any_packet_t *any)
{
    switch (any->fx.type) {

    case NGX_MQTT_PUBLISH:
        return &any->u.publish.props;

    case NGX_MQTT_SUBSCRIBE:
        return &any->u.subscribe.props;
    }

    return NULL;
}


static void
any_gather_sub_ids(any_packet_t *any)
{
    u_char            *pos;
    uint32_t           id;
    ngx_mqtt_props_t  *props;

    props = any_props(any);

    if (props == NULL
        || !ngx_mqtt_prop_is_set(props, NGX_MQTT_PROP_SUBSCRIPTION_ID))
    {
        return;
    }

    any->sub_ids = malloc(props->raw.len * sizeof(uint32_t));
    if (any->sub_ids == NULL) {
        abort();
    }

    props->sub_ids = any->sub_ids;
    props->nsub_ids = 0;
    pos = NULL;

    while (ngx_mqtt_props_next_sub_id(&props->raw, &pos, &id) == NGX_OK) {
        any->sub_ids[props->nsub_ids++] = id;
    }

    /* the bit is set, so there is one, and the first is in the field */

    if (props->nsub_ids == 0 || any->sub_ids[0] != props->subscription_id) {
        abort();
    }
}


/* the body behind a fixed header that has been read into any->fx */

static ngx_uint_t
any_decode(any_packet_t *any, ngx_uint_t version, u_char *p, u_char *end)
{
    ngx_int_t          rc;
    ngx_uint_t         type;
    ngx_mqtt_fixed_t  *fx;

    fx = &any->fx;
    type = fx->type;

    any->version = version;
    any->sub_ids = NULL;

    if (ngx_mqtt_fixed_check(fx, (type == NGX_MQTT_CONNECT) ? 0 : version)
        != NGX_OK)
    {
        return NGX_MQTT_MALFORMED_PACKET;
    }

    switch (type) {

    case NGX_MQTT_CONNECT:
        rc = ngx_mqtt_decode_connect(p, end, &any->u.connect);
        any->version = any->u.connect.version;
        return any_reason(rc, any->u.connect.reason);

    case NGX_MQTT_CONNACK:
        rc = ngx_mqtt_decode_connack(p, end, version, &any->u.connack);
        return any_reason(rc, any->u.connack.reason);

    case NGX_MQTT_PUBLISH:
        rc = ngx_mqtt_decode_publish(p, end, version, fx->flags,
                                     &any->u.publish);
        if (rc == NGX_OK) {
            any_gather_sub_ids(any);
        }

        return any_reason(rc, any->u.publish.reason);

    case NGX_MQTT_SUBSCRIBE:
    case NGX_MQTT_UNSUBSCRIBE:
        rc = ngx_mqtt_decode_subscribe(p, end, version, type,
                                       &any->u.subscribe);
        if (rc == NGX_OK) {
            any_gather_sub_ids(any);
        }

        return any_reason(rc, any->u.subscribe.reason);

    case NGX_MQTT_SUBACK:
    case NGX_MQTT_UNSUBACK:
        rc = ngx_mqtt_decode_suback(p, end, version, type, &any->u.suback);
        return any_reason(rc, any->u.suback.reason);

    case NGX_MQTT_PINGREQ:
    case NGX_MQTT_PINGRESP:
        return (p == end) ? NGX_MQTT_SUCCESS : NGX_MQTT_MALFORMED_PACKET;
    }

    rc = ngx_mqtt_decode_ack(p, end, version, type, &any->u.ack);

    return any_reason(rc, any->u.ack.reason);
}


static size_t
any_len(any_packet_t *any)
{
    ngx_uint_t  type, version;

    type = any->fx.type;
    version = any->version;

    switch (type) {

    case NGX_MQTT_CONNECT:
        return ngx_mqtt_connect_len(&any->u.connect);

    case NGX_MQTT_CONNACK:
        return ngx_mqtt_connack_len(version, &any->u.connack);

    case NGX_MQTT_PUBLISH:
        return ngx_mqtt_publish_len(version, &any->u.publish);

    case NGX_MQTT_SUBSCRIBE:
    case NGX_MQTT_UNSUBSCRIBE:
        return ngx_mqtt_subscribe_len(version, type, &any->u.subscribe);

    case NGX_MQTT_SUBACK:
    case NGX_MQTT_UNSUBACK:
        return ngx_mqtt_suback_len(version, type, &any->u.suback);

    case NGX_MQTT_PINGREQ:
    case NGX_MQTT_PINGRESP:
        return 2;
    }

    return ngx_mqtt_ack_len(version, type, &any->u.ack);
}


static u_char *
any_write(any_packet_t *any, u_char *p)
{
    ngx_uint_t  type, version;

    type = any->fx.type;
    version = any->version;

    switch (type) {

    case NGX_MQTT_CONNECT:
        return ngx_mqtt_write_connect(p, &any->u.connect);

    case NGX_MQTT_CONNACK:
        return ngx_mqtt_write_connack(p, version, &any->u.connack);

    case NGX_MQTT_PUBLISH:
        return ngx_mqtt_write_publish(p, version, &any->u.publish);

    case NGX_MQTT_SUBSCRIBE:
    case NGX_MQTT_UNSUBSCRIBE:
        return ngx_mqtt_write_subscribe(p, version, type, &any->u.subscribe);

    case NGX_MQTT_SUBACK:
    case NGX_MQTT_UNSUBACK:
        return ngx_mqtt_write_suback(p, version, type, &any->u.suback);

    case NGX_MQTT_PINGREQ:
    case NGX_MQTT_PINGRESP:
        return ngx_mqtt_write_ping(p, type);
    }

    return ngx_mqtt_write_ack(p, version, type, &any->u.ack);
}


#endif /* _ANY_PACKET_H_INCLUDED_ */
