
/*
 * Copyright (C) ngx_mqtt_module authors
 */


#ifndef _NGX_HTTP_MQTT_H_INCLUDED_
#define _NGX_HTTP_MQTT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_mqtt.h"

#include <jansson.h>


/* the state of every gateway of the cycle as text, from the request's pool */

ngx_int_t ngx_http_mqtt_status_json(ngx_http_request_t *r, ngx_str_t *text);

/* ngx_http_mqtt_status_json.c: JSON as text, from the request's pool */

ngx_int_t ngx_http_mqtt_json_text(ngx_http_request_t *r, json_t *json,
    ngx_str_t *text);

/* ngx_http_mqtt_module.c: the whole answer; returns as a handler does */

ngx_int_t ngx_http_mqtt_send_json(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *text);


/* ngx_http_mqtt_token.c: the handler of mqtt_token, and its gateway */

ngx_int_t ngx_http_mqtt_token_handler(ngx_http_request_t *r);
ngx_mqtt_gateway_t *ngx_http_mqtt_token_gateway(ngx_http_request_t *r);


extern ngx_module_t  ngx_http_mqtt_module;


#endif /* _NGX_HTTP_MQTT_H_INCLUDED_ */
