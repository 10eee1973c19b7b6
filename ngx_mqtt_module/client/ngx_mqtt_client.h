
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * One device connection.
 *
 * (1) c->read->handler and c->write->handler are set once; what they do
 *     depends on mc->state.
 * (2) Only the close event frees a client; everybody else marks it with
 *     ngx_mqtt_client_close() and tests mc->closing first.
 * (3) Output is queued and flushed once per turn of the event loop.
 * (4) An idle client owns no buffer: what was read and not parsed yet is in
 *     mc->in only while there is such a rest.
 * (5) A session of a client in w->clients is claimed under mc->epoch and
 *     released once, in ngx_mqtt_client_leave(), unless somebody else has
 *     taken it over or the worker exits.
 */


#ifndef _NGX_MQTT_CLIENT_H_INCLUDED_
#define _NGX_MQTT_CLIENT_H_INCLUDED_


#include "ngx_mqtt.h"
#include "ngx_mqtt_msg.h"
#include "ngx_mqtt_gateway.h"
#include "ngx_mqtt_route.h"
#include "ngx_mqtt_ws.h"


/* directives of a listener */

typedef struct {
    ngx_mqtt_gateway_t   *gateway;

    ngx_msec_t            connect_timeout;
    ngx_msec_t            send_timeout;
    size_t                max_packet_size;
    ngx_int_t             receive_maximum;      /* 1 .. 65535 */
    ngx_int_t             topic_alias_maximum;
    ngx_int_t             max_inflight;         /* of 3.1 and 3.1.1 */
    ngx_int_t             max_subscriptions;
    ngx_int_t             send_window;          /* QoS 1 and 2 to a client */
    ngx_int_t             max_queued;           /* messages behind that */
    size_t                max_queued_size;      /* bytes of them */
    size_t                output_buffer;        /* bytes not sent */
    ngx_flag_t            retain;
    ngx_int_t             publish_rate;         /* per second, 0: any */
    size_t                publish_bytes_rate;
    ngx_int_t             max_client_id;        /* bytes */
    ngx_int_t             max_topic_length;     /* bytes */
    ngx_int_t             max_topic_levels;     /* 0: any number */
    time_t                max_keepalive;        /* 0: as the client asks */
    time_t                max_session_expiry;
    ngx_flag_t            websocket;            /* of stream only, as is */
    ngx_str_t             websocket_path;       /* the path */
    ngx_array_t          *websocket_origins;    /* ngx_str_t; NULL: any */
} ngx_mqtt_client_conf_t;


typedef enum {
    NGX_MQTT_CLIENT_WAIT_CONNECT = 0,
    NGX_MQTT_CLIENT_CONNECTING,        /* auth, claim: nothing is parsed */
    NGX_MQTT_CLIENT_CONNECTED,
    NGX_MQTT_CLIENT_LINGERING          /* the last packet is on its way */
} ngx_mqtt_client_state_e;


/* a piece of output, its bytes behind the struct or in a message */

typedef struct ngx_mqtt_out_s  ngx_mqtt_out_t;

struct ngx_mqtt_out_s {
    ngx_mqtt_out_t       *next;
    ngx_mqtt_msg_t       *msg;         /* holds the bytes, or NULL */
    u_char               *data;
    uint32_t              size;        /* room for bytes */
    uint32_t              len;         /* bytes written */
    uint32_t              pos;         /* bytes sent */
};


/*
 * A QoS 1 or 2 message on its way to the client, 4.3.  Where it stands in the
 * logs of a persistent session, the subscription identifiers, and the uid of a
 * message that is in several of these logs, are behind the struct.
 */

typedef struct {
    ngx_queue_t           queue;       /* in window->sent or ->waiting */
    ngx_mqtt_msg_t       *msg;         /* NULL after PUBREC */
    uint64_t              save;        /* that it has to wait for, or 0 */
    uint32_t              nids;
    uint16_t              nrefs;
    uint16_t              size;        /* of refs, as allocated */
    uint16_t              packet_id;   /* 0: not sent yet */
    uint8_t               qos;
    uint8_t               retain;
    uint8_t               dup;
    uint8_t               several;     /* other logs bring it: with uid */
    ngx_mqtt_shared_t    *sd;          /* of a shared subscription: what the
                                          route wants back, or NULL */
    ngx_mqtt_log_ref_t    refs[];
} ngx_mqtt_outbound_t;

