
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The rules of one file: a tree of levels for everybody and one for each user,
 * client or group that rules name.  Read-only once the cycle runs.
 */


#ifndef _NGX_MQTT_ACL_INT_H_INCLUDED_
#define _NGX_MQTT_ACL_INT_H_INCLUDED_


#include "ngx_mqtt_acl.h"


#define NGX_MQTT_ACL_PUBLISH           0x01
#define NGX_MQTT_ACL_SUBSCRIBE         0x02
#define NGX_MQTT_ACL_P2P               0x04
#define NGX_MQTT_ACL_ALL               0x07

#define NGX_MQTT_ACL_NONE              NGX_MAX_UINT32_VALUE


typedef struct ngx_mqtt_acl_rule_s  ngx_mqtt_acl_rule_t;
typedef struct ngx_mqtt_acl_node_s  ngx_mqtt_acl_node_t;


struct ngx_mqtt_acl_rule_s {
    ngx_mqtt_acl_rule_t      *next;
    uint32_t                  number;      /* its place in the file */
    uint8_t                   allow;
    uint8_t                   verbs;
};


struct ngx_mqtt_acl_node_s {
    ngx_mqtt_acl_node_t      *chain;       /* in its bucket, exact levels */
    ngx_mqtt_acl_node_t      *parent;
    ngx_mqtt_acl_node_t      *next;        /* of the same parent and kind */
    ngx_mqtt_acl_node_t      *children;    /* exact levels */
    ngx_mqtt_acl_node_t      *patterns;    /* levels with a placeholder */
    ngx_mqtt_acl_node_t      *plus;        /* "+" */
    ngx_mqtt_acl_rule_t      *rules;       /* that end here */
    ngx_mqtt_acl_rule_t      *subtree;     /* that end here with "#" */
    ngx_str_t                 level;
    uint32_t                  deny;        /* the first that denies SUBSCRIBE
                                              to something here or below */
    uint32_t                  plain;       /* the same of a root, without
                                              levels that begin with "$" */
};


struct ngx_mqtt_acl_s {
    ngx_str_t                 file;
    ngx_uint_t                nrules;
    ngx_pool_t               *pool;

    ngx_mqtt_acl_node_t      *everybody;
    ngx_mqtt_acl_node_t      *users;       /* parents of a root for each */
    ngx_mqtt_acl_node_t      *clients;
    ngx_mqtt_acl_node_t      *groups;

    ngx_mqtt_acl_node_t     **buckets;
    ngx_uint_t                nbuckets;    /* a power of two */
    ngx_uint_t                nnodes;      /* in buckets */
};


/* the node of an exact level below a parent, or NULL */
ngx_mqtt_acl_node_t *ngx_mqtt_acl_find(ngx_mqtt_acl_t *acl,
    ngx_mqtt_acl_node_t *parent, ngx_str_t *level);

#define ngx_mqtt_acl_hash(parent, level)                                      \
    ngx_mqtt_hash_seeded((uintptr_t) (parent), (level)->data, (level)->len)


#endif /* _NGX_MQTT_ACL_INT_H_INCLUDED_ */
