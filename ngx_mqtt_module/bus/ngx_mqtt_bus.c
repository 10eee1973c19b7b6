
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The bus: sockets between the workers of one zone.
 *
 * (1) Every worker listens in the abstract namespace under a name made of the
 *     zone's node id and its own generation.  There is one socket per ordered
 *     pair: a worker sends on those it has connected and reads from those it
 *     has accepted.
 * (2) Nothing is connected or sent inside ngx_mqtt_bus_send(), and no handler
 *     of a room runs inside it: it queues and posts.
 * (3) Only ngx_mqtt_bus_lose() gives a peer up, and only the lost event frees
 *     it; its generation is remembered in bus->gone and is never spoken to
 *     again.
 * (4) All sockets are channels for nginx: neither worker_shutdown_timeout nor
 *     the search for open sockets touches them (P21).  When no connection is
 *     left for a new one (P49) the bus tries again, nothing is lost.
 *
 * Called from: gateway/ (life), session/ and route/ (frames).  One worker, no
 * locks.
 */


#include "ngx_mqtt_bus_int.h"

#include <linux/sockios.h>


static void ngx_mqtt_bus_init_event(ngx_mqtt_bus_t *bus, ngx_event_t *ev,
    ngx_event_handler_pt handler);
static u_char *ngx_mqtt_bus_log_error(ngx_log_t *log, u_char *buf,
    size_t len);
static void ngx_mqtt_bus_delete_event(ngx_event_t *ev);
static ngx_int_t ngx_mqtt_bus_send_local(ngx_mqtt_bus_t *bus,
    ngx_uint_t type, ngx_str_t *parts, ngx_uint_t nparts);
static void ngx_mqtt_bus_local_handler(ngx_event_t *ev);
static ngx_int_t ngx_mqtt_bus_local_frame(void *data, ngx_uint_t type,
    ngx_str_t *body);
static void ngx_mqtt_bus_close(ngx_mqtt_bus_peer_t *peer);
static void ngx_mqtt_bus_lost_handler(ngx_event_t *ev);
static void ngx_mqtt_bus_free(ngx_mqtt_bus_peer_t *peer);


ngx_int_t
ngx_mqtt_bus_start(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_bus_t  *bus;

    bus = ngx_pcalloc(w->cycle->pool, sizeof(ngx_mqtt_bus_t));
    if (bus == NULL) {
        return NGX_ERROR;
    }

    bus->buffer = ngx_palloc(w->cycle->pool, NGX_MQTT_BUS_BUFFER);
    if (bus->buffer == NULL) {
        return NGX_ERROR;
    }

    bus->worker = w;
    bus->accepted_fd = (ngx_socket_t) -1;

    bus->log = *w->log;
    bus->log.handler = ngx_mqtt_bus_log_error;
    bus->log.data = bus;

    ngx_queue_init(&bus->accepted);
    ngx_queue_init(&bus->dirty);
    ngx_queue_init(&bus->waiting);
    ngx_queue_init(&bus->lost);

    ngx_mqtt_bus_init_event(bus, &bus->flush_event,
                            ngx_mqtt_bus_flush_handler);
    ngx_mqtt_bus_init_event(bus, &bus->lost_event, ngx_mqtt_bus_lost_handler);
    ngx_mqtt_bus_init_event(bus, &bus->local_event,
                            ngx_mqtt_bus_local_handler);
    ngx_mqtt_bus_init_event(bus, &bus->retry_event,
                            ngx_mqtt_bus_retry_handler);
    ngx_mqtt_bus_init_event(bus, &bus->accept_event,
                            ngx_mqtt_bus_accept_retry);

    w->bus = bus;

    return ngx_mqtt_bus_listen(bus);
}


static void
ngx_mqtt_bus_init_event(ngx_mqtt_bus_t *bus, ngx_event_t *ev,
    ngx_event_handler_pt handler)
{
    ev->handler = handler;
    ev->data = &bus->worker->ident;
    ev->log = &bus->log;
    ev->cancelable = 1;
}


