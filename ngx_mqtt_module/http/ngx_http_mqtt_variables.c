
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Variables, those of stream.  All are evaluated anew each time (P42): a
 * client id appears after the phases have run, counters grow.
 */


#include "ngx_http_mqtt.h"


static ngx_int_t ngx_http_mqtt_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


static ngx_http_variable_t  ngx_http_mqtt_vars[] = {

    { ngx_string("mqtt_client_id"), NULL, ngx_http_mqtt_variable,
      NGX_MQTT_VAR_CLIENT_ID, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_username"), NULL, ngx_http_mqtt_variable,
      NGX_MQTT_VAR_USERNAME, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_protocol"), NULL, ngx_http_mqtt_variable,
      NGX_MQTT_VAR_PROTOCOL, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_keepalive"), NULL, ngx_http_mqtt_variable,
      NGX_MQTT_VAR_KEEPALIVE, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_session"), NULL, ngx_http_mqtt_variable,
      NGX_MQTT_VAR_SESSION, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_messages_in"), NULL, ngx_http_mqtt_variable,
      NGX_MQTT_VAR_MESSAGES_IN, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_messages_out"), NULL, ngx_http_mqtt_variable,
      NGX_MQTT_VAR_MESSAGES_OUT, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_bytes_in"), NULL, ngx_http_mqtt_variable,
      NGX_MQTT_VAR_BYTES_IN, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_bytes_out"), NULL, ngx_http_mqtt_variable,
      NGX_MQTT_VAR_BYTES_OUT, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_reason"), NULL, ngx_http_mqtt_variable,
      NGX_MQTT_VAR_REASON, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_mqtt_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_mqtt_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_mqtt_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    ngx_http_mqtt_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r->main, ngx_http_mqtt_module);

    return ngx_mqtt_client_variable(ctx ? ctx->client : NULL, v, data);
}
