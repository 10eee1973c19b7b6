
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Durable sessions in Redis: who owns a client id, since when.
 *
 * (1) A session is claimed in one script: the epoch grows, the previous owner
 *     is learned.  The epoch is strictly increasing for a client id, also
 *     when the session was deleted in between.
 * (2) Every later write carries the epoch and is refused when it is stale.
 * (3) Subscriptions of a session that has ended are not forgotten before their
 *     readers are detached, whoever has to do it in the end.
 * (4) A claim is answered only when the previous owner has closed its
 *     connection, is dead, or has been silent for takeover_timeout; of another
 *     node for a second at most.
 * (5) A claim also waits, for takeover_timeout at most, until QoS 2 publishes
 *     of earlier connections are no longer in flight: they may come again.
 */


#ifndef _NGX_MQTT_SESSION_H_INCLUDED_
#define _NGX_MQTT_SESSION_H_INCLUDED_


#include "ngx_mqtt.h"
#include "ngx_mqtt_msg.h"
#include "ngx_mqtt_bus.h"


#define NGX_MQTT_SESSION_NEVER         0xffffffff


typedef struct {
    ngx_str_t            client_id;
    uint32_t             expiry;         /* seconds, 0: ends with the
                                            connection, _NEVER: does not */
    uint32_t             will_delay;     /* seconds */
    ngx_mqtt_msg_t      *will;           /* NULL: none */
    ngx_str_t            connection;     /* what is told when it is gone;
                                            len 0: nothing */
    ngx_uint_t           clean;          /* start anew */
} ngx_mqtt_session_claim_t;


/* the connection is gone */

typedef struct {
    ngx_str_t            client_id;
    uint64_t             epoch;
    uint32_t             expiry;
    ngx_mqtt_msg_t      *will;           /* of the claim */
    ngx_uint_t           lost;           /* 1: the will is due, now or after
                                            its delay; 0: it is discarded */
    ngx_uint_t           lasting;        /* 0: claimed without an expiry and
                                            without a will */
    ngx_uint_t           told;           /* 1: the end of the connection is to
                                            be told */
} ngx_mqtt_session_release_t;


/* op->result of a successful claim, valid only inside done() */

typedef struct {
    uint64_t             epoch;
    ngx_uint_t           present;        /* state was there and is resumed */
    ngx_uint_t           taken;          /* from an owner who had not released
                                            it: his last state is not there */
    ngx_uint_t           nfields;
    ngx_keyval_t        *fields;         /* its "s<filter>", "q<epoch>", "v" */
} ngx_mqtt_session_claimed_t;


/* QoS 2 publishes that are in flight while their connection is gone */

typedef struct ngx_mqtt_settle_s  ngx_mqtt_settle_t;

/* a field with what has become of them, "q<epoch>", at most so many bytes */

#define NGX_MQTT_SESSION_SETTLE        (1 + NGX_INT64_LEN)


/*
 * The subscription of a session has ended for good: its reader is to be
 * removed from the filter's log.  A reader that has joined the log under a
 * later epoch is another session's and stays.  The op completes with NGX_OK
 * when it is gone; as long as it does not, the reader is detached again by the
 * next claim, or by whoever takes over from this worker.
 */
typedef void (*ngx_mqtt_session_detach_pt)(ngx_mqtt_worker_t *w,
    ngx_str_t *filter, ngx_str_t *client_id, uint64_t epoch,
    ngx_mqtt_op_t *op);


/*
 * A will is to be published.  The op completes with NGX_OK when it is, or was
 * refused for good; with anything else it is left to who takes over from this
 * worker.  The message is the caller's to unref.
 */
typedef void (*ngx_mqtt_session_publish_pt)(ngx_mqtt_worker_t *w,
    ngx_mqtt_msg_t *m, ngx_mqtt_op_t *op);


/*
 * That a connection is gone is told once, by whoever has it to tell in Redis:
 * the worker whose connection it was, or the one that has taken it from that.
 *
 * tell(): it is this worker's.  "connection" is that of the claim.  The op
 * completes with NGX_OK when Kafka has the event, or never will; with anything
 * else it is left to who takes over from this worker.
 *
 * expect(): Redis is asked what there is to tell of a client id, under this
 * epoch, or 0 if there may be several.  settle(): it has answered, and tell()
 * was called for what is this worker's; "forgotten": Redis has lost the
 * session, so that nobody but this worker can know, unless it was taken over.
 *
 * leased(): it was not, or it was: "lost".
 */

typedef struct {
    void               (*tell)(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
                            uint64_t epoch, ngx_str_t *connection,
                            ngx_mqtt_op_t *op);
    void               (*expect)(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
                            uint64_t epoch);
    void               (*settle)(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
                            uint64_t epoch, ngx_uint_t forgotten);
    void               (*leased)(ngx_mqtt_worker_t *w, ngx_uint_t lost);
} ngx_mqtt_session_ends_t;


/* a worker, by its name, is dead, and this one takes over from it */
typedef void (*ngx_mqtt_session_dead_pt)(ngx_mqtt_worker_t *w,
    ngx_str_t *owner);


ngx_int_t ngx_mqtt_session_start(ngx_mqtt_worker_t *w);
void ngx_mqtt_session_stop(ngx_mqtt_worker_t *w);

