
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


static u_char *ngx_mqtt_utf8_character(u_char *p);
static u_char *ngx_mqtt_utf8_multibyte(u_char *p, u_char *end);


ngx_int_t
ngx_mqtt_utf8_check(ngx_str_t *s)
{
    u_char    *p, *end;
    uint64_t   word;

    if (s->len == 0) {
        return NGX_OK;
    }

    p = s->data;
    end = p + s->len;

    while (p != end) {

        if ((size_t) (end - p) >= sizeof(uint64_t)) {
            ngx_memcpy(&word, p, sizeof(uint64_t));

            /* a byte 0x00 borrows, a byte over 0x7f has its high bit set */

            if (((word | (word - NGX_MQTT_UTF8_ONES)) & NGX_MQTT_UTF8_HIGHS)
                == 0)
            {
                p += sizeof(uint64_t);
                continue;
            }
        }

        if (*p >= 0x80) {
            p = ngx_mqtt_utf8_multibyte(p, end);
            if (p == NULL) {
                return NGX_ERROR;
            }

            continue;
        }

        if (*p++ == '\0') {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_utf8_allowed(ngx_str_t *s)
{
    u_char    *p, *end;
    uint64_t   word;

    if (s->len == 0) {
        return NGX_OK;
    }

    p = s->data;
    end = p + s->len;

    while (p != end) {

        if ((size_t) (end - p) >= sizeof(uint64_t)) {
            ngx_memcpy(&word, p, sizeof(uint64_t));

            /* a byte below 0x20 borrows, 0x7f becomes 0x80 */

            if (((word | (word - NGX_MQTT_UTF8_ONES * 0x20)
                  | (word + NGX_MQTT_UTF8_ONES)) & NGX_MQTT_UTF8_HIGHS)
                == 0)
            {
                p += sizeof(uint64_t);
                continue;
            }
        }

        if (*p < 0x20 || *p == 0x7f) {
            return NGX_ERROR;
        }

        if (*p < 0x80) {
            p++;
            continue;
        }

        p = ngx_mqtt_utf8_character(p);
        if (p == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* of several bytes, valid: behind it, NULL if it is not allowed */

static u_char *
ngx_mqtt_utf8_character(u_char *p)
{
    size_t    n, i;
    uint32_t  code;

    n = (*p < 0xe0) ? 2 : (*p < 0xf0) ? 3 : 4;
    code = *p & (0xff >> (n + 1));

    for (i = 1; i < n; i++) {
        code = code << 6 | (p[i] & 0x3f);
    }

    if (code < 0xa0
        || (code >= 0xfdd0 && code <= 0xfdef)
        || (code & 0xfffe) == 0xfffe)
    {
        return NULL;
    }

    return p + n;
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
