
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Variables.  All are evaluated anew each time (P42): a client id appears
 * after the phases have run, counters grow.
 */


#include "ngx_stream_mqtt.h"


static ngx_int_t ngx_stream_mqtt_variable(ngx_stream_session_t *s,
    ngx_stream_variable_value_t *v, uintptr_t data);


static ngx_stream_variable_t  ngx_stream_mqtt_vars[] = {

    { ngx_string("mqtt_client_id"), NULL, ngx_stream_mqtt_variable,
      NGX_MQTT_VAR_CLIENT_ID, NGX_STREAM_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_username"), NULL, ngx_stream_mqtt_variable,
      NGX_MQTT_VAR_USERNAME, NGX_STREAM_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_protocol"), NULL, ngx_stream_mqtt_variable,
      NGX_MQTT_VAR_PROTOCOL, NGX_STREAM_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_keepalive"), NULL, ngx_stream_mqtt_variable,
      NGX_MQTT_VAR_KEEPALIVE, NGX_STREAM_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_session"), NULL, ngx_stream_mqtt_variable,
      NGX_MQTT_VAR_SESSION, NGX_STREAM_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_messages_in"), NULL, ngx_stream_mqtt_variable,
      NGX_MQTT_VAR_MESSAGES_IN, NGX_STREAM_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_messages_out"), NULL, ngx_stream_mqtt_variable,
      NGX_MQTT_VAR_MESSAGES_OUT, NGX_STREAM_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_bytes_in"), NULL, ngx_stream_mqtt_variable,
      NGX_MQTT_VAR_BYTES_IN, NGX_STREAM_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_bytes_out"), NULL, ngx_stream_mqtt_variable,
      NGX_MQTT_VAR_BYTES_OUT, NGX_STREAM_VAR_NOCACHEABLE, 0 },

    { ngx_string("mqtt_reason"), NULL, ngx_stream_mqtt_variable,
      NGX_MQTT_VAR_REASON, NGX_STREAM_VAR_NOCACHEABLE, 0 },

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

    return ngx_mqtt_client_variable(mc, v, data);
}
