
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/* What the files of client status events share. */


#ifndef _NGX_MQTT_STATUS_INT_H_INCLUDED_
#define _NGX_MQTT_STATUS_INT_H_INCLUDED_


#include "ngx_mqtt_gateway.h"
#include "ngx_mqtt_session.h"


typedef struct {
    ngx_queue_t               queue;        /* in its cell, oldest first */
    ngx_mqtt_worker_t        *worker;
    ngx_mqtt_msg_t           *msg;          /* NULL: not known yet */
    ngx_mqtt_op_t            *op;           /* NULL: nobody asks */
    uint64_t                  ticket;
    uint64_t                  epoch;        /* 0: not known yet */
    ngx_uint_t                topic;        /* of Kafka */
    ngx_uint_t                cell;
    ngx_uint_t                event;
    ngx_str_t                 client_id;    /* bytes behind the struct */
    unsigned                  produced:1;
    unsigned                  held:1;       /* until Redis has answered */
    unsigned                  forgotten:1;  /*   or the lease was renewed */
} ngx_mqtt_status_entry_t;


struct ngx_mqtt_status_s {
    ngx_queue_t               cells[NGX_MQTT_STATUS_CELLS];
    ngx_uint_t                npending;     /* all */
    ngx_uint_t                nwaiting;     /* not with the producer */
    ngx_event_t               timer;
    time_t                    drop_time;    /* of the last line logged */
};


/* ngx_mqtt_status.c */

/*
 * The next event of a client id, without a message.  Nothing behind it goes as
 * long as it is held or has no message.  NULL: out of memory.
 */
ngx_mqtt_status_entry_t *ngx_mqtt_status_add(ngx_mqtt_worker_t *w,
    ngx_str_t *client_id, ngx_uint_t topic);
void ngx_mqtt_status_free(ngx_mqtt_status_entry_t *e);

/* an entry that is not there any more has dropped its event */
void ngx_mqtt_status_drop(ngx_mqtt_worker_t *w);

/* what may go of a cell; NGX_OK, or NGX_AGAIN when the rest has to wait */
ngx_int_t ngx_mqtt_status_send(ngx_mqtt_worker_t *w, ngx_uint_t cell);

ngx_uint_t ngx_mqtt_status_cell(ngx_mqtt_worker_t *w, ngx_str_t *client_id);


/* ngx_mqtt_status_ends.c */

/* what session/ calls */
extern ngx_mqtt_session_ends_t  ngx_mqtt_status_ends;


/* ngx_mqtt_status_event.c */

/* an index of Kafka, NGX_MQTT_KAFKA_NO_TOPIC when nobody is told */
ngx_uint_t ngx_mqtt_status_topic(ngx_mqtt_worker_t *w, ngx_str_t *client_id);

/* the event as JSON; NULL: out of memory */
ngx_mqtt_msg_t *ngx_mqtt_status_json(ngx_mqtt_worker_t *w,
    ngx_mqtt_status_event_t *ev);

/* what ngx_mqtt_status_connection() has written */
void ngx_mqtt_status_read(ngx_str_t *connection, ngx_mqtt_status_event_t *ev);

extern ngx_str_t  ngx_mqtt_status_names[];


#endif /* _NGX_MQTT_STATUS_INT_H_INCLUDED_ */
