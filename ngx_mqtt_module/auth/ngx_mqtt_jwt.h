
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * JSON Web Tokens: libjwt signs and verifies, jansson holds the claims.
 */


#ifndef _NGX_MQTT_JWT_H_INCLUDED_
#define _NGX_MQTT_JWT_H_INCLUDED_


#include "ngx_mqtt.h"
#include "ngx_mqtt_grant.h"

#include <jansson.h>


/* longer ones are not looked at */

#define NGX_MQTT_JWT_MAX               65535

/* resources of one token */

#define NGX_MQTT_JWT_RESOURCES         1024


/* a time that is no limit, seconds */

#define NGX_MQTT_JWT_FOREVER           0xffffffffffffLL


/* the algorithm is the key's: what the head of a token says must be equal */

typedef struct {
    ngx_uint_t           alg;
    ngx_str_t            key;          /* a secret, or a key in PEM */
} ngx_mqtt_jwt_key_t;


/* "HS256" ...; NGX_DECLINED: no such algorithm */
ngx_int_t ngx_mqtt_jwt_algorithm(ngx_str_t *name, ngx_uint_t *alg);

/* 1 when the algorithm takes a secret, 0 when it takes a public key */
ngx_uint_t ngx_mqtt_jwt_symmetric(ngx_uint_t alg);

/*
 * NGX_OK: *claims is the caller's to json_decref().  NGX_DECLINED: a token
 * with a wrong signature or another algorithm.  NGX_ERROR: no token.
 */
ngx_int_t ngx_mqtt_jwt_verify(ngx_mqtt_jwt_key_t *key, ngx_str_t *text,
    json_t **claims);

/* the signed token from the pool; claims are JSON text ending with zero */
ngx_int_t ngx_mqtt_jwt_sign(ngx_pool_t *pool, ngx_mqtt_jwt_key_t *key,
    char *claims, ngx_str_t *text);

/*
 * A grant for these actions on an array of filters.  NULL: it is no array of
 * filters, or out of memory.
 */
ngx_mqtt_grant_t *ngx_mqtt_jwt_grant(ngx_mqtt_worker_t *w, json_t *resources,
    ngx_uint_t actions);

/* a string that is not empty; NGX_DECLINED: there is none of this name */
ngx_int_t ngx_mqtt_jwt_string(json_t *object, ngx_str_t *name,
    ngx_str_t *value);

/* "R", "W", "RW" or "R,W"; 0: none of these */
ngx_uint_t ngx_mqtt_jwt_actions(ngx_str_t *text);


#endif /* _NGX_MQTT_JWT_H_INCLUDED_ */
