
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * A record of Kafka on its way to devices: what its headers say.
 *
 * (1) Names of the contract are read in any case of letters.  A null or empty
 *     value is as if the header were not there.
 * (2) Values come from strangers: a header of the contract that does not say
 *     anything valid makes the record one that cannot be understood; any other
 *     header is a user property if it can be one, and is left out if not.
 * (3) What was decoded can be written: a valid topic name of at most 65535
 *     bytes, and properties that every MQTT 5 client takes.
 * (4) Nothing is allocated or copied.
 *
 * Called from: gateway/, for every record that is consumed.
 */


#include "ngx_mqtt_map.h"


#define NGX_MQTT_MAP_STRING_MAX        65535

/* a packet holds the payload as well, 2.1.4 */

#define NGX_MQTT_MAP_PROPS_MAX         (NGX_MQTT_MAX_REMAINING / 2)


typedef struct {
    ngx_str_t              name;
    size_t                 offset;       /* of its value in the struct below */
} ngx_mqtt_map_field_t;


/* headers of the contract as they stand in the record */

typedef struct {
    ngx_str_t              qos;
    ngx_str_t              clean;
    ngx_str_t              second;
    ngx_str_t              real;
    ngx_str_t              gateway;
    ngx_str_t              retain;
    ngx_str_t              format;
    ngx_str_t              expiry;
    ngx_str_t              content_type;
    ngx_str_t              response_topic;
    ngx_str_t              correlation_data;
} ngx_mqtt_map_fields_t;


static void ngx_mqtt_map_read_fields(ngx_keyval_t *headers,
    ngx_uint_t nheaders, ngx_mqtt_map_fields_t *fields);
static const char *ngx_mqtt_map_decode_flags(ngx_mqtt_map_fields_t *fields,
    ngx_mqtt_map_downlink_t *dl);
static const char *ngx_mqtt_map_decode_topic(ngx_str_t *parent,
    ngx_mqtt_map_downlink_t *dl);
static const char *ngx_mqtt_map_decode_real(ngx_str_t *parent,
    ngx_mqtt_map_downlink_t *dl);
static const char *ngx_mqtt_map_decode_props(ngx_mqtt_map_fields_t *fields,
    ngx_mqtt_map_downlink_t *dl);
static const char *ngx_mqtt_map_measure_props(ngx_keyval_t *headers,
    ngx_uint_t nheaders, ngx_mqtt_map_downlink_t *dl);
static ngx_uint_t ngx_mqtt_map_is_user_property(ngx_keyval_t *header);
static ngx_int_t ngx_mqtt_map_decode_flag(ngx_str_t *value);
static ngx_int_t ngx_mqtt_map_decode_number(ngx_str_t *value,
    uint32_t *number);
static ngx_uint_t ngx_mqtt_map_is(ngx_str_t *value, ngx_str_t *text);


#define ngx_mqtt_map_lacks_slash(value)                                       \
    ((value)->len && (value)->data[0] != '/')


static ngx_mqtt_map_field_t  ngx_mqtt_map_fields[] = {
    { ngx_string("qoslevel"), offsetof(ngx_mqtt_map_fields_t, qos) },
    { ngx_string("cleansessionflag"),
      offsetof(ngx_mqtt_map_fields_t, clean) },
    { ngx_string("mqttSecondTopic"),
      offsetof(ngx_mqtt_map_fields_t, second) },
    { ngx_string("mqttRealTopic"), offsetof(ngx_mqtt_map_fields_t, real) },
    { ngx_string("mqttGateway"), offsetof(ngx_mqtt_map_fields_t, gateway) },
    { ngx_string("mqttRetain"), offsetof(ngx_mqtt_map_fields_t, retain) },
    { ngx_string("mqtt5PayloadFormat"),
      offsetof(ngx_mqtt_map_fields_t, format) },
    { ngx_string("mqtt5MsgExpireInterval"),
      offsetof(ngx_mqtt_map_fields_t, expiry) },
    { ngx_string("mqtt5ContentType"),
      offsetof(ngx_mqtt_map_fields_t, content_type) },
    { ngx_string("mqtt5ResponseTopic"),
      offsetof(ngx_mqtt_map_fields_t, response_topic) },
    { ngx_string("mqtt5CorrelationData"),
      offsetof(ngx_mqtt_map_fields_t, correlation_data) },
    { ngx_null_string, 0 }
};


