
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Acknowledgement of publishes.
 *
 * (1) A slot is taken when the packet is accepted and released exactly once.
 * (2) Acknowledgements leave in publish order (4.6): a settled slot waits for
 *     the older ones.
 * (3) A closed client turns its slots into orphans; the message still
 *     completes, only the packet is not sent.  Those of QoS 2 are handed over
 *     if the session lives on.
 *
 * Called from: client/ (take, orphan), the op of ngx_mqtt_ingest() (done).
 * One worker, no locks.
 */


#include "ngx_mqtt_gateway.h"


struct ngx_mqtt_ack_s {
    ngx_queue_t          queue;
    ngx_mqtt_worker_t   *worker;
    ngx_mqtt_acks_t     *acks;        /* NULL: orphaned */
    uint16_t             packet_id;
    uint8_t              qos;
    uint8_t              reason;
    unsigned             settled:1;
    unsigned             guarded:1;
};


static ngx_mqtt_ack_slot_t *ngx_mqtt_ack_find(ngx_mqtt_acks_t *acks,
    uint16_t packet_id);
static ngx_uint_t ngx_mqtt_ack_unsettled(ngx_mqtt_ack_slot_t *slot);
static void ngx_mqtt_ack_remove(ngx_mqtt_ack_slot_t *slot);
static void ngx_mqtt_ack_free(ngx_mqtt_ack_slot_t *slot);


void
ngx_mqtt_acks_init(ngx_mqtt_acks_t *acks, ngx_mqtt_ack_send_pt send,
    void *data)
{
    ngx_queue_init(&acks->slots);

    acks->nslots = 0;
    acks->nqos2 = 0;
    acks->send = send;
    acks->guard = NULL;
    acks->data = data;
}


ngx_mqtt_ack_slot_t *
ngx_mqtt_ack_take(ngx_mqtt_worker_t *w, ngx_mqtt_acks_t *acks, ngx_uint_t qos,
    uint16_t packet_id)
{
    ngx_mqtt_ack_slot_t  *slot;

    slot = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_ack_slot_t));
    if (slot == NULL) {
        return NULL;
    }

    slot->worker = w;
    slot->acks = acks;
    slot->packet_id = packet_id;
    slot->qos = (uint8_t) qos;
    slot->reason = NGX_MQTT_SUCCESS;
    slot->settled = 0;
    slot->guarded = 0;

    ngx_queue_insert_tail(&acks->slots, &slot->queue);
    acks->nslots++;
    acks->nqos2 += (qos == 2);

    return slot;
}


void
ngx_mqtt_ack_return(ngx_mqtt_ack_slot_t *slot)
{
    ngx_mqtt_ack_remove(slot);
    ngx_mqtt_ack_free(slot);
}


ngx_uint_t
ngx_mqtt_ack_is_owed(ngx_mqtt_acks_t *acks, uint16_t packet_id)
{
    return ngx_mqtt_ack_find(acks, packet_id) != NULL;
}


ngx_uint_t
ngx_mqtt_ack_is_open(ngx_mqtt_acks_t *acks, uint16_t packet_id)
{
    ngx_mqtt_ack_slot_t  *slot;

    slot = ngx_mqtt_ack_find(acks, packet_id);

    return slot && ngx_mqtt_ack_unsettled(slot);
}


static ngx_uint_t
ngx_mqtt_ack_unsettled(ngx_mqtt_ack_slot_t *slot)
{
    return !slot->settled && !slot->guarded;
}


ngx_uint_t
ngx_mqtt_acks_open(ngx_mqtt_acks_t *acks)
{
    ngx_uint_t            n;
    ngx_queue_t          *q;
    ngx_mqtt_ack_slot_t  *slot;

    n = 0;

    for (q = ngx_queue_head(&acks->slots);
         q != ngx_queue_sentinel(&acks->slots);
         q = ngx_queue_next(q))
    {
        slot = ngx_queue_data(q, ngx_mqtt_ack_slot_t, queue);

        n += (slot->qos == 2 && ngx_mqtt_ack_unsettled(slot));
    }

    return n;
}


