
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * What happens to a message, and the life of a gateway in a worker.
 */


#ifndef _NGX_MQTT_GATEWAY_H_INCLUDED_
#define _NGX_MQTT_GATEWAY_H_INCLUDED_


#include "ngx_mqtt.h"
#include "ngx_mqtt_kafka.h"
#include "ngx_mqtt_map.h"
#include "ngx_mqtt_msg.h"
#include "ngx_mqtt_route.h"


/*
 * ngx_mqtt_gateway.c: start in init_process, stop in exit_process.  The hooks
 * are what the gateway wants of its clients.
 */

ngx_int_t ngx_mqtt_gateway_start(ngx_mqtt_gateway_t *gw, ngx_cycle_t *cycle,
    ngx_mqtt_hooks_t *hooks);
void ngx_mqtt_gateway_stop(ngx_mqtt_gateway_t *gw);


/* ngx_mqtt_drain.c: the end of a worker that quits */

void ngx_mqtt_drain_start(ngx_mqtt_worker_t *w);
void ngx_mqtt_drain_handler(ngx_event_t *ev);


/*
 * ngx_mqtt_ingest.c: the entrance of messages from clients.
 *
 * NGX_OK: every durable step is finished, *reason is SUCCESS or
 * NO_MATCHING_SUBSCRIBERS.  NGX_AGAIN: the op completes later, with NGX_OK or,
 * when refused for good, NGX_DECLINED and the reason.  NGX_DECLINED: refused
 * at once.  NGX_BUSY: nothing was taken, the client has to wait for
 * hooks->resume.  NGX_ERROR: out of memory.  The op is taken with NGX_AGAIN
 * only; a QoS 0 message has none, and is dropped and counted rather than
 * answered with NGX_BUSY.  The message stays the caller's to unref.  "from" is
 * the sender as a subscriber, for No Local.
 */

ngx_int_t ngx_mqtt_ingest(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_subscriber_t *from, ngx_mqtt_op_t *op, ngx_uint_t *reason);


/* what it answers when nothing was taken */
ngx_int_t ngx_mqtt_ingest_busy(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m);

/* the step "Kafka" alone; as ngx_mqtt_kafka_produce(), or NGX_ERROR */
ngx_int_t ngx_mqtt_ingest_kafka(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_map_entry_t *entry, ngx_str_t *sub, ngx_mqtt_op_t *op);


/*
 * ngx_mqtt_deliver.c: the entrance of messages from Kafka.
 *
 * record() reads a record and is what ngx_mqtt_kafka_consume() wants.
 * deliver() takes a message that goes to subscribers or, with a client id, to
 * one client: NGX_OK when every durable step is finished; NGX_AGAIN: the op
 * completes when they are; NGX_BUSY: nothing was done, the message has to come
 * again, after ngx_mqtt_kafka_consume_resume(); NGX_DECLINED: the same, when
 * what is in flight is done, see ngx_mqtt_kafka_deliver_pt, also for "way".
 * The message stays the caller's to unref.
 */

ngx_int_t ngx_mqtt_deliver_start(ngx_mqtt_worker_t *w);
void ngx_mqtt_deliver_stop(ngx_mqtt_worker_t *w);
ngx_int_t ngx_mqtt_deliver_record(ngx_mqtt_worker_t *w,
    ngx_mqtt_kafka_consumed_t *rec, ngx_mqtt_op_t *op);
ngx_int_t ngx_mqtt_deliver(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_str_t *client_id, ngx_uint_t *way, ngx_mqtt_op_t *op);


/*
 * ngx_mqtt_join.c: several steps of one op.
 *
 * step() gives an op for a step that has to wait, NULL when out of memory;
 * it may be completed at any time, or cancelled if nobody has taken it, which
 * may be NULL as well.  end() is called when there are no more
 * steps: NGX_AGAIN: the caller's op was taken and completes when all are done,
 * with the worst of their results; NGX_OK: there was nothing to wait for.
 */

typedef struct ngx_mqtt_join_s  ngx_mqtt_join_t;

ngx_mqtt_join_t *ngx_mqtt_join_create(ngx_mqtt_worker_t *w,
    ngx_mqtt_op_t *op);
