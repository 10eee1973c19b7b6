
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Encoders: _len() gives the length of a whole packet, _write_() writes it.
 *
 * (1) Both sides of a pair come from the same _remaining(), so that they
 *     cannot disagree.
 * (2) Structs are valid and buffers are large enough: nothing is checked.  A
 *     Remaining Length over NGX_MQTT_MAX_REMAINING cannot be written.
 * (3) A version over 5 takes the shape of 5.0: so is a CONNACK that refuses
 *     it.
 *
 * Called from whatever sends a packet.  PUBLISH to clients is put together in
 * client/ngx_mqtt_client_encode.c, from properties that are encoded already.
 */


#include "ngx_mqtt_wire.h"


static size_t ngx_mqtt_packet_len(size_t remaining);
static u_char *ngx_mqtt_write_fixed(u_char *p, ngx_uint_t type,
    ngx_uint_t flags, size_t remaining);
static size_t ngx_mqtt_connect_remaining(ngx_mqtt_connect_t *pkt);
static ngx_uint_t ngx_mqtt_connect_flags(ngx_mqtt_connect_t *pkt);
static u_char *ngx_mqtt_write_connect_payload(u_char *p,
    ngx_mqtt_connect_t *pkt);
static size_t ngx_mqtt_connack_remaining(ngx_uint_t version,
    ngx_mqtt_connack_t *pkt);
static size_t ngx_mqtt_publish_remaining(ngx_uint_t version,
    ngx_mqtt_publish_t *pkt);
static ngx_uint_t ngx_mqtt_ack_has_id(ngx_uint_t type);
static ngx_uint_t ngx_mqtt_ack_has_code(ngx_uint_t version, ngx_uint_t type,
    ngx_mqtt_ack_t *pkt);
static ngx_uint_t ngx_mqtt_ack_has_props(ngx_uint_t version, ngx_uint_t type,
    ngx_mqtt_ack_t *pkt);
static size_t ngx_mqtt_ack_remaining(ngx_uint_t version, ngx_uint_t type,
    ngx_mqtt_ack_t *pkt);
static size_t ngx_mqtt_subscribe_remaining(ngx_uint_t version,
    ngx_mqtt_subscribe_t *pkt);
static size_t ngx_mqtt_suback_remaining(ngx_uint_t version, ngx_uint_t type,
    ngx_mqtt_suback_t *pkt);


static ngx_str_t  ngx_mqtt_protocol_v31 = ngx_string("MQIsdp");
static ngx_str_t  ngx_mqtt_protocol = ngx_string("MQTT");


static size_t
ngx_mqtt_packet_len(size_t remaining)
{
    return 1 + ngx_mqtt_varint_len((uint32_t) remaining) + remaining;
}


static u_char *
ngx_mqtt_write_fixed(u_char *p, ngx_uint_t type, ngx_uint_t flags,
    size_t remaining)
{
    *p++ = (u_char) (type << 4 | flags);

    return ngx_mqtt_write_varint(p, (uint32_t) remaining);
}


size_t
ngx_mqtt_connect_len(ngx_mqtt_connect_t *pkt)
{
    return ngx_mqtt_packet_len(ngx_mqtt_connect_remaining(pkt));
}


static size_t
ngx_mqtt_connect_remaining(ngx_mqtt_connect_t *pkt)
{
    size_t  len;

    /* protocol name, level, flags, keep alive, client identifier */

    len = 2 + 1 + 1 + 2 + 2 + pkt->client_id.len;

    len += (pkt->version == NGX_MQTT_V31) ? ngx_mqtt_protocol_v31.len
                                          : ngx_mqtt_protocol.len;

    if (pkt->version >= NGX_MQTT_V5) {
        len += ngx_mqtt_props_len(&pkt->props);
    }

    if (pkt->has_will) {
        len += 2 + pkt->will.topic.len + 2 + pkt->will.payload.len;

        if (pkt->version >= NGX_MQTT_V5) {
            len += ngx_mqtt_props_len(&pkt->will.props);
        }
    }

    if (pkt->has_username) {
        len += 2 + pkt->username.len;
    }

    if (pkt->has_password) {
        len += 2 + pkt->password.len;
    }

    return len;
}


