
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * What the back end is told of a client: connected, disconnected, gone.
 *
 * (1) A client whose "connect" was told is told to be gone exactly once: when
 *     it leaves everything, whoever has closed it.
 * (2) One that is left when the worker exits is not: its session stays claimed
 *     by that worker, and whoever cleans it up tells it.
 *
 * Called from: ngx_mqtt_client.c.
 */


#include "ngx_mqtt_client.h"


static void ngx_mqtt_client_tell(ngx_mqtt_client_t *mc, ngx_uint_t event);


void
ngx_mqtt_client_announce(ngx_mqtt_client_t *mc)
{
    if (mc->worker->status) {
        mc->announced = 1;
        ngx_mqtt_client_tell(mc, NGX_MQTT_STATUS_CONNECT);
    }
}


void
ngx_mqtt_client_announce_end(ngx_mqtt_client_t *mc)
{
    mc->announced = 0;

    if (mc->disconnected) {
        ngx_mqtt_client_tell(mc, NGX_MQTT_STATUS_DISCONNECT);
    }

    ngx_mqtt_client_tell(mc, NGX_MQTT_STATUS_TCPCLEAN);
}


static void
ngx_mqtt_client_tell(ngx_mqtt_client_t *mc, ngx_uint_t event)
{
    u_char                    text[NGX_SOCKADDR_STRLEN];
    ngx_connection_t         *c;
    ngx_mqtt_status_event_t   ev;

    c = mc->connection;

    ev.client_id = mc->node.key;
    ev.username = mc->username;
    ev.epoch = mc->epoch;
    ev.event = event;
    ev.reason = mc->reason;

    ev.address.data = text;
    ev.address.len = ngx_sock_ntop(c->sockaddr, c->socklen, text,
                                   NGX_SOCKADDR_STRLEN, 1);

    ngx_mqtt_status(mc->worker, &ev);
}