static ngx_str_t  ngx_mqtt_map_yes = ngx_string("true");
static ngx_str_t  ngx_mqtt_map_no = ngx_string("false");


ngx_int_t
ngx_mqtt_map_decode(ngx_str_t *parent, ngx_str_t *gateway,
    ngx_keyval_t *headers, ngx_uint_t nheaders, ngx_mqtt_map_downlink_t *dl)
{
    ngx_mqtt_map_fields_t  fields;

    ngx_memzero(dl, sizeof(ngx_mqtt_map_downlink_t));
    ngx_memzero(&fields, sizeof(ngx_mqtt_map_fields_t));

    ngx_mqtt_map_read_fields(headers, nheaders, &fields);

    if (fields.gateway.len == gateway->len
        && gateway->len
        && ngx_memcmp(fields.gateway.data, gateway->data, gateway->len) == 0)
    {
        return NGX_DONE;
    }

    dl->second = fields.second;
    dl->real = fields.real;

    (void) ngx_mqtt_map_is_p2p(&dl->second, &dl->p2p);

    dl->error = ngx_mqtt_map_decode_flags(&fields, dl);

    if (dl->error == NULL) {
        dl->error = ngx_mqtt_map_decode_real(parent, dl);
    }

    if (dl->error == NULL) {
        dl->error = ngx_mqtt_map_decode_topic(parent, dl);
    }

    if (dl->error == NULL) {
        dl->error = ngx_mqtt_map_decode_props(&fields, dl);
    }

    if (dl->error == NULL) {
        dl->error = ngx_mqtt_map_measure_props(headers, nheaders, dl);
    }

    return dl->error ? NGX_ERROR : NGX_OK;
}


static void
ngx_mqtt_map_read_fields(ngx_keyval_t *headers, ngx_uint_t nheaders,
    ngx_mqtt_map_fields_t *fields)
{
    ngx_uint_t             i;
    ngx_str_t             *value;
    ngx_mqtt_map_field_t  *field;

    for (i = 0; i < nheaders; i++) {

        for (field = ngx_mqtt_map_fields; field->name.len; field++) {

            if (ngx_mqtt_map_is(&headers[i].key, &field->name)) {
                value = (ngx_str_t *) ((u_char *) fields + field->offset);
                *value = headers[i].value;
                break;
            }
        }
    }
}


static const char *
ngx_mqtt_map_decode_flags(ngx_mqtt_map_fields_t *fields,
    ngx_mqtt_map_downlink_t *dl)
{
    ngx_int_t  flag;

    dl->qos = 1;
    dl->clean = 1;

    if (fields->qos.len) {

        if (fields->qos.len != 1 || fields->qos.data[0] < '0'
            || fields->qos.data[0] > '2')
        {
            return "unknown \"qoslevel\"";
        }

        dl->qos = fields->qos.data[0] - '0';
    }

    flag = ngx_mqtt_map_decode_flag(&fields->retain);

    if (flag == NGX_ERROR) {
        return "unknown \"mqttRetain\"";
    }

    dl->retain = (flag == 1);

    if (dl->p2p.len == 0) {
        return NULL;
    }

    flag = ngx_mqtt_map_decode_flag(&fields->clean);

    if (flag == NGX_ERROR) {
        return "unknown \"cleansessionflag\"";
    }

    dl->clean = (flag != 0);

    return NULL;
}


/* 1, 0, NGX_DECLINED: not there, NGX_ERROR */

static ngx_int_t
ngx_mqtt_map_decode_flag(ngx_str_t *value)
{
    if (value->len == 0) {
        return NGX_DECLINED;
    }

    if (ngx_mqtt_map_is(value, &ngx_mqtt_map_yes)) {
        return 1;
    }

    return ngx_mqtt_map_is(value, &ngx_mqtt_map_no) ? 0 : NGX_ERROR;
}


/*
 * The parent is valid and has no slash: what follows it decides.  A client id
 * with a wildcard character in it makes no topic name, 4.7.1: such a device
 * can only be told with a name of its own.
 */

