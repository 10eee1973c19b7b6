
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The bus: frames between the workers of one node over UNIX stream sockets,
 * and through somebody else's hands to workers of other nodes.
 *
 * (1) A peer is a slot and a generation of the worker table (P28); frames for
 *     a generation that is gone are never delivered to its successor.
 * (2) Frames to one peer arrive in order.  All frames of one loop turn leave
 *     in one write.
 * (3) End of file means that the worker died or ended: each on_lost runs once
 *     per peer that was ever connected either way or sent to, from the event
 *     loop, after the last frame that came from it.
 */


#ifndef _NGX_MQTT_BUS_H_INCLUDED_
#define _NGX_MQTT_BUS_H_INCLUDED_


#include "ngx_mqtt.h"
#include "ngx_mqtt_msg.h"


/* frame types; the rooms above give them their meaning */

#define NGX_MQTT_FRAME_TAKEOVER        1    /* session/: close this client */
#define NGX_MQTT_FRAME_TAKEN           2    /* session/: it is closed */
#define NGX_MQTT_FRAME_PUBLISH         3    /* route/: a message */
#define NGX_MQTT_FRAME_SHARE           4    /* route/: one for a member */
#define NGX_MQTT_FRAME_SHARE_DONE      5    /* route/: its end */
#define NGX_MQTT_FRAME_SHARE_REST      6    /* route/: for unknown groups */
#define NGX_MQTT_FRAME_GROUP           7    /* route/: from another node, for
                                               a member */
#define NGX_MQTT_FRAME_NODES           8    /* route/: an index has changed */
#define NGX_MQTT_FRAME_P2P             10   /* gateway/: for one client */
#define NGX_MQTT_FRAME_P2P_DONE        11   /* gateway/: it has it, or not */
#define NGX_MQTT_FRAME_REVOKED         12   /* auth/: a token */
#define NGX_MQTT_FRAME_GROUP_MORE      13   /* route/: a log has some */

#define NGX_MQTT_FRAME_TYPES           16

#define NGX_MQTT_BUS_LOST              4
#define NGX_MQTT_FRAME_MAX             (64 * 1024 * 1024)
#define NGX_MQTT_BUS_QUEUE             (16 * 1024 * 1024)


/* a worker; its bytes may be a key */

typedef struct {
    uint64_t             slot;
    uint64_t             generation;
    uint64_t             node;             /* 0: this node */
} ngx_mqtt_peer_t;

/* its name in Redis: "<node, 16 hex digits>:<slot>:<generation>" */

#define NGX_MQTT_PEER_NAME                                                    \
    (16 + 1 + NGX_INT64_LEN + 1 + NGX_INT64_LEN)


/*
 * A frame that came in: "body" is contiguous and valid only inside the call.
 */

typedef void (*ngx_mqtt_bus_frame_pt)(ngx_mqtt_worker_t *w,
    ngx_mqtt_peer_t *from, ngx_str_t *body);
typedef void (*ngx_mqtt_bus_lost_pt)(ngx_mqtt_worker_t *w,
    ngx_mqtt_peer_t *peer);

/* takes frames for workers of other nodes; returns what send() does */

typedef ngx_int_t (*ngx_mqtt_bus_remote_pt)(ngx_mqtt_worker_t *w,
    ngx_mqtt_peer_t *peer, ngx_uint_t type, ngx_str_t *parts,
    ngx_uint_t nparts);


/* worker life; start() listens, peers are connected when first needed */
ngx_int_t ngx_mqtt_bus_start(ngx_mqtt_worker_t *w);
void ngx_mqtt_bus_stop(ngx_mqtt_worker_t *w);

void ngx_mqtt_bus_on_frame(ngx_mqtt_bus_t *bus, ngx_uint_t type,
    ngx_mqtt_bus_frame_pt handler);

/* as many as NGX_MQTT_BUS_LOST handlers, in their order */
void ngx_mqtt_bus_on_lost(ngx_mqtt_bus_t *bus,
    ngx_mqtt_bus_lost_pt handler);

void ngx_mqtt_bus_on_remote(ngx_mqtt_bus_t *bus,
    ngx_mqtt_bus_remote_pt handler);

/* called when a peer that was found full has room again */
void ngx_mqtt_bus_on_drained(ngx_mqtt_bus_t *bus,
    void (*handler)(ngx_mqtt_worker_t *w));

