
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Tokens that the gateway issues: a signed JWT with the resources, the
 * actions, the access key that asked for it, and the time of its end.
 */


#ifndef _NGX_MQTT_TOKEN_H_INCLUDED_
#define _NGX_MQTT_TOKEN_H_INCLUDED_


#include "ngx_mqtt_auth.h"
#include "ngx_mqtt_term.h"


#define NGX_MQTT_TOKEN_RESOURCES       100
#define NGX_MQTT_TOKEN_MIN_TIME        60            /* seconds */
#define NGX_MQTT_TOKEN_MAX_TIME        (30 * 86400)


/* what is wrong with a token, as tokenInvalidNotice says it */

#define NGX_MQTT_TOKEN_OK              0
#define NGX_MQTT_TOKEN_UNPARSABLE      1
#define NGX_MQTT_TOKEN_EXPIRED         2
#define NGX_MQTT_TOKEN_REVOKED         3
#define NGX_MQTT_TOKEN_RESOURCE        4
#define NGX_MQTT_TOKEN_ACTION          5
#define NGX_MQTT_TOKEN_SIGNATURE       8
#define NGX_MQTT_TOKEN_ACCOUNT         -1


/* a request for a token; resources are separated by commas */

typedef struct {
    ngx_str_t            key;          /* access key id */
    ngx_str_t            instance;
    ngx_str_t            resources;
    ngx_uint_t           actions;
    time_t               expires;
} ngx_mqtt_token_request_t;


/* the head of a token that was verified */

typedef struct {
    u_char               id[NGX_MQTT_TOKEN_ID];
    time_t               expires;
    ngx_uint_t           actions;
} ngx_mqtt_token_info_t;


/* 1 when the gateway has "auth signature" and "auth token" */
ngx_uint_t ngx_mqtt_token_served(ngx_mqtt_gateway_t *gw);

/* 1 when the access key is known and has signed the text */
ngx_uint_t ngx_mqtt_token_signed(ngx_mqtt_gateway_t *gw, ngx_str_t *key,
    ngx_str_t *text, ngx_str_t *signature);

/*
 * The token, from the pool.  NGX_DECLINED: the access key may not do so
 * itself, or is not of this instance; NGX_ABORT: the resources are no topic
 * filters or too many.
 */
ngx_int_t ngx_mqtt_token_make(ngx_mqtt_gateway_t *gw,
    ngx_mqtt_token_request_t *tr, ngx_pool_t *pool, ngx_str_t *token);

/* NGX_MQTT_TOKEN_...; "key" is the access key that it has to be of, or NULL */
ngx_int_t ngx_mqtt_token_inspect(ngx_mqtt_gateway_t *gw, ngx_str_t *text,
    ngx_str_t *key, ngx_mqtt_token_info_t *info);

/*
 * ngx_mqtt_revoke.c.  The op of revoke() completes with NGX_OK or NGX_ERROR;
 * that of lookup(), which is not taken with NGX_ERROR, with what answer()
 * reads: NGX_OK when none of the n tokens is revoked, NGX_DECLINED, NGX_ERROR.
 */

#define NGX_MQTT_TOKENS                3             /* of one client */

void ngx_mqtt_token_revoke(ngx_mqtt_worker_t *w, ngx_str_t *id,
    time_t expires, ngx_mqtt_op_t *op);
ngx_int_t ngx_mqtt_revoke_lookup(ngx_mqtt_worker_t *w, ngx_str_t *ids,
    ngx_uint_t n, ngx_mqtt_op_t *op);
ngx_int_t ngx_mqtt_revoke_answer(ngx_mqtt_op_t *op, ngx_uint_t n);

/*
 * ngx_mqtt_auth_token.c: a token that a connected client brings, JSON of
 * $SYS/uploadToken.  NGX_AGAIN: the op completes with NGX_OK and the result,
 * or NGX_DECLINED and a code of above as the reason, or NGX_ERROR without
 * Redis.  NGX_DECLINED: *code says why.  "username" is that of the CONNECT.
 */
ngx_int_t ngx_mqtt_token_upload(ngx_mqtt_worker_t *w, ngx_str_t *username,
    ngx_str_t *json, ngx_mqtt_op_t *op, ngx_int_t *code, ngx_uint_t *type);

/* "R", "W", "RW" */
ngx_str_t *ngx_mqtt_token_type_name(ngx_uint_t type);


#endif /* _NGX_MQTT_TOKEN_H_INCLUDED_ */
