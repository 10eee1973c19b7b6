
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Grants that end: at a time, or when their token is revoked.
 *
 * (1) A term belongs to its grant and is freed with it, also inside of its
 *     own event.
 * (2) Events run from the event loop: a notice at most once, EXPIRED or
 *     REVOKED last.
 */


#ifndef _NGX_MQTT_TERM_H_INCLUDED_
#define _NGX_MQTT_TERM_H_INCLUDED_


#include "ngx_mqtt.h"
#include "ngx_mqtt_grant.h"


#define NGX_MQTT_TOKEN_ID              32      /* hex digits */

/* seconds before the end of a token at which its client is told */

#define NGX_MQTT_TERM_NOTICE          300


#define NGX_MQTT_TERM_EXPIRES_SOON    0
#define NGX_MQTT_TERM_EXPIRED         1
#define NGX_MQTT_TERM_REVOKED         2


/* returns NGX_AGAIN, for a notice only, to be called again in a second */

typedef ngx_int_t (*ngx_mqtt_term_pt)(void *data, ngx_mqtt_term_t *term,
    ngx_uint_t event);


struct ngx_mqtt_term_s {
    ngx_rbtree_node_t     timer;         /* key: of the next event, seconds */
    ngx_mqtt_hash_node_t  node;          /* key: the id of the token */
    time_t                expires;
    ngx_mqtt_term_pt     event;
    void                 *data;
    unsigned              type:2;        /* as the client named the token */
    unsigned              token:1;       /* 0: a JWT of others */
    unsigned              watched:1;
    unsigned              noticed:1;
    u_char                id[NGX_MQTT_TOKEN_ID];
};


/* "id" is that of a token, or NULL; NULL when out of memory */
ngx_mqtt_term_t *ngx_mqtt_term_create(ngx_mqtt_worker_t *w, time_t expires,
    u_char *id, ngx_uint_t type);
void ngx_mqtt_term_free(ngx_mqtt_worker_t *w, ngx_mqtt_term_t *term);

/* from now on there are events; NGX_ERROR: out of memory */
ngx_int_t ngx_mqtt_term_watch(ngx_mqtt_worker_t *w, ngx_mqtt_term_t *term,
    ngx_mqtt_term_pt event, void *data);


#endif /* _NGX_MQTT_TERM_H_INCLUDED_ */
