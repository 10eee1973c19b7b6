
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * A filter and a topic, separated by a byte 0x00.
 *
 * (1) Validity is that of a slow, obvious reading of 4.7 and 4.8.2.
 * (2) ngx_mqtt_topic_match() agrees with a match level by level.
 * (3) A topic name matches itself, and the levels make up the topic.
 */

/* sources: wire/ngx_mqtt_topic.c */


#include <stdlib.h>

#include "ngx_mqtt_wire.h"


#define check(condition)  if (!(condition)) { abort(); }


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static ngx_str_t
copy_of(const u_char *data, size_t len)
{
    ngx_str_t  s;

    s.len = len;
    s.data = malloc(len ? len : 1);
    check(s.data != NULL);

    if (len) {
        memcpy(s.data, data, len);
    }

    return s;
}


static ngx_uint_t
is_level(ngx_str_t *level, char c)
{
    return level->len == 1 && level->data[0] == c;
}


static ngx_uint_t
valid_level(ngx_str_t *level, ngx_uint_t last)
{
    if (is_level(level, '+')) {
        return 1;
    }

    if (is_level(level, '#')) {
        return last;
    }

    return memchr(level->data, '+', level->len) == NULL
           && memchr(level->data, '#', level->len) == NULL;
}


static ngx_uint_t
slow_valid(ngx_str_t *filter)
{
    ngx_str_t  rest, level;

    if (filter->len == 0 || filter->len > 65535) {
        return 0;
    }

    rest = *filter;

    while (ngx_mqtt_topic_next_level(&rest, &level)) {
        if (!valid_level(&level, rest.data == NULL)) {
            return 0;
        }
    }

    return 1;
}


static ngx_uint_t
slow_match(ngx_str_t *filter, ngx_str_t *topic)
{
    ngx_str_t   f, t, flevel, tlevel;
    ngx_uint_t  first, more;

    f = *filter;
    t = *topic;
    first = 1;

    while (ngx_mqtt_topic_next_level(&f, &flevel)) {

        more = ngx_mqtt_topic_next_level(&t, &tlevel);

        if (first && topic->data[0] == '$'
            && (is_level(&flevel, '+') || is_level(&flevel, '#')))
        {
            return 0;
        }

        first = 0;

        if (is_level(&flevel, '#')) {
            return 1;
        }

        if (!more) {
            return 0;
        }

        if (is_level(&flevel, '+')) {
            continue;
        }

        if (flevel.len != tlevel.len
            || memcmp(flevel.data, tlevel.data, flevel.len) != 0)
        {
            return 0;
        }
    }

    return !ngx_mqtt_topic_next_level(&t, &tlevel);
}


static void
check_levels(ngx_str_t *s)
{
    u_char      *p;
    ngx_str_t    rest, level;
    ngx_uint_t   n;

    rest = *s;
    p = s->data;

    for (n = 0; ngx_mqtt_topic_next_level(&rest, &level); n++) {
        check(level.data == p);
        check(memchr(level.data, '/', level.len) == NULL);
        p += level.len + 1;
    }

    check(p == s->data + s->len + 1);
    check(n == ngx_mqtt_topic_levels(s));
}


static void
check_share(ngx_str_t *filter)
{
    ngx_int_t   rc;
    ngx_str_t   s, share;

    s = *filter;

    rc = ngx_mqtt_topic_filter_check(&s, &share);

    if (rc != NGX_OK) {
        check(s.data == filter->data && s.len == filter->len);
        return;
    }

    check(slow_valid(&s));

    if (share.len == 0) {
        check(s.data == filter->data && s.len == filter->len);
        check(s.len < 7 || memcmp(s.data, "$share/", 7) != 0);
        return;
    }

    check(memcmp(filter->data, "$share/", 7) == 0);
    check(share.data == filter->data + 7);
    check(share.data[share.len] == '/');
    check(s.data == share.data + share.len + 1);
    check(s.len == filter->len - 7 - share.len - 1);
    check(memchr(share.data, '/', share.len) == NULL);
    check(memchr(share.data, '+', share.len) == NULL);
    check(memchr(share.data, '#', share.len) == NULL);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t          len;
    ngx_str_t       filter, topic, same;
    ngx_uint_t      valid, wild;
    const uint8_t  *zero;

    zero = size ? memchr(data, 0, size) : NULL;
    len = zero ? (size_t) (zero - data) : size;

    filter = copy_of(data, len);
    topic = zero ? copy_of(zero + 1, size - len - 1) : copy_of(data, len);

    valid = slow_valid(&filter);
    same = filter;

    check((ngx_mqtt_topic_filter_check(&same, NULL) == NGX_OK) == valid);
    check(same.data == filter.data && same.len == filter.len);

    check_share(&filter);
    check_levels(&filter);
    check_levels(&topic);

    wild = memchr(topic.data, '+', topic.len)
           || memchr(topic.data, '#', topic.len);

    check(ngx_mqtt_topic_has_wildcard(&topic) == wild);
    check((ngx_mqtt_topic_name_check(&topic) == NGX_OK)
          == (topic.len && topic.len <= 65535 && !wild));

    if (ngx_mqtt_topic_name_check(&topic) == NGX_OK) {
        check(ngx_mqtt_topic_match(&topic, &topic));

        if (valid) {
            check(ngx_mqtt_topic_match(&filter, &topic)
                  == slow_match(&filter, &topic));
        }
    }

    free(topic.data);
    free(filter.data);

    return 0;
}
