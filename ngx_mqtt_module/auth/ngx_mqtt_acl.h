
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The rules of "acl": who may publish to what and subscribe to what.
 *
 * (1) The first rule that matches decides, in the order of the file; what no
 *     rule matches is refused.
 * (2) A subscription is allowed by the first "allow" rule that has all of its
 *     filter, unless a "deny" rule before it has a part.
 */


#ifndef _NGX_MQTT_ACL_H_INCLUDED_
#define _NGX_MQTT_ACL_H_INCLUDED_


#include "ngx_mqtt.h"


/* who asks; empty strings for what is not there */

typedef struct {
    ngx_str_t            client_id;
    ngx_str_t            username;
} ngx_mqtt_acl_who_t;


/* config time: "acl file" inside mqtt_gateway {} */
char *ngx_mqtt_acl_directive(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw);

/*
 * NGX_OK or NGX_DECLINED.  A topic of the form parent/p2p/client is the
 * business of "p2p" rules and of no others; the filter has no share.
 */
ngx_int_t ngx_mqtt_acl_publish(ngx_mqtt_acl_t *acl, ngx_mqtt_acl_who_t *who,
    ngx_str_t *topic);
ngx_int_t ngx_mqtt_acl_subscribe(ngx_mqtt_acl_t *acl,
    ngx_mqtt_acl_who_t *who, ngx_str_t *filter);


#endif /* _NGX_MQTT_ACL_H_INCLUDED_ */
