
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * What stands around a payload, as Kafka headers.
 *
 * (1) The headers of the contract come first, always in the same order; then
 *     the MQTT 5 properties; then the user properties as the device sent
 *     them.
 * (2) A user property never forges a header of the contract: one that has
 *     such a name, in any case, is left out.
 * (3) Nothing is allocated or copied but the digits of the message expiry
 *     interval: names and values point to constants and to the properties.
 *
 * Called from: gateway/, for every mapped publish.
 */


#include "ngx_mqtt_map.h"


/* the five of every record, and at most mqttRetain and the expiry interval */

#define NGX_MQTT_MAP_HEADERS_FIXED     7

/* the digits of a 32-bit number */

#define NGX_MQTT_MAP_EXPIRY_LEN        (sizeof("4294967295") - 1)


/* one property of an encoded block; numbers are given as their bytes */

typedef struct {
    ngx_uint_t             id;
    ngx_str_t              name;         /* of a user property */
    ngx_str_t              value;
} ngx_mqtt_map_prop_t;


/* properties other than user properties that become headers */

typedef struct {
    ngx_str_t              payload_format;
    ngx_str_t              content_type;
    ngx_str_t              response_topic;
    ngx_str_t              correlation_data;
    ngx_uint_t             user;         /* how many user properties */
} ngx_mqtt_map_props_t;


static void ngx_mqtt_map_read_props(ngx_str_t *props,
    ngx_mqtt_map_props_t *mp);
static u_char *ngx_mqtt_map_read_prop(u_char *p, u_char *end,
    ngx_mqtt_map_prop_t *prop);
static ngx_keyval_t *ngx_mqtt_map_props(ngx_mqtt_map_uplink_t *up,
    ngx_keyval_t *h, u_char *scratch);
static ngx_keyval_t *ngx_mqtt_map_user_props(ngx_str_t *props,
    ngx_keyval_t *h);
static ngx_str_t ngx_mqtt_map_number(uint32_t value, u_char *scratch);


static ngx_str_t  ngx_mqtt_map_contract[] = {
    ngx_string("qoslevel"),
    ngx_string("cleansessionflag"),
    ngx_string("mqttSecondTopic"),
    ngx_string("mqttRealTopic"),
    ngx_string("clientId"),
    ngx_string("mqttGateway"),
    ngx_string("mqttRetain"),
    ngx_string("mqtt5PayloadFormat"),
    ngx_string("mqtt5MsgExpireInterval"),
    ngx_string("mqtt5ContentType"),
    ngx_string("mqtt5ResponseTopic"),
    ngx_string("mqtt5CorrelationData"),
    ngx_string("mqttDeadLetterReason"),
    ngx_string("mqttDeadLetterTopic"),
    ngx_null_string
};


static ngx_str_t  ngx_mqtt_map_digits[] = {
    ngx_string("0"),
    ngx_string("1"),
    ngx_string("2")
};

static ngx_str_t  ngx_mqtt_map_true = ngx_string("true");
static ngx_str_t  ngx_mqtt_map_false = ngx_string("false");


#define ngx_mqtt_map_header(h, name, text)                                    \
    ngx_str_set(&(h)->key, name); (h)->value = text; (h)++