static ngx_uint_t
ngx_mqtt_connect_flags(ngx_mqtt_connect_t *pkt)
{
    ngx_uint_t  flags;

    flags = pkt->clean << 1;

    if (pkt->has_will) {
        flags |= 0x04;
        flags |= pkt->will.qos << 3;
        flags |= pkt->will.retain << 5;
    }

    flags |= pkt->has_password << 6;
    flags |= pkt->has_username << 7;

    return flags;
}


u_char *
ngx_mqtt_write_connect(u_char *p, ngx_mqtt_connect_t *pkt)
{
    p = ngx_mqtt_write_fixed(p, NGX_MQTT_CONNECT, 0,
                             ngx_mqtt_connect_remaining(pkt));

    p = ngx_mqtt_write_bin(p, (pkt->version == NGX_MQTT_V31)
                              ? &ngx_mqtt_protocol_v31 : &ngx_mqtt_protocol);

    *p++ = (u_char) (pkt->version | (pkt->bridge << 7));
    *p++ = (u_char) ngx_mqtt_connect_flags(pkt);

    p = ngx_mqtt_write_u16(p, pkt->keep_alive);

    if (pkt->version >= NGX_MQTT_V5) {
        p = ngx_mqtt_write_props(p, &pkt->props);
    }

    return ngx_mqtt_write_connect_payload(p, pkt);
}


static u_char *
ngx_mqtt_write_connect_payload(u_char *p, ngx_mqtt_connect_t *pkt)
{
    p = ngx_mqtt_write_bin(p, &pkt->client_id);

    if (pkt->has_will) {

        if (pkt->version >= NGX_MQTT_V5) {
            p = ngx_mqtt_write_props(p, &pkt->will.props);
        }

        p = ngx_mqtt_write_bin(p, &pkt->will.topic);
        p = ngx_mqtt_write_bin(p, &pkt->will.payload);
    }

    if (pkt->has_username) {
        p = ngx_mqtt_write_bin(p, &pkt->username);
    }

    if (pkt->has_password) {
        p = ngx_mqtt_write_bin(p, &pkt->password);
    }

    return p;
}


size_t
ngx_mqtt_connack_len(ngx_uint_t version, ngx_mqtt_connack_t *pkt)
{
    return ngx_mqtt_packet_len(ngx_mqtt_connack_remaining(version, pkt));
}


static size_t
ngx_mqtt_connack_remaining(ngx_uint_t version, ngx_mqtt_connack_t *pkt)
{
    size_t  len;

    len = 2;

    if (version >= NGX_MQTT_V5) {
        len += ngx_mqtt_props_len(&pkt->props);
    }

    return len;
}


u_char *
ngx_mqtt_write_connack(u_char *p, ngx_uint_t version, ngx_mqtt_connack_t *pkt)
{
    p = ngx_mqtt_write_fixed(p, NGX_MQTT_CONNACK, 0,
                             ngx_mqtt_connack_remaining(version, pkt));

    /* 3.1 has no Session Present, its byte is reserved */

    *p++ = (u_char) (version != NGX_MQTT_V31 && pkt->session_present);
    *p++ = (u_char) pkt->code;

    if (version >= NGX_MQTT_V5) {
        p = ngx_mqtt_write_props(p, &pkt->props);
    }

    return p;
}


size_t
ngx_mqtt_publish_len(ngx_uint_t version, ngx_mqtt_publish_t *pkt)
{
    return ngx_mqtt_packet_len(ngx_mqtt_publish_remaining(version, pkt));
}


