
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Any packet of any version: the first byte of the input chooses the version,
 * the rest is a packet with its fixed header.
 *
 * (1) What a decoder accepts can be encoded, in exactly the length announced.
 * (2) What was encoded is accepted, and encodes to the same bytes.
 * (3) Filters and user properties that were counted can be walked.
 * (4) A packet that is cut is never read behind its end.
 */

/* sources: wire/ngx_mqtt_wire_read.c wire/ngx_mqtt_utf8.c */
/* sources: wire/ngx_mqtt_topic.c wire/ngx_mqtt_props.c */
/* sources: wire/ngx_mqtt_wire_decode.c wire/ngx_mqtt_wire_encode.c */


#include "any_packet.h"


#define check(condition)  if (!(condition)) { abort(); }


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


/* of exactly the size, so that an over-read is seen */

static u_char *
copy_of(const u_char *data, size_t size)
{
    u_char  *p;

    p = malloc(size ? size : 1);
    check(p != NULL);

    if (size) {
        memcpy(p, data, size);
    }

    return p;
}


static void
check_str(ngx_str_t *s, u_char *start, u_char *end)
{
    check(s->len == 0 || (s->data >= start && s->data + s->len <= end));
}


static void
check_user(ngx_mqtt_props_t *props, u_char *start, u_char *end)
{
    u_char     *pos;
    ngx_str_t   name, value;
    ngx_uint_t  n;

    check_str(&props->raw, start, end);
    check_str(&props->user, start, end);

    pos = NULL;
    n = 0;

    while (ngx_mqtt_props_next_user(&props->user, &pos, &name, &value)
           == NGX_OK)
    {
        check_str(&name, start, end);
        check_str(&value, start, end);
        check(ngx_mqtt_utf8_check(&name) == NGX_OK);
        check(ngx_mqtt_utf8_check(&value) == NGX_OK);
        n++;
    }

    check((n != 0) == (props->user.len != 0));
    check((n != 0)
          == ngx_mqtt_prop_is_set(props, NGX_MQTT_PROP_USER_PROPERTY));
}


static void
check_filters(ngx_mqtt_subscribe_t *s, ngx_uint_t type, u_char *start,
    u_char *end)
{
    u_char             *pos;
    ngx_uint_t          n;
    ngx_mqtt_filter_t   filter;

    pos = NULL;
    n = 0;

    while (ngx_mqtt_subscribe_next(s, type, &pos, &filter) == NGX_OK) {
        check_str(&filter.filter, start, end);
        check(filter.filter.len != 0);
        check(ngx_mqtt_utf8_check(&filter.filter) == NGX_OK);
        n++;
    }

    check(n == s->nfilters && n != 0);
}


static void
check_fields(any_packet_t *any, u_char *start, u_char *end)
{
    switch (any->fx.type) {

    case NGX_MQTT_CONNECT:
        check_str(&any->u.connect.client_id, start, end);
        check_str(&any->u.connect.username, start, end);
        check_str(&any->u.connect.password, start, end);
        check_str(&any->u.connect.will.topic, start, end);
        check_str(&any->u.connect.will.payload, start, end);
        check_user(&any->u.connect.props, start, end);
        check_user(&any->u.connect.will.props, start, end);
        break;

    case NGX_MQTT_PUBLISH:
        check_str(&any->u.publish.topic, start, end);
        check_str(&any->u.publish.payload, start, end);
        check((any->u.publish.qos == 0) == (any->u.publish.packet_id == 0));
        check_user(&any->u.publish.props, start, end);
        break;

    case NGX_MQTT_SUBSCRIBE:
    case NGX_MQTT_UNSUBSCRIBE:
        check_filters(&any->u.subscribe, any->fx.type, start, end);
        check_user(&any->u.subscribe.props, start, end);
        break;
    }
}


static ngx_uint_t
decode(any_packet_t *any, ngx_uint_t version, u_char *p, size_t size)
{
    memset(any, 0xa5, sizeof(any_packet_t));
    any->sub_ids = NULL;

    check(ngx_mqtt_read_fixed(p, p + size, &any->fx) == NGX_OK);
    check(any->fx.len + any->fx.remaining == size);

    return any_decode(any, version, p + any->fx.len, p + size);
}


static void
check_again(any_packet_t *any)
{
    size_t         len;
    u_char        *first, *second;
    any_packet_t   again;

    len = any_len(any);

    first = malloc(len);
    check(first != NULL);
    check(any_write(any, first) == first + len);

    check(decode(&again, any->version, first, len) == NGX_MQTT_SUCCESS);
    check(again.version == any->version);
    check_fields(&again, first, first + len);

    check(any_len(&again) == len);

    second = malloc(len);
    check(second != NULL);
    check(any_write(&again, second) == second + len);
    check(memcmp(first, second, len) == 0);

    free(again.sub_ids);
    free(second);
    free(first);
}


static void
one_packet(ngx_uint_t version, const u_char *data, size_t size)
{
    u_char        *p;
    ngx_uint_t     reason;
    any_packet_t   any;

    p = copy_of(data, size);
    reason = decode(&any, version, p, size);

    check(reason == NGX_MQTT_SUCCESS
          || (reason >= NGX_MQTT_UNSPECIFIED_ERROR
              && reason <= NGX_MQTT_WILDCARD_SUBS_NOT_SUPPORTED));

    if (reason == NGX_MQTT_SUCCESS) {
        check_fields(&any, p, p + size);
        check_again(&any);
    }

    free(any.sub_ids);
    free(p);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char            *p;
    size_t             cut;
    ngx_uint_t         version;
    any_packet_t       any;
    ngx_mqtt_fixed_t   fx;

    if (size == 0) {
        return 0;
    }

    version = NGX_MQTT_V31 + data[0] % 3;
    cut = data[0] / 3;

    data++;
    size--;

    p = copy_of(data, size);

    if (ngx_mqtt_read_fixed(p, p + size, &fx) != NGX_OK) {
        free(p);
        return 0;
    }

    free(p);

    if (fx.remaining <= size - fx.len) {
        one_packet(version, data, fx.len + fx.remaining);
    }

    /* a body as it comes, whatever its Remaining Length, and cut */

    data += fx.len;
    size -= fx.len;
    size -= (cut < size) ? cut : size;

    p = copy_of(data, size);
    any.fx = fx;
    any_decode(&any, version, p, p + size);

    free(any.sub_ids);
    free(p);

    return 0;
}
