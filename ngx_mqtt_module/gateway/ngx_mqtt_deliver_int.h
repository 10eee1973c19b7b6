
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * What the files of deliver() share.
 */


#ifndef _NGX_MQTT_DELIVER_INT_H_INCLUDED_
#define _NGX_MQTT_DELIVER_INT_H_INCLUDED_


#include "ngx_mqtt_gateway.h"


typedef struct {
    ngx_mqtt_map_entry_t     *entry;
    time_t                    poison_time;    /* of the last line logged */
    ngx_uint_t                poison;         /* not logged since */
} ngx_mqtt_deliver_source_t;


struct ngx_mqtt_deliver_s {
    ngx_event_t                 retry;
    ngx_mqtt_deliver_source_t  *sources;      /* by index */

    ngx_queue_t                 refused;      /* steps, in their order */
    ngx_uint_t                  nrefused;     /*   and those under way again */
    ngx_event_t                 again;
    unsigned                    probing:1;    /* one of them is under way */
    unsigned                    taken:1;      /* the last one was */
};


/*
 * ngx_mqtt_deliver_again.c: the steps of a record that Redis may refuse.
 *
 * step() gives an op for one of them, a step of the join, which completes when
 * Redis has taken it; NULL: out of memory.  refused() is 1 while there is one
 * that Redis has not taken yet: others would overtake it.
 */

#define NGX_MQTT_DELIVER_RETAIN   0
#define NGX_MQTT_DELIVER_FANOUT   1
#define NGX_MQTT_DELIVER_NODES    2

void ngx_mqtt_deliver_again_start(ngx_mqtt_worker_t *w);
void ngx_mqtt_deliver_again_stop(ngx_mqtt_worker_t *w);
ngx_mqtt_op_t *ngx_mqtt_deliver_step(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_uint_t what, ngx_mqtt_join_t *join);

#define ngx_mqtt_deliver_refused(w)  ((w)->deliver->nrefused != 0)


#endif /* _NGX_MQTT_DELIVER_INT_H_INCLUDED_ */