static size_t
ngx_mqtt_publish_remaining(ngx_uint_t version, ngx_mqtt_publish_t *pkt)
{
    size_t  len;

    len = 2 + pkt->topic.len + pkt->payload.len;

    if (pkt->qos) {
        len += 2;
    }

    if (version >= NGX_MQTT_V5) {
        len += ngx_mqtt_props_len(&pkt->props);
    }

    return len;
}


u_char *
ngx_mqtt_write_publish(u_char *p, ngx_uint_t version, ngx_mqtt_publish_t *pkt)
{
    p = ngx_mqtt_write_publish_head(p, version, pkt);

    if (pkt->payload.len) {
        p = ngx_cpymem(p, pkt->payload.data, pkt->payload.len);
    }

    return p;
}


size_t
ngx_mqtt_publish_head_len(ngx_uint_t version, ngx_mqtt_publish_t *pkt)
{
    return ngx_mqtt_publish_len(version, pkt) - pkt->payload.len;
}


u_char *
ngx_mqtt_write_publish_head(u_char *p, ngx_uint_t version,
    ngx_mqtt_publish_t *pkt)
{
    p = ngx_mqtt_write_fixed(p, NGX_MQTT_PUBLISH,
                             pkt->dup << 3 | pkt->qos << 1 | pkt->retain,
                             ngx_mqtt_publish_remaining(version, pkt));

    p = ngx_mqtt_write_bin(p, &pkt->topic);

    if (pkt->qos) {
        p = ngx_mqtt_write_u16(p, pkt->packet_id);
    }

    if (version >= NGX_MQTT_V5) {
        p = ngx_mqtt_write_props(p, &pkt->props);
    }

    return p;
}


static ngx_uint_t
ngx_mqtt_ack_has_id(ngx_uint_t type)
{
    return type != NGX_MQTT_DISCONNECT && type != NGX_MQTT_AUTH;
}


/* 3.4.2.1: the reason code may be left out if it is 0 and nothing follows */

static ngx_uint_t
ngx_mqtt_ack_has_code(ngx_uint_t version, ngx_uint_t type, ngx_mqtt_ack_t *pkt)
{
    if (version < NGX_MQTT_V5) {
        return 0;
    }

    return pkt->code != NGX_MQTT_SUCCESS
           || ngx_mqtt_ack_has_props(version, type, pkt);
}


/* 3.4.2.2.1: so may the property length, but not in AUTH, 3.15.2.1 */

static ngx_uint_t
ngx_mqtt_ack_has_props(ngx_uint_t version, ngx_uint_t type,
    ngx_mqtt_ack_t *pkt)
{
    if (version < NGX_MQTT_V5) {
        return 0;
    }

    if (type == NGX_MQTT_AUTH && pkt->code != NGX_MQTT_SUCCESS) {
        return 1;
    }

    return ngx_mqtt_props_len(&pkt->props) != 1;
}


size_t
ngx_mqtt_ack_len(ngx_uint_t version, ngx_uint_t type, ngx_mqtt_ack_t *pkt)
{
    return ngx_mqtt_packet_len(ngx_mqtt_ack_remaining(version, type, pkt));
}


static size_t
ngx_mqtt_ack_remaining(ngx_uint_t version, ngx_uint_t type,
    ngx_mqtt_ack_t *pkt)
{
    size_t  len;

    len = ngx_mqtt_ack_has_id(type) ? 2 : 0;

    if (ngx_mqtt_ack_has_code(version, type, pkt)) {
        len += 1;
    }

    if (ngx_mqtt_ack_has_props(version, type, pkt)) {
        len += ngx_mqtt_props_len(&pkt->props);
    }

    return len;
}


u_char *
ngx_mqtt_write_ack(u_char *p, ngx_uint_t version, ngx_uint_t type,
    ngx_mqtt_ack_t *pkt)
{
    p = ngx_mqtt_write_fixed(p, type, (type == NGX_MQTT_PUBREL) ? 0x02 : 0,
                             ngx_mqtt_ack_remaining(version, type, pkt));

    if (ngx_mqtt_ack_has_id(type)) {
        p = ngx_mqtt_write_u16(p, pkt->packet_id);
    }

    if (ngx_mqtt_ack_has_code(version, type, pkt)) {
        *p++ = (u_char) pkt->code;
    }

    if (ngx_mqtt_ack_has_props(version, type, pkt)) {
        p = ngx_mqtt_write_props(p, &pkt->props);
    }

    return p;
}


