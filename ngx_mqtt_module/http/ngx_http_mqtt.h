
/*
 * Copyright (C) ngx_mqtt_module authors
 */


#ifndef _NGX_HTTP_MQTT_H_INCLUDED_
#define _NGX_HTTP_MQTT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_mqtt.h"


/* the state of every gateway of the cycle as text, from the request's pool */

ngx_int_t ngx_http_mqtt_status_json(ngx_http_request_t *r, ngx_str_t *text);


#endif /* _NGX_HTTP_MQTT_H_INCLUDED_ */
