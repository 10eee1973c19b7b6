
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * What the files of the Redis engine share; nobody else includes it.
 *
 *     ngx_mqtt_redis.c          the API, the two queues, sending, replies
 *     ngx_mqtt_redis_cmd.c      encoding
 *     ngx_mqtt_redis_connect.c  connecting, TLS, losing, retrying
 *     ngx_mqtt_redis_login.c    AUTH, SELECT ... PING
 *     ngx_mqtt_redis_reply.c    hiredis' reader over an arena
 *     ngx_mqtt_redis_script.c   SHA1 of the Lua texts, EVALSHA, NOSCRIPT
 *     ngx_mqtt_redis_cluster.c  Redis Cluster: nodes
 *     ngx_mqtt_redis_slots.c    Redis Cluster: slots of keys, the map
 *     ngx_mqtt_redis_detour.c   Redis Cluster: MOVED, ASK, TRYAGAIN
 *     ngx_mqtt_redis_replicas.c wait=N: WAIT, and what is held until then
 *     ngx_mqtt_redis_conf.c     the directive
 *
 * What others see as ngx_mqtt_redis_t is a "front".  With one Redis it is the
 * connection itself.  With Redis Cluster it has a connection for each primary,
 * which are of the same type, and none of its own.
 */


#ifndef _NGX_MQTT_REDIS_CORE_H_INCLUDED_
#define _NGX_MQTT_REDIS_CORE_H_INCLUDED_


#include "ngx_mqtt_redis.h"

#include <ngx_event_connect.h>
#include <hiredis/hiredis.h>
#include <hiredis/read.h>


#define NGX_MQTT_REDIS_PORT            6379
#define NGX_MQTT_REDIS_OUT             32768
#define NGX_MQTT_REDIS_IN              16384
#define NGX_MQTT_REDIS_ARENA           4096
#define NGX_MQTT_REDIS_SHA1            40

#define NGX_MQTT_REDIS_SLOTS           16384
#define NGX_MQTT_REDIS_NO_SLOT         NGX_MQTT_REDIS_SLOTS


struct ngx_mqtt_redis_conf_s {
    ngx_addr_t                *addrs;          /* of a cluster: some nodes */
    ngx_uint_t                 naddrs;
    ngx_uint_t                 cluster;        /* 1: Redis Cluster */

    ngx_str_t                  user;
    ngx_str_t                  password;
    ngx_str_t                  db;             /* empty: 0 */
    ngx_str_t                  client_name;

    ngx_msec_t                 timeout;
    ngx_msec_t                 connect_timeout;
    ngx_uint_t                 queue;
    ngx_uint_t                 wait;           /* for so many replicas */

    u_char                     (*sha1)[NGX_MQTT_REDIS_SHA1];

#if (NGX_SSL)
    ngx_ssl_t                 *ssl;            /* NULL: plain TCP */
    ngx_str_t                  ssl_name;
    ngx_flag_t                 ssl_verify;
    unsigned                   ssl_name_address:1;
#endif
};


/* commands of the engine itself, sent first on every connection */

#define NGX_MQTT_REDIS_STEP_NONE       0
#define NGX_MQTT_REDIS_STEP_AUTH       1
#define NGX_MQTT_REDIS_STEP_SELECT     2
#define NGX_MQTT_REDIS_STEP_SETNAME    3
#define NGX_MQTT_REDIS_STEP_SCRIPT     4
#define NGX_MQTT_REDIS_STEP_ROLE       5
#define NGX_MQTT_REDIS_STEP_PING       6
#define NGX_MQTT_REDIS_STEP_SLOTS      7
#define NGX_MQTT_REDIS_STEP_ASKING     8
#define NGX_MQTT_REDIS_STEP_WAIT       9


/* which commands survive a connection */

#define NGX_MQTT_REDIS_KEEP_NONE       0
#define NGX_MQTT_REDIS_KEEP_WAITING    1
#define NGX_MQTT_REDIS_KEEP_ALL        2


/* a reply that waits for the replicas; it stands behind this */

typedef struct {
    size_t                     size;
    ngx_mqtt_redis_reply_t    *reply;
} ngx_mqtt_redis_held_t;


