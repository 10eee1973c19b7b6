
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Properties of 5.0, section 2.2.2.
 *
 * (1) One table says what a property is: its data type, the rule for its
 *     value, the packets that may carry it and those that may repeat it, and
 *     the field of ngx_mqtt_props_t.  Its index is the identifier; each is
 *     below 128, so one byte, although encoded as a variable byte integer.
 * (2) What cannot be parsed and what does not belong to the packet, 2.2.2.2,
 *     is Malformed Packet; a forbidden repetition or value is Protocol Error.
 * (3) Strings, user properties and repeated subscription identifiers stay
 *     where they are, in the packet.
 *
 * Called from decoders and encoders, and by those that build or walk user
 * properties.
 */


#include "ngx_mqtt_wire.h"


#define NGX_MQTT_PROP_MAX              NGX_MQTT_PROP_SHARED_SUBS_AVAILABLE

/* data types, 2.2.2.2 */

#define NGX_MQTT_PROP_NONE             0
#define NGX_MQTT_PROP_BYTE             1
#define NGX_MQTT_PROP_SHORT            2
#define NGX_MQTT_PROP_LONG             3
#define NGX_MQTT_PROP_VARINT           4
#define NGX_MQTT_PROP_STRING           5
#define NGX_MQTT_PROP_BINARY           6
#define NGX_MQTT_PROP_PAIR             7

/* rules for values */

#define NGX_MQTT_PROP_ANY              0
#define NGX_MQTT_PROP_BOOL             1
#define NGX_MQTT_PROP_NONZERO          2
#define NGX_MQTT_PROP_TOPIC            3

/* packets */

#define NGX_MQTT_IN_WILL               (1 << NGX_MQTT_WILL)
#define NGX_MQTT_IN_CONNECT            (1 << NGX_MQTT_CONNECT)
#define NGX_MQTT_IN_CONNACK            (1 << NGX_MQTT_CONNACK)
#define NGX_MQTT_IN_PUBLISH            (1 << NGX_MQTT_PUBLISH)
#define NGX_MQTT_IN_PUBACK             (1 << NGX_MQTT_PUBACK)
#define NGX_MQTT_IN_PUBREC             (1 << NGX_MQTT_PUBREC)
#define NGX_MQTT_IN_PUBREL             (1 << NGX_MQTT_PUBREL)
#define NGX_MQTT_IN_PUBCOMP            (1 << NGX_MQTT_PUBCOMP)
#define NGX_MQTT_IN_SUBSCRIBE          (1 << NGX_MQTT_SUBSCRIBE)
#define NGX_MQTT_IN_SUBACK             (1 << NGX_MQTT_SUBACK)
#define NGX_MQTT_IN_UNSUBSCRIBE        (1 << NGX_MQTT_UNSUBSCRIBE)
#define NGX_MQTT_IN_UNSUBACK           (1 << NGX_MQTT_UNSUBACK)
#define NGX_MQTT_IN_DISCONNECT         (1 << NGX_MQTT_DISCONNECT)
#define NGX_MQTT_IN_AUTH               (1 << NGX_MQTT_AUTH)

#define NGX_MQTT_IN_MESSAGE            (NGX_MQTT_IN_PUBLISH|NGX_MQTT_IN_WILL)

#define NGX_MQTT_IN_ACK                                                       \
    (NGX_MQTT_IN_PUBACK|NGX_MQTT_IN_PUBREC                                    \
     |NGX_MQTT_IN_PUBREL|NGX_MQTT_IN_PUBCOMP                                  \
     |NGX_MQTT_IN_SUBACK|NGX_MQTT_IN_UNSUBACK)

#define NGX_MQTT_IN_SESSION            (NGX_MQTT_IN_CONNECT                   \
                                        |NGX_MQTT_IN_CONNACK)

#define NGX_MQTT_IN_REASONED                                                  \
    (NGX_MQTT_IN_ACK|NGX_MQTT_IN_CONNACK                                      \
     |NGX_MQTT_IN_DISCONNECT|NGX_MQTT_IN_AUTH)

#define NGX_MQTT_IN_ALL                                                       \
    (NGX_MQTT_IN_REASONED|NGX_MQTT_IN_MESSAGE|NGX_MQTT_IN_CONNECT             \
     |NGX_MQTT_IN_SUBSCRIBE|NGX_MQTT_IN_UNSUBSCRIBE)


