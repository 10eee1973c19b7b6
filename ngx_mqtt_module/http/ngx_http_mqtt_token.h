
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/* What the files of the token service share. */


#ifndef _NGX_HTTP_MQTT_TOKEN_H_INCLUDED_
#define _NGX_HTTP_MQTT_TOKEN_H_INCLUDED_


#include "ngx_http_mqtt.h"


/* parameters of all requests */

typedef enum {
    NGX_HTTP_MQTT_ACCESS_KEY = 0,
    NGX_HTTP_MQTT_ACTIONS,
    NGX_HTTP_MQTT_EXPIRE_TIME,
    NGX_HTTP_MQTT_INSTANCE_ID,
    NGX_HTTP_MQTT_PROXY_TYPE,
    NGX_HTTP_MQTT_RESOURCE,
    NGX_HTTP_MQTT_RESOURCES,
    NGX_HTTP_MQTT_SERVICE_NAME,
    NGX_HTTP_MQTT_SIGNATURE,
    NGX_HTTP_MQTT_TIMESTAMP,
    NGX_HTTP_MQTT_TOKEN,
    NGX_HTTP_MQTT_PARAMS
} ngx_http_mqtt_param_e;


typedef struct {
    ngx_str_t            values[NGX_HTTP_MQTT_PARAMS];  /* data NULL: absent */
} ngx_http_mqtt_params_t;


/*
 * ngx_http_mqtt_form.c: adds the parameters of a query or a form; values are
 * from the request's pool.  NGX_DECLINED: a parameter comes twice, or a value
 * has a zero byte.  Others are ignored.
 */
ngx_int_t ngx_http_mqtt_form_parse(ngx_http_request_t *r, ngx_str_t *text,
    ngx_http_mqtt_params_t *params);

/* the name of a parameter */
ngx_str_t *ngx_http_mqtt_form_name(ngx_uint_t n);

/* the body of the request in one piece; NGX_DECLINED: it is too large */
ngx_int_t ngx_http_mqtt_form_body(ngx_http_request_t *r, ngx_str_t *body);


#endif /* _NGX_HTTP_MQTT_TOKEN_H_INCLUDED_ */