/* one block: the encoded command, "size" bytes, stands behind the header */

typedef struct {
    ngx_queue_t                queue;          /* in queued or in sent */
    ngx_mqtt_op_t             *op;
    ngx_mqtt_redis_held_t     *held;           /* its reply */
    size_t                     size;
    uint32_t                   argc;
    uint32_t                   tail;           /* of a script: where its key
                                                  count begins */
    uint16_t                   script;         /* NGX_MQTT_LUA_MAX: none */
    uint16_t                   slot;           /* of a cluster */
    uint8_t                    tries;          /* redirections so far */
    unsigned                   step:4;
    unsigned                   wait:1;
    unsigned                   safe:1;         /* done with the replicas */
    unsigned                   mark:1;
    unsigned                   eval:1;
    unsigned                   ask:1;          /* the detour's node has it */
} ngx_mqtt_redis_cmd_t;

#define ngx_mqtt_redis_cmd_data(cmd)                                          \
    ((u_char *) (cmd) + sizeof(ngx_mqtt_redis_cmd_t))


/* the memory of one reply: a first block that stays, and more as needed */

typedef struct ngx_mqtt_redis_block_s  ngx_mqtt_redis_block_t;

struct ngx_mqtt_redis_block_s {
    ngx_mqtt_redis_block_t    *next;
    size_t                     size;
};

typedef struct {
    ngx_mqtt_worker_t         *worker;
    u_char                    *pos;
    u_char                    *end;
    ngx_mqtt_redis_block_t    *blocks;
    u_char                    *first;          /* NGX_MQTT_REDIS_ARENA */
} ngx_mqtt_redis_arena_t;


typedef enum {
    NGX_MQTT_REDIS_LOST = 0,                   /* the timer will retry */
    NGX_MQTT_REDIS_CONNECT,
    NGX_MQTT_REDIS_TLS,
    NGX_MQTT_REDIS_LOGIN,                      /* AUTH, SELECT ... PING */
    NGX_MQTT_REDIS_READY,
    NGX_MQTT_REDIS_STOPPED
} ngx_mqtt_redis_state_e;


/*
 * Commands of a slot that wait until those which were sent before are
 * answered, or for a while, and take their way then.
 */

typedef struct {
    ngx_queue_t                link;           /* in the cluster's detours */
    ngx_uint_t                 slot;
    ngx_mqtt_redis_t          *ask;            /* ASK: who has them */
    ngx_msec_t                 due;            /* not before, if delayed */
    ngx_queue_t                back;           /* came back, in order */
    ngx_queue_t                later;          /* behind those, in order */
    unsigned                   delayed:1;
} ngx_mqtt_redis_detour_t;


typedef struct {
    ngx_mqtt_redis_t          *node;           /* NULL: nobody serves it */
    ngx_mqtt_redis_detour_t   *detour;
    uint32_t                   attached;       /* commands at any node */
    unsigned                   told:1;         /* while a map is read */
} ngx_mqtt_redis_slot_t;


typedef struct {
    ngx_mqtt_redis_slot_t     *slots;          /* NGX_MQTT_REDIS_SLOTS */
    ngx_queue_t                nodes;          /* with a connection or slots */
    ngx_queue_t                spare;          /* nodes that have gone */
    ngx_queue_t                detours;
    ngx_event_t                event;          /* the chores of this turn */
    ngx_mqtt_redis_t          *asked;          /* whom for the map, or NULL */
    ngx_msec_t                 asked_at;
    ngx_uint_t                 candidate;      /* the next one to try */
    ngx_msec_t                 pause;          /* when all were tried */
    ngx_msec_t                 pause_at;
    ngx_uint_t                 unserved;       /* slots */
    unsigned                   known:1;        /* there is a map */
    unsigned                   stale:1;        /* it is to be asked for */
    unsigned                   up:1;           /* every slot is served */
} ngx_mqtt_redis_cluster_t;


struct ngx_mqtt_redis_s {
    ngx_mqtt_ident_t           ident;          /* of the two events: first */

