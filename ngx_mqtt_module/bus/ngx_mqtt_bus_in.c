
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The receiving side of the bus: the listening socket, the accepted ones, and
 * who is at the other end of them.
 *
 * Called from: the event loop, and ngx_mqtt_bus.c for the start and the end.
 */


#include "ngx_mqtt_bus_int.h"


#define NGX_MQTT_BUS_BACKLOG       512
#define NGX_MQTT_BUS_ACCEPTS       64       /* in one turn */
#define NGX_MQTT_BUS_ACCEPT_DELAY  500


static void ngx_mqtt_bus_accept_handler(ngx_event_t *rev);
static ngx_int_t ngx_mqtt_bus_accept(ngx_mqtt_bus_t *bus, ngx_socket_t fd);
static void ngx_mqtt_bus_accept_pause(ngx_mqtt_bus_t *bus);
static void ngx_mqtt_bus_in_handler(ngx_event_t *ev);
static ngx_int_t ngx_mqtt_bus_in_frame(void *data, ngx_uint_t type,
    ngx_str_t *body);
static ngx_int_t ngx_mqtt_bus_hello(ngx_mqtt_bus_in_t *in, ngx_str_t *body);


ngx_int_t
ngx_mqtt_bus_listen(ngx_mqtt_bus_t *bus)
{
    socklen_t            len;
    ngx_socket_t         fd;
    ngx_connection_t    *c;
    struct sockaddr_un   sun;

    fd = socket(AF_UNIX, SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 0);

    if (fd == (ngx_socket_t) -1) {
        ngx_log_error(NGX_LOG_EMERG, &bus->log, ngx_socket_errno,
                      ngx_socket_n " failed");
        return NGX_ERROR;
    }

    len = ngx_mqtt_bus_name(bus, &sun, bus->worker->generation);

    if (bind(fd, (struct sockaddr *) &sun, len) == -1) {
        ngx_log_error(NGX_LOG_EMERG, &bus->log, ngx_socket_errno,
                      "bind() to \"@%s\" failed", &sun.sun_path[1]);
        goto failed;
    }

    if (listen(fd, NGX_MQTT_BUS_BACKLOG) == -1) {
        ngx_log_error(NGX_LOG_EMERG, &bus->log, ngx_socket_errno,
                      "listen() to \"@%s\" failed", &sun.sun_path[1]);
        goto failed;
    }

    c = ngx_get_connection(fd, &bus->log);

    if (c == NULL) {
        ngx_log_error(NGX_LOG_EMERG, &bus->log, 0,
                      "worker_connections are not enough for mqtt_gateway");
        goto failed;
    }

    c->data = bus;

    c->read->handler = ngx_mqtt_bus_accept_handler;
    c->read->log = &bus->log;
    c->read->channel = 1;
    c->write->handler = ngx_mqtt_bus_accept_handler;
    c->write->log = &bus->log;

    bus->listening = c;

    /* level-triggered: what one turn does not accept is left for the next */

    return ngx_add_event(c->read, NGX_READ_EVENT, 0);

failed:

    ngx_mqtt_bus_close_socket(bus, fd);

    return NGX_ERROR;
}


static void
ngx_mqtt_bus_accept_handler(ngx_event_t *rev)
{
    ngx_err_t          err;
    ngx_uint_t         n;
    ngx_socket_t       fd;
    ngx_connection_t  *c;
    ngx_mqtt_bus_t    *bus;

    c = rev->data;
    bus = c->data;

    for (n = 0; n < NGX_MQTT_BUS_ACCEPTS; n++) {

        fd = accept4(c->fd, NULL, NULL, SOCK_NONBLOCK|SOCK_CLOEXEC);

        if (fd == (ngx_socket_t) -1) {
            err = ngx_socket_errno;

            if (err == NGX_EINTR || err == NGX_ECONNABORTED) {
                continue;
            }

            if (err != NGX_EAGAIN) {
                ngx_log_error(NGX_LOG_CRIT, &bus->log, err,
                              "accept4() failed");
                ngx_mqtt_bus_accept_pause(bus);
            }

            return;
        }

        if (ngx_mqtt_bus_accept(bus, fd) != NGX_OK) {
            bus->accepted_fd = fd;
            ngx_mqtt_bus_accept_pause(bus);
            return;
        }
    }
}


/* NGX_AGAIN: there is no connection for it yet */

static ngx_int_t
ngx_mqtt_bus_accept(ngx_mqtt_bus_t *bus, ngx_socket_t fd)
{
    ngx_connection_t   *c;
    ngx_mqtt_bus_in_t  *in;

    if (!ngx_mqtt_bus_trusted(bus, fd)) {
        ngx_mqtt_bus_close_socket(bus, fd);
        return NGX_OK;
    }

    in = ngx_calloc(sizeof(ngx_mqtt_bus_in_t), &bus->log);
    if (in == NULL) {
        return NGX_AGAIN;
    }

    c = ngx_get_connection(fd, &bus->log);
    if (c == NULL) {
        ngx_free(in);
        return NGX_AGAIN;
    }

    c->data = in;

    in->bus = bus;
    in->connection = c;

    ngx_queue_insert_tail(&bus->accepted, &in->queue);

    if (ngx_mqtt_bus_open(bus, c, ngx_mqtt_bus_in_handler) != NGX_OK) {
        ngx_mqtt_bus_in_close(in);
    }

    return NGX_OK;
}


