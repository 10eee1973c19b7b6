
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/* What the files of route/ share. */


#ifndef _NGX_MQTT_ROUTE_INT_H_INCLUDED_
#define _NGX_MQTT_ROUTE_INT_H_INCLUDED_


#include "ngx_mqtt_route.h"
#include "ngx_mqtt_bus.h"


typedef struct {
    uint32_t                  id;
    ngx_uint_t                next;        /* index + 1, 0: the last */
} ngx_mqtt_route_id_t;


typedef struct {
    ngx_mqtt_log_ref_t        ref;
    ngx_uint_t                next;
} ngx_mqtt_route_ref_t;
typedef struct ngx_mqtt_shares_s  ngx_mqtt_shares_t;


struct ngx_mqtt_route_s {
    ngx_mqtt_worker_t        *worker;
    ngx_mqtt_filters_t        filters;
    ngx_mqtt_shares_t        *shares;

    /* of the message that is being routed */

    ngx_mqtt_msg_t           *msg;
    ngx_mqtt_subscriber_t    *exclude;
    ngx_mqtt_logged_t        *logged;
    uint64_t                  number;      /* in the log of the filter */
    uint64_t                  stamp;
    ngx_uint_t                matches;
    ngx_array_t               deliveries;  /* of ngx_mqtt_delivery_t */
    ngx_array_t               ids;         /* of ngx_mqtt_route_id_t */
    ngx_array_t               refs;        /* of ngx_mqtt_route_ref_t */
    ngx_array_t               shared;      /* ids of the shares that match */
};


/* what a search has found: a group of the directory, a worker in it */

typedef struct {
    uint64_t                  id;
    uint32_t                  turn;        /* of the messages for it */
    ngx_uint_t                first;       /* in groups->workers */
    ngx_uint_t                nworkers;
} ngx_mqtt_group_t;

typedef struct {
    ngx_uint_t                slot;
    ngx_uint_t                members;
    ngx_uint_t                stalled;     /* 1: none of them has room */
} ngx_mqtt_group_worker_t;

struct ngx_mqtt_groups_s {
    uint64_t                  serial;      /* of the search */
    uint64_t                  only;        /* this group; 0: all */
    ngx_array_t               groups;      /* of ngx_mqtt_group_t */
    ngx_array_t               workers;     /* of ngx_mqtt_group_worker_t */
    ngx_mqtt_workers_t        pending;     /* may have more groups */
    unsigned                  more:1;      /* there is a pending worker */
    unsigned                  incomplete:1;    /* ours may be missing */
};


/* a QoS 1 or 2 message on its way to one member of a group */

struct ngx_mqtt_shared_s {
    ngx_mqtt_hash_node_t      node;        /* in shares->away, by tag */
    ngx_queue_t               queue;       /* in shares->sent or ->again */
    ngx_mqtt_worker_t        *worker;
    ngx_mqtt_msg_t           *msg;
    uint64_t                  group;
    uint64_t                  tag;         /* 0: nobody waits for its end */
    uint64_t                  number;      /* in the log of the group, or 0 */
    uint64_t                  take;        /* how it came from there */
    ngx_mqtt_peer_t           peer;        /* who has it, or who waits */
};


struct ngx_mqtt_shares_s {
    ngx_mqtt_hash_t           ids;         /* the shares of this worker */
    ngx_mqtt_hash_t           away;        /* messages at other workers */
    ngx_queue_t               sent;        /* the same, in order */
    ngx_queue_t               again;       /* messages given up */
    ngx_event_t               again_event;
    ngx_mqtt_groups_t         found;       /* by prepare() */
    ngx_mqtt_groups_t         one;         /* of one group */
    ngx_array_t               served;      /* ids, ngx_mqtt_share_rest.c */
    uint64_t                  tag;         /* the last one */
    time_t                    warned;
};