static u_char *
ngx_mqtt_bus_log_error(ngx_log_t *log, u_char *buf, size_t len)
{
    ngx_mqtt_bus_t  *bus;

    bus = log->data;

    return ngx_snprintf(buf, len, ", mqtt bus, gateway: \"%V\"",
                        &bus->worker->gateway->name);
}


void
ngx_mqtt_bus_stop(ngx_mqtt_worker_t *w)
{
    ngx_uint_t          i;
    ngx_queue_t        *q;
    ngx_mqtt_bus_t     *bus;

    bus = w->bus;

    /* what the last turn has queued */

    ngx_mqtt_bus_flush_handler(&bus->flush_event);

    ngx_mqtt_bus_delete_event(&bus->flush_event);
    ngx_mqtt_bus_delete_event(&bus->lost_event);
    ngx_mqtt_bus_delete_event(&bus->local_event);
    ngx_mqtt_bus_delete_event(&bus->retry_event);
    ngx_mqtt_bus_delete_event(&bus->accept_event);

    if (bus->listening) {
        ngx_close_connection(bus->listening);
    }

    if (bus->accepted_fd != (ngx_socket_t) -1) {
        ngx_mqtt_bus_close_socket(bus, bus->accepted_fd);
    }

    for (i = 0; i < NGX_MQTT_ZONE_SLOTS; i++) {

        while (bus->peers[i]) {
            ngx_mqtt_bus_close(bus->peers[i]);
            ngx_mqtt_bus_free(bus->peers[i]);
        }
    }

    while (!ngx_queue_empty(&bus->accepted)) {
        q = ngx_queue_head(&bus->accepted);
        ngx_mqtt_bus_in_close(ngx_queue_data(q, ngx_mqtt_bus_in_t, queue));
    }

    (void) ngx_mqtt_frame_drop(w, &bus->local);

    w->bus = NULL;
}


static void
ngx_mqtt_bus_delete_event(ngx_event_t *ev)
{
    if (ev->posted) {
        ngx_delete_posted_event(ev);
    }

    if (ev->timer_set) {
        ngx_del_timer(ev);
    }
}


void
ngx_mqtt_bus_on_frame(ngx_mqtt_bus_t *bus, ngx_uint_t type,
    ngx_mqtt_bus_frame_pt handler)
{
    bus->on_frame[type] = handler;
}


void
ngx_mqtt_bus_on_lost(ngx_mqtt_bus_t *bus, ngx_mqtt_bus_lost_pt handler)
{
    if (bus->nlost < NGX_MQTT_BUS_LOST) {
        bus->on_lost[bus->nlost++] = handler;
    }
}


void
ngx_mqtt_bus_on_remote(ngx_mqtt_bus_t *bus, ngx_mqtt_bus_remote_pt handler)
{
    bus->on_remote = handler;
}


void
ngx_mqtt_bus_on_drained(ngx_mqtt_bus_t *bus,
    void (*handler)(ngx_mqtt_worker_t *w))
{
    bus->on_drained = handler;
}