void
ngx_mqtt_acks_hand_over(ngx_mqtt_acks_t *acks, ngx_mqtt_acks_t *to)
{
    ngx_queue_t          *q, *next;
    ngx_mqtt_ack_slot_t  *slot;

    for (q = ngx_queue_head(&acks->slots);
         q != ngx_queue_sentinel(&acks->slots);
         q = next)
    {
        next = ngx_queue_next(q);
        slot = ngx_queue_data(q, ngx_mqtt_ack_slot_t, queue);

        if (slot->qos != 2 || !ngx_mqtt_ack_unsettled(slot)) {
            continue;
        }

        ngx_mqtt_ack_remove(slot);

        slot->acks = to;

        ngx_queue_insert_tail(&to->slots, &slot->queue);
        to->nslots++;
        to->nqos2++;
    }
}


/* of QoS 2 */

static ngx_mqtt_ack_slot_t *
ngx_mqtt_ack_find(ngx_mqtt_acks_t *acks, uint16_t packet_id)
{
    ngx_queue_t          *q;
    ngx_mqtt_ack_slot_t  *slot;

    for (q = ngx_queue_head(&acks->slots);
         q != ngx_queue_sentinel(&acks->slots);
         q = ngx_queue_next(q))
    {
        slot = ngx_queue_data(q, ngx_mqtt_ack_slot_t, queue);

        if (slot->packet_id == packet_id && slot->qos == 2) {
            return slot;
        }
    }

    return NULL;
}


void
ngx_mqtt_ack_done(ngx_mqtt_ack_slot_t *slot, ngx_uint_t reason)
{
    ngx_queue_t      *q;
    ngx_mqtt_acks_t  *acks;

    acks = slot->acks;

    if (acks == NULL) {
        ngx_mqtt_ack_free(slot);
        return;
    }

    if (acks->guard && slot->qos == 2 && !slot->guarded) {
        slot->guarded = 1;

        if (acks->guard(acks->data, slot, reason) == NGX_AGAIN) {
            return;
        }
    }

    slot->settled = 1;
    slot->reason = (uint8_t) reason;

    while (!ngx_queue_empty(&acks->slots)) {
        q = ngx_queue_head(&acks->slots);
        slot = ngx_queue_data(q, ngx_mqtt_ack_slot_t, queue);

        if (!slot->settled) {
            return;
        }

        ngx_mqtt_ack_remove(slot);

        /* only marks the client for closing if it fails: acks stays valid */

        acks->send(acks->data, slot->qos, slot->packet_id, slot->reason);

        ngx_mqtt_ack_free(slot);
    }
}


void
ngx_mqtt_ack_ingested(ngx_mqtt_op_t *op)
{
    ngx_mqtt_ack_done(op->data, op->reason);
}


void
ngx_mqtt_acks_orphan(ngx_mqtt_acks_t *acks)
{
    ngx_queue_t          *q;
    ngx_mqtt_ack_slot_t  *slot;

    while (!ngx_queue_empty(&acks->slots)) {
        q = ngx_queue_head(&acks->slots);
        slot = ngx_queue_data(q, ngx_mqtt_ack_slot_t, queue);

        ngx_queue_remove(q);

        if (slot->settled) {
            ngx_mqtt_ack_free(slot);

        } else {
            slot->acks = NULL;
        }
    }

    acks->nslots = 0;
    acks->nqos2 = 0;
}


static void
ngx_mqtt_ack_remove(ngx_mqtt_ack_slot_t *slot)
{
    ngx_queue_remove(&slot->queue);

    slot->acks->nslots--;
    slot->acks->nqos2 -= (slot->qos == 2);
}


static void
ngx_mqtt_ack_free(ngx_mqtt_ack_slot_t *slot)
{
    ngx_mqtt_free(slot->worker, slot, sizeof(ngx_mqtt_ack_slot_t));
}
