
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Reason strings of 5.0: in words why a packet refuses something.
 *
 * (1) They are the server's own words, ASCII: nothing that a client has sent
 *     is repeated in them.
 * (2) None for a client with Request Problem Information 0 [MQTT-3.1.2-29],
 *     none that would make a packet larger than the client allows
 *     [MQTT-3.2.2-19], [MQTT-3.4.2-2], [MQTT-3.9.2-1], [MQTT-3.14.2-3].
 *
 * Called from: the packet handlers, ngx_mqtt_client_error().
 */


#include "ngx_mqtt_client.h"


/* identifier, length, and what the lengths around may grow by */

#define NGX_MQTT_REASON_OVERHEAD  (1 + 2 + 2 * 3)


void
ngx_mqtt_client_reason_string(ngx_mqtt_client_t *mc, ngx_mqtt_props_t *props,
    size_t len, ngx_str_t *text)
{
    if (text == NULL || text->len == 0 || mc->no_problem
        || mc->version != NGX_MQTT_V5
        || len + NGX_MQTT_REASON_OVERHEAD + text->len > mc->max_packet_out)
    {
        return;
    }

    props->present |= ngx_mqtt_prop_bit(NGX_MQTT_PROP_REASON_STRING);
    props->reason_string = *text;
}


void
ngx_mqtt_client_send_reason(ngx_mqtt_client_t *mc, ngx_uint_t type,
    uint16_t packet_id, ngx_uint_t code, ngx_str_t *text)
{
    u_char          *p;
    ngx_mqtt_ack_t   pkt;

    pkt.packet_id = packet_id;
    pkt.code = code;
    ngx_mqtt_props_reset(&pkt.props);

    ngx_mqtt_client_reason_string(mc, &pkt.props,
                                  ngx_mqtt_ack_len(mc->version, type, &pkt),
                                  text);

    p = ngx_mqtt_client_room(mc, ngx_mqtt_ack_len(mc->version, type, &pkt));

    if (p) {
        (void) ngx_mqtt_write_ack(p, mc->version, type, &pkt);
    }
}