ngx_int_t
ngx_mqtt_bus_send(ngx_mqtt_bus_t *bus, ngx_mqtt_peer_t *id, ngx_uint_t type,
    ngx_str_t *parts, ngx_uint_t nparts)
{
    ngx_mqtt_bus_peer_t  *peer;

    if (bus == NULL || id->slot >= NGX_MQTT_ZONE_SLOTS) {
        return NGX_DECLINED;
    }

    if (id->node) {
        return bus->on_remote ? bus->on_remote(bus->worker, id, type, parts,
                                               nparts)
                              : NGX_DECLINED;
    }

    if (id->generation == bus->worker->generation) {
        return ngx_mqtt_bus_send_local(bus, type, parts, nparts);
    }

    peer = ngx_mqtt_bus_find(bus, id);

    if (peer == NULL) {

        if (id->generation <= bus->gone[id->slot]
            || !ngx_mqtt_bus_alive(bus, id))
        {
            return NGX_DECLINED;
        }

        peer = ngx_mqtt_bus_add(bus, id);
        if (peer == NULL) {
            return NGX_ERROR;
        }
    }

    if (peer->lost || peer->broken) {
        return NGX_DECLINED;
    }

    if (peer->frames.size >= 2 * NGX_MQTT_BUS_QUEUE) {
        return NGX_BUSY;
    }

    if (ngx_mqtt_bus_greet(peer) != NGX_OK
        || ngx_mqtt_frame_push(bus->worker, &peer->frames, type, parts,
                               nparts)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* a full socket is flushed by its write event */

    if (!peer->queued && (peer->out == NULL || peer->out->write->ready)) {
        peer->queued = 1;
        ngx_queue_insert_tail(&bus->dirty, &peer->queue);
        ngx_post_event(&bus->flush_event, &ngx_posted_events);
    }

    return NGX_OK;
}


ngx_uint_t
ngx_mqtt_bus_full(ngx_mqtt_bus_t *bus, ngx_mqtt_peer_t *id)
{
    ngx_mqtt_bus_peer_t  *peer;

    peer = ngx_mqtt_bus_find(bus, id);

    if (peer == NULL || peer->lost || peer->broken
        || peer->frames.size < NGX_MQTT_BUS_QUEUE)
    {
        return 0;
    }

    peer->full = 1;

    return 1;
}


ngx_int_t
ngx_mqtt_bus_sent(ngx_mqtt_bus_t *bus, ngx_mqtt_peer_t *id, ngx_mqtt_op_t *op)
{
    ngx_mqtt_bus_peer_t  *peer;

    peer = ngx_mqtt_bus_find(bus, id);

    if (peer == NULL || peer->frames.first == NULL) {
        return NGX_OK;
    }

    ngx_queue_insert_tail(&peer->frames.last->ops, &op->posted);

    return NGX_AGAIN;
}


size_t
ngx_mqtt_bus_backlog(ngx_mqtt_bus_t *bus, ngx_mqtt_peer_t *id)
{
    int                   n;
    ngx_mqtt_bus_peer_t  *peer;

    peer = ngx_mqtt_bus_find(bus, id);

    if (peer == NULL) {
        return 0;
    }

    if (peer->out == NULL || ioctl(peer->out->fd, SIOCOUTQ, &n) == -1) {
        n = 0;
    }

    return peer->frames.size + n;
}


ngx_uint_t
ngx_mqtt_bus_pending(ngx_mqtt_bus_t *bus)
{
    ngx_uint_t            i;
    ngx_mqtt_bus_peer_t  *peer;

    for (i = 0; i < NGX_MQTT_ZONE_SLOTS; i++) {

        for (peer = bus->peers[i]; peer; peer = peer->next) {

            if (peer->frames.size) {
                return 1;
            }
        }
    }

    return 0;
}


void
ngx_mqtt_bus_check_drained(ngx_mqtt_bus_peer_t *peer)
{
    ngx_mqtt_bus_t  *bus;

    bus = peer->bus;

    if (peer->full
        && (peer->lost || peer->broken
            || peer->frames.size <= NGX_MQTT_BUS_QUEUE / 2))
    {
        peer->full = 0;

        if (bus->on_drained) {
            bus->on_drained(bus->worker);
        }
    }
}


static ngx_int_t
ngx_mqtt_bus_send_local(ngx_mqtt_bus_t *bus, ngx_uint_t type,
    ngx_str_t *parts, ngx_uint_t nparts)
{
    if (bus->local.size >= NGX_MQTT_BUS_QUEUE) {
        return NGX_BUSY;
    }

    if (ngx_mqtt_frame_push(bus->worker, &bus->local, type, parts, nparts)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* frames that answer each other must not keep the worker in one turn */

    ngx_post_event(&bus->local_event,
                   bus->delivering ? &ngx_posted_next_events
                                   : &ngx_posted_events);

    return NGX_OK;
}


static void
ngx_mqtt_bus_local_handler(ngx_event_t *ev)
{
    ngx_mqtt_bus_t          *bus;
    ngx_mqtt_frame_queue_t   frames;

    bus = ngx_mqtt_event_worker(ev)->bus;

    frames = bus->local;
    ngx_memzero(&bus->local, sizeof(ngx_mqtt_frame_queue_t));

    bus->delivering = 1;

    ngx_mqtt_frame_deliver(bus->worker, &frames, ngx_mqtt_bus_local_frame,
                           bus);

    bus->delivering = 0;
}


static ngx_int_t
ngx_mqtt_bus_local_frame(void *data, ngx_uint_t type, ngx_str_t *body)
{
    ngx_mqtt_bus_t *bus = data;

    ngx_mqtt_peer_t  id;

    id.slot = bus->worker->slot_index;
    id.generation = bus->worker->generation;
    id.node = 0;

    ngx_mqtt_bus_frame(bus, &id, type, body);

    return NGX_OK;
}


void
ngx_mqtt_bus_frame(ngx_mqtt_bus_t *bus, ngx_mqtt_peer_t *from,
    ngx_uint_t type, ngx_str_t *body)
{
    ngx_uint_t  level;

    if (type >= NGX_MQTT_FRAME_TYPES || bus->on_frame[type] == NULL) {

        /* another node may run another version */

        level = from->node ? NGX_LOG_ERR : NGX_LOG_ALERT;

        ngx_log_error(level, &bus->log, 0,
                      "unknown mqtt bus frame of type %ui", type);
        return;
    }

    bus->on_frame[type](bus->worker, from, body);
}


ngx_mqtt_bus_peer_t *
ngx_mqtt_bus_find(ngx_mqtt_bus_t *bus, ngx_mqtt_peer_t *id)
{
    ngx_mqtt_bus_peer_t  *peer;

    for (peer = bus->peers[id->slot]; peer; peer = peer->next) {

        if (peer->id.generation == id->generation) {
            break;
        }
    }

    return peer;
}


ngx_mqtt_bus_peer_t *
ngx_mqtt_bus_add(ngx_mqtt_bus_t *bus, ngx_mqtt_peer_t *id)
{
    ngx_mqtt_bus_peer_t  *peer;

    peer = ngx_calloc(sizeof(ngx_mqtt_bus_peer_t), &bus->log);
    if (peer == NULL) {
        return NULL;
    }

    peer->id = *id;
    peer->bus = bus;

    peer->next = bus->peers[id->slot];
    bus->peers[id->slot] = peer;

    return peer;
}


ngx_uint_t
ngx_mqtt_bus_alive(ngx_mqtt_bus_t *bus, ngx_mqtt_peer_t *id)
{
    ngx_mqtt_zone_slot_t  *slot;

    slot = &ngx_mqtt_zone(bus->worker->gateway)->slots[id->slot];

    if (id->generation == 0 || slot->generation != id->generation) {
        return 0;
    }

    return kill(slot->pid, 0) == 0 || ngx_errno != NGX_ESRCH;
}


void
ngx_mqtt_bus_lose(ngx_mqtt_bus_peer_t *peer)
{
    ngx_uint_t       dropped;
    ngx_mqtt_bus_t  *bus;

    bus = peer->bus;

    if (peer->id.generation > bus->gone[peer->id.slot]) {
        bus->gone[peer->id.slot] = peer->id.generation;
    }

    dropped = ngx_mqtt_frame_drop(bus->worker, &peer->frames);

    ngx_mqtt_bus_close(peer);

    if (dropped) {
        ngx_log_error(NGX_LOG_WARN, &bus->log, 0,
                      "worker in slot %uL is gone, %ui frames were dropped",
                      peer->id.slot, dropped);
    }

    peer->lost = 1;
    ngx_mqtt_bus_check_drained(peer);

    ngx_queue_insert_tail(&bus->lost, &peer->queue);
    ngx_post_event(&bus->lost_event, &ngx_posted_events);
}


static void
ngx_mqtt_bus_close(ngx_mqtt_bus_peer_t *peer)
{
    if (peer->queued) {
        peer->queued = 0;
        ngx_queue_remove(&peer->queue);
    }

    if (peer->out) {
        ngx_close_connection(peer->out);
        peer->out = NULL;
    }

    if (peer->in) {
        ngx_mqtt_bus_in_close(peer->in);
    }

    (void) ngx_mqtt_frame_drop(peer->bus->worker, &peer->frames);
}


static void
ngx_mqtt_bus_lost_handler(ngx_event_t *ev)
{
    ngx_uint_t            i;
    ngx_queue_t          *q;
    ngx_mqtt_bus_t       *bus;
    ngx_mqtt_peer_t       id;
    ngx_mqtt_bus_peer_t  *peer;

    bus = ngx_mqtt_event_worker(ev)->bus;

    while (!ngx_queue_empty(&bus->lost)) {
        q = ngx_queue_head(&bus->lost);
        peer = ngx_queue_data(q, ngx_mqtt_bus_peer_t, queue);

        ngx_queue_remove(q);

        id = peer->id;
        ngx_mqtt_bus_free(peer);

        for (i = 0; i < bus->nlost; i++) {
            bus->on_lost[i](bus->worker, &id);
        }
    }
}


static void
ngx_mqtt_bus_free(ngx_mqtt_bus_peer_t *peer)
{
    ngx_mqtt_bus_peer_t  **pp;

    pp = &peer->bus->peers[peer->id.slot];

    while (*pp != peer) {
        pp = &(*pp)->next;
    }

    *pp = peer->next;

    ngx_free(peer);
}


socklen_t
ngx_mqtt_bus_name(ngx_mqtt_bus_t *bus, struct sockaddr_un *sun,
    uint64_t generation)
{
    u_char              *p, *last;
    ngx_mqtt_gateway_t  *gw;

    gw = bus->worker->gateway;

    ngx_memzero(sun, sizeof(struct sockaddr_un));

    sun->sun_family = AF_UNIX;

    /* a long name of the gateway is cut: the numbers make the difference */

    p = (u_char *) sun->sun_path + 1;
    last = (u_char *) sun->sun_path + sizeof(sun->sun_path) - 1;

    p = ngx_slprintf(p, last, "ngx_mqtt/%016xL/%xL/%V",
                     ngx_mqtt_zone(gw)->node_id, generation, &gw->name);

    return (socklen_t) (p - (u_char *) sun);
}


ngx_int_t
ngx_mqtt_bus_open(ngx_mqtt_bus_t *bus, ngx_connection_t *c,
    ngx_event_handler_pt handler)
{
    c->recv = ngx_recv;
    c->send = ngx_send;
    c->recv_chain = ngx_recv_chain;
    c->send_chain = ngx_send_chain;

    c->log_error = NGX_ERROR_INFO;
    c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);

    c->read->handler = handler;
    c->read->log = &bus->log;
    c->read->channel = 1;

    c->write->handler = handler;
    c->write->log = &bus->log;
    c->write->ready = 1;

    return ngx_add_conn ? ngx_add_conn(c) : ngx_handle_read_event(c->read, 0);
}


/* any local process may know the name: only our own workers are served */

ngx_uint_t
ngx_mqtt_bus_trusted(ngx_mqtt_bus_t *bus, ngx_socket_t fd)
{
    socklen_t     len;
    struct ucred  cred;

    len = sizeof(struct ucred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == -1) {
        ngx_log_error(NGX_LOG_ALERT, &bus->log, ngx_socket_errno,
                      "getsockopt(SO_PEERCRED) failed");
        return 0;
    }

    if (cred.uid == geteuid() || cred.uid == 0) {
        return 1;
    }

    ngx_log_error(NGX_LOG_WARN, &bus->log, 0,
                  "process %P of user %ui is not a worker of ours",
                  cred.pid, (ngx_uint_t) cred.uid);

    return 0;
}


void
ngx_mqtt_bus_close_socket(ngx_mqtt_bus_t *bus, ngx_socket_t fd)
{
    if (ngx_close_socket(fd) == -1) {
        ngx_log_error(NGX_LOG_ALERT, &bus->log, ngx_socket_errno,
                      ngx_close_socket_n " failed");
    }
}
