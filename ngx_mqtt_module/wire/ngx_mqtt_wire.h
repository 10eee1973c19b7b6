
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * MQTT on the wire: constants, packet structs and the codec's interface.
 *
 * (1) Pure functions: no I/O, no allocation, no state, no nginx types beyond
 *     ngx_str_t, so that wire/ builds and is fuzzed without nginx
 *     (-DNGX_MQTT_STANDALONE).
 * (2) A decoder sees one whole packet body, [p, end) behind the fixed header,
 *     and fills a struct whose strings point into that body.
 * (3) An encoder is a pair: ngx_mqtt_<packet>_len() gives the length of the
 *     whole packet with its fixed header, ngx_mqtt_write_<packet>() writes
 *     exactly that much and returns the new cursor.
 *
 * Section numbers are those of MQTT 5.0 (OASIS, 2019) unless "3.1.1" is said.
 */


#ifndef _NGX_MQTT_WIRE_H_INCLUDED_
#define _NGX_MQTT_WIRE_H_INCLUDED_


#if (NGX_MQTT_STANDALONE)
#include "ngx_mqtt_standalone.h"
#else
#include <ngx_config.h>
#include <ngx_core.h>
#endif


/* protocol levels, 3.1.2.2 */

#define NGX_MQTT_V31                   3
#define NGX_MQTT_V311                  4
#define NGX_MQTT_V5                    5


/* control packet types, 2.1.2 */

#define NGX_MQTT_CONNECT               1
#define NGX_MQTT_CONNACK               2
#define NGX_MQTT_PUBLISH               3
#define NGX_MQTT_PUBACK                4
#define NGX_MQTT_PUBREC                5
#define NGX_MQTT_PUBREL                6
#define NGX_MQTT_PUBCOMP               7
#define NGX_MQTT_SUBSCRIBE             8
#define NGX_MQTT_SUBACK                9
#define NGX_MQTT_UNSUBSCRIBE           10
#define NGX_MQTT_UNSUBACK              11
#define NGX_MQTT_PINGREQ               12
#define NGX_MQTT_PINGRESP              13
#define NGX_MQTT_DISCONNECT            14
#define NGX_MQTT_AUTH                  15

#define NGX_MQTT_PACKET_TYPES          16


/* the largest Remaining Length, 1.5.5, and the largest fixed header */

#define NGX_MQTT_MAX_REMAINING         268435455
#define NGX_MQTT_MAX_FIXED_HEADER      5


/* CONNACK return codes of 3.1 and 3.1.1, section 3.2.2.3 there */

#define NGX_MQTT_V3_ACCEPTED           0
#define NGX_MQTT_V3_BAD_PROTOCOL       1
#define NGX_MQTT_V3_BAD_CLIENT_ID      2
#define NGX_MQTT_V3_UNAVAILABLE        3
#define NGX_MQTT_V3_BAD_CREDENTIALS    4
#define NGX_MQTT_V3_NOT_AUTHORIZED     5


/* reason codes of 5.0, section 2.4 */

