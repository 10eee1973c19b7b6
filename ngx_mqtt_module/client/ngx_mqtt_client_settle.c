
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * QoS 2 publishes of a connection that has ended, and what the next one is
 * told of them.
 *
 * (1) A publish that was in flight is not in the state that is saved at the
 *     end.  Its slot is handed over; when all are settled session/ is told
 *     which packet ids are done with, see ngx_mqtt_session_settle_begin().
 * (2) Ids that were received and not released are told as well: their save
 *     came too late if somebody else had claimed the session before.
 * (3) What was refused is not among them, it may come again.
 *
 * Called from: ngx_mqtt_client_session.c, ngx_mqtt_client_save.c,
 * gateway/ngx_mqtt_ack.c.
 */


#include "ngx_mqtt_client_session.h"


typedef struct {
    ngx_mqtt_worker_t    *worker;
    ngx_mqtt_settle_t    *settle;
    ngx_mqtt_op_t        *op;          /* completes when all are settled */
    ngx_mqtt_acks_t       acks;
    ngx_mqtt_id_set_t     ids;         /* done with */
    ngx_uint_t            refuses;
} ngx_mqtt_client_settle_t;


static void ngx_mqtt_settle_restore_ids(ngx_mqtt_client_t *mc,
    ngx_str_t *ids);
static ngx_int_t ngx_mqtt_settle_ids(ngx_mqtt_client_t *mc,
    ngx_mqtt_client_settle_t *cs);
static void ngx_mqtt_settle_one(void *data, ngx_uint_t qos,
    uint16_t packet_id, ngx_uint_t reason);
static void ngx_mqtt_settle_all(ngx_mqtt_op_t *op);
static void ngx_mqtt_settle_end(ngx_mqtt_client_settle_t *cs);


void
ngx_mqtt_client_settle(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_worker_t         *w;
    ngx_mqtt_client_settle_t  *cs;

    w = mc->worker;

    if (mc->extra == NULL || mc->extra->received.n == 0) {
        return;
    }

    cs = ngx_mqtt_calloc(w, sizeof(ngx_mqtt_client_settle_t));
    if (cs == NULL) {
        return;
    }

    cs->worker = w;
    cs->refuses = ngx_mqtt_client_refuses(mc);

    ngx_mqtt_acks_init(&cs->acks, ngx_mqtt_settle_one, cs);

    cs->op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_settle_all, cs);

    if (cs->op && ngx_mqtt_settle_ids(mc, cs) == NGX_OK) {
        cs->settle = ngx_mqtt_session_settle_begin(w, &mc->node.key,
                                                   mc->epoch);
    }

    if (cs->settle) {
        ngx_mqtt_acks_hand_over(&mc->acks, &cs->acks);

        if (cs->acks.nslots) {
            return;
        }
    }

    if (cs->op) {
        ngx_mqtt_op_cancel(cs->op);
    }

    ngx_mqtt_settle_end(cs);
}


/* those that are done with already */

