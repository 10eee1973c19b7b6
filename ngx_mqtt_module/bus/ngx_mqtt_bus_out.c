
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The sending side of the bus: peers are connected when something is queued
 * for them, and flushed once per turn of the event loop.
 *
 * Called from: the event loop.
 */


#include "ngx_mqtt_bus_int.h"


#define NGX_MQTT_BUS_RETRY         20
#define NGX_MQTT_BUS_REFUSALS      100      /* a worker that starts listens
                                               within so many retries */


static void ngx_mqtt_bus_flush(ngx_mqtt_bus_peer_t *peer);
static ngx_int_t ngx_mqtt_bus_connect(ngx_mqtt_bus_peer_t *peer);
static ngx_int_t ngx_mqtt_bus_refused(ngx_mqtt_bus_peer_t *peer,
    ngx_err_t err);
static void ngx_mqtt_bus_out_handler(ngx_event_t *ev);
static void ngx_mqtt_bus_broken(ngx_mqtt_bus_peer_t *peer);


void
ngx_mqtt_bus_flush_handler(ngx_event_t *ev)
{
    ngx_queue_t          *q;
    ngx_mqtt_bus_t       *bus;
    ngx_mqtt_bus_peer_t  *peer;

    bus = ngx_mqtt_event_worker(ev)->bus;

    while (!ngx_queue_empty(&bus->dirty)) {
        q = ngx_queue_head(&bus->dirty);
        peer = ngx_queue_data(q, ngx_mqtt_bus_peer_t, queue);

        ngx_queue_remove(q);
        peer->queued = 0;

        ngx_mqtt_bus_flush(peer);
    }
}


void
ngx_mqtt_bus_retry_handler(ngx_event_t *ev)
{
    ngx_mqtt_bus_t  *bus;

    bus = ngx_mqtt_event_worker(ev)->bus;

    if (ngx_cycle->free_connection_n == 0) {
        ngx_add_timer(ev, NGX_MQTT_BUS_RETRY);
        return;
    }

    ngx_queue_add(&bus->dirty, &bus->waiting);
    ngx_queue_init(&bus->waiting);

    ngx_mqtt_bus_flush_handler(&bus->flush_event);
}


static void
ngx_mqtt_bus_flush(ngx_mqtt_bus_peer_t *peer)
{
    ngx_int_t        rc;
    ngx_mqtt_bus_t  *bus;

    bus = peer->bus;

    if (peer->broken) {
        return;
    }

    if (peer->out == NULL) {
        rc = ngx_mqtt_bus_connect(peer);

        if (rc == NGX_AGAIN) {
            peer->queued = 1;
            ngx_queue_insert_tail(&bus->waiting, &peer->queue);

            if (!bus->retry_event.timer_set) {
                ngx_add_timer(&bus->retry_event, NGX_MQTT_BUS_RETRY);
            }

            return;
        }

        if (rc != NGX_OK) {
            ngx_mqtt_bus_broken(peer);
            return;
        }
    }

    rc = ngx_mqtt_frame_send(bus->worker, &peer->frames, peer->out);

    if (rc == NGX_ERROR
        || ngx_handle_write_event(peer->out->write, 0) != NGX_OK)
    {
        ngx_mqtt_bus_broken(peer);
    }

    ngx_mqtt_bus_check_drained(peer);
}


ngx_int_t
ngx_mqtt_bus_greet(ngx_mqtt_bus_peer_t *peer)
{
    u_char              *p, body[sizeof(uint64_t) + sizeof(uint32_t)];
    ngx_str_t            hello;
    ngx_mqtt_worker_t   *w;

    if (peer->greeted) {
        return NGX_OK;
    }

    w = peer->bus->worker;

    p = ngx_mqtt_frame_write_u64(body, w->generation);
    p = ngx_mqtt_frame_write_u32(p, (uint32_t) w->slot_index);

    hello.data = body;
    hello.len = p - body;

    if (ngx_mqtt_frame_push(w, &peer->frames, NGX_MQTT_FRAME_HELLO, &hello, 1)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    peer->greeted = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_bus_connect(ngx_mqtt_bus_peer_t *peer)
{
    socklen_t            len;
    ngx_err_t            err;
    ngx_socket_t         fd;
    ngx_mqtt_bus_t      *bus;
    ngx_connection_t    *c;
    struct sockaddr_un   sun;

    bus = peer->bus;

    fd = socket(AF_UNIX, SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 0);

    if (fd == (ngx_socket_t) -1) {
        ngx_log_error(NGX_LOG_CRIT, &bus->log, ngx_socket_errno,
                      ngx_socket_n " failed");
        return NGX_AGAIN;
    }

    len = ngx_mqtt_bus_name(bus, &sun, peer->id.generation);

    if (connect(fd, (struct sockaddr *) &sun, len) == -1) {
        err = ngx_socket_errno;
        ngx_mqtt_bus_close_socket(bus, fd);
        return ngx_mqtt_bus_refused(peer, err);
    }

    if (!ngx_mqtt_bus_trusted(bus, fd)) {
        ngx_mqtt_bus_close_socket(bus, fd);
        return NGX_ERROR;
    }

    c = ngx_get_connection(fd, &bus->log);

    if (c == NULL) {
        ngx_mqtt_bus_close_socket(bus, fd);
        return NGX_AGAIN;
    }

    c->data = peer;
    peer->out = c;

    return ngx_mqtt_bus_open(bus, c, ngx_mqtt_bus_out_handler);
}


/*
 * The backlog of a living worker is full, or it does not listen yet; a dead
 * one took its name with it.
 */

static ngx_int_t
ngx_mqtt_bus_refused(ngx_mqtt_bus_peer_t *peer, ngx_err_t err)
{
    ngx_mqtt_bus_t  *bus;

    bus = peer->bus;

    if (err == NGX_EAGAIN || err == NGX_ECONNREFUSED) {

        if (!ngx_mqtt_bus_alive(bus, &peer->id)) {
            return NGX_ERROR;
        }

        if (err == NGX_EAGAIN
            || peer->refusals++ < NGX_MQTT_BUS_REFUSALS)
        {
            return NGX_AGAIN;
        }
    }

    ngx_log_error(NGX_LOG_ERR, &bus->log, err,
                  "connect() to the worker in slot %uL failed",
                  peer->id.slot);

    return NGX_ERROR;
}


static void
ngx_mqtt_bus_out_handler(ngx_event_t *ev)
{
    u_char                byte;
    ngx_connection_t     *c;
    ngx_mqtt_bus_peer_t  *peer;

    c = ev->data;
    peer = c->data;

    if (ev->write) {
        ngx_mqtt_bus_flush(peer);
        return;
    }

    /* nothing is ever received here but the end of file */

    if (c->recv(c, &byte, 1) != NGX_AGAIN
        || ngx_handle_read_event(ev, 0) != NGX_OK)
    {
        ngx_mqtt_bus_broken(peer);
    }
}


/* nothing can be sent anymore; what the peer has sent is still read */

static void
ngx_mqtt_bus_broken(ngx_mqtt_bus_peer_t *peer)
{
    if (peer->in == NULL) {
        ngx_mqtt_bus_lose(peer);
        return;
    }

    peer->broken = 1;

    if (peer->out) {
        ngx_close_connection(peer->out);
        peer->out = NULL;
    }

    ngx_post_event(peer->in->connection->read, &ngx_posted_next_events);
}