#define NGX_MQTT_SUCCESS                       0x00
#define NGX_MQTT_NORMAL_DISCONNECTION          0x00
#define NGX_MQTT_GRANTED_QOS_0                 0x00
#define NGX_MQTT_GRANTED_QOS_1                 0x01
#define NGX_MQTT_GRANTED_QOS_2                 0x02
#define NGX_MQTT_DISCONNECT_WITH_WILL          0x04
#define NGX_MQTT_NO_MATCHING_SUBSCRIBERS       0x10
#define NGX_MQTT_NO_SUBSCRIPTION_EXISTED       0x11
#define NGX_MQTT_CONTINUE_AUTHENTICATION       0x18
#define NGX_MQTT_REAUTHENTICATE                0x19
#define NGX_MQTT_UNSPECIFIED_ERROR             0x80
#define NGX_MQTT_MALFORMED_PACKET              0x81
#define NGX_MQTT_PROTOCOL_ERROR                0x82
#define NGX_MQTT_IMPLEMENTATION_ERROR          0x83
#define NGX_MQTT_UNSUPPORTED_PROTOCOL_VERSION  0x84
#define NGX_MQTT_CLIENT_ID_NOT_VALID           0x85
#define NGX_MQTT_BAD_USER_NAME_OR_PASSWORD     0x86
#define NGX_MQTT_NOT_AUTHORIZED                0x87
#define NGX_MQTT_SERVER_UNAVAILABLE            0x88
#define NGX_MQTT_SERVER_BUSY                   0x89
#define NGX_MQTT_BANNED                        0x8a
#define NGX_MQTT_SERVER_SHUTTING_DOWN          0x8b
#define NGX_MQTT_BAD_AUTHENTICATION_METHOD     0x8c
#define NGX_MQTT_KEEP_ALIVE_TIMEOUT            0x8d
#define NGX_MQTT_SESSION_TAKEN_OVER            0x8e
#define NGX_MQTT_TOPIC_FILTER_INVALID          0x8f
#define NGX_MQTT_TOPIC_NAME_INVALID            0x90
#define NGX_MQTT_PACKET_ID_IN_USE              0x91
#define NGX_MQTT_PACKET_ID_NOT_FOUND           0x92
#define NGX_MQTT_RECEIVE_MAXIMUM_EXCEEDED      0x93
#define NGX_MQTT_TOPIC_ALIAS_INVALID           0x94
#define NGX_MQTT_PACKET_TOO_LARGE              0x95
#define NGX_MQTT_MESSAGE_RATE_TOO_HIGH         0x96
#define NGX_MQTT_QUOTA_EXCEEDED                0x97
#define NGX_MQTT_ADMINISTRATIVE_ACTION         0x98
#define NGX_MQTT_PAYLOAD_FORMAT_INVALID        0x99
#define NGX_MQTT_RETAIN_NOT_SUPPORTED          0x9a
#define NGX_MQTT_QOS_NOT_SUPPORTED             0x9b
#define NGX_MQTT_USE_ANOTHER_SERVER            0x9c
#define NGX_MQTT_SERVER_MOVED                  0x9d
#define NGX_MQTT_SHARED_SUBS_NOT_SUPPORTED     0x9e
#define NGX_MQTT_CONNECTION_RATE_EXCEEDED      0x9f
#define NGX_MQTT_MAXIMUM_CONNECT_TIME          0xa0
#define NGX_MQTT_SUB_IDS_NOT_SUPPORTED         0xa1
#define NGX_MQTT_WILDCARD_SUBS_NOT_SUPPORTED   0xa2


/* property identifiers, 2.2.2.2 */

#define NGX_MQTT_PROP_PAYLOAD_FORMAT           0x01
#define NGX_MQTT_PROP_MESSAGE_EXPIRY           0x02
#define NGX_MQTT_PROP_CONTENT_TYPE             0x03
#define NGX_MQTT_PROP_RESPONSE_TOPIC           0x08
#define NGX_MQTT_PROP_CORRELATION_DATA         0x09
#define NGX_MQTT_PROP_SUBSCRIPTION_ID          0x0b
#define NGX_MQTT_PROP_SESSION_EXPIRY           0x11
#define NGX_MQTT_PROP_ASSIGNED_CLIENT_ID       0x12
#define NGX_MQTT_PROP_SERVER_KEEP_ALIVE        0x13
#define NGX_MQTT_PROP_AUTH_METHOD              0x15
#define NGX_MQTT_PROP_AUTH_DATA                0x16
#define NGX_MQTT_PROP_REQUEST_PROBLEM          0x17
#define NGX_MQTT_PROP_WILL_DELAY               0x18
#define NGX_MQTT_PROP_REQUEST_RESPONSE         0x19
#define NGX_MQTT_PROP_RESPONSE_INFO            0x1a
#define NGX_MQTT_PROP_SERVER_REFERENCE         0x1c
#define NGX_MQTT_PROP_REASON_STRING            0x1f
#define NGX_MQTT_PROP_RECEIVE_MAXIMUM          0x21
#define NGX_MQTT_PROP_TOPIC_ALIAS_MAXIMUM      0x22
#define NGX_MQTT_PROP_TOPIC_ALIAS              0x23
#define NGX_MQTT_PROP_MAXIMUM_QOS              0x24
#define NGX_MQTT_PROP_RETAIN_AVAILABLE         0x25
#define NGX_MQTT_PROP_USER_PROPERTY            0x26
#define NGX_MQTT_PROP_MAXIMUM_PACKET_SIZE      0x27
#define NGX_MQTT_PROP_WILDCARD_SUBS_AVAILABLE  0x28
#define NGX_MQTT_PROP_SUB_IDS_AVAILABLE        0x29
#define NGX_MQTT_PROP_SHARED_SUBS_AVAILABLE    0x2a

