
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The stream module: listeners whose connections are MQTT, and the life of
 * the gateways in a worker.
 *
 * (1) mqtt_pass makes this module the content handler of a server; TLS, PROXY
 *     protocol, access rules and limits are nginx's own phases before it.
 * (2) Gateways start in the worker and in the single process, never in a
 *     helper (P12).
 * (3) The gateway that mqtt_pass names is looked up when the stream block is
 *     complete, so the order of blocks does not matter.
 */


#include "ngx_stream_mqtt.h"


static void ngx_stream_mqtt_handler(ngx_stream_session_t *s);
static void ngx_stream_mqtt_event(ngx_event_t *ev);
static void ngx_stream_mqtt_finalize(ngx_mqtt_client_t *mc);
static u_char *ngx_stream_mqtt_log_error(ngx_log_t *log, u_char *buf,
    size_t len);

static ngx_int_t ngx_stream_mqtt_init_process(ngx_cycle_t *cycle);
static void ngx_stream_mqtt_exit_process(ngx_cycle_t *cycle);

static ngx_int_t ngx_stream_mqtt_preconfiguration(ngx_conf_t *cf);
static void *ngx_stream_mqtt_create_srv_conf(ngx_conf_t *cf);
static char *ngx_stream_mqtt_merge_srv_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_stream_mqtt_pass(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_stream_mqtt_find_gateway(ngx_conf_t *cf,
    ngx_stream_mqtt_srv_conf_t *conf);
static char *ngx_stream_mqtt_check_packet_size(ngx_conf_t *cf, void *post,
    void *data);
static char *ngx_stream_mqtt_check_keepalive(ngx_conf_t *cf, void *post,
    void *data);
static char *ngx_stream_mqtt_check_session_expiry(ngx_conf_t *cf, void *post,
    void *data);


static ngx_conf_num_bounds_t  ngx_stream_mqtt_receive_maximum_bounds = {
    ngx_conf_check_num_bounds, 1, 65535
};

static ngx_conf_num_bounds_t  ngx_stream_mqtt_alias_bounds = {
    ngx_conf_check_num_bounds, 0, 65535
};

static ngx_conf_num_bounds_t  ngx_stream_mqtt_string_bounds = {
    ngx_conf_check_num_bounds, 1, 65535
};

static ngx_conf_num_bounds_t  ngx_stream_mqtt_inflight_bounds = {
    ngx_conf_check_num_bounds, 1, 65535
};

static ngx_conf_num_bounds_t  ngx_stream_mqtt_levels_bounds = {
    ngx_conf_check_num_bounds, 0, 65535
};

static ngx_conf_num_bounds_t  ngx_stream_mqtt_subscriptions_bounds = {
    ngx_conf_check_num_bounds, 1, 1024
};

static ngx_conf_num_bounds_t  ngx_stream_mqtt_publish_rate_bounds = {
    ngx_conf_check_num_bounds, 0, 10000000
};

static ngx_conf_num_bounds_t  ngx_stream_mqtt_queued_bounds = {
    ngx_conf_check_num_bounds, 1, 1000000
};

static ngx_conf_post_t  ngx_stream_mqtt_packet_size_post = {
    ngx_stream_mqtt_check_packet_size
};

static ngx_conf_post_t  ngx_stream_mqtt_keepalive_post = {
    ngx_stream_mqtt_check_keepalive
};

static ngx_conf_post_t  ngx_stream_mqtt_session_expiry_post = {
    ngx_stream_mqtt_check_session_expiry
};


static ngx_command_t  ngx_stream_mqtt_commands[] = {

    /* listeners */

    { ngx_string("mqtt_pass"),
      NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_stream_mqtt_pass,
      NGX_STREAM_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("mqtt_connect_timeout"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.connect_timeout),
      NULL },

    { ngx_string("mqtt_send_timeout"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.send_timeout),
      NULL },

    { ngx_string("mqtt_max_packet_size"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.max_packet_size),
      &ngx_stream_mqtt_packet_size_post },

    { ngx_string("mqtt_receive_maximum"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.receive_maximum),
      &ngx_stream_mqtt_receive_maximum_bounds },

    { ngx_string("mqtt_topic_alias_maximum"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.topic_alias_maximum),
      &ngx_stream_mqtt_alias_bounds },

    { ngx_string("mqtt_max_inflight"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.max_inflight),
      &ngx_stream_mqtt_inflight_bounds },

    { ngx_string("mqtt_max_subscriptions"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.max_subscriptions),
      &ngx_stream_mqtt_subscriptions_bounds },

    { ngx_string("mqtt_send_window"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.send_window),
      &ngx_stream_mqtt_receive_maximum_bounds },

    { ngx_string("mqtt_max_queued"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.max_queued),
      &ngx_stream_mqtt_queued_bounds },

    { ngx_string("mqtt_max_queued_size"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.max_queued_size),
      NULL },

    { ngx_string("mqtt_output_buffer"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.output_buffer),
      NULL },

    { ngx_string("mqtt_retain"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.retain),
      NULL },

    { ngx_string("mqtt_publish_rate"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.publish_rate),
      &ngx_stream_mqtt_publish_rate_bounds },

    { ngx_string("mqtt_publish_bytes_rate"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.publish_bytes_rate),
      NULL },

    { ngx_string("mqtt_max_client_id"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.max_client_id),
      &ngx_stream_mqtt_string_bounds },

    { ngx_string("mqtt_max_topic_length"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.max_topic_length),
      &ngx_stream_mqtt_string_bounds },

    { ngx_string("mqtt_max_topic_levels"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.max_topic_levels),
      &ngx_stream_mqtt_levels_bounds },

    { ngx_string("mqtt_max_keepalive"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.max_keepalive),
      &ngx_stream_mqtt_keepalive_post },

    { ngx_string("mqtt_max_session_expiry"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.max_session_expiry),
      &ngx_stream_mqtt_session_expiry_post },

    /* gateways */

    { ngx_string("mqtt_gateway"),
      NGX_STREAM_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_stream_mqtt_gateway,
      0,
      0,
      NULL },

    { ngx_string("zone"),
      NGX_STREAM_MQTT_CONF|NGX_CONF_TAKE1,
      ngx_stream_mqtt_zone,
      NGX_STREAM_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("redis"),
      NGX_STREAM_MQTT_CONF|NGX_CONF_1MORE,
      ngx_stream_mqtt_redis,
      NGX_STREAM_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("kafka"),
      NGX_STREAM_MQTT_CONF|NGX_CONF_1MORE,
      ngx_stream_mqtt_kafka,
      NGX_STREAM_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("kafka_set"),
      NGX_STREAM_MQTT_CONF|NGX_CONF_TAKE2,
      ngx_stream_mqtt_kafka_set,
      NGX_STREAM_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("kafka_queue"),
      NGX_STREAM_MQTT_CONF|NGX_CONF_1MORE,
      ngx_stream_mqtt_kafka_queue,
      NGX_STREAM_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("dead_letter"),
      NGX_STREAM_MQTT_CONF|NGX_CONF_TAKE1,
      ngx_stream_mqtt_dead_letter,
      NGX_STREAM_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("topic"),
      NGX_STREAM_MQTT_CONF|NGX_CONF_1MORE,
      ngx_stream_mqtt_topic,
      NGX_STREAM_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("refused_publish"),
      NGX_STREAM_MQTT_CONF|NGX_CONF_TAKE1,
      ngx_stream_mqtt_gateway_enum,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_mqtt_gateway_t, refused_publish),
      &ngx_stream_mqtt_refused_publish },

    { ngx_string("auth"),
      NGX_STREAM_MQTT_CONF|NGX_CONF_1MORE,
      ngx_stream_mqtt_auth,
      NGX_STREAM_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("acl"),
      NGX_STREAM_MQTT_CONF|NGX_CONF_TAKE1,
      ngx_stream_mqtt_acl,
      NGX_STREAM_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("connect_rate"),
      NGX_STREAM_MQTT_CONF|NGX_CONF_TAKE12,
      ngx_stream_mqtt_connect_rate,
      NGX_STREAM_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("ban"),
      NGX_STREAM_MQTT_CONF|NGX_CONF_1MORE,
      ngx_stream_mqtt_ban,
      NGX_STREAM_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("takeover_timeout"),
      NGX_STREAM_MQTT_CONF|NGX_CONF_TAKE1,
      ngx_stream_mqtt_gateway_msec,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_mqtt_gateway_t, takeover_timeout),
      NULL },

    { ngx_string("drain_rate"),
      NGX_STREAM_MQTT_CONF|NGX_CONF_TAKE1,
      ngx_stream_mqtt_gateway_num,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_mqtt_gateway_t, drain_rate),
      NULL },

      ngx_null_command
};


