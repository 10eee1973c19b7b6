
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Decoders: one per packet, or per family of packets of the same shape.
 *
 * (1) A decoder gets a whole packet body and fills a struct whose strings
 *     point into it; nothing is read outside of [p, end).
 * (2) pkt->reason is Malformed Packet until something says otherwise, so a
 *     cursor that became NULL needs no more than a return.
 * (3) Both directions are decoded, and only what one packet shows by itself
 *     is checked.  Who may send what (subscription identifiers in PUBLISH, a
 *     server's reason codes and references in DISCONNECT) and what depends
 *     on a session is up to the caller.
 * (4) The flags of the fixed header, ngx_mqtt_fixed_check(), are checked
 *     before.
 *
 * Called from packet handlers; ngx_mqtt_decode_publish() is the hot one.
 */


#include "ngx_mqtt_wire.h"


#define NGX_MQTT_CONNECT_RESERVED      0x01
#define NGX_MQTT_CONNECT_CLEAN         0x02
#define NGX_MQTT_CONNECT_WILL          0x04
#define NGX_MQTT_CONNECT_WILL_QOS      0x18
#define NGX_MQTT_CONNECT_WILL_RETAIN   0x20
#define NGX_MQTT_CONNECT_PASSWORD      0x40
#define NGX_MQTT_CONNECT_USERNAME      0x80

#define NGX_MQTT_LEVEL_BRIDGE          0x80


typedef struct {
    uint32_t                  success;      /* 0x00 .. 0x1f */
    uint64_t                  failure;      /* 0x80 .. 0xbf */
} ngx_mqtt_codes_t;


static u_char *ngx_mqtt_read_name(u_char *p, u_char *end, ngx_str_t *value);
static u_char *ngx_mqtt_decode_protocol(u_char *p, u_char *end,
    ngx_mqtt_connect_t *pkt);
static u_char *ngx_mqtt_decode_connect_flags(u_char *p, u_char *end,
    ngx_mqtt_connect_t *pkt);
static u_char *ngx_mqtt_decode_connect_props(u_char *p, u_char *end,
    ngx_mqtt_connect_t *pkt);
static u_char *ngx_mqtt_decode_will(u_char *p, u_char *end,
    ngx_mqtt_connect_t *pkt);
static u_char *ngx_mqtt_decode_credentials(u_char *p, u_char *end,
    ngx_mqtt_connect_t *pkt);
static ngx_int_t ngx_mqtt_decode_connack_v3(u_char *p, u_char *end,
    ngx_uint_t version, ngx_mqtt_connack_t *pkt);
static u_char *ngx_mqtt_decode_packet_id(u_char *p, u_char *end,
    uint16_t *packet_id, ngx_uint_t *reason);
static u_char *ngx_mqtt_decode_publish_head(u_char *p, u_char *end,
    ngx_uint_t version, ngx_mqtt_publish_t *pkt);
static ngx_int_t ngx_mqtt_decode_ack_reason(u_char *p, u_char *end,
    ngx_uint_t type, ngx_mqtt_ack_t *pkt);
static u_char *ngx_mqtt_read_filter(u_char *p, u_char *end, ngx_uint_t type,
    ngx_mqtt_filter_t *filter);
static ngx_uint_t ngx_mqtt_filter_reason(ngx_mqtt_filter_t *filter,
    ngx_uint_t version);
static ngx_uint_t ngx_mqtt_code_allowed(ngx_uint_t type, ngx_uint_t code);
static ngx_int_t ngx_mqtt_check_codes(ngx_uint_t version, ngx_uint_t type,
    ngx_str_t *codes);


#define ngx_mqtt_ok(code)              ((uint32_t) 1 << (code))
#define ngx_mqtt_fail(code)            ((uint64_t) 1 << ((code) - 0x80))

#define ngx_mqtt_no_codes              { 0, 0 }

#define ngx_mqtt_publish_codes                                                \
    { ngx_mqtt_ok(NGX_MQTT_SUCCESS)                                           \
      |ngx_mqtt_ok(NGX_MQTT_NO_MATCHING_SUBSCRIBERS),                         \
      ngx_mqtt_fail(NGX_MQTT_UNSPECIFIED_ERROR)                               \
      |ngx_mqtt_fail(NGX_MQTT_IMPLEMENTATION_ERROR)                           \
      |ngx_mqtt_fail(NGX_MQTT_NOT_AUTHORIZED)                                 \
      |ngx_mqtt_fail(NGX_MQTT_TOPIC_NAME_INVALID)                             \
      |ngx_mqtt_fail(NGX_MQTT_PACKET_ID_IN_USE)                               \
      |ngx_mqtt_fail(NGX_MQTT_QUOTA_EXCEEDED)                                 \
      |ngx_mqtt_fail(NGX_MQTT_PAYLOAD_FORMAT_INVALID) }

#define ngx_mqtt_release_codes                                                \
    { ngx_mqtt_ok(NGX_MQTT_SUCCESS),                                          \
      ngx_mqtt_fail(NGX_MQTT_PACKET_ID_NOT_FOUND) }


/* the reason codes of each packet of 5.0, table 2-6 */

static ngx_mqtt_codes_t  ngx_mqtt_codes[NGX_MQTT_PACKET_TYPES] = {

    ngx_mqtt_no_codes,

    ngx_mqtt_no_codes,                               /* CONNECT */

    { ngx_mqtt_ok(NGX_MQTT_SUCCESS),                 /* CONNACK */
      ngx_mqtt_fail(NGX_MQTT_UNSPECIFIED_ERROR)
      |ngx_mqtt_fail(NGX_MQTT_MALFORMED_PACKET)
      |ngx_mqtt_fail(NGX_MQTT_PROTOCOL_ERROR)
      |ngx_mqtt_fail(NGX_MQTT_IMPLEMENTATION_ERROR)
      |ngx_mqtt_fail(NGX_MQTT_UNSUPPORTED_PROTOCOL_VERSION)
      |ngx_mqtt_fail(NGX_MQTT_CLIENT_ID_NOT_VALID)
      |ngx_mqtt_fail(NGX_MQTT_BAD_USER_NAME_OR_PASSWORD)
      |ngx_mqtt_fail(NGX_MQTT_NOT_AUTHORIZED)
      |ngx_mqtt_fail(NGX_MQTT_SERVER_UNAVAILABLE)
      |ngx_mqtt_fail(NGX_MQTT_SERVER_BUSY)
      |ngx_mqtt_fail(NGX_MQTT_BANNED)
      |ngx_mqtt_fail(NGX_MQTT_BAD_AUTHENTICATION_METHOD)
      |ngx_mqtt_fail(NGX_MQTT_TOPIC_NAME_INVALID)
      |ngx_mqtt_fail(NGX_MQTT_PACKET_TOO_LARGE)
      |ngx_mqtt_fail(NGX_MQTT_QUOTA_EXCEEDED)
      |ngx_mqtt_fail(NGX_MQTT_PAYLOAD_FORMAT_INVALID)
      |ngx_mqtt_fail(NGX_MQTT_RETAIN_NOT_SUPPORTED)
      |ngx_mqtt_fail(NGX_MQTT_QOS_NOT_SUPPORTED)
      |ngx_mqtt_fail(NGX_MQTT_USE_ANOTHER_SERVER)
      |ngx_mqtt_fail(NGX_MQTT_SERVER_MOVED)
      |ngx_mqtt_fail(NGX_MQTT_CONNECTION_RATE_EXCEEDED) },

    ngx_mqtt_no_codes,                               /* PUBLISH */

    ngx_mqtt_publish_codes,                          /* PUBACK */
    ngx_mqtt_publish_codes,                          /* PUBREC */
    ngx_mqtt_release_codes,                          /* PUBREL */
    ngx_mqtt_release_codes,                          /* PUBCOMP */

    ngx_mqtt_no_codes,                               /* SUBSCRIBE */

    { ngx_mqtt_ok(NGX_MQTT_GRANTED_QOS_0)            /* SUBACK */
      |ngx_mqtt_ok(NGX_MQTT_GRANTED_QOS_1)
      |ngx_mqtt_ok(NGX_MQTT_GRANTED_QOS_2),
      ngx_mqtt_fail(NGX_MQTT_UNSPECIFIED_ERROR)
      |ngx_mqtt_fail(NGX_MQTT_IMPLEMENTATION_ERROR)
      |ngx_mqtt_fail(NGX_MQTT_NOT_AUTHORIZED)
      |ngx_mqtt_fail(NGX_MQTT_TOPIC_FILTER_INVALID)
      |ngx_mqtt_fail(NGX_MQTT_PACKET_ID_IN_USE)
      |ngx_mqtt_fail(NGX_MQTT_QUOTA_EXCEEDED)
      |ngx_mqtt_fail(NGX_MQTT_SHARED_SUBS_NOT_SUPPORTED)
      |ngx_mqtt_fail(NGX_MQTT_SUB_IDS_NOT_SUPPORTED)
      |ngx_mqtt_fail(NGX_MQTT_WILDCARD_SUBS_NOT_SUPPORTED) },

    ngx_mqtt_no_codes,                               /* UNSUBSCRIBE */

    { ngx_mqtt_ok(NGX_MQTT_SUCCESS)                  /* UNSUBACK */
      |ngx_mqtt_ok(NGX_MQTT_NO_SUBSCRIPTION_EXISTED),
      ngx_mqtt_fail(NGX_MQTT_UNSPECIFIED_ERROR)
      |ngx_mqtt_fail(NGX_MQTT_IMPLEMENTATION_ERROR)
      |ngx_mqtt_fail(NGX_MQTT_NOT_AUTHORIZED)
      |ngx_mqtt_fail(NGX_MQTT_TOPIC_FILTER_INVALID)
      |ngx_mqtt_fail(NGX_MQTT_PACKET_ID_IN_USE) },

    ngx_mqtt_no_codes,                               /* PINGREQ */
    ngx_mqtt_no_codes,                               /* PINGRESP */

    { ngx_mqtt_ok(NGX_MQTT_NORMAL_DISCONNECTION)     /* DISCONNECT */
      |ngx_mqtt_ok(NGX_MQTT_DISCONNECT_WITH_WILL),
      ngx_mqtt_fail(NGX_MQTT_UNSPECIFIED_ERROR)
      |ngx_mqtt_fail(NGX_MQTT_MALFORMED_PACKET)
      |ngx_mqtt_fail(NGX_MQTT_PROTOCOL_ERROR)
      |ngx_mqtt_fail(NGX_MQTT_IMPLEMENTATION_ERROR)
      |ngx_mqtt_fail(NGX_MQTT_NOT_AUTHORIZED)
      |ngx_mqtt_fail(NGX_MQTT_SERVER_BUSY)
      |ngx_mqtt_fail(NGX_MQTT_SERVER_SHUTTING_DOWN)
      |ngx_mqtt_fail(NGX_MQTT_BAD_AUTHENTICATION_METHOD)
      |ngx_mqtt_fail(NGX_MQTT_KEEP_ALIVE_TIMEOUT)
      |ngx_mqtt_fail(NGX_MQTT_SESSION_TAKEN_OVER)
      |ngx_mqtt_fail(NGX_MQTT_TOPIC_FILTER_INVALID)
      |ngx_mqtt_fail(NGX_MQTT_TOPIC_NAME_INVALID)
      |ngx_mqtt_fail(NGX_MQTT_RECEIVE_MAXIMUM_EXCEEDED)
      |ngx_mqtt_fail(NGX_MQTT_TOPIC_ALIAS_INVALID)
      |ngx_mqtt_fail(NGX_MQTT_PACKET_TOO_LARGE)
      |ngx_mqtt_fail(NGX_MQTT_MESSAGE_RATE_TOO_HIGH)
      |ngx_mqtt_fail(NGX_MQTT_QUOTA_EXCEEDED)
      |ngx_mqtt_fail(NGX_MQTT_ADMINISTRATIVE_ACTION)
      |ngx_mqtt_fail(NGX_MQTT_PAYLOAD_FORMAT_INVALID)
      |ngx_mqtt_fail(NGX_MQTT_RETAIN_NOT_SUPPORTED)
      |ngx_mqtt_fail(NGX_MQTT_QOS_NOT_SUPPORTED)
      |ngx_mqtt_fail(NGX_MQTT_USE_ANOTHER_SERVER)
      |ngx_mqtt_fail(NGX_MQTT_SERVER_MOVED)
      |ngx_mqtt_fail(NGX_MQTT_SHARED_SUBS_NOT_SUPPORTED)
      |ngx_mqtt_fail(NGX_MQTT_CONNECTION_RATE_EXCEEDED)
      |ngx_mqtt_fail(NGX_MQTT_MAXIMUM_CONNECT_TIME)
      |ngx_mqtt_fail(NGX_MQTT_SUB_IDS_NOT_SUPPORTED)
      |ngx_mqtt_fail(NGX_MQTT_WILDCARD_SUBS_NOT_SUPPORTED) },

    { ngx_mqtt_ok(NGX_MQTT_SUCCESS)                  /* AUTH */
      |ngx_mqtt_ok(NGX_MQTT_CONTINUE_AUTHENTICATION)
      |ngx_mqtt_ok(NGX_MQTT_REAUTHENTICATE), 0 }
};


ngx_int_t
ngx_mqtt_decode_connect(u_char *p, u_char *end, ngx_mqtt_connect_t *pkt)
{
    pkt->version = 0;
    pkt->reason = NGX_MQTT_MALFORMED_PACKET;

    p = ngx_mqtt_decode_protocol(p, end, pkt);
    if (p == NULL) {
        return NGX_ERROR;
    }

    p = ngx_mqtt_decode_connect_flags(p, end, pkt);
    if (p == NULL) {
        return NGX_ERROR;
    }

    p = ngx_mqtt_read_u16(p, end, &pkt->keep_alive);
    if (p == NULL) {
        return NGX_ERROR;
    }

    p = ngx_mqtt_decode_connect_props(p, end, pkt);
    if (p == NULL) {
        return NGX_ERROR;
    }

    p = ngx_mqtt_read_name(p, end, &pkt->client_id);
    if (p == NULL) {
        return NGX_ERROR;
    }

    p = ngx_mqtt_decode_will(p, end, pkt);
    if (p == NULL) {
        return NGX_ERROR;
    }

    p = ngx_mqtt_decode_credentials(p, end, pkt);
    if (p != end) {
        return NGX_ERROR;
    }

    if (pkt->client_id.len == 0
        && (pkt->version == NGX_MQTT_V31
            || (pkt->version == NGX_MQTT_V311 && !pkt->clean)))
    {
        /* 3.1.1 [MQTT-3.1.3-8]; 3.1 has no empty client identifier at all */
        pkt->reason = NGX_MQTT_CLIENT_ID_NOT_VALID;
        return NGX_ERROR;
    }

    pkt->reason = NGX_MQTT_SUCCESS;

    return NGX_OK;
}


/* a topic, client identifier or user name */

static u_char *
ngx_mqtt_read_name(u_char *p, u_char *end, ngx_str_t *value)
{
    p = ngx_mqtt_read_bin(p, end, value);

    if (p == NULL || ngx_mqtt_utf8_check_name(value) != NGX_OK) {
        return NULL;
    }

    return p;
}


static u_char *
ngx_mqtt_decode_protocol(u_char *p, u_char *end, ngx_mqtt_connect_t *pkt)
{
    ngx_uint_t  level, min, max;

    p = ngx_mqtt_read_bin(p, end, &pkt->protocol);
    if (p == NULL) {
        return NULL;
    }

    if (pkt->protocol.len == 4
        && ngx_memcmp(pkt->protocol.data, "MQTT", 4) == 0)
    {
        min = NGX_MQTT_V311;
        max = NGX_MQTT_V5;

    } else if (pkt->protocol.len == 6
               && ngx_memcmp(pkt->protocol.data, "MQIsdp", 6) == 0)
    {
        min = NGX_MQTT_V31;
        max = NGX_MQTT_V31;

    } else {
        pkt->reason = NGX_MQTT_UNSUPPORTED_PROTOCOL_VERSION;
        return NULL;
    }

    p = ngx_mqtt_read_u8(p, end, &level);
    if (p == NULL) {
        return NULL;
    }

    pkt->bridge = (level & NGX_MQTT_LEVEL_BRIDGE) ? 1 : 0;
    level &= ~NGX_MQTT_LEVEL_BRIDGE;

    /* level 0 is answered as any unknown one, and a version 0 is not */

    pkt->version = level ? level : 1;

    if (level < min || level > max) {
        pkt->reason = NGX_MQTT_UNSUPPORTED_PROTOCOL_VERSION;
        return NULL;
    }

    return p;
}


static u_char *
ngx_mqtt_decode_connect_flags(u_char *p, u_char *end, ngx_mqtt_connect_t *pkt)
{
    ngx_uint_t  flags;

    p = ngx_mqtt_read_u8(p, end, &flags);
    if (p == NULL) {
        return NULL;
    }

    if (pkt->version == NGX_MQTT_V31) {

        /* 3.1 disregards what is reserved and a will that is not there */

        flags &= ~NGX_MQTT_CONNECT_RESERVED;

        if (!(flags & NGX_MQTT_CONNECT_WILL)) {
            flags &= ~(NGX_MQTT_CONNECT_WILL_QOS|NGX_MQTT_CONNECT_WILL_RETAIN);
        }
    }

    if (flags & NGX_MQTT_CONNECT_RESERVED) {
        /* [MQTT-3.1.2-3] */
        return NULL;
    }

    pkt->clean = (flags & NGX_MQTT_CONNECT_CLEAN) ? 1 : 0;
    pkt->has_will = (flags & NGX_MQTT_CONNECT_WILL) ? 1 : 0;
    pkt->has_username = (flags & NGX_MQTT_CONNECT_USERNAME) ? 1 : 0;
    pkt->has_password = (flags & NGX_MQTT_CONNECT_PASSWORD) ? 1 : 0;

    pkt->will.qos = (flags & NGX_MQTT_CONNECT_WILL_QOS) >> 3;
    pkt->will.retain = (flags & NGX_MQTT_CONNECT_WILL_RETAIN) ? 1 : 0;

    if (pkt->will.qos == 3) {
        /* [MQTT-3.1.2-12] */
        return NULL;
    }

    if (!pkt->has_will && (pkt->will.qos || pkt->will.retain)) {
        /* [MQTT-3.1.2-11], [MQTT-3.1.2-13] */
        return NULL;
    }

    if (pkt->has_password && !pkt->has_username
        && pkt->version < NGX_MQTT_V5)
    {
        /* 3.1.1 [MQTT-3.1.2-22] */
        pkt->reason = NGX_MQTT_PROTOCOL_ERROR;
        return NULL;
    }

    return p;
}


static u_char *
ngx_mqtt_decode_connect_props(u_char *p, u_char *end, ngx_mqtt_connect_t *pkt)
{
    if (pkt->version < NGX_MQTT_V5) {
        ngx_mqtt_props_reset(&pkt->props);
        return p;
    }

    p = ngx_mqtt_read_props(p, end, NGX_MQTT_CONNECT, &pkt->props,
                            &pkt->reason);
    if (p == NULL) {
        return NULL;
    }

    if (ngx_mqtt_prop_is_set(&pkt->props, NGX_MQTT_PROP_AUTH_DATA)
        && !ngx_mqtt_prop_is_set(&pkt->props, NGX_MQTT_PROP_AUTH_METHOD))
    {
        /* 3.1.2.11.10 */
        pkt->reason = NGX_MQTT_PROTOCOL_ERROR;
        return NULL;
    }

    return p;
}


/* whether the payload is what its format indicator says is not checked */

static u_char *
ngx_mqtt_decode_will(u_char *p, u_char *end, ngx_mqtt_connect_t *pkt)
{
    ngx_mqtt_will_t  *will;

    will = &pkt->will;

    ngx_mqtt_props_reset(&will->props);
    ngx_str_null(&will->topic);
    ngx_str_null(&will->payload);

    if (!pkt->has_will) {
        return p;
    }

    if (pkt->version >= NGX_MQTT_V5) {
        p = ngx_mqtt_read_props(p, end, NGX_MQTT_WILL, &will->props,
                                &pkt->reason);
        if (p == NULL) {
            return NULL;
        }
    }

    p = ngx_mqtt_read_name(p, end, &will->topic);
    if (p == NULL) {
        return NULL;
    }

    p = ngx_mqtt_read_bin(p, end, &will->payload);
    if (p == NULL) {
        return NULL;
    }

    if (ngx_mqtt_topic_name_check(&will->topic) != NGX_OK) {

        if (pkt->version >= NGX_MQTT_V5) {
            pkt->reason = NGX_MQTT_TOPIC_NAME_INVALID;
        }

        return NULL;
    }

    return p;
}


static u_char *
ngx_mqtt_decode_credentials(u_char *p, u_char *end, ngx_mqtt_connect_t *pkt)
{
    ngx_str_null(&pkt->username);
    ngx_str_null(&pkt->password);

    if (pkt->has_username) {

        if (p == end && pkt->version == NGX_MQTT_V31) {
            /* 3.1: the Remaining Length takes precedence over the flags */
            pkt->has_username = 0;
            pkt->has_password = 0;
            return p;
        }

        p = ngx_mqtt_read_name(p, end, &pkt->username);
        if (p == NULL) {
            return NULL;
        }
    }

    if (pkt->has_password) {

        if (p == end && pkt->version == NGX_MQTT_V31) {
            pkt->has_password = 0;
            return p;
        }

        p = ngx_mqtt_read_bin(p, end, &pkt->password);
    }

    return p;
}


ngx_int_t
ngx_mqtt_decode_connack(u_char *p, u_char *end, ngx_uint_t version,
    ngx_mqtt_connack_t *pkt)
{
    ngx_uint_t  flags;

    pkt->reason = NGX_MQTT_MALFORMED_PACKET;

    if (version < NGX_MQTT_V5) {
        return ngx_mqtt_decode_connack_v3(p, end, version, pkt);
    }

    p = ngx_mqtt_read_u8(p, end, &flags);

    if (p == NULL || flags > 1) {
        /* [MQTT-3.2.2-1] */
        return NGX_ERROR;
    }

    pkt->session_present = flags;

    p = ngx_mqtt_read_u8(p, end, &pkt->code);
    if (p == NULL) {
        return NGX_ERROR;
    }

    p = ngx_mqtt_read_props(p, end, NGX_MQTT_CONNACK, &pkt->props,
                            &pkt->reason);
    if (p != end) {
        return NGX_ERROR;
    }

    if (!ngx_mqtt_code_allowed(NGX_MQTT_CONNACK, pkt->code)
        || (pkt->session_present && pkt->code != NGX_MQTT_SUCCESS))
    {
        /* [MQTT-3.2.2-8], [MQTT-3.2.2-6] */
        pkt->reason = NGX_MQTT_PROTOCOL_ERROR;
        return NGX_ERROR;
    }

    pkt->reason = NGX_MQTT_SUCCESS;

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_decode_connack_v3(u_char *p, u_char *end, ngx_uint_t version,
    ngx_mqtt_connack_t *pkt)
{
    ngx_mqtt_props_reset(&pkt->props);

    if (end - p != 2) {
        return NGX_ERROR;
    }

    /* in 3.1 the first byte is reserved and not used */

    pkt->session_present = (version == NGX_MQTT_V31) ? 0 : p[0];
    pkt->code = p[1];

    if (pkt->session_present > 1) {
        return NGX_ERROR;
    }

    if (pkt->code > NGX_MQTT_V3_NOT_AUTHORIZED
        || (pkt->session_present && pkt->code != NGX_MQTT_V3_ACCEPTED))
    {
        /* 3.1.1 section 3.2.2.3, [MQTT-3.2.2-4] */
        pkt->reason = NGX_MQTT_PROTOCOL_ERROR;
        return NGX_ERROR;
    }

    pkt->reason = NGX_MQTT_SUCCESS;

    return NGX_OK;
}


static u_char *
ngx_mqtt_decode_packet_id(u_char *p, u_char *end, uint16_t *packet_id,
    ngx_uint_t *reason)
{
    p = ngx_mqtt_read_u16(p, end, packet_id);

    if (p && *packet_id == 0) {
        /* 2.2.1, [MQTT-2.2.1-3], [MQTT-2.2.1-4] */
        *reason = NGX_MQTT_PROTOCOL_ERROR;
        return NULL;
    }

    return p;
}


/*
 * Subscription identifiers are decoded: a server must refuse those of a
 * client [MQTT-3.3.4-6].
 */

ngx_int_t
ngx_mqtt_decode_publish(u_char *p, u_char *end, ngx_uint_t version,
    ngx_uint_t flags, ngx_mqtt_publish_t *pkt)
{
    pkt->reason = NGX_MQTT_MALFORMED_PACKET;

    pkt->dup = (flags & 0x08) ? 1 : 0;
    pkt->qos = (flags & 0x06) >> 1;
    pkt->retain = flags & 0x01;

    if (pkt->qos == 3) {
        /* [MQTT-3.3.1-4] */
        return NGX_ERROR;
    }

    if (pkt->dup && pkt->qos == 0 && version != NGX_MQTT_V31) {
        /* [MQTT-3.3.1-2] */
        return NGX_ERROR;
    }

    p = ngx_mqtt_decode_publish_head(p, end, version, pkt);
    if (p == NULL) {
        return NGX_ERROR;
    }

    pkt->payload.len = end - p;
    pkt->payload.data = p;

    pkt->reason = NGX_MQTT_SUCCESS;

    return NGX_OK;
}


static u_char *
ngx_mqtt_decode_publish_head(u_char *p, u_char *end, ngx_uint_t version,
    ngx_mqtt_publish_t *pkt)
{
    p = ngx_mqtt_read_name(p, end, &pkt->topic);
    if (p == NULL) {
        return NULL;
    }

    if (ngx_mqtt_topic_has_wildcard(&pkt->topic)) {
        /* [MQTT-3.3.2-2] */
        pkt->reason = NGX_MQTT_TOPIC_NAME_INVALID;
        return NULL;
    }

    pkt->packet_id = 0;

    if (pkt->qos) {
        p = ngx_mqtt_decode_packet_id(p, end, &pkt->packet_id, &pkt->reason);
        if (p == NULL) {
            return NULL;
        }
    }

    if (version >= NGX_MQTT_V5) {
        p = ngx_mqtt_read_props(p, end, NGX_MQTT_PUBLISH, &pkt->props,
                                &pkt->reason);
        if (p == NULL) {
            return NULL;
        }

    } else {
        ngx_mqtt_props_reset(&pkt->props);
    }

    if (pkt->topic.len == 0
        && !ngx_mqtt_prop_is_set(&pkt->props, NGX_MQTT_PROP_TOPIC_ALIAS))
    {
        /* 3.3.2.1, [MQTT-4.7.3-1] */
        pkt->reason = NGX_MQTT_PROTOCOL_ERROR;
        return NULL;
    }

    return p;
}


ngx_int_t
ngx_mqtt_decode_ack(u_char *p, u_char *end, ngx_uint_t version,
    ngx_uint_t type, ngx_mqtt_ack_t *pkt)
{
    pkt->reason = NGX_MQTT_MALFORMED_PACKET;
    pkt->packet_id = 0;
    pkt->code = NGX_MQTT_SUCCESS;

    ngx_mqtt_props_reset(&pkt->props);

    if (type != NGX_MQTT_DISCONNECT && type != NGX_MQTT_AUTH) {
        p = ngx_mqtt_decode_packet_id(p, end, &pkt->packet_id, &pkt->reason);
        if (p == NULL) {
            return NGX_ERROR;
        }
    }

    if (version < NGX_MQTT_V5) {
        if (p != end || type == NGX_MQTT_AUTH) {
            return NGX_ERROR;
        }

    } else if (p != end) {
        if (ngx_mqtt_decode_ack_reason(p, end, type, pkt) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    pkt->reason = NGX_MQTT_SUCCESS;

    return NGX_OK;
}


/* reason code and properties, of which either side's are understood */

static ngx_int_t
ngx_mqtt_decode_ack_reason(u_char *p, u_char *end, ngx_uint_t type,
    ngx_mqtt_ack_t *pkt)
{
    pkt->code = *p++;

    if (p == end) {

        /* only AUTH must have its properties, 3.15.2.1 */

        if (type == NGX_MQTT_AUTH) {
            return NGX_ERROR;
        }

    } else {
        p = ngx_mqtt_read_props(p, end, type, &pkt->props, &pkt->reason);
        if (p == NULL) {
            return NGX_ERROR;
        }

        if (p != end) {
            return NGX_ERROR;
        }
    }

    pkt->reason = NGX_MQTT_PROTOCOL_ERROR;

    if (!ngx_mqtt_code_allowed(type, pkt->code)) {
        /* [MQTT-3.4.2-1] and the same of the other packets */
        return NGX_ERROR;
    }

    if (type == NGX_MQTT_AUTH
        && !ngx_mqtt_prop_is_set(&pkt->props, NGX_MQTT_PROP_AUTH_METHOD))
    {
        /* 3.15.2.2.2 */
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_decode_subscribe(u_char *p, u_char *end, ngx_uint_t version,
    ngx_uint_t type, ngx_mqtt_subscribe_t *pkt)
{
    ngx_uint_t         reason;
    ngx_mqtt_filter_t  filter;

    pkt->reason = NGX_MQTT_MALFORMED_PACKET;

    p = ngx_mqtt_decode_packet_id(p, end, &pkt->packet_id, &pkt->reason);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (version >= NGX_MQTT_V5) {
        p = ngx_mqtt_read_props(p, end, type, &pkt->props, &pkt->reason);
        if (p == NULL) {
            return NGX_ERROR;
        }

    } else {
        ngx_mqtt_props_reset(&pkt->props);
    }

    if (p == end) {
        /* [MQTT-3.8.3-2], [MQTT-3.10.3-2] */
        pkt->reason = NGX_MQTT_PROTOCOL_ERROR;
        return NGX_ERROR;
    }

    pkt->filters.len = end - p;
    pkt->filters.data = p;

    for (pkt->nfilters = 0; p != end; pkt->nfilters++) {

        p = ngx_mqtt_read_filter(p, end, type, &filter);

        if (p == NULL || ngx_mqtt_utf8_check_name(&filter.filter) != NGX_OK) {
            return NGX_ERROR;
        }

        reason = ngx_mqtt_filter_reason(&filter, version);
        if (reason != NGX_MQTT_SUCCESS) {
            pkt->reason = reason;
            return NGX_ERROR;
        }
    }

    pkt->reason = NGX_MQTT_SUCCESS;

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_subscribe_next(ngx_mqtt_subscribe_t *pkt, ngx_uint_t type,
    u_char **pos, ngx_mqtt_filter_t *filter)
{
    u_char  *p, *end;

    if (pkt->filters.len == 0) {
        return NGX_DONE;
    }

    p = (*pos) ? *pos : pkt->filters.data;
    end = pkt->filters.data + pkt->filters.len;

    p = ngx_mqtt_read_filter(p, end, type, filter);
    if (p == NULL) {
        return NGX_DONE;
    }

    *pos = p;

    return NGX_OK;
}


static u_char *
ngx_mqtt_read_filter(u_char *p, u_char *end, ngx_uint_t type,
    ngx_mqtt_filter_t *filter)
{
    filter->options = 0;

    p = ngx_mqtt_read_bin(p, end, &filter->filter);

    if (p && type == NGX_MQTT_SUBSCRIBE) {
        p = ngx_mqtt_read_u8(p, end, &filter->options);
    }

    return p;
}


/*
 * The rules of 4.7 are not checked here: a bad filter is refused by its own
 * code in SUBACK, not with the packet.
 */

static ngx_uint_t
ngx_mqtt_filter_reason(ngx_mqtt_filter_t *filter, ngx_uint_t version)
{
    ngx_uint_t  options;

    options = filter->options;

    if (options & ((version >= NGX_MQTT_V5) ? 0xc0 : 0xfc)) {
        /* [MQTT-3.8.3-5]; 3.1.1 [MQTT-3.8.3-4] */
        return NGX_MQTT_MALFORMED_PACKET;
    }

    if ((options & NGX_MQTT_SUB_QOS) == 3) {
        /* 3.8.3.1; 3.1.1 [MQTT-3.8.3-4] */
        return (version >= NGX_MQTT_V5) ? NGX_MQTT_PROTOCOL_ERROR
                                        : NGX_MQTT_MALFORMED_PACKET;
    }

    if ((options & NGX_MQTT_SUB_RETAIN_HANDLING)
        == NGX_MQTT_SUB_RETAIN_HANDLING)
    {
        /* 3.8.3.1 */
        return NGX_MQTT_PROTOCOL_ERROR;
    }

    if (filter->filter.len == 0) {
        /* [MQTT-4.7.3-1] */
        return NGX_MQTT_PROTOCOL_ERROR;
    }

    if ((options & NGX_MQTT_SUB_NO_LOCAL)
        && filter->filter.len >= sizeof("$share/") - 1
        && ngx_memcmp(filter->filter.data, "$share/", sizeof("$share/") - 1)
           == 0)
    {
        /* [MQTT-3.8.3-4] */
        return NGX_MQTT_PROTOCOL_ERROR;
    }

    return NGX_MQTT_SUCCESS;
}


ngx_int_t
ngx_mqtt_decode_suback(u_char *p, u_char *end, ngx_uint_t version,
    ngx_uint_t type, ngx_mqtt_suback_t *pkt)
{
    pkt->reason = NGX_MQTT_MALFORMED_PACKET;

    p = ngx_mqtt_decode_packet_id(p, end, &pkt->packet_id, &pkt->reason);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (version >= NGX_MQTT_V5) {
        p = ngx_mqtt_read_props(p, end, type, &pkt->props, &pkt->reason);
        if (p == NULL) {
            return NGX_ERROR;
        }

    } else {
        ngx_mqtt_props_reset(&pkt->props);
    }

    pkt->codes.len = end - p;
    pkt->codes.data = p;

    if (version < NGX_MQTT_V5 && type == NGX_MQTT_UNSUBACK) {

        /* 3.1.1 section 3.11.3: no payload */

        if (pkt->codes.len) {
            return NGX_ERROR;
        }

    } else if (ngx_mqtt_check_codes(version, type, &pkt->codes) != NGX_OK) {
        pkt->reason = NGX_MQTT_PROTOCOL_ERROR;
        return NGX_ERROR;
    }

    pkt->reason = NGX_MQTT_SUCCESS;

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_check_codes(ngx_uint_t version, ngx_uint_t type, ngx_str_t *codes)
{
    size_t      i;
    ngx_uint_t  code;

    if (codes->len == 0) {
        return NGX_ERROR;
    }

    for (i = 0; i < codes->len; i++) {
        code = codes->data[i];

        if (!ngx_mqtt_code_allowed(type, code)) {
            /* [MQTT-3.9.3-2], [MQTT-3.11.3-2] */
            return NGX_ERROR;
        }

        if (version < NGX_MQTT_V5 && code > NGX_MQTT_UNSPECIFIED_ERROR) {
            /* 3.1.1 [MQTT-3.9.3-2]: 0x00, 0x01, 0x02 and 0x80 only */
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_mqtt_code_allowed(ngx_uint_t type, ngx_uint_t code)
{
    ngx_mqtt_codes_t  *codes;

    codes = &ngx_mqtt_codes[type];

    if (code < 0x20) {
        return (codes->success & ngx_mqtt_ok(code)) ? 1 : 0;
    }

    if (code >= 0x80 && code < 0xc0) {
        return (codes->failure & ngx_mqtt_fail(code)) ? 1 : 0;
    }

    return 0;
}