    ngx_mqtt_worker_t         *worker;
    ngx_mqtt_redis_conf_t     *conf;
    ngx_mqtt_redis_state_e     state;

    ngx_mqtt_redis_t          *front;          /* who has this connection */
    ngx_mqtt_redis_cluster_t  *cluster;        /* of a front, or NULL */

    ngx_peer_connection_t      peer;
    ngx_addr_t                *addrs;
    ngx_uint_t                 naddrs;
    ngx_uint_t                 addr;           /* the one in use */
    ngx_uint_t                 tried;          /* since all were tried */

    ngx_event_t                timer;          /* of the present state */
    ngx_event_t                flush;
    ngx_msec_t                 backoff;
    ngx_msec_t                 heard;          /* of Redis, or asked first */
    ngx_msec_t                 logged;         /* last line while down */

    ngx_queue_t                queued;         /* to be sent, in order */
    ngx_queue_t                sent;           /* to be answered, in order */
    ngx_queue_t                held;           /* not safe yet, in order */
    ngx_uint_t                 pending;        /* in all, but the login's */
    ngx_uint_t                 total;          /* of a front: everywhere */
    size_t                     size;           /* of a front: of them all */
    size_t                     offset;         /* sent of queued's head */
    uint32_t                   evals[NGX_MQTT_LUA_MAX + 1];
                                               /* EVALs in both queues */
    u_char                    *out;            /* NGX_MQTT_REDIS_OUT */
    u_char                    *out_pos;
    u_char                    *out_last;

    redisReader               *reader;
    ngx_mqtt_redis_arena_t     arena;

    ngx_log_t                  log;

    /* of wait=N */

    ngx_event_t                again;
    ngx_uint_t                 unsafe;         /* no WAIT behind them yet */
    time_t                     lacking_logged;
    unsigned                   lacking:1;      /* too few replicas */

    /* of a node of a cluster */

    ngx_queue_t                link;           /* in nodes or spare */
    ngx_uint_t                 nslots;
    ngx_addr_t                 address;
    ngx_sockaddr_t             sockaddr;
    u_char                     name[NGX_SOCKADDR_STRLEN];

    unsigned                   down:1;         /* commands fail at once */
    unsigned                   quiet:1;        /* this attempt logs nothing */
    unsigned                   seen:1;         /* was ready at least once */
    unsigned                   warned:1;       /* of a full queue */
    unsigned                   full:1;         /* somebody waits for room */
    unsigned                   own:1;          /* ngx_mqtt_redis_open() */
};

#define ngx_mqtt_redis_is_node(r)      ((r)->front != (r))


/* ngx_mqtt_redis.c */

ngx_mqtt_redis_t *ngx_mqtt_redis_create(ngx_mqtt_worker_t *w);
void ngx_mqtt_redis_submit(ngx_mqtt_redis_t *r, ngx_mqtt_redis_cmd_t *cmd,
    ngx_uint_t flags, ngx_mqtt_op_t *op);
/* the command is one of this connection from here on, until it is not */
void ngx_mqtt_redis_attach(ngx_mqtt_redis_t *r, ngx_mqtt_redis_cmd_t *cmd);
void ngx_mqtt_redis_detach(ngx_mqtt_redis_t *r, ngx_mqtt_redis_cmd_t *cmd);
/* a command that is attached to nobody fails */
void ngx_mqtt_redis_give_up(ngx_mqtt_redis_t *r, ngx_mqtt_redis_cmd_t *cmd);
void ngx_mqtt_redis_complete(ngx_mqtt_redis_t *r, ngx_mqtt_redis_cmd_t *cmd,
    ngx_mqtt_redis_reply_t *reply);
/* attaches it to this connection, and puts it behind what is to be sent */
void ngx_mqtt_redis_enqueue(ngx_mqtt_redis_t *r, ngx_mqtt_redis_cmd_t *cmd);
void ngx_mqtt_redis_requeue(ngx_mqtt_redis_t *r, ngx_mqtt_redis_cmd_t *cmd);
void ngx_mqtt_redis_hold(ngx_mqtt_redis_t *r);
void ngx_mqtt_redis_queue_move(ngx_queue_t *to, ngx_queue_t *from);
void ngx_mqtt_redis_requeue_all(ngx_mqtt_redis_t *r, ngx_uint_t keep);
void ngx_mqtt_redis_read_handler(ngx_event_t *rev);
void ngx_mqtt_redis_write_handler(ngx_event_t *wev);
void ngx_mqtt_redis_check(ngx_mqtt_redis_t *r);