#define ngx_mqtt_outbound_len(size, nids, several)                            \
    (sizeof(ngx_mqtt_outbound_t) + (size) * sizeof(ngx_mqtt_log_ref_t)        \
     + (nids) * sizeof(uint32_t) + ((several) ? NGX_MQTT_LOG_UID : 0))
#define ngx_mqtt_outbound_ids(ob)  ((uint32_t *) &(ob)->refs[(ob)->size])
#define ngx_mqtt_outbound_uid(ob)                                             \
    ((u_char *) &ngx_mqtt_outbound_ids(ob)[(ob)->nids])


typedef struct {
    ngx_queue_t           sent;        /* not acknowledged, in order */
    ngx_queue_t           waiting;     /* for room in the window, in order */
    ngx_uint_t            nsent;
    ngx_uint_t            nheld;       /* of them, until they are saved */
    ngx_uint_t            nwaiting;
    size_t                waiting_size;
    ngx_queue_t           behind_queue; /* in w->behind */
    ngx_msec_t            behind_time;  /* since when */
    ngx_msec_t            behind_acked; /* last acknowledgement since then */
    uint16_t              last_id;
    unsigned              behind:1;     /* waited for */
    unsigned              given_up:1;   /* no longer, until it catches up */
} ngx_mqtt_window_t;


/* bytes that were read: an incomplete packet, or what waits for its turn */

typedef struct {
    ngx_mqtt_msg_t       *block;       /* NULL: none */
    size_t                pos;         /* parsed */
    size_t                last;        /* received */
    size_t                packet;      /* length of the one packet that is
                                          received into the block and becomes
                                          its message; 0: kept bytes */
} ngx_mqtt_in_t;


/* packet ids of QoS 2 publishes received and not released yet */

typedef struct {
    uint16_t             *ids;
    uint16_t              n;
    uint16_t              size;
} ngx_mqtt_id_set_t;


/* retained messages on their way to a client, ngx_mqtt_client_retain.c */

typedef struct ngx_mqtt_retained_s  ngx_mqtt_retained_t;


/* permissions, ngx_mqtt_client_auth.c */

typedef struct ngx_mqtt_client_auth_s  ngx_mqtt_client_auth_t;


/* what a client has published lately, ngx_mqtt_client_limit.c */

typedef struct {
    uint64_t              messages;
    uint64_t              bytes;
    ngx_msec_t            last;
    ngx_uint_t            again;       /* the packet was counted already */
} ngx_mqtt_client_rate_t;


/* what outlives the connection, ngx_mqtt_client_session.h */

typedef struct ngx_mqtt_client_session_s  ngx_mqtt_client_session_t;


/* what only few clients need */

typedef struct {
    ngx_str_t            *aliases;     /* inbound, [topic_alias_maximum] */
    ngx_str_t            *aliases_out; /* the topics that have one */
    ngx_uint_t            naliases_out;
    ngx_mqtt_id_set_t     received;    /* QoS 2, 4.3.3 */
    ngx_mqtt_window_t     window;      /* outbound */
    ngx_mqtt_retained_t  *retained;    /* NULL: no look-up under way */
    ngx_mqtt_client_rate_t  rate;      /* of mqtt_publish_rate */
} ngx_mqtt_client_extra_t;


/* a client of WebSocket, ngx_mqtt_client_ws.c */

typedef struct {
    ngx_mqtt_ws_reader_t  reader;
    ngx_mqtt_out_t       *frame;       /* has room for a head in front; NULL:
                                          a new frame is to be started */
    uint16_t              code;        /* for our Close frame */
    unsigned              open:1;      /* the handshake is done */
    unsigned              received:1;  /* a Close frame, or an error */
    unsigned              failed:1;    /* it was an error */
    unsigned              closed:1;    /* our Close frame is queued */
} ngx_mqtt_client_ws_t;


struct ngx_mqtt_client_s {
    ngx_mqtt_hash_node_t      node;          /* key: client id */
    ngx_queue_t               queue;         /* in w->connections */
    ngx_queue_t               dirty_queue;   /* in w->dirty */
    ngx_queue_t               closing_queue; /* in w->closing */
    ngx_queue_t               paused_queue;  /* in w->paused */

