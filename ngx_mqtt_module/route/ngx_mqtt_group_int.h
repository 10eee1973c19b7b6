
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Groups that have a log: shared subscriptions, 4.8.2, with a member whose
 * session outlives its connection and that has QoS 1 or 2 in it.
 *
 * (1) The log is that of the filter as it was subscribed to, with its prefix
 *     "$share/"; its readers are these members, connected or not.  It stands
 *     in the index of wildcards under this name, also if the filter is exact.
 * (2) A message of QoS 1 or 2 that was stored there reaches the group from
 *     there only: Redis is the one who says which worker has it.  A worker
 *     takes as many as its members can be sent at once.  What is taken is in
 *     Redis under the worker's name until it is done with or given back; if
 *     the worker dies, whoever takes over from it gives it back.
 * (3) A worker takes one message for each that it was told of, so that members
 *     get as many as the others, and all there are when a member comes, or has
 *     room again.  Whoever tells has a turn of his own: those that are counted
 *     in the zone also count the searches for messages that are not there yet.
 *     What somebody was told of and could not take he tells to another worker.
 *     If that is lost, all look by themselves now and then.
 * (4) What was taken goes the way of any message for a group, as an
 *     ngx_mqtt_shared_t with a number: done() and again() of it come here.
 *
 * Called from: ngx_mqtt_log_index.c (which groups there are), ngx_mqtt_share.c
 * (messages, members), bus frames, Redis replies.
 */


#ifndef _NGX_MQTT_GROUP_INT_H_INCLUDED_
#define _NGX_MQTT_GROUP_INT_H_INCLUDED_


#include "ngx_mqtt_log_int.h"
#include "ngx_mqtt_route_int.h"


#define NGX_MQTT_GROUP_ALL     0xffffffff    /* as many as there are */


/* a group with a log; the strings are behind the struct */

typedef struct {
    ngx_mqtt_share_t          share;       /* in its filter; by id */
    ngx_queue_t               queue;       /* in groups->ready, or in none */
    ngx_str_t                 log;         /* "$share/name/filter" */
    ngx_str_t                 filter;
    ngx_str_t                 topic;       /* one that the filter matches */
    ngx_uint_t                wanted;      /* messages we were told of */
    uint32_t                  turn;        /* of those that we tell */
    unsigned                  taking:1;
} ngx_mqtt_group_log_t;


struct ngx_mqtt_group_logs_s {
    ngx_mqtt_hash_t           ids;         /* of ngx_mqtt_group_log_t */
    ngx_mqtt_filters_t        filters;     /* not counted, as the index */
    ngx_queue_t               ready;       /* to be looked at */
    ngx_queue_t               done;        /* ngx_mqtt_shared_t */
    ngx_queue_t               again;       /* the same */
    ngx_queue_t               dead;        /* workers, until we know all */
    ngx_event_t               event;
    uint64_t                  takes;
    ngx_uint_t                ticks;
    ngx_str_t                 owner;       /* this worker, as in Redis */
    u_char                    owner_text[NGX_MQTT_PEER_NAME];
};


/* ngx_mqtt_group.c */

ngx_mqtt_group_log_t *ngx_mqtt_group_find(ngx_mqtt_worker_t *w, uint64_t id);

/* the members of any worker but those in "tried" may take so many */
void ngx_mqtt_group_tell(ngx_mqtt_worker_t *w, ngx_mqtt_group_log_t *gl,
    ngx_uint_t count, ngx_mqtt_workers_t *tried);

/* at the end of the turn */
void ngx_mqtt_group_post(ngx_mqtt_worker_t *w, ngx_mqtt_group_log_t *gl);


/* ngx_mqtt_group_take.c */

/* NGX_ERROR: out of memory */
ngx_int_t ngx_mqtt_group_take(ngx_mqtt_worker_t *w, ngx_mqtt_group_log_t *gl,
    ngx_uint_t max);

/* what is done, and what was given up in this turn */
void ngx_mqtt_group_settle(ngx_mqtt_worker_t *w);

/* gives everything back that this worker, by its name, has taken */
void ngx_mqtt_group_give_back(ngx_mqtt_worker_t *w, ngx_mqtt_group_log_t *gl,
    ngx_str_t *owner);


#endif /* _NGX_MQTT_GROUP_INT_H_INCLUDED_ */