/* ngx_mqtt_redis_cmd.c: the command of head, nhead of them, and argv */

ngx_mqtt_redis_cmd_t *ngx_mqtt_redis_cmd_create(ngx_mqtt_redis_t *r,
    ngx_uint_t nhead, ngx_str_t *head, ngx_uint_t argc, ngx_str_t *argv);
void ngx_mqtt_redis_cmd_free(ngx_mqtt_redis_t *r, ngx_mqtt_redis_cmd_t *cmd);


/* ngx_mqtt_redis_login.c */

void ngx_mqtt_redis_login(ngx_mqtt_redis_t *r);
ngx_int_t ngx_mqtt_redis_login_add(ngx_mqtt_redis_t *r, ngx_uint_t step,
    char *command, ngx_uint_t argc, ngx_str_t *argv);
/* NGX_ERROR: the connection is closed */
ngx_int_t ngx_mqtt_redis_login_reply(ngx_mqtt_redis_t *r, ngx_uint_t step,
    ngx_mqtt_redis_reply_t *reply);


/* ngx_mqtt_redis_cluster.c; the first one for any front */

void ngx_mqtt_redis_connect_front(ngx_mqtt_redis_t *front);

ngx_int_t ngx_mqtt_redis_cluster_create(ngx_mqtt_redis_t *front);
void ngx_mqtt_redis_cluster_shut(ngx_mqtt_redis_t *front);
/* calls poll for whoever owes replies; 0: nobody who can give one does */
ngx_uint_t ngx_mqtt_redis_cluster_poll(ngx_mqtt_redis_t *front,
    void (*poll)(ngx_mqtt_redis_t *r, ngx_msec_t timeout));
/* the connection for a command, or the front itself: it has to wait */
ngx_mqtt_redis_t *ngx_mqtt_redis_cluster_route(ngx_mqtt_redis_t *front,
    ngx_mqtt_redis_cmd_t *cmd);
ngx_mqtt_redis_t *ngx_mqtt_redis_cluster_node(ngx_mqtt_redis_t *front,
    struct sockaddr *sockaddr, socklen_t socklen);
void ngx_mqtt_redis_cluster_give(ngx_mqtt_redis_t *front, ngx_uint_t slot,
    ngx_mqtt_redis_t *node);
void ngx_mqtt_redis_cluster_need(ngx_mqtt_redis_t *node);
void ngx_mqtt_redis_cluster_post(ngx_mqtt_redis_t *front);
/* the state of a node has changed */
void ngx_mqtt_redis_cluster_ready(ngx_mqtt_redis_t *node);
void ngx_mqtt_redis_cluster_lost(ngx_mqtt_redis_t *node);


/* ngx_mqtt_redis_slots.c */

ngx_uint_t ngx_mqtt_redis_slot(ngx_uint_t argc, ngx_str_t *argv);
/* NGX_ERROR: the connection is closed */
ngx_int_t ngx_mqtt_redis_cluster_slots(ngx_mqtt_redis_t *node,
    ngx_mqtt_redis_reply_t *reply);
/* "host:port" of a reply of node r */
ngx_mqtt_redis_t *ngx_mqtt_redis_cluster_node_name(ngx_mqtt_redis_t *r,
    ngx_str_t *host, in_port_t port);


/* ngx_mqtt_redis_detour.c */

ngx_mqtt_redis_detour_t *ngx_mqtt_redis_detour_open(ngx_mqtt_redis_t *front,
    ngx_uint_t slot);
ngx_uint_t ngx_mqtt_redis_detour_refuses(ngx_mqtt_redis_t *front,
    ngx_mqtt_redis_cmd_t *cmd);