    ngx_mqtt_worker_t        *worker;
    ngx_mqtt_client_conf_t   *conf;
    ngx_connection_t         *connection;
    void                    (*finalize)(ngx_mqtt_client_t *mc);

    ngx_queue_t               ops;
    ngx_mqtt_acks_t           acks;
    ngx_mqtt_subscriber_t     subscriber;

    ngx_mqtt_out_t           *out;
    ngx_mqtt_out_t           *out_last;
    size_t                    out_size;      /* bytes not sent */

    ngx_mqtt_in_t             in;
    ngx_mqtt_client_extra_t  *extra;
    ngx_mqtt_client_auth_t   *auth;          /* NULL: nothing of its own */
    ngx_mqtt_client_session_t  *session;     /* NULL: it is clean */
    ngx_mqtt_msg_t           *will;          /* NULL: none */
    ngx_mqtt_client_ws_t     *ws;            /* NULL: no WebSocket */

    ngx_str_t                 username;      /* behind the client id */
    uint64_t                  epoch;
    uint64_t                  taken_epoch;   /* claimed by somebody else */
    ngx_msec_t                last_read;     /* of a packet */
    uint64_t                  bytes_in;

    uint32_t                  session_expiry;
    uint32_t                  will_delay;    /* seconds */
    uint32_t                  max_packet_out;
    uint32_t                  messages_in;
    uint32_t                  messages_out;

    uint16_t                  keep_alive;    /* seconds */
    uint16_t                  receive_maximum;   /* the client's */
    uint16_t                  aliases_out;   /* the client's maximum */
    uint8_t                   version;
    uint8_t                   reason;        /* of the end */
    uint8_t                   head_len;
    u_char                    head[NGX_MQTT_MAX_FIXED_HEADER];

    unsigned                  state:3;
    unsigned                  clean_start:1;
    unsigned                  keepalive_capped:1;
    unsigned                  expiry_capped:1;
    unsigned                  assigned_id:1;
    unsigned                  hashed:1;      /* in w->clients */
    unsigned                  claiming:1;    /* in w->claiming */
    unsigned                  claimed:1;     /* mc->epoch is ours */
    unsigned                  lasting:1;     /* more than the claim in Redis */
    unsigned                  present:1;     /* the session was */
    unsigned                  dirty:1;
    unsigned                  closing:1;
    unsigned                  paused:1;
    unsigned                  draining:1;
    unsigned                  no_problem:1;  /* Request Problem Info 0 */
    unsigned                  disconnected:1;    /* the client said so */
    unsigned                  gone:1;        /* it has ended, nothing new is
                                                sent */
    unsigned                  lingering:1;   /* our side is shut down */
    unsigned                  counted:1;
    unsigned                  announced:1;   /* its "connect" was told */
    unsigned                  taken:1;       /* its end is to be told, though
                                                its session is not ours */
    unsigned                  flow_blocked:1;    /* 3.1.1 over max_inflight */
    unsigned                  any_user:1;    /* the user name is not proven */
    unsigned                  subscribing:1;     /* Redis has to know first */
    unsigned                  pushed:1;      /* P2P, while it was claiming */
};


extern ngx_mqtt_hooks_t  ngx_mqtt_client_hooks;


/* ngx_mqtt_client.c */

/*
 * Takes over a connection that nginx has accepted.  finalize() is called once
 * at the end and closes the connection; the client is freed behind it.
 * Bytes that were read ahead are handed over with ngx_mqtt_client_preread().
 * NULL when out of memory.
 */
ngx_mqtt_client_t *ngx_mqtt_client_create(ngx_connection_t *c,
    ngx_mqtt_client_conf_t *conf, void (*finalize)(ngx_mqtt_client_t *mc));
void ngx_mqtt_client_start(ngx_mqtt_client_t *mc, ngx_event_handler_pt handler,
    ngx_buf_t *preread);

/* the body of c->read->handler and c->write->handler */
void ngx_mqtt_client_event(ngx_mqtt_client_t *mc, ngx_event_t *ev);

/*
 * Starts the deferred close.  With a reason of 0x80 or above an MQTT 5 client
 * gets a DISCONNECT; returns NGX_ERROR always, for "return ..._close()".
 */
ngx_int_t ngx_mqtt_client_close(ngx_mqtt_client_t *mc, ngx_uint_t reason);

