
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * WebSocket frames, RFC 6455, 5.  The interface is in ngx_mqtt_ws.h.
 *
 * (1) The only state is the reader: an incomplete head, what is left of the
 *     payload, whether a message is fragmented.
 * (2) A control frame is handed over as a whole.  One that lies in the input
 *     as a whole needs no memory of its own.
 */


#include "ngx_mqtt_ws.h"


#define NGX_MQTT_WS_FIN                0x80
#define NGX_MQTT_WS_RSV                0x70
#define NGX_MQTT_WS_OPCODE             0x0f
#define NGX_MQTT_WS_CONTROL            0x08
#define NGX_MQTT_WS_MASKED             0x80
#define NGX_MQTT_WS_LEN                0x7f

#define NGX_MQTT_WS_LEN_16             126
#define NGX_MQTT_WS_LEN_64             127


static ngx_int_t ngx_mqtt_ws_read_head(ngx_mqtt_ws_reader_t *rd,
    u_char **src, u_char *end);
static ngx_int_t ngx_mqtt_ws_check_head(ngx_mqtt_ws_reader_t *rd);
static ngx_int_t ngx_mqtt_ws_check_opcode(ngx_mqtt_ws_reader_t *rd);
static ngx_int_t ngx_mqtt_ws_parse_head(ngx_mqtt_ws_reader_t *rd);
static ngx_int_t ngx_mqtt_ws_read_control(ngx_mqtt_ws_reader_t *rd,
    u_char **src, u_char *end);
static void ngx_mqtt_ws_unmask(ngx_mqtt_ws_reader_t *rd, u_char *dst,
    u_char *src, size_t n);
static ngx_uint_t ngx_mqtt_ws_is_text(u_char *p, u_char *end);


ngx_int_t
ngx_mqtt_ws_read(ngx_mqtt_ws_reader_t *rd, u_char **src, u_char *end,
    u_char **dst)
{
    size_t     n;
    ngx_int_t  rc;

    for ( ;; ) {

        if (!rd->inside) {
            rc = ngx_mqtt_ws_read_head(rd, src, end);

            if (rc != NGX_OK) {
                return (rc == NGX_AGAIN) ? NGX_OK : rc;
            }
        }

        if (rd->opcode & NGX_MQTT_WS_CONTROL) {
            rc = ngx_mqtt_ws_read_control(rd, src, end);

            return (rc == NGX_AGAIN) ? NGX_OK : rc;
        }

        n = end - *src;

        if (n > rd->left) {
            n = (size_t) rd->left;
        }

        ngx_mqtt_ws_unmask(rd, *dst, *src, n);

        *src += n;
        *dst += n;
        rd->left -= n;

        if (rd->left) {
            return NGX_OK;
        }

        rd->inside = 0;
    }
}


static ngx_int_t
ngx_mqtt_ws_read_head(ngx_mqtt_ws_reader_t *rd, u_char **src, u_char *end)
{
    size_t   size;
    u_char  *p;

    p = *src;

    for (size = 2; /* void */ ; size = rd->left) {

        while (rd->head_len < size) {

            if (p == end) {
                *src = p;
                return NGX_AGAIN;
            }

            rd->head[rd->head_len++] = *p++;

            if (rd->head_len == 2 && ngx_mqtt_ws_check_head(rd) != NGX_OK) {
                *src = p;
                return NGX_ERROR;
            }
        }

        if (size > 2) {
            break;
        }
    }

    *src = p;
    rd->head_len = 0;

    return ngx_mqtt_ws_parse_head(rd);
}


/* the first two bytes; rd->left becomes the length of the whole head */