static const char *
ngx_mqtt_map_decode_topic(ngx_str_t *parent, ngx_mqtt_map_downlink_t *dl)
{
    ngx_str_t  *second;

    second = &dl->second;

    if (second->len == 0) {
        dl->topic_len = parent->len;
        return NULL;
    }

    if (ngx_mqtt_utf8_check(second) != NGX_OK) {
        return "\"mqttSecondTopic\" is not UTF-8";
    }

    if (ngx_mqtt_topic_has_wildcard(second)
        && (dl->p2p.len == 0 || dl->real_len == 0))
    {
        return "\"mqttSecondTopic\" has a wildcard";
    }

    dl->topic_len = parent->len + second->len
                    + ngx_mqtt_map_lacks_slash(second);

    if (dl->topic_len > NGX_MQTT_MAP_STRING_MAX) {
        return "\"mqttSecondTopic\" is too long";
    }

    return NULL;
}


static const char *
ngx_mqtt_map_decode_real(ngx_str_t *parent, ngx_mqtt_map_downlink_t *dl)
{
    ngx_str_t  *real;

    real = &dl->real;

    if (real->len == 0) {
        return NULL;
    }

    if (ngx_mqtt_utf8_check(real) != NGX_OK) {
        return "\"mqttRealTopic\" is not UTF-8";
    }

    if (ngx_mqtt_topic_has_wildcard(real)) {
        return "\"mqttRealTopic\" has a wildcard";
    }

    dl->real_len = real->len;

    if (real->data[0] == '/') {
        dl->real_len += parent->len;
    }

    if (dl->real_len > NGX_MQTT_MAP_STRING_MAX) {
        return "\"mqttRealTopic\" is too long";
    }

    return NULL;
}


static const char *
ngx_mqtt_map_decode_props(ngx_mqtt_map_fields_t *fields,
    ngx_mqtt_map_downlink_t *dl)
{
    ngx_str_t  *topic;

    if (fields->expiry.len) {

        if (ngx_mqtt_map_decode_number(&fields->expiry, &dl->expiry)
            != NGX_OK)
        {
            return "invalid \"mqtt5MsgExpireInterval\"";
        }

        dl->has_expiry = 1;
    }

    if (fields->format.len) {

        if (fields->format.len != 1
            || (fields->format.data[0] != '0'
                && fields->format.data[0] != '1'))
        {
            return "invalid \"mqtt5PayloadFormat\"";
        }

        dl->format = fields->format;
    }

    dl->content_type = fields->content_type;
    dl->response_topic = fields->response_topic;
    dl->correlation_data = fields->correlation_data;

    if (dl->content_type.len > NGX_MQTT_MAP_STRING_MAX
        || ngx_mqtt_utf8_check(&dl->content_type) != NGX_OK)
    {
        return "invalid \"mqtt5ContentType\"";
    }

    topic = &dl->response_topic;

    if (topic->len
        && (ngx_mqtt_utf8_check(topic) != NGX_OK
            || ngx_mqtt_topic_name_check(topic) != NGX_OK))
    {
        return "invalid \"mqtt5ResponseTopic\"";
    }

    if (dl->correlation_data.len > NGX_MQTT_MAP_STRING_MAX) {
        return "invalid \"mqtt5CorrelationData\"";
    }

    return NULL;
}


static const char *
ngx_mqtt_map_measure_props(ngx_keyval_t *headers, ngx_uint_t nheaders,
    ngx_mqtt_map_downlink_t *dl)
{
    size_t      len;
    ngx_uint_t  i;

    len = 0;

    if (dl->format.len) {
        len += 1 + 1;
    }

    if (dl->content_type.len) {
        len += 1 + 2 + dl->content_type.len;
    }

    if (dl->response_topic.len) {
        len += 1 + 2 + dl->response_topic.len;
    }

    if (dl->correlation_data.len) {
        len += 1 + 2 + dl->correlation_data.len;
    }

    for (i = 0; i < nheaders; i++) {

        if (ngx_mqtt_map_is_user_property(&headers[i])) {
            len += ngx_mqtt_user_prop_len(&headers[i].key,
                                          &headers[i].value);
        }
    }

    if (len > NGX_MQTT_MAP_PROPS_MAX) {
        return "headers are too long";
    }

    dl->props_len = len;

    return NULL;
}