/*
 * The same with one INFO line, and counted as a protocol error.  The line is
 * also the reason string: it must not contain what a client has sent.
 */
ngx_int_t ngx_mqtt_client_error(ngx_mqtt_client_t *mc, ngx_uint_t reason,
    const char *fmt, ...);

/* the connection is of no use anymore: nothing is sent, nothing lingers */
void ngx_mqtt_client_abort(ngx_mqtt_client_t *mc, ngx_uint_t reason);

/* CONNACK went out: the client is one */
void ngx_mqtt_client_connected(ngx_mqtt_client_t *mc);

void ngx_mqtt_client_pause(ngx_mqtt_client_t *mc);

ngx_mqtt_client_extra_t *ngx_mqtt_client_get_extra(ngx_mqtt_client_t *mc);

#define ngx_mqtt_client_is(mc, v)  ((mc)->version == (v))

/* 0: a publish that Kafka refuses for good is acknowledged all the same */

#define ngx_mqtt_client_refuses(mc)                                           \
    ((mc)->version == NGX_MQTT_V5                                             \
     || (mc)->worker->gateway->refused_publish == NGX_MQTT_REFUSED_CLOSE)

#define ngx_mqtt_client_out_full(mc)                                          \
    ((mc)->out_size > (mc)->conf->output_buffer)


/* ngx_mqtt_client_read.c */

void ngx_mqtt_client_read(ngx_mqtt_client_t *mc);
void ngx_mqtt_client_resume(ngx_mqtt_client_t *mc);
ngx_int_t ngx_mqtt_client_keep(ngx_mqtt_client_t *mc, u_char *p, size_t len);


/* ngx_mqtt_client_reason.c */

/*
 * Adds "text" (NULL: none) to the properties of a packet that is "len" bytes
 * long without it, if the client wants it and has room for it.  The text has
 * to live until the packet is written.
 */
void ngx_mqtt_client_reason_string(ngx_mqtt_client_t *mc,
    ngx_mqtt_props_t *props, size_t len, ngx_str_t *text);

/* ngx_mqtt_client_send_ack() with a reason string; also for DISCONNECT */
void ngx_mqtt_client_send_reason(ngx_mqtt_client_t *mc, ngx_uint_t type,
    uint16_t packet_id, ngx_uint_t code, ngx_str_t *text);


/* ngx_mqtt_client_write.c */

/*
 * Room for a packet of len bytes at the end of the output, to be filled before
 * the next call; the client is flushed at the end of the turn.  NULL: out of
 * memory, or more than the client allows, and it is closing.
 */
u_char *ngx_mqtt_client_room(ngx_mqtt_client_t *mc, size_t len);

/* the same for bytes that are not MQTT: never part of a WebSocket frame */
u_char *ngx_mqtt_client_raw(ngx_mqtt_client_t *mc, size_t len);

/* the payload of m behind it, not copied */
ngx_int_t ngx_mqtt_client_append(ngx_mqtt_client_t *mc, ngx_mqtt_msg_t *m);

void ngx_mqtt_client_flush_handler(ngx_event_t *ev);
ngx_int_t ngx_mqtt_client_flush(ngx_mqtt_client_t *mc);
void ngx_mqtt_client_discard_out(ngx_mqtt_client_t *mc);

/* PUBACK ... PUBCOMP, DISCONNECT: one packet with a reason code */
void ngx_mqtt_client_send_ack(ngx_mqtt_client_t *mc, ngx_uint_t type,
    uint16_t packet_id, ngx_uint_t code);


/* ngx_mqtt_client_ws.c; but for the first three only where mc->ws is there */

#define NGX_MQTT_CLIENT_WS_ACCEPT_LEN  ngx_base64_encoded_length(20)

/* the value of Sec-WebSocket-Accept */
void ngx_mqtt_client_ws_accept_key(u_char *dst, ngx_str_t *key);

ngx_uint_t ngx_mqtt_client_ws_origin_allowed(ngx_mqtt_client_conf_t *conf,
    ngx_mqtt_ws_request_t *req);

/* the handshake is done, frames follow; NGX_ERROR: out of memory */
ngx_int_t ngx_mqtt_client_ws_open(ngx_mqtt_client_t *mc);

/*
 * The first bytes are those of HTTP; more of them are in mc->in.  NGX_OK, or
 * NGX_ERROR: closing.
 */
