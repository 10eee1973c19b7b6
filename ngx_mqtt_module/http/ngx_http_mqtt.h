
/*
 * Copyright (C) ngx_mqtt_module authors
 */


#ifndef _NGX_HTTP_MQTT_H_INCLUDED_
#define _NGX_HTTP_MQTT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_mqtt_client.h"


typedef ngx_int_t (*ngx_http_mqtt_format_pt)(ngx_http_request_t *r,
    ngx_str_t *text);


typedef struct {
    ngx_str_t                  name;
    ngx_str_t                  type;
    ngx_http_mqtt_format_pt    make;
} ngx_http_mqtt_format_t;


typedef struct {
    ngx_http_mqtt_format_t    *format;       /* of mqtt_status */
    ngx_mqtt_gateway_t        *gateway;      /* of mqtt_token */

    ngx_mqtt_client_conf_t     client;
    ngx_str_t                  pass;         /* the name in mqtt_pass */
    u_char                    *file_name;    /* where mqtt_pass stands */
    ngx_uint_t                 line;
} ngx_http_mqtt_loc_conf_t;


typedef struct {
    ngx_mqtt_client_t         *client;       /* NULL: has ended */
    ngx_http_log_handler_pt    log_handler;
} ngx_http_mqtt_ctx_t;


extern ngx_module_t  ngx_http_mqtt_module;

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


/* the content handler of mqtt_pass */

ngx_int_t ngx_http_mqtt_handler(ngx_http_request_t *r);

ngx_int_t ngx_http_mqtt_add_variables(ngx_conf_t *cf);


#endif /* _NGX_HTTP_MQTT_H_INCLUDED_ */