ngx_mqtt_op_t *ngx_mqtt_join_step(void *join);
void ngx_mqtt_join_cancel(ngx_mqtt_join_t *join, ngx_mqtt_op_t *step);
ngx_int_t ngx_mqtt_join_end(ngx_mqtt_join_t *join);


/*
 * ngx_mqtt_p2p.c: messages for one client, wherever it is connected.
 *
 * send(): NGX_OK: the client has it; NGX_AGAIN: the op, which may be NULL,
 * completes later, with NGX_OK when the client has it, it is stored, or it is
 * dropped as the client is offline (the reason is NO_MATCHING_SUBSCRIBERS
 * then), or with NGX_DECLINED when Redis refused to store it.  It is called
 * only when ngx_mqtt_p2p_busy() has said 0; w->resume_event is posted when it
 * may be asked again.
 */

ngx_int_t ngx_mqtt_p2p_start(ngx_mqtt_worker_t *w);
void ngx_mqtt_p2p_stop(ngx_mqtt_worker_t *w);
ngx_uint_t ngx_mqtt_p2p_busy(ngx_mqtt_worker_t *w);
ngx_uint_t ngx_mqtt_p2p_pending(ngx_mqtt_worker_t *w);
ngx_int_t ngx_mqtt_p2p_send(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_str_t *client_id, ngx_mqtt_op_t *op, ngx_uint_t *reason);

/* ngx_mqtt_p2p_ingest.c: as ngx_mqtt_ingest(), for a topic that addresses a
   client */
ngx_int_t ngx_mqtt_p2p_ingest(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_map_entry_t *entry, ngx_str_t *sub, ngx_str_t *client_id,
    ngx_mqtt_op_t *op, ngx_uint_t *reason);


/*
 * ngx_mqtt_status*.c: what the back end is told of a client.  "connect" once a
 * client is connected, "disconnect" when it said so, "tcpclean" whenever its
 * connection is gone, also behind "disconnect"; each once, see
 * ngx_mqtt_session_ends_t.
 *
 * status() takes an event: NGX_DECLINED when nobody is told of this client id,
 * NGX_ERROR when it was dropped, which was counted.  "tcpclean" waits until
 * Redis has answered to the release of the session, which therefore follows.
 *
 * connection() writes what of an event stands in the session meanwhile, with
 * len 0 when nobody is told; freed by the caller.
 */

#define NGX_MQTT_STATUS_CONNECT        0
#define NGX_MQTT_STATUS_DISCONNECT     1
#define NGX_MQTT_STATUS_TCPCLEAN       2

#define NGX_MQTT_STATUS_NO_WORKER      0x100

typedef struct {
    ngx_str_t               client_id;
    ngx_str_t               username;
    ngx_str_t               address;        /* "ip:port" */
    ngx_str_t               node;           /* host name */
    uint64_t                epoch;          /* of the session */
    ngx_uint_t              event;
    ngx_uint_t              reason;         /* of the end: MQTT reason code,
                                               or NGX_MQTT_STATUS_NO_WORKER */
} ngx_mqtt_status_event_t;


ngx_int_t ngx_mqtt_status_start(ngx_mqtt_worker_t *w);
void ngx_mqtt_status_stop(ngx_mqtt_worker_t *w);
ngx_int_t ngx_mqtt_status(ngx_mqtt_worker_t *w, ngx_mqtt_status_event_t *ev);
ngx_int_t ngx_mqtt_status_connection(ngx_mqtt_worker_t *w,
    ngx_mqtt_status_event_t *ev, ngx_str_t *connection);
void ngx_mqtt_status_resume(ngx_mqtt_worker_t *w);

/* events that Kafka has not acknowledged */
ngx_uint_t ngx_mqtt_status_pending(ngx_mqtt_worker_t *w);


/*
 * ngx_mqtt_will.c: publishes a will as session/ asks, see
 * ngx_mqtt_session_on_publish().  resume() tries those again that had to wait;
 * stop() gives them up.
 */

void ngx_mqtt_will_publish(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_op_t *op);
void ngx_mqtt_will_resume(ngx_mqtt_worker_t *w);
void ngx_mqtt_will_stop(ngx_mqtt_worker_t *w);


/* ngx_mqtt_watch.c: looks for workers of this node that have ended */