typedef struct {
    u_char                    type;
    u_char                    rule;
    uint16_t                  packets;
    uint16_t                  repeat;
    uint16_t                  offset;
} ngx_mqtt_prop_t;


static u_char *ngx_mqtt_read_prop(u_char *p, u_char *end, ngx_uint_t id,
    ngx_mqtt_props_t *props, ngx_uint_t *reason);
static u_char *ngx_mqtt_read_prop_number(u_char *p, u_char *end,
    ngx_uint_t type, uint32_t *value);
static ngx_int_t ngx_mqtt_prop_number_check(ngx_uint_t rule, uint32_t value);
static void ngx_mqtt_set_prop_number(ngx_mqtt_prop_t *prop,
    ngx_mqtt_props_t *props, uint32_t value);
static u_char *ngx_mqtt_props_find(u_char *p, u_char *end, ngx_uint_t id);
static u_char *ngx_mqtt_skip_prop(u_char *p, u_char *end, ngx_uint_t type);
static size_t ngx_mqtt_prop_len(ngx_mqtt_prop_t *prop,
    ngx_mqtt_props_t *props);
static u_char *ngx_mqtt_write_prop(u_char *p, ngx_mqtt_prop_t *prop,
    ngx_mqtt_props_t *props);


#define ngx_mqtt_prop_none  { NGX_MQTT_PROP_NONE, 0, 0, 0, 0 }

#define ngx_mqtt_prop_field(prop, props, type)                                \
    ((type *) ((u_char *) (props) + (prop)->offset))

#define ngx_mqtt_prop_written(props)                                          \
    ((props)->present & ~(ngx_mqtt_prop_bit(NGX_MQTT_PROP_USER_PROPERTY)      \
                          |ngx_mqtt_prop_bit(NGX_MQTT_PROP_SUBSCRIPTION_ID)))


/* table 2-4 */

