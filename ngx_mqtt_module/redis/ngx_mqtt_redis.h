
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The Redis engine: hiredis parses the replies, nginx owns the socket, the
 * timers and TLS.  Nothing MQTT in here.
 */


#ifndef _NGX_MQTT_REDIS_H_INCLUDED_
#define _NGX_MQTT_REDIS_H_INCLUDED_


#include "ngx_mqtt.h"
#include "ngx_mqtt_redis_lua.h"


#define NGX_MQTT_REDIS_STRING          1
#define NGX_MQTT_REDIS_INTEGER         2
#define NGX_MQTT_REDIS_ARRAY           3
#define NGX_MQTT_REDIS_NIL             4
#define NGX_MQTT_REDIS_STATUS          5
#define NGX_MQTT_REDIS_ERROR           6


/* a reply: op->result of a finished command, valid only inside done() */

typedef struct ngx_mqtt_redis_reply_s  ngx_mqtt_redis_reply_t;

struct ngx_mqtt_redis_reply_s {
    ngx_uint_t                type;         /* NGX_MQTT_REDIS_STRING ... */
    int64_t                   integer;
    ngx_str_t                 str;          /* string, status, error */
    ngx_uint_t                nelts;
    ngx_mqtt_redis_reply_t  **elts;         /* array; an element may be NIL */
};


/*
 * Flags of a command.  WAIT: while Redis is away the command is kept and sent
 * when it is back, and sent again if the connection broke before its reply
 * came; it must be idempotent.  Without it the command fails at once.  MARK
 * helps a command to be so: its last argument is "0", and "1" when it is sent
 * again.
 *
 * With "redis ... wait=N" a command with WAIT is done when N replicas have
 * what it has written; with READ it writes nothing.  SAFE is the same for one
 * without WAIT, which fails if they do not have it in time.
 */

#define NGX_MQTT_REDIS_WAIT            0x01
#define NGX_MQTT_REDIS_MARK            0x02
#define NGX_MQTT_REDIS_READ            0x04
#define NGX_MQTT_REDIS_SAFE            0x08

#define NGX_MQTT_REDIS_QUEUE           (32 * 1024 * 1024)


/* config time: the "redis" directive; returns NGX_CONF_OK or an error text */
char *ngx_mqtt_redis_directive(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw);


/*
 * Worker life.  start() connects, the first attempt may fail and is retried.
 * stop() closes at once and posts the failure of every command, whatever its
 * flags; it is not called from a completion.
 */
ngx_int_t ngx_mqtt_redis_start(ngx_mqtt_worker_t *w);
void ngx_mqtt_redis_stop(ngx_mqtt_worker_t *w);

/*
 * Before stop(), when there is no event loop any more: waits up to "timeout"
 * ms for the replies of the commands that are pending, if Redis is there.
 */
void ngx_mqtt_redis_finish(ngx_mqtt_worker_t *w, ngx_msec_t timeout);

/*
 * A connection of its own for commands that block: nobody else's wait behind
 * them.  It is not in the status, says nothing of a Redis that is away, does
 * not hold a worker that exits, and knows no scripts.  A command may block
 * for ngx_mqtt_redis_block() ms, so that Redis is not taken for dead.  NULL:
 * out of memory.  shut() is like stop().
 */
ngx_mqtt_redis_t *ngx_mqtt_redis_open(ngx_mqtt_worker_t *w);
void ngx_mqtt_redis_shut(ngx_mqtt_redis_t *r);
ngx_msec_t ngx_mqtt_redis_block(ngx_mqtt_redis_t *r);

/* 0 while a command without WAIT would fail at once, whatever its key */
ngx_uint_t ngx_mqtt_redis_ready(ngx_mqtt_redis_t *r);

/*
 * 1 while "queue" commands, or NGX_MQTT_REDIS_QUEUE bytes of them, have no
 * reply yet: whoever can wait should, w->resume_event is posted when half of
 * that is left.
 */
ngx_uint_t ngx_mqtt_redis_full(ngx_mqtt_redis_t *r);

/*
 * Sends one command, argv[0 .. argc - 1], in the next flush of this turn.
 * Arguments are copied.  The op completes with NGX_OK and the reply (never of
 * type ERROR), with NGX_DECLINED and an ERROR reply when Redis refused the
 * command, or with NGX_ERROR and reason SERVER_UNAVAILABLE without a reply.
 * op may be NULL: nobody wants to know.
 */
void ngx_mqtt_redis_command(ngx_mqtt_redis_t *r, ngx_uint_t argc,
    ngx_str_t *argv, ngx_uint_t flags, ngx_mqtt_op_t *op);

/*
 * The keys "<prefix>{<tag>:<name>}<suffix>", one for each of n suffixes, in
 * one block.  They share a slot of Redis Cluster, and no name makes the hash
 * tag empty.  NGX_ERROR: out of memory; otherwise freed with _free() and the
 * same n.
 */
ngx_int_t ngx_mqtt_redis_keys(ngx_mqtt_worker_t *w, u_char tag,
    ngx_str_t *name, ngx_str_t *suffixes, ngx_uint_t n, ngx_str_t *keys);
void ngx_mqtt_redis_keys_free(ngx_mqtt_worker_t *w, ngx_str_t *keys,
    ngx_uint_t n);

/*
 * Runs a script of redis/lua by EVALSHA, by EVAL when Redis does not know it.
 * argv holds nkeys keys, then the arguments.  Commands take effect in the
 * order of the calls, but a script that Redis has forgotten (SCRIPT FLUSH) is
 * sent once more behind what was under way.  With Redis Cluster all keys have
 * the same hash tag, and the order is that of the commands for one tag.
 */
void ngx_mqtt_redis_script(ngx_mqtt_redis_t *r, ngx_uint_t script,
    ngx_uint_t nkeys, ngx_uint_t argc, ngx_str_t *argv, ngx_uint_t flags,
    ngx_mqtt_op_t *op);

/*
 * Completes the op when the commands that were issued before it have been
 * answered, or have failed; its result says nothing.
 */
void ngx_mqtt_redis_sync(ngx_mqtt_redis_t *r, ngx_mqtt_op_t *op);

/* commands sent or waiting whose reply has not come */
ngx_uint_t ngx_mqtt_redis_pending(ngx_mqtt_redis_t *r);


#endif /* _NGX_MQTT_REDIS_H_INCLUDED_ */
