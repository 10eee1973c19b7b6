
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * A property block: the first byte of the input chooses the packet, the rest
 * is the block with its length.
 *
 * (1) The walk of user properties and of subscription identifiers finds what
 *     the decoder found, also in arbitrary bytes.
 * (2) What is read can be written and is read again as the same.
 * (3) Each string of the input is or is not UTF-8, as a slow decoder says.
 */

/* sources: wire/ngx_mqtt_wire_read.c wire/ngx_mqtt_utf8.c */
/* sources: wire/ngx_mqtt_topic.c wire/ngx_mqtt_props.c */


#include <stdlib.h>

#include "ngx_mqtt_wire.h"


#define check(condition)  if (!(condition)) { abort(); }


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


/* the number of bytes of the code point at p, 0 if there is none */

static size_t
slow_utf8(const u_char *p, size_t len)
{
    size_t         n, i;
    unsigned long  c;

    if (p[0] < 0x80) {
        n = 1;
        c = p[0];

    } else if ((p[0] & 0xe0) == 0xc0) {
        n = 2;
        c = p[0] & 0x1f;

    } else if ((p[0] & 0xf0) == 0xe0) {
        n = 3;
        c = p[0] & 0x0f;

    } else if ((p[0] & 0xf8) == 0xf0) {
        n = 4;
        c = p[0] & 0x07;

    } else {
        return 0;
    }

    if (len < n) {
        return 0;
    }

    for (i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }

        c = c * 64 + (p[i] & 0x3f);
    }

    if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
        return 0;
    }

    if (n != (c < 0x80 ? 1u : c < 0x800 ? 2u : c < 0x10000 ? 3u : 4u)) {
        return 0;
    }

    return n;
}


static void
check_utf8(u_char *p, size_t size)
{
    size_t      n, i;
    ngx_str_t   s;

    s.data = p;
    s.len = size;

    for (i = 0; i < size; i += n) {
        n = slow_utf8(p + i, size - i);
        if (n == 0) {
            break;
        }
    }

    check((ngx_mqtt_utf8_check(&s) == NGX_OK) == (i == size));
}


/* arbitrary bytes as "user" and "raw" */

static void
check_walks(u_char *p, size_t size)
{
    u_char     *pos;
    uint32_t    id;
    ngx_str_t   s, name, value;

    s.data = p;
    s.len = size;
    pos = NULL;

    while (ngx_mqtt_props_next_user(&s, &pos, &name, &value) == NGX_OK) {
        check(name.data >= p && name.data + name.len <= p + size);
        check(value.data >= p && value.data + value.len <= p + size);
        check(pos == value.data + value.len);
    }

    pos = NULL;

    while (ngx_mqtt_props_next_sub_id(&s, &pos, &id) == NGX_OK) {
        check(pos > p && pos <= p + size);
        check(id <= NGX_MQTT_MAX_REMAINING);
    }
}


static uint32_t *
gather(ngx_mqtt_props_t *props)
{
    u_char    *pos;
    uint32_t   id, *ids;

    ids = malloc((props->raw.len + 1) * sizeof(uint32_t));
    check(ids != NULL);

    pos = NULL;
    props->nsub_ids = 0;
    props->sub_ids = ids;

    while (ngx_mqtt_props_next_sub_id(&props->raw, &pos, &id) == NGX_OK) {
        check(id != 0);
        ids[props->nsub_ids++] = id;
    }

    check((props->nsub_ids != 0)
          == ngx_mqtt_prop_is_set(props, NGX_MQTT_PROP_SUBSCRIPTION_ID));
    check(props->nsub_ids == 0 || ids[0] == props->subscription_id);

    return ids;
}


static void
check_again(ngx_mqtt_props_t *props, ngx_uint_t packet)
{
    size_t             len;
    u_char            *first, *second;
    uint32_t          *ids;
    ngx_uint_t         reason;
    ngx_mqtt_props_t   again;

    len = ngx_mqtt_props_len(props);

    first = malloc(len);
    check(first != NULL);
    check(ngx_mqtt_write_props(first, props) == first + len);

    check(ngx_mqtt_read_props(first, first + len, packet, &again, &reason)
          == first + len);
    check(again.present == props->present);

    ids = gather(&again);
    check(again.nsub_ids == props->nsub_ids);
    check(ngx_mqtt_props_len(&again) == len);

    second = malloc(len);
    check(second != NULL);
    check(ngx_mqtt_write_props(second, &again) == second + len);
    check(memcmp(first, second, len) == 0);

    free(ids);
    free(second);
    free(first);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char            *p, *end;
    uint32_t          *ids;
    ngx_uint_t         packet, reason;
    ngx_mqtt_props_t   props;

    if (size < 2) {
        return 0;
    }

    packet = data[0] % NGX_MQTT_PACKET_TYPES;
    size--;

    p = malloc(size);
    check(p != NULL);
    memcpy(p, data + 1, size);

    check_utf8(p, size);
    check_walks(p, size);

    memset(&props, 0xa5, sizeof(props));
    reason = 0;

    end = ngx_mqtt_read_props(p, p + size, packet, &props, &reason);

    if (end) {
        check(end > p && end <= p + size);

        ids = gather(&props);
        check_again(&props, packet);
        free(ids);

    } else {
        check(reason == NGX_MQTT_MALFORMED_PACKET
              || reason == NGX_MQTT_PROTOCOL_ERROR);
    }

    free(p);

    return 0;
}