static void
ngx_mqtt_bus_accept_pause(ngx_mqtt_bus_t *bus)
{
    (void) ngx_del_event(bus->listening->read, NGX_READ_EVENT, 0);

    ngx_add_timer(&bus->accept_event, NGX_MQTT_BUS_ACCEPT_DELAY);
}


void
ngx_mqtt_bus_accept_retry(ngx_event_t *ev)
{
    ngx_socket_t     fd;
    ngx_mqtt_bus_t  *bus;

    bus = ngx_mqtt_event_worker(ev)->bus;
    fd = bus->accepted_fd;

    if (fd != (ngx_socket_t) -1) {

        if (ngx_cycle->free_connection_n == 0
            || ngx_mqtt_bus_accept(bus, fd) != NGX_OK)
        {
            ngx_add_timer(ev, NGX_MQTT_BUS_ACCEPT_DELAY);
            return;
        }

        bus->accepted_fd = (ngx_socket_t) -1;
    }

    if (ngx_add_event(bus->listening->read, NGX_READ_EVENT, 0) != NGX_OK) {
        ngx_add_timer(ev, NGX_MQTT_BUS_ACCEPT_DELAY);
    }
}


static void
ngx_mqtt_bus_in_handler(ngx_event_t *ev)
{
    ngx_int_t           rc;
    ngx_connection_t   *c;
    ngx_mqtt_bus_t     *bus;
    ngx_mqtt_bus_in_t  *in;

    c = ev->data;
    in = c->data;
    bus = in->bus;

    if (ev->write) {
        return;
    }

    rc = ngx_mqtt_frame_receive(bus->worker, &in->reader, c, bus->buffer,
                                ngx_mqtt_bus_in_frame, in);

    if (rc == NGX_BUSY) {
        ngx_post_event(ev, &ngx_posted_next_events);
        return;
    }

    if (rc == NGX_AGAIN
        && !(in->peer && in->peer->broken)
        && ngx_handle_read_event(ev, 0) == NGX_OK)
    {
        return;
    }

    if (in->peer) {
        ngx_mqtt_bus_lose(in->peer);
        return;
    }

    ngx_mqtt_bus_in_close(in);
}


static ngx_int_t
ngx_mqtt_bus_in_frame(void *data, ngx_uint_t type, ngx_str_t *body)
{
    ngx_mqtt_bus_in_t *in = data;

    if (in->peer == NULL) {
        return (type == NGX_MQTT_FRAME_HELLO) ? ngx_mqtt_bus_hello(in, body)
                                              : NGX_ERROR;
    }

    ngx_mqtt_count(in->bus->worker, NGX_MQTT_STAT_bus_frames_in);

    ngx_mqtt_bus_frame(in->bus, &in->peer->id, type, body);

    return NGX_OK;
}


/*
 * The sender may have ended already: its last frames count, so the generation
 * need not be in the worker table anymore.
 */

static ngx_int_t
ngx_mqtt_bus_hello(ngx_mqtt_bus_in_t *in, ngx_str_t *body)
{
    u_char               *p, *end;
    uint32_t              slot;
    ngx_mqtt_bus_t       *bus;
    ngx_mqtt_peer_t       id;
    ngx_mqtt_bus_peer_t  *peer;

    bus = in->bus;
    end = body->data + body->len;

    p = ngx_mqtt_frame_read_u64(body->data, end, &id.generation);

    if (p == NULL
        || ngx_mqtt_frame_read_u32(p, end, &slot) == NULL
        || slot >= NGX_MQTT_ZONE_SLOTS
        || id.generation <= bus->gone[slot]
        || id.generation > ngx_mqtt_zone(bus->worker->gateway)->generations)
    {
        return NGX_ERROR;
    }

    id.slot = slot;
    id.node = 0;

    peer = ngx_mqtt_bus_find(bus, &id);

    if (peer == NULL) {
        peer = ngx_mqtt_bus_add(bus, &id);
    }

    if (peer == NULL || peer->in) {
        return NGX_ERROR;
    }

    peer->in = in;
    in->peer = peer;

    ngx_log_debug2(NGX_LOG_DEBUG_EVENT, &bus->log, 0,
                   "mqtt bus hello from slot %uL generation %uL",
                   id.slot, id.generation);

    return NGX_OK;
}


void
ngx_mqtt_bus_in_close(ngx_mqtt_bus_in_t *in)
{
    if (in->peer) {
        in->peer->in = NULL;
    }

    ngx_queue_remove(&in->queue);
    ngx_mqtt_frame_reader_free(in->bus->worker, &in->reader);
    ngx_close_connection(in->connection);
    ngx_free(in);
}
