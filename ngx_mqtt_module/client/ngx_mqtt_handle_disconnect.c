
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * DISCONNECT, and the small packets around the life of a connection: PINGREQ
 * and AUTH.
 *
 * Called from: the dispatch of packets.
 */


#include "ngx_mqtt_client.h"


ngx_int_t
ngx_mqtt_handle_pingreq(ngx_mqtt_client_t *mc, ngx_mqtt_fixed_t *fx,
    u_char *p)
{
    if (fx->remaining) {
        return ngx_mqtt_client_error(mc, NGX_MQTT_MALFORMED_PACKET,
                                     "client sent PINGREQ with a body");
    }

    p = ngx_mqtt_client_room(mc, 2);
    if (p == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_mqtt_write_ping(p, NGX_MQTT_PINGRESP);

    return NGX_OK;
}


/* 3.14; a session expiry of zero at CONNECT may not be raised here */

ngx_int_t
ngx_mqtt_handle_disconnect(ngx_mqtt_client_t *mc, ngx_mqtt_fixed_t *fx,
    u_char *p)
{
    uint32_t         expiry;
    ngx_mqtt_ack_t   pkt;

    if (ngx_mqtt_decode_ack(p, p + fx->remaining, mc->version,
                            NGX_MQTT_DISCONNECT, &pkt)
        != NGX_OK)
    {
        return ngx_mqtt_client_error(mc, pkt.reason,
                                     "client sent invalid DISCONNECT");
    }

    if (mc->version == NGX_MQTT_V5
        && ngx_mqtt_prop_is_set(&pkt.props, NGX_MQTT_PROP_SESSION_EXPIRY))
    {
        expiry = pkt.props.session_expiry;

        if (expiry && mc->session_expiry == 0) {
            return ngx_mqtt_client_error(mc, NGX_MQTT_PROTOCOL_ERROR,
                                         "client sent DISCONNECT with a "
                                         "session expiry, CONNECT had none");
        }

        mc->session_expiry = (uint32_t)
                             ngx_min((time_t) expiry,
                                     mc->conf->max_session_expiry);
    }

    ngx_log_error(NGX_LOG_INFO, mc->connection->log, 0,
                  "client disconnected, reason code: 0x%02xi", pkt.code);

    mc->disconnected = 1;

    return ngx_mqtt_client_close(mc, pkt.code);
}


/* 4.12: enhanced authentication was refused at CONNECT */

ngx_int_t
ngx_mqtt_handle_auth(ngx_mqtt_client_t *mc, ngx_mqtt_fixed_t *fx, u_char *p)
{
    ngx_mqtt_ack_t  pkt;

    if (ngx_mqtt_decode_ack(p, p + fx->remaining, mc->version, NGX_MQTT_AUTH,
                            &pkt)
        != NGX_OK)
    {
        return ngx_mqtt_client_error(mc, pkt.reason,
                                     "client sent invalid AUTH");
    }

    return ngx_mqtt_client_error(mc, NGX_MQTT_PROTOCOL_ERROR,
                                 "client sent AUTH without authentication "
                                 "method in CONNECT");
}