#define ngx_mqtt_prop_bit(id)          ((uint64_t) 1 << (id))
#define ngx_mqtt_prop_is_set(props, id)                                       \
    (((props)->present & ngx_mqtt_prop_bit(id)) != 0)

/* the pseudo packet type of the will properties, 3.1.3.2, in the table */

#define NGX_MQTT_WILL                  0


/*
 * One property block, decoded or to be encoded.
 *
 * Decoded: only fields whose bit is in "present" are valid, except that
 * numbers of an absent property are not touched.  User properties stay in
 * the packet: "user" spans from the first one to the end of the last one,
 * other properties may stand between, ngx_mqtt_props_next_user() skips them.
 * Repeated subscription identifiers are walked by
 * ngx_mqtt_props_next_sub_id() over "raw"; "subscription_id" is the first.
 *
 * To be encoded: the properties of "present", then the user properties found
 * in "user", then "sub_ids".  "raw" and the bits of USER_PROPERTY and
 * SUBSCRIPTION_ID are ignored (a single identifier is an array of one).
 */

typedef struct {
    uint64_t                  present;

    uint32_t                  message_expiry;        /* seconds */
    uint32_t                  session_expiry;        /* seconds */
    uint32_t                  will_delay;            /* seconds */
    uint32_t                  maximum_packet_size;   /* bytes */
    uint32_t                  subscription_id;

    uint16_t                  server_keep_alive;     /* seconds */
    uint16_t                  receive_maximum;
    uint16_t                  topic_alias_maximum;
    uint16_t                  topic_alias;

    uint8_t                   payload_format;
    uint8_t                   request_problem;
    uint8_t                   request_response;
    uint8_t                   maximum_qos;
    uint8_t                   retain_available;
    uint8_t                   wildcard_subs_available;
    uint8_t                   sub_ids_available;
    uint8_t                   shared_subs_available;

    ngx_str_t                 content_type;
    ngx_str_t                 response_topic;
    ngx_str_t                 correlation_data;
    ngx_str_t                 assigned_client_id;
    ngx_str_t                 auth_method;
    ngx_str_t                 auth_data;
    ngx_str_t                 response_info;
    ngx_str_t                 server_reference;
    ngx_str_t                 reason_string;

    ngx_str_t                 user;
    ngx_str_t                 raw;          /* the block without its length */

    uint32_t                 *sub_ids;
    ngx_uint_t                nsub_ids;
} ngx_mqtt_props_t;


typedef struct {
    ngx_uint_t                type;         /* NGX_MQTT_CONNECT ... */
    ngx_uint_t                flags;        /* the low four bits */
    size_t                    remaining;    /* Remaining Length */
    size_t                    len;          /* of the fixed header, 2 .. 5 */
} ngx_mqtt_fixed_t;


