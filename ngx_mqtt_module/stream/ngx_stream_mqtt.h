
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/* What the files of stream/ share. */


#ifndef _NGX_STREAM_MQTT_H_INCLUDED_
#define _NGX_STREAM_MQTT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_stream.h>

#include "ngx_mqtt_client.h"


/* directives inside mqtt_gateway {}; stream uses 0x02..., 0x04..., 0x08... */

#define NGX_STREAM_MQTT_CONF  0x10000000


typedef struct {
    ngx_mqtt_client_conf_t   client;
    ngx_str_t                pass;        /* the name in mqtt_pass */
    u_char                  *file_name;   /* where mqtt_pass stands */
    ngx_uint_t               line;
} ngx_stream_mqtt_srv_conf_t;


extern ngx_module_t     ngx_stream_mqtt_module;
extern ngx_conf_enum_t  ngx_stream_mqtt_refused_publish[];


char *ngx_stream_mqtt_gateway(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_stream_mqtt_gateway_num(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_stream_mqtt_gateway_msec(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_stream_mqtt_gateway_enum(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_stream_mqtt_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_stream_mqtt_topic(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_stream_mqtt_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_stream_mqtt_kafka(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_stream_mqtt_kafka_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_stream_mqtt_kafka_queue(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_stream_mqtt_kafka_inflight(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_stream_mqtt_dead_letter(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_stream_mqtt_client_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_stream_mqtt_auth(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_stream_mqtt_acl(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_stream_mqtt_connect_rate(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_stream_mqtt_ban(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

ngx_int_t ngx_stream_mqtt_add_variables(ngx_conf_t *cf);


#endif /* _NGX_STREAM_MQTT_H_INCLUDED_ */