ngx_int_t ngx_mqtt_watch_start(ngx_mqtt_worker_t *w);


/*
 * ngx_mqtt_fanout.c: a message to everybody who has subscribed to it, here, in
 * other workers and nodes, and later.  prepare() returns NGX_BUSY when it
 * cannot be taken now; w->resume_event is posted when it can.  fanout()
 * follows in the same call: NGX_OK or, when no subscription matched,
 * NGX_DECLINED; NGX_AGAIN when fo.waits is set, and then the op, which may be
 * NULL, completes when all logs have the message, it was routed, and the
 * inboxes of other nodes have it.  Without fo.waits there is no op.
 */

typedef struct {
    ngx_mqtt_workers_t      workers;
    ngx_uint_t              logged;         /* persistent sessions want it */
    ngx_uint_t              remote;         /* other nodes may want it */
    ngx_uint_t              waits;          /* for Redis, because of these */
} ngx_mqtt_fanout_t;

ngx_int_t ngx_mqtt_fanout_prepare(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_fanout_t *fo);
ngx_int_t ngx_mqtt_fanout(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_fanout_t *fo, ngx_mqtt_subscriber_t *from, ngx_mqtt_op_t *op);


/*
 * ngx_mqtt_ack.c: the acknowledgements that a client is owed, in publish
 * order.
 */

typedef struct ngx_mqtt_acks_s  ngx_mqtt_acks_t;
typedef struct ngx_mqtt_ack_s   ngx_mqtt_ack_slot_t;

/* sends PUBACK or PUBREC; called in publish order, once for each slot */
typedef void (*ngx_mqtt_ack_send_pt)(void *data, ngx_uint_t qos,
    uint16_t packet_id, ngx_uint_t reason);

/*
 * A QoS 2 publish is settled, its PUBREC is due: NGX_AGAIN when something has
 * to be written first; then ngx_mqtt_ack_done() is called again.
 */
typedef ngx_int_t (*ngx_mqtt_ack_guard_pt)(void *data,
    ngx_mqtt_ack_slot_t *slot, ngx_uint_t reason);

struct ngx_mqtt_acks_s {
    ngx_queue_t             slots;
    ngx_uint_t              nslots;
    ngx_uint_t              nqos2;          /* of them */
    ngx_mqtt_ack_send_pt    send;
    ngx_mqtt_ack_guard_pt   guard;          /* NULL: nothing is kept */
    void                   *data;
};


void ngx_mqtt_acks_init(ngx_mqtt_acks_t *acks, ngx_mqtt_ack_send_pt send,
    void *data);

/* takes the next place in the order; NULL when out of memory */
ngx_mqtt_ack_slot_t *ngx_mqtt_ack_take(ngx_mqtt_worker_t *w,
    ngx_mqtt_acks_t *acks, ngx_uint_t qos, uint16_t packet_id);

/* gives back the slot that was taken last */
void ngx_mqtt_ack_return(ngx_mqtt_ack_slot_t *slot);

/* 1 while the PUBREC of this packet id has not been sent */
ngx_uint_t ngx_mqtt_ack_is_owed(ngx_mqtt_acks_t *acks, uint16_t packet_id);

/* 1 while the publish of this packet id is not settled */
ngx_uint_t ngx_mqtt_ack_is_open(ngx_mqtt_acks_t *acks, uint16_t packet_id);

/* QoS 2 publishes that are not settled */
ngx_uint_t ngx_mqtt_acks_open(ngx_mqtt_acks_t *acks);

/* the client dies, and somebody else wants to know of these: they are moved */
void ngx_mqtt_acks_hand_over(ngx_mqtt_acks_t *acks, ngx_mqtt_acks_t *to);

/* the publish is settled: released now or when the older ones are */
void ngx_mqtt_ack_done(ngx_mqtt_ack_slot_t *slot, ngx_uint_t reason);

/* the continuation of ngx_mqtt_ingest(); op->data is the slot */
void ngx_mqtt_ack_ingested(ngx_mqtt_op_t *op);

/* the client dies: slots that are not settled yet free themselves later */
void ngx_mqtt_acks_orphan(ngx_mqtt_acks_t *acks);


#endif /* _NGX_MQTT_GATEWAY_H_INCLUDED_ */