size_t
ngx_mqtt_subscribe_len(ngx_uint_t version, ngx_uint_t type,
    ngx_mqtt_subscribe_t *pkt)
{
    return ngx_mqtt_packet_len(ngx_mqtt_subscribe_remaining(version, pkt));
}


static size_t
ngx_mqtt_subscribe_remaining(ngx_uint_t version, ngx_mqtt_subscribe_t *pkt)
{
    size_t  len;

    len = 2 + pkt->filters.len;

    if (version >= NGX_MQTT_V5) {
        len += ngx_mqtt_props_len(&pkt->props);
    }

    return len;
}


u_char *
ngx_mqtt_write_subscribe(u_char *p, ngx_uint_t version, ngx_uint_t type,
    ngx_mqtt_subscribe_t *pkt)
{
    p = ngx_mqtt_write_fixed(p, type, 0x02,
                             ngx_mqtt_subscribe_remaining(version, pkt));

    p = ngx_mqtt_write_u16(p, pkt->packet_id);

    if (version >= NGX_MQTT_V5) {
        p = ngx_mqtt_write_props(p, &pkt->props);
    }

    return ngx_cpymem(p, pkt->filters.data, pkt->filters.len);
}


size_t
ngx_mqtt_filter_len(ngx_uint_t type, ngx_mqtt_filter_t *filter)
{
    size_t  len;

    len = 2 + filter->filter.len;

    if (type == NGX_MQTT_SUBSCRIBE) {
        len += 1;
    }

    return len;
}


u_char *
ngx_mqtt_write_filter(u_char *p, ngx_uint_t type, ngx_mqtt_filter_t *filter)
{
    p = ngx_mqtt_write_bin(p, &filter->filter);

    if (type == NGX_MQTT_SUBSCRIBE) {
        *p++ = (u_char) filter->options;
    }

    return p;
}


size_t
ngx_mqtt_suback_len(ngx_uint_t version, ngx_uint_t type,
    ngx_mqtt_suback_t *pkt)
{
    return ngx_mqtt_packet_len(ngx_mqtt_suback_remaining(version, type, pkt));
}


static size_t
ngx_mqtt_suback_remaining(ngx_uint_t version, ngx_uint_t type,
    ngx_mqtt_suback_t *pkt)
{
    size_t  len;

    len = 2;

    if (version >= NGX_MQTT_V5) {
        len += ngx_mqtt_props_len(&pkt->props);
    }

    /* 3.1 and 3.1.1 have no codes in UNSUBACK */

    if (version >= NGX_MQTT_V5 || type == NGX_MQTT_SUBACK) {
        len += pkt->codes.len;
    }

    return len;
}


u_char *
ngx_mqtt_write_suback(u_char *p, ngx_uint_t version, ngx_uint_t type,
    ngx_mqtt_suback_t *pkt)
{
    p = ngx_mqtt_write_fixed(p, type, 0,
                             ngx_mqtt_suback_remaining(version, type, pkt));

    p = ngx_mqtt_write_u16(p, pkt->packet_id);

    if (version >= NGX_MQTT_V5) {
        p = ngx_mqtt_write_props(p, &pkt->props);
    }

    if (version >= NGX_MQTT_V5 || type == NGX_MQTT_SUBACK) {
        p = ngx_cpymem(p, pkt->codes.data, pkt->codes.len);
    }

    return p;
}


u_char *
ngx_mqtt_write_ping(u_char *p, ngx_uint_t type)
{
    *p++ = (u_char) (type << 4);
    *p++ = 0;

    return p;
}
