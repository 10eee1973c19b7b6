
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The http module: a location that tells the state of the gateways, and one
 * for MQTT over WebSocket, ngx_http_mqtt_pass.c.
 *
 * The state is read from the shared zones, so any worker answers for all of
 * them, without a lock and without asking the others.
 */


#include "ngx_http_mqtt.h"
#include "ngx_mqtt_client_conf.h"
#include "ngx_mqtt_token.h"


static ngx_int_t ngx_http_mqtt_status_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_mqtt_send(ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *type, ngx_str_t *text);
static ngx_int_t ngx_http_mqtt_status_header(ngx_http_request_t *r,
    ngx_str_t *type, off_t len);

static ngx_int_t ngx_http_mqtt_preconfiguration(ngx_conf_t *cf);
static void *ngx_http_mqtt_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_mqtt_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_http_mqtt_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_mqtt_token(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static const char *ngx_http_mqtt_token_check_gateway(ngx_mqtt_gateway_t *gw);
static char *ngx_http_mqtt_pass(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


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

    /* MQTT over WebSocket */

    { ngx_string("mqtt_pass"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_mqtt_pass,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("mqtt_connect_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
                        |NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mqtt_loc_conf_t, client.connect_timeout),
      NULL },

    { ngx_string("mqtt_send_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
                        |NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mqtt_loc_conf_t, client.send_timeout),
      NULL },

    { ngx_string("mqtt_max_packet_size"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
                        |NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mqtt_loc_conf_t, client.max_packet_size),
      &ngx_mqtt_client_packet_size_post },

    { ngx_string("mqtt_receive_maximum"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
                        |NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mqtt_loc_conf_t, client.receive_maximum),
      &ngx_mqtt_client_from_1_bounds },

    { ngx_string("mqtt_topic_alias_maximum"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
                        |NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mqtt_loc_conf_t, client.topic_alias_maximum),
      &ngx_mqtt_client_from_0_bounds },

    { ngx_string("mqtt_max_inflight"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
                        |NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mqtt_loc_conf_t, client.max_inflight),
      &ngx_mqtt_client_from_1_bounds },

    { ngx_string("mqtt_max_subscriptions"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
                        |NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mqtt_loc_conf_t, client.max_subscriptions),
      &ngx_mqtt_client_subscriptions_bounds },

    { ngx_string("mqtt_send_window"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
                        |NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mqtt_loc_conf_t, client.send_window),
      &ngx_mqtt_client_from_1_bounds },

    { ngx_string("mqtt_max_queued"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
                        |NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mqtt_loc_conf_t, client.max_queued),
      &ngx_mqtt_client_queued_bounds },

    { ngx_string("mqtt_max_queued_size"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
                        |NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mqtt_loc_conf_t, client.max_queued_size),
      NULL },

    { ngx_string("mqtt_output_buffer"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
                        |NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mqtt_loc_conf_t, client.output_buffer),
      NULL },

    { ngx_string("mqtt_retain"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
                        |NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mqtt_loc_conf_t, client.retain),
      NULL },

    { ngx_string("mqtt_publish_rate"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
                        |NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mqtt_loc_conf_t, client.publish_rate),
      &ngx_mqtt_client_publish_rate_bounds },

    { ngx_string("mqtt_publish_bytes_rate"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
                        |NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mqtt_loc_conf_t, client.publish_bytes_rate),
      NULL },

    { ngx_string("mqtt_max_client_id"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
                        |NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mqtt_loc_conf_t, client.max_client_id),
      &ngx_mqtt_client_from_1_bounds },

    { ngx_string("mqtt_max_topic_length"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
                        |NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mqtt_loc_conf_t, client.max_topic_length),
      &ngx_mqtt_client_from_1_bounds },

    { ngx_string("mqtt_max_topic_levels"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
                        |NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mqtt_loc_conf_t, client.max_topic_levels),
      &ngx_mqtt_client_from_0_bounds },

    { ngx_string("mqtt_max_keepalive"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
                        |NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mqtt_loc_conf_t, client.max_keepalive),
      &ngx_mqtt_client_keepalive_post },

    { ngx_string("mqtt_max_session_expiry"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
                        |NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mqtt_loc_conf_t, client.max_session_expiry),
      &ngx_mqtt_client_session_expiry_post },

    { ngx_string("mqtt_websocket_origin"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
                        |NGX_CONF_1MORE,
      ngx_mqtt_client_conf_origin,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mqtt_loc_conf_t, client.websocket_origins),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_mqtt_module_ctx = {
    ngx_http_mqtt_preconfiguration,        /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_mqtt_create_loc_conf,         /* create location configuration */
    ngx_http_mqtt_merge_loc_conf           /* merge location configuration */
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


static ngx_int_t
ngx_http_mqtt_preconfiguration(ngx_conf_t *cf)
{
    return ngx_http_mqtt_add_variables(cf);
}


static void *
ngx_http_mqtt_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_mqtt_loc_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_mqtt_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->format = NULL;
     *     conf->pass = { 0, NULL };
     *     conf->file_name = NULL;
     *     conf->line = 0;
     */

    ngx_mqtt_client_conf_init(&conf->client);

    return conf;
}


static char *
ngx_http_mqtt_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_mqtt_loc_conf_t *prev = parent;
    ngx_http_mqtt_loc_conf_t *conf = child;

    ngx_mqtt_gateway_ref_t     ref;
    ngx_http_core_loc_conf_t  *clcf;

    ngx_mqtt_client_conf_merge(&conf->client, &prev->client);

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    /* "if" and "limit_except" inside of the location */

    if (clcf->noname && clcf->handler == NULL && prev->pass.len) {
        conf->pass = prev->pass;
        conf->file_name = prev->file_name;
        conf->line = prev->line;

        clcf->handler = ngx_http_mqtt_handler;
    }

    if (conf->pass.len == 0) {
        return NGX_CONF_OK;
    }

    /* a directive behind ours may have taken the handler, P36 */

    if (clcf->handler != ngx_http_mqtt_handler) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"mqtt_pass\" conflicts with another handler of this "
                      "location in %s:%ui", conf->file_name, conf->line);
        return NGX_CONF_ERROR;
    }

    ref.name = conf->pass;
    ref.gateway = &conf->client.gateway;
    ref.check = NULL;
    ref.file_name = conf->file_name;
    ref.line = conf->line;

    if (ngx_mqtt_gateway_refer(cf, &ref) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_mqtt_pass(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_mqtt_loc_conf_t *mlcf = conf;

    ngx_str_t                 *value;
    ngx_http_core_loc_conf_t  *clcf;

    if (mlcf->pass.len) {
        return "is duplicate";
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler) {
        return "conflicts with another handler of this location";
    }

    value = cf->args->elts;

    if (value[1].len == 0) {
        return "needs the name of a gateway";
    }

    mlcf->pass = value[1];
    mlcf->file_name = cf->conf_file->file.name.data;
    mlcf->line = cf->conf_file->line;

    clcf->handler = ngx_http_mqtt_handler;

    return NGX_CONF_OK;
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