void ngx_mqtt_redis_detour_add(ngx_mqtt_redis_t *front,
    ngx_mqtt_redis_cmd_t *cmd);
/* 1: the command was redirected, or has failed, and the reply is done with */
ngx_uint_t ngx_mqtt_redis_detour_reply(ngx_mqtt_redis_t *node,
    ngx_mqtt_redis_cmd_t *cmd, ngx_mqtt_redis_reply_t *reply);
/* commands of a node for slots that it does not serve take another way */
void ngx_mqtt_redis_detour_node(ngx_mqtt_redis_t *node);
ngx_uint_t ngx_mqtt_redis_detour_asks(ngx_mqtt_redis_t *node);
/* lets go what may; ms until something else may, or NGX_TIMER_INFINITE */
ngx_msec_t ngx_mqtt_redis_detour_release(ngx_mqtt_redis_t *front);
void ngx_mqtt_redis_detour_fail_all(ngx_mqtt_redis_t *front);


/* ngx_mqtt_redis_replicas.c */

void ngx_mqtt_redis_replicas_flush(ngx_mqtt_redis_t *r);
/* NGX_ERROR: out of memory */
ngx_int_t ngx_mqtt_redis_replicas_hold(ngx_mqtt_redis_t *r,
    ngx_mqtt_redis_cmd_t *cmd, ngx_mqtt_redis_reply_t *reply);
void ngx_mqtt_redis_held_free(ngx_mqtt_redis_t *r,
    ngx_mqtt_redis_held_t *held);
/* NGX_ERROR: the connection is closed */
ngx_int_t ngx_mqtt_redis_replicas_reply(ngx_mqtt_redis_t *r,
    ngx_mqtt_redis_reply_t *reply);
void ngx_mqtt_redis_replicas_handler(ngx_event_t *ev);


/* ngx_mqtt_redis_connect.c */

void ngx_mqtt_redis_connect(ngx_mqtt_redis_t *r);
void ngx_mqtt_redis_lost(ngx_mqtt_redis_t *r, ngx_err_t err, char *text,
    ngx_str_t *detail);
void ngx_mqtt_redis_close(ngx_mqtt_redis_t *r);
void ngx_mqtt_redis_set_timer(ngx_mqtt_redis_t *r, ngx_msec_t delay);
ngx_msec_t ngx_mqtt_redis_delay(ngx_mqtt_redis_t *r);
void ngx_mqtt_redis_timer_handler(ngx_event_t *ev);
u_char *ngx_mqtt_redis_log_error(ngx_log_t *log, u_char *buf, size_t len);


/* ngx_mqtt_redis_reply.c */

ngx_int_t ngx_mqtt_redis_reader_create(ngx_mqtt_redis_t *r);
void ngx_mqtt_redis_reader_free(ngx_mqtt_redis_t *r);
ngx_int_t ngx_mqtt_redis_reader_feed(ngx_mqtt_redis_t *r, u_char *buf,
    size_t len);
/* NGX_OK: a reply; NGX_AGAIN: not complete yet; NGX_ERROR: not a reply */
ngx_int_t ngx_mqtt_redis_reader_next(ngx_mqtt_redis_t *r,
    ngx_mqtt_redis_reply_t **reply);
/* the reply is not needed any more */
void ngx_mqtt_redis_reader_done(ngx_mqtt_redis_t *r);
ngx_uint_t ngx_mqtt_redis_error_is(ngx_mqtt_redis_reply_t *reply, char *code);
ngx_uint_t ngx_mqtt_redis_unavailable(ngx_mqtt_redis_reply_t *reply);


/* ngx_mqtt_redis_script.c */

ngx_int_t ngx_mqtt_redis_script_init(ngx_conf_t *cf,
    ngx_mqtt_redis_conf_t *conf);
ngx_str_t *ngx_mqtt_redis_script_text(ngx_uint_t script);
/* Redis does not know the script of this command: it is sent once more */
ngx_int_t ngx_mqtt_redis_script_retry(ngx_mqtt_redis_t *r,
    ngx_mqtt_redis_cmd_t *cmd);


#endif /* _NGX_MQTT_REDIS_CORE_H_INCLUDED_ */