ngx_int_t ngx_mqtt_client_ws_detected(ngx_mqtt_client_t *mc, u_char *p,
    u_char *end);
ngx_int_t ngx_mqtt_client_ws_request(ngx_mqtt_client_t *mc);

/* turns what was received into MQTT: its length, or NGX_ERROR: closing */
ngx_int_t ngx_mqtt_client_ws_unwrap(ngx_mqtt_client_t *mc, u_char *p,
    size_t len);

/* mc->ws->received: everything in front of it is handled */
void ngx_mqtt_client_ws_end(ngx_mqtt_client_t *mc);

/* what is queued is a frame from now on */
void ngx_mqtt_client_ws_seal(ngx_mqtt_client_t *mc);

/* our Close frame, if there was none yet; the reason is one of MQTT */
void ngx_mqtt_client_ws_close(ngx_mqtt_client_t *mc, ngx_uint_t reason);

void ngx_mqtt_client_ws_free(ngx_mqtt_client_t *mc);

#define ngx_mqtt_client_ws_is_handshake(mc)                                   \
    ((mc)->ws && !(mc)->ws->open)


/* ngx_mqtt_client_info.c */

/* $mqtt_*: strings first */

typedef enum {
    NGX_MQTT_VAR_CLIENT_ID = 0,
    NGX_MQTT_VAR_USERNAME,
    NGX_MQTT_VAR_PROTOCOL,
    NGX_MQTT_VAR_SESSION,
    NGX_MQTT_VAR_KEEPALIVE,
    NGX_MQTT_VAR_MESSAGES_IN,
    NGX_MQTT_VAR_MESSAGES_OUT,
    NGX_MQTT_VAR_BYTES_IN,
    NGX_MQTT_VAR_BYTES_OUT,
    NGX_MQTT_VAR_REASON
} ngx_mqtt_variable_e;

/* mc is NULL where there is no client (yet) */
ngx_int_t ngx_mqtt_client_variable(ngx_mqtt_client_t *mc,
    ngx_variable_value_t *v, ngx_uint_t which);

/* appends gateway and client id; returns the end of it */
u_char *ngx_mqtt_client_log_error(ngx_mqtt_client_t *mc, u_char *buf,
    size_t len);


/* the handlers of packets: NGX_OK, NGX_BUSY (paused, the packet comes
   again) or NGX_ERROR (closing) */

ngx_int_t ngx_mqtt_handle_connect(ngx_mqtt_client_t *mc,
    ngx_mqtt_fixed_t *fx, u_char *p);
ngx_int_t ngx_mqtt_handle_publish(ngx_mqtt_client_t *mc,
    ngx_mqtt_fixed_t *fx, u_char *p);
ngx_int_t ngx_mqtt_handle_ack(ngx_mqtt_client_t *mc, ngx_mqtt_fixed_t *fx,
    u_char *p);
ngx_int_t ngx_mqtt_handle_subscribe(ngx_mqtt_client_t *mc,
    ngx_mqtt_fixed_t *fx, u_char *p);
ngx_int_t ngx_mqtt_handle_pingreq(ngx_mqtt_client_t *mc,
    ngx_mqtt_fixed_t *fx, u_char *p);
ngx_int_t ngx_mqtt_handle_disconnect(ngx_mqtt_client_t *mc,
    ngx_mqtt_fixed_t *fx, u_char *p);
ngx_int_t ngx_mqtt_handle_auth(ngx_mqtt_client_t *mc, ngx_mqtt_fixed_t *fx,
    u_char *p);

/* Redis knows the subscriptions: CONNACK of a resumed session */
void ngx_mqtt_connect_restored(ngx_mqtt_client_t *mc, ngx_int_t rc);

/* refuses a CONNECT: CONNACK in the shape of the version, then close */
ngx_int_t ngx_mqtt_connect_refuse(ngx_mqtt_client_t *mc, ngx_uint_t version,
    ngx_uint_t reason);

/* PUBACK or PUBREC of a settled publish: acks->send */
void ngx_mqtt_publish_ack(void *data, ngx_uint_t qos, uint16_t packet_id,
    ngx_uint_t reason);

/* acks->guard of a persistent session */
ngx_int_t ngx_mqtt_publish_guard(void *data, ngx_mqtt_ack_slot_t *slot,
    ngx_uint_t reason);

