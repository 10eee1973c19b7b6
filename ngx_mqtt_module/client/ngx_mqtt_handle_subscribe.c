
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * SUBSCRIBE and UNSUBSCRIBE.  There are no routes yet: every filter is
 * refused, so that no device believes it has a subscription.
 *
 * Called from: the dispatch of packets.
 */


#include "ngx_mqtt_client.h"


ngx_int_t
ngx_mqtt_handle_subscribe(ngx_mqtt_client_t *mc, ngx_mqtt_fixed_t *fx,
    u_char *p)
{
    ngx_int_t              rc;
    ngx_uint_t             type, code;
    ngx_mqtt_suback_t      ack;
    ngx_mqtt_subscribe_t   pkt;

    if (ngx_mqtt_decode_subscribe(p, p + fx->remaining, mc->version, fx->type,
                                  &pkt)
        != NGX_OK)
    {
        return ngx_mqtt_client_error(mc, pkt.reason, "client sent invalid %s",
                                     ngx_mqtt_packet_name(fx->type));
    }

    type = NGX_MQTT_SUBACK;
    code = (mc->version == NGX_MQTT_V5) ? NGX_MQTT_IMPLEMENTATION_ERROR
                                        : NGX_MQTT_UNSPECIFIED_ERROR;

    if (fx->type == NGX_MQTT_UNSUBSCRIBE) {
        type = NGX_MQTT_UNSUBACK;
        code = NGX_MQTT_NO_SUBSCRIPTION_EXISTED;
    }

    ack.packet_id = pkt.packet_id;
    ngx_mqtt_props_reset(&ack.props);

    ack.codes.len = pkt.nfilters;
    ack.codes.data = ngx_mqtt_alloc(mc->worker, pkt.nfilters);

    if (ack.codes.data == NULL) {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return NGX_ERROR;
    }

    ngx_memset(ack.codes.data, (int) code, pkt.nfilters);

    p = ngx_mqtt_client_room(mc, ngx_mqtt_suback_len(mc->version, type, &ack));

    rc = NGX_ERROR;

    if (p) {
        (void) ngx_mqtt_write_suback(p, mc->version, type, &ack);
        rc = NGX_OK;
    }

    ngx_mqtt_free(mc->worker, ack.codes.data, pkt.nfilters);

    return rc;
}
