
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Topic names and topic filters, 4.7 and 4.8.2.
 *
 * (1) Topics are compared byte by byte [MQTT-4.7.3-4]; they have been checked
 *     to be UTF-8 before, so U+0000 is not looked for again.
 * (2) Nothing is copied: shares, filters and levels point into the argument.
 * (3) Matching relies on a valid filter and a valid name.
 *
 * Called from decoders, subscription handlers, route/ and mapping/.
 */


#include "ngx_mqtt_wire.h"


#define NGX_MQTT_TOPIC_MAX             65535

#define NGX_MQTT_TOPIC_ONES            0x0101010101010101ULL
#define NGX_MQTT_TOPIC_HIGHS           0x8080808080808080ULL


static ngx_int_t ngx_mqtt_topic_take_share(ngx_str_t *filter,
    ngx_str_t *share);


ngx_int_t
ngx_mqtt_topic_name_check(ngx_str_t *topic)
{
    if (topic->len == 0 || topic->len > NGX_MQTT_TOPIC_MAX) {
        return NGX_ERROR;
    }

    if (ngx_mqtt_topic_has_wildcard(topic)) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_topic_filter_check(ngx_str_t *filter, ngx_str_t *share)
{
    u_char     *p, *end;
    ngx_str_t   rest;

    rest = *filter;

    if (rest.len == 0 || rest.len > NGX_MQTT_TOPIC_MAX) {
        return NGX_ERROR;
    }

    if (share) {
        if (ngx_mqtt_topic_take_share(&rest, share) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    end = rest.data + rest.len;

    for (p = rest.data; p != end; p++) {

        if (*p != '+' && *p != '#') {
            continue;
        }

        if (p != rest.data && p[-1] != '/') {
            return NGX_ERROR;
        }

        if (p + 1 == end) {
            break;
        }

        if (*p == '#' || p[1] != '/') {
            return NGX_ERROR;
        }
    }

    *filter = rest;

    return NGX_OK;
}


/* $share/<name>/<filter>: leaves <filter> in *filter */

static ngx_int_t
ngx_mqtt_topic_take_share(ngx_str_t *filter, ngx_str_t *share)
{
    u_char  *p, *end;

    ngx_str_null(share);

    if (filter->len < sizeof("$share") - 1
        || ngx_memcmp(filter->data, "$share", sizeof("$share") - 1) != 0)
    {
        return NGX_OK;
    }

    p = filter->data + sizeof("$share") - 1;
    end = filter->data + filter->len;

    if (p == end) {
        return NGX_ERROR;
    }

    if (*p++ != '/') {
        return NGX_OK;
    }

    share->data = p;

    while (p != end && *p != '/') {
        if (*p == '+' || *p == '#') {
            return NGX_ERROR;
        }

        p++;
    }

    share->len = p - share->data;

    if (share->len == 0 || (size_t) (end - p) < 2) {
        return NGX_ERROR;
    }

    filter->data = p + 1;
    filter->len = end - filter->data;

    return NGX_OK;
}


ngx_uint_t
ngx_mqtt_topic_has_wildcard(ngx_str_t *filter)
{
    u_char    *p;
    size_t     n;
    uint64_t   word;

    p = filter->data;
    n = filter->len;

    /* '#' | 0x08 == '+': both become a zero byte, which is then looked for */

    while (n >= sizeof(uint64_t)) {
        ngx_memcpy(&word, p, sizeof(uint64_t));

        word |= NGX_MQTT_TOPIC_ONES * 0x08;
        word ^= NGX_MQTT_TOPIC_ONES * '+';

        if ((word - NGX_MQTT_TOPIC_ONES) & ~word & NGX_MQTT_TOPIC_HIGHS) {
            return 1;
        }

        p += sizeof(uint64_t);
        n -= sizeof(uint64_t);
    }

    for ( /* void */ ; n; n--, p++) {
        if (*p == '+' || *p == '#') {
            return 1;
        }
    }

    return 0;
}


ngx_uint_t
ngx_mqtt_topic_match(ngx_str_t *filter, ngx_str_t *topic)
{
    u_char  *f, *fend, *t, *tend;

    if (filter->len == 0 || topic->len == 0) {
        return 0;
    }

    f = filter->data;
    fend = f + filter->len;

    t = topic->data;
    tend = t + topic->len;

    if (*t == '$' && (*f == '+' || *f == '#')) {
        /* [MQTT-4.7.2-1] */
        return 0;
    }

    while (f != fend) {

        if (*f == '#') {
            return 1;
        }

        if (*f == '+') {
            while (t != tend && *t != '/') {
                t++;
            }

            f++;
            continue;
        }

        if (t == tend) {
            /* "sport/#" includes its parent level, "sport" */
            return (fend - f == 2 && f[0] == '/' && f[1] == '#');
        }

        if (*f++ != *t++) {
            return 0;
        }
    }

    return t == tend;
}


ngx_uint_t
ngx_mqtt_topic_next_level(ngx_str_t *rest, ngx_str_t *level)
{
    u_char  *p, *end;

    if (rest->data == NULL) {
        return 0;
    }

    p = rest->data;
    end = p + rest->len;

    while (p != end && *p != '/') {
        p++;
    }

    level->data = rest->data;
    level->len = p - rest->data;

    if (p == end) {
        ngx_str_null(rest);
        return 1;
    }

    rest->data = p + 1;
    rest->len = end - rest->data;

    return 1;
}


ngx_uint_t
ngx_mqtt_topic_levels(ngx_str_t *topic)
{
    size_t      i;
    ngx_uint_t  n;

    n = 1;

    for (i = 0; i < topic->len; i++) {
        if (topic->data[i] == '/') {
            n++;
        }
    }

    return n;
}