/* SUBACK or UNSUBACK; changes the codes */
ngx_int_t ngx_mqtt_subscribe_answer(ngx_mqtt_client_t *mc, ngx_uint_t type,
    ngx_mqtt_suback_t *ack);


/* ngx_mqtt_client_pull.c: hooks->recheck */
void ngx_mqtt_client_session_recheck(ngx_mqtt_subscriber_t *subscriber);


/* ngx_mqtt_client_deliver.c */

/* hooks->deliver */
void ngx_mqtt_client_deliver(ngx_mqtt_subscriber_t *subscriber,
    ngx_mqtt_msg_t *m, ngx_mqtt_copy_t *copy);

#define ngx_mqtt_subscriber_client(s)                                         \
    ((ngx_mqtt_client_t *) ((u_char *) (s)                                    \
                            - offsetof(ngx_mqtt_client_t, subscriber)))

/*
 * hooks->p2p, ngx_mqtt_client_inbox.c: NGX_OK when the message was sent or
 * waits in the window or in the inbox
 */
ngx_int_t ngx_mqtt_client_p2p(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_mqtt_msg_t *m, uint64_t *number);

/* PUBACK, PUBREC, PUBCOMP of such a message */
ngx_int_t ngx_mqtt_client_acked(ngx_mqtt_client_t *mc, ngx_uint_t type,
    uint16_t packet_id, ngx_uint_t code);

/* an acknowledgement, a written save or an empty output made room */
void ngx_mqtt_client_made_room(ngx_mqtt_client_t *mc);

/* 1 when a message would be sent at once, and QoS 0 not be dropped */
ngx_uint_t ngx_mqtt_client_has_room(ngx_mqtt_client_t *mc, ngx_uint_t qos);

/* room in the window for so many */
ngx_uint_t ngx_mqtt_window_room(ngx_mqtt_client_t *mc);

/* with a packet id that is in use already, or 0; NULL: out of memory */
ngx_mqtt_outbound_t *ngx_mqtt_outbound_create(ngx_mqtt_client_t *mc,
    ngx_mqtt_msg_t *m, ngx_mqtt_copy_t *copy, uint16_t packet_id);

/* of a session that is resumed: behind what was sent, or waits */
void ngx_mqtt_window_restore(ngx_mqtt_client_t *mc, ngx_mqtt_outbound_t *ob);

/* what was held until session->saved goes out, and what has room behind it */
void ngx_mqtt_window_release(ngx_mqtt_client_t *mc);

/* the connection is resumed: PUBREL and PUBLISH again, 4.4 */
void ngx_mqtt_window_resend(ngx_mqtt_client_t *mc);

void ngx_mqtt_client_discard_window(ngx_mqtt_client_t *mc);

/* the pieces of it: QoS 0; QoS 1 and 2, for which the client has room */
void ngx_mqtt_deliver_qos0(ngx_mqtt_client_t *mc, ngx_mqtt_msg_t *m,
    ngx_mqtt_copy_t *copy);
void ngx_mqtt_window_push(ngx_mqtt_client_t *mc, ngx_mqtt_outbound_t *ob);
void ngx_mqtt_outbound_free(ngx_mqtt_client_t *mc, ngx_mqtt_outbound_t *ob);


/* ngx_mqtt_client_share.c */

/* hooks->room, hooks->window, hooks->deliver_shared */
ngx_uint_t ngx_mqtt_client_share_room(ngx_mqtt_subscriber_t *subscriber,
    ngx_uint_t qos);
ngx_uint_t ngx_mqtt_client_share_window(ngx_mqtt_subscriber_t *subscriber);
void ngx_mqtt_client_deliver_shared(ngx_mqtt_subscriber_t *subscriber,
    ngx_mqtt_msg_t *m, ngx_mqtt_copy_t *copy, ngx_mqtt_shared_t *sd);

/* only while mc->subscriber.stalled: there may be room again */
void ngx_mqtt_client_share_ready(ngx_mqtt_client_t *mc);

/* "ob", which is shared, needs no other member anymore; if it does, "ob" may
   be any */
void ngx_mqtt_client_share_done(ngx_mqtt_outbound_t *ob);
void ngx_mqtt_client_share_again(ngx_mqtt_outbound_t *ob);

/* of a persistent session, before it is saved for the last time */
void ngx_mqtt_client_share_keep(ngx_mqtt_client_t *mc);