/* to the subscribers of this worker; NGX_OK when a filter matched */
ngx_int_t ngx_mqtt_route_local(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_subscriber_t *exclude, ngx_mqtt_logged_t *logged);


/* ngx_mqtt_route_bus.c: messages between workers */

ngx_int_t ngx_mqtt_route_bus_init(ngx_mqtt_worker_t *w);

/* NGX_BUSY when one of them can take no more */
ngx_int_t ngx_mqtt_route_check(ngx_mqtt_worker_t *w,
    ngx_mqtt_workers_t *workers);

/* the six parts of a PUBLISH frame; head: NGX_MQTT_FRAME_MSG_HEAD bytes */
ngx_int_t ngx_mqtt_route_frame_parts(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_logged_t *logged, u_char *head, ngx_str_t *parts);
void ngx_mqtt_route_frame_free(ngx_mqtt_worker_t *w,
    ngx_mqtt_logged_t *logged, ngx_str_t *parts);

/* NGX_DECLINED when there is none */
ngx_int_t ngx_mqtt_route_send(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_workers_t *workers, ngx_mqtt_logged_t *logged);


/* ngx_mqtt_share.c: shared subscriptions */

ngx_int_t ngx_mqtt_share_start(ngx_mqtt_worker_t *w);
void ngx_mqtt_share_stop(ngx_mqtt_worker_t *w);

/* a member more; NULL when out of memory, also of the zone */
ngx_mqtt_share_t *ngx_mqtt_share_join(ngx_mqtt_worker_t *w,
    ngx_mqtt_filter_node_t *node, ngx_str_t *name, ngx_mqtt_sub_t *sub);

/* a member less, its queue is no more in the share */
void ngx_mqtt_share_leave(ngx_mqtt_worker_t *w, ngx_mqtt_filter_node_t *node,
    ngx_mqtt_share_t *share);

/* the groups that prepare() has found, or those that route_local() has;
   NGX_DECLINED: there is no member */
ngx_int_t ngx_mqtt_share_publish(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_workers_t *workers, ngx_mqtt_logged_t *logged);

/* how many messages the members of this worker can be sent at once; those who
   can be sent none tell when they can: "stalled" */
ngx_uint_t ngx_mqtt_share_window(ngx_mqtt_worker_t *w, uint64_t group);

/* the ids of our groups that match go to route->shared; their number */
ngx_uint_t ngx_mqtt_share_match(ngx_mqtt_worker_t *w, ngx_str_t *topic);
void ngx_mqtt_share_matched(void *data, ngx_mqtt_filter_node_t *node);

/*
 * To a member of this worker, or of any worker but those in "tried".  "sd" is
 * NULL for a new message and taken with NGX_OK.  NGX_DECLINED: nobody here
 * takes it; to_any() drops it then.
 */
ngx_int_t ngx_mqtt_share_local(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    uint64_t group, ngx_mqtt_shared_t *sd);
void ngx_mqtt_share_to_any(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    uint64_t group, ngx_mqtt_shared_t *sd, ngx_mqtt_workers_t *tried);

/* counted, and logged now and then */
void ngx_mqtt_share_drop(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_shared_t *sd);

/* 1: the group has a member in this node */
ngx_uint_t ngx_mqtt_share_is_here(ngx_mqtt_worker_t *w, ngx_str_t *topic,
    uint64_t group);

ngx_mqtt_shared_t *ngx_mqtt_shared_create(ngx_mqtt_worker_t *w,
    ngx_mqtt_msg_t *m, uint64_t group);
void ngx_mqtt_shared_free(ngx_mqtt_shared_t *sd);

/* ngx_mqtt_share_member.c does what is about members; NULL: there are none */
ngx_mqtt_share_t *ngx_mqtt_share_find(ngx_mqtt_worker_t *w, uint64_t id);
void ngx_mqtt_share_stall(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_mqtt_share_t *share, ngx_uint_t stalled);


/* ngx_mqtt_share_bus.c */

void ngx_mqtt_share_bus_init(ngx_mqtt_worker_t *w);

