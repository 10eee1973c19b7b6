
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * What the files of the bus share.  On the wire a frame is
 * { length of the body, 32 bits; type, 8 bits; body }.
 */


#ifndef _NGX_MQTT_BUS_INT_H_INCLUDED_
#define _NGX_MQTT_BUS_INT_H_INCLUDED_


#include "ngx_mqtt_bus.h"

#include <sys/un.h>


#define NGX_MQTT_FRAME_HELLO           0    /* who sends on this socket */

#define NGX_MQTT_FRAME_HEADER          5

#define NGX_MQTT_BUS_BUFFER            65536
#define NGX_MQTT_BUS_BLOCK             16384

#define NGX_MQTT_BUS_LOST              4    /* rooms that want to know */


/*
 * Frames on their way out.  A block is allocated with its data behind it and
 * holds whole frames only; "chain" is its first member, so that what
 * send_chain() returns is a block again.
 */

typedef struct {
    ngx_chain_t               chain;
    ngx_buf_t                 buf;
    size_t                    size;         /* of the allocation */
    ngx_uint_t                frames;
    ngx_queue_t               ops;          /* wait until it is sent, linked
                                               by op->posted */
} ngx_mqtt_frame_block_t;


typedef struct {
    ngx_chain_t              *first;
    ngx_mqtt_frame_block_t   *last;         /* valid unless first is NULL */
    size_t                    size;         /* bytes not sent */
} ngx_mqtt_frame_queue_t;


/* the incomplete frame of a socket that is read; an idle one owns nothing */

typedef struct {
    u_char                   *block;        /* header and body, or NULL */
    size_t                    size;
    size_t                    last;
    size_t                    head_len;
    u_char                    head[NGX_MQTT_FRAME_HEADER];
} ngx_mqtt_frame_reader_t;


typedef struct ngx_mqtt_bus_peer_s  ngx_mqtt_bus_peer_t;


/* an accepted socket; it has no peer before HELLO */

typedef struct {
    ngx_queue_t                queue;       /* in bus->accepted */
    ngx_connection_t          *connection;
    ngx_mqtt_bus_t            *bus;
    ngx_mqtt_bus_peer_t       *peer;
    ngx_mqtt_frame_reader_t    reader;
} ngx_mqtt_bus_in_t;


struct ngx_mqtt_bus_peer_s {
    ngx_mqtt_peer_t            id;
    ngx_mqtt_bus_t            *bus;
    ngx_mqtt_bus_peer_t       *next;        /* of the same slot */
    ngx_queue_t                queue;       /* in bus->dirty, bus->waiting
                                               or bus->lost */
    ngx_connection_t          *out;
    ngx_mqtt_bus_in_t         *in;
    ngx_mqtt_frame_queue_t     frames;

    ngx_uint_t                 refusals;

    unsigned                   queued:1;    /* in bus->dirty or waiting */
    unsigned                   greeted:1;   /* HELLO is the first frame */
    unsigned                   broken:1;    /* "out" has ended, "in" is read
                                               to its end */
    unsigned                   lost:1;
    unsigned                   full:1;      /* somebody waits for room */
};


struct ngx_mqtt_bus_s {
    ngx_mqtt_worker_t         *worker;
    ngx_log_t                  log;
    u_char                    *buffer;
    ngx_connection_t          *listening;
    ngx_socket_t               accepted_fd; /* no connection for it yet */

    ngx_mqtt_bus_peer_t       *peers[NGX_MQTT_ZONE_SLOTS];
    uint64_t                   gone[NGX_MQTT_ZONE_SLOTS];

    ngx_queue_t                accepted;
    ngx_queue_t                dirty;
    ngx_queue_t                waiting;     /* to connect again */
    ngx_queue_t                lost;
    ngx_mqtt_frame_queue_t     local;       /* to ourselves */

    ngx_event_t                flush_event;
    ngx_event_t                lost_event;
    ngx_event_t                local_event;
    ngx_event_t                retry_event;
    ngx_event_t                accept_event;

    ngx_mqtt_bus_lost_pt       on_lost[NGX_MQTT_BUS_LOST];
    ngx_uint_t                 nlost;
    void                     (*on_drained)(ngx_mqtt_worker_t *w);
    ngx_mqtt_bus_remote_pt     on_remote;
    ngx_mqtt_bus_frame_pt      on_frame[NGX_MQTT_FRAME_TYPES];

