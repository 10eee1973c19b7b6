
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The answer of an HTTP server, RFC 9112: status, length or chunks, body.
 *
 * (1) The answer is parsed from its beginning each time something came: it is
 *     small, and nothing has to be kept in between.
 *
 * Called from: ngx_mqtt_http.c.
 */


#include "ngx_mqtt_http.h"


#define NGX_MQTT_HTTP_UNKNOWN  -1      /* the body ends with the connection */
#define NGX_MQTT_HTTP_CHUNKED  -2


static u_char *ngx_mqtt_http_status(u_char *p, u_char *last,
    ngx_uint_t *status);
static ngx_int_t ngx_mqtt_http_header(u_char *p, u_char *end,
    ngx_int_t *length);
static ngx_int_t ngx_mqtt_http_chunks(u_char *p, u_char *last,
    ngx_str_t *body);


ngx_int_t
ngx_mqtt_http_parse(u_char *p, u_char *last, ngx_uint_t eof,
    ngx_mqtt_http_answer_t *answer)
{
    u_char     *eol;
    ngx_int_t   length;

    length = NGX_MQTT_HTTP_UNKNOWN;

    eol = ngx_strlchr(p, last, LF);

    if (eol == NULL) {
        return eof ? NGX_ERROR : NGX_AGAIN;
    }

    if (ngx_mqtt_http_status(p, eol, &answer->status) == NULL) {
        return NGX_ERROR;
    }

    for ( ;; ) {
        p = eol + 1;
        eol = ngx_strlchr(p, last, LF);

        if (eol == NULL) {
            return eof ? NGX_ERROR : NGX_AGAIN;
        }

        if (eol == p || (eol == p + 1 && *p == CR)) {
            p = eol + 1;
            break;
        }

        if (ngx_mqtt_http_header(p, eol, &length) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (length == NGX_MQTT_HTTP_CHUNKED) {

        switch (ngx_mqtt_http_chunks(p, last, &answer->body)) {

        case NGX_OK:
            return NGX_OK;

        case NGX_AGAIN:
            return eof ? NGX_ERROR : NGX_AGAIN;

        default:
            return NGX_ERROR;
        }
    }

    answer->body.data = p;
    answer->body.len = last - p;

    if (length == NGX_MQTT_HTTP_UNKNOWN) {
        return eof ? NGX_OK : NGX_AGAIN;
    }

    if (last - p < length) {
        return eof ? NGX_ERROR : NGX_AGAIN;
    }

    answer->body.len = length;

    return NGX_OK;
}


/* HTTP/1.x 200 */

static u_char *
ngx_mqtt_http_status(u_char *p, u_char *last, ngx_uint_t *status)
{
    ngx_int_t  n;

    if (last - p < (ngx_int_t) sizeof("HTTP/1.1 200") - 1
        || ngx_strncmp(p, "HTTP/1.", sizeof("HTTP/1.") - 1) != 0
        || p[8] != ' ')
    {
        return NULL;
    }

    n = ngx_atoi(p + 9, 3);

    if (n == NGX_ERROR || n < 200) {
        return NULL;
    }

    *status = n;

    return p + 12;
}


static ngx_int_t
ngx_mqtt_http_header(u_char *p, u_char *end, ngx_int_t *length)
{
    u_char      *colon;
    ngx_str_t    value;

    colon = ngx_strlchr(p, end, ':');

    if (colon == NULL) {
        return NGX_ERROR;
    }

    value.data = colon + 1;

    while (value.data < end && *value.data == ' ') {
        value.data++;
    }

    while (end > value.data && (end[-1] == CR || end[-1] == ' ')) {
        end--;
    }

    value.len = end - value.data;

    if (colon - p == sizeof("Content-Length") - 1
        && ngx_strncasecmp(p, (u_char *) "Content-Length", colon - p) == 0
        && *length != NGX_MQTT_HTTP_CHUNKED)
    {
        *length = ngx_atoi(value.data, value.len);

        return (*length == NGX_ERROR) ? NGX_ERROR : NGX_OK;
    }

    if (colon - p == sizeof("Transfer-Encoding") - 1
        && ngx_strncasecmp(p, (u_char *) "Transfer-Encoding", colon - p) == 0)
    {
        *length = NGX_MQTT_HTTP_CHUNKED;

        return (value.len == 7
                && ngx_strncasecmp(value.data, (u_char *) "chunked", 7) == 0)
               ? NGX_OK : NGX_ERROR;
    }

    return NGX_OK;
}


/* nothing is moved before the last chunk is there */

static ngx_int_t
ngx_mqtt_http_chunks(u_char *p, u_char *last, ngx_str_t *body)
{
    u_char     *eol, *end, *dst, *start;
    ngx_int_t   n;
    ngx_uint_t  pass;

    start = p;
    dst = p;

    for (pass = 0; pass < 2; pass++) {
        p = start;

        for ( ;; ) {
            eol = ngx_strlchr(p, last, LF);

            if (eol == NULL) {
                return NGX_AGAIN;
            }

            for (end = p; end < eol && *end != ';' && *end != CR; end++) {
                /* void */
            }

            n = ngx_hextoi(p, end - p);

            if (n == NGX_ERROR || n > NGX_MQTT_HTTP_ANSWER) {
                return NGX_ERROR;
            }

            p = eol + 1;

            if (n == 0) {
                break;
            }

            if (last - p < n + 2) {
                return NGX_AGAIN;
            }

            if (pass) {
                ngx_memmove(dst, p, n);
                dst += n;
            }

            p += n;

            if (*p == CR) {
                p++;
            }

            if (*p++ != LF) {
                return NGX_ERROR;
            }
        }
    }

    body->data = start;
    body->len = dst - start;

    return NGX_OK;
}
