
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Logs: the messages of a filter for sessions that outlive their connection.
 *
 * (1) A filter has a log in Redis while a session is its reader.  A message of
 *     QoS 1 or 2 that matches is appended once, whatever the number of
 *     readers, and is numbered; numbers are contiguous.
 * (2) A reader has a cursor: the number of the last message that it is done
 *     with.  A log holds what some reader still needs, at most
 *     "offline_queue" messages, none older than its age.
 * (3) Which filters have a log is known to every worker: wildcard filters one
 *     by one, exact ones as a count per first level.  Before a SUBSCRIBE is
 *     answered, the zone knows the version of the index that has the filter,
 *     and no worker of this node takes a publish with an older one.  Other
 *     nodes follow within NGX_MQTT_LOG_POLL.
 * (4) A message goes to subscribers when it has been appended everywhere, with
 *     its numbers.  So whoever sees a gap reads it from the log, and whoever
 *     has read a number ignores the message that comes with it.
 *
 * Called from: client/, gateway/, route/.
 */


#ifndef _NGX_MQTT_LOG_H_INCLUDED_
#define _NGX_MQTT_LOG_H_INCLUDED_


#include "ngx_mqtt_route.h"


/* worker life */

ngx_int_t ngx_mqtt_log_start(ngx_mqtt_worker_t *w);
void ngx_mqtt_log_stop(ngx_mqtt_worker_t *w);


/*
 * Makes the session a reader of the filter's log, and sees to it that
 * publishers know.  The op completes with NGX_OK and an
 * ngx_mqtt_log_attached_t, valid only inside done(), or with NGX_ERROR.
 * Waits for Redis.
 */

typedef struct {
    uint64_t                  last;        /* in the log */
    uint64_t                  cursor;      /* the reader is done with */
    ngx_uint_t                known;       /* it was a reader before */
} ngx_mqtt_log_attached_t;

void ngx_mqtt_log_attach(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_str_t *client_id, uint64_t epoch, ngx_mqtt_op_t *op);

/*
 * The reader ends, unless it was attached under a later epoch.  The op may be
 * NULL.  Waits for Redis.
 */
void ngx_mqtt_log_detach(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_str_t *client_id, uint64_t epoch, ngx_mqtt_op_t *op);

/*
 * ngx_mqtt_log_trim.c: moves the cursor of the reader; a stale epoch changes
 * nothing.  Then drops what no reader needs any longer.  Waits for Redis.
 */
void ngx_mqtt_log_ack(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_str_t *client_id, uint64_t epoch, uint64_t cursor);

/*
 * Reads on behind "from", at most "max" messages and about "size" bytes, for
 * a session of this epoch.  The op completes with NGX_OK and a reply of Redis
 * as its result, which ngx_mqtt_log_page() takes apart, or with NGX_ERROR.
 * Waits for Redis.
 */

typedef struct {
    ngx_str_t                *client_id;
    uint64_t                  epoch;
    uint64_t                  from;
    ngx_uint_t                max;
    size_t                    size;
} ngx_mqtt_log_read_t;

void ngx_mqtt_log_read(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_mqtt_log_read_t *read, ngx_mqtt_op_t *op);

#define NGX_MQTT_LOG_GONE    -1
#define NGX_MQTT_LOG_STALE   -2            /* somebody else reads, or nobody */

typedef struct {
    int64_t                   last;        /* in the log, or one of these */
    uint64_t                  first;       /* of the page */
    ngx_uint_t                n;
    void                     *elts;
} ngx_mqtt_log_page_t;

ngx_int_t ngx_mqtt_log_page(ngx_mqtt_worker_t *w, void *result,
    ngx_mqtt_log_page_t *page);

/*
 * Message i of a page.  uid, 16 bytes, tells copies in several logs apart;
 * *several is set when there are some.  NULL: malformed, or out of memory.
 */
ngx_mqtt_msg_t *ngx_mqtt_log_page_msg(ngx_mqtt_worker_t *w,
    ngx_mqtt_log_page_t *page, ngx_uint_t i, u_char *uid,
    ngx_uint_t *several);


/*
 * ngx_mqtt_log_index.c: the logs that a message has to go to.  NGX_DECLINED:
 * none; NGX_BUSY: nothing can be taken now, w->resume_event will be posted;
 * NGX_OK: some, which append() then takes in the same call.
 */
ngx_int_t ngx_mqtt_log_match(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m);

/* makes a filter known, or forgotten; the op, or NULL, completes then */
void ngx_mqtt_log_index_set(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_str_t *generation, ngx_uint_t add, ngx_mqtt_op_t *op);


/*
 * ngx_mqtt_log_append.c: the op completes with NGX_OK and an
 * ngx_mqtt_logged_t, valid only inside done(), when all logs have the
 * message, with NGX_DECLINED and one when Redis refused to store it, or with
 * NGX_ERROR when the worker exits.
 */
void ngx_mqtt_log_append(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_op_t *op);


/*
 * ngx_mqtt_log_p2p.c: the inbox of a session, a log of P2P messages that its
 * client alone reads.  add() asks Redis, also when it is away, to store the
 * message if the session is to have it: one that lives on, whose client is
 * connected, or not and the sender's flag says so (!m->clean).  The op
 * completes with NGX_OK and an ngx_mqtt_log_p2p_t, valid only inside done(),
 * with NGX_DECLINED when Redis refused, or with NGX_ERROR when the worker
 * exits.  read() is as ngx_mqtt_log_read(); done() drops all up to "cursor".
 */

typedef struct {
    uint64_t                  number;      /* 0: it was not stored */
    ngx_str_t                 owner;       /* of the session; empty: none */
} ngx_mqtt_log_p2p_t;

void ngx_mqtt_log_p2p_add(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_mqtt_msg_t *m, ngx_mqtt_op_t *op);
void ngx_mqtt_log_p2p_read(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    uint64_t cursor, ngx_uint_t max, size_t size, ngx_mqtt_op_t *op);
void ngx_mqtt_log_p2p_done(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    uint64_t cursor);


/*
 * ngx_mqtt_group.c: shared subscriptions have logs, too, see
 * ngx_mqtt_group_int.h.  The worker of this name has died: what it has taken
 * is given back.  leave(): the clients of this one have gone, and there is no
 * event loop any more.
 */
void ngx_mqtt_group_dead(ngx_mqtt_worker_t *w, ngx_str_t *owner);
void ngx_mqtt_group_leave(ngx_mqtt_worker_t *w);


#endif /* _NGX_MQTT_LOG_H_INCLUDED_ */