static ngx_int_t
ngx_mqtt_settle_ids(ngx_mqtt_client_t *mc, ngx_mqtt_client_settle_t *cs)
{
    ngx_uint_t          i;
    ngx_mqtt_id_set_t  *received;

    received = &mc->extra->received;

    for (i = 0; i < received->n; i++) {

        if (!ngx_mqtt_ack_is_open(&mc->acks, received->ids[i])
            && ngx_mqtt_id_set_add(mc->worker, &cs->ids, received->ids[i])
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* as ngx_mqtt_publish_ack(); without memory for the id it may come twice */

static void
ngx_mqtt_settle_one(void *data, ngx_uint_t qos, uint16_t packet_id,
    ngx_uint_t reason)
{
    ngx_mqtt_client_settle_t *cs = data;

    if (reason < NGX_MQTT_UNSPECIFIED_ERROR || !cs->refuses) {
        (void) ngx_mqtt_id_set_add(cs->worker, &cs->ids, packet_id);
    }

    /* not from here: the slots are still walked over */

    if (cs->acks.nslots == 0) {
        ngx_mqtt_op_post(cs->op, NGX_OK, NGX_MQTT_SUCCESS);
    }
}


static void
ngx_mqtt_settle_all(ngx_mqtt_op_t *op)
{
    ngx_mqtt_settle_end(op->data);
}


static void
ngx_mqtt_settle_end(ngx_mqtt_client_settle_t *cs)
{
    if (cs->settle) {
        ngx_mqtt_session_settle_end(cs->settle, cs->ids.ids, cs->ids.n);
    }

    ngx_mqtt_id_set_free(cs->worker, &cs->ids);
    ngx_mqtt_free(cs->worker, cs, sizeof(ngx_mqtt_client_settle_t));
}


ngx_int_t
ngx_mqtt_client_settle_restore(ngx_mqtt_client_t *mc,
    ngx_mqtt_session_claimed_t *claimed)
{
    ngx_str_t                   ids, number;
    ngx_uint_t                  i;
    ngx_keyval_t               *field;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    for (i = 0; i < claimed->nfields; i++) {
        field = &claimed->fields[i];

        if (field->key.data[0] != 'q'
            || ss->nsettled == NGX_MQTT_SETTLE_FIELDS - 1)
        {
            continue;
        }

        if (ss->settled == NULL) {
            ss->settled = ngx_mqtt_alloc(mc->worker, NGX_MQTT_SETTLE_FIELDS
                                                     * sizeof(uint64_t));
            if (ss->settled == NULL) {
                return NGX_ERROR;
            }
        }

        number.data = field->key.data + 1;
        number.len = field->key.len - 1;

        ss->settled[ss->nsettled++] = ngx_mqtt_session_number(&number);

        if (ngx_mqtt_session_settle_ids(&field->value, &ids) == NGX_OK) {

            if (ngx_mqtt_client_get_extra(mc) == NULL) {
                return NGX_ERROR;
            }

            ngx_mqtt_settle_restore_ids(mc, &ids);
        }
    }

    return NGX_OK;
}


static void
ngx_mqtt_settle_restore_ids(ngx_mqtt_client_t *mc, ngx_str_t *ids)
{
    u_char             *p, *next, *last;
    ngx_int_t           id;
    ngx_mqtt_id_set_t  *received;

    received = &mc->extra->received;
    last = ids->data + ids->len;

    for (p = ids->data; p < last; p = next + 1) {
        next = ngx_strlchr(p, last, ' ');

        if (next == NULL) {
            next = last;
        }

        id = ngx_atoi(p, next - p);

        if (id > 0 && id <= 65535
            && !ngx_mqtt_id_set_has(received, (uint16_t) id))
        {
            (void) ngx_mqtt_id_set_add(mc->worker, received, (uint16_t) id);
        }
    }
}


ngx_uint_t
ngx_mqtt_client_settle_fields(ngx_mqtt_client_t *mc, ngx_uint_t open,
    ngx_keyval_t *fields, ngx_mqtt_settle_names_t names)
{
    ngx_uint_t                  n;
    ngx_mqtt_worker_t          *w;
    ngx_mqtt_client_session_t  *ss;

    w = mc->worker;
    ss = mc->session;

    for (n = 0; n < ss->nsettled; n++) {
        ngx_mqtt_session_settle_field(w, ss->settled[n], names[n], 0,
                                      &fields[n]);
    }

    ngx_mqtt_client_settle_free(mc);

    if (open) {
        ngx_mqtt_session_settle_field(w, mc->epoch, names[n], 1, &fields[n]);
        n++;
    }

    return n;
}


void
ngx_mqtt_client_settle_free(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    if (ss->settled) {
        ngx_mqtt_free(mc->worker, ss->settled,
                      NGX_MQTT_SETTLE_FIELDS * sizeof(uint64_t));
        ss->settled = NULL;
        ss->nsettled = 0;
    }
}