static ngx_mqtt_prop_t  ngx_mqtt_prop_table[NGX_MQTT_PROP_MAX + 1] = {

    ngx_mqtt_prop_none,

    { /* 0x01 */ NGX_MQTT_PROP_BYTE, NGX_MQTT_PROP_BOOL,
      NGX_MQTT_IN_MESSAGE, 0,
      offsetof(ngx_mqtt_props_t, payload_format) },

    { /* 0x02 */ NGX_MQTT_PROP_LONG, NGX_MQTT_PROP_ANY,
      NGX_MQTT_IN_MESSAGE, 0,
      offsetof(ngx_mqtt_props_t, message_expiry) },

    { /* 0x03 */ NGX_MQTT_PROP_STRING, NGX_MQTT_PROP_ANY,
      NGX_MQTT_IN_MESSAGE, 0,
      offsetof(ngx_mqtt_props_t, content_type) },

    ngx_mqtt_prop_none,
    ngx_mqtt_prop_none,
    ngx_mqtt_prop_none,
    ngx_mqtt_prop_none,

    { /* 0x08 */ NGX_MQTT_PROP_STRING, NGX_MQTT_PROP_TOPIC,
      NGX_MQTT_IN_MESSAGE, 0,
      offsetof(ngx_mqtt_props_t, response_topic) },

    { /* 0x09 */ NGX_MQTT_PROP_BINARY, NGX_MQTT_PROP_ANY,
      NGX_MQTT_IN_MESSAGE, 0,
      offsetof(ngx_mqtt_props_t, correlation_data) },

    ngx_mqtt_prop_none,

    { /* 0x0b */ NGX_MQTT_PROP_VARINT, NGX_MQTT_PROP_NONZERO,
      NGX_MQTT_IN_PUBLISH|NGX_MQTT_IN_SUBSCRIBE, NGX_MQTT_IN_PUBLISH,
      offsetof(ngx_mqtt_props_t, subscription_id) },

    ngx_mqtt_prop_none,
    ngx_mqtt_prop_none,
    ngx_mqtt_prop_none,
    ngx_mqtt_prop_none,
    ngx_mqtt_prop_none,

    { /* 0x11 */ NGX_MQTT_PROP_LONG, NGX_MQTT_PROP_ANY,
      NGX_MQTT_IN_SESSION|NGX_MQTT_IN_DISCONNECT, 0,
      offsetof(ngx_mqtt_props_t, session_expiry) },

    { /* 0x12 */ NGX_MQTT_PROP_STRING, NGX_MQTT_PROP_ANY,
      NGX_MQTT_IN_CONNACK, 0,
      offsetof(ngx_mqtt_props_t, assigned_client_id) },

    { /* 0x13 */ NGX_MQTT_PROP_SHORT, NGX_MQTT_PROP_ANY,
      NGX_MQTT_IN_CONNACK, 0,
      offsetof(ngx_mqtt_props_t, server_keep_alive) },

    ngx_mqtt_prop_none,

    { /* 0x15 */ NGX_MQTT_PROP_STRING, NGX_MQTT_PROP_ANY,
      NGX_MQTT_IN_SESSION|NGX_MQTT_IN_AUTH, 0,
      offsetof(ngx_mqtt_props_t, auth_method) },

    { /* 0x16 */ NGX_MQTT_PROP_BINARY, NGX_MQTT_PROP_ANY,
      NGX_MQTT_IN_SESSION|NGX_MQTT_IN_AUTH, 0,
      offsetof(ngx_mqtt_props_t, auth_data) },

    { /* 0x17 */ NGX_MQTT_PROP_BYTE, NGX_MQTT_PROP_BOOL,
      NGX_MQTT_IN_CONNECT, 0,
      offsetof(ngx_mqtt_props_t, request_problem) },

    { /* 0x18 */ NGX_MQTT_PROP_LONG, NGX_MQTT_PROP_ANY,
      NGX_MQTT_IN_WILL, 0,
      offsetof(ngx_mqtt_props_t, will_delay) },

    { /* 0x19 */ NGX_MQTT_PROP_BYTE, NGX_MQTT_PROP_BOOL,
      NGX_MQTT_IN_CONNECT, 0,
      offsetof(ngx_mqtt_props_t, request_response) },

    { /* 0x1a */ NGX_MQTT_PROP_STRING, NGX_MQTT_PROP_ANY,
      NGX_MQTT_IN_CONNACK, 0,
      offsetof(ngx_mqtt_props_t, response_info) },

    ngx_mqtt_prop_none,

    { /* 0x1c */ NGX_MQTT_PROP_STRING, NGX_MQTT_PROP_ANY,
      NGX_MQTT_IN_CONNACK|NGX_MQTT_IN_DISCONNECT, 0,
      offsetof(ngx_mqtt_props_t, server_reference) },

    ngx_mqtt_prop_none,
    ngx_mqtt_prop_none,

    { /* 0x1f */ NGX_MQTT_PROP_STRING, NGX_MQTT_PROP_ANY,
      NGX_MQTT_IN_REASONED, 0,
      offsetof(ngx_mqtt_props_t, reason_string) },

    ngx_mqtt_prop_none,

    { /* 0x21 */ NGX_MQTT_PROP_SHORT, NGX_MQTT_PROP_NONZERO,
      NGX_MQTT_IN_SESSION, 0,
      offsetof(ngx_mqtt_props_t, receive_maximum) },

    { /* 0x22 */ NGX_MQTT_PROP_SHORT, NGX_MQTT_PROP_ANY,
      NGX_MQTT_IN_SESSION, 0,
      offsetof(ngx_mqtt_props_t, topic_alias_maximum) },

    { /* 0x23 */ NGX_MQTT_PROP_SHORT, NGX_MQTT_PROP_ANY,
      NGX_MQTT_IN_PUBLISH, 0,
      offsetof(ngx_mqtt_props_t, topic_alias) },

    { /* 0x24 */ NGX_MQTT_PROP_BYTE, NGX_MQTT_PROP_BOOL,
      NGX_MQTT_IN_CONNACK, 0,
      offsetof(ngx_mqtt_props_t, maximum_qos) },

    { /* 0x25 */ NGX_MQTT_PROP_BYTE, NGX_MQTT_PROP_BOOL,
      NGX_MQTT_IN_CONNACK, 0,
      offsetof(ngx_mqtt_props_t, retain_available) },

    { /* 0x26 */ NGX_MQTT_PROP_PAIR, NGX_MQTT_PROP_ANY,
      NGX_MQTT_IN_ALL, NGX_MQTT_IN_ALL,
      offsetof(ngx_mqtt_props_t, user) },

    { /* 0x27 */ NGX_MQTT_PROP_LONG, NGX_MQTT_PROP_NONZERO,
      NGX_MQTT_IN_SESSION, 0,
      offsetof(ngx_mqtt_props_t, maximum_packet_size) },

    { /* 0x28 */ NGX_MQTT_PROP_BYTE, NGX_MQTT_PROP_BOOL,
      NGX_MQTT_IN_CONNACK, 0,
      offsetof(ngx_mqtt_props_t, wildcard_subs_available) },

    { /* 0x29 */ NGX_MQTT_PROP_BYTE, NGX_MQTT_PROP_BOOL,
      NGX_MQTT_IN_CONNACK, 0,
      offsetof(ngx_mqtt_props_t, sub_ids_available) },

    { /* 0x2a */ NGX_MQTT_PROP_BYTE, NGX_MQTT_PROP_BOOL,
      NGX_MQTT_IN_CONNACK, 0,
      offsetof(ngx_mqtt_props_t, shared_subs_available) }
};