    unsigned                   delivering:1;
};


/* ngx_mqtt_bus.c */

ngx_mqtt_bus_peer_t *ngx_mqtt_bus_find(ngx_mqtt_bus_t *bus,
    ngx_mqtt_peer_t *id);
ngx_mqtt_bus_peer_t *ngx_mqtt_bus_add(ngx_mqtt_bus_t *bus,
    ngx_mqtt_peer_t *id);
ngx_uint_t ngx_mqtt_bus_alive(ngx_mqtt_bus_t *bus, ngx_mqtt_peer_t *id);
void ngx_mqtt_bus_lose(ngx_mqtt_bus_peer_t *peer);
void ngx_mqtt_bus_check_drained(ngx_mqtt_bus_peer_t *peer);
socklen_t ngx_mqtt_bus_name(ngx_mqtt_bus_t *bus, struct sockaddr_un *sun,
    uint64_t generation);
ngx_int_t ngx_mqtt_bus_open(ngx_mqtt_bus_t *bus, ngx_connection_t *c,
    ngx_event_handler_pt handler);
ngx_uint_t ngx_mqtt_bus_trusted(ngx_mqtt_bus_t *bus, ngx_socket_t fd);
void ngx_mqtt_bus_close_socket(ngx_mqtt_bus_t *bus, ngx_socket_t fd);


/* ngx_mqtt_bus_in.c */

ngx_int_t ngx_mqtt_bus_listen(ngx_mqtt_bus_t *bus);
void ngx_mqtt_bus_accept_retry(ngx_event_t *ev);
void ngx_mqtt_bus_in_close(ngx_mqtt_bus_in_t *in);


/* ngx_mqtt_bus_out.c */

void ngx_mqtt_bus_flush_handler(ngx_event_t *ev);
void ngx_mqtt_bus_retry_handler(ngx_event_t *ev);
ngx_int_t ngx_mqtt_bus_greet(ngx_mqtt_bus_peer_t *peer);


/* ngx_mqtt_frame.c */

typedef ngx_int_t (*ngx_mqtt_frame_pt)(void *data, ngx_uint_t type,
    ngx_str_t *body);

/* NGX_OK, or NGX_ERROR: out of memory, or larger than NGX_MQTT_FRAME_MAX */
ngx_int_t ngx_mqtt_frame_push(ngx_mqtt_worker_t *w,
    ngx_mqtt_frame_queue_t *fq, ngx_uint_t type, ngx_str_t *parts,
    ngx_uint_t nparts);

/* NGX_OK: all sent; NGX_AGAIN: the socket is full; NGX_ERROR: it is broken */
ngx_int_t ngx_mqtt_frame_send(ngx_mqtt_worker_t *w,
    ngx_mqtt_frame_queue_t *fq, ngx_connection_t *c);

/* hands every queued frame to the handler and frees it */
void ngx_mqtt_frame_deliver(ngx_mqtt_worker_t *w, ngx_mqtt_frame_queue_t *fq,
    ngx_mqtt_frame_pt handler, void *data);

/* returns the number of frames that were not sent completely */
ngx_uint_t ngx_mqtt_frame_drop(ngx_mqtt_worker_t *w,
    ngx_mqtt_frame_queue_t *fq);

/*
 * Reads frames and hands them to the handler.  "buffer" is scratch memory of
 * NGX_MQTT_BUS_BUFFER bytes.  NGX_AGAIN: all is read; NGX_BUSY: enough for
 * this turn; NGX_DONE: end of file; NGX_ERROR: the socket is broken, the
 * handler failed, or no memory for a frame.
 */
ngx_int_t ngx_mqtt_frame_receive(ngx_mqtt_worker_t *w,
    ngx_mqtt_frame_reader_t *fr, ngx_connection_t *c, u_char *buffer,
    ngx_mqtt_frame_pt handler, void *data);

void ngx_mqtt_frame_reader_free(ngx_mqtt_worker_t *w,
    ngx_mqtt_frame_reader_t *fr);


#endif /* _NGX_MQTT_BUS_INT_H_INCLUDED_ */
