
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


struct ngx_mqtt_route_s {
    ngx_mqtt_worker_t        *worker;
    ngx_mqtt_filters_t        filters;

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
};


/* to the subscribers of this worker; NGX_OK when a filter matched */
ngx_int_t ngx_mqtt_route_local(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_subscriber_t *exclude, ngx_mqtt_logged_t *logged);


/* ngx_mqtt_route_bus.c: messages between workers */

ngx_int_t ngx_mqtt_route_bus_init(ngx_mqtt_worker_t *w);

/* NGX_BUSY when one of them can take no more */
ngx_int_t ngx_mqtt_route_check(ngx_mqtt_worker_t *w,
    ngx_mqtt_workers_t *workers);

/* NGX_DECLINED when there is none */
ngx_int_t ngx_mqtt_route_send(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_workers_t *workers, ngx_mqtt_logged_t *logged);


#endif /* _NGX_MQTT_ROUTE_INT_H_INCLUDED_ */