u_char *
ngx_mqtt_read_props(u_char *p, u_char *end, ngx_uint_t packet,
    ngx_mqtt_props_t *props, ngx_uint_t *reason)
{
    u_char           *start;
    uint32_t          len;
    ngx_uint_t        id;
    ngx_mqtt_prop_t  *prop;

    *reason = NGX_MQTT_MALFORMED_PACKET;

    ngx_mqtt_props_reset(props);

    p = ngx_mqtt_read_varint(p, end, &len);

    if (p == NULL || (size_t) (end - p) < len) {
        return NULL;
    }

    end = p + len;

    props->raw.len = len;
    props->raw.data = p;

    while (p != end) {
        start = p;
        id = *p++;

        if (id > NGX_MQTT_PROP_MAX) {
            return NULL;
        }

        prop = &ngx_mqtt_prop_table[id];

        if (!(prop->packets & (1 << packet))) {
            return NULL;
        }

        if (ngx_mqtt_prop_is_set(props, id)
            && !(prop->repeat & (1 << packet)))
        {
            *reason = NGX_MQTT_PROTOCOL_ERROR;
            return NULL;
        }

        p = ngx_mqtt_read_prop(p, end, id, props, reason);
        if (p == NULL) {
            return NULL;
        }

        props->present |= ngx_mqtt_prop_bit(id);

        if (id == NGX_MQTT_PROP_USER_PROPERTY) {

            if (props->user.len == 0) {
                props->user.data = start;
            }

            props->user.len = p - props->user.data;
        }
    }

    return p;
}


static u_char *
ngx_mqtt_read_prop(u_char *p, u_char *end, ngx_uint_t id,
    ngx_mqtt_props_t *props, ngx_uint_t *reason)
{
    uint32_t          value;
    ngx_str_t        *s, pair;
    ngx_mqtt_prop_t  *prop;

    prop = &ngx_mqtt_prop_table[id];

    switch (prop->type) {

    case NGX_MQTT_PROP_PAIR:
        p = ngx_mqtt_read_utf8(p, end, &pair);
        if (p == NULL) {
            return NULL;
        }

        return ngx_mqtt_read_utf8(p, end, &pair);

    case NGX_MQTT_PROP_BINARY:
        s = ngx_mqtt_prop_field(prop, props, ngx_str_t);
        return ngx_mqtt_read_bin(p, end, s);

    case NGX_MQTT_PROP_STRING:
        s = ngx_mqtt_prop_field(prop, props, ngx_str_t);

        p = ngx_mqtt_read_utf8(p, end, s);

        if (p && prop->rule == NGX_MQTT_PROP_TOPIC
            && ngx_mqtt_topic_name_check(s) != NGX_OK)
        {
            *reason = NGX_MQTT_PROTOCOL_ERROR;
            return NULL;
        }

        return p;

    default:
        p = ngx_mqtt_read_prop_number(p, end, prop->type, &value);
        if (p == NULL) {
            return NULL;
        }

        if (ngx_mqtt_prop_number_check(prop->rule, value) != NGX_OK) {
            *reason = NGX_MQTT_PROTOCOL_ERROR;
            return NULL;
        }

        /* of repeated subscription identifiers the first one stays */

        if (!ngx_mqtt_prop_is_set(props, id)) {
            ngx_mqtt_set_prop_number(prop, props, value);
        }

        return p;
    }
}


