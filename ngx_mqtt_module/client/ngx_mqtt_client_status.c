
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * What the back end is told of a client: connected, disconnected, gone.
 *
 * (1) A client whose "connect" was told is told to be gone exactly once: when
 *     it leaves everything, whoever has closed it, and Redis says that it is
 *     this worker that has to.
 * (2) One that is left when the worker exits is not: whoever takes over from
 *     that worker finds it in its session, and tells it.
 *
 * Called from: ngx_mqtt_client.c, ngx_mqtt_handle_connect.c.
 */


#include "ngx_mqtt_client.h"


static void ngx_mqtt_client_event_of(ngx_mqtt_client_t *mc, ngx_uint_t event,
    ngx_mqtt_status_event_t *ev, u_char *text);
static ngx_int_t ngx_mqtt_client_tell(ngx_mqtt_client_t *mc,
    ngx_uint_t event);


ngx_int_t
ngx_mqtt_client_describe(ngx_mqtt_client_t *mc, ngx_str_t *connection)
{
    u_char                   text[NGX_SOCKADDR_STRLEN];
    ngx_mqtt_status_event_t  ev;

    ngx_str_null(connection);

    if (mc->worker->status == NULL) {
        return NGX_OK;
    }

    ngx_mqtt_client_event_of(mc, NGX_MQTT_STATUS_TCPCLEAN, &ev, text);

    return ngx_mqtt_status_connection(mc->worker, &ev, connection);
}


void
ngx_mqtt_client_announce(ngx_mqtt_client_t *mc)
{
    if (mc->worker->status
        && ngx_mqtt_client_tell(mc, NGX_MQTT_STATUS_CONNECT) != NGX_DECLINED)
    {
        mc->announced = 1;
    }
}


void
ngx_mqtt_client_announce_end(ngx_mqtt_client_t *mc)
{
    if (mc->worker->stopping) {
        return;
    }

    if (mc->disconnected) {
        (void) ngx_mqtt_client_tell(mc, NGX_MQTT_STATUS_DISCONNECT);
    }

    if (ngx_mqtt_client_tell(mc, NGX_MQTT_STATUS_TCPCLEAN) != NGX_OK) {

        /* dropped: nobody else tells it either */

        mc->announced = 0;
    }
}


/* "text" is of NGX_SOCKADDR_STRLEN bytes, and has the address */

static void
ngx_mqtt_client_event_of(ngx_mqtt_client_t *mc, ngx_uint_t event,
    ngx_mqtt_status_event_t *ev, u_char *text)
{
    ngx_connection_t  *c;

    c = mc->connection;

    ev->client_id = mc->node.key;
    ev->username = mc->username;
    ev->node = mc->worker->cycle->hostname;
    ev->epoch = mc->epoch;
    ev->event = event;
    ev->reason = mc->reason;

    ev->address.data = text;
    ev->address.len = ngx_sock_ntop(c->sockaddr, c->socklen, text,
                                    NGX_SOCKADDR_STRLEN, 1);
}


static ngx_int_t
ngx_mqtt_client_tell(ngx_mqtt_client_t *mc, ngx_uint_t event)
{
    u_char                   text[NGX_SOCKADDR_STRLEN];
    ngx_mqtt_status_event_t  ev;

    ngx_mqtt_client_event_of(mc, event, &ev, text);

    return ngx_mqtt_status(mc->worker, &ev);
}