static ngx_uint_t
ngx_mqtt_map_is_user_property(ngx_keyval_t *header)
{
    return header->key.len <= NGX_MQTT_MAP_STRING_MAX
           && header->value.len <= NGX_MQTT_MAP_STRING_MAX
           && !ngx_mqtt_map_is_contract_header(&header->key)
           && ngx_mqtt_utf8_check(&header->key) == NGX_OK
           && ngx_mqtt_utf8_check(&header->value) == NGX_OK;
}


u_char *
ngx_mqtt_map_write_topic(u_char *p, ngx_str_t *parent,
    ngx_mqtt_map_downlink_t *dl)
{
    p = ngx_cpymem(p, parent->data, parent->len);

    if (ngx_mqtt_map_lacks_slash(&dl->second)) {
        *p++ = '/';
    }

    if (dl->second.len) {
        p = ngx_cpymem(p, dl->second.data, dl->second.len);
    }

    return p;
}


u_char *
ngx_mqtt_map_write_real(u_char *p, ngx_str_t *parent,
    ngx_mqtt_map_downlink_t *dl)
{
    if (dl->real_len == 0) {
        return p;
    }

    if (dl->real.data[0] == '/') {
        p = ngx_cpymem(p, parent->data, parent->len);
    }

    return ngx_cpymem(p, dl->real.data, dl->real.len);
}


u_char *
ngx_mqtt_map_write_props(u_char *p, ngx_keyval_t *headers,
    ngx_uint_t nheaders, ngx_mqtt_map_downlink_t *dl)
{
    ngx_uint_t  i;

    if (dl->format.len) {
        *p++ = NGX_MQTT_PROP_PAYLOAD_FORMAT;
        *p++ = (u_char) (dl->format.data[0] - '0');
    }

    if (dl->content_type.len) {
        *p++ = NGX_MQTT_PROP_CONTENT_TYPE;
        p = ngx_mqtt_write_bin(p, &dl->content_type);
    }

    if (dl->response_topic.len) {
        *p++ = NGX_MQTT_PROP_RESPONSE_TOPIC;
        p = ngx_mqtt_write_bin(p, &dl->response_topic);
    }

    if (dl->correlation_data.len) {
        *p++ = NGX_MQTT_PROP_CORRELATION_DATA;
        p = ngx_mqtt_write_bin(p, &dl->correlation_data);
    }

    for (i = 0; i < nheaders; i++) {

        if (ngx_mqtt_map_is_user_property(&headers[i])) {
            p = ngx_mqtt_write_user_prop(p, &headers[i].key,
                                         &headers[i].value);
        }
    }

    return p;
}


ngx_uint_t
ngx_mqtt_map_is_p2p(ngx_str_t *sub, ngx_str_t *client_id)
{
    u_char  *p, *end;

    if (sub->len < sizeof("p2p/x") - 1) {
        return 0;
    }

    p = sub->data;
    end = p + sub->len;

    if (*p == '/') {
        p++;
    }

    if (end - p < (ssize_t) sizeof("p2p/x") - 1
        || ngx_memcmp(p, "p2p/", sizeof("p2p/") - 1) != 0)
    {
        return 0;
    }

    client_id->data = p + sizeof("p2p/") - 1;
    client_id->len = end - client_id->data;

    return 1;
}


static ngx_int_t
ngx_mqtt_map_decode_number(ngx_str_t *value, uint32_t *number)
{
    u_char    *p, *end;
    uint64_t   n;

    n = 0;
    end = value->data + value->len;

    for (p = value->data; p < end; p++) {

        if (*p < '0' || *p > '9') {
            return NGX_ERROR;
        }

        n = n * 10 + (*p - '0');

        if (n > 0xffffffff) {
            return NGX_ERROR;
        }
    }

    *number = (uint32_t) n;

    return NGX_OK;
}


static ngx_uint_t
ngx_mqtt_map_is(ngx_str_t *value, ngx_str_t *text)
{
    return value->len == text->len
           && ngx_strncasecmp(value->data, text->data, text->len) == 0;
}