/* "sd" as above; NGX_DECLINED: the worker is gone, NGX_BUSY, NGX_ERROR */
ngx_int_t ngx_mqtt_share_send(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    uint64_t group, ngx_uint_t slot, ngx_mqtt_workers_t *tried,
    ngx_mqtt_shared_t *sd);

/* tells the worker that waits for it */
void ngx_mqtt_share_send_done(ngx_mqtt_shared_t *sd);


/*
 * ngx_mqtt_share_rest.c: to all groups of the workers in "visit" but those
 * served, or to one group if "only" is not 0.  NGX_DECLINED: none of the
 * workers is there.
 */

void ngx_mqtt_share_rest_init(ngx_mqtt_worker_t *w);
ngx_int_t ngx_mqtt_share_rest_send(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    uint64_t only, ngx_mqtt_workers_t *visit, ngx_array_t *served);


/* ngx_mqtt_share_choose.c: which worker of a group is next */

ngx_int_t ngx_mqtt_groups_init(ngx_mqtt_worker_t *w,
    ngx_mqtt_groups_t *groups);
void ngx_mqtt_groups_reset(ngx_mqtt_groups_t *groups,
    ngx_mqtt_workers_t *pending);
ngx_mqtt_group_t *ngx_mqtt_groups_add(ngx_mqtt_groups_t *groups, uint64_t id);
ngx_int_t ngx_mqtt_groups_add_worker(ngx_mqtt_groups_t *groups,
    ngx_mqtt_group_t *group, ngx_uint_t slot, ngx_uint_t members,
    ngx_uint_t stalled);

/* NGX_BUSY: a group has only workers that can take no more */
ngx_int_t ngx_mqtt_groups_check(ngx_mqtt_worker_t *w,
    ngx_mqtt_groups_t *groups);

/* NGX_MQTT_ZONE_SLOTS: there is none but those in "tried" */
ngx_uint_t ngx_mqtt_group_choose(ngx_mqtt_worker_t *w,
    ngx_mqtt_groups_t *groups, ngx_mqtt_group_t *group,
    ngx_mqtt_workers_t *tried);


/*
 * ngx_mqtt_group.c: groups that have a log.  logged(): the message is there;
 * notice(): a worker of it is told so; more(): this worker is told of so many;
 * ready(): a member has come, or has room again; left(): the last has gone.
 */

ngx_uint_t ngx_mqtt_group_logged(ngx_mqtt_logged_t *logged, uint64_t group);
void ngx_mqtt_group_notice(ngx_mqtt_worker_t *w, ngx_mqtt_groups_t *found,
    ngx_mqtt_group_t *group);
void ngx_mqtt_group_more(ngx_mqtt_worker_t *w, uint64_t group,
    ngx_uint_t count);
void ngx_mqtt_group_ready(ngx_mqtt_worker_t *w, uint64_t group);
void ngx_mqtt_group_left(ngx_mqtt_worker_t *w, uint64_t group);

/* the head of a GROUP_MORE frame; behind it the log, if the group is 0 */

#define NGX_MQTT_GROUP_MORE  (8 + 4)

u_char *ngx_mqtt_group_write_more(u_char *p, uint64_t group,
    ngx_uint_t count);

/* ngx_mqtt_group_take.c: done() and again() of a message with a number */
void ngx_mqtt_group_done(ngx_mqtt_shared_t *sd);
void ngx_mqtt_group_again(ngx_mqtt_shared_t *sd);


#define ngx_mqtt_workers_has(workers, slot)                                   \
    ((workers)->bits[(slot) / 64] & ((uint64_t) 1 << ((slot) % 64)))

#define ngx_mqtt_workers_set(workers, slot)                                   \
    (workers)->bits[(slot) / 64] |= (uint64_t) 1 << ((slot) % 64)


#endif /* _NGX_MQTT_ROUTE_INT_H_INCLUDED_ */
