
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/* Parameters of a request: the query, or a form in the body. */


#include "ngx_http_mqtt_token.h"


static ngx_int_t ngx_http_mqtt_form_param(ngx_http_request_t *r, u_char *p,
    u_char *last, ngx_http_mqtt_params_t *params);


/* in the order of ngx_http_mqtt_param_e */

static ngx_str_t  ngx_http_mqtt_form_names[] = {
    ngx_string("accessKey"),
    ngx_string("actions"),
    ngx_string("expireTime"),
    ngx_string("instanceId"),
    ngx_string("proxyType"),
    ngx_string("resource"),
    ngx_string("resources"),
    ngx_string("serviceName"),
    ngx_string("signature"),
    ngx_string("timestamp"),
    ngx_string("token")
};


ngx_str_t *
ngx_http_mqtt_form_name(ngx_uint_t n)
{
    return &ngx_http_mqtt_form_names[n];
}


ngx_int_t
ngx_http_mqtt_form_parse(ngx_http_request_t *r, ngx_str_t *text,
    ngx_http_mqtt_params_t *params)
{
    u_char     *p, *last, *end;
    ngx_int_t   rc;

    p = text->data;
    last = p + text->len;

    while (p < last) {
        end = ngx_strlchr(p, last, '&');

        if (end == NULL) {
            end = last;
        }

        rc = ngx_http_mqtt_form_param(r, p, end, params);

        if (rc != NGX_OK) {
            return rc;
        }

        p = end + 1;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_mqtt_form_param(ngx_http_request_t *r, u_char *p, u_char *last,
    ngx_http_mqtt_params_t *params)
{
    u_char      *value, *src, *dst;
    size_t       len;
    ngx_str_t   *name;
    ngx_uint_t   n;

    value = ngx_strlchr(p, last, '=');

    if (value == NULL) {
        return NGX_OK;
    }

    len = value - p;
    value++;

    for (n = 0; n < NGX_HTTP_MQTT_PARAMS; n++) {
        name = &ngx_http_mqtt_form_names[n];

        if (name->len == len && ngx_strncmp(name->data, p, len) == 0) {
            break;
        }
    }

    if (n == NGX_HTTP_MQTT_PARAMS) {
        return NGX_OK;
    }

    if (params->values[n].data) {
        return NGX_DECLINED;
    }

    len = last - value;

    dst = ngx_pnalloc(r->pool, len + 1);
    if (dst == NULL) {
        return NGX_ERROR;
    }

    params->values[n].data = dst;

    ngx_memcpy(dst, value, len);

    for (src = dst; src < dst + len; src++) {

        if (*src == '+') {
            *src = ' ';
        }
    }

    src = dst;
    ngx_unescape_uri(&dst, &src, len, 0);

    params->values[n].len = dst - params->values[n].data;

    if (ngx_strlchr(params->values[n].data, dst, '\0')) {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_mqtt_form_body(ngx_http_request_t *r, ngx_str_t *body)
{
    u_char       *p;
    size_t        len;
    ngx_chain_t  *cl;

    ngx_str_null(body);

    if (r->request_body == NULL) {
        return NGX_OK;
    }

    if (r->request_body->temp_file) {
        return NGX_DECLINED;
    }

    len = 0;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        len += cl->buf->last - cl->buf->pos;
    }

    p = ngx_pnalloc(r->pool, len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    body->data = p;
    body->len = len;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        len = cl->buf->last - cl->buf->pos;

        /* no body is a buffer without memory */

        if (len) {
            p = ngx_cpymem(p, cl->buf->pos, len);
        }
    }

    return NGX_OK;
}
