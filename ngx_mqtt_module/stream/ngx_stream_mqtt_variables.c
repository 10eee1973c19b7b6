
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Variables.  All are evaluated anew each time (P42): a client id appears
 * after the phases have run, counters grow.
 */


#include "ngx_stream_mqtt.h"


typedef enum {
    NGX_STREAM_MQTT_CLIENT_ID = 0,
    NGX_STREAM_MQTT_USERNAME,
    NGX_STREAM_MQTT_PROTOCOL,
    NGX_STREAM_MQTT_KEEPALIVE,
    NGX_STREAM_MQTT_SESSION,
    NGX_STREAM_MQTT_MESSAGES_IN,
    NGX_STREAM_MQTT_MESSAGES_OUT,
    NGX_STREAM_MQTT_BYTES_IN,
    NGX_STREAM_MQTT_BYTES_OUT,
    NGX_STREAM_MQTT_REASON
} ngx_stream_mqtt_variable_e;


static ngx_int_t ngx_stream_mqtt_variable(ngx_stream_session_t *s,
    ngx_stream_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_stream_mqtt_variable_string(ngx_mqtt_client_t *mc,
    ngx_stream_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_stream_mqtt_variable_number(ngx_mqtt_client_t *mc,
    ngx_stream_variable_value_t *v, uintptr_t data);


static ngx_stream_variable_t  ngx_stream_mqtt_vars[] = {

    { ngx_string("mqtt_client_id"), NULL, ngx_stream_mqtt_variable,
      NGX_STREAM_MQTT_CLIENT_ID, NGX_STREAM_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_username"), NULL, ngx_stream_mqtt_variable,
      NGX_STREAM_MQTT_USERNAME, NGX_STREAM_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_protocol"), NULL, ngx_stream_mqtt_variable,
      NGX_STREAM_MQTT_PROTOCOL, NGX_STREAM_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_keepalive"), NULL, ngx_stream_mqtt_variable,
      NGX_STREAM_MQTT_KEEPALIVE, NGX_STREAM_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_session"), NULL, ngx_stream_mqtt_variable,
      NGX_STREAM_MQTT_SESSION, NGX_STREAM_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_messages_in"), NULL, ngx_stream_mqtt_variable,
      NGX_STREAM_MQTT_MESSAGES_IN, NGX_STREAM_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_messages_out"), NULL, ngx_stream_mqtt_variable,
      NGX_STREAM_MQTT_MESSAGES_OUT, NGX_STREAM_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_bytes_in"), NULL, ngx_stream_mqtt_variable,
      NGX_STREAM_MQTT_BYTES_IN, NGX_STREAM_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_bytes_out"), NULL, ngx_stream_mqtt_variable,
      NGX_STREAM_MQTT_BYTES_OUT, NGX_STREAM_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_reason"), NULL, ngx_stream_mqtt_variable,
      NGX_STREAM_MQTT_REASON, NGX_STREAM_VAR_NOCACHEABLE, 0 },

      ngx_stream_null_variable
};


ngx_int_t
ngx_stream_mqtt_add_variables(ngx_conf_t *cf)
{
    ngx_stream_variable_t  *var, *v;

    for (v = ngx_stream_mqtt_vars; v->name.len; v++) {
        var = ngx_stream_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_stream_mqtt_variable(ngx_stream_session_t *s,
    ngx_stream_variable_value_t *v, uintptr_t data)
{
    ngx_mqtt_client_t  *mc;

    mc = ngx_stream_get_module_ctx(s, ngx_stream_mqtt_module);

    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = 0;

    /* before CONNECT there is nothing to tell */

    if (mc == NULL || mc->version == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    if (data <= NGX_STREAM_MQTT_PROTOCOL || data == NGX_STREAM_MQTT_SESSION) {
        return ngx_stream_mqtt_variable_string(mc, v, data);
    }

    return ngx_stream_mqtt_variable_number(mc, v, data);
}


static ngx_int_t
ngx_stream_mqtt_variable_string(ngx_mqtt_client_t *mc,
    ngx_stream_variable_value_t *v, uintptr_t data)
{
    ngx_str_t  value;

    switch (data) {

    case NGX_STREAM_MQTT_CLIENT_ID:
        value = mc->node.key;
        break;

    case NGX_STREAM_MQTT_USERNAME:
        value = mc->username;
        break;

    case NGX_STREAM_MQTT_SESSION:
        ngx_str_set(&value, "persistent");

        if (mc->session_expiry == 0) {
            ngx_str_set(&value, "clean");
        }

        break;

    default: /* NGX_STREAM_MQTT_PROTOCOL */
        ngx_str_set(&value, "5.0");

        if (mc->version == NGX_MQTT_V311) {
            ngx_str_set(&value, "3.1.1");

        } else if (mc->version == NGX_MQTT_V31) {
            ngx_str_set(&value, "3.1");
        }
    }

    v->data = value.data;
    v->len = value.len;

    return NGX_OK;
}


static ngx_int_t
ngx_stream_mqtt_variable_number(ngx_mqtt_client_t *mc,
    ngx_stream_variable_value_t *v, uintptr_t data)
{
    u_char    *p;
    uint64_t   value;

    p = ngx_pnalloc(mc->connection->pool, NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->data = p;

    switch (data) {

    case NGX_STREAM_MQTT_KEEPALIVE:
        value = mc->keep_alive;
        break;

    case NGX_STREAM_MQTT_MESSAGES_IN:
        value = mc->messages_in;
        break;

    case NGX_STREAM_MQTT_MESSAGES_OUT:
        value = mc->messages_out;
        break;

    case NGX_STREAM_MQTT_BYTES_IN:
        value = mc->bytes_in;
        break;

    case NGX_STREAM_MQTT_BYTES_OUT:
        value = mc->connection->sent;
        break;

    default: /* NGX_STREAM_MQTT_REASON */
        v->len = ngx_sprintf(p, "0x%02xi", (ngx_int_t) mc->reason) - p;
        return NGX_OK;
    }

    v->len = ngx_sprintf(p, "%uL", value) - p;

    return NGX_OK;
}
