
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * WebSocket.  The first byte chooses: a request, or the frames of a client
 * that are split by the byte behind it.
 *
 * (1) Frames give the same payload, control frames and error whether they
 *     come as a whole or in pieces, and no more than was received.
 * (2) The payload of a request's fields lies in the request.
 * (3) The checks of origins agree: a pattern that is an origin matches itself.
 */

/* sources: wire/ngx_mqtt_ws.c wire/ngx_mqtt_ws_request.c */
/* sources: wire/ngx_mqtt_utf8.c */


#include <stdlib.h>

#include "ngx_mqtt_ws.h"


#define check(condition)  if (!(condition)) { abort(); }


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


typedef struct {
    ngx_mqtt_ws_reader_t   rd;
    u_char                 room[NGX_MQTT_WS_MAX_CONTROL];
    u_char                *data;
    size_t                 len;
    u_char                *control;
    size_t                 control_len;
    ngx_int_t              rc;
} reader_t;


static void
reader_init(reader_t *r, size_t size)
{
    memset(r, 0, sizeof(reader_t));

    r->data = malloc(size + 1);
    r->control = malloc(size + 1);
    check(r->data && r->control);
}


static void
feed(reader_t *r, const uint8_t *data, size_t size)
{
    u_char  *p, *start, *end, *dst;

    start = malloc(size + 1);
    check(start != NULL);
    memcpy(start, data, size);

    p = start;
    dst = start;
    end = start + size;

    while (p < end && r->rc != NGX_ERROR) {
        r->rc = ngx_mqtt_ws_read(&r->rd, &p, end, &dst);

        check(dst <= p && p <= end);

        if (r->rc == NGX_DECLINED) {
            check(r->rd.control == NULL);
            r->rd.control = r->room;

        } else if (r->rc == NGX_DONE) {
            check(r->rd.opcode >= 8 && r->rd.len <= NGX_MQTT_WS_MAX_CONTROL);

            r->control[r->control_len++] = r->rd.opcode;
            memcpy(r->control + r->control_len, r->rd.payload, r->rd.len);
            r->control_len += r->rd.len;
            r->rd.control = NULL;

            (void) ngx_mqtt_ws_close_code(r->rd.payload, r->rd.len);

        } else if (r->rc == NGX_OK) {
            check(p == end);

        } else {
            check(r->rc == NGX_ERROR);
            check(r->rd.code == 1002 || r->rd.code == 1003);
        }
    }

    memcpy(r->data + r->len, start, dst - start);
    r->len += dst - start;

    free(start);
}


static void
check_frames(const uint8_t *data, size_t size, size_t piece)
{
    size_t    n;
    reader_t  whole, parts;

    reader_init(&whole, size);
    reader_init(&parts, size);

    feed(&whole, data, size);

    for (n = 0; n < size; n += piece) {
        feed(&parts, data + n, ngx_min(piece, size - n));
    }

    check((whole.rc == NGX_ERROR) == (parts.rc == NGX_ERROR));
    check(whole.rc != NGX_ERROR || whole.rd.code == parts.rd.code);
    check(whole.len == parts.len);
    check(memcmp(whole.data, parts.data, whole.len) == 0);
    check(whole.control_len == parts.control_len);
    check(memcmp(whole.control, parts.control, whole.control_len) == 0);

    free(whole.data);
    free(whole.control);
    free(parts.data);
    free(parts.control);
}


static ngx_uint_t
inside(ngx_str_t *s, u_char *p, size_t size)
{
    return s->len == 0
           || (s->data >= p && s->data + s->len <= p + size);
}


static void
check_request(const uint8_t *data, size_t size)
{
    u_char                 *p;
    size_t                  len, n;
    ngx_uint_t              status;
    ngx_mqtt_ws_request_t   req;

    p = malloc(size + 1);
    check(p != NULL);
    memcpy(p, data, size);

    len = ngx_mqtt_ws_request_len(p, 0, size);

    for (n = 0; n < size; n += 1 + size / 64) {
        check(ngx_mqtt_ws_request_len(p, (len && n >= len) ? 0 : n, size)
              == len);
    }

    memset(&req, 0, sizeof(req));

    if (ngx_mqtt_ws_parse_request(p, p + size, &req) != NGX_OK) {
        check(req.problem != NULL);
        free(p);
        return;
    }

    check(len == size);
    check(inside(&req.host, p, size) && inside(&req.key, p, size)
          && inside(&req.origin, p, size));
    check(inside(&req.path, p, size) || req.path.len == 1);

    status = ngx_mqtt_ws_check_request(&req);

    check((status == 101) == (req.problem == NULL));
    check(status != 101 || (req.key.len == 24 && req.protocol.len >= 4));

    if (ngx_mqtt_ws_check_origin_pattern(&req.origin) == NGX_OK
        && memchr(req.origin.data, '*', req.origin.len) == NULL)
    {
        check(ngx_mqtt_ws_origin_match(&req.origin, &req.origin));
    }

    (void) ngx_mqtt_ws_origin_match(&req.host, &req.origin);
    (void) ngx_mqtt_ws_origin_is_host(&req.origin, &req.host);

    free(p);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }

    if (data[0] & 1) {
        check_request(data + 2, size - 2);

    } else {
        check_frames(data + 2, size - 2, data[1] % 32 + 1);
    }

    return 0;
}