typedef struct {
    ngx_str_t                 topic;
    ngx_str_t                 payload;
    ngx_mqtt_props_t          props;
    unsigned                  qos:2;
    unsigned                  retain:1;
} ngx_mqtt_will_t;


/*
 * CONNECT.  After NGX_ERROR "reason" is the reason code of 5.0 and "version"
 * tells the shape of the CONNACK that the refusal takes: a level that was
 * read, or 0 when the packet was refused before one was known (no CONNACK).
 */

typedef struct {
    ngx_str_t                 protocol;     /* "MQTT" or "MQIsdp" */
    ngx_uint_t                version;      /* the level byte */
    ngx_uint_t                reason;

    uint16_t                  keep_alive;   /* seconds, 0: none */
    unsigned                  clean:1;      /* Clean Session, Clean Start */
    unsigned                  has_will:1;
    unsigned                  has_username:1;
    unsigned                  has_password:1;
    unsigned                  bridge:1;     /* bit 7 of the level, as
                                               mosquitto's bridges set it */

    ngx_str_t                 client_id;
    ngx_str_t                 username;
    ngx_str_t                 password;
    ngx_mqtt_props_t          props;
    ngx_mqtt_will_t           will;
} ngx_mqtt_connect_t;


typedef struct {
    ngx_uint_t                reason;       /* after NGX_ERROR */
    ngx_uint_t                session_present;
    ngx_uint_t                code;         /* return code or reason code */
    ngx_mqtt_props_t          props;
} ngx_mqtt_connack_t;


typedef struct {
    ngx_uint_t                reason;       /* after NGX_ERROR */

    unsigned                  dup:1;
    unsigned                  qos:2;
    unsigned                  retain:1;

    uint16_t                  packet_id;    /* 0 for QoS 0 */
    ngx_str_t                 topic;
    ngx_str_t                 payload;
    ngx_mqtt_props_t          props;
} ngx_mqtt_publish_t;


/* PUBACK, PUBREC, PUBREL, PUBCOMP; and, packet id unused, DISCONNECT, AUTH */

typedef struct {
    ngx_uint_t                reason;       /* after NGX_ERROR: of the error */
    uint16_t                  packet_id;
    ngx_uint_t                code;         /* the reason code carried */
    ngx_mqtt_props_t          props;
} ngx_mqtt_ack_t;


/* options of one topic filter, 3.8.3.1 */

#define NGX_MQTT_SUB_QOS                   0x03
#define NGX_MQTT_SUB_NO_LOCAL              0x04
#define NGX_MQTT_SUB_RETAIN_AS_PUBLISHED   0x08
#define NGX_MQTT_SUB_RETAIN_HANDLING       0x30

typedef struct {
    ngx_str_t                 filter;
    ngx_uint_t                options;
} ngx_mqtt_filter_t;


/* SUBSCRIBE and UNSUBSCRIBE; the filters are walked with _next() */

typedef struct {
    ngx_uint_t                reason;       /* after NGX_ERROR */
    uint16_t                  packet_id;
    ngx_uint_t                nfilters;
    ngx_str_t                 filters;      /* the encoded list */
    ngx_mqtt_props_t          props;
} ngx_mqtt_subscribe_t;


/* SUBACK and UNSUBACK: one code per filter; none in UNSUBACK before 5.0 */

typedef struct {
    ngx_uint_t                reason;       /* after NGX_ERROR */
    uint16_t                  packet_id;
    ngx_str_t                 codes;
    ngx_mqtt_props_t          props;
} ngx_mqtt_suback_t;


/*
 * Readers: the cursor behind what was read, or NULL when [p, end) is too
 * short or the value is not valid.
 */

static ngx_inline u_char *
ngx_mqtt_read_u8(u_char *p, u_char *end, ngx_uint_t *value)
{
    if (p == end) {
        return NULL;
    }

    *value = *p;

    return p + 1;
}