ngx_uint_t
ngx_mqtt_map_is_contract_header(ngx_str_t *name)
{
    ngx_str_t  *s;

    for (s = ngx_mqtt_map_contract; s->len; s++) {

        if (s->len == name->len
            && ngx_strncasecmp(s->data, name->data, s->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


ngx_uint_t
ngx_mqtt_map_headers_max(ngx_str_t *props)
{
    u_char               *p, *end;
    ngx_uint_t            n;
    ngx_mqtt_map_prop_t   prop;

    n = NGX_MQTT_MAP_HEADERS_FIXED;

    if (props->len == 0) {
        return n;
    }

    p = props->data;
    end = p + props->len;

    while (p != end) {
        p = ngx_mqtt_map_read_prop(p, end, &prop);
        if (p == NULL) {
            break;
        }

        n++;
    }

    return n;
}


ngx_uint_t
ngx_mqtt_map_headers(ngx_mqtt_map_uplink_t *up, ngx_keyval_t *headers,
    u_char scratch[NGX_MQTT_MAP_SCRATCH])
{
    ngx_keyval_t  *h;

    h = headers;

    ngx_mqtt_map_header(h, "qoslevel", ngx_mqtt_map_digits[up->qos]);
    ngx_mqtt_map_header(h, "cleansessionflag",
                        up->clean ? ngx_mqtt_map_true : ngx_mqtt_map_false);
    ngx_mqtt_map_header(h, "mqttSecondTopic", up->sub);
    ngx_mqtt_map_header(h, "clientId", up->client_id);
    ngx_mqtt_map_header(h, "mqttGateway", up->gateway);

    if (up->retain) {
        ngx_mqtt_map_header(h, "mqttRetain", ngx_mqtt_map_true);
    }

    if (up->props.len || up->has_expiry) {
        h = ngx_mqtt_map_props(up, h, scratch);
    }

    return h - headers;
}


static ngx_keyval_t *
ngx_mqtt_map_props(ngx_mqtt_map_uplink_t *up, ngx_keyval_t *h,
    u_char *scratch)
{
    ngx_mqtt_map_props_t  mp;

    ngx_mqtt_map_read_props(&up->props, &mp);

    if (mp.payload_format.data) {
        ngx_mqtt_map_header(h, "mqtt5PayloadFormat",
                       ngx_mqtt_map_digits[mp.payload_format.data[0] & 1]);
    }

    if (up->has_expiry) {
        ngx_mqtt_map_header(h, "mqtt5MsgExpireInterval",
                            ngx_mqtt_map_number(up->expiry, scratch));
    }

    if (mp.content_type.data) {
        ngx_mqtt_map_header(h, "mqtt5ContentType", mp.content_type);
    }

    if (mp.response_topic.data) {
        ngx_mqtt_map_header(h, "mqtt5ResponseTopic", mp.response_topic);
    }

    if (mp.correlation_data.data) {
        ngx_mqtt_map_header(h, "mqtt5CorrelationData", mp.correlation_data);
    }

    if (mp.user) {
        h = ngx_mqtt_map_user_props(&up->props, h);
    }

    return h;
}


static void
ngx_mqtt_map_read_props(ngx_str_t *props, ngx_mqtt_map_props_t *mp)
{
    u_char               *p, *end;
    ngx_mqtt_map_prop_t   prop;

    ngx_memzero(mp, sizeof(ngx_mqtt_map_props_t));

    if (props->len == 0) {
        return;
    }

    p = props->data;
    end = p + props->len;

    while (p != end) {
        p = ngx_mqtt_map_read_prop(p, end, &prop);
        if (p == NULL) {
            return;
        }

        switch (prop.id) {

        case NGX_MQTT_PROP_PAYLOAD_FORMAT:
            mp->payload_format = prop.value;
            break;

        case NGX_MQTT_PROP_CONTENT_TYPE:
            mp->content_type = prop.value;
            break;

        case NGX_MQTT_PROP_RESPONSE_TOPIC:
            mp->response_topic = prop.value;
            break;

        case NGX_MQTT_PROP_CORRELATION_DATA:
            mp->correlation_data = prop.value;
            break;

        case NGX_MQTT_PROP_USER_PROPERTY:
            mp->user++;
            break;
        }
    }
}


static ngx_keyval_t *
ngx_mqtt_map_user_props(ngx_str_t *props, ngx_keyval_t *h)
{
    u_char               *p, *end;
    ngx_mqtt_map_prop_t   prop;

    p = props->data;
    end = p + props->len;

    while (p != end) {
        p = ngx_mqtt_map_read_prop(p, end, &prop);
        if (p == NULL) {
            break;
        }

        if (prop.id != NGX_MQTT_PROP_USER_PROPERTY
            || ngx_mqtt_map_is_contract_header(&prop.name))
        {
            continue;
        }

        h->key = prop.name;
        h->value = prop.value;
        h++;
    }

    return h;
}


/* the properties that travel with a message; NULL for any other byte */

static u_char *
ngx_mqtt_map_read_prop(u_char *p, u_char *end, ngx_mqtt_map_prop_t *prop)
{
    prop->id = *p++;

    switch (prop->id) {

    case NGX_MQTT_PROP_PAYLOAD_FORMAT:
        prop->value.len = 1;
        break;

    case NGX_MQTT_PROP_MESSAGE_EXPIRY:
        prop->value.len = 4;
        break;

    case NGX_MQTT_PROP_CONTENT_TYPE:
    case NGX_MQTT_PROP_RESPONSE_TOPIC:
    case NGX_MQTT_PROP_CORRELATION_DATA:
        return ngx_mqtt_read_bin(p, end, &prop->value);

    case NGX_MQTT_PROP_USER_PROPERTY:
        p = ngx_mqtt_read_bin(p, end, &prop->name);
        if (p == NULL) {
            return NULL;
        }

        return ngx_mqtt_read_bin(p, end, &prop->value);

    default:
        return NULL;
    }

    if ((size_t) (end - p) < prop->value.len) {
        return NULL;
    }

    prop->value.data = p;

    return p + prop->value.len;
}


static ngx_str_t
ngx_mqtt_map_number(uint32_t value, u_char *scratch)
{
    u_char     *p, *end;
    ngx_str_t   s;

    end = scratch + NGX_MQTT_MAP_EXPIRY_LEN;
    p = end;

    do {
        *--p = (u_char) (value % 10 + '0');
        value /= 10;
    } while (value);

    s.len = end - p;
    s.data = p;

    return s;
}
