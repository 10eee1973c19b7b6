
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * What a client tells about itself: the values of variables, the end of a
 * line of the log.
 *
 * Called from: stream/ and http/.
 */


#include "ngx_mqtt_client.h"


static void ngx_mqtt_client_string(ngx_mqtt_client_t *mc,
    ngx_variable_value_t *v, ngx_uint_t which);
static ngx_int_t ngx_mqtt_client_number(ngx_mqtt_client_t *mc,
    ngx_variable_value_t *v, ngx_uint_t which);


ngx_int_t
ngx_mqtt_client_variable(ngx_mqtt_client_t *mc, ngx_variable_value_t *v,
    ngx_uint_t which)
{
    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = 0;

    /* before CONNECT there is nothing to tell */

    if (mc == NULL || mc->version == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    if (which <= NGX_MQTT_VAR_SESSION) {
        ngx_mqtt_client_string(mc, v, which);
        return NGX_OK;
    }

    return ngx_mqtt_client_number(mc, v, which);
}


static void
ngx_mqtt_client_string(ngx_mqtt_client_t *mc, ngx_variable_value_t *v,
    ngx_uint_t which)
{
    ngx_str_t  value;

    switch (which) {

    case NGX_MQTT_VAR_CLIENT_ID:
        value = mc->node.key;
        break;

    case NGX_MQTT_VAR_USERNAME:
        value = mc->username;
        break;

    case NGX_MQTT_VAR_SESSION:
        ngx_str_set(&value, "persistent");

        if (mc->session_expiry == 0) {
            ngx_str_set(&value, "clean");
        }

        break;

    default: /* NGX_MQTT_VAR_PROTOCOL */
        ngx_str_set(&value, "5.0");

        if (mc->version == NGX_MQTT_V311) {
            ngx_str_set(&value, "3.1.1");

        } else if (mc->version == NGX_MQTT_V31) {
            ngx_str_set(&value, "3.1");
        }
    }

    v->data = value.data;
    v->len = value.len;
}


static ngx_int_t
ngx_mqtt_client_number(ngx_mqtt_client_t *mc, ngx_variable_value_t *v,
    ngx_uint_t which)
{
    u_char    *p;
    uint64_t   value;

    p = ngx_pnalloc(mc->connection->pool, NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->data = p;

    switch (which) {

    case NGX_MQTT_VAR_KEEPALIVE:
        value = mc->keep_alive;
        break;

    case NGX_MQTT_VAR_MESSAGES_IN:
        value = mc->messages_in;
        break;

    case NGX_MQTT_VAR_MESSAGES_OUT:
        value = mc->messages_out;
        break;

    case NGX_MQTT_VAR_BYTES_IN:
        value = mc->bytes_in;
        break;

    case NGX_MQTT_VAR_BYTES_OUT:
        value = mc->connection->sent;
        break;

    default: /* NGX_MQTT_VAR_REASON */
        v->len = ngx_sprintf(p, "0x%02xi", (ngx_int_t) mc->reason) - p;
        return NGX_OK;
    }

    v->len = ngx_sprintf(p, "%uL", value) - p;

    return NGX_OK;
}


u_char *
ngx_mqtt_client_log_error(ngx_mqtt_client_t *mc, u_char *buf, size_t len)
{
    u_char  *p;

    p = ngx_snprintf(buf, len, ", gateway: \"%V\"", &mc->conf->gateway->name);
    len -= p - buf;

    if (mc->node.key.len) {
        p = ngx_snprintf(p, len, ", client id: \"%V\"", &mc->node.key);
    }

    return p;
}