/*
 * Queues one frame made of the concatenated parts, to another worker or to
 * this one.  NGX_DECLINED: no such worker; NGX_BUSY: far more than
 * NGX_MQTT_BUS_QUEUE bytes wait for it already, nothing was queued;
 * NGX_ERROR: out of memory, or the parts are longer than NGX_MQTT_FRAME_MAX.
 * After NGX_OK the frame is delivered, or on_lost tells that the peer is
 * gone.  Nobody tells of the end of workers of other nodes, and NGX_DECLINED
 * says of one that it seems to be dead: the frame waits for it nevertheless.
 */
ngx_int_t ngx_mqtt_bus_send(ngx_mqtt_bus_t *bus, ngx_mqtt_peer_t *peer,
    ngx_uint_t type, ngx_str_t *parts, ngx_uint_t nparts);

/*
 * 1 when NGX_MQTT_BUS_QUEUE bytes wait for the peer: a sender that can wait
 * should.  Frames that cannot wait may go up to twice that.
 */
ngx_uint_t ngx_mqtt_bus_full(ngx_mqtt_bus_t *bus, ngx_mqtt_peer_t *peer);


/* a frame that came in, from wherever */
void ngx_mqtt_bus_frame(ngx_mqtt_bus_t *bus, ngx_mqtt_peer_t *from,
    ngx_uint_t type, ngx_str_t *body);


/* ngx_mqtt_peer.c: names of workers; NGX_ERROR: it is none */

u_char *ngx_mqtt_peer_name(u_char *p, ngx_mqtt_worker_t *w,
    ngx_mqtt_peer_t *peer);
ngx_int_t ngx_mqtt_peer_parse(ngx_mqtt_worker_t *w, ngx_str_t *name,
    ngx_mqtt_peer_t *peer);


/*
 * NGX_AGAIN: the op is taken and completes when all frames that are queued for
 * the peer by now are in the hands of the kernel, from where they arrive even
 * if this process is killed, or when the peer is gone.  NGX_OK: they are.
 */
ngx_int_t ngx_mqtt_bus_sent(ngx_mqtt_bus_t *bus, ngx_mqtt_peer_t *peer,
    ngx_mqtt_op_t *op);

/* bytes for the peer that it has not read yet, those in the kernel included */
size_t ngx_mqtt_bus_backlog(ngx_mqtt_bus_t *bus, ngx_mqtt_peer_t *peer);

/* 1 while a frame waits to be sent */
ngx_uint_t ngx_mqtt_bus_pending(ngx_mqtt_bus_t *bus);


/*
 * Frame bodies (ngx_mqtt_frame.c): fields written one after another, integers
 * in network order, strings with a 32-bit length.  Readers return the new
 * cursor or NULL when the body is too short.
 */

u_char *ngx_mqtt_frame_write_u32(u_char *p, uint32_t value);
u_char *ngx_mqtt_frame_read_u32(u_char *p, u_char *end, uint32_t *value);
u_char *ngx_mqtt_frame_write_u64(u_char *p, uint64_t value);
u_char *ngx_mqtt_frame_read_u64(u_char *p, u_char *end, uint64_t *value);
u_char *ngx_mqtt_frame_write_str(u_char *p, ngx_str_t *value);
u_char *ngx_mqtt_frame_read_str(u_char *p, u_char *end, ngx_str_t *value);


/*
 * A message as bytes (ngx_mqtt_frame_msg.c): the head alone, for a frame whose
 * other parts are topic, payload, props, origin and real, or the whole.
 * Reading makes a new message; NULL: malformed, or out of memory.
 */

#define NGX_MQTT_FRAME_MSG_HEAD        (4 + 8 + 4 + 4 * 4)

#define NGX_MQTT_FRAME_MSG_PARTS       5

u_char *ngx_mqtt_frame_write_msg_head(u_char *p, ngx_mqtt_msg_t *m);
void ngx_mqtt_frame_msg_parts(ngx_str_t *parts, ngx_mqtt_msg_t *m);
size_t ngx_mqtt_frame_msg_len(ngx_mqtt_msg_t *m);
u_char *ngx_mqtt_frame_write_msg(u_char *p, ngx_mqtt_msg_t *m);
ngx_mqtt_msg_t *ngx_mqtt_frame_read_msg(ngx_mqtt_worker_t *w,
    ngx_str_t *bytes);


#endif /* _NGX_MQTT_BUS_H_INCLUDED_ */
