
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Validation of UTF-8 encoded strings, 1.5.4.
 *
 * (1) Well-formed is what Unicode calls so (table 3-7): no overlong form, no
 *     surrogate, nothing above U+10FFFF; and no U+0000 [MQTT-1.5.4-2].
 * (2) What the standard only advises against, control characters and
 *     noncharacters, is valid, and U+FEFF is data [MQTT-1.5.4-3].  Texts may
 *     have them; in topics, client ids and user names, which are written to
 *     logs and into names, they are not allowed.
 *
 * Called for every string of every packet: ASCII goes eight bytes at a time.
 */


#include "ngx_mqtt_wire.h"


#define NGX_MQTT_UTF8_ONES             0x0101010101010101ULL
#define NGX_MQTT_UTF8_HIGHS            0x8080808080808080ULL


static ngx_int_t ngx_mqtt_utf8_scan(ngx_str_t *s, ngx_uint_t name);
static ngx_uint_t ngx_mqtt_utf8_in_name(u_char *p, u_char *end);
static u_char *ngx_mqtt_utf8_multibyte(u_char *p, u_char *end);


ngx_int_t
ngx_mqtt_utf8_check(ngx_str_t *s)
{
    return ngx_mqtt_utf8_scan(s, 0);
}


ngx_int_t
ngx_mqtt_utf8_check_name(ngx_str_t *s)
{
    return ngx_mqtt_utf8_scan(s, 1);
}


/* of a name: the code points that 1.5.4 advises against are not allowed */

static ngx_int_t
ngx_mqtt_utf8_scan(ngx_str_t *s, ngx_uint_t name)
{
    u_char    *p, *next, *end, min;
    uint64_t   word, low, del;

    if (s->len == 0) {
        return NGX_OK;
    }

    p = s->data;
    end = p + s->len;

    min = name ? 0x20 : 0x01;
    low = NGX_MQTT_UTF8_ONES * min;
    del = name ? NGX_MQTT_UTF8_ONES : 0;

    while (p != end) {

        if ((size_t) (end - p) >= sizeof(uint64_t)) {
            ngx_memcpy(&word, p, sizeof(uint64_t));

            /*
             * a byte below the least one borrows, DEL becomes 0x80, and a byte
             * over 0x7f has its high bit set
             */

            if (((word | (word - low) | (word + del)) & NGX_MQTT_UTF8_HIGHS)
                == 0)
            {
                p += sizeof(uint64_t);
                continue;
            }
        }

        if (*p < 0x80) {

            if (*p < min || (name && *p == 0x7f)) {
                return NGX_ERROR;
            }

            p++;
            continue;
        }

        next = ngx_mqtt_utf8_multibyte(p, end);

        if (next == NULL || (name && !ngx_mqtt_utf8_in_name(p, next))) {
            return NGX_ERROR;
        }

        p = next;
    }

    return NGX_OK;
}


/* a valid character of several bytes */

static ngx_uint_t
ngx_mqtt_utf8_in_name(u_char *p, u_char *end)
{
    uint32_t  code;

    code = *p & (0xff >> (end - p + 1));

    while (++p < end) {
        code = code << 6 | (*p & 0x3f);
    }

    return code >= 0xa0 && (code < 0xfdd0 || code > 0xfdef)
           && (code & 0xfffe) != 0xfffe;
}


/* the first byte limits the second one, any others are 0x80 .. 0xbf */

static u_char *
ngx_mqtt_utf8_multibyte(u_char *p, u_char *end)
{
    u_char  lead, min, max;
    size_t  n, i;

    lead = *p;
    min = 0x80;
    max = 0xbf;

    if (lead < 0xc2 || lead > 0xf4) {
        return NULL;
    }

    if (lead < 0xe0) {
        n = 2;

    } else if (lead < 0xf0) {
        n = 3;

        if (lead == 0xe0) {
            min = 0xa0;

        } else if (lead == 0xed) {
            max = 0x9f;
        }

    } else {
        n = 4;

        if (lead == 0xf0) {
            min = 0x90;

        } else if (lead == 0xf4) {
            max = 0x8f;
        }
    }

    if ((size_t) (end - p) < n || p[1] < min || p[1] > max) {
        return NULL;
    }

    for (i = 2; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return NULL;
        }
    }

    return p + n;
}