static u_char *
ngx_mqtt_read_prop_number(u_char *p, u_char *end, ngx_uint_t type,
    uint32_t *value)
{
    uint16_t    n16;
    ngx_uint_t  n8;

    switch (type) {

    case NGX_MQTT_PROP_BYTE:
        p = ngx_mqtt_read_u8(p, end, &n8);
        if (p) {
            *value = (uint32_t) n8;
        }

        return p;

    case NGX_MQTT_PROP_SHORT:
        p = ngx_mqtt_read_u16(p, end, &n16);
        if (p) {
            *value = n16;
        }

        return p;

    case NGX_MQTT_PROP_LONG:
        return ngx_mqtt_read_u32(p, end, value);

    case NGX_MQTT_PROP_VARINT:
        return ngx_mqtt_read_varint(p, end, value);
    }

    return NULL;
}


static ngx_int_t
ngx_mqtt_prop_number_check(ngx_uint_t rule, uint32_t value)
{
    switch (rule) {

    case NGX_MQTT_PROP_BOOL:
        return (value <= 1) ? NGX_OK : NGX_ERROR;

    case NGX_MQTT_PROP_NONZERO:
        return (value != 0) ? NGX_OK : NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_mqtt_set_prop_number(ngx_mqtt_prop_t *prop, ngx_mqtt_props_t *props,
    uint32_t value)
{
    switch (prop->type) {

    case NGX_MQTT_PROP_BYTE:
        *ngx_mqtt_prop_field(prop, props, uint8_t) = (uint8_t) value;
        break;

    case NGX_MQTT_PROP_SHORT:
        *ngx_mqtt_prop_field(prop, props, uint16_t) = (uint16_t) value;
        break;

    default: /* NGX_MQTT_PROP_LONG, NGX_MQTT_PROP_VARINT */
        *ngx_mqtt_prop_field(prop, props, uint32_t) = value;
        break;
    }
}


ngx_int_t
ngx_mqtt_props_next_user(ngx_str_t *user, u_char **pos, ngx_str_t *name,
    ngx_str_t *value)
{
    u_char  *p, *end;

    if (user->len == 0) {
        return NGX_DONE;
    }

    p = (*pos) ? *pos : user->data;
    end = user->data + user->len;

    p = ngx_mqtt_props_find(p, end, NGX_MQTT_PROP_USER_PROPERTY);
    if (p == NULL) {
        return NGX_DONE;
    }

    p = ngx_mqtt_read_bin(p, end, name);
    if (p == NULL) {
        return NGX_DONE;
    }

    p = ngx_mqtt_read_bin(p, end, value);
    if (p == NULL) {
        return NGX_DONE;
    }

    *pos = p;

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_props_next_sub_id(ngx_str_t *raw, u_char **pos, uint32_t *id)
{
    u_char  *p, *end;

    if (raw->len == 0) {
        return NGX_DONE;
    }

    p = (*pos) ? *pos : raw->data;
    end = raw->data + raw->len;

    p = ngx_mqtt_props_find(p, end, NGX_MQTT_PROP_SUBSCRIPTION_ID);
    if (p == NULL) {
        return NGX_DONE;
    }

    p = ngx_mqtt_read_varint(p, end, id);
    if (p == NULL) {
        return NGX_DONE;
    }

    *pos = p;

    return NGX_OK;
}


/* the value of the next property "id", or NULL if there is none */

static u_char *
ngx_mqtt_props_find(u_char *p, u_char *end, ngx_uint_t id)
{
    ngx_uint_t  found;

    while (p != end) {
        found = *p++;

        if (found == id) {
            return p;
        }

        if (found > NGX_MQTT_PROP_MAX) {
            return NULL;
        }

        p = ngx_mqtt_skip_prop(p, end, ngx_mqtt_prop_table[found].type);
        if (p == NULL) {
            return NULL;
        }
    }

    return NULL;
}


static u_char *
ngx_mqtt_skip_prop(u_char *p, u_char *end, ngx_uint_t type)
{
    uint32_t   number;
    ngx_str_t  s;

    switch (type) {

    case NGX_MQTT_PROP_PAIR:
        p = ngx_mqtt_read_bin(p, end, &s);
        if (p == NULL) {
            return NULL;
        }

        return ngx_mqtt_read_bin(p, end, &s);

    case NGX_MQTT_PROP_STRING:
    case NGX_MQTT_PROP_BINARY:
        return ngx_mqtt_read_bin(p, end, &s);

    default:
        return ngx_mqtt_read_prop_number(p, end, type, &number);
    }
}


size_t
ngx_mqtt_props_len(ngx_mqtt_props_t *props)
{
    size_t  len;

    len = ngx_mqtt_props_raw_len(props);

    return ngx_mqtt_varint_len(len) + len;
}


size_t
ngx_mqtt_props_raw_len(ngx_mqtt_props_t *props)
{
    u_char      *pos;
    size_t       len;
    uint64_t     bits;
    ngx_str_t    name, value;
    ngx_uint_t   id, i;

    len = 0;
    bits = ngx_mqtt_prop_written(props);

    for (id = 0; bits; id++, bits >>= 1) {
        if (bits & 1) {
            len += ngx_mqtt_prop_len(&ngx_mqtt_prop_table[id], props);
        }
    }

    pos = NULL;

    while (ngx_mqtt_props_next_user(&props->user, &pos, &name, &value)
           == NGX_OK)
    {
        len += ngx_mqtt_user_prop_len(&name, &value);
    }

    for (i = 0; i < props->nsub_ids; i++) {
        len += 1 + ngx_mqtt_varint_len(props->sub_ids[i]);
    }

    return len;
}


static size_t
ngx_mqtt_prop_len(ngx_mqtt_prop_t *prop, ngx_mqtt_props_t *props)
{
    switch (prop->type) {

    case NGX_MQTT_PROP_BYTE:
        return 1 + 1;

    case NGX_MQTT_PROP_SHORT:
        return 1 + 2;

    case NGX_MQTT_PROP_LONG:
        return 1 + 4;

    default: /* NGX_MQTT_PROP_STRING, NGX_MQTT_PROP_BINARY */
        return 1 + 2 + ngx_mqtt_prop_field(prop, props, ngx_str_t)->len;
    }
}


u_char *
ngx_mqtt_write_props(u_char *p, ngx_mqtt_props_t *props)
{
    p = ngx_mqtt_write_varint(p, ngx_mqtt_props_raw_len(props));

    return ngx_mqtt_write_props_raw(p, props);
}


u_char *
ngx_mqtt_write_props_raw(u_char *p, ngx_mqtt_props_t *props)
{
    u_char      *pos;
    uint64_t     bits;
    ngx_str_t    name, value;
    ngx_uint_t   id, i;

    bits = ngx_mqtt_prop_written(props);

    for (id = 0; bits; id++, bits >>= 1) {
        if (bits & 1) {
            *p++ = (u_char) id;
            p = ngx_mqtt_write_prop(p, &ngx_mqtt_prop_table[id], props);
        }
    }

    pos = NULL;

    while (ngx_mqtt_props_next_user(&props->user, &pos, &name, &value)
           == NGX_OK)
    {
        p = ngx_mqtt_write_user_prop(p, &name, &value);
    }

    for (i = 0; i < props->nsub_ids; i++) {
        *p++ = NGX_MQTT_PROP_SUBSCRIPTION_ID;
        p = ngx_mqtt_write_varint(p, props->sub_ids[i]);
    }

    return p;
}


static u_char *
ngx_mqtt_write_prop(u_char *p, ngx_mqtt_prop_t *prop, ngx_mqtt_props_t *props)
{
    switch (prop->type) {

    case NGX_MQTT_PROP_BYTE:
        *p++ = *ngx_mqtt_prop_field(prop, props, uint8_t);
        return p;

    case NGX_MQTT_PROP_SHORT:
        return ngx_mqtt_write_u16(p,
                               *ngx_mqtt_prop_field(prop, props, uint16_t));

    case NGX_MQTT_PROP_LONG:
        return ngx_mqtt_write_u32(p,
                               *ngx_mqtt_prop_field(prop, props, uint32_t));

    default: /* NGX_MQTT_PROP_STRING, NGX_MQTT_PROP_BINARY */
        return ngx_mqtt_write_bin(p,
                               ngx_mqtt_prop_field(prop, props, ngx_str_t));
    }
}


size_t
ngx_mqtt_user_prop_len(ngx_str_t *name, ngx_str_t *value)
{
    return 1 + 2 + name->len + 2 + value->len;
}


u_char *
ngx_mqtt_write_user_prop(u_char *p, ngx_str_t *name, ngx_str_t *value)
{
    *p++ = NGX_MQTT_PROP_USER_PROPERTY;
    p = ngx_mqtt_write_bin(p, name);

    return ngx_mqtt_write_bin(p, value);
}
