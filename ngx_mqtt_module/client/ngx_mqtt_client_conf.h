
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The directives of listeners and locations that make up a
 * ngx_mqtt_client_conf_t, for the tables of stream/ and http/.
 */


#ifndef _NGX_MQTT_CLIENT_CONF_H_INCLUDED_
#define _NGX_MQTT_CLIENT_CONF_H_INCLUDED_


#include "ngx_mqtt_client.h"


/* what a directive accepts, for the last field of ngx_command_t */

extern ngx_conf_num_bounds_t  ngx_mqtt_client_from_1_bounds;  /* to 65535 */
extern ngx_conf_num_bounds_t  ngx_mqtt_client_from_0_bounds;  /* to 65535 */
extern ngx_conf_num_bounds_t  ngx_mqtt_client_subscriptions_bounds;
extern ngx_conf_num_bounds_t  ngx_mqtt_client_queued_bounds;
extern ngx_conf_num_bounds_t  ngx_mqtt_client_publish_rate_bounds;
extern ngx_conf_post_t        ngx_mqtt_client_packet_size_post;
extern ngx_conf_post_t        ngx_mqtt_client_keepalive_post;
extern ngx_conf_post_t        ngx_mqtt_client_session_expiry_post;
extern ngx_conf_post_t        ngx_mqtt_client_path_post;


void ngx_mqtt_client_conf_init(ngx_mqtt_client_conf_t *conf);
void ngx_mqtt_client_conf_merge(ngx_mqtt_client_conf_t *conf,
    ngx_mqtt_client_conf_t *prev);

/* mqtt_websocket_origin: cmd->offset is that of websocket_origins */
char *ngx_mqtt_client_conf_origin(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


#endif /* _NGX_MQTT_CLIENT_CONF_H_INCLUDED_ */
