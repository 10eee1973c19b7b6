
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
 *     ngx_mqtt_redis_conf.c     the directive
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


struct ngx_mqtt_redis_conf_s {
    ngx_str_t                  address;        /* as configured */
    ngx_addr_t                *addrs;
    ngx_uint_t                 naddrs;

    ngx_str_t                  user;
    ngx_str_t                  password;
    ngx_str_t                  db;             /* empty: 0 */
    ngx_str_t                  client_name;

    ngx_msec_t                 timeout;
    ngx_msec_t                 connect_timeout;
    ngx_uint_t                 queue;

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


/* which commands survive a connection */

#define NGX_MQTT_REDIS_KEEP_NONE       0
#define NGX_MQTT_REDIS_KEEP_WAITING    1
#define NGX_MQTT_REDIS_KEEP_ALL        2


/* one block: the encoded command, "size" bytes, stands behind the header */

typedef struct {
    ngx_queue_t                queue;          /* in queued or in sent */
    ngx_mqtt_op_t             *op;
    size_t                     size;
    uint32_t                   argc;
    uint32_t                   tail;           /* of a script: where its key
                                                  count begins */
    uint16_t                   script;         /* NGX_MQTT_LUA_MAX: none */
    unsigned                   step:3;
    unsigned                   wait:1;
    unsigned                   mark:1;
    unsigned                   eval:1;
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


struct ngx_mqtt_redis_s {
    ngx_mqtt_ident_t           ident;          /* of the two events: first */

    ngx_mqtt_worker_t         *worker;
    ngx_mqtt_redis_conf_t     *conf;
    ngx_mqtt_redis_state_e     state;

    ngx_peer_connection_t      peer;
    ngx_uint_t                 addr;           /* the one in use */
    ngx_uint_t                 tried;          /* since all were tried */

    ngx_event_t                timer;          /* of the present state */
    ngx_event_t                flush;
    ngx_msec_t                 backoff;
    ngx_msec_t                 heard;          /* of Redis, or asked first */
    ngx_msec_t                 logged;         /* last line while down */

    ngx_queue_t                queued;         /* to be sent, in order */
    ngx_queue_t                sent;           /* to be answered, in order */
    ngx_uint_t                 pending;        /* in both, but the login's */
    size_t                     size;           /* of all commands */
    size_t                     offset;         /* sent of queued's head */
    uint32_t                   evals[NGX_MQTT_LUA_MAX + 1];
                                               /* EVALs in both queues */
    u_char                    *out;            /* NGX_MQTT_REDIS_OUT */
    u_char                    *out_pos;
    u_char                    *out_last;

    redisReader               *reader;
    ngx_mqtt_redis_arena_t     arena;

    ngx_log_t                  log;

    unsigned                   down:1;         /* commands fail at once */
    unsigned                   quiet:1;        /* this attempt logs nothing */
    unsigned                   seen:1;         /* was ready at least once */
    unsigned                   warned:1;       /* of a full queue */
    unsigned                   full:1;         /* somebody waits for room */
    unsigned                   own:1;          /* ngx_mqtt_redis_open() */
};


/* ngx_mqtt_redis.c */

void ngx_mqtt_redis_submit(ngx_mqtt_redis_t *r, ngx_mqtt_redis_cmd_t *cmd,
    ngx_uint_t flags, ngx_mqtt_op_t *op);
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
/* NGX_ERROR: the connection is closed */
ngx_int_t ngx_mqtt_redis_login_reply(ngx_mqtt_redis_t *r, ngx_uint_t step,
    ngx_mqtt_redis_reply_t *reply);


/* ngx_mqtt_redis_connect.c */

void ngx_mqtt_redis_connect(ngx_mqtt_redis_t *r);
void ngx_mqtt_redis_lost(ngx_mqtt_redis_t *r, ngx_err_t err, char *text,
    ngx_str_t *detail);
void ngx_mqtt_redis_close(ngx_mqtt_redis_t *r);
void ngx_mqtt_redis_set_timer(ngx_mqtt_redis_t *r, ngx_msec_t delay);
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