static ngx_int_t
ngx_mqtt_ws_check_head(ngx_mqtt_ws_reader_t *rd)
{
    rd->code = NGX_MQTT_WS_PROTOCOL_ERROR;

    if ((rd->head[0] & NGX_MQTT_WS_RSV)
        || !(rd->head[1] & NGX_MQTT_WS_MASKED))
    {
        return NGX_ERROR;
    }

    rd->opcode = rd->head[0] & NGX_MQTT_WS_OPCODE;

    if (ngx_mqtt_ws_check_opcode(rd) != NGX_OK) {
        return NGX_ERROR;
    }

    switch (rd->head[1] & NGX_MQTT_WS_LEN) {

    case NGX_MQTT_WS_LEN_16:
        rd->left = 2 + 2 + 4;
        break;

    case NGX_MQTT_WS_LEN_64:
        rd->left = 2 + 8 + 4;
        break;

    default:
        rd->left = 2 + 4;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_ws_check_opcode(ngx_mqtt_ws_reader_t *rd)
{
    ngx_uint_t  fin;

    fin = rd->head[0] & NGX_MQTT_WS_FIN;

    switch (rd->opcode) {

    case NGX_MQTT_WS_CONTINUATION:
        if (!rd->message) {
            return NGX_ERROR;
        }

        rd->message = !fin;
        return NGX_OK;

    case NGX_MQTT_WS_TEXT:
        if (!rd->message) {
            rd->code = NGX_MQTT_WS_UNSUPPORTED_DATA;     /* [MQTT-6.0.0-1] */
        }

        return NGX_ERROR;

    case NGX_MQTT_WS_BINARY:
        if (rd->message) {
            return NGX_ERROR;
        }

        rd->message = !fin;
        return NGX_OK;

    case NGX_MQTT_WS_CLOSE:
    case NGX_MQTT_WS_PING:
    case NGX_MQTT_WS_PONG:

        /* 5.5 */

        if (!fin
            || (rd->head[1] & NGX_MQTT_WS_LEN) > NGX_MQTT_WS_MAX_CONTROL)
        {
            return NGX_ERROR;
        }

        return NGX_OK;

    default:
        return NGX_ERROR;
    }
}


static ngx_int_t
ngx_mqtt_ws_parse_head(ngx_mqtt_ws_reader_t *rd)
{
    u_char      *p, *last;
    uint64_t     len, least;

    len = rd->head[1] & NGX_MQTT_WS_LEN;
    p = &rd->head[2];

    if (len >= NGX_MQTT_WS_LEN_16) {
        last = p + ((len == NGX_MQTT_WS_LEN_16) ? 2 : 8);
        least = (len == NGX_MQTT_WS_LEN_16) ? NGX_MQTT_WS_LEN_16 : 65536;

        for (len = 0; p < last; p++) {
            len = len << 8 | *p;
        }

        /* the shortest form, and the most significant bit is 0 */

        if (len < least || len >> 63) {
            return NGX_ERROR;
        }
    }

    ngx_memcpy(rd->mask, p, 4);

    rd->left = len;
    rd->len = 0;
    rd->inside = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_ws_read_control(ngx_mqtt_ws_reader_t *rd, u_char **src, u_char *end)
{
    size_t   n;
    u_char  *p;

    n = end - *src;

    if (n >= rd->left && rd->len == 0) {
        n = (size_t) rd->left;
        p = *src;

    } else {

        if (rd->control == NULL) {
            return NGX_DECLINED;
        }

        n = ngx_min(n, (size_t) rd->left);
        p = rd->control + rd->len;
    }

    ngx_mqtt_ws_unmask(rd, p, *src, n);

    rd->payload = p - rd->len;
    rd->len += (uint8_t) n;
    rd->left -= n;
    *src += n;

    if (rd->left) {
        return NGX_AGAIN;
    }

    rd->inside = 0;

    return NGX_DONE;
}


/* 5.3; dst may lie in front of src, by less than a word too */

static void
ngx_mqtt_ws_unmask(ngx_mqtt_ws_reader_t *rd, u_char *dst, u_char *src,
    size_t n)
{
    u_char     mask[4];
    size_t     i;
    uint32_t   half;
    uint64_t   word, key;

    ngx_memcpy(&half, rd->mask, 4);
    key = (uint64_t) half << 32 | half;

    while (n >= sizeof(uint64_t)) {
        ngx_memcpy(&word, src, sizeof(uint64_t));
        word ^= key;
        ngx_memcpy(dst, &word, sizeof(uint64_t));

        src += sizeof(uint64_t);
        dst += sizeof(uint64_t);
        n -= sizeof(uint64_t);
    }

    for (i = 0; i < n; i++) {
        dst[i] = src[i] ^ rd->mask[i % 4];
    }

    /* the mask as it stands at the byte that comes next */

    for (i = 0; i < 4; i++) {
        mask[i] = rd->mask[(n + i) % 4];
    }

    ngx_memcpy(rd->mask, mask, 4);
}


size_t
ngx_mqtt_ws_head_len(uint64_t len)
{
    if (len < NGX_MQTT_WS_LEN_16) {
        return 2;
    }

    return (len < 65536) ? 4 : 10;
}


u_char *
ngx_mqtt_ws_write_head(u_char *p, ngx_uint_t opcode, uint64_t len)
{
    ngx_int_t  shift;

    *p++ = (u_char) (NGX_MQTT_WS_FIN | opcode);

    if (len < NGX_MQTT_WS_LEN_16) {
        *p++ = (u_char) len;
        return p;
    }

    if (len < 65536) {
        *p++ = NGX_MQTT_WS_LEN_16;
        shift = 8;

    } else {
        *p++ = NGX_MQTT_WS_LEN_64;
        shift = 56;
    }

    for ( /* void */ ; shift >= 0; shift -= 8) {
        *p++ = (u_char) (len >> shift);
    }

    return p;
}


ngx_uint_t
ngx_mqtt_ws_close_code(u_char *p, size_t len)
{
    ngx_uint_t  code;

    if (len == 0) {
        return NGX_MQTT_WS_NORMAL;
    }

    if (len == 1) {
        return NGX_MQTT_WS_PROTOCOL_ERROR;
    }

    code = p[0] << 8 | p[1];

    /* 7.4; 1004 to 1006 and 1015 never travel, 1012 to 1014 are registered */

    if (code < 1000 || code > 4999 || (code > 1014 && code < 3000)
        || (code > 1003 && code < 1007))
    {
        return NGX_MQTT_WS_PROTOCOL_ERROR;
    }

    if (!ngx_mqtt_ws_is_text(p + 2, p + len)) {
        return NGX_MQTT_WS_INVALID_DATA;
    }

    return code;
}


/* UTF-8 as WebSocket has it: other than in MQTT, U+0000 is allowed */

static ngx_uint_t
ngx_mqtt_ws_is_text(u_char *p, u_char *end)
{
    ngx_str_t  s;

    while (p < end) {
        s.data = p;

        while (p < end && *p) {
            p++;
        }

        s.len = p - s.data;

        if (ngx_mqtt_utf8_check(&s) != NGX_OK) {
            return 0;
        }

        p++;
    }

    return 1;
}
