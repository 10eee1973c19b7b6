
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Settings of clients, with their defaults and bounds.  A listener of stream
 * and a location of http take the same ones.
 *
 * Called from: stream/ and http/, while the configuration is read.
 */


#include "ngx_mqtt_client_conf.h"
#include "ngx_mqtt_ws.h"


static char *ngx_mqtt_client_check_packet_size(ngx_conf_t *cf, void *post,
    void *data);
static char *ngx_mqtt_client_check_keepalive(ngx_conf_t *cf, void *post,
    void *data);
static char *ngx_mqtt_client_check_session_expiry(ngx_conf_t *cf, void *post,
    void *data);
static char *ngx_mqtt_client_check_path(ngx_conf_t *cf, void *post,
    void *data);


ngx_conf_num_bounds_t  ngx_mqtt_client_from_1_bounds = {
    ngx_conf_check_num_bounds, 1, 65535
};

ngx_conf_num_bounds_t  ngx_mqtt_client_from_0_bounds = {
    ngx_conf_check_num_bounds, 0, 65535
};

ngx_conf_num_bounds_t  ngx_mqtt_client_subscriptions_bounds = {
    ngx_conf_check_num_bounds, 1, 1024
};

ngx_conf_num_bounds_t  ngx_mqtt_client_queued_bounds = {
    ngx_conf_check_num_bounds, 1, 1000000
};

ngx_conf_num_bounds_t  ngx_mqtt_client_publish_rate_bounds = {
    ngx_conf_check_num_bounds, 0, 10000000
};

ngx_conf_post_t  ngx_mqtt_client_packet_size_post = {
    ngx_mqtt_client_check_packet_size
};

ngx_conf_post_t  ngx_mqtt_client_keepalive_post = {
    ngx_mqtt_client_check_keepalive
};

ngx_conf_post_t  ngx_mqtt_client_session_expiry_post = {
    ngx_mqtt_client_check_session_expiry
};

ngx_conf_post_t  ngx_mqtt_client_path_post = {
    ngx_mqtt_client_check_path
};


/* the struct was zeroed */

void
ngx_mqtt_client_conf_init(ngx_mqtt_client_conf_t *conf)
{
    /*
     * set by ngx_pcalloc():
     *
     *     conf->gateway = NULL;
     *     conf->websocket_path = { 0, NULL };
     */

    conf->connect_timeout = NGX_CONF_UNSET_MSEC;
    conf->send_timeout = NGX_CONF_UNSET_MSEC;
    conf->max_packet_size = NGX_CONF_UNSET_SIZE;
    conf->receive_maximum = NGX_CONF_UNSET;
    conf->topic_alias_maximum = NGX_CONF_UNSET;
    conf->max_inflight = NGX_CONF_UNSET;
    conf->max_subscriptions = NGX_CONF_UNSET;
    conf->send_window = NGX_CONF_UNSET;
    conf->max_queued = NGX_CONF_UNSET;
    conf->max_queued_size = NGX_CONF_UNSET_SIZE;
    conf->output_buffer = NGX_CONF_UNSET_SIZE;
    conf->retain = NGX_CONF_UNSET;
    conf->publish_rate = NGX_CONF_UNSET;
    conf->publish_bytes_rate = NGX_CONF_UNSET_SIZE;
    conf->max_client_id = NGX_CONF_UNSET;
    conf->max_topic_length = NGX_CONF_UNSET;
    conf->max_topic_levels = NGX_CONF_UNSET;
    conf->max_keepalive = NGX_CONF_UNSET;
    conf->max_session_expiry = NGX_CONF_UNSET;
    conf->websocket = NGX_CONF_UNSET;
    conf->websocket_origins = NGX_CONF_UNSET_PTR;
}