static ngx_stream_module_t  ngx_stream_mqtt_module_ctx = {
    ngx_stream_mqtt_preconfiguration,      /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    ngx_stream_mqtt_create_srv_conf,       /* create server configuration */
    ngx_stream_mqtt_merge_srv_conf         /* merge server configuration */
};


ngx_module_t  ngx_stream_mqtt_module = {
    NGX_MODULE_V1,
    &ngx_stream_mqtt_module_ctx,           /* module context */
    ngx_stream_mqtt_commands,              /* module directives */
    NGX_STREAM_MODULE,                     /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_stream_mqtt_init_process,          /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_stream_mqtt_exit_process,          /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static void
ngx_stream_mqtt_handler(ngx_stream_session_t *s)
{
    ngx_connection_t            *c;
    ngx_mqtt_client_t           *mc;
    ngx_stream_mqtt_srv_conf_t  *mscf;

    c = s->connection;

    mscf = ngx_stream_get_module_srv_conf(s, ngx_stream_mqtt_module);

    if (c->type != SOCK_STREAM) {
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "mqtt_pass does not serve UDP");
        ngx_stream_finalize_session(s, NGX_STREAM_INTERNAL_SERVER_ERROR);
        return;
    }

    if (ngx_tcp_nodelay(c) != NGX_OK) {
        ngx_stream_finalize_session(s, NGX_STREAM_INTERNAL_SERVER_ERROR);
        return;
    }

    mc = ngx_mqtt_client_create(c, &mscf->client, ngx_stream_mqtt_finalize);

    if (mc == NULL) {
        ngx_stream_finalize_session(s, NGX_STREAM_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_stream_set_ctx(s, mc, ngx_stream_mqtt_module);

    s->log_handler = ngx_stream_mqtt_log_error;

    ngx_mqtt_client_start(mc, ngx_stream_mqtt_event, c->buffer);
}


static void
ngx_stream_mqtt_event(ngx_event_t *ev)
{
    ngx_connection_t      *c;
    ngx_mqtt_client_t     *mc;
    ngx_stream_session_t  *s;

    c = ev->data;
    s = c->data;

    mc = ngx_stream_get_module_ctx(s, ngx_stream_mqtt_module);

    ngx_mqtt_client_event(mc, ev);
}


static void
ngx_stream_mqtt_finalize(ngx_mqtt_client_t *mc)
{
    ngx_stream_session_t  *s;

    s = mc->connection->data;

    s->received = mc->bytes_in;

    ngx_stream_finalize_session(s, NGX_STREAM_OK);
}


static u_char *
ngx_stream_mqtt_log_error(ngx_log_t *log, u_char *buf, size_t len)
{
    u_char                *p;
    ngx_mqtt_client_t     *mc;
    ngx_stream_session_t  *s;

    s = log->data;
    mc = ngx_stream_get_module_ctx(s, ngx_stream_mqtt_module);

    p = ngx_snprintf(buf, len, ", gateway: \"%V\"", &mc->conf->gateway->name);
    len -= p - buf;

    if (mc->node.key.len) {
        p = ngx_snprintf(p, len, ", client id: \"%V\"", &mc->node.key);
    }

    return p;
}


static ngx_int_t
ngx_stream_mqtt_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t            i;
    ngx_array_t          *gateways;
    ngx_mqtt_gateway_t  **gwp;

    if (ngx_process != NGX_PROCESS_WORKER
        && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    gateways = ngx_mqtt_gateways(cycle);
    gwp = gateways->elts;

    for (i = 0; i < gateways->nelts; i++) {

        if (ngx_mqtt_gateway_start(gwp[i], cycle, &ngx_mqtt_client_hooks)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
ngx_stream_mqtt_exit_process(ngx_cycle_t *cycle)
{
    ngx_uint_t            i;
    ngx_array_t          *gateways;
    ngx_mqtt_gateway_t  **gwp;

    gateways = ngx_mqtt_gateways(cycle);
    gwp = gateways->elts;

    for (i = 0; i < gateways->nelts; i++) {
        ngx_mqtt_gateway_stop(gwp[i]);
    }
}


static ngx_int_t
ngx_stream_mqtt_preconfiguration(ngx_conf_t *cf)
{
    return ngx_stream_mqtt_add_variables(cf);
}


static void *
ngx_stream_mqtt_create_srv_conf(ngx_conf_t *cf)
{
    ngx_stream_mqtt_srv_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_stream_mqtt_srv_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->client.gateway = NULL;
     *     conf->pass = { 0, NULL };
     *     conf->file_name = NULL;
     *     conf->line = 0;
     */

    conf->client.connect_timeout = NGX_CONF_UNSET_MSEC;
    conf->client.send_timeout = NGX_CONF_UNSET_MSEC;
    conf->client.max_packet_size = NGX_CONF_UNSET_SIZE;
    conf->client.receive_maximum = NGX_CONF_UNSET;
    conf->client.topic_alias_maximum = NGX_CONF_UNSET;
    conf->client.max_inflight = NGX_CONF_UNSET;
    conf->client.max_subscriptions = NGX_CONF_UNSET;
    conf->client.send_window = NGX_CONF_UNSET;
    conf->client.max_queued = NGX_CONF_UNSET;
    conf->client.max_queued_size = NGX_CONF_UNSET_SIZE;
    conf->client.output_buffer = NGX_CONF_UNSET_SIZE;
    conf->client.retain = NGX_CONF_UNSET;
    conf->client.publish_rate = NGX_CONF_UNSET;
    conf->client.publish_bytes_rate = NGX_CONF_UNSET_SIZE;
    conf->client.max_client_id = NGX_CONF_UNSET;
    conf->client.max_topic_length = NGX_CONF_UNSET;
    conf->client.max_topic_levels = NGX_CONF_UNSET;
    conf->client.max_keepalive = NGX_CONF_UNSET;
    conf->client.max_session_expiry = NGX_CONF_UNSET;

    return conf;
}


static char *
ngx_stream_mqtt_merge_srv_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_stream_mqtt_srv_conf_t *prev = parent;
    ngx_stream_mqtt_srv_conf_t *conf = child;

    ngx_conf_merge_msec_value(conf->client.connect_timeout,
                              prev->client.connect_timeout, 10000);
    ngx_conf_merge_msec_value(conf->client.send_timeout,
                              prev->client.send_timeout, 30000);
    ngx_conf_merge_size_value(conf->client.max_packet_size,
                              prev->client.max_packet_size, 1024 * 1024);
    ngx_conf_merge_value(conf->client.receive_maximum,
                              prev->client.receive_maximum, 20);
    ngx_conf_merge_value(conf->client.topic_alias_maximum,
                              prev->client.topic_alias_maximum, 10);
    ngx_conf_merge_value(conf->client.max_inflight,
                              prev->client.max_inflight, 1000);
    ngx_conf_merge_value(conf->client.max_subscriptions,
                              prev->client.max_subscriptions, 128);
    ngx_conf_merge_value(conf->client.send_window,
                              prev->client.send_window, 100);
    ngx_conf_merge_value(conf->client.max_queued,
                              prev->client.max_queued, 1000);
    ngx_conf_merge_size_value(conf->client.max_queued_size,
                              prev->client.max_queued_size, 4 * 1024 * 1024);
    ngx_conf_merge_size_value(conf->client.output_buffer,
                              prev->client.output_buffer, 1024 * 1024);
    ngx_conf_merge_value(conf->client.retain, prev->client.retain, 1);
    ngx_conf_merge_value(conf->client.publish_rate,
                              prev->client.publish_rate, 0);
    ngx_conf_merge_size_value(conf->client.publish_bytes_rate,
                              prev->client.publish_bytes_rate, 0);
    ngx_conf_merge_value(conf->client.max_client_id,
                              prev->client.max_client_id, 65535);
    ngx_conf_merge_value(conf->client.max_topic_length,
                              prev->client.max_topic_length, 65535);
    ngx_conf_merge_value(conf->client.max_topic_levels,
                              prev->client.max_topic_levels, 0);
    ngx_conf_merge_sec_value(conf->client.max_keepalive,
                              prev->client.max_keepalive, 0);
    ngx_conf_merge_sec_value(conf->client.max_session_expiry,
                              prev->client.max_session_expiry, 2592000);

    if (conf->pass.len == 0) {
        return NGX_CONF_OK;
    }

    return ngx_stream_mqtt_find_gateway(cf, conf);
}


static char *
ngx_stream_mqtt_pass(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_stream_mqtt_srv_conf_t *mscf = conf;

    ngx_str_t                   *value;
    ngx_stream_core_srv_conf_t  *cscf;

    if (mscf->pass.len) {
        return "is duplicate";
    }

    cscf = ngx_stream_conf_get_module_srv_conf(cf, ngx_stream_core_module);

    if (cscf->handler) {
        return "conflicts with another handler of this server";
    }

    value = cf->args->elts;

    if (value[1].len == 0) {
        return "needs the name of a gateway";
    }

    mscf->pass = value[1];
    mscf->file_name = cf->conf_file->file.name.data;
    mscf->line = cf->conf_file->line;

    cscf->handler = ngx_stream_mqtt_handler;

    return NGX_CONF_OK;
}


static char *
ngx_stream_mqtt_find_gateway(ngx_conf_t *cf, ngx_stream_mqtt_srv_conf_t *conf)
{
    ngx_stream_core_srv_conf_t  *cscf;

    cscf = ngx_stream_conf_get_module_srv_conf(cf, ngx_stream_core_module);

    /* a directive behind ours may have taken the handler, P36 */

    if (cscf->handler != ngx_stream_mqtt_handler) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"mqtt_pass\" conflicts with another handler of this "
                      "server in %s:%ui", conf->file_name, conf->line);
        return NGX_CONF_ERROR;
    }

    conf->client.gateway = ngx_mqtt_gateway_find(cf->cycle, &conf->pass);

    if (conf->client.gateway == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "unknown mqtt_gateway \"%V\" in %s:%ui",
                      &conf->pass, conf->file_name, conf->line);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* at least a CONNECT of an ordinary device; at most what 2.1.4 can express */

static char *
ngx_stream_mqtt_check_packet_size(ngx_conf_t *cf, void *post, void *data)
{
    size_t *sp = data;

    if (*sp < 128) {
        return "must be at least 128 bytes";
    }

    if (*sp > 256 * 1024 * 1024) {
        return "must not be over 256m";
    }

    return NGX_CONF_OK;
}


/* two bytes on the wire, 3.1.2.10 */

static char *
ngx_stream_mqtt_check_keepalive(ngx_conf_t *cf, void *post, void *data)
{
    time_t *tp = data;

    if (*tp > 65535) {
        return "must not be over 65535 seconds";
    }

    return NGX_CONF_OK;
}


/* four bytes, the last value of which means that it never expires */

static char *
ngx_stream_mqtt_check_session_expiry(ngx_conf_t *cf, void *post, void *data)
{
    time_t *tp = data;

    if (*tp > 0xffffffff) {
        return "must not be over 4294967295 seconds";
    }

    return NGX_CONF_OK;
}
