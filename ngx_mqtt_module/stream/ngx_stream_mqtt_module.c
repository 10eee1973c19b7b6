
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
#include "ngx_mqtt_client_conf.h"


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
static char *ngx_stream_mqtt_check_lease(ngx_conf_t *cf, void *post,
    void *data);


static ngx_conf_num_bounds_t  ngx_stream_mqtt_offline_bounds = {
    ngx_conf_check_num_bounds, 1, 1000000
};

static ngx_conf_post_t  ngx_stream_mqtt_lease_post = {
    ngx_stream_mqtt_check_lease
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
      &ngx_mqtt_client_packet_size_post },

    { ngx_string("mqtt_receive_maximum"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.receive_maximum),
      &ngx_mqtt_client_from_1_bounds },

    { ngx_string("mqtt_topic_alias_maximum"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.topic_alias_maximum),
      &ngx_mqtt_client_from_0_bounds },

    { ngx_string("mqtt_max_inflight"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.max_inflight),
      &ngx_mqtt_client_from_1_bounds },

    { ngx_string("mqtt_max_subscriptions"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.max_subscriptions),
      &ngx_mqtt_client_subscriptions_bounds },

    { ngx_string("mqtt_send_window"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.send_window),
      &ngx_mqtt_client_from_1_bounds },

    { ngx_string("mqtt_max_queued"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.max_queued),
      &ngx_mqtt_client_queued_bounds },

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
      &ngx_mqtt_client_publish_rate_bounds },

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
      &ngx_mqtt_client_from_1_bounds },

    { ngx_string("mqtt_max_topic_length"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.max_topic_length),
      &ngx_mqtt_client_from_1_bounds },

    { ngx_string("mqtt_max_topic_levels"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.max_topic_levels),
      &ngx_mqtt_client_from_0_bounds },

    { ngx_string("mqtt_max_keepalive"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.max_keepalive),
      &ngx_mqtt_client_keepalive_post },

    { ngx_string("mqtt_max_session_expiry"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.max_session_expiry),
      &ngx_mqtt_client_session_expiry_post },

    { ngx_string("mqtt_websocket"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.websocket),
      NULL },

    { ngx_string("mqtt_websocket_path"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.websocket_path),
      &ngx_mqtt_client_path_post },

    { ngx_string("mqtt_websocket_origin"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_1MORE,
      ngx_mqtt_client_conf_origin,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_mqtt_srv_conf_t, client.websocket_origins),
      NULL },

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

    { ngx_string("kafka_inflight"),
      NGX_STREAM_MQTT_CONF|NGX_CONF_TAKE12,
      ngx_stream_mqtt_kafka_inflight,
      NGX_STREAM_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("kafka_queue"),
      NGX_STREAM_MQTT_CONF|NGX_CONF_1MORE,
      ngx_stream_mqtt_kafka_queue,
      NGX_STREAM_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("client_status"),
      NGX_STREAM_MQTT_CONF|NGX_CONF_TAKE123,
      ngx_stream_mqtt_client_status,
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

    { ngx_string("lease_timeout"),
      NGX_STREAM_MQTT_CONF|NGX_CONF_TAKE1,
      ngx_stream_mqtt_gateway_msec,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_mqtt_gateway_t, lease_timeout),
      &ngx_stream_mqtt_lease_post },

    { ngx_string("drain_rate"),
      NGX_STREAM_MQTT_CONF|NGX_CONF_TAKE1,
      ngx_stream_mqtt_gateway_num,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_mqtt_gateway_t, drain_rate),
      NULL },

    { ngx_string("offline_messages"),
      NGX_STREAM_MQTT_CONF|NGX_CONF_TAKE1,
      ngx_stream_mqtt_gateway_num,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_mqtt_gateway_t, offline_messages),
      &ngx_stream_mqtt_offline_bounds },

    { ngx_string("offline_retention"),
      NGX_STREAM_MQTT_CONF|NGX_CONF_TAKE1,
      ngx_stream_mqtt_gateway_msec,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_mqtt_gateway_t, offline_retention),
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
    ngx_mqtt_client_t     *mc;
    ngx_stream_session_t  *s;

    s = log->data;
    mc = ngx_stream_get_module_ctx(s, ngx_stream_mqtt_module);

    return ngx_mqtt_client_log_error(mc, buf, len);
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
     *     conf->pass = { 0, NULL };
     *     conf->file_name = NULL;
     *     conf->line = 0;
     */

    ngx_mqtt_client_conf_init(&conf->client);

    return conf;
}


static char *
ngx_stream_mqtt_merge_srv_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_stream_mqtt_srv_conf_t *prev = parent;
    ngx_stream_mqtt_srv_conf_t *conf = child;

    ngx_mqtt_client_conf_merge(&conf->client, &prev->client);

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


/* renewed three times as often, in spite of what keeps a worker busy */

static char *
ngx_stream_mqtt_check_lease(ngx_conf_t *cf, void *post, void *data)
{
    ngx_msec_t *msp = data;

    if (*msp < 1000) {
        return "must be at least 1s";
    }

    return NGX_CONF_OK;
}