static ngx_inline u_char *
ngx_mqtt_read_u16(u_char *p, u_char *end, uint16_t *value)
{
    if ((size_t) (end - p) < 2) {
        return NULL;
    }

    *value = (uint16_t) (p[0] << 8 | p[1]);

    return p + 2;
}


static ngx_inline u_char *
ngx_mqtt_read_u32(u_char *p, u_char *end, uint32_t *value)
{
    if ((size_t) (end - p) < 4) {
        return NULL;
    }

    *value = (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16
             | (uint32_t) p[2] << 8 | (uint32_t) p[3];

    return p + 4;
}


static ngx_inline u_char *
ngx_mqtt_read_bin(u_char *p, u_char *end, ngx_str_t *value)
{
    size_t  len;

    if ((size_t) (end - p) < 2) {
        return NULL;
    }

    len = (size_t) (p[0] << 8 | p[1]);
    p += 2;

    if ((size_t) (end - p) < len) {
        return NULL;
    }

    value->len = len;
    value->data = p;

    return p + len;
}


static ngx_inline u_char *
ngx_mqtt_write_u16(u_char *p, uint16_t value)
{
    *p++ = (u_char) (value >> 8);
    *p++ = (u_char) value;

    return p;
}


static ngx_inline u_char *
ngx_mqtt_write_u32(u_char *p, uint32_t value)
{
    *p++ = (u_char) (value >> 24);
    *p++ = (u_char) (value >> 16);
    *p++ = (u_char) (value >> 8);
    *p++ = (u_char) value;

    return p;
}


static ngx_inline u_char *
ngx_mqtt_write_bin(u_char *p, ngx_str_t *value)
{
    p = ngx_mqtt_write_u16(p, (uint16_t) value->len);

    if (value->len) {
        ngx_memcpy(p, value->data, value->len);
        p += value->len;
    }

    return p;
}


/* no properties: enough for an encoder, numbers are not touched */

static ngx_inline void
ngx_mqtt_props_reset(ngx_mqtt_props_t *props)
{
    props->present = 0;

    ngx_str_null(&props->user);
    ngx_str_null(&props->raw);

    props->sub_ids = NULL;
    props->nsub_ids = 0;
}


/* ngx_mqtt_wire_read.c */

u_char *ngx_mqtt_read_varint(u_char *p, u_char *end, uint32_t *value);
size_t ngx_mqtt_varint_len(uint32_t value);
u_char *ngx_mqtt_write_varint(u_char *p, uint32_t value);

/* a UTF-8 encoded string, 1.5.4: length, then ngx_mqtt_utf8_check() */
u_char *ngx_mqtt_read_utf8(u_char *p, u_char *end, ngx_str_t *value);

/*
 * Reads a fixed header.  NGX_AGAIN: [p, end) does not hold all of it yet;
 * NGX_ERROR: the Remaining Length is malformed.  Flags are not checked here.
 */
ngx_int_t ngx_mqtt_read_fixed(u_char *p, u_char *end, ngx_mqtt_fixed_t *fx);

/*
 * Checks the flags of the fixed header, 2.1.3, and that the type exists in
 * the version (AUTH is of 5.0).  3.1 lets DUP and QoS stand on PUBREL,
 * SUBSCRIBE and UNSUBSCRIBE, so only 3.1.1 and 5.0 are strict.
 */
ngx_int_t ngx_mqtt_fixed_check(ngx_mqtt_fixed_t *fx, ngx_uint_t version);

const char *ngx_mqtt_packet_name(ngx_uint_t type);
const char *ngx_mqtt_reason_name(ngx_uint_t reason);


/* ngx_mqtt_utf8.c */

/* well-formed UTF-8 without U+0000 and surrogates, 1.5.4 */
ngx_int_t ngx_mqtt_utf8_check(ngx_str_t *s);

/* the same, and none that 1.5.4 advises against: U+0001 .. U+001F, U+007F ..
   U+009F and noncharacters */
ngx_int_t ngx_mqtt_utf8_check_name(ngx_str_t *s);


/* ngx_mqtt_topic.c */

/* NGX_OK for a topic name, 4.7.1 and 4.7.3; the UTF-8 is checked before */
ngx_int_t ngx_mqtt_topic_name_check(ngx_str_t *topic);

/*
 * NGX_OK for a topic filter, 4.7.  With "share" non-NULL a "$share/" prefix is
 * understood, 4.8.2: *share becomes the share name (length 0 if there is no
 * such prefix) and *filter the filter behind it; NGX_ERROR for a malformed
 * share name or an empty filter behind it.
 */
ngx_int_t ngx_mqtt_topic_filter_check(ngx_str_t *filter, ngx_str_t *share);

/* does the filter hold a wildcard character */
ngx_uint_t ngx_mqtt_topic_has_wildcard(ngx_str_t *filter);

/* 4.7.1, 4.7.2: 1 if the valid name matches the valid filter */
ngx_uint_t ngx_mqtt_topic_match(ngx_str_t *filter, ngx_str_t *topic);

/*
 * Takes the next level off *rest into *level.  Returns 1, or 0 when none is
 * left; start with *rest the whole topic.  "a//b" has three levels.  After
 * the last level rest->data is NULL.
 */
ngx_uint_t ngx_mqtt_topic_next_level(ngx_str_t *rest, ngx_str_t *level);

ngx_uint_t ngx_mqtt_topic_levels(ngx_str_t *topic);


/* ngx_mqtt_topic_cover.c */

/* 1 when each topic name that matches "part" also matches "filter"; both are
   valid filters without a share */
ngx_uint_t ngx_mqtt_topic_covers(ngx_str_t *filter, ngx_str_t *part);


/* ngx_mqtt_props.c */

/*
 * Reads a property block with its length.  "packet" is the packet type or
 * NGX_MQTT_WILL.  On failure NULL, and *reason is MALFORMED_PACKET or
 * PROTOCOL_ERROR as the standard says for the violated rule.
 */
u_char *ngx_mqtt_read_props(u_char *p, u_char *end, ngx_uint_t packet,
    ngx_mqtt_props_t *props, ngx_uint_t *reason);

/* NGX_OK while there is one more user property; start with *pos = NULL */
ngx_int_t ngx_mqtt_props_next_user(ngx_str_t *user, u_char **pos,
    ngx_str_t *name, ngx_str_t *value);
ngx_int_t ngx_mqtt_props_next_sub_id(ngx_str_t *raw, u_char **pos,
    uint32_t *id);

/* the block with its own length in front */
size_t ngx_mqtt_props_len(ngx_mqtt_props_t *props);
u_char *ngx_mqtt_write_props(u_char *p, ngx_mqtt_props_t *props);

/* the block alone */
size_t ngx_mqtt_props_raw_len(ngx_mqtt_props_t *props);
u_char *ngx_mqtt_write_props_raw(u_char *p, ngx_mqtt_props_t *props);

/* one user property as it stands in a block, for building "user" */
size_t ngx_mqtt_user_prop_len(ngx_str_t *name, ngx_str_t *value);
u_char *ngx_mqtt_write_user_prop(u_char *p, ngx_str_t *name,
    ngx_str_t *value);


/*
 * ngx_mqtt_wire_decode.c: NGX_OK, or NGX_ERROR with pkt->reason set.  Bytes
 * behind the last field are malformed.  "flags" are those of the fixed header.
 */

ngx_int_t ngx_mqtt_decode_connect(u_char *p, u_char *end,
    ngx_mqtt_connect_t *pkt);
ngx_int_t ngx_mqtt_decode_connack(u_char *p, u_char *end, ngx_uint_t version,
    ngx_mqtt_connack_t *pkt);
ngx_int_t ngx_mqtt_decode_publish(u_char *p, u_char *end, ngx_uint_t version,
    ngx_uint_t flags, ngx_mqtt_publish_t *pkt);

/* PUBACK, PUBREC, PUBREL, PUBCOMP, DISCONNECT, AUTH */
ngx_int_t ngx_mqtt_decode_ack(u_char *p, u_char *end, ngx_uint_t version,
    ngx_uint_t type, ngx_mqtt_ack_t *pkt);

/* SUBSCRIBE, UNSUBSCRIBE */
ngx_int_t ngx_mqtt_decode_subscribe(u_char *p, u_char *end,
    ngx_uint_t version, ngx_uint_t type, ngx_mqtt_subscribe_t *pkt);

/*
 * The next filter of a decoded packet: NGX_OK, or NGX_DONE behind the last.
 * Start with *pos = NULL.
 */
ngx_int_t ngx_mqtt_subscribe_next(ngx_mqtt_subscribe_t *pkt, ngx_uint_t type,
    u_char **pos, ngx_mqtt_filter_t *filter);

/* SUBACK, UNSUBACK */
ngx_int_t ngx_mqtt_decode_suback(u_char *p, u_char *end, ngx_uint_t version,
    ngx_uint_t type, ngx_mqtt_suback_t *pkt);


/*
 * ngx_mqtt_wire_encode.c: a packet with its fixed header.  Structs must be
 * valid; the encoder checks nothing.
 */

size_t ngx_mqtt_connect_len(ngx_mqtt_connect_t *pkt);
u_char *ngx_mqtt_write_connect(u_char *p, ngx_mqtt_connect_t *pkt);

size_t ngx_mqtt_connack_len(ngx_uint_t version, ngx_mqtt_connack_t *pkt);
u_char *ngx_mqtt_write_connack(u_char *p, ngx_uint_t version,
    ngx_mqtt_connack_t *pkt);

size_t ngx_mqtt_publish_len(ngx_uint_t version, ngx_mqtt_publish_t *pkt);
u_char *ngx_mqtt_write_publish(u_char *p, ngx_uint_t version,
    ngx_mqtt_publish_t *pkt);

/* everything before the payload: the payload is sent from where it lies */
size_t ngx_mqtt_publish_head_len(ngx_uint_t version, ngx_mqtt_publish_t *pkt);
u_char *ngx_mqtt_write_publish_head(u_char *p, ngx_uint_t version,
    ngx_mqtt_publish_t *pkt);

/*
 * PUBACK, PUBREC, PUBREL, PUBCOMP, DISCONNECT, AUTH, in the shortest form
 * that the standard allows for the code and properties
 */
size_t ngx_mqtt_ack_len(ngx_uint_t version, ngx_uint_t type,
    ngx_mqtt_ack_t *pkt);
u_char *ngx_mqtt_write_ack(u_char *p, ngx_uint_t version, ngx_uint_t type,
    ngx_mqtt_ack_t *pkt);

size_t ngx_mqtt_subscribe_len(ngx_uint_t version, ngx_uint_t type,
    ngx_mqtt_subscribe_t *pkt);
u_char *ngx_mqtt_write_subscribe(u_char *p, ngx_uint_t version,
    ngx_uint_t type, ngx_mqtt_subscribe_t *pkt);

/* one entry of pkt->filters */
size_t ngx_mqtt_filter_len(ngx_uint_t type, ngx_mqtt_filter_t *filter);
u_char *ngx_mqtt_write_filter(u_char *p, ngx_uint_t type,
    ngx_mqtt_filter_t *filter);

size_t ngx_mqtt_suback_len(ngx_uint_t version, ngx_uint_t type,
    ngx_mqtt_suback_t *pkt);
u_char *ngx_mqtt_write_suback(u_char *p, ngx_uint_t version, ngx_uint_t type,
    ngx_mqtt_suback_t *pkt);

/* PINGREQ, PINGRESP: two bytes */
u_char *ngx_mqtt_write_ping(u_char *p, ngx_uint_t type);


#endif /* _NGX_MQTT_WIRE_H_INCLUDED_ */
