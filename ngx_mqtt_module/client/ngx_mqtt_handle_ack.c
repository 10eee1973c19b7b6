
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * PUBREL of publishes that the client sent, section 4.3.3, and PUBACK, PUBREC
 * and PUBCOMP of publishes that it received.
 *
 * Called from: the dispatch of packets.
 */


#include "ngx_mqtt_client_session.h"


static ngx_int_t ngx_mqtt_handle_pubrel(ngx_mqtt_client_t *mc,
    ngx_mqtt_ack_t *pkt);


ngx_int_t
ngx_mqtt_handle_ack(ngx_mqtt_client_t *mc, ngx_mqtt_fixed_t *fx, u_char *p)
{
    ngx_mqtt_ack_t  pkt;

    if (ngx_mqtt_decode_ack(p, p + fx->remaining, mc->version, fx->type, &pkt)
        != NGX_OK)
    {
        return ngx_mqtt_client_error(mc, pkt.reason, "client sent invalid %s",
                                     ngx_mqtt_packet_name(fx->type));
    }

    if (fx->type == NGX_MQTT_PUBREL) {
        return ngx_mqtt_handle_pubrel(mc, &pkt);
    }

    return ngx_mqtt_client_acked(mc, fx->type, pkt.packet_id, pkt.code);
}


static ngx_int_t
ngx_mqtt_handle_pubrel(ngx_mqtt_client_t *mc, ngx_mqtt_ack_t *pkt)
{
    ngx_int_t   rc;
    ngx_uint_t  code;

    rc = NGX_DECLINED;

    if (mc->extra) {
        rc = ngx_mqtt_id_set_remove(mc->worker, &mc->extra->received,
                                    pkt->packet_id);
    }

    code = (rc == NGX_OK) ? NGX_MQTT_SUCCESS : NGX_MQTT_PACKET_ID_NOT_FOUND;

    /* an id that was saved would swallow the next publish that has it */

    return ngx_mqtt_client_save_then(mc, NGX_MQTT_PUBCOMP, pkt->packet_id,
                                     NULL, code);
}