void
ngx_mqtt_client_conf_merge(ngx_mqtt_client_conf_t *conf,
    ngx_mqtt_client_conf_t *prev)
{
    ngx_conf_merge_msec_value(conf->connect_timeout,
                              prev->connect_timeout, 10000);
    ngx_conf_merge_msec_value(conf->send_timeout,
                              prev->send_timeout, 30000);
    ngx_conf_merge_size_value(conf->max_packet_size,
                              prev->max_packet_size, 1024 * 1024);
    ngx_conf_merge_value(conf->receive_maximum,
                              prev->receive_maximum, 20);
    ngx_conf_merge_value(conf->topic_alias_maximum,
                              prev->topic_alias_maximum, 10);
    ngx_conf_merge_value(conf->max_inflight,
                              prev->max_inflight, 1000);
    ngx_conf_merge_value(conf->max_subscriptions,
                              prev->max_subscriptions, 128);
    ngx_conf_merge_value(conf->send_window,
                              prev->send_window, 100);
    ngx_conf_merge_value(conf->max_queued,
                              prev->max_queued, 1000);
    ngx_conf_merge_size_value(conf->max_queued_size,
                              prev->max_queued_size, 4 * 1024 * 1024);
    ngx_conf_merge_size_value(conf->output_buffer,
                              prev->output_buffer, 1024 * 1024);
    ngx_conf_merge_value(conf->retain, prev->retain, 1);
    ngx_conf_merge_value(conf->publish_rate,
                              prev->publish_rate, 0);
    ngx_conf_merge_size_value(conf->publish_bytes_rate,
                              prev->publish_bytes_rate, 0);
    ngx_conf_merge_value(conf->max_client_id,
                              prev->max_client_id, 65535);
    ngx_conf_merge_value(conf->max_topic_length,
                              prev->max_topic_length, 65535);
    ngx_conf_merge_value(conf->max_topic_levels,
                              prev->max_topic_levels, 0);
    ngx_conf_merge_sec_value(conf->max_keepalive,
                              prev->max_keepalive, 0);
    ngx_conf_merge_sec_value(conf->max_session_expiry,
                              prev->max_session_expiry, 2592000);
    ngx_conf_merge_value(conf->websocket, prev->websocket, 1);
    ngx_conf_merge_str_value(conf->websocket_path,
                              prev->websocket_path, "/mqtt");
    ngx_conf_merge_ptr_value(conf->websocket_origins,
                              prev->websocket_origins, NULL);
}


/* at least a CONNECT of an ordinary device; at most what 2.1.4 can express */

static char *
ngx_mqtt_client_check_packet_size(ngx_conf_t *cf, void *post, void *data)
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
ngx_mqtt_client_check_keepalive(ngx_conf_t *cf, void *post, void *data)
{
    time_t *tp = data;

    if (*tp > 65535) {
        return "must not be over 65535 seconds";
    }

    return NGX_CONF_OK;
}


/* four bytes, the last value of which means that it never expires */

static char *
ngx_mqtt_client_check_session_expiry(ngx_conf_t *cf, void *post, void *data)
{
    time_t *tp = data;

    if (*tp > 0xffffffff) {
        return "must not be over 4294967295 seconds";
    }

    return NGX_CONF_OK;
}


static char *
ngx_mqtt_client_check_path(ngx_conf_t *cf, void *post, void *data)
{
    ngx_str_t *path = data;

    size_t  i;

    if (path->len == 0 || path->data[0] != '/') {
        return "must begin with \"/\"";
    }

    for (i = 0; i < path->len; i++) {

        if (path->data[i] <= ' ' || path->data[i] >= 0x7f
            || path->data[i] == '?' || path->data[i] == '#')
        {
            return "has a character that cannot be in a path";
        }
    }

    return NGX_CONF_OK;
}


char *
ngx_mqtt_client_conf_origin(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char  *p = conf;

    ngx_str_t     *value, *origin;
    ngx_uint_t     i;
    ngx_array_t  **origins;

    origins = (ngx_array_t **) (p + cmd->offset);

    if (*origins != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    /* NULL: whatever it is */

    *origins = NULL;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "any") == 0) {
        return NGX_CONF_OK;
    }

    *origins = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                sizeof(ngx_str_t));
    if (*origins == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strcmp(value[i].data, "same") != 0
            && ngx_mqtt_ws_check_origin_pattern(&value[i]) != NGX_OK)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid origin \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        origin = ngx_array_push(*origins);
        if (origin == NULL) {
            return NGX_CONF_ERROR;
        }

        *origin = value[i];
    }

    return NGX_CONF_OK;
}
