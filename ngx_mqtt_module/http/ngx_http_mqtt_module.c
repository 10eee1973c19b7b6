
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The http module: a location that tells the state of the gateways.
 *
 * It reads the shared zones, so any worker answers for all of them, without a
 * lock and without asking the others.
 */


#include "ngx_http_mqtt.h"
#include "ngx_mqtt_token.h"


typedef ngx_int_t (*ngx_http_mqtt_format_pt)(ngx_http_request_t *r,
    ngx_str_t *text);


typedef struct {
    ngx_str_t                  name;
    ngx_str_t                  type;
    ngx_http_mqtt_format_pt    make;
} ngx_http_mqtt_format_t;


typedef struct {
    ngx_http_mqtt_format_t    *format;
    ngx_mqtt_gateway_t        *gateway;     /* of mqtt_token */
} ngx_http_mqtt_loc_conf_t;


static ngx_int_t ngx_http_mqtt_status_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_mqtt_send(ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *type, ngx_str_t *text);
static ngx_int_t ngx_http_mqtt_status_header(ngx_http_request_t *r,
    ngx_str_t *type, off_t len);

static void *ngx_http_mqtt_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_mqtt_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_mqtt_token(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static const char *ngx_http_mqtt_token_check_gateway(ngx_mqtt_gateway_t *gw);


static ngx_http_mqtt_format_t  ngx_http_mqtt_formats[] = {

    { ngx_string("json"),
      ngx_string("application/json"),
      ngx_http_mqtt_status_json },

    { ngx_null_string, ngx_null_string, NULL }
};


static ngx_command_t  ngx_http_mqtt_commands[] = {

    { ngx_string("mqtt_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_mqtt_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("mqtt_token"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_mqtt_token,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_mqtt_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_mqtt_create_loc_conf,         /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_mqtt_module = {
    NGX_MODULE_V1,
    &ngx_http_mqtt_module_ctx,             /* module context */
    ngx_http_mqtt_commands,                /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_mqtt_status_handler(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_str_t                  text;
    ngx_http_mqtt_loc_conf_t  *mlcf;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    mlcf = ngx_http_get_module_loc_conf(r, ngx_http_mqtt_module);

    if (mlcf->format->make(r, &text) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_mqtt_send(r, NGX_HTTP_OK, &mlcf->format->type, &text);
}


ngx_int_t
ngx_http_mqtt_send_json(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *text)
{
    return ngx_http_mqtt_send(r, status, &ngx_http_mqtt_formats[0].type, text);
}


static ngx_int_t
ngx_http_mqtt_send(ngx_http_request_t *r, ngx_uint_t status, ngx_str_t *type,
    ngx_str_t *text)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->pos = text->data;
    b->last = text->data + text->len;
    b->memory = 1;
    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    if (ngx_http_mqtt_status_header(r, type, text->len) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = status;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_output_filter(r, &out);
}


static ngx_int_t
ngx_http_mqtt_status_header(ngx_http_request_t *r, ngx_str_t *type, off_t len)
{
    ngx_table_elt_t  *h;

    r->headers_out.content_length_n = len;

    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = type->len;
    r->headers_out.content_type_lowcase = NULL;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    ngx_str_set(&h->key, "Cache-Control");
    ngx_str_set(&h->value, "no-cache");

    return NGX_OK;
}


static void *
ngx_http_mqtt_create_loc_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_mqtt_loc_conf_t));
}


static char *
ngx_http_mqtt_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_mqtt_loc_conf_t *mlcf = conf;

    ngx_str_t                 *value;
    ngx_http_mqtt_format_t    *format;
    ngx_http_core_loc_conf_t  *clcf;

    if (mlcf->format) {
        return "is duplicate";
    }

    value = cf->args->elts;
    format = ngx_http_mqtt_formats;

    if (cf->args->nelts == 2) {

        while (format->name.len
               && ngx_strcmp(format->name.data, value[1].data) != 0)
        {
            format++;
        }

        if (format->name.len == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "unknown format \"%V\"", &value[1]);
            return NGX_CONF_ERROR;
        }
    }

    mlcf->format = format;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_mqtt_status_handler;

    return NGX_CONF_OK;
}


static char *
ngx_http_mqtt_token(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_mqtt_loc_conf_t *mlcf = conf;

    ngx_str_t                 *value;
    ngx_mqtt_gateway_ref_t     ref;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler == ngx_http_mqtt_token_handler) {
        return "is duplicate";
    }

    value = cf->args->elts;

    /* the stream block may come later */

    ref.name = value[1];
    ref.gateway = &mlcf->gateway;
    ref.check = ngx_http_mqtt_token_check_gateway;
    ref.file_name = cf->conf_file->file.name.data;
    ref.line = cf->conf_file->line;

    if (ngx_mqtt_gateway_refer(cf, &ref) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    clcf->handler = ngx_http_mqtt_token_handler;

    return NGX_CONF_OK;
}


static const char *
ngx_http_mqtt_token_check_gateway(ngx_mqtt_gateway_t *gw)
{
    if (!ngx_mqtt_token_served(gw)) {
        return "\"mqtt_token\" needs \"auth signature\" and \"auth token\"";
    }

    return NULL;
}


ngx_mqtt_gateway_t *
ngx_http_mqtt_token_gateway(ngx_http_request_t *r)
{
    ngx_http_mqtt_loc_conf_t  *mlcf;

    mlcf = ngx_http_get_module_loc_conf(r, ngx_http_mqtt_module);

    return mlcf->gateway;
}
