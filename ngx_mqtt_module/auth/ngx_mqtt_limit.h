
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Limits of CONNECT: how many there may be in a second, and bans of addresses
 * and client ids that have failed to authenticate too often.  They are those
 * of the node: the workers share a zone of memory.
 */


#ifndef _NGX_MQTT_LIMIT_H_INCLUDED_
#define _NGX_MQTT_LIMIT_H_INCLUDED_


#include "ngx_mqtt.h"


/* config time: "connect_rate rate [burst=number]" and "ban failures=number
   [within=time] [for=time] [by=address|clientid|both]" */
char *ngx_mqtt_limit_rate_directive(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw);
char *ngx_mqtt_limit_ban_directive(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw);

/*
 * 0 or the reason code to refuse a CONNECT with: BANNED or CONNECTION_RATE_
 * EXCEEDED; it was counted and logged then.
 */
ngx_uint_t ngx_mqtt_limit_connect(ngx_mqtt_worker_t *w, ngx_connection_t *c,
    ngx_str_t *client_id);

/* a CONNECT was refused by auth with this reason */
void ngx_mqtt_limit_failed(ngx_mqtt_worker_t *w, ngx_connection_t *c,
    ngx_str_t *client_id, ngx_uint_t reason);


#endif /* _NGX_MQTT_LIMIT_H_INCLUDED_ */
