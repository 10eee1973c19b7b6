
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Workers of other nodes: what they want to be sent, and how they get it.
 *
 * (1) Every worker has an inbox in Redis.  A frame in it is the same as on the
 *     bus, and its handler is the same (ngx_mqtt_inbox.c).
 * (2) Every worker has told an index in Redis what it has subscribers for, in
 *     a way that may be wider than that, and has a copy of what the workers of
 *     other nodes have told.  A change is known to them some milliseconds
 *     after the SUBACK, at the latest after NGX_MQTT_NODES_POLL.
 * (3) A message goes to such a worker as one frame, which it routes to its own
 *     subscribers only.  The acknowledgement of a message of QoS 1 or 2 waits
 *     until the frame is in the inbox.
 * (4) While there is no other node a publish costs one comparison.
 *
 * Called from: gateway/ (life, messages), route/ (interests), Redis replies.
 */


#ifndef _NGX_MQTT_NODES_H_INCLUDED_
#define _NGX_MQTT_NODES_H_INCLUDED_


#include "ngx_mqtt_route.h"


/*
 * Worker life.  leave() tells the others that this worker is about to end:
 * its clients have gone; stop() follows when the engines have stopped, after
 * close(), which ends reading.
 */
ngx_int_t ngx_mqtt_nodes_start(ngx_mqtt_worker_t *w);
void ngx_mqtt_nodes_leave(ngx_mqtt_worker_t *w);
void ngx_mqtt_nodes_close(ngx_mqtt_worker_t *w);
void ngx_mqtt_nodes_stop(ngx_mqtt_worker_t *w);

/*
 * A worker, by its name in Redis, is dead: what it wants is forgotten by all
 * nodes, and its inbox is deleted.  If it lives nevertheless it comes back.
 */
void ngx_mqtt_inbox_drop(ngx_mqtt_worker_t *w, ngx_str_t *owner);

/* something has changed in Redis that other nodes should look at soon */
void ngx_mqtt_nodes_notify(ngx_mqtt_worker_t *w);

/*
 * ngx_mqtt_interest.c: the worker has now, or has no longer, subscribers for
 * a filter, or members of the group "name" unless that is empty; told once
 * each.  NGX_ERROR: out of memory.
 */
ngx_int_t ngx_mqtt_interest_add(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_str_t *name);
void ngx_mqtt_interest_remove(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_str_t *name);

/*
 * ngx_mqtt_nodes_publish.c.  prepare(): NGX_DECLINED: no other node may want
 * the message; NGX_BUSY: one of QoS 1 or 2 cannot be taken now,
 * w->resume_event will be posted; NGX_OK: publish() has to be called.  Of
 * QoS 0 what cannot be taken is dropped and counted.
 *
 * publish() sends to whom prepare() would find now: NGX_AGAIN when there is an
 * op and it completes later: with NGX_OK when all inboxes have the message,
 * NGX_DECLINED when Redis refused it, or NGX_ERROR when the worker exits.
 */
ngx_int_t ngx_mqtt_nodes_prepare(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m);
ngx_int_t ngx_mqtt_nodes_publish(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_logged_t *logged, ngx_mqtt_op_t *op);

/* a group that has no members in this node may take messages from its log */
void ngx_mqtt_nodes_tell(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_str_t *name, ngx_uint_t count);


#endif /* _NGX_MQTT_NODES_H_INCLUDED_ */
