
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * What the credentials of a client allow: the permissions of its access key,
 * of its tokens, of its JWT.  A client whose credentials say nothing of it has
 * no grant, which is no restriction.
 *
 * (1) A grant lives in one block: the rules and their filters lie behind it.
 *     One of an access key belongs to the configuration and is shared.
 * (2) A client may do what one of its grants allows, if the rules of "acl"
 *     allow it as well.
 */


#ifndef _NGX_MQTT_GRANT_H_INCLUDED_
#define _NGX_MQTT_GRANT_H_INCLUDED_


#include "ngx_mqtt.h"


#define NGX_MQTT_GRANT_READ            0x01    /* SUBSCRIBE */
#define NGX_MQTT_GRANT_WRITE           0x02    /* PUBLISH, also P2P */
#define NGX_MQTT_GRANT_BOTH            0x03


typedef struct ngx_mqtt_grant_s  ngx_mqtt_grant_t;
typedef struct ngx_mqtt_term_s  ngx_mqtt_term_t;


typedef struct {
    ngx_str_t                 filter;
    ngx_uint_t                actions;
} ngx_mqtt_grant_rule_t;


struct ngx_mqtt_grant_s {
    ngx_mqtt_grant_t         *next;        /* of the same client */
    ngx_uint_t                nrules;
    ngx_mqtt_grant_rule_t    *rules;
    ngx_mqtt_term_t         *term;       /* NULL: does not end */
    size_t                    size;        /* of the block; 0: shared */
    unsigned                  all:1;       /* no rules: everything */
};


/*
 * "R:filter", "W:filter" or "RW:filter"; the filter points into the word.
 * Returns NULL or what is wrong with it.
 */
const char *ngx_mqtt_grant_parse_rule(ngx_str_t *word,
    ngx_mqtt_grant_rule_t *rule);

/* such words in one text, separated by spaces; the same */
const char *ngx_mqtt_grant_parse(ngx_str_t *text, ngx_array_t *rules);

/* a copy of the rules; NULL when out of memory */
ngx_mqtt_grant_t *ngx_mqtt_grant_create(ngx_mqtt_worker_t *w,
    ngx_mqtt_grant_rule_t *rules, ngx_uint_t nrules);

/* a list of them; what is shared stays */
void ngx_mqtt_grant_free(ngx_mqtt_worker_t *w, ngx_mqtt_grant_t *grant);

/* NGX_OK or NGX_DECLINED for a topic name, or a filter without a share */
ngx_int_t ngx_mqtt_grant_publish(ngx_mqtt_grant_t *grants, ngx_str_t *topic);
ngx_int_t ngx_mqtt_grant_subscribe(ngx_mqtt_grant_t *grants,
    ngx_str_t *filter);


#endif /* _NGX_MQTT_GRANT_H_INCLUDED_ */