/* the client is no member anymore: of any group, of this one */
void ngx_mqtt_client_share_leave(ngx_mqtt_client_t *mc);
void ngx_mqtt_client_share_unsubscribed(ngx_mqtt_client_t *mc,
    ngx_str_t *filter, ngx_str_t *share);


/* ngx_mqtt_client_will.c */

/* NGX_ERROR: the client was refused; store() follows the client id */
ngx_int_t ngx_mqtt_client_will_check(ngx_mqtt_client_t *mc,
    ngx_mqtt_connect_t *pkt);
ngx_int_t ngx_mqtt_client_will_store(ngx_mqtt_client_t *mc,
    ngx_mqtt_connect_t *pkt);

/* the session, with what becomes of the will */
void ngx_mqtt_client_release(ngx_mqtt_client_t *mc);

/* somebody else has the session, or nobody */
void ngx_mqtt_client_lose(ngx_mqtt_client_t *mc);

void ngx_mqtt_client_fence(ngx_mqtt_worker_t *w);


/* ngx_mqtt_client_status.c: tells the back end */

/*
 * What is told of the connection if this worker cannot any more; freed by the
 * caller, connection->len bytes, which may be none.
 */
ngx_int_t ngx_mqtt_client_describe(ngx_mqtt_client_t *mc,
    ngx_str_t *connection);

void ngx_mqtt_client_announce(ngx_mqtt_client_t *mc);

/* in front of ngx_mqtt_client_release() */
void ngx_mqtt_client_announce_end(ngx_mqtt_client_t *mc);


/* ngx_mqtt_client_behind.c: the window has more, or fewer, that wait */

void ngx_mqtt_client_behind(ngx_mqtt_client_t *mc);
void ngx_mqtt_client_behind_end(ngx_mqtt_client_t *mc);

/* hooks->behind */
void ngx_mqtt_client_behind_handler(ngx_event_t *ev);


/* ngx_mqtt_client_retain.c */

/* the retained messages that a new subscription asks for; SUBSCRIBE options */
ngx_int_t ngx_mqtt_client_retained_start(ngx_mqtt_client_t *mc,
    ngx_str_t *filter, ngx_uint_t options, uint32_t id);
void ngx_mqtt_client_retained_cancel(ngx_mqtt_client_t *mc,
    ngx_str_t *filter);

/* the two below only while mc->extra->retained is there: go on, if there is
   room now; m is delivered live */
void ngx_mqtt_client_retained_run(ngx_mqtt_client_t *mc);
void ngx_mqtt_client_retained_live(ngx_mqtt_client_t *mc, ngx_mqtt_msg_t *m);

#define ngx_mqtt_client_has_retained(mc)                                      \
    ((mc)->extra && (mc)->extra->retained && !(mc)->closing)

void ngx_mqtt_client_retained_discard(ngx_mqtt_client_t *mc);


/* ngx_mqtt_client_encode.c */

/*
 * One PUBLISH into the output.  NGX_DECLINED: the client does not take a
 * packet of this size (3.1.2.11.4), or the message has expired; NGX_ERROR:
 * closing.
 */
ngx_int_t ngx_mqtt_client_send_publish(ngx_mqtt_client_t *mc,
    ngx_mqtt_msg_t *m, ngx_uint_t flags, uint16_t packet_id, uint32_t *ids,
    ngx_uint_t nids);

/* flags of the fixed header, 3.3.1 */
#define ngx_mqtt_publish_flags(dup, qos, retain)                              \
    ((dup) << 3 | (qos) << 1 | (retain))


/* ngx_mqtt_window.c: sets of packet ids */

ngx_uint_t ngx_mqtt_id_set_has(ngx_mqtt_id_set_t *set, uint16_t id);
ngx_int_t ngx_mqtt_id_set_add(ngx_mqtt_worker_t *w, ngx_mqtt_id_set_t *set,
    uint16_t id);
ngx_int_t ngx_mqtt_id_set_remove(ngx_mqtt_worker_t *w,
    ngx_mqtt_id_set_t *set, uint16_t id);
void ngx_mqtt_id_set_free(ngx_mqtt_worker_t *w, ngx_mqtt_id_set_t *set);


#endif /* _NGX_MQTT_CLIENT_H_INCLUDED_ */
