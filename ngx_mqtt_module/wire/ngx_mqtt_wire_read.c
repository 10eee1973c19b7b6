
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The fixed header, variable byte integers, strings, and names for logs.
 *
 * (1) A variable byte integer has at most four bytes and no byte too many
 *     [MQTT-1.5.5-1]; a fifth byte and an over-long form are malformed.
 * (2) Nothing is read at or behind "end".
 *
 * ngx_mqtt_read_fixed() is called by the framing of a connection with what
 * has been received so far; the rest by decoders and encoders.
 */


#include "ngx_mqtt_wire.h"


static ngx_int_t ngx_mqtt_parse_varint(u_char **pos, u_char *end,
    uint32_t *value);


static const char  *ngx_mqtt_packet_names[] = {
    "reserved",
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
    "AUTH"
};


/* from 0x80 on */

static const char  *ngx_mqtt_error_names[] = {
    "unspecified error",
    "malformed packet",
    "protocol error",
    "implementation specific error",
    "unsupported protocol version",
    "client identifier not valid",
    "bad user name or password",
    "not authorized",
    "server unavailable",
    "server busy",
    "banned",
    "server shutting down",
    "bad authentication method",
    "keep alive timeout",
    "session taken over",
    "topic filter invalid",
    "topic name invalid",
    "packet identifier in use",
    "packet identifier not found",
    "receive maximum exceeded",
    "topic alias invalid",
    "packet too large",
    "message rate too high",
    "quota exceeded",
    "administrative action",
    "payload format invalid",
    "retain not supported",
    "QoS not supported",
    "use another server",
    "server moved",
    "shared subscriptions not supported",
    "connection rate exceeded",
    "maximum connect time",
    "subscription identifiers not supported",
    "wildcard subscriptions not supported"
};


ngx_int_t
ngx_mqtt_read_fixed(u_char *p, u_char *end, ngx_mqtt_fixed_t *fx)
{
    u_char     *start;
    uint32_t    remaining;
    ngx_int_t   rc;

    start = p;

    if (p == end) {
        return NGX_AGAIN;
    }

    fx->type = *p >> 4;
    fx->flags = *p++ & 0x0f;

    rc = ngx_mqtt_parse_varint(&p, end, &remaining);
    if (rc != NGX_OK) {
        return rc;
    }

    fx->remaining = remaining;
    fx->len = p - start;

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_fixed_check(ngx_mqtt_fixed_t *fx, ngx_uint_t version)
{
    if (fx->type == 0 || fx->type >= NGX_MQTT_PACKET_TYPES) {
        return NGX_ERROR;
    }

    if (fx->type == NGX_MQTT_AUTH && version < NGX_MQTT_V5) {
        return NGX_ERROR;
    }

    if (version == NGX_MQTT_V31) {
        return NGX_OK;
    }

    switch (fx->type) {

    case NGX_MQTT_PUBLISH:
        /* DUP, QoS and RETAIN: ngx_mqtt_decode_publish() */
        return NGX_OK;

    case NGX_MQTT_PUBREL:
    case NGX_MQTT_SUBSCRIBE:
    case NGX_MQTT_UNSUBSCRIBE:
        return (fx->flags == 0x02) ? NGX_OK : NGX_ERROR;

    default:
        return (fx->flags == 0x00) ? NGX_OK : NGX_ERROR;
    }
}


u_char *
ngx_mqtt_read_varint(u_char *p, u_char *end, uint32_t *value)
{
    if (ngx_mqtt_parse_varint(&p, end, value) != NGX_OK) {
        return NULL;
    }

    return p;
}


static ngx_int_t
ngx_mqtt_parse_varint(u_char **pos, u_char *end, uint32_t *value)
{
    u_char      *p;
    uint32_t     n;
    ngx_uint_t   shift;

    n = 0;

    for (p = *pos, shift = 0; shift < 28; shift += 7) {

        if (p == end) {
            return NGX_AGAIN;
        }

        n |= (uint32_t) (*p & 0x7f) << shift;

        if (*p++ & 0x80) {
            continue;
        }

        if (p[-1] == 0 && shift) {
            /* over-long */
            return NGX_ERROR;
        }

        *value = n;
        *pos = p;

        return NGX_OK;
    }

    return NGX_ERROR;
}


size_t
ngx_mqtt_varint_len(uint32_t value)
{
    if (value < 128) {
        return 1;
    }

    if (value < 16384) {
        return 2;
    }

    if (value < 2097152) {
        return 3;
    }

    return 4;
}


u_char *
ngx_mqtt_write_varint(u_char *p, uint32_t value)
{
    while (value > 127) {
        *p++ = (u_char) (value | 0x80);
        value >>= 7;
    }

    *p++ = (u_char) value;

    return p;
}


u_char *
ngx_mqtt_read_utf8(u_char *p, u_char *end, ngx_str_t *value)
{
    p = ngx_mqtt_read_bin(p, end, value);
    if (p == NULL) {
        return NULL;
    }

    if (ngx_mqtt_utf8_check(value) != NGX_OK) {
        return NULL;
    }

    return p;
}


const char *
ngx_mqtt_packet_name(ngx_uint_t type)
{
    if (type >= NGX_MQTT_PACKET_TYPES) {
        return "unknown";
    }

    return ngx_mqtt_packet_names[type];
}


const char *
ngx_mqtt_reason_name(ngx_uint_t reason)
{
    if (reason >= NGX_MQTT_UNSPECIFIED_ERROR
        && reason <= NGX_MQTT_WILDCARD_SUBS_NOT_SUPPORTED)
    {
        return ngx_mqtt_error_names[reason - NGX_MQTT_UNSPECIFIED_ERROR];
    }

    switch (reason) {

    case NGX_MQTT_SUCCESS:
        return "success";

    case NGX_MQTT_GRANTED_QOS_1:
        return "granted QoS 1";

    case NGX_MQTT_GRANTED_QOS_2:
        return "granted QoS 2";

    case NGX_MQTT_DISCONNECT_WITH_WILL:
        return "disconnect with will message";

    case NGX_MQTT_NO_MATCHING_SUBSCRIBERS:
        return "no matching subscribers";

    case NGX_MQTT_NO_SUBSCRIPTION_EXISTED:
        return "no subscription existed";

    case NGX_MQTT_CONTINUE_AUTHENTICATION:
        return "continue authentication";

    case NGX_MQTT_REAUTHENTICATE:
        return "re-authenticate";
    }

    return "unknown";
}