/*
 * The end of a worker, around that of its clients: begin() marks it as
 * planned, so that the wills of clients that are left behind are not
 * published; end() when Redis has answered everything.
 */
void ngx_mqtt_session_leave_begin(ngx_mqtt_worker_t *w);
void ngx_mqtt_session_leave_end(ngx_mqtt_worker_t *w);

/*
 * A worker of this node: peer_lost() when it does not answer any more, so that
 * nobody waits for it; worker_lost() when its process has ended, to take over
 * what it has left behind, if anything.
 */
void ngx_mqtt_session_peer_lost(ngx_mqtt_worker_t *w, ngx_uint_t slot,
    uint64_t generation);
void ngx_mqtt_session_worker_lost(ngx_mqtt_worker_t *w, ngx_uint_t slot,
    uint64_t generation);

void ngx_mqtt_session_on_publish(ngx_mqtt_worker_t *w,
    ngx_mqtt_session_publish_pt publish);

void ngx_mqtt_session_on_dead(ngx_mqtt_worker_t *w,
    ngx_mqtt_session_dead_pt dead);

/* without it nothing is told, and nothing of it stands in Redis */
void ngx_mqtt_session_on_ends(ngx_mqtt_worker_t *w,
    ngx_mqtt_session_ends_t *ends);

/* without a handler there are no readers to detach */
void ngx_mqtt_session_on_detach(ngx_mqtt_worker_t *w,
    ngx_mqtt_session_detach_pt detach);

/*
 * The op completes with NGX_OK, or NGX_ERROR and SERVER_UNAVAILABLE.  When
 * the op was orphaned meanwhile the session is released again.
 */
void ngx_mqtt_session_claim(ngx_mqtt_worker_t *w,
    ngx_mqtt_session_claim_t *claim, ngx_mqtt_op_t *op);

/*
 * Writes "n" fields of a claimed session, those with an empty value are
 * removed.  Waits for Redis when it is away, and is idempotent.  The op, which
 * may be NULL, completes with NGX_OK, with NGX_DECLINED and SESSION_TAKEN_OVER
 * when the session was released or claimed by somebody else, with NGX_DECLINED
 * and UNSPECIFIED_ERROR when Redis has lost it, or with NGX_ERROR when Redis
 * failed.
 */
void ngx_mqtt_session_save(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    uint64_t epoch, ngx_keyval_t *fields, ngx_uint_t n, ngx_mqtt_op_t *op);

/*
 * ngx_mqtt_settle.c: the connection of a session that lives on has ended under
 * "epoch", with QoS 2 publishes that it has not released.  Claims of the
 * session wait until settle_end() tells which packet ids are done with.  If
 * some are in flight the last save of the session writes a field that says so;
 * settle_field() makes its name and value, the latter empty: to remove it.
 * settle_begin() returns NULL when out of memory, and when the worker exits.
 */
ngx_mqtt_settle_t *ngx_mqtt_session_settle_begin(ngx_mqtt_worker_t *w,
    ngx_str_t *client_id, uint64_t epoch);
void ngx_mqtt_session_settle_end(ngx_mqtt_settle_t *settle, uint16_t *ids,
    ngx_uint_t n);

/* "name" has room for NGX_MQTT_SESSION_SETTLE bytes */
void ngx_mqtt_session_settle_field(ngx_mqtt_worker_t *w, uint64_t epoch,
    u_char *name, ngx_uint_t open, ngx_keyval_t *field);

/* 0 where there is no number */
uint64_t ngx_mqtt_session_number(ngx_str_t *text);

/* the ids of such a field, separated by spaces; NGX_DECLINED: in flight */
ngx_int_t ngx_mqtt_session_settle_ids(ngx_str_t *value, ngx_str_t *ids);

/*
 * ngx_mqtt_session_online.c: whether a client is connected to any node.  The
 * op completes with NGX_OK, NGX_DECLINED (no), or NGX_ERROR without Redis.
 */
void ngx_mqtt_session_online(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_mqtt_op_t *op);

/*
 * Whether a session has a field, whoever owns it: the op completes with
 * NGX_OK, NGX_DECLINED (no), or NGX_ERROR.  Waits for Redis when it is away.
 */
void ngx_mqtt_session_has(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_str_t *field, ngx_mqtt_op_t *op);

/*
 * The session is free to be claimed and lives on for "expiry" seconds.  Waits
 * for Redis when it is away.
 */
void ngx_mqtt_session_release(ngx_mqtt_worker_t *w,
    ngx_mqtt_session_release_t *rel);

/*
 * Asks Redis, also when it is away, who owns a session; the op completes with
 * a result that ngx_mqtt_session_owner_peer() understands: NGX_OK and a worker
 * of any node, NGX_DECLINED or NGX_ERROR when nobody owns it.
 */
void ngx_mqtt_session_owner(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_mqtt_op_t *op);
ngx_int_t ngx_mqtt_session_owner_peer(ngx_mqtt_worker_t *w, ngx_mqtt_op_t *op,
    ngx_mqtt_peer_t *peer);

/* claims whose op has not completed, wills and readers under way */
ngx_uint_t ngx_mqtt_session_pending(ngx_mqtt_worker_t *w);


#endif /* _NGX_MQTT_SESSION_H_INCLUDED_ */
